/* activation.h -- what stands between the two products of an MLP.
 *
 * GELU, tanh form (Hendrycks & Gimpel 2016), as GPT-2 uses it:
 *     x (1 + tanh u) / 2 = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
 * SwiGLU (Shazeer 2020), as Llama uses it: silu(gate) up, silu(g) = g sigmoid(g).
 */
#ifndef PAL_KERNEL_ACTIVATION_H
#define PAL_KERNEL_ACTIVATION_H

#include <stdint.h>

/* y = gelu(x), n elements. */
void pal_gelu_forward(float *y, const float *x, int64_t n);
void pal_gelu_forward_ref(double *y, const double *x, int64_t n);

/* d *= gelu'(x): turns d(loss)/dy into d(loss)/dx in place. */
void pal_gelu_backward(float *d, const float *x, int64_t n);
void pal_gelu_backward_ref(double *d, const double *x, int64_t n);

/* y = silu(gate) up, n elements each. */
void pal_swiglu_forward(float *y, const float *gate, const float *up, int64_t n);
void pal_swiglu_forward_ref(double *y, const double *gate, const double *up, int64_t n);

/* dup comes as d(loss)/dy and is turned into d(loss)/d(up) in place; dgate is written.
 */
void pal_swiglu_backward(float *dup, float *dgate, const float *gate, const float *up,
                         int64_t n);
void pal_swiglu_backward_ref(double *dup, double *dgate, const double *gate,
                             const double *up, int64_t n);

#endif
