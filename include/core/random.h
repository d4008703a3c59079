/* Randomness as a seam: the system's is libsodium's; tests give a seeded one. */
#ifndef KAMD_CORE_RANDOM_H
#define KAMD_CORE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct randomness {
    void (*fill)(void *self, void *bytes, size_t len);
    void *self;
};

extern const struct randomness randomness_system;
/* splitmix64 from *seed: for tests and for jitter, never for secrets. `self` points to the uint64_t
 * state. */
struct randomness randomness_seeded(uint64_t *state);

static inline void random_fill(const struct randomness *randomness, void *bytes, size_t len) {
    randomness->fill(randomness->self, bytes, len);
}
uint64_t random_below(const struct randomness *randomness,
                      uint64_t bound); /* uniform in [0, bound) */

#endif
