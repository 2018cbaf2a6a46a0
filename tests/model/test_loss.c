#include "sample.h"

#define TEST(f) SAMPLE_TEST(f, gpt2)

static void token_mean_is_the_sum_over_sequences(void **state)
{
    sample_t *s = *state;
    double n[SAMPLE_SEQUENCES], weight[SAMPLE_SEQUENCES], sum = 0.0, total = 0.0;

    sample_forward(s);
    pal_loss_nll_sequences(s->pass, n, weight);
    for (int32_t b = 0; b < SAMPLE_SEQUENCES; b++) {
        double expected = 0.0;

        for (int32_t t = sample_offsets[b]; t < sample_offsets[b + 1]; t++)
            expected += (double)s->token_weights[t];
        assert_true(weight[b] == expected);
        sum += n[b];
        total += weight[b];
    }
    assert_true(n[1] == 0.0 && weight[1] == 0.0); /* one token predicts nothing */
    assert_true(fabs(pal_loss_nll(s->pass, 0.0) - sum / total) < 1e-12);
    pal_loss_nll_sequences(s->pass, NULL, weight);
    pal_loss_nll_sequences(s->pass, n, NULL);
}

/* Uniform logits give ln V, whatever the batch: all weights zero. */
static void a_model_of_zeros_guesses(void **state)
{
    sample_t *s = *state;

    memset(s->weights, 0, s->count * sizeof *s->weights);
    sample_forward(s);
    assert_true(fabs(pal_loss_nll(s->pass, 0.0) - log(23.0)) < 1e-6);
}

/* At scale 0 a loss is only read. */
static void value_only_leaves_no_seed(void **state)
{
    sample_t *s = *state;

    sample_forward(s);
    (void)pal_loss_nll(s->pass, 0.0);
    (void)pal_loss_residual_mse(s->pass, 1, s->weights, 1, 0.0);
    pal_backward(s->pass, s->weights, NULL, s->grad);
    for (size_t i = 0; i < s->count; i++)
        assert_true(s->grad[i] == 0.0f);
}

/* With scale 1 / sum N, the two-phase form is the token mean. */
static void per_sequence_seed_of_the_token_mean(void **state)
{
    sample_t *s = *state;
    float *mean = calloc(s->count, sizeof *mean);
    double weight[SAMPLE_SEQUENCES], scale[SAMPLE_SEQUENCES], total = 0.0;

    assert_non_null(mean);
    sample_forward(s);
    (void)pal_loss_nll(s->pass, 1.0);
    pal_backward(s->pass, s->weights, NULL, mean);
    sample_forward(s);
    pal_loss_nll_sequences(s->pass, NULL, weight);
    for (int32_t b = 0; b < SAMPLE_SEQUENCES; b++)
        total += weight[b];
    for (int32_t b = 0; b < SAMPLE_SEQUENCES; b++)
        scale[b] = 1.0 / total;
    pal_loss_nll_seed(s->pass, scale);
    pal_backward(s->pass, s->weights, NULL, s->grad);
    for (size_t i = 0; i < s->count; i++)
        assert_true(fabsf(mean[i] - s->grad[i]) <= 1e-6f * (0.01f + fabsf(mean[i])));
    free(mean);
}

/* A sequence with scale 0 leaves no trace; the others do not notice. */
static void per_sequence_seed_is_per_sequence(void **state)
{
    sample_t *s = *state;
    const double scale[SAMPLE_SEQUENCES] = {0.0, 0.0, 0.0, -2.0};
    const int32_t vocab = s->layout->shape.vocab;
    const float *seed;
    double largest = 0.0;

    sample_forward(s);
    pal_loss_nll_seed(s->pass, scale);
    seed = pal_pass_seed_logits(s->pass);
    for (int32_t i = 0; i < SAMPLE_ROWS; i++) {
        const int32_t position = pal_pass_positions(s->pass)[i];
        double sum = 0.0;

        for (int32_t v = 0; v < vocab; v++) {
            double value = (double)seed[i * vocab + v];

            assert_true(position >= sample_offsets[3] || value == 0.0);
            sum += value;
            largest = fmax(largest, value);
        }
        assert_true(fabs(sum) < 1e-6); /* a softmax and a one-hot both sum to 1 */
    }
    assert_true(largest > 0.1);
}

/* The frozen model's own activations as target (RMU's retain term before the first
 * step): value and gradient are exactly 0. */
static void residual_mse_is_zero_at_the_reference(void **state)
{
    sample_t *s = *state;
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)s->layout->shape.width;

    for (int32_t layer = -1; layer < s->layout->shape.layers; layer++) {
        float *target;

        sample_forward(s);
        target = sample_copy(pal_pass_residual(s->pass, layer), size);
        assert_int_equal(
            pal_forward(s->pass, s->weights, &s->batch, layer + 1, &s->err), PAL_OK);
        assert_true(pal_loss_residual_mse(s->pass, layer, target, 0, 100.0) == 0.0);
        pal_backward(s->pass, s->weights, NULL, s->grad);
        for (size_t i = 0; i < s->count; i++)
            assert_true(s->grad[i] == 0.0f);
        free(target);
    }
}

/* Known values, and first tokens left out. */
static void residual_mse_by_hand(void **state)
{
    sample_t *s = *state;
    const int32_t c = s->layout->shape.width, kept = SAMPLE_TOKENS - SAMPLE_SEQUENCES;
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)c;
    const float *seed;
    float *target;

    sample_forward(s);
    target = sample_copy(pal_pass_residual(s->pass, 1), size);
    for (size_t i = 0; i < size; i++)
        target[i] -= 0.5f;
    for (int32_t b = 0; b < SAMPLE_SEQUENCES; b++)
        for (int32_t i = 0; i < c; i++)
            target[sample_offsets[b] * c + i] = NAN;
    assert_true(fabs(pal_loss_residual_mse(s->pass, 1, target, 0, 3.0) - 0.25) < 1e-6);
    seed = pal_pass_seed_residual(s->pass, 1);
    for (int32_t t = 0; t < SAMPLE_TOKENS; t++) {
        int first = t == 0 || t == 5 || t == 6 || t == 15;
        double expected = first ? 0.0 : 3.0 * 2.0 * 0.5 / (kept * c);

        assert_true(fabs((double)seed[t * c] - expected) < 1e-7);
    }
    free(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(token_mean_is_the_sum_over_sequences),
        TEST(a_model_of_zeros_guesses),
        TEST(value_only_leaves_no_seed),
        TEST(per_sequence_seed_of_the_token_mean),
        TEST(per_sequence_seed_is_per_sequence),
        TEST(residual_mse_is_zero_at_the_reference),
        TEST(residual_mse_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
