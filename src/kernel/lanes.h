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

PAL_INLINE float pal_lanes_total(const float lane[PAL_LANES])
{
    float sum = 0.0f;

    for (int j = 0; j < PAL_LANES; j++)
        sum += lane[j];
    return sum;
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

/* Largest of x[0..n), n >= 1. A NaN is passed over unless it comes first. */
PAL_INLINE float pal_lanes_max(const float *x, int32_t n)
{
    float lane[PAL_LANES], max = x[0];
    int32_t i = 0;

    for (int j = 0; j < PAL_LANES; j++)
        lane[j] = x[0];
    for (; i + PAL_LANES <= n; i += PAL_LANES)
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int j = 0; j < PAL_LANES; j++)
        max = lane[j] > max ? lane[j] : max;
    return max;
}

#endif
