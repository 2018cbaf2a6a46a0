/* The values of methods that compare with the start are known there (Zhang et al. 2024,
 * arXiv 2404.05868, section 3). */
#include "fixture.h"

extern const pal_method_t pal_method_npo;

/* beta = 0: the preset. */
static void begin(fixture_t *f, double beta, int32_t batch)
{
    open_streams(f, batch);
    memset(f->state, 0, sizeof f->state);
    pal_param_defaults(pal_method_npo.params, f->state);
    if (beta > 0)
        set(pal_method_npo.params, f->state, "beta", beta);
    assert_int_equal(pal_method_npo.begin(f->state, &f->run, &f->err), PAL_OK);
}

/* Into right: the gradient of -coefficient weight mean_b n_b on the next forget batch,
 * and of the NLL on the next retain batch, which is returned. */
static double ascend(fixture_t *f, double weight, const float *weights, int32_t batch)
{
    pal_unlearning_t *run = &f->run;
    double scale[4];

    for (int32_t b = 0; b < batch; b++)
        scale[b] = -run->coefficient * weight / batch;
    memset(f->right, 0, weight_bytes(f));
    assert_int_equal(pal_forward(run->pass, weights, pal_stream_next(run->forget),
                                 PAL_ALL_LAYERS, &f->err),
                     PAL_OK);
    pal_loss_nll_seed(run->pass, scale);
    pal_backward(run->pass, weights, NULL, f->right);

    double loss = 0;

    assert_int_equal(
        pal_method_nll(run, run->retain, 1, weights, NULL, f->right, &loss, &f->err),
        PAL_OK);
    return loss;
}

/* Summed NLL of the first forget sequence. */
static double first_nll(fixture_t *f, const float *weights)
{
    double n;

    open_streams(f, 1);
    assert_int_equal(pal_forward(f->run.pass, weights, pal_stream_next(f->run.forget),
                                 PAL_ALL_LAYERS, &f->err),
                     PAL_OK);
    pal_loss_nll_sequences(f->run.pass, &n, NULL);
    return n;
}

static void start_is_gradient_ascent_for_every_beta(void **state)
{
    static const double betas[] = {0.01, 0.1, 0.5, 4.5};
    fixture_t *f = *state;

    for (size_t k = 0; k < sizeof betas / sizeof *betas; k++) {
        double loss, retain;

        begin(f, betas[k], 4);
        loss = method_step(f, &pal_method_npo, 0, f->start);
        open_streams(f, 4);
        retain = ascend(f, 1, f->start, 4);
        assert_true(fabs(loss - retain - 0.5 * 2 / betas[k] * log(2)) < 1e-12 * loss);
        assert_memory_equal(f->grad, f->right, weight_bytes(f));
        pal_method_npo.end(f->state);
    }
}

static void preset_beta_starts_at_13_863(void **state)
{
    fixture_t *f = *state;
    double loss, retain;

    begin(f, 0, 4);
    loss = method_step(f, &pal_method_npo, 0, f->start);
    open_streams(f, 4);
    retain = ascend(f, 1, f->start, 4);
    assert_true(fabs((loss - retain) / 0.5 - 13.863) < 5e-4);
    pal_method_npo.end(f->state);
}

/* At beta (n - n0) = 2 and 5 a sequence weighs 0.2384 and 0.01339, at -5 1.98661; its
 * loss is (2 / beta) log(1 + exp(-beta (n - n0))). */
static void weight_falls_as_the_likelihood_does(void **state)
{
    static const struct {
        double rise, weight;
    } golden[] = {{2, 0.2384058}, {5, 0.01338570}, {-5, 1.986614}};
    fixture_t *f = *state;
    const double rise = first_nll(f, f->weights) - first_nll(f, f->start);

    assert_true(fabs(rise) > 0.01);
    for (size_t k = 0; k < sizeof golden / sizeof *golden; k++) {
        const int up = golden[k].rise * rise > 0;
        const float *weights = up ? f->weights : f->start;
        const double beta = fabs(golden[k].rise / rise);
        double loss, retain;

        f->run.start = up ? f->start : f->weights;
        begin(f, beta, 1);
        loss = method_step(f, &pal_method_npo, 3, weights);
        open_streams(f, 1);
        retain = ascend(f, golden[k].weight, weights, 1);
        assert_true(grad_error(f) < 1e-5);
        assert_true(fabs((loss - retain) / (0.5 * 2 / beta) -
                         log(1 + exp(-golden[k].rise))) < 1e-6);
        pal_method_npo.end(f->state);
    }
    f->run.start = f->start;
}

/* Likelihoods that exp() cannot hold still give finite numbers. */
static void far_from_the_start_is_finite(void **state)
{
    fixture_t *f = *state;

    for (int k = 0; k < 2; k++) {
        f->run.start = k ? f->start : f->weights;
        begin(f, 1e6, 4);
        assert_true(
            isfinite(method_step(f, &pal_method_npo, 1, k ? f->weights : f->start)));
        for (int64_t i = 0; i < f->layout->count; i++)
            assert_true(isfinite(f->grad[i]));
        pal_method_npo.end(f->state);
    }
    f->run.start = f->start;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_is_gradient_ascent_for_every_beta),
        cmocka_unit_test(preset_beta_starts_at_13_863),
        cmocka_unit_test(weight_falls_as_the_likelihood_does),
        cmocka_unit_test(far_from_the_start_is_finite),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
