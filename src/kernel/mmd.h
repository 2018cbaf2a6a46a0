/* mmd.h -- maximum mean discrepancy of two samples (Gretton et al. 2012).
 *
 * x and y are n vectors each, (n, cols), n >= 1. With the kernel of several widths (Li,
 * Swersky & Zemel 2015)
 *     k(a, b) = sum over i = 0 .. 4 of exp(-|a - b|^2 / (2^i bandwidth)),
 *     MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),
 * each mean over all n^2 pairs, a vector with itself among them: the biased estimate,
 * which is never negative and 0 for equal samples.
 */
#ifndef PAL_KERNEL_MMD_H
#define PAL_KERNEL_MMD_H

#include <stdint.h>

/* A quarter of the mean squared distance of two different vectors of the 2n. */
double pal_mmd_bandwidth(const float *x, const float *y, int32_t n, int32_t cols);
double pal_mmd_bandwidth_ref(const double *x, const double *y, int32_t n, int32_t cols);

/* MMD^2, and scale times its gradient by x added to dx (n, cols) unless dx is NULL. The
 * bandwidth, > 0, is a constant. NaN in gives NaN out. */
double pal_mmd(float *dx, const float *x, const float *y, int32_t n, int32_t cols,
               double bandwidth, double scale);
double pal_mmd_ref(double *dx, const double *x, const double *y, int32_t n,
                   int32_t cols, double bandwidth, double scale);

#endif
