/* Two sources of random bytes, libsodium for the service and a seeded splitmix64 for tests, and
 * random numbers below a bound without bias. */
#include "core/random.h"

#include <sodium.h>
#include <string.h>

static void system_fill(void *self, void *bytes, size_t len) {
    (void)self;
    randombytes_buf(bytes, len);
}

const struct randomness randomness_system = {.fill = system_fill};

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t splitmix(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15U;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static void seeded_fill(void *self, void *bytes, size_t len) {
    unsigned char *at = bytes;

    while (len > 0) {
        uint64_t word = splitmix(self);
        size_t n = len < sizeof(word) ? len : sizeof(word);

        memcpy(at, &word, n);
        at += n;
        len -= n;
    }
}

struct randomness randomness_seeded(uint64_t *state) {
    return (struct randomness){.fill = seeded_fill, .self = state};
}

uint64_t random_below(const struct randomness *randomness, uint64_t bound) {
    uint64_t word;

    if (bound < 2)
        return 0;
    /* 2^64 mod bound: below it lie the values that would make small results likelier. */
    uint64_t skip = (0 - bound) % bound;
    do {
        random_fill(randomness, &word, sizeof(word));
    } while (word < skip);
    return word % bound;
}
