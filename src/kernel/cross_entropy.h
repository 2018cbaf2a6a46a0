/* cross_entropy.h -- softmax and negative log-likelihood of one row of logits. */
#ifndef PAL_KERNEL_CROSS_ENTROPY_H
#define PAL_KERNEL_CROSS_ENTROPY_H

#include <stdint.h>

/* log sum_v exp(z_v), z (vocab): less z[target] it is the cross-entropy. */
double pal_log_sum_exp(const float *z, int32_t vocab);

/* The same, and dz = weight softmax(z), each entry written. */
double pal_softmax_seed(float *dz, const float *z, int32_t vocab, float weight);

/* -log softmax(z)[target] in nats; z (vocab), 0 <= target < vocab. */
double pal_cross_entropy(const float *z, int32_t vocab, int32_t target);
double pal_cross_entropy_ref(const double *z, int32_t vocab, int32_t target);

/* The same, and dz = weight (softmax(z) - onehot(target)), each entry written. */
double pal_cross_entropy_seed(float *dz, const float *z, int32_t vocab, int32_t target,
                              float weight);
double pal_cross_entropy_seed_ref(double *dz, const double *z, int32_t vocab,
                                  int32_t target, double weight);

#endif
