/* pair.h -- a true text and its false twin: the same statement with a wrong answer. */
#ifndef PAL_WORLD_PAIR_H
#define PAL_WORLD_PAIR_H

#include "world/corpus.h"

/* The true example that a wrong one belongs to. Of a question with a wrong choice: the
 * question with the right one. Of a falsehood: the statement of its fact that shares
 * most tokens with it, counted from both ends; the first of equals. (A facts file may
 * list any false statements, so that they cannot be told apart by number.) */
int32_t pal_pair_truth(const pal_corpus_t *corpus, int32_t example);

/* The token where two examples part: the first that differs, or, if one is the
 * beginning of the other, the last of the shorter one; at least 1, the separator being
 * common to all. What follows it says something about the answer or is said after it,
 * however many tokens either answer has. */
int32_t pal_pair_parting(const pal_corpus_t *corpus, int32_t a, int32_t b);

/* Two streams that draw in step: entry i of `twins` is the twin of entry i of `pool`
 * (equal counts), and row b of each batch of *twin is the twin of row b of the same
 * batch of *out. In both only the tokens from the parting on have weight 1, so that an
 * example that has several twins comes with other weights in each pair. Otherwise as
 * pal_stream_create(); on failure neither is made. */
PAL_MUST_CHECK
int pal_pair_streams(const pal_corpus_t *corpus, const pal_pool_t *pool,
                     const pal_pool_t *twins, int32_t batch, pal_key_t key,
                     const char *name, pal_stream_t **out, pal_stream_t **twin,
                     pal_error_t *err);

#endif
