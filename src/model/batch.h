/* batch.h -- a ragged batch: sequences laid end to end, no padding anywhere. */
#ifndef PAL_MODEL_BATCH_H
#define PAL_MODEL_BATCH_H

#include <stdint.h>

#include "base/error.h"
#include "model/shape.h"

/* Arrays are borrowed. N = offsets[sequences] tokens in all. */
typedef struct {
    int32_t sequences; /* B >= 1 */
    const int32_t
        *offsets;          /* (B + 1), offsets[0] = 0, each sequence at least 1 token */
    const int32_t *tokens; /* (N), ids in [0, V) */
    /* (N) weight of token t as something to predict from the tokens before it, >= 0.
     * The first token of a sequence without a stem is never predicted: its weight must
     * be 0. A position whose next token has weight 0 gets no logits. */
    const float *weights;
    const int64_t *ids; /* (B) which example each sequence is, or NULL */
    /* (B), or NULL: none. stems[b] = -1, or an earlier sequence with no stem of its own
     * that sequence b goes on from: b holds only the tokens after it, at the positions
     * after it, and sees its tokens. Several branches share a stem that is computed
     * once. Forward only: a batch with stems has no backward pass. */
    const int32_t *stems;
} pal_batch_t;

/* PAL_EINVAL: empty, a sequence longer than the context, a token id outside [0, V), a
 * weight that is negative, not finite or on a first token, a sequence that cannot be a
 * stem; the message has the value. */
PAL_MUST_CHECK
int pal_batch_check(const pal_batch_t *batch, const pal_shape_t *shape,
                    pal_error_t *err);

/* Tokens of the stem that sequence b goes on from, so the position of its first token;
 * 0 if it has none. */
int32_t pal_batch_stem(const pal_batch_t *batch, int32_t b);

/* R, how many tokens have a weight. */
int32_t pal_batch_rows(const pal_batch_t *batch);

#endif
