#include "kernel/activation.h"

#include <math.h>

#include "kernel/clones.h"
#include "kernel/exponential.h"
#include "kernel/threads.h"

#define SQRT_2_OVER_PI 0.797884560802865356
#define CUBIC 0.044715

/* Written with the sigmoid and not with tanh: 1 + tanh(u) cancels for u < 0. */
PAL_CLONES
static void gelu_forward(float *restrict y, const float *restrict x, int64_t n)
{
    const float a = (float)(-2.0 * SQRT_2_OVER_PI);
    const float b = (float)(-2.0 * SQRT_2_OVER_PI * CUBIC);

    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] / (1.0f + pal_expf(x[i] * (a + b * x[i] * x[i])));
}

void pal_gelu_forward(float *y, const float *x, int64_t n)
{
    PAL_PARALLEL
    for (int64_t i = 0; i < n; i += PAL_PIECE)
        gelu_forward(y + i, x + i, pal_piece(i, n, PAL_PIECE));
}

/* With e = exp(-2u): sigmoid = 1/(1+e), its derivative by 2u is e/(1+e)^2. */
PAL_CLONES
static void gelu_backward(float *restrict d, const float *restrict x, int64_t n)
{
    const float a = (float)(-2.0 * SQRT_2_OVER_PI);
    const float b = (float)(-2.0 * SQRT_2_OVER_PI * CUBIC);

    for (int64_t i = 0; i < n; i++) {
        float square = x[i] * x[i];
        float e = pal_expf(x[i] * (a + b * square));
        float s = 1.0f / (1.0f + e);

        d[i] *= s - x[i] * (a + 3.0f * b * square) * (e * s) * s;
    }
}

void pal_gelu_backward(float *d, const float *x, int64_t n)
{
    PAL_PARALLEL
    for (int64_t i = 0; i < n; i += PAL_PIECE)
        gelu_backward(d + i, x + i, pal_piece(i, n, PAL_PIECE));
}

PAL_CLONES
static void swiglu_forward(float *restrict y, const float *restrict gate,
                           const float *restrict up, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = gate[i] / (1.0f + pal_expf(-gate[i])) * up[i];
}

void pal_swiglu_forward(float *y, const float *gate, const float *up, int64_t n)
{
    PAL_PARALLEL
    for (int64_t i = 0; i < n; i += PAL_PIECE)
        swiglu_forward(y + i, gate + i, up + i, pal_piece(i, n, PAL_PIECE));
}

/* silu' = s + g s (1 - s); with e = exp(-g), 1 - s = e s does not cancel. */
PAL_CLONES
static void swiglu_backward(float *restrict dup, float *restrict dgate,
                            const float *restrict gate, const float *restrict up,
                            int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float e = pal_expf(-gate[i]), s = 1.0f / (1.0f + e);

        dgate[i] = dup[i] * up[i] * (s + gate[i] * (e * s) * s);
        dup[i] *= gate[i] * s;
    }
}

void pal_swiglu_backward(float *dup, float *dgate, const float *gate, const float *up,
                         int64_t n)
{
    PAL_PARALLEL
    for (int64_t i = 0; i < n; i += PAL_PIECE)
        swiglu_backward(dup + i, dgate + i, gate + i, up + i,
                        pal_piece(i, n, PAL_PIECE));
}

void pal_gelu_forward_ref(double *y, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double u = SQRT_2_OVER_PI * (x[i] + CUBIC * x[i] * x[i] * x[i]);

        y[i] = 0.5 * x[i] * (1.0 + tanh(u));
    }
}

void pal_gelu_backward_ref(double *d, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double u = SQRT_2_OVER_PI * (x[i] + CUBIC * x[i] * x[i] * x[i]);
        double du = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x[i] * x[i]);
        double t = tanh(u);

        d[i] *= 0.5 * (1.0 + t) + 0.5 * x[i] * (1.0 - t * t) * du;
    }
}

void pal_swiglu_forward_ref(double *y, const double *gate, const double *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
}

void pal_swiglu_backward_ref(double *dup, double *dgate, const double *gate,
                             const double *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double s = 1.0 / (1.0 + exp(-gate[i]));

        dgate[i] = dup[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
        dup[i] *= gate[i] * s;
    }
}
