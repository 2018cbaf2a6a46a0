/* A pass whose products are bf16. CTest runs this twice, as it does kernel.gemm. */
#include "kernel/threads.h"
#include "kernel/vector.h"
#include "sample.h"

static double descend(sample_t *s, float *grad)
{
    double loss;

    memset(grad, 0, s->count * sizeof *grad);
    sample_forward(s);
    loss = pal_loss_nll(s->pass, 1.0);
    pal_backward(s->pass, s->weights, NULL, grad);
    return loss;
}

/* bf16 keeps 8 bits: each factor is off by at most 2^-9, at random, and a sum of a
 * dozen of them by about that. Three blocks deep that is 1 % of a gradient. */
static void bf16_is_near_fp32(void **state)
{
    sample_t *s = *state;
    float *grad = calloc(s->count, sizeof *grad);
    double loss = descend(s, s->grad), rounded, cosine;

    assert_non_null(grad);
    pal_pass_set_precision(s->pass, PAL_BF16);
    rounded = descend(s, grad);
    assert_true(rounded != loss);
    assert_true(fabs(rounded / loss - 1.0) < 0.01);
    cosine = pal_dot(grad, s->grad, (int64_t)s->count) /
             sqrt(pal_norm_squared(grad, (int64_t)s->count) *
                  pal_norm_squared(s->grad, (int64_t)s->count));
    assert_true(cosine > 0.999 && cosine < 1.0 - 1e-9);
    free(grad);
}

static void fp32_is_fp32_again(void **state)
{
    sample_t *s = *state;
    float *grad = calloc(s->count, sizeof *grad);
    double loss = descend(s, s->grad);

    assert_non_null(grad);
    pal_pass_set_precision(s->pass, PAL_BF16);
    (void)descend(s, grad);
    pal_pass_set_precision(s->pass, PAL_FP32);
    assert_true(descend(s, grad) == loss);
    assert_memory_equal(grad, s->grad, s->count * sizeof *grad);
    free(grad);
}

/* Batches of other sizes in between leave nothing behind. */
static void bf16_bits_do_not_depend_on_the_past(void **state)
{
    sample_t *s = *state;
    float *grad = calloc(s->count, sizeof *grad);
    double loss;

    assert_non_null(grad);
    pal_pass_set_precision(s->pass, PAL_BF16);
    loss = descend(s, s->grad);
    for (int32_t sequences = 1; sequences <= SAMPLE_SEQUENCES; sequences++) {
        s->batch.sequences = sequences;
        (void)descend(s, grad);
        s->batch.sequences = SAMPLE_SEQUENCES;
        assert_true(descend(s, grad) == loss);
        assert_memory_equal(grad, s->grad, s->count * sizeof *grad);
    }
    free(grad);
}

static void bits_do_not_depend_on_threads(void **state)
{
    sample_t *s = *state;
    float *grad = calloc(s->count, sizeof *grad);

    assert_non_null(grad);
    for (int p = 0; p < PAL_PRECISIONS; p++) {
        double loss;

        pal_pass_set_precision(s->pass, (pal_precision_t)p);
        pal_threads_set(1);
        loss = descend(s, s->grad);
        for (int threads = 2; threads <= SAMPLE_SEQUENCES + 1; threads++) {
            pal_threads_set(threads);
            assert_true(descend(s, grad) == loss);
            assert_memory_equal(grad, s->grad, s->count * sizeof *grad);
        }
        pal_threads_set(1);
    }
    free(grad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SAMPLE_TESTS(bf16_is_near_fp32),
        SAMPLE_TESTS(fp32_is_fp32_again),
        SAMPLE_TESTS(bf16_bits_do_not_depend_on_the_past),
        SAMPLE_TESTS(bits_do_not_depend_on_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
