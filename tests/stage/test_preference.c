/* Two more losses of whole sequences, by toys: what their values and gradients are is
 * known, so that an ascent or a difference of NLLs, itself a toy, has to move the
 * weights as far. */
#include "model/loss.h"
#include "toy.h"

enum { PAIRS = 8 };

static double beta;
static double first, last; /* losses */

static double minus_log_sigmoid(double x)
{
    return log1p(exp(-fabs(x))) + fmax(-x, 0);
}

/* A forward pass, the summed NLL of each sequence and its tokens (may be NULL). */
static int sums(pal_pass_t *pass, const float *weights, const pal_batch_t *batch,
                double *n, double *tokens, pal_error_t *err)
{
    int rc = pal_forward(pass, weights, batch, PAL_ALL_LAYERS, err);

    if (rc == PAL_OK)
        pal_loss_nll_sequences(pass, n, tokens);
    return rc;
}

static pal_unlearn_spec_t spec_of(const pal_method_t *toy, const char *batch)
{
    pal_unlearn_spec_t spec = toy_spec(toy, "10");

    set(pal_unlearn_params, &spec.common, "batch", batch);
    return spec;
}

/* --- SimNPO (Fan et al. 2024): (2 / beta) mean_b -log sigmoid(beta n_b / N_b), n_b the
 * NLL and N_b the tokens of a sequence --- */

static int simple_step(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                       const uint8_t *train, float *grad, double *loss,
                       pal_error_t *err)
{
    const pal_batch_t *batch = pal_stream_next(run->forget);
    double n[PAIRS], tokens[PAIRS];
    int rc = sums(run->pass, weights, batch, n, tokens, err);

    (void)p, (void)i;
    *loss = 0;
    for (int32_t b = 0; rc == PAL_OK && b < batch->sequences; b++) {
        const double x = beta * n[b] / tokens[b];

        *loss += 2 / beta * minus_log_sigmoid(x) / batch->sequences;
        n[b] = -2 / (1 + exp(x)) / tokens[b] / batch->sequences;
    }
    if (rc != PAL_OK)
        return rc;
    pal_loss_nll_seed(run->pass, n);
    pal_backward(run->pass, weights, train, grad);
    return PAL_OK;
}

static int ascend(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                  const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    (void)p, (void)i;
    *loss = 0;
    return pal_method_nll(run, run->forget, -1, weights, train, grad, loss, err);
}

/* Length of the move from the start to a, less `times` that to b. */
static double apart(const fixture_t *f, const float *a, double times, const float *b)
{
    double square = 0;

    for (int64_t i = 0; i < f->layout->count; i++) {
        const double from = (double)f->start[i];
        const double by = (double)a[i] - from - times * ((double)b[i] - from);

        square += by * by;
    }
    return sqrt(square);
}

/* At beta 4.5 what is memorised is unlearned, and what is not is left alone: of one
 * sequence, by the NLL per token that it has. */
static void simple_negative_preference(void **state)
{
    static const struct {
        double nll, weight;
    } golden[] = {{0.05, 0.8879715}, {0.5, 0.1906989}, {2, 2.467892e-4}};
    const pal_method_t plain = {.summary = "", .params = no_params, .step = ascend};
    const pal_method_t toy = {.summary = "", .params = no_params, .step = simple_step};
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = spec_of(&plain, "1");
    const double nll = -run_toy(f, &spec, b).loss;

    spec.method = &toy;
    for (int k = 0; k < 3; k++) {
        const double x = 4.5 * golden[k].nll, weight = golden[k].weight;
        double loss;

        beta = x / nll;
        loss = run_toy(f, &spec, a).loss;
        assert_true(fabs(loss - 2 / beta * log(1 + exp(-x))) < 1e-6 * loss);
        assert_true(apart(f, a, weight, b) < 1e-3 * weight * apart(f, f->start, 1, b));
    }
    free(a);
    free(b);
}

/* --- Direct preference (Rafailov et al. 2023) of a wrong answer to the true one:
 * (2 / beta) mean_b -log sigmoid(beta ((w0_b - w_b) - (t0_b - t_b))), w_b and t_b the
 * summed NLLs of the two, w0_b and t0_b those of the start --- */

static double t[PAIRS], w[PAIRS], t0[PAIRS], w0[PAIRS];

static int both_begin(void *p, pal_unlearning_t *run, pal_error_t *err)
{
    int rc = pal_stream_reserve(run->forget, run->frozen, 1, err);

    (void)p;
    return rc == PAL_OK ? pal_stream_reserve(run->twin, run->frozen, 1, err) : rc;
}

/* Gradients of sum_b scale[b] w_b and of -sum_b scale[b] t_b. Overwrites w and t. */
static int push_apart(pal_unlearning_t *run, const pal_batch_t *truth,
                      const pal_batch_t *lie, const double *scale, const float *weights,
                      const uint8_t *train, float *grad, pal_error_t *err)
{
    double minus[PAIRS];
    int rc = sums(run->pass, weights, lie, w, NULL, err);

    if (rc != PAL_OK)
        return rc;
    pal_loss_nll_seed(run->pass, scale);
    pal_backward(run->pass, weights, train, grad);
    rc = sums(run->pass, weights, truth, t, NULL, err);
    if (rc != PAL_OK)
        return rc;
    for (int32_t b = 0; b < truth->sequences; b++)
        minus[b] = -scale[b];
    pal_loss_nll_seed(run->pass, minus);
    pal_backward(run->pass, weights, train, grad);
    return PAL_OK;
}

static int prefer(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                  const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    const pal_batch_t *truth = pal_stream_next(run->forget);
    const pal_batch_t *lie = pal_stream_next(run->twin);
    double scale[PAIRS];
    int rc = sums(run->frozen, run->start, truth, t0, NULL, err);

    (void)p;
    if (rc == PAL_OK)
        rc = sums(run->frozen, run->start, lie, w0, NULL, err);
    if (rc == PAL_OK)
        rc = sums(run->pass, weights, truth, t, NULL, err);
    if (rc == PAL_OK)
        rc = sums(run->pass, weights, lie, w, NULL, err);
    if (rc != PAL_OK)
        return rc;
    *loss = 0;
    for (int32_t b = 0; b < PAIRS; b++) {
        const double x = beta * (w0[b] - w[b] - (t0[b] - t[b]));

        *loss += 2 / beta * minus_log_sigmoid(x) / PAIRS;
        scale[b] = 2 / (1 + exp(x)) / PAIRS;
    }
    first = i == 0 ? *loss : first;
    last = *loss;
    return push_apart(run, truth, lie, scale, weights, train, grad, err);
}

/* Mean w_b - t_b. */
static int differ(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                  const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    const pal_batch_t *truth = pal_stream_next(run->forget);
    const pal_batch_t *lie = pal_stream_next(run->twin);
    double scale[PAIRS];
    int rc;

    (void)p, (void)i;
    for (int32_t b = 0; b < PAIRS; b++)
        scale[b] = 1.0 / PAIRS;
    rc = push_apart(run, truth, lie, scale, weights, train, grad, err);
    *loss = 0;
    for (int32_t b = 0; b < PAIRS; b++)
        *loss += (w[b] - t[b]) / PAIRS;
    return rc;
}

static void direct_preference(void **state)
{
    const pal_method_t plain = {
        .summary = "", .text = PAL_PAIRED, .params = no_params, .step = differ};
    pal_method_t toy = plain;
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = spec_of(&plain, "8");

    run_toy(f, &spec, b);
    toy.frozen = 1;
    toy.begin = both_begin;
    toy.step = prefer;
    spec.method = &toy;
    for (beta = 0.1; beta < 1; beta += 0.4) {
        assert_true(fabs(run_toy(f, &spec, a).loss - 2 / beta * log(2)) < 1e-9);
        assert_memory_equal(a, b, weight_bytes(f));
    }
    set(pal_unlearn_params, &spec.common, "steps", "20");
    set(pal_unlearn_params, &spec.common, "lr", "0.02");
    run_toy(f, &spec, a);
    assert_true(last < first);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_negative_preference),
        cmocka_unit_test(direct_preference),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
