/* rotary.h -- rotary positions (Su et al. 2021), the half-split form of Llama.
 *
 * Of a head x of size D at position p, the components d and d + D/2 are turned by the
 * angle p base^(-2d/D), 0 <= d < D/2. Queries and keys turned so have dot products that
 * depend on the distance of their positions alone.
 */
#ifndef PAL_KERNEL_ROTARY_H
#define PAL_KERNEL_ROTARY_H

#include <stdint.h>

/* table (length, size): row p has the size/2 cosines of position p, then the sines. */
void pal_rotary_table(float *table, int32_t length, int32_t size, double base);

/* Turn the first `heads` heads of each of n rows of x (n, stride) in place; table is
 * that of the n positions, its first row the first row's. */
void pal_rotary_forward(float *x, int32_t stride, const float *table, int32_t n,
                        int32_t heads, int32_t size);
void pal_rotary_forward_ref(double *x, int32_t stride, int32_t first, double base,
                            int32_t n, int32_t heads, int32_t size);

/* Turns a gradient back: the transpose, which is the inverse. */
void pal_rotary_backward(float *dx, int32_t stride, const float *table, int32_t n,
                         int32_t heads, int32_t size);
void pal_rotary_backward_ref(double *dx, int32_t stride, int32_t first, double base,
                             int32_t n, int32_t heads, int32_t size);

#endif
