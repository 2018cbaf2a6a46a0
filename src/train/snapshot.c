#include "train/snapshot.h"

#include <math.h>
#include <string.h>

#include "kernel/vector.h"

void pal_snapshot_copy(const pal_layout_t *layout, float *to, const float *from)
{
    memcpy(to, from, (size_t)layout->count * sizeof *to);
}

void pal_snapshot_combine(const pal_layout_t *layout, float *out, int n,
                          const double *c, const float *const *thetas)
{
    for (int64_t i = 0; i < layout->count; i++) {
        double sum = 0;

        for (int k = 0; k < n; k++)
            sum += c[k] * thetas[k][i];
        out[i] = (float)sum;
    }
}

void pal_snapshot_noise(const pal_layout_t *layout, const uint8_t *train,
                        float *weights, double sigma, pal_noise_t scale, pal_rng_t *rng)
{
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];
        float *w = weights + slice->offset;
        double deviation = sigma;

        if (train && !train[i])
            continue;
        if (scale == PAL_NOISE_RELATIVE)
            deviation *= sqrt(pal_norm_squared(w, slice->size) / (double)slice->size);
        for (int64_t j = 0; j < slice->size; j++)
            w[j] = (float)(w[j] + deviation * pal_rng_normal(rng));
    }
}

void pal_snapshot_shrink_perturb(const pal_layout_t *layout, const uint8_t *train,
                                 float *weights, double alpha, double beta,
                                 pal_rng_t *rng)
{
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];
        double reach = alpha * beta * sqrt(6.0 / (slice->rows + slice->cols));
        float *w = weights + slice->offset;

        if (train && !train[i])
            continue;
        pal_scale(w, (float)(1 - alpha), slice->size);
        for (int64_t j = 0; j < slice->size && pal_slice_is_matrix(slice->kind); j++)
            w[j] = (float)(w[j] + reach * (2 * pal_rng_uniform(rng) - 1));
    }
}
