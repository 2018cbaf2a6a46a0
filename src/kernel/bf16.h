/* bf16.h -- rounding to bf16, the upper half of an FP32 number: 8 bits of exponent as
 * FP32 has, 7 of mantissa, so a relative error of at most 2^-8.
 *
 * To nearest, ties to even; beyond the largest bf16 number that is infinity. A NaN
 * stays one. What oneDNN, PyTorch and VCVTNEPS2BF16 do, denormals apart, which the
 * instruction takes as 0 and which are kept here.
 */
#ifndef PAL_KERNEL_BF16_H
#define PAL_KERNEL_BF16_H

#include <stdint.h>

/* y[i] = the upper halves of x[i] rounded. */
void pal_bf16_pack(uint16_t *y, const float *x, int64_t n);

/* y[i] = x[i] rounded, as FP32. */
void pal_bf16_round(float *y, const float *x, int64_t n);

float pal_bf16_ref(float x);

#endif
