/* difference.h -- a gradient against central finite differences, in double.
 *
 * Tolerances as test_gradient.c explains them. */
#ifndef TESTS_MODEL_DIFFERENCE_H
#define TESTS_MODEL_DIFFERENCE_H

#include "sample.h"

/* The loss at these weights. */
typedef double (*difference_value_t)(void *ctx, const double *weights);

static inline double difference_at(difference_value_t value, void *ctx, double *weights,
                                   int64_t at)
{
    const double step = 1e-5, kept = weights[at];
    double above, below;

    weights[at] = kept + step;
    above = value(ctx, weights);
    weights[at] = kept - step;
    below = value(ctx, weights);
    weights[at] = kept;
    return (above - below) / (2.0 * step);
}

/* s->grad, a few entries of every slice, is the gradient of value() at s->weights. */
static inline void assert_differences(const sample_t *s, const char *name,
                                      difference_value_t value, void *ctx)
{
    enum { ENTRIES = 8 };
    double *weights = calloc(s->count, sizeof *weights);
    pal_rng_t rng;

    assert_non_null(weights);
    pal_rng_init(&rng, (pal_key_t){{5}}, name);
    for (size_t i = 0; i < s->count; i++)
        weights[i] = (double)s->weights[i];
    for (int32_t k = 0; k < s->layout->slice_count; k++) {
        const pal_slice_t *slice = &s->layout->slices[k];
        double most = 0.0;

        for (int64_t i = 0; i < slice->size; i++)
            most = fmax(most, fabs((double)s->grad[slice->offset + i]));
        for (int i = 0; i < ENTRIES; i++) {
            int64_t at = slice->offset + pal_rng_below(&rng, (uint32_t)slice->size);
            double exact = difference_at(value, ctx, weights, at);

            if (!(fabs((double)s->grad[at] - exact) <= 1e-5 * most + 1e-7))
                fail_msg("%s: %s[%d] is %g, not %g", name, slice->name,
                         (int)(at - slice->offset), (double)s->grad[at], exact);
        }
    }
    free(weights);
}

#endif
