/* difference.h -- a gradient against central finite differences, in double.
 *
 * Tolerances. The differences are taken in double with a step of 1e-5: their own error,
 * step^2 f'''/6 and 1e-16/step, is below 1e-9. What is left is the float arithmetic of
 * the fast path: a chain of about 40 roundings of 6e-8, grown a few times by the norms,
 * so 1e-5 of the largest entry of a slice's gradient. */
#ifndef TESTS_MODEL_DIFFERENCE_H
#define TESTS_MODEL_DIFFERENCE_H

#include "sample.h"

/* The loss at these values: weights, or what they are made of. */
typedef double (*difference_value_t)(void *ctx, const double *values);

static inline double difference_at(difference_value_t value, void *ctx, double *values,
                                   int64_t at)
{
    const double step = 1e-5, kept = values[at];
    double above, below;

    values[at] = kept + step;
    above = value(ctx, values);
    values[at] = kept - step;
    below = value(ctx, values);
    values[at] = kept;
    return (above - below) / (2.0 * step);
}

static inline double largest(const float *x, int64_t n)
{
    double most = 0.0;

    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    return most;
}

/* grad is the gradient of value() at `values`: a few entries of every slice. */
static inline void assert_slice_differences(const char *name, const pal_slice_t *slices,
                                            int32_t slice_count, const float *grad,
                                            difference_value_t value, void *ctx,
                                            double *values)
{
    enum { ENTRIES = 20 };
    pal_rng_t rng;

    pal_rng_init(&rng, (pal_key_t){{5}}, name);
    for (const pal_slice_t *slice = slices; slice < slices + slice_count; slice++) {
        const double most = largest(grad + slice->offset, slice->size);

        for (int i = 0; i < ENTRIES; i++) {
            int64_t at = slice->offset + pal_rng_below(&rng, (uint32_t)slice->size);
            double exact = difference_at(value, ctx, values, at);

            if (!(fabs((double)grad[at] - exact) <= 1e-5 * most + 1e-7))
                fail_msg("%s: %s[%d] is %g, not %g", name, slice->name,
                         (int)(at - slice->offset), (double)grad[at], exact);
        }
    }
}

/* s->grad is the gradient of value() at s->weights. */
static inline void assert_differences(const sample_t *s, const char *name,
                                      difference_value_t value, void *ctx)
{
    double *weights = sample_exact(s);

    assert_slice_differences(name, s->layout->slices, s->layout->slice_count, s->grad,
                             value, ctx, weights);
    free(weights);
}

#endif
