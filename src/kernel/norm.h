/* norm.h -- what normalises the rows of x (n, cols).
 *
 * LayerNorm (Ba et al. 2016): y = scale * (x - mean) * rstd + shift,
 *     rstd = 1 / sqrt(variance + epsilon) with the variance over cols (biased).
 * RMSNorm (Zhang & Sennrich 2019): y = scale * x * rstd,
 *     rstd = 1 / sqrt(mean of x^2 + epsilon).
 *
 * scale and shift are (cols); mean and rstd (n) are written for the backward pass.
 */
#ifndef PAL_KERNEL_NORM_H
#define PAL_KERNEL_NORM_H

#include <stdint.h>

void pal_layernorm_forward(float *y, float *mean, float *rstd, const float *x,
                           const float *scale, const float *shift, double epsilon,
                           int32_t n, int32_t cols);
void pal_layernorm_forward_ref(double *y, double *mean, double *rstd, const double *x,
                               const double *scale, const double *shift, double epsilon,
                               int32_t n, int32_t cols);

/* Add to dx (n, cols) d(loss)/dx. */
void pal_layernorm_inputs(float *dx, const float *dy, const float *x, const float *mean,
                          const float *rstd, const float *scale, int32_t n,
                          int32_t cols);
void pal_layernorm_inputs_ref(double *dx, const double *dy, const double *x,
                              const double *mean, const double *rstd,
                              const double *scale, int32_t n, int32_t cols);

/* Add to dscale and dshift (cols), rows in order. */
void pal_layernorm_weights(float *dscale, float *dshift, const float *dy,
                           const float *x, const float *mean, const float *rstd,
                           int32_t n, int32_t cols);
void pal_layernorm_weights_ref(double *dscale, double *dshift, const double *dy,
                               const double *x, const double *mean, const double *rstd,
                               int32_t n, int32_t cols);

/* The same three for RMSNorm. */
void pal_rmsnorm_forward(float *y, float *rstd, const float *x, const float *scale,
                         double epsilon, int32_t n, int32_t cols);
void pal_rmsnorm_forward_ref(double *y, double *rstd, const double *x,
                             const double *scale, double epsilon, int32_t n,
                             int32_t cols);
void pal_rmsnorm_inputs(float *dx, const float *dy, const float *x, const float *rstd,
                        const float *scale, int32_t n, int32_t cols);
void pal_rmsnorm_inputs_ref(double *dx, const double *dy, const double *x,
                            const double *rstd, const double *scale, int32_t n,
                            int32_t cols);
void pal_rmsnorm_weights(float *dscale, const float *dy, const float *x,
                         const float *rstd, int32_t n, int32_t cols);
void pal_rmsnorm_weights_ref(double *dscale, const double *dy, const double *x,
                             const double *rstd, int32_t n, int32_t cols);

#endif
