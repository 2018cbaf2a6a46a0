#include "fixture.h"
#include "unlearn/frozen_nll.h"

/* Summed NLLs of a batch, without the cache. */
static void measure(fixture_t *f, const pal_batch_t *batch, double *n)
{
    assert_int_equal(pal_forward(f->run.pass, f->start, batch, PAL_ALL_LAYERS, &f->err),
                     PAL_OK);
    pal_loss_nll_sequences(f->run.pass, n, NULL);
}

static void shared_texts_are_refused(void **state)
{
    fixture_t *f = *state;
    pal_frozen_nll_t cache;
    const double *n = NULL;

    assert_int_equal(pal_frozen_nll_init(&cache, f->run.forget, &f->err), PAL_OK);
    assert_int_equal(pal_frozen_nll(&cache, &f->run,
                                    pal_stream_next_shared(f->run.forget), &n, &f->err),
                     PAL_EINVAL);
    pal_frozen_nll_free(&cache);
}

/* Every example is seen in the first epoch: then the frozen weights are replaced by
 * NaN, and the same numbers come, without a pass that would show the NaN. */
static void second_epoch_needs_no_forward(void **state)
{
    fixture_t *f = *state;
    float *nans = buffer(f);
    pal_frozen_nll_t cache;
    const int32_t batches = f->forget.count / 4 + 1;

    for (int64_t i = 0; i < f->layout->count; i++)
        nans[i] = NAN;
    assert_int_equal(pal_frozen_nll_init(&cache, f->run.forget, &f->err), PAL_OK);
    for (int32_t i = 0; i < 2 * batches; i++) {
        const pal_batch_t *batch = pal_stream_next(f->run.forget);
        const double *n = NULL;
        double right[4];

        if (i == batches)
            f->run.start = nans;
        assert_int_equal(pal_frozen_nll(&cache, &f->run, batch, &n, &f->err), PAL_OK);
        assert_true(isfinite(pal_pass_logits(f->run.frozen)[0]));
        measure(f, batch, right);
        for (int32_t b = 0; b < 4; b++)
            assert_true(fabs(n[b] - right[b]) <= 1e-6 * right[b]);
    }
    f->run.start = f->start;
    pal_frozen_nll_free(&cache);
    pal_frozen_nll_free(&cache);
    free(nans);
}

/* On first sight, and again, the very bits of a pass over the same batch. */
static void first_sight_is_a_plain_pass(void **state)
{
    fixture_t *f = *state;
    pal_frozen_nll_t cache;
    double right[4];

    open_streams(f, 4);
    assert_int_equal(pal_frozen_nll_init(&cache, f->run.forget, &f->err), PAL_OK);
    const pal_batch_t *batch = pal_stream_next(f->run.forget);

    measure(f, batch, right);
    for (int k = 0; k < 2; k++) {
        const double *n = NULL;

        assert_int_equal(pal_frozen_nll(&cache, &f->run, batch, &n, &f->err), PAL_OK);
        assert_memory_equal(n, right, sizeof right);
    }
    pal_frozen_nll_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_epoch_needs_no_forward),
        cmocka_unit_test(first_sight_is_a_plain_pass),
        cmocka_unit_test(shared_texts_are_refused),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
