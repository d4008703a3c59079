/* JSON log lines on standard error: one line, one event. Only outermost frames
 * log. Values are escaped; there is no format string to inject into; text is cut at 2 KiB a
 * field. Secrets are never given to it. */
#ifndef KAMD_CORE_LOG_H
#define KAMD_CORE_LOG_H

#include "core/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *name;
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_MS } kind;
    struct str text;
    int64_t number; /* LOG_FIELD_MS: microseconds, written as milliseconds with three places */
};
#define LOG_S(field, value)                                                                        \
    ((struct log_field){.name = (field), .kind = LOG_FIELD_STR, .text = str_of(value)})
#define LOG_T(field, value)                                                                        \
    ((struct log_field){.name = (field), .kind = LOG_FIELD_STR, .text = (value)})
#define LOG_I(field, value)                                                                        \
    ((struct log_field){.name = (field), .kind = LOG_FIELD_INT, .number = (int64_t)(value)})
#define LOG_MS(field, us)                                                                          \
    ((struct log_field){.name = (field), .kind = LOG_FIELD_MS, .number = (us)})

void log_set_level(enum log_level level);
/* By name as in KAMD_LOG_LEVEL; false for any other text. */
bool log_level_parse(struct str text, enum log_level *ret);
void log_set_fd(int fd); /* where lines go; 2 (standard error) until set; a seam for tests */
/* From here on a thread of its own writes the lines, some milliseconds later and many at once;
 * false when there is no thread to be had, and lines go out as before, each with one write(2). A
 * process that is killed loses the lines of its last milliseconds; log_stop() writes all that wait.
 */
bool log_start(void);
void log_stop(void);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t n_fields);
#define LOG(level, event, ...)                                                                     \
    log_write((level), (event), (const struct log_field[]){__VA_ARGS__},                           \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
/* The problem's code, detail and cause as one line. */
void log_err(enum log_level level, const char *event, const struct err *err);

#endif
