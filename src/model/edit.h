/* edit.h -- changes to the residual stream while a pass runs.
 *
 * An edit sits at a tap: the residual stream after a block, or the sum of the
 * embeddings. Edits of one tap act in the order in which they are given; what
 * pal_pass_residual() shows, and where a seed attaches, is the stream after them.
 *
 *     ADD      h += delta: steering, latent adversarial training (Casper et al. 2024),
 *              soft prompts; delta may be trained
 *     PROJECT  h -= (h . d) d: ablation of a direction (Arditi et al. 2024)
 *     GATE     h = m h + (1 - m) stop(h): gradient routing (Cloud et al. 2024); the
 *              forward pass does not notice
 */
#ifndef PAL_MODEL_EDIT_H
#define PAL_MODEL_EDIT_H

#include "model/pass.h"

typedef enum { PAL_EDIT_ADD, PAL_EDIT_PROJECT, PAL_EDIT_GATE } pal_edit_kind_t;

/* Arrays are borrowed. */
typedef struct {
    pal_edit_kind_t kind;
    int32_t layer; /* -1 .. L-1; nothing happens at a layer that is not run */
    int32_t rows;  /* of delta: N, or 1 for the same at every token; else unused */
    /* delta (rows, C); d (C) of length 1, to 1e-4; or m (N), finite. */
    const float *values;
    float *grad; /* (rows, C) the gradient of delta is added to it; NULL: not wanted */
} pal_edit_t;

/* pal_forward() with these edits, which are borrowed until the next forward. The
 * backward pass goes down to the lowest delta with a grad, whether slices train or not.
 * Also PAL_EINVAL for an edit that is not as said above; the message has its number and
 * the value. */
PAL_MUST_CHECK
int pal_forward_edited(pal_pass_t *pass, const float *weights, const pal_batch_t *batch,
                       int32_t upto, const pal_edit_t *edits, int32_t count,
                       pal_error_t *err);

#endif
