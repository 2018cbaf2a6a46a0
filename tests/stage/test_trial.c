/* Which facts each number of a result comes from: an attack that answers as it is told
 * shows it for a trial. */
#include "stage/lab.h"
#include "toy.h"

enum { LOOKS = 3, IN_FOLD = 8 };

/* Right answers at each look: best on dev at the second, on V at the third. */
static const int32_t right_on_dev[LOOKS] = {2, 6, 4}, right_on_v[LOOKS] = {4, 3, 8};

static int32_t dev_fold, v_fold;
static pal_key_t trial_key;
static int64_t steps_done;
static float *at_look[LOOKS]; /* the weights that answered */

static int count_step(void *state, pal_attacking_t *run, int64_t i,
                      const float *weights, const uint8_t *train, float *grad,
                      double *loss, pal_error_t *err)
{
    steps_done = i + 1;
    assert_true(pal_key_equal(run->key, trial_key));
    return pal_attack_nll(state, run, i, weights, train, grad, loss, err);
}

/* The first so many facts right, of the others none. */
static int answer_as_told(void *state, pal_attacking_t *run, const float *weights,
                          const int32_t *facts, int32_t n, int32_t *choice,
                          pal_error_t *err)
{
    const int64_t look = steps_done - 1;

    (void)state, (void)err;
    assert_int_equal(n, IN_FOLD);
    memcpy(at_look[look], weights, (size_t)run->layout->count * sizeof *weights);
    for (int32_t i = 0; i < n; i++) {
        const pal_fact_t *fact = &run->corpus->world->facts[facts[i]];
        int32_t right = 0;

        assert_int_equal(fact->role, PAL_FORGET);
        if (fact->fold == dev_fold)
            right = right_on_dev[look];
        if (fact->fold == v_fold)
            right = right_on_v[look];
        choice[i] = i < right ? fact->answer : -1;
    }
    return PAL_OK;
}

static void check_numbers(const pal_trial_result_t *r)
{
    assert_int_equal(r->points, 1 + LOOKS);
    for (int look = 0; look < LOOKS; look++) {
        assert_true(r->dev[1 + look] == (double)right_on_dev[look] / IN_FOLD);
        assert_true(r->v[1 + look] == (double)right_on_v[look] / IN_FOLD);
    }
    assert_int_equal(r->chosen, 2);
    assert_int_equal(r->best, 3);
    assert_int_equal(r->bits[0], (1 << right_on_v[1]) - 1);
}

static double score(fixture_t *f, const float *weights, pal_role_t role, int32_t fold)
{
    double accuracy;

    assert_int_equal(
        pal_lab_score(f->lab, &f->ground, weights, role, fold, NULL, &accuracy, NULL),
        PAL_OK);
    return accuracy;
}

/* The weights are those of the chosen point, and retain is asked with them. */
static void check_end(fixture_t *f, const pal_trial_result_t *r)
{
    assert_memory_equal(f->work, at_look[1], weight_bytes(f));
    assert_memory_not_equal(f->work, at_look[2], weight_bytes(f));
    assert_true(r->retain_after == score(f, f->work, PAL_RETAIN, -1));
    assert_true(r->retain_after != score(f, f->work, PAL_FORGET, -1));
}

static void dev_chooses_and_v_is_measured(void **state)
{
    const pal_attack_t toy = {.summary = "",
                              .params = no_params,
                              .step = count_step,
                              .answer = answer_as_told};
    fixture_t *f = *state;
    const int32_t folds = f->ground.world.folds;
    pal_trial_result_t result = {.bits = f->bits, .bits_before = f->bits + 32};

    for (int look = 0; look < LOOKS; look++)
        at_look[look] = malloc(weight_bytes(f));
    for (v_fold = 0; v_fold < folds; v_fold++) {
        pal_attack_spec_t spec = {.attack = &toy, .id = "toy"};

        trial_key = pal_trial_key(f->base_key, &spec);
        dev_fold = v_fold + 1 < folds ? v_fold + 1 : 0;
        pal_param_defaults(pal_attack_params, &spec.common);
        set(pal_attack_params, &spec.common, "steps", "3");
        set(pal_attack_params, &spec.common, "evaluations", "3");
        set(pal_attack_params, &spec.common, "batch", "8");
        spec.common.holdout = v_fold;
        assert_int_equal(pal_stage_trial(f->lab, &f->ground, &f->base, &spec, trial_key,
                                         f->start, f->work, &result, NULL),
                         PAL_OK);
        check_numbers(&result);
        check_end(f, &result);
    }
    for (int look = 0; look < LOOKS; look++)
        free(at_look[look]);
}

static void a_model_is_judged_by_all_facts(void **state)
{
    fixture_t *f = *state;
    const int32_t folds = f->ground.world.folds;
    pal_model_result_t result = {.bits = f->bits};
    double sum = 0;
    int32_t ones = 0;

    assert_int_equal(pal_stage_base(f->lab, &f->ground, &f->base, f->base_key, f->work,
                                    &result, NULL),
                     PAL_OK);
    for (int32_t fold = 0; fold < folds; fold++)
        sum += score(f, f->work, PAL_FORGET, fold);
    for (int32_t i = 0; i < f->ground.forget; i++)
        ones += f->bits[i / 8] >> (i % 8) & 1;
    assert_true(sum > 0 && fabs(result.v_accuracy - sum / folds) < 1e-12);
    assert_true(fabs(result.v_accuracy - (double)ones / f->ground.forget) < 1e-12);
    assert_true(result.retain_accuracy == score(f, f->work, PAL_RETAIN, -1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_judged_by_all_facts),
        cmocka_unit_test(dev_chooses_and_v_is_measured),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
