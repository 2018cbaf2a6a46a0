/* gemm.h -- the matrix products of a linear layer y = x W^T.
 *
 * Row-major: x (n, in), W (out, in), y (n, out). Nothing else knows the BLAS (gemm.c)
 * or oneDNN (onednn.h). n may be 0. Nothing may overlap.
 *
 * Under PAL_BF16 both factors are rounded to bf16 (bf16.h) and their products summed in
 * FP32; what is read to be added to, and every result, is FP32. Who sums -- AMX or
 * AVX512_BF16 through oneDNN, or else the BLAS, given the rounded numbers -- decides
 * the order of the sums and with it the last bits of a result, as the core type does
 * under FP32.
 */
#ifndef PAL_KERNEL_GEMM_H
#define PAL_KERNEL_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef enum { PAL_FP32, PAL_BF16, PAL_PRECISIONS } pal_precision_t;
extern const char *const pal_precision_names[PAL_PRECISIONS]; /* "fp32", "bf16" */

/* How products are computed; where one is asked for, NULL is FP32. */
typedef struct {
    pal_precision_t precision;
    float *room; /* PAL_BF16: pal_gemm_room() of the largest product; borrowed */
} pal_gemm_t;

/* Take what the BLAS needs for pal_threads() threads, before the first product: what it
 * does not get then, it waits for without end. Nothing if it has been taken. Not while
 * a kernel runs. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_gemm_prepare(pal_error_t *err);

/* Floats of room for the three products of a layer: the two largest of x, W and y. */
size_t pal_gemm_room(pal_precision_t precision, int32_t n, int32_t in, int32_t out);

/* y += x W^T: fill y with the bias or the residual first. */
void pal_gemm_forward(const pal_gemm_t *how, float *y, const float *x, const float *w,
                      int32_t n, int32_t in, int32_t out);
void pal_gemm_forward_ref(double *y, const double *x, const double *w, int32_t n,
                          int32_t in, int32_t out);

/* dx = dy W. */
void pal_gemm_inputs(const pal_gemm_t *how, float *dx, const float *dy, const float *w,
                     int32_t n, int32_t in, int32_t out);
void pal_gemm_inputs_ref(double *dx, const double *dy, const double *w, int32_t n,
                         int32_t in, int32_t out);

/* dW += dy^T x. */
void pal_gemm_weights(const pal_gemm_t *how, float *dw, const float *dy, const float *x,
                      int32_t n, int32_t in, int32_t out);
void pal_gemm_weights_ref(double *dw, const double *dy, const double *x, int32_t n,
                          int32_t in, int32_t out);

/* Who computes: library, version and core type, as it says itself; static. */
const char *pal_gemm_name(pal_precision_t precision);

#endif
