/* clones.h -- one source, one machine-code variant per instruction set.
 *
 * A function marked PAL_CLONES is compiled for AVX-512, AVX2 and the portable baseline;
 * the loader picks one, because a cluster mixes nodes. Its loops are plain C that the
 * compiler vectorises. Helpers it calls must be PAL_INLINE, or they stay baseline.
 */
#ifndef PAL_KERNEL_CLONES_H
#define PAL_KERNEL_CLONES_H

#include <stdint.h> /* also defines __GLIBC__ */

/* The variants are chosen by an ifunc resolver, which runs before a sanitizer's runtime
 * is set up, and which only glibc's loader knows. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) &&                  \
    !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&                           \
    !defined(__SANITIZE_THREAD__)
#if __GNUC__ >= 12
#define PAL_CLONES                                                                     \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#endif
#ifndef PAL_CLONES
#define PAL_CLONES
#endif

#if defined(__GNUC__)
#define PAL_INLINE static inline __attribute__((always_inline))
#else
#define PAL_INLINE static inline
#endif

#endif
