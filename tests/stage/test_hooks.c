/* Hooks of the method contract that no registered method uses, each by a toy. */
#include "base/rng.h"
#include "toy.h"
#include "train/snapshot.h"

/* MLP down-projections go up, the embeddings stay, the attention goes twice as fast. */
static double signed_rate(const void *state, const pal_layout_t *layout,
                          const pal_slice_t *slice)
{
    (void)state, (void)layout;
    switch (slice->kind) {
    case PAL_MLP_DOWN:
        return -1;
    case PAL_TOKEN_EMBEDDING:
        return 0;
    case PAL_ATTENTION_QKV:
        return 2;
    default:
        return 1;
    }
}

static void slices_move_at_their_rate(void **state)
{
    const pal_method_t plain = {
        .summary = "", .params = no_params, .step = retain_step};
    pal_method_t rated = plain;
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = toy_spec(&plain, "0.5");

    run_toy(f, &spec, a);
    rated.rate = signed_rate;
    spec.method = &rated;
    run_toy(f, &spec, b);
    for (int32_t s = 0; s < f->layout->slice_count; s++) {
        const pal_slice_t *slice = &f->layout->slices[s];
        double rate = signed_rate(NULL, f->layout, slice), moved = 0;

        for (int64_t i = slice->offset; i < slice->offset + slice->size; i++) {
            double by = (double)a[i] - f->start[i];

            assert_true(fabs((double)b[i] - f->start[i] - rate * by) < 1e-6);
            moved += fabs(by);
        }
        assert_true(moved > 0);
    }
    free(a);
    free(b);
}

static int noise_first(void *state, pal_unlearning_t *run, int64_t step,
                       const uint8_t *train, float *weights, pal_error_t *err)
{
    pal_rng_t rng;

    (void)state, (void)err;
    if (step > 0)
        return PAL_OK;
    pal_rng_init(&rng, run->key, "noise");
    pal_snapshot_noise(run->layout, train, weights, 0.1, PAL_NOISE_RELATIVE, &rng);
    return PAL_OK;
}

/* At learning rate 0 the edited weights are the result. */
static void weights_can_be_edited(void **state)
{
    const pal_method_t toy = {.summary = "",
                              .params = no_params,
                              .rate = signed_rate,
                              .edit = noise_first,
                              .step = retain_step};
    fixture_t *f = *state;
    float *weights = malloc(weight_bytes(f)), *right = malloc(weight_bytes(f));
    uint8_t train[64];
    pal_unlearn_spec_t spec = toy_spec(&toy, "0");
    pal_unlearning_t run = {.layout = f->layout, .key = f->base_key};

    run_toy(f, &spec, weights);
    for (int32_t s = 0; s < f->layout->slice_count; s++)
        train[s] = signed_rate(NULL, f->layout, &f->layout->slices[s]) != 0;
    memcpy(right, f->start, weight_bytes(f));
    assert_int_equal(noise_first(NULL, &run, 0, train, right, NULL), PAL_OK);
    assert_memory_equal(weights, right, weight_bytes(f));
    assert_memory_not_equal(weights, f->start, weight_bytes(f));
    free(weights);
    free(right);
}

/* Ascend on the retain data: nothing is kept for long. */
static int wreck(void *state, pal_unlearning_t *run, int64_t i, const float *weights,
                 const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    (void)state, (void)i;
    *loss = 0;
    return pal_method_nll(run, run->retain, -1, weights, train, grad, loss, err);
}

/* The run ends with the last weights within the budget, those that as many steps give
 * without one; a budget that holds changes nothing. */
static void the_budget_ends_the_run(void **state)
{
    const pal_method_t toy = {.summary = "", .params = no_params, .step = wreck};
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = toy_spec(&toy, "0.002");
    double kept;

    set(pal_unlearn_params, &spec.common, "steps", "40");
    set(pal_unlearn_params, &spec.common, "schedule", "constant");
    set(pal_unlearn_params, &spec.common, "budget", "0.3");
    kept = run_toy(f, &spec, a).steps;
    assert_true(kept > 0 && kept < 40 && fmod(kept, 5) == 0);
    set(pal_unlearn_params, &spec.common, "budget", "1e9");
    assert_true(run_toy(f, &spec, b).steps == 40);
    set(pal_unlearn_params, &spec.common, "budget", "0");
    spec.common.recipe.steps = (int64_t)kept;
    assert_true(run_toy(f, &spec, b).steps == kept);
    assert_memory_equal(a, b, weight_bytes(f));
    set(pal_unlearn_params, &spec.common, "steps", "40");
    set(pal_unlearn_params, &spec.common, "budget", "1e-9");
    assert_true(run_toy(f, &spec, a).steps == 0);
    assert_memory_equal(a, f->start, weight_bytes(f));
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_move_at_their_rate),
        cmocka_unit_test(weights_can_be_edited),
        cmocka_unit_test(the_budget_ends_the_run),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
