/* What is measured is what it says: the same tokens, all of them, and sane arithmetic.
 * How long anything takes is never asserted. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/choice.h"
#include "bench/kernels.h"
#include "bench/machine.h"
#include "bench/products.h"
#include "bench/step.h"

static pal_ground_t ground;

static int make_ground(void **unused)
{
    (void)unused;
    return pal_bench_ground(&ground, NULL);
}

static int free_ground(void **unused)
{
    (void)unused;
    pal_ground_free(&ground);
    return 0;
}

static void assert_sane(pal_timing_t t)
{
    assert_true(t.least > 0 && t.least <= t.median && t.median <= t.most);
    assert_true(isfinite(t.most));
    assert_true(t.repeats >= 3);
}

static void median_and_range(void **unused)
{
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2}, one[] = {7};
    pal_timing_t t = pal_timing_of(odd, 3);

    (void)unused;
    assert_true(t.median == 2 && t.least == 1 && t.most == 3 && t.repeats == 3);
    t = pal_timing_of(even, 4);
    assert_true(t.median == 2.5 && t.least == 1 && t.most == 4);
    t = pal_timing_of(one, 1);
    assert_true(t.median == 7 && t.least == 7 && t.most == 7);
}

static void count_call(void *ctx)
{
    ++*(int *)ctx;
}

static void calls_the_work(void **unused)
{
    int calls = 0;

    (void)unused;
    assert_sane(pal_timing_take(count_call, &calls, 1e-4));
    assert_true(calls >= 4); /* one to warm up, one to count by, three samples */
}

static void machine_has_a_rate(void **unused)
{
    (void)unused;
    assert_true(pal_machine_flops(1e-3) > 1e7);
    assert_true(pal_machine_bandwidth(1e-3) > 1e6);
}

static void full_length_fills_the_context(void **unused)
{
    pal_workload_t w;

    (void)unused;
    assert_int_equal(pal_workload_create(&ground, "nano", PAL_FULL_LENGTH, &w, NULL),
                     0);
    assert_int_equal(w.layout->shape.context, PAL_BENCH_CONTEXT);
    for (int64_t i = 0; i < PAL_BENCH_BATCHES; i++) {
        const pal_batch_t *batch = pal_workload_batch(&w, i);

        assert_int_equal(pal_batch_tokens(batch), PAL_BENCH_LONG * PAL_BENCH_CONTEXT);
        for (int32_t b = 0; b < batch->sequences; b++)
            assert_int_equal(batch->offsets[b + 1] - batch->offsets[b],
                             PAL_BENCH_CONTEXT);
    }
    assert_ptr_equal(pal_workload_batch(&w, PAL_BENCH_BATCHES), &w.batches[0]);
    pal_workload_free(&w);
}

/* Whole sentences: each begins with the separator, which stands nowhere else. */
static void sentences_are_whole(void **unused)
{
    const int32_t separator = ground.corpus.tokens[ground.corpus.examples[0].start];
    pal_workload_t w;

    (void)unused;
    assert_int_equal(pal_workload_create(&ground, "nano", PAL_SENTENCES, &w, NULL), 0);
    for (int64_t i = 0; i < PAL_BENCH_BATCHES; i++) {
        const pal_batch_t *batch = pal_workload_batch(&w, i);
        int32_t separators = 0;

        assert_int_equal(batch->sequences, PAL_BENCH_SENTENCES);
        assert_true(pal_batch_tokens(batch) <= w.most_tokens);
        for (int32_t b = 0; b < batch->sequences; b++)
            assert_int_equal(batch->tokens[batch->offsets[b]], separator);
        for (int32_t t = 0; t < pal_batch_tokens(batch); t++)
            separators += batch->tokens[t] == separator;
        assert_int_equal(separators, batch->sequences);
    }
    assert_memory_not_equal(w.batches[0].tokens, w.batches[1].tokens,
                            12 * sizeof(int32_t));
    pal_workload_free(&w);
}

/* Forward and backward of what is not embedding or norm, by hand for one batch. */
static void flops_of_a_step(void **unused)
{
    pal_workload_t w;
    const pal_batch_t *batch;
    double expected = 0, matrices;

    (void)unused;
    assert_int_equal(pal_workload_create(&ground, "nano", PAL_SENTENCES, &w, NULL), 0);
    batch = pal_workload_batch(&w, 0);
    matrices = 2.0 * 2 * 12 * 64 * 64; /* two blocks of 12 C^2 weights */
    for (int32_t b = 0; b < batch->sequences; b++) {
        const double n = batch->offsets[b + 1] - batch->offsets[b];

        expected += 3 * (n * matrices + 2 * 2.0 * 64 * n * (n + 1) +
                         (n - 1) * 2.0 * 64 * w.layout->shape.vocab);
    }
    assert_true(fabs(pal_workload_flops(&w, batch, pal_batch_targets(batch)) -
                     expected) < 1e-9 * expected);
    pal_workload_free(&w);
}

static void unknown_preset(void **unused)
{
    pal_error_t err = {""};
    pal_workload_t w;

    (void)unused;
    assert_int_equal(pal_workload_create(&ground, "nanno", PAL_SENTENCES, &w, &err),
                     PAL_ENOENT);
    assert_non_null(strstr(err.text, "nanno"));
    assert_null(w.layout);
}

static void steps_and_products(void **unused)
{
    pal_step_result_t r;
    pal_workload_t w;

    (void)unused;
    assert_int_equal(pal_workload_create(&ground, "nano", PAL_SENTENCES, &w, NULL), 0);
    assert_int_equal(pal_step_time(&w, NULL, 1, 1e-3, &r, NULL), 0);
    assert_sane(r.token);
    assert_sane(r.products.layers);
    assert_sane(r.products.attention);
    assert_true(r.flops > 0);
    assert_true(fabs(r.loss - log(w.layout->shape.vocab)) <
                0.2); /* knows nothing yet */
    assert_int_equal(r.ratio[PAL_PEER_FP32].repeats, 0);
    pal_workload_free(&w);
}

static void no_script(void **unused)
{
    pal_error_t err = {""};
    pal_step_result_t r;
    pal_workload_t w;

    (void)unused;
    assert_int_equal(pal_workload_create(&ground, "nano", PAL_SENTENCES, &w, NULL), 0);
    assert_int_equal(pal_step_time(&w, "no-such.py", 1, 1e-3, &r, &err), PAL_ENOENT);
    assert_non_null(strstr(err.text, "no-such.py"));
    pal_workload_free(&w);
}

static void both_ways_to_choose(void **unused)
{
    pal_choice_result_t r;
    pal_workload_t w;

    (void)unused;
    assert_int_equal(pal_workload_create(&ground, "nano", PAL_SENTENCES, &w, NULL), 0);
    assert_int_equal(pal_choice_time(&ground, w.layout, 1e-3, &r, NULL), 0);
    assert_sane(r.branched);
    assert_sane(r.whole);
    pal_workload_free(&w);
}

static void check_kernel(void *ctx, const pal_kernel_result_t *r)
{
    ++*(int *)ctx;
    assert_sane(r->timing);
    assert_true(r->bytes > 0 && r->flops >= 0);
    assert_true(*r->kernel && *r->size);
}

static void every_kernel(void **unused)
{
    int lines = 0;
    pal_workload_t w;

    (void)unused;
    assert_int_equal(pal_workload_create(&ground, "nano", PAL_SENTENCES, &w, NULL), 0);
    assert_int_equal(pal_kernels_time(&w, 1e-4, check_kernel, &lines, NULL), 0);
    assert_true(lines >= 20);
    pal_workload_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(median_and_range),
        cmocka_unit_test(calls_the_work),
        cmocka_unit_test(machine_has_a_rate),
        cmocka_unit_test(full_length_fills_the_context),
        cmocka_unit_test(sentences_are_whole),
        cmocka_unit_test(flops_of_a_step),
        cmocka_unit_test(unknown_preset),
        cmocka_unit_test(steps_and_products),
        cmocka_unit_test(no_script),
        cmocka_unit_test(both_ways_to_choose),
        cmocka_unit_test(every_kernel),
    };

    return cmocka_run_group_tests(tests, make_ground, free_ground);
}
