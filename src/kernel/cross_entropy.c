#include "kernel/cross_entropy.h"

#include <math.h>

#include "kernel/clones.h"
#include "kernel/exponential.h"
#include "kernel/lanes.h"

/* The maximum may miss a NaN; the sum does not. */
PAL_CLONES
double pal_cross_entropy(const float *z, int32_t vocab, int32_t target)
{
    float lane[PAL_LANES] = {0};
    float max = pal_lanes_max(z, vocab);
    int32_t i = 0;

    for (; i + PAL_LANES <= vocab; i += PAL_LANES)
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += pal_expf(z[i + j] - max);
    for (int j = 0; i < vocab; i++, j++)
        lane[j] += pal_expf(z[i] - max);
    return log((double)pal_lanes_total(lane)) + (double)max - (double)z[target];
}

PAL_CLONES
double pal_cross_entropy_seed(float *restrict dz, const float *restrict z,
                              int32_t vocab, int32_t target, float weight)
{
    float max = pal_lanes_max(z, vocab), sum, factor;

    for (int32_t v = 0; v < vocab; v++)
        dz[v] = pal_expf(z[v] - max);
    sum = pal_lanes_sum(dz, vocab);
    factor = weight / sum;
    for (int32_t v = 0; v < vocab; v++)
        dz[v] *= factor;
    dz[target] -= weight;
    return log((double)sum) + (double)max - (double)z[target];
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
