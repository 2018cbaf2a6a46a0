/* lens.h -- the logit lens (nostalgebraist 2020): what the model would say if it ended
 * after any of its blocks.
 *
 * The lens of a layer is the model's own final norm and output matrix on the residual
 * stream after that layer, at the rows that predict something; the lens of the last
 * layer gives the model's logits. A lens has room for one layer at a time; nothing is
 * allocated after it is made. Letters as in layout.h and pass.h.
 */
#ifndef PAL_MODEL_LENS_H
#define PAL_MODEL_LENS_H

#include "model/pass.h"

typedef struct pal_lens pal_lens_t;

/* With room for `rows` rows (R <= rows in every call). The layout is borrowed and must
 * outlive the lens. *out is owned by the caller. */
PAL_MUST_CHECK
int pal_lens_create(const pal_layout_t *layout, int32_t rows, pal_lens_t **out,
                    pal_error_t *err);
void pal_lens_destroy(pal_lens_t *lens);

/* (R, V) logits after `layer` (-1: of the embeddings), rows as those of
 * pal_pass_logits(). The pass must hold a whole forward pass with these weights.
 * Borrowed until the next call. */
const float *pal_lens_logits(pal_lens_t *lens, const pal_pass_t *pass,
                             const float *weights, int32_t layer);

/* Token mean of the negative log-likelihood of these logits, in nats, as pal_loss_nll()
 * takes it, of a batch of whole texts (of others NaN), and scale times its gradient:
 * into the seed of that residual stream, and, if grad is not NULL, added to grad for
 * the final norm and the output matrix where `train` (as in pal_backward()) has them
 * train. scale = 0: value only. */
double pal_lens_nll(pal_lens_t *lens, pal_pass_t *pass, const float *weights,
                    int32_t layer, double scale, const uint8_t *train, float *grad);

#endif
