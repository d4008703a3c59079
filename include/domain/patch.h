/* What turns one JSON document into another: as a JSON patch (RFC 6902) for machines, and as lines
 * for people. */
#ifndef KAMD_DOMAIN_PATCH_H
#define KAMD_DOMAIN_PATCH_H

#include "core/buf.h"
#include "core/json.h"

/* Appends to `ret_patch` the operations (add, remove, replace), to `ret_lines` one text for each of
 * them; both as JSON arrays. Elements of arrays are compared by place, after what is equal at both
 * ends: so one that was put in or taken out in the middle is one operation. */
void json_patch(const jv *from, const jv *to, struct buf *ret_patch, struct buf *ret_lines);

#endif
