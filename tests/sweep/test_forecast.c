/* What `plan` and `status` expect of a sweep. */
#include "program.h"
#include "store/file.h"

static void a_plan_says_what_it_takes(void **unused)
{
    (void)unused;
    write_config(small);
    assert_int_equal(run("plan c.yaml --ranks 3"), 0);
    assert_says("15 forget facts in 3 folds");
    assert_says("trials             16\n");
    assert_says("distinct stages    28\n");
    assert_says("4 computed for 16 trials, 12 saved");
    assert_says("8 computed for 16 trials, 8 saved");
    assert_says("core-hours");
    assert_says("on 3 ranks");
    assert_says("\nuseful ranks       ");
    assert_says(", for 95 % of the speed of 28");
    assert_says("MB a rank");
    assert_null(strstr(output, "warning"));
    assert_says("results/tiny.h5");
    assert_says("sbatch --ntasks=3 --cpus-per-task=1 ");
    assert_says("slurm/sweep.sbatch c.yaml results/tiny.h5");
    assert_int_equal(count_files(), 1);
}

/* The page on configs shows one. */
static void the_config_that_is_shown_is_one(void **unused)
{
    (void)unused;
    assert_int_equal(run("list config >page"), 0);
    shell("sed -n '/^  sweep:/,/^$/s/^  //p' page >shown.yaml");
    assert_int_equal(run("plan shown.yaml -n 1"), 0);
    assert_says("sweep              example (shown.yaml)\n");
    assert_says("trials             168\n");
    shell("rm page shown.yaml");
}

static void a_plan_counts_what_is_done(void **unused)
{
    (void)unused;
    write_config(small);
    assert_int_equal(run("run c.yaml -o out.h5"), 0);
    assert_int_equal(run("plan c.yaml -o out.h5"), 0);
    assert_says("done               16 of 16 trials in out.h5; nothing to compute\n");
    assert_null(strstr(output, "expected time"));
    assert_int_equal(run("plan c.yaml"), 0);
    assert_null(strstr(output, "done  "));
    assert_says("expected time");
    assert_says("run c.yaml\n");
    shell("sed 's/lr: .*/lr: [1e-3, 1e-4, 1e-5]}/' c.yaml >more.yaml");
    setenv("HWLOC_SYNTHETIC", "core:2 pu:1", 1);
    assert_int_equal(run("plan more.yaml -o out.h5 -n 2"), 0);
    unsetenv("HWLOC_SYNTHETIC");
    assert_says("done               16 of 24 trials in out.h5; what follows is for the "
                "rest\n");
    assert_says("on 2 ranks");
    assert_says("run more.yaml -o out.h5\n");
    assert_says("slurm/sweep.sbatch more.yaml out.h5\n");
    shell("sed 's/seed: .*/seed: 7/' c.yaml >other.yaml");
    assert_int_equal(run("plan other.yaml -o out.h5"), 2);
    assert_says("out.h5 holds 16 done trials and 12 done models that this config does "
                "not have");
    assert_int_equal(run("plan c.yaml -o c.yaml"), 2);
    assert_says("c.yaml: not a results file");
    assert_int_equal(run("plan c.yaml -o nowhere/out.h5"), 2);
    assert_says("palimpsest: nowhere/out.h5: its folder does not exist\n");
}

/* The number behind a word of what the last command said. */
static double number_after(const char *word)
{
    assert_says(word);
    return strtod(strstr(output, word) + strlen(word), NULL);
}

/* Cores that only wait are paid for. */
static void a_plan_does_not_believe_in_threads(void **unused)
{
    double one;

    (void)unused;
    write_config("sweep: tiny\nworld: {kind: synthetic, facts: 15, folds: 3}\n"
                 "model: {size: [nano, medium]}\npretrain: {steps: 1, batch: 1}\n"
                 "attack: {kind: finetune, steps: 1, batch: 1, evaluations: 1}\n");
    assert_int_equal(run("plan c.yaml -n 1 -t 2"), 0);
    assert_says("threads hardly help models of width 64 (below 512): a sweep of their "
                "own with more ranks instead\n");
    write_config(small);
    assert_int_equal(run("plan c.yaml -n 1"), 0);
    one = number_after("core-hours");
    assert_int_equal(run("plan c.yaml -n 1 -t 64"), 0);
    assert_true(number_after("core-hours") > 20 * one);
    assert_says("(below 512): more ranks instead\n");
}

/* The commands a plan prints are for a shell, and for the machine. */
static void a_plan_prints_what_runs_here(void **unused)
{
    char here[8192];

    (void)unused;
    write_config(small);
    setenv("HWLOC_SYNTHETIC", "core:6 pu:1", 1);
    snprintf(
        here, sizeof here,
        "here               mpirun -n 3 --bind-to none %s run c.yaml --threads 2\n",
        program);
    assert_int_equal(run("plan c.yaml -n 3 -t 2"), 0);
    assert_says(here);
    assert_int_equal(run("plan c.yaml -n 7"), 0);
    assert_null(strstr(output, "mpirun"));
    assert_says("\n\ncluster            sbatch --ntasks=7 ");
    unsetenv("HWLOC_SYNTHETIC");
}

static void a_plan_quotes_names(void **unused)
{
    (void)unused;
    write_file("it's one.yaml", small);
    assert_int_equal(run("plan \"it's one.yaml\" -o 'a;b.h5' -n 1"), 0);
    assert_says("run 'it'\\''s one.yaml' -o 'a;b.h5'\n");
    assert_says("slurm/sweep.sbatch 'it'\\''s one.yaml' 'a;b.h5'\n");
    shell("rm \"it's one.yaml\"");
}

/* As if the rows from `first` on were to come, and a GFLOP had taken a second. */
static void undo_rows(pal_store_t *store, pal_table_t table, int32_t first,
                      const pal_plan_t *plan)
{
    pal_table_t run_table = pal_store_run_table(table);
    int state = pal_column_find(table, "state"),
        seconds = pal_column_find(run_table, "seconds");

    for (int32_t i = 0; i < pal_table_rows(plan, table); i++) {
        double flops = table == PAL_TABLE_BASE        ? plan->bases[i].flops
                       : table == PAL_TABLE_UNLEARNED ? plan->unlearned[i].flops
                                                      : plan->trials[i].flops,
               value = i < first ? flops / 1e9 : NAN;
        uint8_t pending = PAL_ROW_PENDING;

        assert_int_equal(pal_store_put(store, seconds, i, 1, &value, NULL), PAL_OK);
        if (i >= first)
            assert_int_equal(pal_store_put(store, state, i, 1, &pending, NULL), PAL_OK);
    }
}

/* A micro model takes many times as long as a nano: rows are not all the same. */
static void status_expects_the_time_to_go(void **unused)
{
    static const char text[] =
        "sweep: tiny\nworld: {kind: synthetic, facts: 15, folds: 3}\n"
        "model: {size: [nano, micro]}\ncontrols: false\npretrain: {steps: 4}\n"
        "unlearn: {method: gd, steps: 2}\n"
        "attack: {kind: finetune, steps: 2, evaluations: 1}\n";
    static const int32_t first[][3] = {{2, 0, 0}, {2, 1, 1}, {2, 2, 2}};
    char path[8192];
    pal_config_t config;
    pal_plan_t plan;
    pal_store_t *store;

    (void)unused;
    write_config(text);
    snprintf(path, sizeof path, "%s/sizes.h5", folder);
    assert_int_equal(pal_config_parse("c.yaml", text, strlen(text), &config, NULL),
                     PAL_OK);
    assert_int_equal(pal_plan_create(&config, &plan, NULL), PAL_OK);
    assert_int_equal(plan.trial_count, 2);
    for (int i = 0; i < 3; i++) {
        double expected = 0;

        assert_int_equal(run("run c.yaml -o sizes.h5"), 0);
        assert_int_equal(pal_store_attach(path, 1, &store, NULL), PAL_OK);
        for (int t = 0; t < 3; t++)
            undo_rows(store, (pal_table_t)(PAL_TABLE_BASE + t), first[i][t], &plan);
        pal_store_close(store);
        for (int32_t u = first[i][1]; u < 2; u++)
            expected += (plan.unlearned[u].flops + plan.trials[u].flops) / 1e9;
        assert_int_equal(run("status sizes.h5 --json"), 0);
        assert_true(fabs(number_after("\"left_s\":") - expected) <= 1e-9 * expected);
        assert_int_equal(run("status sizes.h5"), 0);
        assert_true((strstr(output, "to go: ") != NULL) == (i < 2));
    }
    pal_plan_free(&plan);
    pal_config_free(&config);
    shell("rm sizes.h5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_says_what_it_takes),
        cmocka_unit_test(the_config_that_is_shown_is_one),
        cmocka_unit_test(a_plan_counts_what_is_done),
        cmocka_unit_test(a_plan_does_not_believe_in_threads),
        cmocka_unit_test(a_plan_prints_what_runs_here),
        cmocka_unit_test(a_plan_quotes_names),
        cmocka_unit_test(status_expects_the_time_to_go),
    };

    return cmocka_run_group_tests(tests, start, end);
}
