#include "kernel/rotary.h"

#include <math.h>
#include <stddef.h>

#include "kernel/clones.h"

static double angle(int32_t position, int32_t d, int32_t size, double base)
{
    return position * pow(base, -2.0 * d / size);
}

void pal_rotary_table(float *table, int32_t length, int32_t size, double base)
{
    for (int32_t p = 0; p < length; p++, table += size)
        for (int32_t d = 0; d < size / 2; d++) {
            table[d] = (float)cos(angle(p, d, size, base));
            table[size / 2 + d] = (float)sin(angle(p, d, size, base));
        }
}

/* sign -1 turns back. */
PAL_INLINE void turn(float *restrict low, float *restrict high,
                     const float *restrict cosine, const float *restrict sine,
                     float sign, int32_t half)
{
    for (int32_t d = 0; d < half; d++) {
        const float a = low[d], b = high[d];

        low[d] = a * cosine[d] - b * (sign * sine[d]);
        high[d] = b * cosine[d] + a * (sign * sine[d]);
    }
}

PAL_CLONES
void pal_rotary_forward(float *x, int32_t stride, const float *table, int32_t n,
                        int32_t heads, int32_t size)
{
    const int32_t half = size / 2;

    for (int32_t i = 0; i < n; i++, x += stride, table += size)
        for (int32_t at = 0; at < heads * size; at += size)
            turn(x + at, x + at + half, table, table + half, 1.0f, half);
}

PAL_CLONES
void pal_rotary_backward(float *dx, int32_t stride, const float *table, int32_t n,
                         int32_t heads, int32_t size)
{
    const int32_t half = size / 2;

    for (int32_t i = 0; i < n; i++, dx += stride, table += size)
        for (int32_t at = 0; at < heads * size; at += size)
            turn(dx + at, dx + at + half, table, table + half, -1.0f, half);
}

static void turn_ref(double *x, int32_t stride, int32_t first, double base, int32_t n,
                     int32_t heads, int32_t size, double sign)
{
    for (int32_t i = 0; i < n; i++)
        for (int32_t h = 0; h < heads; h++)
            for (int32_t d = 0; d < size / 2; d++) {
                double *low = x + (size_t)i * stride + (size_t)h * size + d;
                double *high = low + size / 2;
                double turned = sign * angle(first + i, d, size, base);
                double a = *low, b = *high;

                *low = a * cos(turned) - b * sin(turned);
                *high = b * cos(turned) + a * sin(turned);
            }
}

void pal_rotary_forward_ref(double *x, int32_t stride, int32_t first, double base,
                            int32_t n, int32_t heads, int32_t size)
{
    turn_ref(x, stride, first, base, n, heads, size, 1.0);
}

void pal_rotary_backward_ref(double *dx, int32_t stride, int32_t first, double base,
                             int32_t n, int32_t heads, int32_t size)
{
    turn_ref(dx, stride, first, base, n, heads, size, -1.0);
}
