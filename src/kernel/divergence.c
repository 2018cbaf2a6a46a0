#include "kernel/divergence.h"

#include <math.h>
#include <stddef.h>

#include "kernel/clones.h"
#include "kernel/exponential.h"
#include "kernel/lanes.h"

/* Sums over a row of e = exp(x - max x): mass = sum e, and gap = sum e (x' - y') with
 * x' = x - max x, y' = y - max y. The maxima may miss a NaN; the sums do not. */
typedef struct {
    float x_max, y_max;
    float mass, gap;
} row_t;

/* What x[0..n), n <= PAL_LANES, adds to each lane; without a pair y' = 0. */
PAL_INLINE void add_lanes(float *mass, float *gap, const row_t *row, const float *x,
                          const float *y, int32_t n, int pair)
{
    for (int32_t j = 0; j < n; j++) {
        float above = x[j] - row->x_max, e = pal_expf(above);

        mass[j] += e;
        gap[j] += e * (pair ? above - (y[j] - row->y_max) : above);
    }
}

PAL_INLINE row_t pair_sums(const float *x, const float *y, int32_t n, int pair)
{
    float mass[PAL_LANES] = {0}, gap[PAL_LANES] = {0};
    row_t row = {pal_lanes_max(x, n), pair ? pal_lanes_max(y, n) : 0, 0, 0};
    int32_t i = 0;

    for (; i + PAL_LANES <= n; i += PAL_LANES)
        add_lanes(mass, gap, &row, x + i, y + i, PAL_LANES, pair);
    add_lanes(mass, gap, &row, x + i, y + i, n - i, pair);
    row.mass = pal_lanes_total(mass);
    row.gap = pal_lanes_total(gap);
    return row;
}

PAL_INLINE row_t row_sums(const float *x, int32_t n)
{
    return pair_sums(x, x, n, 0);
}

/* The gradient's difference is taken before anything is multiplied, so that it is 0 at
 * p = q also where the compiler fuses multiply and add. */
PAL_CLONES
double pal_kl(float *restrict dz, const float *restrict z, const float *restrict target,
              int32_t vocab, float weight)
{
    const row_t q = pair_sums(target, z, vocab, 1);
    const float mass = row_sums(z, vocab).mass, ratio = mass / q.mass;
    const float factor = weight / mass;

    for (int32_t v = 0; dz && v < vocab; v++)
        dz[v] =
            factor * (pal_expf(z[v] - q.y_max) - ratio * pal_expf(target[v] - q.x_max));
    return (double)q.gap / (double)q.mass + log((double)mass) - log((double)q.mass);
}

PAL_CLONES
double pal_reverse_kl(float *restrict dz, const float *restrict z,
                      const float *restrict target, int32_t vocab, float weight)
{
    const row_t p = pair_sums(z, target, vocab, 1);
    const float factor = weight / p.mass, mean = p.gap / p.mass;

    for (int32_t v = 0; dz && v < vocab; v++)
        dz[v] = factor * pal_expf(z[v] - p.x_max) *
                ((z[v] - p.x_max) - (target[v] - p.y_max) - mean);
    return (double)p.gap / (double)p.mass - log((double)p.mass) +
           log((double)row_sums(target, vocab).mass);
}

PAL_CLONES
double pal_entropy(float *restrict dz, const float *restrict z, int32_t vocab,
                   float weight)
{
    const row_t p = row_sums(z, vocab);
    const float factor = -weight / p.mass, mean = p.gap / p.mass;

    for (int32_t v = 0; dz && v < vocab; v++)
        dz[v] = factor * pal_expf(z[v] - p.x_max) * ((z[v] - p.x_max) - mean);
    return log((double)p.mass) - (double)p.gap / (double)p.mass;
}

PAL_CLONES
double pal_uniform_kl(float *restrict dz, const float *restrict z, int32_t vocab,
                      float weight)
{
    const row_t p = row_sums(z, vocab);
    const float factor = weight / p.mass, share = p.mass / (float)vocab;
    const double mean = (double)pal_lanes_sum(z, vocab) / vocab;

    for (int32_t v = 0; dz && v < vocab; v++)
        dz[v] = factor * (pal_expf(z[v] - p.x_max) - share);
    return log((double)p.mass) - log((double)vocab) + (double)p.x_max - mean;
}

/* log sum exp(z). */
static double log_mass(const double *z, int32_t vocab)
{
    double max = z[0], sum = 0.0;

    for (int32_t v = 1; v < vocab; v++)
        max = fmax(max, z[v]);
    for (int32_t v = 0; v < vocab; v++)
        sum += exp(z[v] - max);
    return log(sum) + max;
}

double pal_kl_ref(double *dz, const double *z, const double *target, int32_t vocab,
                  double weight)
{
    const double p_mass = log_mass(z, vocab), q_mass = log_mass(target, vocab);
    double value = 0.0;

    for (int32_t v = 0; v < vocab; v++) {
        const double p = z[v] - p_mass, q = target[v] - q_mass;

        value += exp(q) * (q - p);
        if (dz)
            dz[v] = weight * (exp(p) - exp(q));
    }
    return value;
}

double pal_reverse_kl_ref(double *dz, const double *z, const double *target,
                          int32_t vocab, double weight)
{
    const double p_mass = log_mass(z, vocab), q_mass = log_mass(target, vocab);
    const double value = pal_kl_ref(NULL, target, z, vocab, weight);

    for (int32_t v = 0; dz && v < vocab; v++) {
        const double p = z[v] - p_mass, q = target[v] - q_mass;

        dz[v] = weight * exp(p) * (p - q - value);
    }
    return value;
}

double pal_entropy_ref(double *dz, const double *z, int32_t vocab, double weight)
{
    const double mass = log_mass(z, vocab);
    double value = 0.0;

    for (int32_t v = 0; v < vocab; v++)
        value -= exp(z[v] - mass) * (z[v] - mass);
    for (int32_t v = 0; dz && v < vocab; v++)
        dz[v] = -weight * exp(z[v] - mass) * (z[v] - mass + value);
    return value;
}

double pal_uniform_kl_ref(double *dz, const double *z, int32_t vocab, double weight)
{
    const double mass = log_mass(z, vocab);
    double value = -log((double)vocab);

    for (int32_t v = 0; v < vocab; v++) {
        value -= (z[v] - mass) / vocab;
        if (dz)
            dz[v] = weight * (exp(z[v] - mass) - 1.0 / vocab);
    }
    return value;
}
