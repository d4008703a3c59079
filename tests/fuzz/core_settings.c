/* The text of KAMD_CONFIG_FILE. settings_file.h is private to service/core: compile with -iquote
 * service/core. */
#include "settings_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str rest = {size == 0 ? "" : (const char *)data, size};
    struct settings_line line = {.number = 0};
    enum settings_step step;
    size_t last = 0;

    while ((step = settings_next(&rest, &line)) != SETTINGS_END) {
        if (line.number <= last || line.number > size + 1)
            abort();
        if (step == SETTINGS_LINE && (line.name.len == 0 || !str_is_utf8(line.value)))
            abort();
        last = line.number;
    }
    return 0;
}
