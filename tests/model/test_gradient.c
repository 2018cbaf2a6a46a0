/* pal_forward() against the naive reference, and pal_backward() against central finite
 * differences on that reference.
 *
 * Tolerances. The differences are taken in double with a step of 1e-5: their own error,
 * step^2 f'''/6 and 1e-16/step, is below 1e-9. What is left is the float arithmetic of
 * the fast path: a chain of about 40 roundings of 6e-8, grown a few times by the norms,
 * so 1e-5 of the largest entry of a slice's gradient. */
#include "model/reference.h"
#include "sample.h"

#define STEP 1e-5
#define CLOSE 1e-5

enum { ENTRIES = 12 }; /* tried per slice */

/* d(loss) = scale d(nll) + sum over layers of mse_l + coefficient . mlp outputs. */
typedef struct {
    const char *name;
    double nll;    /* coefficients; 0 leaves a term out */
    double mse;    /* of the residual stream after `layer`, to `target` */
    double mlp;    /* of a linear function of that block's MLP output */
    int32_t layer; /* -1 .. L-1 */
    int broadcast;
} objective_t;

static const objective_t objectives[] = {
    {.name = "nll", .nll = 1.0},
    {.name = "nll upwards", .nll = -0.3},
    {.name = "residual, embeddings", .mse = 0.7, .layer = -1},
    {.name = "residual, first block", .mse = 1.0, .layer = 0, .broadcast = 1},
    {.name = "residual, last block", .mse = 2.0, .layer = 2},
    {.name = "mlp output", .mlp = 1.0, .layer = 1},
    {.name = "everything", .nll = 0.5, .mse = 1.5, .mlp = -1.0, .layer = 1},
};

/* Fixed pseudo-random coefficients and targets, about 1 in size. */
static double wave(size_t i)
{
    return sin(1.7 * (double)i + 0.3);
}

static void targets(double *exact, float *rounded, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rounded[i] = (float)wave(i);
        exact[i] = (double)rounded[i];
    }
}

static double exact_value(const sample_t *s, const objective_t *o, pal_reference_t *r,
                          const double *weights, const double *target)
{
    const size_t size = (size_t)r->tokens * (size_t)s->layout->shape.width;
    double value = 0.0;

    pal_reference_forward(r, s->layout, weights, &s->batch);
    if (o->nll != 0.0)
        value += o->nll * pal_reference_nll(r, s->layout, &s->batch);
    if (o->mse != 0.0)
        value += o->mse * pal_reference_residual_mse(r, s->layout, &s->batch, o->layer,
                                                     target, o->broadcast);
    for (size_t i = 0; o->mlp != 0.0 && i < size; i++)
        value += o->mlp * wave(i) * r->mlp[(size_t)o->layer * size + i];
    return value;
}

/* The same value by the fast path, leaving its seeds in the pass. */
static double fast_value(sample_t *s, const objective_t *o, const float *target)
{
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)s->layout->shape.width;
    double value = 0.0;

    if (o->nll != 0.0)
        value += o->nll * pal_loss_nll(s->pass, o->nll);
    if (o->mse != 0.0)
        value += o->mse *
                 pal_loss_residual_mse(s->pass, o->layer, target, o->broadcast, o->mse);
    if (o->mlp != 0.0) {
        const float *mlp = pal_pass_mlp(s->pass, o->layer);
        float *seed = pal_pass_seed_mlp(s->pass, o->layer);

        for (size_t i = 0; i < size; i++) {
            value += o->mlp * wave(i) * (double)mlp[i];
            seed[i] += (float)(o->mlp * wave(i));
        }
    }
    return value;
}

static double largest(const float *x, int64_t n)
{
    double most = 0.0;

    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    return most;
}

static void check_slice(const sample_t *s, const objective_t *o, pal_reference_t *r,
                        double *weights, const double *target, const pal_slice_t *slice,
                        pal_rng_t *rng)
{
    const double most = largest(s->grad + slice->offset, slice->size);

    for (int i = 0; i < ENTRIES; i++) {
        int64_t at = slice->offset + pal_rng_below(rng, (uint32_t)slice->size);
        double kept = weights[at], above, below, exact;

        weights[at] = kept + STEP;
        above = exact_value(s, o, r, weights, target);
        weights[at] = kept - STEP;
        below = exact_value(s, o, r, weights, target);
        weights[at] = kept;
        exact = (above - below) / (2.0 * STEP);
        if (!(fabs((double)s->grad[at] - exact) <= CLOSE * most + 1e-7))
            fail_msg("%s: %s[%d] is %g, not %g", o->name, slice->name,
                     (int)(at - slice->offset), (double)s->grad[at], exact);
    }
}

static void gradients_match_finite_differences(void **state)
{
    sample_t *s = *state;
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)s->layout->shape.width;
    double *weights = calloc(s->count, sizeof *weights);
    double *exact_target = calloc(size, sizeof *exact_target);
    float *target = calloc(size, sizeof *target);
    pal_reference_t r;
    pal_rng_t rng;

    assert_non_null(weights);
    assert_non_null(exact_target);
    assert_non_null(target);
    assert_int_equal(pal_reference_create(s->layout, SAMPLE_TOKENS, &r, &s->err),
                     PAL_OK);
    pal_rng_init(&rng, (pal_key_t){{4}}, "entries");
    targets(exact_target, target, size);
    for (size_t i = 0; i < s->count; i++)
        weights[i] = (double)s->weights[i];
    for (size_t i = 0; i < sizeof objectives / sizeof *objectives; i++) {
        const objective_t *o = &objectives[i];
        double exact = exact_value(s, o, &r, weights, exact_target);

        memset(s->grad, 0, s->count * sizeof *s->grad);
        sample_forward(s);
        /* The linear function sums terms of either sign, about 10 in all. */
        assert_true(fabs(fast_value(s, o, target) - exact) <=
                    CLOSE * (10.0 + fabs(exact)));
        pal_backward(s->pass, s->weights, NULL, s->grad);
        for (int32_t j = 0; j < s->layout->slice_count; j++)
            check_slice(s, o, &r, weights, exact_target, &s->layout->slices[j], &rng);
    }
    pal_reference_destroy(&r);
    free(weights);
    free(exact_target);
    free(target);
}

static void assert_taps(const float *fast, const double *exact, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(fabs((double)fast[i] - exact[i]) <= CLOSE * (1.0 + fabs(exact[i])));
}

static void forward_matches_reference(void **state)
{
    sample_t *s = *state;
    const pal_shape_t *shape = &s->layout->shape;
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)shape->width;
    const size_t vocab = (size_t)shape->vocab;
    double *weights = calloc(s->count, sizeof *weights);
    pal_reference_t r;

    assert_non_null(weights);
    for (size_t i = 0; i < s->count; i++)
        weights[i] = (double)s->weights[i];
    assert_int_equal(pal_reference_create(s->layout, SAMPLE_TOKENS, &r, &s->err),
                     PAL_OK);
    pal_reference_forward(&r, s->layout, weights, &s->batch);
    sample_forward(s);
    for (int32_t l = -1; l < shape->layers; l++)
        assert_taps(pal_pass_residual(s->pass, l), r.residual + (size_t)(l + 1) * size,
                    size);
    for (int32_t l = 0; l < shape->layers; l++)
        assert_taps(pal_pass_mlp(s->pass, l), r.mlp + (size_t)l * size, size);
    assert_int_equal(pal_pass_rows(s->pass), SAMPLE_ROWS);
    for (int32_t i = 0; i < SAMPLE_ROWS; i++)
        assert_taps(pal_pass_logits(s->pass) + (size_t)i * vocab,
                    r.logits + (size_t)pal_pass_positions(s->pass)[i] * vocab, vocab);
    pal_reference_destroy(&r);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SAMPLE_TESTS(forward_matches_reference),
        SAMPLE_TESTS(gradients_match_finite_differences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
