/* activation.h -- GELU, tanh form (Hendrycks & Gimpel 2016), as GPT-2 uses it:
 * x (1 + tanh u) / 2 = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). */
#ifndef PAL_KERNEL_ACTIVATION_H
#define PAL_KERNEL_ACTIVATION_H

#include <stdint.h>

/* y = gelu(x), n elements. */
void pal_gelu_forward(float *y, const float *x, int64_t n);
void pal_gelu_forward_ref(double *y, const double *x, int64_t n);

/* d *= gelu'(x): turns d(loss)/dy into d(loss)/dx in place. */
void pal_gelu_backward(float *d, const float *x, int64_t n);
void pal_gelu_backward_ref(double *d, const double *x, int64_t n);

#endif
