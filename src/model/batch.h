/* batch.h -- a ragged batch: sequences laid end to end, no padding anywhere. */
#ifndef PAL_MODEL_BATCH_H
#define PAL_MODEL_BATCH_H

#include <stdint.h>

#include "base/error.h"
#include "model/shape.h"

/* Arrays are borrowed. N = offsets[sequences] tokens to compute, M = N + ends that may
 * be predicted. */
typedef struct {
    int32_t sequences; /* B >= 1 */
    const int32_t
        *offsets;          /* (B + 1), offsets[0] = 0, each sequence at least 1 token */
    const int32_t *tokens; /* (M), ids in [0, V) */
    /* (M) weight of token t as something to predict from the tokens before it, >= 0.
     * The first token of a text is never predicted: its weight must be 0. A position
     * whose next token has weight 0 gets no logits. */
    const float *weights;
    const int64_t *ids; /* (B) which example each sequence is, or NULL */
    /* (B) each, or both NULL: every sequence is a whole text. The text of sequence b
     * begins with the first starts[b] >= 1 tokens of that of an earlier sequence,
     * stems[b]; b holds only the tokens after these, at the positions after them, and
     * sees them. So what several texts begin with is computed once (share.h). -1 and 0:
     * a whole text. */
    const int32_t *stems, *starts;
    /* Tokens N .. M-1 are only something to predict: token N + e comes after the one at
     * place before[e]. */
    int32_t ends;
    const int32_t *before; /* (ends) */
} pal_batch_t;

/* PAL_EINVAL: empty, a text longer than the context, a token id outside [0, V), a
 * weight that is negative, not finite or on a first token, a sequence that cannot be a
 * stem; the message has the value. */
PAL_MUST_CHECK
int pal_batch_check(const pal_batch_t *batch, const pal_shape_t *shape,
                    pal_error_t *err);

/* Position of the first token of sequence b in its text; 0 if that is whole. */
int32_t pal_batch_start(const pal_batch_t *batch, int32_t b);

/* Where the tokens of the text of sequence b lie: places in the batch, into `places`.
 * Returns how many. */
int32_t pal_batch_text(const pal_batch_t *batch, int32_t b, int32_t *places);

/* Place of the token before the first one of sequence b, which has a stem. */
int32_t pal_batch_before(const pal_batch_t *batch, int32_t b);

/* 1 if every sequence is a whole text and all of it is computed. */
int pal_batch_whole(const pal_batch_t *batch);

/* N. */
int32_t pal_batch_tokens(const pal_batch_t *batch);

/* How many tokens have a weight. */
int32_t pal_batch_targets(const pal_batch_t *batch);

#endif
