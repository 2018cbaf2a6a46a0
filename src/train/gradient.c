#include "train/gradient.h"

#include <math.h>

#include "kernel/vector.h"

static int trains(const uint8_t *train, int32_t slice)
{
    return !train || train[slice];
}

void pal_gradient_axpby(const pal_layout_t *layout, const uint8_t *train, float *y,
                        double a, double b, const float *x)
{
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *s = &layout->slices[i];

        if (trains(train, i))
            pal_axpby(y + s->offset, (float)a, (float)b, x + s->offset, s->size);
    }
}

double pal_gradient_dot(const pal_layout_t *layout, const uint8_t *train,
                        const float *x, const float *y)
{
    double sum = 0;

    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *s = &layout->slices[i];

        if (trains(train, i))
            sum += pal_dot(x + s->offset, y + s->offset, s->size);
    }
    return sum;
}

double pal_gradient_norm(const pal_layout_t *layout, const uint8_t *train,
                         const float *x)
{
    return sqrt(pal_gradient_dot(layout, train, x, x));
}

void pal_gradient_norms(const pal_layout_t *layout, const uint8_t *train,
                        const float *x, double *norms)
{
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *s = &layout->slices[i];

        norms[i] =
            trains(train, i) ? sqrt(pal_norm_squared(x + s->offset, s->size)) : 0;
    }
}

double pal_gradient_normalize(const pal_layout_t *layout, const uint8_t *train,
                              float *x, double length)
{
    double norm = pal_gradient_norm(layout, train, x);

    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *s = &layout->slices[i];

        if (trains(train, i) && norm != 0)
            pal_scale(x + s->offset, (float)(length / norm), s->size);
    }
    return norm;
}

void pal_gradient_sign_mask(const pal_layout_t *layout, const uint8_t *train, float *x,
                            const float *y)
{
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *s = &layout->slices[i];

        if (trains(train, i))
            pal_sign_mask(x + s->offset, y + s->offset, s->size);
    }
}

double pal_gradient_project(const pal_layout_t *layout, const uint8_t *train, float *x,
                            const float *y)
{
    double dot = pal_gradient_dot(layout, train, x, y);
    double square = pal_gradient_dot(layout, train, y, y);

    if (square != 0)
        pal_gradient_axpby(layout, train, x, 1, -dot / square, y);
    return dot;
}
