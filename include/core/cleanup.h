/* Ownership by scope: a variable marked CLEANUP(S_release) is released when it leaves its block.
 * It must be initialised where it is declared. TAKE() hands the value out of such a variable. */
#ifndef KAMD_CORE_CLEANUP_H
#define KAMD_CORE_CLEANUP_H

#define CLEANUP(function) __attribute__((cleanup(function)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The pointer's value; the variable itself becomes NULL and owns nothing any more. */
#define TAKE(pointer)                                                                              \
    ({                                                                                             \
        __typeof__(pointer) *take_from_ = &(pointer);                                              \
        __typeof__(pointer) taken_ = *take_from_;                                                  \
        *take_from_ = NULL;                                                                        \
        taken_;                                                                                    \
    })

#endif
