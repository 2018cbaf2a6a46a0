/* rng.h -- counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011).
 *
 * A stream is named by a stage's key and a word for its use ("init", "forget", ...), so
 * its numbers do not depend on which rank draws them, in what order stages run or what
 * other streams have drawn. The struct is plain data: copy it to fork or replay.
 */
#ifndef PAL_BASE_RNG_H
#define PAL_BASE_RNG_H

#include <stdint.h>

#include "base/hash.h"

typedef struct {
    uint32_t key[2];
    uint32_t stream[2]; /* upper half of the counter */
    uint64_t block;     /* lower half: next block to compute */
    uint32_t words[4];  /* current block */
    int left;           /* unused words in it */
} pal_rng_t;

void pal_rng_init(pal_rng_t *rng, pal_key_t key, const char *stream);
uint32_t pal_rng_u32(pal_rng_t *rng);

/* Uniform in [0, n), n >= 1, without bias. */
uint32_t pal_rng_below(pal_rng_t *rng, uint32_t n);

/* Uniform in [0, 1), 53 bits. */
double pal_rng_uniform(pal_rng_t *rng);

/* Standard normal (Box-Muller, one of the pair). */
double pal_rng_normal(pal_rng_t *rng);

/* Fisher-Yates over items[0..n). */
void pal_rng_shuffle(pal_rng_t *rng, int32_t *items, int32_t n);

/* The bare block function, for its known-answer test. */
void pal_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
