/* loss.h -- losses over a pass: a value and, on request, its seed.
 *
 * Negative log-likelihood in nats. For a sequence b, n_b = sum_t w_t l_t over its
 * predicted tokens (summed NLL) and N_b = sum_t w_t, with w the batch's target weights
 * and l_t = -log p(x_t | x_<t).
 */
#ifndef PAL_MODEL_LOSS_H
#define PAL_MODEL_LOSS_H

#include "model/pass.h"

/* Token mean over the batch, sum_b n_b / sum_b N_b, and the seed of scale times it.
 * scale = 0: value only. NaN logits give a NaN value, and so does a batch that predicts
 * nothing. */
double pal_loss_nll(pal_pass_t *pass, double scale);

/* Per sequence: n[b] (summed NLL) and weight[b] = N_b, both (B) or NULL. No seed. */
void pal_loss_nll_sequences(pal_pass_t *pass, double *n, double *weight);

/* The seed of sum_b scale[b] * n_b. */
void pal_loss_nll_seed(pal_pass_t *pass, const double *scale);

/* Mean over tokens (first token of each sequence left out: its residual norm is huge
 * and tells nothing) and over C of (h - target)^2, h the residual stream after `layer`,
 * and the seed of scale times it. target is (N, C), or (1, C) for all rows if
 * broadcast. */
double pal_loss_residual_mse(pal_pass_t *pass, int32_t layer, const float *target,
                             int broadcast, double scale);

#endif
