#include "kernel/cross_entropy.h"

#include <math.h>

#include "kernel/clones.h"
#include "kernel/exponential.h"
#include "kernel/lanes.h"

/* e[j] = exp(z[j] - max), added to lane[]. */
PAL_INLINE void exponentials(float *restrict e, float lane[PAL_LANES],
                             const float *restrict z, float max)
{
#pragma omp simd
    for (int j = 0; j < PAL_LANES; j++) {
        e[j] = pal_expf(z[j] - max);
        lane[j] += e[j];
    }
}

/* The maximum may miss a NaN; the sum does not. */
PAL_CLONES
double pal_log_sum_exp(const float *z, int32_t vocab)
{
    float lane[PAL_LANES] = {0}, e[PAL_LANES], last[PAL_LANES];
    const float max = pal_lanes_max(z, vocab);
    int32_t i = 0;

    for (; i + PAL_LANES <= vocab; i += PAL_LANES)
        exponentials(e, lane, z + i, max);
    if (i < vocab) {
        pal_lanes_load(last, z + i, vocab - i, -INFINITY);
        exponentials(e, lane, last, max);
    }
    return log((double)pal_lanes_total(lane)) + (double)max;
}

double pal_cross_entropy(const float *z, int32_t vocab, int32_t target)
{
    return pal_log_sum_exp(z, vocab) - (double)z[target];
}

PAL_CLONES
double pal_softmax_seed(float *restrict dz, const float *restrict z, int32_t vocab,
                        float weight)
{
    float lane[PAL_LANES] = {0}, e[PAL_LANES], last[PAL_LANES];
    const float max = pal_lanes_max(z, vocab);
    float sum, factor;
    int32_t i = 0;

    for (; i + PAL_LANES <= vocab; i += PAL_LANES)
        exponentials(dz + i, lane, z + i, max);
    if (i < vocab) {
        pal_lanes_load(last, z + i, vocab - i, -INFINITY);
        exponentials(e, lane, last, max);
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            if (i + j < vocab)
                dz[i + j] = e[j];
    }
    sum = pal_lanes_total(lane);
    factor = weight / sum;
    for (int32_t v = 0; v < vocab; v++)
        dz[v] *= factor;
    return log((double)sum) + (double)max;
}

double pal_cross_entropy_seed(float *dz, const float *z, int32_t vocab, int32_t target,
                              float weight)
{
    const double log_sum = pal_softmax_seed(dz, z, vocab, weight);

    dz[target] -= weight;
    return log_sum - (double)z[target];
}

double pal_cross_entropy_ref(const double *z, int32_t vocab, int32_t target)
{
    double max = z[0], sum = 0.0;

    for (int32_t v = 1; v < vocab; v++)
        max = fmax(max, z[v]);
    for (int32_t v = 0; v < vocab; v++)
        sum += exp(z[v] - max);
    return log(sum) + max - z[target];
}

double pal_cross_entropy_seed_ref(double *dz, const double *z, int32_t vocab,
                                  int32_t target, double weight)
{
    double nll = pal_cross_entropy_ref(z, vocab, target);

    for (int32_t v = 0; v < vocab; v++)
        dz[v] = weight * (exp(z[v] - z[target] - nll) - (v == target));
    return nll;
}
