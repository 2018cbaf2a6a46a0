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

/* With a budget the loss is that of the step whose weights are kept. */
static void the_loss_is_of_the_kept_weights(void **state)
{
    const pal_method_t toy = {.summary = "", .params = no_params, .step = wreck};
    fixture_t *f = *state;
    float *weights = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = toy_spec(&toy, "0.002");
    pal_model_result_t within, without;

    set(pal_unlearn_params, &spec.common, "steps", "40");
    set(pal_unlearn_params, &spec.common, "schedule", "constant");
    set(pal_unlearn_params, &spec.common, "budget", "0.3");
    within = run_toy(f, &spec, weights);
    set(pal_unlearn_params, &spec.common, "budget", "0");
    spec.common.recipe.steps = (int64_t)within.steps;
    without = run_toy(f, &spec, weights);
    assert_true(within.steps > 0 && within.loss == without.loss);
    set(pal_unlearn_params, &spec.common, "steps", "40");
    set(pal_unlearn_params, &spec.common, "budget", "1e-9");
    within = run_toy(f, &spec, weights);
    assert_true(within.steps == 0 && isnan(within.loss));
    free(weights);
}

/* Descend on the retain data, but for step 7. */
static int break_late(void *state, pal_unlearning_t *run, int64_t i,
                      const float *weights, const uint8_t *train, float *grad,
                      double *loss, pal_error_t *err)
{
    int rc = retain_step(state, run, i, weights, train, grad, loss, err);

    if (i == 7)
        *loss = NAN;
    return rc;
}

static int unlearn_toy(fixture_t *f, const pal_unlearn_spec_t *spec, const float *start,
                       float *weights, pal_model_result_t *result, pal_error_t *err)
{
    return pal_stage_unlearn(f->lab, &f->ground, &f->base, spec, f->base_key, start,
                             weights, result, err);
}

/* What diverges between two looks has left the budget; without one, or from a start
 * that is broken itself, it fails. */
static void to_diverge_is_to_leave_the_budget(void **state)
{
    const pal_method_t toy = {.summary = "", .params = no_params, .step = break_late};
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = toy_spec(&toy, "0.01");
    pal_model_result_t result = {.bits = f->bits};
    pal_error_t err;

    set(pal_unlearn_params, &spec.common, "steps", "20");
    set(pal_unlearn_params, &spec.common, "schedule", "constant");
    assert_int_equal(unlearn_toy(f, &spec, f->start, a, &result, &err), PAL_EDIVERGE);
    set(pal_unlearn_params, &spec.common, "budget", "1e9");
    result = run_toy(f, &spec, a);
    assert_true(result.steps == 5 && isfinite(result.loss));
    set(pal_unlearn_params, &spec.common, "budget", "0");
    set(pal_unlearn_params, &spec.common, "steps", "5");
    assert_true(run_toy(f, &spec, b).loss == result.loss);
    assert_memory_equal(a, b, weight_bytes(f));
    set(pal_unlearn_params, &spec.common, "budget", "1");
    for (int64_t i = 0; i < f->layout->count; i++)
        b[i] = NAN;
    assert_int_equal(unlearn_toy(f, &spec, b, a, &result, &err), PAL_EDIVERGE);
    free(a);
    free(b);
}

static void rank_two(const void *state, pal_adapter_spec_t *spec)
{
    (void)state;
    *spec = (pal_adapter_spec_t){.rank = 2, .alpha = 4, .targets = "mlp"};
}

/* Rank of what moved in a slice is 2 at most: every 3 x 3 minor of it is near 0. */
static void check_rank(const pal_slice_t *slice, const float *a, const float *b)
{
    const int32_t n = slice->cols;
    double m[3][3], det, size = 0;

    a += slice->offset;
    b += slice->offset;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            m[i][j] = (double)b[5 * i * n + 3 * j] - a[5 * i * n + 3 * j];
            size = fmax(size, fabs(m[i][j]));
        }
    det = m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
          m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
          m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
    assert_true(size > 0 && fabs(det) < 1e-3 * size * size * size);
}

/* A method under an adapter: its targets move by a matrix of that rank, and nothing
 * else moves; a budget ends it as any other run. */
static void a_method_trains_an_adapter(void **state)
{
    const pal_method_t toy = {
        .summary = "", .params = no_params, .adapter = rank_two, .step = wreck};
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = toy_spec(&toy, "0.002");
    double kept;

    set(pal_unlearn_params, &spec.common, "steps", "40");
    set(pal_unlearn_params, &spec.common, "schedule", "constant");
    set(pal_unlearn_params, &spec.common, "optimizer", "adamw");
    set(pal_unlearn_params, &spec.common, "budget", "0.3");
    kept = run_toy(f, &spec, a).steps;
    assert_true(kept > 0 && kept < 40);
    for (int32_t s = 0; s < f->layout->slice_count; s++) {
        const pal_slice_t *slice = &f->layout->slices[s];

        if (slice->kind == PAL_MLP_UP || slice->kind == PAL_MLP_DOWN)
            check_rank(slice, f->start, a);
        else
            assert_memory_equal(a + slice->offset, f->start + slice->offset,
                                (size_t)slice->size * sizeof(float));
    }
    set(pal_unlearn_params, &spec.common, "budget", "0");
    spec.common.recipe.steps = (int64_t)kept;
    run_toy(f, &spec, b);
    assert_memory_equal(a, b, weight_bytes(f));
    free(a);
    free(b);
}

static void rank_two_of_all(const void *state, pal_adapter_spec_t *spec)
{
    (void)state;
    *spec = (pal_adapter_spec_t){.rank = 2, .alpha = 4, .targets = "all"};
}

/* `adapter` in a config: as if the method had asked for all matrices and alpha twice
 * the rank. */
static void a_config_asks_for_an_adapter(void **state)
{
    pal_method_t toy = {.summary = "", .params = no_params, .step = retain_step};
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = toy_spec(&toy, "0.1");

    set(pal_unlearn_params, &spec.common, "adapter", "2");
    run_toy(f, &spec, a);
    set(pal_unlearn_params, &spec.common, "adapter", "0");
    toy.adapter = rank_two_of_all;
    run_toy(f, &spec, b);
    assert_memory_equal(a, b, weight_bytes(f));
    assert_memory_not_equal(a, f->start, weight_bytes(f));
    free(a);
    free(b);
}

static int edit_nothing(void *state, pal_attacking_t *run, int64_t step,
                        const uint8_t *train, float *weights, pal_error_t *err)
{
    (void)state, (void)run, (void)step, (void)train, (void)weights, (void)err;
    return PAL_OK;
}

/* The next merge would undo the edit. */
static void no_edit_under_an_adapter(void **state)
{
    const pal_method_t method = {.summary = "",
                                 .params = no_params,
                                 .adapter = rank_two,
                                 .edit = noise_first,
                                 .step = retain_step};
    const pal_attack_t attack = {.summary = "",
                                 .params = no_params,
                                 .adapter = rank_two,
                                 .edit = edit_nothing,
                                 .step = pal_attack_nll};
    fixture_t *f = *state;
    float *weights = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = toy_spec(&method, "0.1");
    pal_attack_spec_t trial = attack_spec("finetune");
    pal_model_result_t result = {.bits = f->bits};
    pal_trial_result_t tried = {.bits = f->bits, .bits_before = f->bits + 32};
    pal_error_t err;

    assert_int_equal(unlearn_toy(f, &spec, f->start, weights, &result, &err),
                     PAL_EINVAL);
    if (!strstr(err.text, "an edit of the weights under an adapter"))
        fail_msg("%s", err.text);
    trial.attack = &attack;
    assert_int_equal(pal_stage_trial(f->lab, &f->ground, &f->base, &trial, f->base_key,
                                     f->start, f->work, &tried, &err),
                     PAL_EINVAL);
    assert_non_null(strstr(err.text, "an edit of the weights under an adapter"));
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_move_at_their_rate),
        cmocka_unit_test(weights_can_be_edited),
        cmocka_unit_test(the_budget_ends_the_run),
        cmocka_unit_test(the_loss_is_of_the_kept_weights),
        cmocka_unit_test(to_diverge_is_to_leave_the_budget),
        cmocka_unit_test(a_method_trains_an_adapter),
        cmocka_unit_test(a_config_asks_for_an_adapter),
        cmocka_unit_test(no_edit_under_an_adapter),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
