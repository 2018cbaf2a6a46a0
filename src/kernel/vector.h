/* vector.h -- passes over flat ranges of weights or gradients.
 *
 * Sums run in double precision in a fixed order; a NaN in gives a NaN out.
 */
#ifndef PAL_KERNEL_VECTOR_H
#define PAL_KERNEL_VECTOR_H

#include <stdint.h>

/* x . y, and x . x */
double pal_dot(const float *x, const float *y, int64_t n);
double pal_dot_ref(const double *x, const double *y, int64_t n);
double pal_norm_squared(const float *x, int64_t n);
double pal_norm_squared_ref(const double *x, int64_t n);

/* x *= a */
void pal_scale(float *x, float a, int64_t n);
void pal_scale_ref(double *x, double a, int64_t n);

/* y = a y + b x; what y was is not read if a is 0. y may be x. */
void pal_axpby(float *y, float a, float b, const float *x, int64_t n);
void pal_axpby_ref(double *y, double a, double b, const double *x, int64_t n);

/* x[i] = 0 where its sign is not that of y[i]; zero has a sign of its own. */
void pal_sign_mask(float *x, const float *y, int64_t n);
void pal_sign_mask_ref(double *x, const double *y, int64_t n);

#endif
