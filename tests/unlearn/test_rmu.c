/* RMU against its formulas, written out token by token: at the model it starts from,
 * where the retain term is 0, and away from it. */
#include "base/rng.h"
#include "fixture.h"

extern const pal_method_t pal_method_rmu;

enum { WIDTH = 16, BATCH = 4, MOST = BATCH * 64, STEPS = 2 };

static const double scale = 3;

static void begin(fixture_t *f)
{
    const pal_method_t *rmu = &pal_method_rmu;

    open_streams(f, BATCH);
    memset(f->state, 0, sizeof f->state);
    pal_param_defaults(rmu->params, f->state);
    set(rmu->params, f->state, "scale", scale);
    assert_int_equal(rmu->begin(f->state, &f->run, &f->err), PAL_OK);
}

/* Residual stream after the first of two blocks, first tokens left out; returns how
 * many tokens there are. */
static int32_t activations(fixture_t *f, const float *weights, const pal_batch_t *batch,
                           double h[MOST][WIDTH])
{
    int32_t n = 0;

    assert_int_equal(
        pal_forward(f->run.frozen, weights, batch, PAL_ALL_LAYERS, &f->err), PAL_OK);
    for (int32_t b = 0; b < batch->sequences; b++)
        for (int32_t t = batch->offsets[b] + 1; t < batch->offsets[b + 1]; t++, n++)
            for (int32_t j = 0; j < WIDTH; j++)
                h[n][j] = (double)pal_pass_residual(f->run.frozen, 0)[t * WIDTH + j];
    return n;
}

/* c u of that batch: u of length 1 without a negative entry, c the scale times the mean
 * length of the activations. */
static void steer(fixture_t *f, const pal_batch_t *batch, double *target)
{
    static double h[MOST][WIDTH];
    const int32_t n = activations(f, f->start, batch, h);
    double c = 0, u = 0;
    pal_rng_t rng;

    pal_rng_init(&rng, f->run.key, "rmu direction");
    for (int32_t j = 0; j < WIDTH; j++) {
        target[j] = pal_rng_uniform(&rng);
        u += target[j] * target[j];
    }
    for (int32_t i = 0; i < n; i++) {
        double square = 0;

        for (int32_t j = 0; j < WIDTH; j++)
            square += h[i][j] * h[i][j];
        c += scale * sqrt(square) / n;
    }
    for (int32_t j = 0; j < WIDTH; j++) {
        target[j] *= c / sqrt(u);
        assert_true(target[j] >= 0);
    }
}

/* Mean (h - c u)^2, or (h - h0)^2 if target is NULL. */
static double distance(fixture_t *f, const float *weights, const pal_batch_t *batch,
                       const double *target)
{
    static double h[MOST][WIDTH], start[MOST][WIDTH];
    const int32_t n = activations(f, weights, batch, h);
    double sum = 0;

    (void)activations(f, f->start, batch, start);
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < WIDTH; j++) {
            const double by = h[i][j] - (target ? target[j] : start[i][j]);

            sum += by * by;
        }
    return sum / n / WIDTH;
}

static void steps_are_the_published_ones(void **state)
{
    fixture_t *f = *state;
    double forget[STEPS], retain[STEPS], target[WIDTH];

    open_streams(f, BATCH);
    for (int step = 0; step < STEPS; step++) {
        const float *weights = step == 0 ? f->start : f->weights;
        const pal_batch_t *batch = pal_stream_next(f->run.forget);

        if (step == 0)
            steer(f, batch, target);
        forget[step] = distance(f, weights, batch, target);
        retain[step] = distance(f, weights, pal_stream_next(f->run.retain), NULL);
    }
    assert_true(retain[0] == 0 && retain[1] > 0.01 * forget[1]);
    begin(f);
    for (int step = 0; step < STEPS; step++) {
        const float *weights = step == 0 ? f->start : f->weights;
        const double loss = method_step(f, &pal_method_rmu, step, weights);
        const double right = f->run.coefficient * forget[step] + retain[step];

        if (fabs(loss - right) > 1e-5 * right)
            fail_msg("step %d: loss %g, not %g", step, loss, right);
    }
    pal_method_rmu.end(f->state);
}

/* Golden: a model is no distance from itself. */
static void at_the_start_nothing_is_to_retain(void **state)
{
    fixture_t *f = *state;

    f->run.coefficient = 0;
    begin(f);
    assert_true(method_step(f, &pal_method_rmu, 0, f->start) == 0);
    for (int64_t i = 0; i < f->layout->count; i++)
        assert_true(f->grad[i] == 0);
    pal_method_rmu.end(f->state);
    f->run.coefficient = 0.5;
}

/* Of eight blocks, numbers 1 to 3 are the last three up to the steered one. */
static void slices_are_chosen_by_name(void **state)
{
    static const struct {
        const char *train, *names; /* what those of a slice have in common */
        int32_t first;             /* block; -1: the embeddings as well */
    } cases[] = {{"down", ".mlp.down", 1}, {"mlp", ".mlp", 1}, {"all", "", -1}};
    const pal_method_t *rmu = &pal_method_rmu;
    const fixture_t *f = *state;
    pal_shape_t shape = f->layout->shape;
    _Alignas(16) unsigned char p[PAL_STATE_MAX];
    pal_layout_t *layout;

    shape.layers = 8;
    assert_int_equal(pal_layout_create(&shape, &layout, NULL), PAL_OK);
    pal_param_defaults(rmu->params, p);
    for (int k = 0; k < 3; k++) {
        if (k > 0) /* the first is the preset */
            assert_int_equal(pal_param_set(pal_param_find(rmu->params, "train"), p,
                                           cases[k].train, NULL),
                             PAL_OK);
        for (int32_t s = 0; s < layout->slice_count; s++) {
            const pal_slice_t *slice = &layout->slices[s];
            const int moves = slice->kind != PAL_FINAL_NORM &&
                              slice->layer >= cases[k].first && slice->layer <= 3 &&
                              strstr(slice->name, cases[k].names) &&
                              (k > 0 || slice->kind != PAL_MLP_DOWN_BIAS);

            if (rmu->rate(p, layout, slice) != moves)
                fail_msg("train %s: %s moves: %d", cases[k].train, slice->name, !moves);
        }
    }
    pal_layout_destroy(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_the_published_ones),
        cmocka_unit_test(at_the_start_nothing_is_to_retain),
        cmocka_unit_test(slices_are_chosen_by_name),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
