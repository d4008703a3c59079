/* Bodies compressed for clients that take gzip (RFC 9110 section 8.4.1.3). One per thread: its 256
 * KiB are kept from answer to answer. */
#ifndef API_GZIP_H
#define API_GZIP_H

#include "core/buf.h"

#define GZIP_LEAST 1024 /* smaller bodies fit into one packet anyway */

struct gzip;

/* Replaces what `body` holds by its gzip. False, body untouched: no memory, or not smaller. *state
 * starts as NULL. */
bool gzip_body(struct gzip **state, struct buf *body);
/* Adds to `body` what `len` bytes of gzip hold, which is `size` bytes. */
bool gzip_open(const void *bytes, size_t len, size_t size, struct buf *body);
void gzip_release(struct gzip *state); /* NULL is allowed */
/* Text of some kind, so that compressing pays. */
bool gzip_pays(const char *content_type);

#endif
