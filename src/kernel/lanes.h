/* lanes.h -- sums and maxima in a fixed order that still vectorises.
 *
 * A sum over many elements runs over PAL_LANES partial sums, element i going to lane
 * i % PAL_LANES: the compiler may not choose an order itself without -ffast-math.
 */
#ifndef PAL_KERNEL_LANES_H
#define PAL_KERNEL_LANES_H

#include <stdint.h>

#include "kernel/clones.h"

enum { PAL_LANES = 16 };

/* lane[] = the first of x[0 .. n), `rest` where there is none. */
PAL_INLINE void pal_lanes_load(float lane[PAL_LANES], const float *x, int32_t n,
                               float rest)
{
#pragma omp simd
    for (int j = 0; j < PAL_LANES; j++)
        lane[j] = j < n ? x[j] : rest;
}

/* Halves are added to each other: the chain of additions stays short. (Three loops and
 * not one over halves, which the compiler would leave rolled.) */
PAL_INLINE float pal_lanes_total(float lane[PAL_LANES])
{
#pragma omp simd
    for (int j = 0; j < 8; j++)
        lane[j] += lane[j + 8];
#pragma omp simd
    for (int j = 0; j < 4; j++)
        lane[j] += lane[j + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

PAL_INLINE float pal_lanes_larger(float a, float b)
{
    return a > b ? a : b;
}

PAL_INLINE float pal_lanes_sum(const float *x, int32_t n)
{
    float lane[PAL_LANES] = {0}, last[PAL_LANES];
    int32_t i = 0;

    for (; i + PAL_LANES <= n; i += PAL_LANES)
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += x[i + j];
    if (i < n) {
        pal_lanes_load(last, x + i, n - i, 0.0f);
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += last[j];
    }
    return pal_lanes_total(lane);
}

PAL_INLINE float pal_lanes_dot(const float *x, const float *y, int32_t n)
{
    float lane[PAL_LANES] = {0}, last_x[PAL_LANES], last_y[PAL_LANES];
    int32_t i = 0;

    for (; i + PAL_LANES <= n; i += PAL_LANES)
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += x[i + j] * y[i + j];
    if (i < n) {
        pal_lanes_load(last_x, x + i, n - i, 0.0f);
        pal_lanes_load(last_y, y + i, n - i, 0.0f);
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += last_x[j] * last_y[j];
    }
    return pal_lanes_total(lane);
}

/* lane[j] = the larger of it and x[j]. */
PAL_INLINE void pal_lanes_raise(float lane[PAL_LANES], const float *x)
{
#pragma omp simd
    for (int j = 0; j < PAL_LANES; j++)
        lane[j] = pal_lanes_larger(x[j], lane[j]);
}

/* Largest of x[0..n), n >= 1. A NaN is passed over unless it comes first. Two chains of
 * comparisons, because each is slower than a load. */
PAL_INLINE float pal_lanes_max(const float *x, int32_t n)
{
    float lane[PAL_LANES], other[PAL_LANES], last[PAL_LANES];
    int32_t i = 0;

    for (int j = 0; j < PAL_LANES; j++)
        lane[j] = other[j] = x[0];
    for (; i + 2 * PAL_LANES <= n; i += 2 * PAL_LANES) {
        pal_lanes_raise(lane, x + i);
        pal_lanes_raise(other, x + i + PAL_LANES);
    }
    for (; i < n; i += PAL_LANES) {
        pal_lanes_load(last, x + i, n - i, x[0]);
        pal_lanes_raise(lane, last);
    }
    pal_lanes_raise(lane, other);
#pragma omp simd
    for (int j = 0; j < 8; j++)
        lane[j] = pal_lanes_larger(lane[j + 8], lane[j]);
#pragma omp simd
    for (int j = 0; j < 4; j++)
        lane[j] = pal_lanes_larger(lane[j + 4], lane[j]);
    lane[0] = pal_lanes_larger(lane[2], lane[0]);
    lane[1] = pal_lanes_larger(lane[3], lane[1]);
    return pal_lanes_larger(lane[1], lane[0]);
}

#endif
