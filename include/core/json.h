/* JSON in: a strict reader and a document tree. jansson does the work and stays behind this header.
 *
 * The reader refuses before it builds anything: nesting deeper than 32, more than the allowed
 * number of tokens, duplicate keys, NUL, invalid UTF-8, trailing bytes. (Limits: 4 KB of '['
 * overflow a small stack, 1 MiB of "{},{}" takes 82 MB; RFC 8259.)
 *
 * Ownership: jv_new_*, json_read and jv_copy give a reference that the caller releases
 * (CLEANUP(jv_unref)); jv_get, jv_at and iteration borrow; jv_set and jv_push take over the value
 * given, also when they fail. */
#ifndef KAMD_CORE_JSON_H
#define KAMD_CORE_JSON_H

#include "core/buf.h"
#include "core/err.h"

typedef struct json_t jv;

enum jv_kind { JV_NULL, JV_BOOL, JV_INT, JV_REAL, JV_TEXT, JV_ARRAY, JV_OBJECT };

#define JSON_DEPTH 32
#define JSON_TOKENS 20000

/* Seeds jansson's hash tables; core_start() calls it, before threads. */
void json_start(void);
/* False with PROBLEM_MALFORMED_JSON that says what and where (line, column or byte). `max_tokens`
 * is JSON_TOKENS, or that per record on bulk routes. */
bool json_read(struct str text, size_t max_tokens, jv **ret, struct err *err);
/* The pre-scan alone, for tests and fuzzing. */
bool json_scan(struct str text, size_t max_tokens, struct err *err);

enum jv_kind jv_kind(const jv *value);
struct str jv_text(const jv *value); /* absent unless JV_TEXT; NUL-terminated */
int64_t jv_int(const jv *value);     /* 0 unless JV_INT */
bool jv_bool(const jv *value);       /* false unless true */
double jv_real(const jv *value);     /* of JV_INT and JV_REAL */
bool jv_is_null(const jv *value);    /* of JSON null; false for a NULL pointer */

size_t jv_len(const jv *value); /* members or elements; 0 for scalars and NULL */
jv *jv_get(const jv *object, const char *name);
jv *jv_at(const jv *array, size_t index);
/* for (void *it = jv_first(o); it; it = jv_next(o, it)) ... */
void *jv_first(const jv *object);
void *jv_next(const jv *object, void *iterator);
const char *jv_key(void *iterator);
jv *jv_value(void *iterator);

jv *jv_new_object(void);
jv *jv_new_array(void);
jv *jv_new_text(struct str text);
jv *jv_new_int(int64_t value);
jv *jv_new_bool(bool value);
jv *jv_new_null(void);
jv *jv_ref(jv *value);
jv *jv_copy(const jv *value); /* deep */
void jv_unref(jv **value);
/* False when memory is out or the value given was NULL. */
bool jv_set(jv *object, const char *name, jv *value);
bool jv_push(jv *array, jv *value);
void jv_remove(jv *object, const char *name);
bool jv_equal(const jv *a, const jv *b);
/* RFC 7396, in place: *target may be replaced. Depth is bounded by the reader. */
bool jv_merge(jv **target, const jv *patch);
/* Compact JSON text. */
void jv_write(const jv *value, struct buf *ret);

#endif
