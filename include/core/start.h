/* What a process must do once, before threads and before anything else of this layer. */
#ifndef KAMD_CORE_START_H
#define KAMD_CORE_START_H

#include <stdbool.h>

/* libsodium, jansson's hash seed, and the C locale for numbers (jansson and printf read the decimal
 * point from it). False when the system has no randomness. May be called again. */
bool core_start(void);

#endif
