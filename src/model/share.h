/* share.h -- the texts of a batch with what they begin with in common held once.
 *
 * In a causal model the activations of a token depend on nothing after it. Texts that
 * begin alike have the same ones as long as they do, and where two part the gradients
 * of both add up. So a batch becomes a forest: every common beginning is computed once,
 * each text goes on from where it parts from the others, and the weights of tokens that
 * several texts have in common are added. The last token of a text is something to
 * predict and nothing to compute, unless another text goes on from it. Exact but for
 * the order of sums: a token mean with the weights of the batch (loss.h), such as
 * pal_loss_nll(), has the value and the gradient that it has on the batch as it came.
 * What weighs a token by the text it is in, losses of single sequences and of the
 * residual stream want the batch as it came.
 */
#ifndef PAL_MODEL_SHARE_H
#define PAL_MODEL_SHARE_H

#include "model/batch.h"

typedef struct pal_share pal_share_t;

/* For batches of up to `tokens` tokens in `sequences` sequences. *out is owned by the
 * caller. */
PAL_MUST_CHECK
int pal_share_create(int32_t tokens, int32_t sequences, pal_share_t **out,
                     pal_error_t *err);
void pal_share_destroy(pal_share_t *share);

/* The same texts, in another order, without ids. `batch` has whole texts of 1 token or
 * more, weights >= 0. What pal_batch_check() then says of a sequence is said of one of
 * the result, and of sums of weights. Borrowed until the next call. No allocation. */
const pal_batch_t *pal_share_batch(pal_share_t *share, const pal_batch_t *batch);

/* Where the tokens of text b of the batch that came last now are: places among
 * tokens and weights, one for each, as things to predict. There is room for those of
 * the longest text of the batch. */
void pal_share_text(const pal_share_t *share, int32_t b, int32_t *places);

#endif
