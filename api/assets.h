/* The files that the program carries and serves as they are: what lies in api/assets/, under its
 * path there, and openapi.json, which the build makes from openapi.yaml. The build writes the
 * table (deploy/dev/embed). */
#ifndef API_ASSETS_H
#define API_ASSETS_H

#include <stddef.h>

struct asset {
    const char *name;          /* path below api/assets/, or "openapi.json" */
    const unsigned char *data; /* len bytes, and a NUL after them that len does not count */
    size_t len;
};

extern const struct asset assets[];
extern const size_t n_assets;

#endif
