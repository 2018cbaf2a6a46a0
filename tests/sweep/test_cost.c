#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "plan/cost.h"

static const char text[] =
    "sweep: s\nworld: {kind: synthetic, facts: 15, folds: 3}\nmodel: {size: [nano, "
    "micro]}\n"
    "seed: [0, 1, 2]\npretrain: {steps: 50}\n"
    "unlearn: {method: gd, coefficient: [0.5, 0.25], steps: [5, 10]}\n"
    "attack: {kind: finetune, steps: [4, 8, 16], evaluations: 2}\n";

static pal_config_t config;
static pal_plan_t plan;

static int start(void **unused)
{
    (void)unused;
    if (pal_config_parse("c.yaml", text, strlen(text), &config, NULL) != PAL_OK)
        return -1;
    return pal_plan_create(&config, &plan, NULL);
}

static int end(void **unused)
{
    (void)unused;
    pal_plan_free(&plan);
    pal_config_free(&config);
    return 0;
}

static double *made_rates(void)
{
    double *rates = malloc((size_t)plan.base_count * sizeof *rates);

    assert_non_null(rates);
    for (int32_t i = 0; i < plan.base_count; i++)
        rates[i] = strcmp(plan.bases[i].spec.model.size, "nano") ? 2e10 : 1e10;
    return rates;
}

/* Seconds of all stages, one after the other. */
static double sum_of_stages(const double *rates)
{
    double seconds = 0;

    for (int32_t i = 0; i < plan.base_count; i++)
        seconds += plan.bases[i].flops / rates[i];
    for (int32_t i = 0; i < plan.unlearned_count; i++)
        seconds += plan.unlearned[i].flops / rates[plan.unlearned[i].base];
    for (int32_t i = 0; i < plan.trial_count; i++)
        seconds +=
            plan.trials[i].flops / rates[plan.unlearned[plan.trials[i].unlearned].base];
    return seconds;
}

/* The longest way from a base to the end of one of its trials. */
static double longest_chain(const double *rates)
{
    double longest = 0;

    for (int32_t i = 0; i < plan.trial_count; i++) {
        const pal_plan_unlearned_t *row = &plan.unlearned[plan.trials[i].unlearned];
        double chain =
            (plan.bases[row->base].flops + row->flops + plan.trials[i].flops) /
            rates[row->base];

        longest = chain > longest ? chain : longest;
    }
    return longest;
}

static void one_rank_takes_the_sum(void **unused)
{
    double *rates = made_rates(), total = sum_of_stages(rates), seconds = 0;

    (void)unused;
    assert_int_equal(pal_cost_makespan(&plan, NULL, rates, 1, &seconds, NULL), PAL_OK);
    assert_true(total > 0);
    assert_true(fabs(seconds - total) < 1e-9 * total);
    free(rates);
}

static void more_ranks_are_sooner_within_bounds(void **unused)
{
    static const int32_t ranks[] = {2, 3, 8, 100, 5000};
    double *rates = made_rates(), total = sum_of_stages(rates), before = total;

    (void)unused;
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        double seconds = 0, again = 0;

        assert_int_equal(
            pal_cost_makespan(&plan, NULL, rates, ranks[i], &seconds, NULL), PAL_OK);
        assert_int_equal(pal_cost_makespan(&plan, NULL, rates, ranks[i], &again, NULL),
                         PAL_OK);
        assert_true(seconds == again);
        assert_true(seconds <= before * (1 + 1e-9));
        assert_true(seconds >= longest_chain(rates) * (1 - 1e-9));
        assert_true(seconds >= total / ranks[i] * (1 - 1e-9));
        before = seconds;
    }
    free(rates);
}

static double seconds_on(const double *rates, int32_t ranks)
{
    double seconds = 0;

    assert_int_equal(pal_cost_makespan(&plan, NULL, rates, ranks, &seconds, NULL),
                     PAL_OK);
    return seconds;
}

static void useful_ranks_are_fast_and_no_more(void **unused)
{
    static const int32_t most[] = {1, 2, 7, 5000};
    double *rates = made_rates();

    (void)unused;
    for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
        const double least = seconds_on(rates, most[i]);
        int32_t ranks = 0, before;

        assert_int_equal(pal_cost_useful(&plan, NULL, rates, most[i], &ranks, NULL),
                         PAL_OK);
        assert_in_range(ranks, 1, most[i]);
        assert_true(PAL_USEFUL_SPEED * seconds_on(rates, ranks) <= least);
        before = ranks & (ranks - 1) ? ranks * 2 / 3 : ranks * 3 / 4;
        if (ranks > 1 && ranks < most[i])
            assert_true(PAL_USEFUL_SPEED * seconds_on(rates, before) > least);
    }
    free(rates);
}

/* What is done costs nothing; a base that is done but has no weights is trained again
 * for what stands on it. */
static void only_what_is_not_done_counts(void **unused)
{
    double *rates = made_rates(), seconds = 0;
    int32_t last = plan.trial_count - 1, model = plan.trials[last].unlearned,
            base = plan.unlearned[model].base;
    double chain =
        (plan.unlearned[model].flops + plan.trials[last].flops) / rates[base];
    pal_done_t done;

    (void)unused;
    assert_int_equal(pal_done_read("no/such.h5", &plan, &done, NULL), PAL_OK);
    assert_int_equal(done.trials, 0);
    assert_int_equal(pal_cost_makespan(&plan, &done, rates, 1, &seconds, NULL), PAL_OK);
    assert_true(fabs(seconds - sum_of_stages(rates)) < 1e-9 * seconds);
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++)
        memset(done.rows[t], 1, (size_t)pal_table_rows(&plan, (pal_table_t)t));
    assert_int_equal(pal_cost_makespan(&plan, &done, rates, 3, &seconds, NULL), PAL_OK);
    assert_true(seconds == 0);
    done.rows[PAL_TABLE_TRIALS][last] = 0;
    done.weights[base] = 1;
    assert_int_equal(pal_cost_makespan(&plan, &done, rates, 3, &seconds, NULL), PAL_OK);
    assert_true(fabs(seconds - chain) < 1e-9 * chain);
    done.weights[base] = 0;
    chain += plan.bases[base].flops / rates[base];
    assert_int_equal(pal_cost_makespan(&plan, &done, rates, 3, &seconds, NULL), PAL_OK);
    assert_true(fabs(seconds - chain) < 1e-9 * chain);
    pal_done_free(&done);
    free(rates);
}

static void rates_are_one_for_each_size(void **unused)
{
    double *rates = made_rates();

    (void)unused;
    assert_int_equal(pal_cost_rates(&plan, rates, NULL), PAL_OK);
    for (int32_t i = 0; i < plan.base_count; i++) {
        assert_true(isfinite(rates[i]) && rates[i] > 0);
        for (int32_t j = 0; j < i; j++)
            if (strcmp(plan.bases[i].spec.model.size, plan.bases[j].spec.model.size) ==
                0)
                assert_true(rates[i] == rates[j]);
    }
    free(rates);
}

/* Resident at most, so far. */
static double peak_bytes(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return 1024.0 * (double)usage.ru_maxrss;
}

/* A step of this batch would need 4 GB and more. */
static void a_large_batch_is_measured_on_a_part(void **unused)
{
    int64_t batch = plan.bases[0].spec.pretrain.recipe.batch;
    double before = peak_bytes(), rate = 0;

    (void)unused;
    plan.bases[0].spec.pretrain.recipe.batch = 65536;
    assert_int_equal(pal_cost_rate(&plan, 0, &rate, NULL), PAL_OK);
    plan.bases[0].spec.pretrain.recipe.batch = batch;
    assert_true(isfinite(rate) && rate > 0);
    assert_true(peak_bytes() - before < 500e6);
}

/* Of the largest model. */
static double most_weights(void)
{
    double most = 0;

    for (int32_t i = 0; i < plan.base_count; i++) {
        pal_layout_t *layout = NULL;

        assert_int_equal(pal_base_layout(pal_plan_ground(&plan, i), &plan.bases[i].spec,
                                         &layout, NULL),
                         PAL_OK);
        most = fmax(most, (double)layout->count);
        pal_layout_destroy(layout);
    }
    return most;
}

static void memory_holds_the_largest_model(void **unused)
{
    double bytes = pal_cost_memory(&plan);

    (void)unused;
    assert_true(bytes > 4.0 * sizeof(float) * most_weights());
    assert_true(bytes < 1e9);
}

/* The first row that trains. */
static pal_unlearn_spec_t *first_method(void)
{
    int32_t i = 0;

    while (plan.unlearned[i].spec->method->role != PAL_UNLEARNS)
        i++;
    return plan.unlearned[i].spec;
}

static void memory_holds_what_a_method_keeps(void **unused)
{
    pal_unlearn_spec_t *spec = first_method();
    const pal_method_t *method = spec->method;
    pal_method_t greedy = *method;
    double model = sizeof(float) * most_weights(), before = pal_cost_memory(&plan),
           frozen, buffers, reference, whole, taps;

    (void)unused;
    spec->method = &greedy;
    greedy.frozen = 1;
    frozen = pal_cost_memory(&plan);
    greedy.buffers = 3;
    buffers = pal_cost_memory(&plan);
    greedy.reference = 1;
    reference = pal_cost_memory(&plan);
    greedy.computes = PAL_WHOLE_LOGITS;
    whole = pal_cost_memory(&plan);
    greedy.computes = PAL_WHOLE_TAPS;
    taps = pal_cost_memory(&plan);
    spec->method = method;
    assert_true(fabs(frozen - before - model) < 1);
    assert_true(fabs(buffers - frozen - 3 * model) < 1);
    assert_true(reference > buffers); /* its activations */
    assert_true(whole > reference);
    assert_true(taps < whole);
}

/* Whole texts take longer than shared ones, and pairs grow with the square. */
static void time_counts_what_a_method_computes(void **unused)
{
    const pal_plan_base_t *base = &plan.bases[plan.unlearned[0].base];
    const pal_ground_t *ground = &plan.worlds[base->world].ground;
    pal_unlearn_spec_t spec = *first_method();
    pal_method_t greedy = *spec.method;
    double shared, whole, pairs, more;

    (void)unused;
    spec.method = &greedy;
    spec.common.recipe.steps = 1000;
    shared = pal_unlearn_flops(ground, &base->spec, &spec);
    greedy.computes = PAL_WHOLE_LOGITS;
    whole = pal_unlearn_flops(ground, &base->spec, &spec);
    greedy.pair_cost = 10;
    pairs = pal_unlearn_flops(ground, &base->spec, &spec);
    greedy.pair_cost = 40;
    more = pal_unlearn_flops(ground, &base->spec, &spec);
    assert_true(whole > 1.2 * shared);
    assert_true(pairs > whole);
    assert_true(fabs((more - whole) / (pairs - whole) - 4) < 1e-9);
    greedy.pair_cost = 10;
    spec.common.recipe.batch *= 2;
    more = pal_unlearn_flops(ground, &base->spec, &spec);
    greedy.pair_cost = 0;
    whole = pal_unlearn_flops(ground, &base->spec, &spec);
    assert_true(more - whole > 3.9 * (pairs - whole / 2));
}

static void threads_help_wide_models_alone(void **unused)
{
    (void)unused;
    assert_true(pal_cost_threads(511, 64) == 1);
    assert_true(pal_cost_threads(512, 1) == 1);
    assert_true(fabs(pal_cost_threads(512, 2) - 1.9) < 1e-12);
    assert_true(fabs(pal_cost_threads(768, 8) - 5.8) < 0.1);
    assert_true(pal_cost_threads(768, 1024) < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_takes_the_sum),
        cmocka_unit_test(more_ranks_are_sooner_within_bounds),
        cmocka_unit_test(useful_ranks_are_fast_and_no_more),
        cmocka_unit_test(only_what_is_not_done_counts),
        cmocka_unit_test(rates_are_one_for_each_size),
        cmocka_unit_test(a_large_batch_is_measured_on_a_part),
        cmocka_unit_test(threads_help_wide_models_alone),
        cmocka_unit_test(memory_holds_the_largest_model),
        cmocka_unit_test(memory_holds_what_a_method_keeps),
        cmocka_unit_test(time_counts_what_a_method_computes),
    };

    return cmocka_run_group_tests(tests, start, end);
}
