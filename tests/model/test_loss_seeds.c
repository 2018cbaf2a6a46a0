/* Losses on the logits and on the residual stream: value and gradient of each, through
 * the whole model, against the reference in double precision. */
#include "difference.h"
#include "kernel/divergence.h"
#include "model/reference.h"

/* A second model on the same batch: the frozen one. */
typedef struct {
    sample_t *s;
    pal_pass_t *frozen;
    float *start;   /* weights of the frozen model */
    double *target; /* (R, V) its logits */
    pal_reference_t r;
    double (*row)(double *, const double *, const double *, int32_t, double);
} two_t;

static int two_create(void **state)
{
    sample_t *s;
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

static void check(two_t *two, const char *name, double value, double exact)
{
    if (!(fabs(value - exact) <= 1e-5 * (1.0 + fabs(exact))))
        fail_msg("%s is %g, not %g", name, value, exact);
    memset(two->s->grad, 0, two->s->count * sizeof *two->s->grad);
    pal_backward(two->s->pass, two->s->weights, NULL, two->s->grad);
    assert_differences(two->s, name, exact_mean, two);
}

static double exact_now(two_t *two)
{
    double *weights = calloc(two->s->count, sizeof *weights), value;

    assert_non_null(weights);
    for (size_t i = 0; i < two->s->count; i++)
        weights[i] = (double)two->s->weights[i];
    value = exact_mean(two, weights);
    free(weights);
    return value;
}

static void kl_to_a_frozen_model(void **state)
{
    two_t *two = *state;
    const float *target = pal_pass_logits(two->frozen);
    double value;

    two->row = pal_kl_ref;
    sample_forward(two->s);
    value = pal_loss_kl(two->s->pass, target, 1.0);
    assert_true(value > 0.1);
    assert_true(pal_loss_kl(two->s->pass, target, 0.0) == value);
    check(two, "kl", value, exact_now(two));
}

/* Golden: at the starting weights a divergence from them is 0 and pulls nowhere. */
static void a_model_does_not_differ_from_itself(void **state)
{
    two_t *two = *state;
    sample_t *s = two->s;

    memcpy(s->weights, two->start, s->count * sizeof *s->weights);
    sample_forward(s);
    assert_true(pal_loss_kl(s->pass, pal_pass_logits(two->frozen), 100.0) == 0.0);
    pal_backward(s->pass, s->weights, NULL, s->grad);
    for (size_t i = 0; i < s->count; i++)
        assert_true(s->grad[i] == 0.0f);
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
        TEST(kl_to_a_frozen_model),
        TEST(a_model_does_not_differ_from_itself),
        TEST(logit_seeds_add),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
