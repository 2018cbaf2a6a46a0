/* gemm.h -- the matrix products of a linear layer y = x W^T.
 *
 * Row-major: x (n, in), W (out, in), y (n, out). The only file that knows the BLAS.
 * n may be 0. Nothing may overlap.
 */
#ifndef PAL_KERNEL_GEMM_H
#define PAL_KERNEL_GEMM_H

#include <stdint.h>

/* y += x W^T: fill y with the bias or the residual first. */
void pal_gemm_forward(float *y, const float *x, const float *w, int32_t n, int32_t in,
                      int32_t out);
void pal_gemm_forward_ref(double *y, const double *x, const double *w, int32_t n,
                          int32_t in, int32_t out);

/* dx = dy W. */
void pal_gemm_inputs(float *dx, const float *dy, const float *w, int32_t n, int32_t in,
                     int32_t out);
void pal_gemm_inputs_ref(double *dx, const double *dy, const double *w, int32_t n,
                         int32_t in, int32_t out);

/* dW += dy^T x. */
void pal_gemm_weights(float *dw, const float *dy, const float *x, int32_t n, int32_t in,
                      int32_t out);
void pal_gemm_weights_ref(double *dw, const double *dy, const double *x, int32_t n,
                          int32_t in, int32_t out);

/* Threads a product may use, for the whole process. The order of its sums, and so the
 * last bits of a result, may depend on it. */
void pal_gemm_threads(int threads);

/* Library, version and core type it chose, as it says itself; static. */
const char *pal_gemm_name(void);

#endif
