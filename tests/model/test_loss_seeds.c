/* Losses on the logits and on the residual stream: value and gradient of each, through
 * the whole model, against the reference in double precision. */
#include "difference.h"
#include "kernel/cross_entropy.h"
#include "kernel/divergence.h"
#include "model/reference.h"

typedef double (*row_t)(double *, const double *, const double *, int32_t, double);

/* A second model on the same batch: the frozen one. */
typedef struct {
    sample_t *s;
    pal_pass_t *frozen;
    float *start;   /* weights of the frozen model */
    double *target; /* (R, V) its logits */
    pal_reference_t r;
    row_t row;
} two_t;

static int two_create(void **state)
{
    sample_t *s = *state;
    two_t *two = calloc(1, sizeof *two);
    size_t size;

    assert_non_null(two);
    assert_int_equal(sample_create((void **)&s), 0);
    two->s = s;
    two->start = sample_copy(s->weights, s->count);
    for (size_t i = 0; i < s->count; i++)
        two->start[i] *= 1.0f + 0.8f * (float)sin(1.7 * (double)i);
    assert_int_equal(pal_pass_create(s->layout, &two->frozen, &s->err), PAL_OK);
    assert_int_equal(
        pal_forward(two->frozen, two->start, &s->batch, PAL_ALL_LAYERS, &s->err),
        PAL_OK);
    assert_int_equal(pal_reference_create(s->layout, SAMPLE_TOKENS, &two->r, &s->err),
                     PAL_OK);
    size = (size_t)SAMPLE_ROWS * (size_t)s->layout->shape.vocab;
    two->target = calloc(size, sizeof *two->target);
    assert_non_null(two->target);
    for (size_t i = 0; i < size; i++)
        two->target[i] = (double)pal_pass_logits(two->frozen)[i];
    *state = two;
    return 0;
}

static int two_destroy(void **state)
{
    two_t *two = *state;

    pal_pass_destroy(two->frozen);
    pal_reference_destroy(&two->r);
    free(two->start);
    free(two->target);
    assert_int_equal(sample_destroy((void **)&two->s), 0);
    free(two);
    return 0;
}

/* Token mean of two->row over the reference's logits. */
static double exact_mean(void *ctx, const double *weights)
{
    two_t *two = ctx;
    const pal_batch_t *batch = &two->s->batch;
    const size_t v = (size_t)two->s->layout->shape.vocab;
    const double *target = two->target;
    double sum = 0.0, weight = 0.0;

    pal_reference_forward(&two->r, two->s->layout, weights, batch);
    for (int32_t t = 1; t < SAMPLE_TOKENS; t++) {
        const double w = (double)batch->weights[t];

        if (!(w > 0.0))
            continue;
        sum += w * two->row(NULL, two->r.logits + (size_t)(t - 1) * v, target,
                            (int32_t)v, 0.0);
        weight += w;
        target += v;
    }
    return sum / weight;
}

/* Value and gradient of what was computed last, against exact(). */
static void check(two_t *two, const char *name, double value, difference_value_t exact)
{
    sample_t *s = two->s;
    double *weights = sample_exact(s), expected;

    expected = exact(two, weights);
    if (!(fabs(value - expected) <= 1e-5 * (1.0 + fabs(expected))))
        fail_msg("%s is %g, not %g", name, value, expected);
    memset(s->grad, 0, s->count * sizeof *s->grad);
    pal_backward(s->pass, s->weights, NULL, s->grad);
    assert_differences(s, name, exact, two);
    free(weights);
}

static void check_kl(two_t *two, const char *name, row_t row,
                     double (*loss)(pal_pass_t *, const float *, double))
{
    const float *target = pal_pass_logits(two->frozen);
    double value;

    two->row = row;
    sample_forward(two->s);
    value = loss(two->s->pass, target, 1.0);
    assert_true(value > 0.1);
    assert_true(loss(two->s->pass, target, 0.0) == value);
    check(two, name, value, exact_mean);
}

static void kl_with_a_frozen_model(void **state)
{
    check_kl(*state, "kl", pal_kl_ref, pal_loss_kl);
    check_kl(*state, "reverse kl", pal_reverse_kl_ref, pal_loss_reverse_kl);
}

static double entropy_ref(double *dz, const double *z, const double *target, int32_t n,
                          double weight)
{
    (void)target;
    return pal_entropy_ref(dz, z, n, weight);
}

static double uniform_kl_ref(double *dz, const double *z, const double *target,
                             int32_t n, double weight)
{
    (void)target;
    return pal_uniform_kl_ref(dz, z, n, weight);
}

static void entropy_and_uniform(void **state)
{
    two_t *two = *state;
    sample_t *s = two->s;
    double value;

    two->row = entropy_ref;
    sample_forward(s);
    value = pal_loss_entropy(s->pass, 1.0);
    assert_true(pal_loss_entropy(s->pass, 0.0) == value);
    check(two, "entropy", value, exact_mean);
    two->row = uniform_kl_ref;
    sample_forward(s);
    value = pal_loss_uniform_kl(s->pass, 1.0);
    assert_true(pal_loss_uniform_kl(s->pass, 0.0) == value);
    check(two, "uniform kl", value, exact_mean);
    memset(s->weights, 0, s->count * sizeof *s->weights); /* it guesses */
    sample_forward(s);
    assert_true(fabs(pal_loss_entropy(s->pass, 0.0) - log(23.0)) < 1e-6);
    assert_true(fabs(pal_loss_uniform_kl(s->pass, 0.0)) < 1e-6);
}

/* One weight of every size and sign. */
static double token_weight(int32_t t)
{
    return sin(1.3 * t);
}

static double exact_weighted(void *ctx, const double *weights)
{
    two_t *two = ctx;
    const pal_batch_t *batch = &two->s->batch;
    const int32_t v = two->s->layout->shape.vocab;
    double sum = 0.0, total = 0.0;

    pal_reference_forward(&two->r, two->s->layout, weights, batch);
    for (int32_t t = 1; t < SAMPLE_TOKENS; t++) {
        const double w = (double)batch->weights[t];

        if (w > 0.0)
            sum += token_weight(t) * w *
                   pal_cross_entropy_ref(two->r.logits + (size_t)(t - 1) * (size_t)v, v,
                                         batch->tokens[t]);
        total += w;
    }
    return sum / total;
}

static void nll_with_token_weights(void **state)
{
    two_t *two = *state;
    pal_pass_t *pass = two->s->pass;
    double weight[SAMPLE_TOKENS], l[SAMPLE_TOKENS], sum = 0.0, total = 0.0, value;

    for (int32_t t = 0; t < SAMPLE_TOKENS; t++)
        weight[t] = token_weight(t);
    sample_forward(two->s);
    pal_loss_nll_tokens(pass, l);
    value = pal_loss_nll_weighted(pass, weight, 1.0);
    for (int32_t t = 0; t < SAMPLE_TOKENS; t++) {
        const double w = (double)two->s->token_weights[t];

        assert_true(w > 0.0 ? l[t] > 0.0 : l[t] == 0.0);
        sum += w * weight[t] * l[t];
        total += w;
    }
    assert_true(fabs(value - sum / total) < 1e-12);
    assert_true(pal_loss_nll_weighted(pass, weight, 0.0) == value);
    check(two, "weighted nll", value, exact_weighted);
}

/* Mean of relu(cos) to the frozen model's stream after block 1. */
static double exact_cosine(void *ctx, const double *weights)
{
    two_t *two = ctx;
    const size_t c = (size_t)two->s->layout->shape.width;
    const float *y = pal_pass_residual(two->frozen, 1);
    double sum = 0.0;

    pal_reference_forward(&two->r, two->s->layout, weights, &two->s->batch);
    for (int32_t b = 0; b < SAMPLE_SEQUENCES; b++)
        for (int32_t t = sample_offsets[b] + 1; t < sample_offsets[b + 1]; t++) {
            const double *h = two->r.residual + (2u * SAMPLE_TOKENS + (size_t)t) * c;
            double hh = 0.0, hy = 0.0, yy = 0.0;

            for (size_t i = 0; i < c; i++) {
                const double target = (double)y[(size_t)t * c + i];

                hh += h[i] * h[i];
                hy += h[i] * target;
                yy += target * target;
            }
            sum += fmax(0.0, hy / sqrt(hh * yy));
        }
    return sum / (SAMPLE_TOKENS - SAMPLE_SEQUENCES);
}

static void cosine_to_a_frozen_model(void **state)
{
    two_t *two = *state;
    pal_pass_t *pass = two->s->pass;
    const float *target = pal_pass_residual(two->frozen, 1);
    double value;

    sample_forward(two->s);
    value = pal_loss_residual_cosine(pass, 1, target, 1.0);
    assert_true(value > 0.1 && value < 0.9);
    assert_true(pal_loss_residual_cosine(pass, 1, target, 0.0) == value);
    check(two, "cosine", value, exact_cosine);
}

/* Negative cosines count as 0 and are left alone, streams of length 0 too. */
static void cosines_below_zero(void **state)
{
    two_t *two = *state;
    sample_t *s = two->s;
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)s->layout->shape.width;
    float *target;

    sample_forward(s);
    target = sample_copy(pal_pass_residual(s->pass, 1), size);
    for (int zero = 0; zero < 2; zero++) {
        for (size_t i = 0; i < size; i++)
            target[i] *= zero ? 0.0f : -1.0f;
        assert_true(pal_loss_residual_cosine(s->pass, 1, target, 1.0) == 0.0);
        pal_backward(s->pass, s->weights, NULL, s->grad);
        for (size_t i = 0; i < s->count; i++)
            assert_true(s->grad[i] == 0.0f);
        sample_forward(s);
    }
    target[size - 1] = NAN;
    assert_true(isnan(pal_loss_residual_cosine(s->pass, 1, target, 0.0)));
    free(target);
}

/* Golden: at the starting weights a divergence from them is 0, the circuit breakers'
 * cosine is 1, and neither pulls anywhere. */
static void a_model_does_not_differ_from_itself(void **state)
{
    two_t *two = *state;
    sample_t *s = two->s;
    const float *target = pal_pass_logits(two->frozen);

    memcpy(s->weights, two->start, s->count * sizeof *s->weights);
    for (int loss = 0; loss < 3; loss++) {
        sample_forward(s);
        if (loss == 0)
            assert_true(pal_loss_kl(s->pass, target, 100.0) == 0.0);
        else if (loss == 1)
            assert_true(pal_loss_reverse_kl(s->pass, target, 100.0) == 0.0);
        else
            assert_true(pal_loss_residual_cosine(s->pass, 1,
                                                 pal_pass_residual(two->frozen, 1),
                                                 100.0) == 1.0);
        pal_backward(s->pass, s->weights, NULL, s->grad);
        for (size_t i = 0; i < s->count; i++)
            assert_true(s->grad[i] == 0.0f);
    }
}

/* Seeds of several losses add up, in whatever way they are written. */
static void logit_seeds_add(void **state)
{
    two_t *two = *state;
    sample_t *s = two->s;
    const size_t size = (size_t)SAMPLE_ROWS * (size_t)s->layout->shape.vocab;
    const double scale[SAMPLE_SEQUENCES] = {0.1, 0.1, 0.1, 0.1};
    const float *target = pal_pass_logits(two->frozen);
    float *sum = calloc(size, sizeof *sum), *seed;

    assert_non_null(sum);
    for (int i = 0; i < 4; i++) {
        sample_forward(s);
        if (i == 0 || i == 3)
            (void)pal_loss_nll(s->pass, 0.5);
        if (i == 1 || i == 3)
            (void)pal_loss_kl(s->pass, target, -2.0);
        if (i == 2 || i == 3)
            pal_loss_nll_seed(s->pass, scale);
        seed = pal_pass_seed_logits(s->pass);
        for (size_t j = 0; j < size; j++)
            sum[j] += i < 3 ? seed[j] : -seed[j];
    }
    for (size_t j = 0; j < size; j++)
        assert_true(fabsf(sum[j]) < 1e-6f);
    sample_forward(s);
    seed = pal_pass_seed_logits(s->pass);
    for (size_t j = 0; j < size; j++)
        assert_true(seed[j] == 0.0f);
    free(sum);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, two_create, two_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kl_with_a_frozen_model), TEST(entropy_and_uniform),
        TEST(nll_with_token_weights), TEST(cosine_to_a_frozen_model),
        TEST(cosines_below_zero),     TEST(a_model_does_not_differ_from_itself),
        TEST(logit_seeds_add),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
