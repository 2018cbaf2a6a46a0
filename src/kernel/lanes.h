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

/* Halves are added to each other: the chain of additions stays short. (Three loops and
 * not one over halves, which the compiler would leave rolled.) */
PAL_INLINE float pal_lanes_total(float lane[PAL_LANES])
{
    for (int j = 0; j < 8; j++)
        lane[j] += lane[j + 8];
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
    float lane[PAL_LANES] = {0};
    int32_t i = 0;

    for (; i + PAL_LANES <= n; i += PAL_LANES)
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += x[i + j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += x[i];
    return pal_lanes_total(lane);
}

PAL_INLINE float pal_lanes_dot(const float *x, const float *y, int32_t n)
{
    float lane[PAL_LANES] = {0};
    int32_t i = 0;

    for (; i + PAL_LANES <= n; i += PAL_LANES)
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += x[i + j] * y[i + j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += x[i] * y[i];
    return pal_lanes_total(lane);
}

/* Largest of x[0..n), n >= 1. A NaN is passed over unless it comes first. */
PAL_INLINE float pal_lanes_max(const float *x, int32_t n)
{
    float lane[PAL_LANES], max = x[0];
    int32_t i = 0;

    for (int j = 0; j < PAL_LANES; j++)
        lane[j] = x[0];
    for (; i + PAL_LANES <= n; i += PAL_LANES)
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] = pal_lanes_larger(x[i + j], lane[j]);
    for (; i < n; i++)
        max = pal_lanes_larger(x[i], max);
    for (int j = 0; j < 8; j++)
        lane[j] = pal_lanes_larger(lane[j + 8], lane[j]);
    for (int j = 0; j < 4; j++)
        lane[j] = pal_lanes_larger(lane[j + 4], lane[j]);
    lane[0] = pal_lanes_larger(lane[2], lane[0]);
    lane[1] = pal_lanes_larger(lane[3], lane[1]);
    return pal_lanes_larger(pal_lanes_larger(lane[1], lane[0]), max);
}

#endif
