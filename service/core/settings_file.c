/* Reads the lines of a settings file (KAMD_CONFIG_FILE) one by one as NAME and value. A name may
 * have only A-Z, 0-9 and underscores. */
#include "settings_file.h"

static bool name_ok(struct str name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return name.len > 0;
}

enum settings_step settings_next(struct str *rest, struct settings_line *line) {
    struct str text;

    while (str_split(rest, '\n', &text)) {
        line->number++;
        if (str_ends(text, "\r"))
            text.len--;
        text = str_trim(text);
        if (text.len == 0 || text.ptr[0] == '#')
            continue;
        if (!str_is_utf8(text))
            return SETTINGS_BAD;
        struct str value = text;
        struct str name;
        str_split(&value, '=', &name);
        line->name = str_trim(name);
        line->value = str_trim(value);
        return value.ptr != NULL && name_ok(line->name) ? SETTINGS_LINE : SETTINGS_BAD;
    }
    return SETTINGS_END;
}
