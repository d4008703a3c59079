/* The files that the program carries and serves as they are: what lies in api/assets/, under its
 * path there, and openapi.json, which the build makes from openapi.yaml. They are carried as gzip,
 * as nearly all clients take them. The build writes the table (deploy/build/embed). */
#ifndef API_ASSETS_H
#define API_ASSETS_H

#include <stddef.h>

struct asset {
    const char *name;          /* path below api/assets/, or "openapi.json" */
    const unsigned char *data; /* len bytes of gzip */
    size_t len;
    size_t size;                  /* of the file */
    const char *etag, *gzip_etag; /* as it is, and as gzip: each changes with its bytes */
};

extern const struct asset assets[];
extern const size_t n_assets;

#endif
