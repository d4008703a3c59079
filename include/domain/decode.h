/* From a request's JSON document to the canonical document that is stored: every field named in it
 * exists and may be written, every value has its type and keeps its rules. All violations are found
 * at once, each with its pointer: 400 for what is malformed or unknown, 422 for what breaks a rule.
 * Canonical: ids in lower case, times in UTC with microseconds, decimals with all places, presets
 * filled in. */
#ifndef KAMD_DOMAIN_DECODE_H
#define KAMD_DOMAIN_DECODE_H

#include "domain/resource.h"

struct decode {
    const struct resource *resource;
    const struct custom_fields *customs; /* NULL: none are defined */
    const char *at;                      /* pointer of the document: "" or "/records/3" */
    bool replace; /* a change is the whole document (PUT), not a merge patch */
};

/* `given` is a whole new document. *ret holds every writable field. */
bool decode_new(const struct decode *decode, const jv *given, jv **ret, struct err *err);
/* `given` is a merge patch (RFC 7396) on `current`, which is canonical. *ret as above: the same as
 * `current` if it changes nothing. */
bool decode_change(const struct decode *decode, const jv *current, const jv *given, jv **ret,
                   struct err *err);
/* One value of a field on its own, e.g. an action's parameters described by a shape. */
bool decode_shape(const struct shape *shape, const jv *given, const char *at, jv **ret,
                  struct err *err);

#endif
