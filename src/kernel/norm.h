/* norm.h -- LayerNorm (Ba et al. 2016) over the rows of x (n, cols).
 *
 * y = scale * (x - mean) * rstd + shift, rstd = 1 / sqrt(variance + PAL_NORM_EPSILON)
 * with the variance over cols (biased). scale and shift are (cols), mean and rstd (n).
 */
#ifndef PAL_KERNEL_NORM_H
#define PAL_KERNEL_NORM_H

#include <stdint.h>

#define PAL_NORM_EPSILON 1e-5

/* mean and rstd are written for the backward pass. */
void pal_norm_forward(float *y, float *mean, float *rstd, const float *x,
                      const float *scale, const float *shift, int32_t n, int32_t cols);
void pal_norm_forward_ref(double *y, double *mean, double *rstd, const double *x,
                          const double *scale, const double *shift, int32_t n,
                          int32_t cols);

/* Add to dx (n, cols) d(loss)/dx. */
void pal_norm_inputs(float *dx, const float *dy, const float *x, const float *mean,
                     const float *rstd, const float *scale, int32_t n, int32_t cols);
void pal_norm_inputs_ref(double *dx, const double *dy, const double *x,
                         const double *mean, const double *rstd, const double *scale,
                         int32_t n, int32_t cols);

/* Add to dscale and dshift (cols), rows in order. */
void pal_norm_weights(float *dscale, float *dshift, const float *dy, const float *x,
                      const float *mean, const float *rstd, int32_t n, int32_t cols);
void pal_norm_weights_ref(double *dscale, double *dshift, const double *dy,
                          const double *x, const double *mean, const double *rstd,
                          int32_t n, int32_t cols);

#endif
