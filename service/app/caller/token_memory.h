/* Tokens that were verified, by the SHA-256 of their text, until they expire. Bounded: the one that
 * expires first makes room. Not thread-safe. Private to the app layer. */
#ifndef KAMD_APP_CALLER_TOKEN_MEMORY_H
#define KAMD_APP_CALLER_TOKEN_MEMORY_H

#include "core/crypto.h"
#include "domain/claims.h"

struct token_memory;

struct token_memory *token_memory_new(void); /* NULL: no memory */
void token_memory_free(struct token_memory *memory);
void token_memory_clear(struct token_memory *memory);
void token_memory_put(struct token_memory *memory, const unsigned char hash[static CRYPTO_SHA256],
                      const struct claims *claims);
bool token_memory_find(const struct token_memory *memory,
                       const unsigned char hash[static CRYPTO_SHA256], int64_t now_us,
                       struct claims *ret);

#endif
