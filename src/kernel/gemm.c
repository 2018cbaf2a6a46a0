#include "kernel/gemm.h"

#include <cblas.h>
#include <stddef.h>

void pal_gemm_forward(float *y, const float *x, const float *w, int32_t n, int32_t in,
                      int32_t out)
{
    if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, out, in, 1.0f, x, in, w,
                    in, 1.0f, y, out);
}

void pal_gemm_inputs(float *dx, const float *dy, const float *w, int32_t n, int32_t in,
                     int32_t out)
{
    if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, in, out, 1.0f, dy,
                    out, w, in, 0.0f, dx, in);
}

void pal_gemm_weights(float *dw, const float *dy, const float *x, int32_t n, int32_t in,
                      int32_t out)
{
    if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, n, 1.0f, dy, out,
                    x, in, 1.0f, dw, in);
}

void pal_gemm_threads(int threads)
{
    openblas_set_num_threads(threads);
}

const char *pal_gemm_name(void)
{
    return openblas_get_config();
}

void pal_gemm_forward_ref(double *y, const double *x, const double *w, int32_t n,
                          int32_t in, int32_t out)
{
    for (size_t t = 0; t < (size_t)n; t++)
        for (size_t o = 0; o < (size_t)out; o++)
            for (size_t i = 0; i < (size_t)in; i++)
                y[t * out + o] += x[t * in + i] * w[o * in + i];
}

void pal_gemm_inputs_ref(double *dx, const double *dy, const double *w, int32_t n,
                         int32_t in, int32_t out)
{
    for (size_t t = 0; t < (size_t)n; t++)
        for (size_t i = 0; i < (size_t)in; i++) {
            double sum = 0.0;

            for (size_t o = 0; o < (size_t)out; o++)
                sum += dy[t * out + o] * w[o * in + i];
            dx[t * in + i] = sum;
        }
}

void pal_gemm_weights_ref(double *dw, const double *dy, const double *x, int32_t n,
                          int32_t in, int32_t out)
{
    for (size_t t = 0; t < (size_t)n; t++)
        for (size_t o = 0; o < (size_t)out; o++)
            for (size_t i = 0; i < (size_t)in; i++)
                dw[o * in + i] += dy[t * out + o] * x[t * in + i];
}
