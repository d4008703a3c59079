/* Remembers verified tokens in a table of fixed size (1024 sets of 4), by the SHA-256 of their
 * text, so that each signature is verified only once. The table has no lock: the issuer calls these
 * functions under its own. */
#include "caller/token_memory.h"

#include <stdlib.h>
#include <string.h>

#define SETS 1024
#define WAYS 4

struct remembered {
    unsigned char hash[CRYPTO_SHA256];
    struct claims claims; /* expires_us 0: free */
};

struct token_memory {
    struct remembered sets[SETS][WAYS];
};

struct token_memory *token_memory_new(void) {
    return calloc(1, sizeof(struct token_memory));
}

void token_memory_free(struct token_memory *memory) { free(memory); }

void token_memory_clear(struct token_memory *memory) { memset(memory, 0, sizeof *memory); }

static size_t set_of(const unsigned char *hash) { return ((size_t)hash[0] << 8 | hash[1]) % SETS; }

void token_memory_put(struct token_memory *memory, const unsigned char hash[static CRYPTO_SHA256],
                      const struct claims *claims) {
    struct remembered *set = memory->sets[set_of(hash)], *place = &set[0];
    for (size_t i = 1; i < WAYS; i++)
        if (set[i].claims.expires_us < place->claims.expires_us)
            place = &set[i];
    memcpy(place->hash, hash, CRYPTO_SHA256);
    place->claims = *claims;
}

bool token_memory_find(const struct token_memory *memory,
                       const unsigned char hash[static CRYPTO_SHA256], int64_t now_us,
                       struct claims *ret) {
    const struct remembered *set = memory->sets[set_of(hash)];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].claims.expires_us > now_us && crypto_equal(set[i].hash, hash, CRYPTO_SHA256)) {
            *ret = set[i].claims;
            return true;
        }
    return false;
}
