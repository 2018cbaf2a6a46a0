#include "model/compress.h"

#include <math.h>
#include <string.h>

static int chosen(const pal_layout_t *layout, const uint8_t *slices, int32_t i)
{
    return pal_slice_is_matrix(layout->slices[i].kind) && (!slices || slices[i]);
}

static void quantize_row(float *w, int32_t n, float levels)
{
    float most = 0.0f, step;

    for (int32_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(w[i]));
    step = most / levels;
    for (int32_t i = 0; step > 0.0f && i < n; i++)
        w[i] = step * nearbyintf(w[i] / step);
}

int pal_quantize(const pal_layout_t *layout, const uint8_t *slices, int bits,
                 float *weights, pal_error_t *err)
{
    if (bits != 8 && bits != 4)
        return PAL_REJECT(err, "weights of %d bits; there are 8 and 4", bits);
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];

        for (int32_t row = 0; chosen(layout, slices, i) && row < slice->rows; row++)
            quantize_row(weights + slice->offset + (int64_t)row * slice->cols,
                         slice->cols, (float)((1 << (bits - 1)) - 1));
    }
    return PAL_OK;
}

/* Magnitudes in order: the bits of a float without its sign, NaN above infinity. */
static uint32_t magnitude(float w)
{
    uint32_t bits;

    memcpy(&bits, &w, sizeof bits);
    return bits & 0x7fffffffu;
}

static int64_t count_upto(const float *w, int64_t n, uint32_t limit)
{
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++)
        count += magnitude(w[i]) <= limit;
    return count;
}

/* The k-th smallest magnitude of w[0..n), 1 <= k <= n, by bisection. */
static uint32_t kth_magnitude(const float *w, int64_t n, int64_t k)
{
    uint32_t low = 0, high = 0x7fffffffu;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (count_upto(w, n, middle) >= k)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void prune(float *w, int64_t n, int64_t k)
{
    uint32_t limit;
    int64_t equals;

    if (k == 0)
        return;
    limit = kth_magnitude(w, n, k);
    equals = k - (limit > 0 ? count_upto(w, n, limit - 1) : 0);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t m = magnitude(w[i]);

        if (m < limit || (m == limit && equals-- > 0))
            w[i] = 0.0f;
    }
}

int pal_prune(const pal_layout_t *layout, const uint8_t *slices, double fraction,
              float *weights, pal_error_t *err)
{
    if (!(fraction >= 0.0 && fraction <= 1.0))
        return PAL_REJECT(err, "a fraction of %g to prune; it must be in 0 to 1",
                          fraction);
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];

        if (chosen(layout, slices, i))
            prune(weights + slice->offset, slice->size,
                  (int64_t)(fraction * (double)slice->size));
    }
    return PAL_OK;
}
