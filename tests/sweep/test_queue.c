#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "plan/queue.h"

enum { BASES = 2, MODELS = 6, EACH = 4, TRIALS = MODELS * EACH };

/* Two bases, the second the longer; three models on each, four trials on each of those.
 */
static pal_plan_base_t bases[BASES] = {{.flops = 10, .models = 0},
                                       {.flops = 30, .models = 3}};
static pal_plan_unlearned_t models[MODELS];
static pal_plan_trial_t trials[TRIALS];
static pal_plan_t plan = {.bases = bases,
                          .unlearned = models,
                          .trials = trials,
                          .base_count = BASES,
                          .unlearned_count = MODELS,
                          .trial_count = TRIALS};

static int setup(void **unused)
{
    (void)unused;
    for (int32_t i = 0; i < MODELS; i++)
        models[i] = (pal_plan_unlearned_t){.base = i / 3,
                                           .next = i % 3 == 2 ? -1 : i + 1,
                                           .flops = 5,
                                           .first = EACH * i,
                                           .trials = EACH};
    for (int32_t i = 0; i < TRIALS; i++)
        trials[i] = (pal_plan_trial_t){.unlearned = i / EACH, .flops = 1 + i / EACH};
    return 0;
}

static pal_queue_t *full_queue(int32_t ranks)
{
    pal_queue_t *queue = NULL;

    assert_int_equal(pal_queue_create(&plan, ranks, &queue, NULL), PAL_OK);
    for (int32_t i = 0; i < BASES; i++)
        pal_queue_add(queue, PAL_TABLE_BASE, i);
    for (int32_t i = 0; i < MODELS; i++)
        pal_queue_add(queue, PAL_TABLE_UNLEARNED, i);
    for (int32_t i = 0; i < TRIALS; i++)
        pal_queue_add(queue, PAL_TABLE_TRIALS, i);
    return queue;
}

static void assert_job(pal_queue_t *queue, int32_t rank, int busy, int32_t base,
                       int32_t unlearned, int32_t trial)
{
    pal_job_t job;

    assert_int_equal(pal_queue_next(queue, rank, busy, &job), 1);
    assert_int_equal(job.base, base);
    assert_int_equal(job.unlearned, unlearned);
    assert_int_equal(job.trial, trial);
}

static void assert_none(pal_queue_t *queue, int32_t rank, int busy)
{
    pal_job_t job;

    assert_int_equal(pal_queue_next(queue, rank, busy, &job), 0);
}

static void done_base(pal_queue_t *queue, int32_t row)
{
    pal_queue_base_ready(queue, row);
    pal_queue_close(queue, PAL_TABLE_BASE, row);
}

static void done_trial(pal_queue_t *queue, int32_t row)
{
    pal_queue_close(queue, PAL_TABLE_UNLEARNED, trials[row].unlearned);
    pal_queue_close(queue, PAL_TABLE_TRIALS, row);
}

static void bases_then_models_longest_first(void **unused)
{
    pal_queue_t *queue = full_queue(3);

    (void)unused;
    pal_queue_start(queue);
    assert_job(queue, 0, 0, 1, -1, -1);
    assert_job(queue, 1, 0, 0, -1, -1);
    assert_none(queue, 2, 0);
    done_base(queue, 0);
    assert_job(queue, 2, 0, -1, 2, 8); /* 5 + 4 * 3, the longest of base 0 */
    assert_job(queue, 1, 0, -1, 1, 4);
    done_base(queue, 1);
    assert_job(queue, 0, 0, -1, 5, 20);
    assert_job(queue, 2, 1, -1, 2, 9); /* ahead, on the model it will hold */
    pal_queue_destroy(queue);
}

static void weights_in_the_cache_save_the_base(void **unused)
{
    pal_queue_t *queue = NULL;

    (void)unused;
    assert_int_equal(pal_queue_create(&plan, 1, &queue, NULL), PAL_OK);
    pal_queue_add(queue, PAL_TABLE_TRIALS, 0);
    pal_queue_add(queue, PAL_TABLE_TRIALS, 12);
    pal_queue_base_ready(queue, 0);
    pal_queue_start(queue);
    assert_true(pal_queue_flops(queue) == 5 + 1 + 30 + 5 + 4);
    assert_job(queue, 0, 0, 1, -1, -1); /* base 1 has a row, but no weights */
    assert_job(queue, 0, 0, -1, 0, 0);
    assert_none(queue, 0, 0);
    done_base(queue, 1);
    done_trial(queue, 0);
    assert_job(queue, 0, 0, -1, 3, 12);
    done_trial(queue, 12);
    assert_int_equal(pal_queue_left(queue), 0);
    assert_true(pal_queue_flops(queue) == 0);
    pal_queue_destroy(queue);
}

static void a_model_row_alone_is_a_job(void **unused)
{
    pal_queue_t *queue = NULL;

    (void)unused;
    assert_int_equal(pal_queue_create(&plan, 1, &queue, NULL), PAL_OK);
    pal_queue_add(queue, PAL_TABLE_UNLEARNED, 4);
    pal_queue_base_ready(queue, 1);
    pal_queue_start(queue);
    assert_job(queue, 0, 0, -1, 4, -1);
    pal_queue_return(queue, &(pal_job_t){-1, 4, -1});
    assert_job(queue, 0, 0, -1, 4, -1);
    pal_queue_close(queue, PAL_TABLE_UNLEARNED, 4);
    assert_none(queue, 0, 0);
    assert_int_equal(pal_queue_left(queue), 0);
    pal_queue_destroy(queue);
}

static void nobody_hoards_the_last_jobs(void **unused)
{
    pal_queue_t *queue = NULL;

    (void)unused;
    assert_int_equal(pal_queue_create(&plan, 2, &queue, NULL), PAL_OK);
    for (int32_t i = 20; i < 24; i++)
        pal_queue_add(queue, PAL_TABLE_TRIALS, i);
    pal_queue_base_ready(queue, 1);
    pal_queue_start(queue);
    assert_job(queue, 0, 0, -1, 5, 20);
    assert_job(queue, 0, 1, -1, 5, 21); /* three are left: enough for two ranks */
    assert_none(queue, 0, 1);
    assert_job(queue, 1, 0, -1, 5, 22); /* shared: 12 of work against 5 of making */
    assert_job(queue, 1, 0, -1, 5, 23);
    assert_none(queue, 0, 0);
    pal_queue_destroy(queue);
}

static void sharing_must_pay(void **unused)
{
    pal_queue_t *queue = NULL;

    (void)unused;
    assert_int_equal(pal_queue_create(&plan, 2, &queue, NULL), PAL_OK);
    for (int32_t i = 0; i < EACH; i++)
        pal_queue_add(queue, PAL_TABLE_TRIALS, i);
    pal_queue_base_ready(queue, 0);
    pal_queue_start(queue);
    assert_job(queue, 0, 0, -1, 0, 0);
    assert_none(queue, 1, 0); /* 3 of work against 5 of making */
    pal_queue_destroy(queue);
}

static void a_lost_rank_gives_back(void **unused)
{
    pal_queue_t *queue = full_queue(2);
    double flops;

    (void)unused;
    pal_queue_start(queue);
    flops = pal_queue_flops(queue);
    assert_job(queue, 0, 0, 1, -1, -1);
    pal_queue_return(queue, &(pal_job_t){1, -1, -1});
    pal_queue_forget(queue, 0);
    assert_job(queue, 1, 0, 1, -1, -1);
    done_base(queue, 1);
    assert_job(queue, 0, 0, 0, -1, -1);
    done_base(queue, 0);
    assert_job(queue, 0, 0, -1, 5, 20);
    assert_job(queue, 0, 1, -1, 5, 21);
    done_trial(queue, 20);
    pal_queue_return(queue, &(pal_job_t){-1, 5, 21});
    pal_queue_return(queue, &(pal_job_t){-1, 5, 20}); /* done: no effect */
    pal_queue_forget(queue, 0);
    assert_job(queue, 1, 0, -1, 4, 16); /* 5 + 4 * 5; what is left of 5 is 5 + 3 * 6 */
    assert_job(queue, 0, 0, -1, 5, 21);
    assert_true(pal_queue_flops(queue) == flops - 40 - 5 - 6);
    pal_queue_destroy(queue);
}

static void refuse(pal_queue_t *queue, int32_t rank, pal_table_t table, int32_t row)
{
    assert_int_equal(pal_queue_refuse(queue, rank, table, row, NULL), PAL_OK);
}

static void what_a_rank_refuses_is_for_others(void **unused)
{
    pal_queue_t *queue = full_queue(2);

    (void)unused;
    pal_queue_start(queue);
    refuse(queue, 0, PAL_TABLE_BASE, 1);
    assert_job(queue, 0, 0, 0, -1, -1); /* though 1 is the longer */
    assert_job(queue, 1, 0, 1, -1, -1); /* and still there */
    done_base(queue, 0);
    done_base(queue, 1);
    refuse(queue, 0, PAL_TABLE_UNLEARNED, 2);
    assert_job(queue, 0, 0, -1, 1, 4); /* the longest of base 0 but 2 */
    assert_job(queue, 1, 0, -1, 5, 20);
    refuse(queue, 0, PAL_TABLE_UNLEARNED, 1);
    pal_queue_return(queue, &(pal_job_t){-1, 1, 4});
    assert_job(queue, 0, 0, -1, 0, 0); /* it does not keep the model it held */
    refuse(queue, 0, PAL_TABLE_UNLEARNED, 0);
    pal_queue_return(queue, &(pal_job_t){-1, 0, 0});
    assert_none(queue, 0, 0); /* not even a share of 5 */
    for (int32_t i = 21; i < 24; i++)
        assert_job(queue, 1, 0, -1, 5, i);
    assert_true(pal_queue_able(queue, &(pal_job_t){-1, 2, 8}));
    pal_queue_destroy(queue);
}

static void what_all_refuse_all_may_try(void **unused)
{
    const pal_job_t base = {1, -1, -1}, trial = {-1, 3, 12};
    pal_queue_t *queue = full_queue(2);

    (void)unused;
    pal_queue_start(queue);
    assert_true(pal_queue_able(queue, &base));
    refuse(queue, 0, PAL_TABLE_BASE, 1);
    assert_true(pal_queue_able(queue, &base));
    assert_true(pal_queue_able(queue, &trial));
    refuse(queue, 1, PAL_TABLE_BASE, 1);
    assert_false(pal_queue_able(queue, &base));
    assert_false(pal_queue_able(queue, &trial)); /* which stands on it */
    assert_true(pal_queue_able(queue, &(pal_job_t){-1, 2, 8}));
    assert_job(queue, 0, 0, 1, -1, -1);
    assert_job(queue, 0, 0, 0, -1, -1);
    done_base(queue, 0);
    refuse(queue, 0, PAL_TABLE_UNLEARNED, 2);
    assert_job(queue, 0, 0, -1, 1, 4);
    pal_queue_forget(queue, 1); /* it could have */
    assert_false(pal_queue_able(queue, &(pal_job_t){-1, 2, 8}));
    pal_queue_forget(queue, 0);
    assert_job(queue, 0, 0, -1, 2, 8);
    pal_queue_destroy(queue);
}

/* As when the floors of later bases stand on the first. */
static void models_of_a_base_need_not_be_neighbours(void **unused)
{
    static pal_plan_base_t own_bases[] = {{.models = 0}, {.models = 1}};
    static pal_plan_unlearned_t own_models[] = {{.base = 0, .next = 2, .flops = 4},
                                                {.base = 1, .next = 3, .flops = 3},
                                                {.base = 0, .next = -1, .flops = 2},
                                                {.base = 1, .next = -1, .flops = 1}};
    static const pal_plan_t own = {.bases = own_bases,
                                   .unlearned = own_models,
                                   .base_count = 2,
                                   .unlearned_count = 4};
    pal_queue_t *queue = NULL;

    (void)unused;
    assert_int_equal(pal_queue_create(&own, 1, &queue, NULL), PAL_OK);
    for (int32_t i = 0; i < 4; i++)
        pal_queue_add(queue, PAL_TABLE_UNLEARNED, i);
    pal_queue_start(queue);
    assert_job(queue, 0, 0, 0, -1, -1);
    assert_job(queue, 0, 0, 1, -1, -1);
    for (int32_t base = 1; base >= 0; base--) {
        done_base(queue, base);
        for (int32_t i = base; i < 4; i += 2) {
            assert_job(queue, 0, 0, -1, i, -1);
            pal_queue_close(queue, PAL_TABLE_UNLEARNED, i);
        }
        assert_none(queue, 0, 0);
    }
    assert_int_equal(pal_queue_left(queue), 0);
    pal_queue_destroy(queue);
}

/* Looking at every model for every base would take most of an hour. */
static void nearly_a_million_bases(void **unused)
{
    enum { MANY = 900000 };
    pal_plan_t own = {.bases = calloc(MANY, sizeof *own.bases),
                      .unlearned = calloc(MANY, sizeof *own.unlearned),
                      .base_count = MANY,
                      .unlearned_count = MANY};
    pal_queue_t *queue = NULL;

    (void)unused;
    assert_true(own.bases && own.unlearned);
    for (int32_t i = 0; i < MANY; i++) {
        own.bases[i].models = i;
        own.unlearned[i] = (pal_plan_unlearned_t){.base = i, .next = -1};
    }
    assert_int_equal(pal_queue_create(&own, 1, &queue, NULL), PAL_OK);
    for (int32_t i = 0; i < MANY; i++) {
        pal_queue_add(queue, PAL_TABLE_BASE, i);
        pal_queue_add(queue, PAL_TABLE_UNLEARNED, i);
    }
    pal_queue_start(queue);
    for (int32_t i = 0; i < MANY; i++)
        assert_job(queue, 0, 0, i, -1, -1);
    for (int32_t i = 0; i < MANY; i++) {
        done_base(queue, i);
        assert_job(queue, 0, 0, -1, i, -1);
        pal_queue_close(queue, PAL_TABLE_UNLEARNED, i);
    }
    assert_int_equal(pal_queue_left(queue), 0);
    pal_queue_destroy(queue);
    free(own.bases);
    free(own.unlearned);
}

/* Whatever is lost, every row is closed in the end, and none is given out in vain. */
static void everything_is_done_once_nothing_is_lost_for_good(void **unused)
{
    enum { RANKS = 4, TIMES = 200 };
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{3}}, "queue");
    for (int time = 0; time < TIMES; time++) {
        pal_queue_t *queue = full_queue(RANKS);
        pal_job_t held[RANKS][2];
        int count[RANKS] = {0}, turns = 0;

        pal_queue_start(queue);
        while (pal_queue_left(queue) > 0) {
            int32_t rank = (int32_t)pal_rng_below(&rng, RANKS);
            pal_job_t job;

            assert_true(++turns < 100000);
            if (pal_rng_below(&rng, 20) == 0) { /* lost */
                while (count[rank] > 0)
                    pal_queue_return(queue, &held[rank][--count[rank]]);
                pal_queue_forget(queue, rank);
            } else if (count[rank] < 2 &&
                       pal_queue_next(queue, rank, count[rank] > 0, &job)) {
                held[rank][count[rank]++] = job;
            } else if (count[rank] > 0) { /* done, or unable */
                int unable = pal_rng_below(&rng, 20) == 0;

                job = held[rank][0];
                held[rank][0] = held[rank][1];
                count[rank]--;
                if (unable)
                    refuse(queue, rank,
                           job.base >= 0 ? PAL_TABLE_BASE : PAL_TABLE_UNLEARNED,
                           job.base >= 0 ? job.base : job.unlearned);
                if (unable && pal_queue_able(queue, &job))
                    pal_queue_return(queue, &job);
                else if (job.base >= 0)
                    done_base(queue, job.base);
                else if (job.trial >= 0)
                    done_trial(queue, job.trial);
                else
                    pal_queue_close(queue, PAL_TABLE_UNLEARNED, job.unlearned);
            }
        }
        assert_true(pal_queue_flops(queue) == 0);
        for (int32_t rank = 0; rank < RANKS; rank++)
            if (count[rank] == 0)
                assert_none(queue, rank, 0);
        pal_queue_destroy(queue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bases_then_models_longest_first),
        cmocka_unit_test(weights_in_the_cache_save_the_base),
        cmocka_unit_test(a_model_row_alone_is_a_job),
        cmocka_unit_test(nobody_hoards_the_last_jobs),
        cmocka_unit_test(sharing_must_pay),
        cmocka_unit_test(a_lost_rank_gives_back),
        cmocka_unit_test(what_a_rank_refuses_is_for_others),
        cmocka_unit_test(what_all_refuse_all_may_try),
        cmocka_unit_test(models_of_a_base_need_not_be_neighbours),
        cmocka_unit_test(nearly_a_million_bases),
        cmocka_unit_test(everything_is_done_once_nothing_is_lost_for_good),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
