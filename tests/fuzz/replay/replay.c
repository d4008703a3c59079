/* Gives a fuzz entry the inputs that are known, without a fuzzer: entry FILE, one input a line in
 * base64 (lines that begin with # are comments). Says in TAP how many there were; which one is
 * at work stands on standard error. */
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each input in a block of its own size: what reads beyond its end is seen. */
static bool replay(const char *line, size_t length) {
    unsigned char *room = malloc(length + 1), *input;
    size_t size = 0;
    bool decoded = room != NULL && sodium_base642bin(room, length + 1, line, length, "\n", &size,
                                                     NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
    input = decoded ? malloc(size == 0 ? 1 : size) : NULL;
    if (input != NULL) {
        memcpy(input, room, size);
        LLVMFuzzerTestOneInput(input, size);
    }
    free(input);
    free(room);
    return input != NULL;
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 && sodium_init() >= 0 ? fopen(argv[1], "re") : NULL;
    char *line = NULL;
    size_t room = 0, inputs = 0;
    ssize_t length;

    printf("1..1\n");
    if (file == NULL) {
        perror(argc == 2 ? argv[1] : "usage: entry FILE");
        return 1;
    }
    for (int number = 1; (length = getline(&line, &room, file)) >= 0; number++) {
        if (line[0] == '#')
            continue;
        fprintf(stderr, "%s:%d\n", argv[1], number);
        if (!replay(line, (size_t)length))
            break;
        inputs++;
    }
    bool all = inputs > 0 && feof(file);
    free(line);
    fclose(file);
    printf("%s 1 - %zu inputs\n", all ? "ok" : "not ok", inputs);
    return all ? 0 : 1;
}
