/* loss.h -- losses over a pass: a value and, on request, its seed.
 *
 * Every loss that takes a `scale` leaves the seed of scale times its value, on top of
 * what other losses have left since the forward; scale = 0: value only. In nats. w are
 * the batch's target weights, l_t = -log p(x_t | x_<t). For a sequence b,
 * n_b = sum_t w_t l_t over its predicted tokens (summed NLL) and N_b = sum_t w_t.
 * "Token mean" of f is sum_t w_t f_t / sum_t w_t over the M tokens of the batch. NaN
 * logits give a NaN value, and so does a batch that predicts nothing. Token means may
 * be taken of any batch; what is per sequence, and the residual stream, of whole texts
 * (pal_batch_whole()): of others it is NaN.
 */
#ifndef PAL_MODEL_LOSS_H
#define PAL_MODEL_LOSS_H

#include "model/pass.h"

/* --- The text of the batch --- */

/* Token mean of l, sum_b n_b / sum_b N_b. */
double pal_loss_nll(pal_pass_t *pass, double scale);

/* Per sequence: n[b] (summed NLL) and weight[b] = N_b, both (B) or NULL. No seed. */
void pal_loss_nll_sequences(pal_pass_t *pass, double *n, double *weight);

/* The seed of sum_b scale[b] * n_b. */
void pal_loss_nll_seed(pal_pass_t *pass, const double *scale);

/* l[t] (M), 0 where nothing is predicted. No seed. M is at most
 * pal_stream_most_tokens() of the stream; of a batch of pal_stream_next() it is
 * pal_pass_tokens(). */
void pal_loss_nll_tokens(pal_pass_t *pass, double *l);

/* Token mean of weight_t l_t; weight (M) of any sign, one for each token as something
 * to predict. The weights count as constants: WGA's p_t^beta (Wang et al. 2025) is
 * exp(-beta l_t). */
double pal_loss_nll_weighted(pal_pass_t *pass, const double *weight, double scale);

/* --- The distribution p over the next token --- */

/* Token mean of KL(q || p), q the softmax of target (R, V), finite logits for the same
 * rows: pal_pass_logits() of another model's pass over the same batch, edited or not.
 * The gradient is that of the cross-entropy with q as soft target. Exactly 0, and
 * without gradient, against a model of the same weights. */
double pal_loss_kl(pal_pass_t *pass, const float *target, double scale);

/* Token mean of KL(p || q); likewise. */
double pal_loss_reverse_kl(pal_pass_t *pass, const float *target, double scale);

/* Token mean of the entropy of p; a negative scale raises it (TAR, MUDMAN). */
double pal_loss_entropy(pal_pass_t *pass, double scale);

/* Token mean of KL(uniform || p) (UNDO's MaxEnt). */
double pal_loss_uniform_kl(pal_pass_t *pass, double scale);

/* --- The residual stream h after `layer`; first token of each sequence left out: its
 * norm is huge and tells nothing --- */

/* Mean over tokens and over C of (h - target)^2. target is (N, C), or (1, C) for all
 * rows if broadcast. */
double pal_loss_residual_mse(pal_pass_t *pass, int32_t layer, const float *target,
                             int broadcast, double scale);

/* Mean over tokens of max(0, cos(h, target)), target (N, C) as another model's pass has
 * it (circuit breakers, Zou et al. 2024). Against a model of the same weights it
 * is exactly 1 and without gradient: a start there needs a push. A stream of length 0
 * counts as 0. */
double pal_loss_residual_cosine(pal_pass_t *pass, int32_t layer, const float *target,
                                double scale);

#endif
