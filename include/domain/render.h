/* From a record's column texts to its JSON, by the descriptor; and ETags. */
#ifndef KAMD_DOMAIN_RENDER_H
#define KAMD_DOMAIN_RENDER_H

#include "core/buf.h"
#include "domain/access.h"

/* Which fields to show: bit i is field i. */
typedef uint64_t field_set;
#define FIELD_SET_ALL (~(field_set)0)

/* The fields that lie in one of these areas: those with no area of their own are where the resource
 * is; the id is always among them. */
field_set fields_in(const struct resource *resource, area_set areas);
/* "name":value,... of the fields in `set`, without braces. `values` are PostgreSQL's texts in the
 * order of the descriptor; lists and documents are JSON. */
void render_fields(const struct resource *resource, const struct str *values, field_set set,
                   struct buf *ret);
/* One value. */
void render_value(const struct field *field, struct str value, struct buf *ret);
/* Only the writable fields, as an object: the canonical document that decode_change() starts from.
 */
void render_writable(const struct resource *resource, const struct str *values, struct buf *ret);

/* ETag: sixteen hex digits of what people edit, '-', eight of the whole body. If-Match compares the
 * first part, so that a new score never makes a 412; If-None-Match compares all. */
#define ETAG_TEXT 28 /* with quotes and NUL */
void etag_make(struct str id, int64_t edit_version, struct str body, char ret[static ETAG_TEXT]);
/* Does a comma list of If-Match match? `*` does. Weak tags never. */
bool etag_edit_matches(struct str if_match, struct str etag);
bool etag_all_matches(struct str if_none_match, struct str etag);

#endif
