/* divergence.h -- how far the softmax of a row of logits is from another distribution.
 *
 * p = softmax(z) and q = softmax(target), rows of `vocab` finite logits; u is uniform.
 * Each returns its value in nats and, unless dz is NULL, writes every entry of
 * dz = weight d(value)/dz. A target that is to have no mass somewhere has a logit 100
 * below its largest there, not -infinity. At p = q a KL and its gradient are exactly 0.
 */
#ifndef PAL_KERNEL_DIVERGENCE_H
#define PAL_KERNEL_DIVERGENCE_H

#include <stdint.h>

/* KL(q || p) = sum q (log q - log p); its gradient p - q is that of the cross-entropy
 * with q as soft target. */
double pal_kl(float *dz, const float *z, const float *target, int32_t vocab,
              float weight);
double pal_kl_ref(double *dz, const double *z, const double *target, int32_t vocab,
                  double weight);

/* KL(p || q), gradient p (log p - log q - value). */
double pal_reverse_kl(float *dz, const float *z, const float *target, int32_t vocab,
                      float weight);
double pal_reverse_kl_ref(double *dz, const double *z, const double *target,
                          int32_t vocab, double weight);

/* H(p) = -sum p log p, gradient -p (log p + value). */
double pal_entropy(float *dz, const float *z, int32_t vocab, float weight);
double pal_entropy_ref(double *dz, const double *z, int32_t vocab, double weight);

/* KL(u || p) = -mean log p - log vocab, gradient p - u. */
double pal_uniform_kl(float *dz, const float *z, int32_t vocab, float weight);
double pal_uniform_kl_ref(double *dz, const double *z, int32_t vocab, double weight);

#endif
