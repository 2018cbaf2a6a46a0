/* pass.h -- one forward and backward pass over a ragged batch.
 *
 * Losses live outside the model. pal_forward() leaves its activations in the pass; a
 * loss reads them (taps) and writes d(loss)/d(tap) into the seeds at the same places;
 * pal_backward() takes the seeds down to the weights. A method is then a short list of
 * passes: batch, loss, weight.
 *
 *     pal_forward(pass, weights, batch, PAL_ALL_LAYERS, err);
 *     loss = pal_loss_nll(pass, scale);           // writes the logit seed
 *     pal_backward(pass, weights, NULL, grad);    // adds to grad
 *
 * A pass owns its activations and keeps them until the next pal_forward(). Nothing is
 * allocated between pal_pass_reserve() calls. Letters as in layout.h; N tokens of the
 * batch, R <= N rows that have logits, P >= R tokens they predict.
 */
#ifndef PAL_MODEL_PASS_H
#define PAL_MODEL_PASS_H

#include "base/error.h"
#include "kernel/gemm.h"
#include "model/batch.h"
#include "model/layout.h"

typedef struct pal_pass pal_pass_t;

enum { PAL_ALL_LAYERS = -1 };

/* The layout is borrowed and must outlive the pass. *out is owned by the caller. */
PAL_MUST_CHECK
int pal_pass_create(const pal_layout_t *layout, pal_pass_t **out, pal_error_t *err);
void pal_pass_destroy(pal_pass_t *pass);

/* How matrix products are computed (gemm.h), PAL_FP32 if nothing is said. Attention,
 * norms and losses are FP32 in any case. Ends what the last forward left. */
void pal_pass_set_precision(pal_pass_t *pass, pal_precision_t precision);

/* The same for other products with a matrix of the model, of as many rows at most as
 * the pass has reserved. */
const pal_gemm_t *pal_pass_gemm(const pal_pass_t *pass);

/* Make room for batches of up to `tokens` tokens to compute and `rows` predicted ones.
 * Never shrinks. If memory must grow, what the last forward left is gone. On PAL_ENOMEM
 * the pass is as it was. */
PAL_MUST_CHECK
int pal_pass_reserve(pal_pass_t *pass, int32_t tokens, int32_t rows, pal_error_t *err);

/* Bytes of the activations of a pass that is reserved so. */
double pal_pass_bytes(const pal_shape_t *shape, pal_precision_t precision,
                      int64_t tokens, int64_t rows);

/* Run the blocks 0 .. upto-1 and, with PAL_ALL_LAYERS, also the final norm and the
 * logits of the rows that predict something. Clears all seeds. The batch is borrowed
 * until the next forward.
 *
 * PAL_EINVAL: upto beyond the blocks, and what pal_batch_check() refuses. PAL_ENOMEM:
 * the batch is larger than what is reserved, and there is no memory to reserve as much.
 * On failure the pass is as it was. */
PAL_MUST_CHECK
int pal_forward(pal_pass_t *pass, const float *weights, const pal_batch_t *batch,
                int32_t upto, pal_error_t *err);

/* --- Taps; valid after pal_forward(), borrowed; `layer` must have been run --- */

const pal_layout_t *pal_pass_layout(const pal_pass_t *pass);
const pal_batch_t *pal_pass_batch(const pal_pass_t *pass);
int32_t pal_pass_tokens(const pal_pass_t *pass); /* N */

/* (N, C) residual stream: after block `layer` for 0 <= layer < upto, and the sum of the
 * embeddings for layer = -1. */
const float *pal_pass_residual(const pal_pass_t *pass, int32_t layer);

/* (N, C) output of the MLP of a block, bias included. */
const float *pal_pass_mlp(const pal_pass_t *pass, int32_t layer);

/* (R, V) logits in the order of the batch. Row i stands at place positions[i] and
 * predicts tokens[targets[k]] of the batch for first[i] <= k < first[i + 1]: several
 * where texts part, otherwise one, and in a batch without stems targets[i]. */
int32_t pal_pass_rows(const pal_pass_t *pass);
const int32_t *pal_pass_positions(const pal_pass_t *pass); /* (R) */
const int32_t *pal_pass_first(const pal_pass_t *pass);     /* (R + 1) */
const int32_t *pal_pass_targets(const pal_pass_t *pass);   /* (P) */
const float *pal_pass_logits(const pal_pass_t *pass);

/* --- Seeds; a loss adds its gradient here before pal_backward() --- */

/* (N, C) or (R, V), zeroed on first use after a forward; marks the place as seeded. */
float *pal_pass_seed_residual(pal_pass_t *pass, int32_t layer);
float *pal_pass_seed_mlp(pal_pass_t *pass, int32_t layer);
float *pal_pass_seed_logits(pal_pass_t *pass);

/* The logit seed for a loss that computes whole rows: it is spared the zeroing. If it
 * is the first, *row is NULL and it writes every row in place; otherwise *row (V) is
 * room to compute a row in, to be added. */
float *pal_pass_seed_logit_rows(pal_pass_t *pass, float **row);

/* Add d(loss)/d(weights) to grad, from the highest seeded place down. `train` has one
 * flag per slice of the layout (NULL: all): a slice whose flag is 0 gets no gradient,
 * and the descent ends at the lowest block that still has something to train. Seeds are
 * used up; with others the same forward gives another gradient, at the same weights.
 * grad may be NULL if nothing trains. */
void pal_backward(pal_pass_t *pass, const float *weights, const uint8_t *train,
                  float *grad);

#endif
