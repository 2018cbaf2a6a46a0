#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "summary/summary.h"

/* 15 forget facts in five folds: V has three. */
static const char config_text[] =
    "sweep: summed\n"
    "world: {kind: synthetic, facts: 15, retain: 5}\n"
    "seed: [0, 1]\n"
    "unlearn:\n"
    "  - {method: gd, coefficient: [0.0948683, 1, 10], clip: 1, batch: 24, lr: 3e-3}\n"
    "attack:\n"
    "  - {kind: finetune, lr: [1e-3, 3e-4], holdout: [0, 1]}\n";

static const char path[] = "test_summary.h5";

/* What a trial is made to say. */
typedef struct {
    double dev, v_max, retain;
    uint8_t before, after; /* bits of the three facts */
    pal_state_t state;
} answer_t;

/* Models of gd with a coefficient up to it lack the second held-out fold. The three
 * facts of the first have so few resamples with a gap that there is no interval. */
static double lost;
static pal_state_t lost_state = PAL_ROW_FAILED;

/* Whether a trial is best after its last step, not after its first. */
static int best_at_end(const pal_plan_t *plan, int32_t row)
{
    const pal_plan_unlearned_t *unlearned =
        &plan->unlearned[plan->trials[row].unlearned];

    return unlearned->spec->method->role != PAL_UNLEARNS ||
           unlearned->spec->common.coefficient == 10 ||
           (unlearned->spec->common.coefficient == 0.0948683 &&
            plan->bases[unlearned->base].spec.seed == 0);
}

/* Of equal dev the rate 3e-4 counts, else 1e-3, though of gd 1 it is worse on V; gd 10
 * is damaged in one of its seeds, and half of it failed. */
static answer_t answer(const pal_plan_t *plan, int32_t row)
{
    const pal_plan_unlearned_t *unlearned =
        &plan->unlearned[plan->trials[row].unlearned];
    double coefficient = unlearned->spec->common.coefficient;
    int small = plan->trials[row].spec->common.recipe.lr < 5e-4;
    int first_seed = plan->bases[unlearned->base].spec.seed == 0;

    switch (unlearned->spec->method->role) {
    case PAL_FLOOR:
        return (answer_t){0.3, 1.0 / 3, 1, 1, 1, PAL_ROW_DONE};
    case PAL_CEILING:
        return (answer_t){1, 1, 1, 7, 7, PAL_ROW_DONE};
    case PAL_UNLEARNS:
        break;
    }
    if (coefficient <= lost && plan->trials[row].spec->common.holdout == 1)
        return (answer_t){.state = lost_state};
    if (coefficient == 0.0948683)
        return small
                   ? (answer_t){0.5, 2.0 / 3, first_seed ? 1 : 0.9, 3, 1, PAL_ROW_DONE}
                   : (answer_t){0.5, 1, first_seed ? 1 : 0.9, 3, 3, PAL_ROW_DONE};
    if (coefficient == 1)
        return small ? (answer_t){0.5, 1, 1, 1, 7, PAL_ROW_DONE}
                     : (answer_t){0.8, 2.0 / 3, 1, 1, 6, PAL_ROW_DONE};
    return small ? (answer_t){0.5, 1, first_seed ? 1 : 0.85, 0, 1, PAL_ROW_DONE}
                 : (answer_t){1, 1, 1, 0, 7, lost_state};
}

static int write_row(pal_store_t *store, pal_plan_t *plan, int32_t row, uint8_t *record)
{
    answer_t said = answer(plan, row);
    uint8_t bits[8] = {said.after}, before[8] = {said.before};
    pal_model_result_t model = {.loss = 1, .retain_accuracy = said.retain};
    pal_trial_result_t trial = {.points = 2,
                                .chosen = 1,
                                .best = 1,
                                .bits = bits,
                                .bits_before = before,
                                .retain_after = 0.25};
    pal_outcome_t outcome = {.model = &model, .trial = &trial};
    pal_where_t where = {"node", 0, 1, 1};

    trial.dev[1] = said.dev;
    trial.v[1] = said.v_max;
    trial.step[1] = best_at_end(plan, row)
                        ? (double)plan->trials[row].spec->common.recipe.steps
                        : 1;
    if (said.state == PAL_ROW_DONE)
        pal_record_pack(plan, PAL_TABLE_TRIALS, &outcome, record);
    else
        pal_record_error(plan, PAL_TABLE_TRIALS, "disk full", record);
    return pal_store_write(store, PAL_TABLE_TRIALS, row, said.state, record, &where,
                           NULL);
}

/* The unlearned models; of gd 10 the first seed's has `steps` of its 250. */
static void write_models(pal_store_t *store, pal_plan_t *plan, double steps)
{
    uint8_t *record = malloc(pal_record_size(plan, PAL_TABLE_UNLEARNED));
    uint8_t bits[8] = {0};
    pal_where_t where = {"node", 0, 1, 1};

    assert_non_null(record);
    for (int32_t row = 0; row < plan->unlearned_count; row++) {
        const pal_unlearn_spec_t *spec = plan->unlearned[row].spec;
        int first_seed = plan->bases[plan->unlearned[row].base].spec.seed == 0;
        pal_model_result_t model = {.bits = bits,
                                    .steps = (double)spec->common.recipe.steps};
        pal_outcome_t outcome = {.model = &model};

        if (first_seed && spec->common.coefficient == 10)
            model.steps = steps;
        pal_record_pack(plan, PAL_TABLE_UNLEARNED, &outcome, record);
        assert_int_equal(pal_store_write(store, PAL_TABLE_UNLEARNED, row, PAL_ROW_DONE,
                                         record, &where, NULL),
                         PAL_OK);
    }
    free(record);
}

/* Write the trials below `rows` of the file, and its unlearned models if there are any
 * trials. */
static void make_file_with(int32_t rows, double steps)
{
    pal_config_t config;
    pal_plan_t plan;
    pal_store_t *store;
    pal_resume_t resume;
    pal_error_t err = {""};
    uint8_t *record;

    unlink(path);
    if (pal_config_parse("c.yaml", config_text, strlen(config_text), &config, &err) ||
        pal_plan_create(&config, &plan, &err) ||
        pal_store_open(path, &plan, config_text, 0, &store, &resume, &err))
        fail_msg("%s", err.text);
    if (rows > 0)
        write_models(store, &plan, steps);
    record = malloc(pal_record_size(&plan, PAL_TABLE_TRIALS));
    for (int32_t row = 0; row < rows && row < plan.trial_count; row++)
        assert_int_equal(write_row(store, &plan, row, record), PAL_OK);
    free(record);
    pal_store_close(store);
    pal_plan_free(&plan);
    pal_config_free(&config);
}

static void make_file(int32_t rows)
{
    make_file_with(rows, 250);
}

static void summarize(pal_summary_t *summary)
{
    pal_store_t *store;
    pal_error_t err = {""};

    if (pal_store_view(path, &store, &err) || pal_summary_create(store, summary, &err))
        fail_msg("%s", err.text);
    pal_store_close(store);
}

static const pal_summary_cell_t *find(const pal_summary_t *summary, const char *method,
                                      double coefficient)
{
    for (int32_t i = 0; i < summary->count; i++)
        if (strcmp(summary->cells[i].method, method) == 0 &&
            (isnan(summary->cells[i].coefficient) ||
             summary->cells[i].coefficient == coefficient))
            return &summary->cells[i];
    fail_msg("no cell %s %g", method, coefficient);
    return NULL;
}

static void near(double a, double b)
{
    if (!(fabs(a - b) < 1e-12))
        fail_msg("%.17g is not %.17g", a, b);
}

static void cells_hold_what_was_written(void **unused)
{
    static const struct {
        const char *method;
        double coefficient, before, after, v_max, retain, corrected, paper;
        int damaged;
    } expected[] = {
        {"filtered", 0, 1.0 / 3, 1.0 / 3, 1.0 / 3, 1, NAN, NAN, 0},
        {"none", 0, 1, 1, 1, 1, 1, 1, 0},
        {"gd", 0.0948683, 2.0 / 3, 1.0 / 3, 1, 0.95, 0, 1.0 / 3, 0},
        {"gd", 1, 1.0 / 3, 2.0 / 3, 1, 1, 0.5, 2.0 / 3, 0},
        {"gd", 10, 0, 1.0 / 3, 1, 0.925, 0, 1.0 / 3, 1},
    };
    pal_summary_t summary;

    (void)unused;
    make_file(INT32_MAX);
    summarize(&summary);
    assert_string_equal(summary.sweep, "summed");
    assert_int_equal(summary.seeds, 2);
    assert_int_equal(summary.held_out, 6);
    assert_int_equal(summary.count, 5);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const pal_summary_cell_t *cell =
            find(&summary, expected[i].method, expected[i].coefficient);

        near(cell->v_before.value, expected[i].before);
        near(cell->v_after.value, expected[i].after);
        near(cell->v_after_max.value, expected[i].v_max);
        near(cell->retain_before.value, expected[i].retain);
        near(cell->retain_after.value, 0.25);
        assert_int_equal(cell->damaged, expected[i].damaged);
        assert_int_equal(isnan(cell->corrected.value), isnan(expected[i].corrected));
        if (cell->role == PAL_FLOOR)
            continue; /* its base is its own, so it has no ceiling */
        near(cell->corrected.value, expected[i].corrected);
        near(cell->paper.value, expected[i].paper);
        assert_int_equal(cell->v_after.facts, 6);
        assert_int_equal(cell->v_after.seeds, 2);
    }
    assert_int_equal(find(&summary, "gd", 10)->trials[PAL_ROW_FAILED], 4);
    assert_int_equal(find(&summary, "gd", 10)->trials[PAL_ROW_DONE], 4);
    pal_summary_free(&summary);
}

/* The attack on gd 1 has its largest rate everywhere. Where all of dev is right, as on
 * the ceiling, no longer list is chosen from. */
static void choices_at_an_end_are_counted(void **unused)
{
    static const struct {
        const char *method;
        double coefficient, rate;
        int at_largest, last, gaining;
    } expected[] = {
        {"filtered", 0, 3e-4, 0, 4, 4},   {"none", 0, 3e-4, 0, 4, 0},
        {"gd", 0.0948683, 3e-4, 0, 2, 2}, {"gd", 1, 1e-3, 4, 0, 4},
        {"gd", 10, 3e-4, 0, 4, 4},
    };
    pal_summary_t summary;

    (void)unused;
    make_file(INT32_MAX);
    summarize(&summary);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const pal_tuning_t *tuning =
            &find(&summary, expected[i].method, expected[i].coefficient)->tuning;

        assert_int_equal(tuning->repetitions, 4);
        assert_true(tuning->smallest_rate == 3e-4 && tuning->largest_rate == 1e-3);
        assert_true(tuning->rate == expected[i].rate);
        assert_int_equal(tuning->rate_at_end, 4);
        assert_int_equal(tuning->rate_at_largest, expected[i].at_largest);
        assert_int_equal(tuning->point_at_end, expected[i].last);
        assert_int_equal(tuning->gaining, expected[i].gaining);
    }
    pal_summary_free(&summary);
}

static char *printed(int (*print)(const pal_summary_t *, FILE *, pal_error_t *))
{
    pal_summary_t summary;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    summarize(&summary);
    assert_int_equal(print(&summary, out, NULL), PAL_OK);
    fclose(out);
    pal_summary_free(&summary);
    return text;
}

static void table_reads_well(void **unused)
{
    static const char *const says[] = {
        "summed: 2 seeds, 6 held-out facts, 36 of 40 trials done, 4 failed\n",
        "   floor        -  0.33 ",
        "   ceiling      -  1.00 1.00..1.00",
        "   gd      0.0949  0.67 ",
        "\n^  gd           1  0.33 ",
        "!~^gd          10  0.00 0.00..0.00  0.93 0.00..1.00",
        "gd: least recovery with retain >= 0.9: 0.00",
        "! retain < 0.9 in some seed",
        "\n^ the attack was still gaining at the end of its rates or steps",
        "~ not all trials are done",
        "\na..b: 95 % bootstrap over seeds and facts; retain: Student's t over "
        "seeds.\n",
        "\n  Of 2 or 3 seeds that differ much (V by 0.12) it is too narrow",
        "(coefficient 0.0949, V 0.67",
        "its interval does not count that choice",
        "defaults:\n  gd: batch=24 lr=0.003\n\n",
        "chosen on V itself",
    };
    char *text;

    (void)unused;
    make_file(INT32_MAX);
    text = printed(pal_summary_print);
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        if (!strstr(text, says[i]))
            fail_msg("no '%s' in:\n%s", says[i], text);
    assert_null(strstr(text, "one learning rate"));
    assert_null(strstr(text, "<gd"));
    assert_null(strstr(text, "\n<"));
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 110);
    free(text);
}

static void a_recovery_without_interval_says_so(void **unused)
{
    char *text;

    (void)unused;
    make_file(INT32_MAX);
    text = printed(pal_summary_print);
    assert_null(strchr(text, '?'));
    free(text);
    lost = 0.5;
    make_file(INT32_MAX);
    text = printed(pal_summary_print);
    assert_non_null(strstr(text, "  0.00 ?           0.33 "));
    assert_non_null(strstr(text, "least recovery with retain >= 0.9: 0.50 "));
    assert_non_null(strstr(text, " ^ (coefficient 1, "));
    assert_non_null(strstr(text, "\n? no interval: ceiling - floor < 0.05"));
    free(text);
    lost = 10;
    make_file(INT32_MAX);
    text = printed(pal_summary_print);
    assert_non_null(strstr(text, "least recovery with retain >= 0.9: 0.00 ? (coeff"));
    free(text);
    lost = 0;
}

static void a_budget_that_ended_runs_is_marked(void **unused)
{
    pal_summary_t summary;
    char *text;

    (void)unused;
    make_file_with(INT32_MAX, 245);
    summarize(&summary);
    assert_int_equal(find(&summary, "gd", 10)->ended_early, 1);
    near(find(&summary, "gd", 10)->mean_steps, 247.5);
    near(find(&summary, "gd", 1)->mean_steps, 250);
    assert_int_equal(find(&summary, "gd", 1)->ended_early, 0);
    assert_int_equal(find(&summary, "none", 0)->ended_early, 0);
    pal_summary_free(&summary);
    text = printed(pal_summary_print);
    assert_non_null(strstr(text, "\n!~<^gd          10 0.00 "));
    assert_non_null(strstr(text, "\n^   gd           1 0.33 "));
    assert_non_null(strstr(text, "\n< the retain budget ended unlearning"));
    assert_non_null(
        strstr(text, "\n  gd: its budget ended it after 248 of 250 steps at 10\n"));
    free(text);
}

/* Nothing is left to wait for: not the mark of a sweep that still runs. */
static void a_diverged_trial_has_a_mark_of_its_own(void **unused)
{
    char *text;

    (void)unused;
    lost_state = PAL_ROW_DIVERGED;
    make_file(INT32_MAX);
    text = printed(pal_summary_print);
    lost_state = PAL_ROW_FAILED;
    assert_non_null(strstr(text, "\n!x^gd          10  0.00 "));
    assert_non_null(strstr(text, "\nx some trials diverged"));
    assert_null(strchr(text, '~'));
    free(text);
}

static void json_says_the_same(void **unused)
{
    json_t *root, *cell, *first;
    char *text;

    (void)unused;
    make_file(INT32_MAX);
    text = printed(pal_summary_json);
    root = json_loads(text, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "sweep")), "summed");
    cell = json_object_get(root, "cells");
    assert_int_equal(json_array_size(cell), 5);
    for (size_t i = 0; i < 5; i++) {
        first = json_array_get(cell, i);
        if (json_real_value(json_object_get(first, "coefficient")) == 1)
            near(json_real_value(json_object_get(
                     json_object_get(first, "corrected_recovery"), "value")),
                 0.5);
        if (strcmp(json_string_value(json_object_get(first, "role")), "floor") == 0)
            assert_string_equal(
                json_string_value(json_object_get(
                    json_object_get(first, "corrected_recovery"), "reason")),
                "no ceiling");
    }
    json_decref(root);
    free(text);
}

static void an_unfinished_file_is_read(void **unused)
{
    pal_summary_t summary;
    char *text;

    (void)unused;
    for (int32_t rows = 0; rows < 40; rows += 7) {
        make_file(rows);
        summarize(&summary);
        assert_int_equal(summary.count, 5);
        assert_true(summary.trials[PAL_ROW_PENDING] == 40 - rows);
        pal_summary_free(&summary);
        text = printed(pal_summary_print);
        assert_non_null(strstr(text, " pending"));
        free(text);
    }
    make_file(1);
    text = printed(pal_summary_print);
    assert_non_null(strstr(text, "gd: no corrected recovery to read"));
    free(text);
}

static void a_file_without_a_trial_is_two_lines(void **unused)
{
    char *text;

    (void)unused;
    make_file(0);
    text = printed(pal_summary_print);
    assert_string_equal(text, "summed: 2 seeds, 6 held-out facts, 0 of 40 trials done, "
                              "40 pending\nno trial done yet; 0 of 4 base models, 0 "
                              "of 10 unlearned models\n");
    free(text);
}

static void a_table_that_cannot_be_written_is_an_error(void **unused)
{
    FILE *full = fopen("/dev/full", "w");
    pal_summary_t summary;
    pal_error_t err;

    (void)unused;
    assert_non_null(full);
    make_file(INT32_MAX);
    summarize(&summary);
    assert_int_equal(pal_summary_print(&summary, full, &err), PAL_EIO);
    assert_non_null(strstr(err.text, "cannot write the table"));
    assert_int_equal(pal_summary_json(&summary, full, &err), PAL_EIO);
    pal_summary_free(&summary);
    fclose(full);
}

static int clean(void **unused)
{
    (void)unused;
    unlink(path);
    unlink("test_summary.h5.lock");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_hold_what_was_written),
        cmocka_unit_test(choices_at_an_end_are_counted),
        cmocka_unit_test(table_reads_well),
        cmocka_unit_test(a_recovery_without_interval_says_so),
        cmocka_unit_test(a_budget_that_ended_runs_is_marked),
        cmocka_unit_test(a_diverged_trial_has_a_mark_of_its_own),
        cmocka_unit_test(json_says_the_same),
        cmocka_unit_test(an_unfinished_file_is_read),
        cmocka_unit_test(a_file_without_a_trial_is_two_lines),
        cmocka_unit_test(a_table_that_cannot_be_written_is_an_error),
    };

    return cmocka_run_group_tests(tests, clean, clean);
}
