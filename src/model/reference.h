/* reference.h -- the model's forward pass, naive and in double precision.
 *
 * Says what pal_forward() should compute; tests compare with it, and take gradients by
 * finite differences on it. Shares no arithmetic with the fast path.
 */
#ifndef PAL_MODEL_REFERENCE_H
#define PAL_MODEL_REFERENCE_H

#include "base/error.h"
#include "model/batch.h"
#include "model/layout.h"

/* Letters as in layout.h, N tokens of the batch; owned. */
typedef struct {
    double *residual; /* (L + 1, N, C), the embeddings first */
    double *mlp;      /* (L, N, C) */
    double *logits;   /* (N, V), every position */
    double *scratch;
    int32_t tokens;
    /* Optional: shown each residual stream (N, C) when it has been computed, -1 being
     * the embeddings; may change it. */
    void (*tap)(void *ctx, double *h, int32_t layer);
    void *ctx;
} pal_reference_t;

/* Make room for a batch of `tokens` tokens. */
PAL_MUST_CHECK
int pal_reference_create(const pal_layout_t *layout, int32_t tokens,
                         pal_reference_t *reference, pal_error_t *err);
void pal_reference_destroy(pal_reference_t *reference);

/* Run the whole model over a well-formed batch of exactly reference->tokens tokens. */
void pal_reference_forward(pal_reference_t *reference, const pal_layout_t *layout,
                           const double *weights, const pal_batch_t *batch);

/* Put the logits of the lens after `layer` (lens.h; -1: of the embeddings) in the place
 * of the model's own, which are those of the last layer. */
void pal_reference_lens(pal_reference_t *reference, const pal_layout_t *layout,
                        const double *weights, int32_t layer);

/* The values of pal_loss_nll() and pal_loss_residual_mse() on what was computed last.
 */
double pal_reference_nll(const pal_reference_t *reference, const pal_layout_t *layout,
                         const pal_batch_t *batch);
double pal_reference_residual_mse(const pal_reference_t *reference,
                                  const pal_layout_t *layout, const pal_batch_t *batch,
                                  int32_t layer, const double *target, int broadcast);

#endif
