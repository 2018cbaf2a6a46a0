#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "eval/recovery.h"

#define U NAN /* not measured */

static const pal_key_t key = {{3, 1, 4}};

static void near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.17g is not %.17g within %g", a, b, tolerance);
}

static void mean_counts_what_was_measured(void **unused)
{
    static const double scores[3 * 4] = {1, 0, 1, U, U, U, U, U, 0, 1, 1, U};
    pal_estimate_t mean;

    (void)unused;
    assert_int_equal(pal_estimate_mean(scores, 3, 4, key, &mean, NULL), PAL_OK);
    assert_true(mean.value == 4.0 / 6.0);
    assert_int_equal(mean.seeds, 2);
    assert_int_equal(mean.facts, 3);
    assert_null(mean.reason);
    assert_true(mean.low >= 0 && mean.low < mean.value);
    assert_true(mean.high <= 1 && mean.high > mean.value);
}

static void nothing_measured_is_said(void **unused)
{
    static const double none[4] = {U, U, U, U}, all[4] = {1, 1, 1, 1};
    pal_estimate_t estimate;

    (void)unused;
    assert_int_equal(pal_estimate_mean(none, 2, 2, key, &estimate, NULL), PAL_OK);
    assert_true(isnan(estimate.value) && isnan(estimate.low) && isnan(estimate.high));
    assert_string_equal(estimate.reason, "nothing measured");
    assert_int_equal(pal_estimate_mean(none, 0, 0, key, &estimate, NULL), PAL_OK);
    assert_string_equal(estimate.reason, "nothing measured");
    assert_int_equal(pal_estimate_recovery(all, none, all, 2, 2, key, &estimate, NULL),
                     PAL_OK);
    assert_string_equal(estimate.reason, "nothing measured");
    assert_true(isnan(estimate.value));
}

/* U 6/8, floor 2/8, ceiling 7/8: (6 - 2) / (7 - 2) and 6 / 7. The mean of the two
 * seeds' own recoveries would be (2/2 + 2/3) / 2. */
static void recovery_is_a_ratio_of_means(void **unused)
{
    static const double unlearned[8] = {1, 1, 1, 0, 1, 1, 0, 1};
    static const double floor[8] = {1, 0, 0, 0, 0, 0, 0, 1};
    static const double ceiling[8] = {1, 1, 1, 0, 1, 1, 1, 1};
    pal_estimate_t corrected, paper;

    (void)unused;
    assert_int_equal(
        pal_estimate_recovery(unlearned, floor, ceiling, 2, 4, key, &corrected, NULL),
        PAL_OK);
    assert_int_equal(
        pal_estimate_recovery(unlearned, NULL, ceiling, 2, 4, key, &paper, NULL),
        PAL_OK);
    near(corrected.value, 4.0 / 5.0, 1e-15);
    near(paper.value, 6.0 / 7.0, 1e-15);
    assert_true(corrected.low < corrected.value && corrected.value <= corrected.high);
    assert_true(paper.low < paper.value && paper.value <= paper.high);
}

/* Only entries that all three have count: the first seed lacks a floor. */
static void recovery_pairs(void **unused)
{
    static const double unlearned[4] = {0, 0, 1, 0};
    static const double floor[4] = {U, U, 0, 0};
    static const double ceiling[4] = {1, 1, 1, 1};
    pal_estimate_t corrected, paper;

    (void)unused;
    assert_int_equal(
        pal_estimate_recovery(unlearned, floor, ceiling, 2, 2, key, &corrected, NULL),
        PAL_OK);
    assert_int_equal(
        pal_estimate_recovery(unlearned, NULL, ceiling, 2, 2, key, &paper, NULL),
        PAL_OK);
    assert_true(corrected.value == 0.5);
    assert_int_equal(corrected.seeds, 1);
    assert_true(paper.value == 0.25);
    assert_int_equal(paper.seeds, 2);
}

enum { SEEDS = 3, FACTS = 60 };

static void throw_coins(double *scores, int n, double p, pal_rng_t *rng)
{
    for (int i = 0; i < n; i++)
        scores[i] = pal_rng_uniform(rng) < p;
}

/* Resampled together, a model that equals the ceiling recovers 1 in every resample. */
static void equal_scores_have_no_spread(void **unused)
{
    double floor[SEEDS * FACTS], ceiling[SEEDS * FACTS];
    pal_estimate_t estimate;
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, key, "equal");
    throw_coins(floor, SEEDS * FACTS, 0.25, &rng);
    throw_coins(ceiling, SEEDS * FACTS, 0.9, &rng);
    assert_int_equal(pal_estimate_recovery(ceiling, floor, ceiling, SEEDS, FACTS, key,
                                           &estimate, NULL),
                     PAL_OK);
    assert_true(estimate.value == 1 && estimate.low == 1 && estimate.high == 1);
    assert_int_equal(pal_estimate_recovery(floor, floor, ceiling, SEEDS, FACTS, key,
                                           &estimate, NULL),
                     PAL_OK);
    assert_true(estimate.value == 0 && estimate.low == 0 && estimate.high == 0);
}

static void a_small_gap_has_no_recovery(void **unused)
{
    double unlearned[100], floor[100], ceiling[100];
    pal_estimate_t estimate;

    (void)unused;
    for (int i = 0; i < 100; i++) {
        unlearned[i] = i < 50;
        floor[i] = i < 30;
        ceiling[i] = i < 34;
    }
    assert_int_equal(
        pal_estimate_recovery(unlearned, floor, ceiling, 1, 100, key, &estimate, NULL),
        PAL_OK);
    assert_true(isnan(estimate.value) && isnan(estimate.low));
    assert_string_equal(estimate.reason, "ceiling too near floor");
    /* Two facts more: a value, but too many resamples without one for an interval. */
    ceiling[34] = ceiling[35] = 1;
    assert_int_equal(
        pal_estimate_recovery(unlearned, floor, ceiling, 1, 100, key, &estimate, NULL),
        PAL_OK);
    near(estimate.value, 0.20 / 0.06, 1e-12);
    assert_true(isnan(estimate.low) && isnan(estimate.high));
}

/* Ratios of 100 to the number of facts, of g in 100, that a resample draws. Fewer than
 * 5 make no ratio: 1 % of resamples with g = 11, of which 3 % draw 5 or fewer; 5 % with
 * g = 9. Without them the outer bound would be 100 / 6, and g = 9 would have one. */
static void resamples_without_a_gap_widen(void **unused)
{
    double unlearned[100], floor[100], ceiling[100];
    pal_estimate_t estimate;

    (void)unused;
    for (int i = 0; i < 100; i++) {
        unlearned[i] = 1;
        floor[i] = 0;
        ceiling[i] = i < 11;
    }
    assert_int_equal(
        pal_estimate_recovery(unlearned, floor, ceiling, 1, 100, key, &estimate, NULL),
        PAL_OK);
    near(estimate.value, 100.0 / 11, 1e-12);
    near(estimate.high, 100.0 / 5, 1e-12);
    assert_true(estimate.low >= 100.0 / 19 && estimate.low <= 100.0 / 17);
    for (int i = 0; i < 100; i++)
        unlearned[i] = -1;
    assert_int_equal(
        pal_estimate_recovery(unlearned, floor, ceiling, 1, 100, key, &estimate, NULL),
        PAL_OK);
    near(estimate.low, -100.0 / 5, 1e-12);
    assert_true(estimate.high >= -100.0 / 17 && estimate.high <= -100.0 / 19);
    ceiling[9] = ceiling[10] = 0;
    assert_int_equal(
        pal_estimate_recovery(unlearned, floor, ceiling, 1, 100, key, &estimate, NULL),
        PAL_OK);
    near(estimate.value, -100.0 / 9, 1e-12);
    assert_true(isnan(estimate.low) && isnan(estimate.high));
}

static void the_key_names_the_interval(void **unused)
{
    static const pal_key_t other_key = {{3, 1, 5}};
    double scores[SEEDS * FACTS];
    pal_estimate_t first, again, other;
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, key, "repeat");
    for (int i = 0; i < SEEDS * FACTS; i++)
        scores[i] =
            pal_rng_uniform(&rng); /* not coins: those give few distinct means */
    assert_int_equal(pal_estimate_mean(scores, SEEDS, FACTS, key, &first, NULL),
                     PAL_OK);
    assert_int_equal(pal_estimate_mean(scores, SEEDS, FACTS, key, &again, NULL),
                     PAL_OK);
    assert_int_equal(pal_estimate_mean(scores, SEEDS, FACTS, other_key, &other, NULL),
                     PAL_OK);
    assert_true(first.low == again.low && first.high == again.high);
    assert_true(first.low != other.low || first.high != other.high);
    near(first.low, other.low, 0.02);
    near(first.high, other.high, 0.02);
}

/* Seeds that disagree on everything: one seed shows no spread, two show all of it. */
static void one_seed_draws_facts_only(void **unused)
{
    static const double scores[2 * 3] = {1, 1, 1, 0, 0, 0};
    pal_estimate_t estimate;

    (void)unused;
    assert_int_equal(pal_estimate_mean(scores, 1, 3, key, &estimate, NULL), PAL_OK);
    assert_true(estimate.low == 1 && estimate.high == 1);
    assert_int_equal(pal_estimate_mean(scores, 2, 3, key, &estimate, NULL), PAL_OK);
    assert_true(estimate.value == 0.5 && estimate.low == 0 && estimate.high == 1);
    assert_int_equal(pal_estimate_mean(scores, 1, 1, key, &estimate, NULL), PAL_OK);
    assert_true(estimate.value == 1 && isnan(estimate.low) && isnan(estimate.high));
}

/* One seed: the bootstrap of a proportion has the binomial's standard error. */
static void width_is_binomial(void **unused)
{
    double scores[400];
    pal_estimate_t estimate;

    (void)unused;
    for (int i = 0; i < 400; i++)
        scores[i] = i % 2;
    assert_int_equal(pal_estimate_mean(scores, 1, 400, key, &estimate, NULL), PAL_OK);
    near(estimate.low, 0.5 - 1.96 * 0.025, 0.006);
    near(estimate.high, 0.5 + 1.96 * 0.025, 0.006);
}

/* The 97.5 % points of Student's distribution as in any table, the interval's reach for
 * seeds at 0.5 - 0.01, 0.5 + 0.01, 0.5 - 0.01 ... */
static void seeds_reach_as_student_says(void **unused)
{
    static const struct {
        int32_t seeds;
        double point;
    } known[] = {{2, 12.7062047}, {3, 4.3026527},  {4, 3.1824463},  {6, 2.5705818},
                 {7, 2.4469119},  {31, 2.0422725}, {32, 2.0395134}, {121, 1.9799304}};
    double scores[121];
    pal_estimate_t estimate;

    (void)unused;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int32_t n = known[i].seeds;
        double mean = 0.5 - (n % 2) * 0.01 / n, squares = 0;

        for (int32_t s = 0; s < n; s++) {
            scores[s] = s % 2 ? 0.51 : 0.49;
            squares += (scores[s] - mean) * (scores[s] - mean);
        }
        pal_estimate_seeds(scores, n, &estimate);
        near(estimate.value, mean, 1e-14);
        near((estimate.high - estimate.value) / sqrt(squares / (n - 1) / n),
             known[i].point, 2e-7);
        near(estimate.high - estimate.value, estimate.value - estimate.low, 1e-14);
        assert_int_equal(estimate.seeds, n);
    }
}

static void seeds_are_fractions_that_were_measured(void **unused)
{
    static const double scores[4] = {U, 0.9, U, 1}, none[2] = {U, U};
    pal_estimate_t estimate;

    (void)unused;
    pal_estimate_seeds(scores, 4, &estimate);
    assert_int_equal(estimate.seeds, 2);
    near(estimate.value, 0.95, 1e-15);
    near(estimate.low, 0.95 - 12.7062047 * 0.05, 1e-8);
    assert_true(estimate.high == 1);
    pal_estimate_seeds(scores, 2, &estimate);
    assert_true(estimate.value == 0.9 && isnan(estimate.low) && isnan(estimate.high));
    pal_estimate_seeds(none, 2, &estimate);
    assert_true(isnan(estimate.value) && isnan(estimate.low));
    assert_string_equal(estimate.reason, "nothing measured");
}

/* A fact is hard or easy for every seed: the truth is the mean over facts yet to be
 * drawn. Taking the seeds' answers for independent would cover it in some 70 % of the
 * worlds. */
static int covers_with_hard_facts(int world)
{
    enum { S = 4, F = 50 };
    double scores[S * F];
    pal_estimate_t estimate;
    pal_key_t name = {{(uint8_t)world, (uint8_t)(world >> 8)}};
    pal_rng_t rng;

    pal_rng_init(&rng, name, "coverage");
    for (int f = 0; f < F; f++) {
        double p = pal_rng_uniform(&rng) < 0.6 ? 0.95 : 0.15;

        for (int s = 0; s < S; s++)
            scores[s * F + f] = pal_rng_uniform(&rng) < p;
    }
    assert_int_equal(pal_estimate_mean(scores, S, F, name, &estimate, NULL), PAL_OK);
    return estimate.low <= 0.63 && 0.63 <= estimate.high;
}

static int covers_recovery(int world)
{
    enum { F = 80 };
    double unlearned[F], floor[F], ceiling[F];
    pal_estimate_t estimate;
    pal_key_t name = {{(uint8_t)world, (uint8_t)(world >> 8), 1}};
    pal_rng_t rng;

    pal_rng_init(&rng, name, "coverage");
    throw_coins(unlearned, F, 0.60, &rng);
    throw_coins(floor, F, 0.25, &rng);
    throw_coins(ceiling, F, 0.95, &rng);
    assert_int_equal(
        pal_estimate_recovery(unlearned, floor, ceiling, 1, F, name, &estimate, NULL),
        PAL_OK);
    return estimate.low <= 0.5 && 0.5 <= estimate.high;
}

static void intervals_cover_the_truth(void **unused)
{
    enum { WORLDS = 300 };
    int mean = 0, recovery = 0;

    (void)unused;
    for (int i = 0; i < WORLDS; i++) {
        mean += covers_with_hard_facts(i);
        recovery += covers_recovery(i);
    }
    near((double)mean / WORLDS, 0.95, 0.045);
    near((double)recovery / WORLDS, 0.95, 0.045);
}

static int covers_seeds(int32_t seeds, pal_rng_t *rng)
{
    double scores[3];
    pal_estimate_t estimate;

    for (int32_t s = 0; s < seeds; s++)
        scores[s] = 0.5 + 0.02 * pal_rng_normal(rng);
    pal_estimate_seeds(scores, seeds, &estimate);
    return estimate.low <= 0.5 && 0.5 <= estimate.high;
}

/* Seeds and facts with log-odds of spread 0.6 and 1: V of seeds has a spread of 0.12.
 */
static int covers_few_seeds(int32_t seeds, pal_key_t name, pal_rng_t *rng)
{
    enum { F = 120 };
    double fact[F], scores[3 * F];
    pal_estimate_t estimate;

    for (int32_t f = 0; f < F; f++)
        fact[f] = pal_rng_normal(rng);
    for (int32_t s = 0; s < seeds; s++) {
        double seed = 0.6 * pal_rng_normal(rng);

        for (int32_t f = 0; f < F; f++)
            scores[s * F + f] = pal_rng_uniform(rng) < 1 / (1 + exp(-seed - fact[f]));
    }
    assert_int_equal(pal_estimate_mean(scores, seeds, F, name, &estimate, NULL),
                     PAL_OK);
    return estimate.low <= 0.5 && 0.5 <= estimate.high;
}

/* What ../../analysis/README.md says of few seeds: Student's interval over seeds holds
 * 95 %, the bootstrap over seeds and facts does not. */
static void few_seeds_are_covered_as_documented(void **unused)
{
    static const double documented[4] = {0, 0, 0.79, 0.87};
    enum { WORLDS = 400, TIMES = 10 };

    (void)unused;
    for (int32_t seeds = 2; seeds <= 3; seeds++) {
        int student = 0, bootstrap = 0;
        pal_rng_t rng;

        for (int i = 0; i < WORLDS; i++) {
            pal_key_t name = {{(uint8_t)i, (uint8_t)(i >> 8), 2, (uint8_t)seeds}};

            pal_rng_init(&rng, name, "coverage");
            for (int j = 0; j < TIMES; j++)
                student += covers_seeds(seeds, &rng);
            bootstrap += covers_few_seeds(seeds, name, &rng);
        }
        near((double)student / (WORLDS * TIMES), 0.95, 0.015);
        near((double)bootstrap / WORLDS, documented[seeds], 0.04);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_counts_what_was_measured),
        cmocka_unit_test(nothing_measured_is_said),
        cmocka_unit_test(recovery_is_a_ratio_of_means),
        cmocka_unit_test(recovery_pairs),
        cmocka_unit_test(equal_scores_have_no_spread),
        cmocka_unit_test(a_small_gap_has_no_recovery),
        cmocka_unit_test(resamples_without_a_gap_widen),
        cmocka_unit_test(the_key_names_the_interval),
        cmocka_unit_test(one_seed_draws_facts_only),
        cmocka_unit_test(width_is_binomial),
        cmocka_unit_test(seeds_reach_as_student_says),
        cmocka_unit_test(seeds_are_fractions_that_were_measured),
        cmocka_unit_test(intervals_cover_the_truth),
        cmocka_unit_test(few_seeds_are_covered_as_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
