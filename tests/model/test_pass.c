/* What a pass promises beyond its numbers: stopping early, skipping what is frozen,
 * raggedness, determinism, errors. */
#include "kernel/threads.h"
#include "sample.h"

static void full_gradient(sample_t *s, const uint8_t *train, float *grad)
{
    memset(grad, 0, s->count * sizeof *grad);
    sample_forward(s);
    (void)pal_loss_nll(s->pass, 1.0);
    (void)pal_loss_residual_mse(s->pass, 1, s->weights, 1, 1.0);
    pal_backward(s->pass, s->weights, train, grad);
}

static void stopping_early_gives_the_same_taps(void **state)
{
    sample_t *s = *state;
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)s->layout->shape.width;
    const int32_t layers = s->layout->shape.layers;
    float *full[4];

    sample_forward(s);
    for (int32_t l = 0; l <= layers; l++)
        full[l] = sample_copy(pal_pass_residual(s->pass, l - 1), size);
    for (int32_t upto = 0; upto <= layers; upto++) {
        assert_int_equal(pal_forward(s->pass, s->weights, &s->batch, upto, &s->err),
                         PAL_OK);
        assert_int_equal(pal_pass_rows(s->pass), 0);
        assert_int_equal(pal_pass_tokens(s->pass), SAMPLE_TOKENS);
        for (int32_t l = 0; l <= upto; l++)
            assert_memory_equal(pal_pass_residual(s->pass, l - 1), full[l],
                                size * sizeof **full);
    }
    for (int32_t l = 0; l <= layers; l++)
        free(full[l]);
}

/* Blocks above a seed do not matter, whether they were run or not. */
static void stopping_early_gives_the_same_gradient(void **state)
{
    sample_t *s = *state;
    float *grad = calloc(s->count, sizeof *grad);

    assert_non_null(grad);
    sample_forward(s);
    (void)pal_loss_residual_mse(s->pass, 0, s->weights, 1, 1.0);
    pal_backward(s->pass, s->weights, NULL, grad);
    assert_int_equal(pal_forward(s->pass, s->weights, &s->batch, 1, &s->err), PAL_OK);
    (void)pal_loss_residual_mse(s->pass, 0, s->weights, 1, 1.0);
    pal_backward(s->pass, s->weights, NULL, s->grad);
    assert_memory_equal(grad, s->grad, s->count * sizeof *grad);
    free(grad);
}

/* Each of two gradients of one forward has the bits it has alone. */
static void one_forward_gives_several_gradients(void **state)
{
    sample_t *s = *state;
    float *again = calloc(s->count, sizeof *again);

    assert_non_null(again);
    full_gradient(s, NULL, s->grad);
    sample_forward(s);
    (void)pal_loss_nll(s->pass, -3.0);
    pal_backward(s->pass, s->weights, NULL, again);
    memset(again, 0, s->count * sizeof *again);
    (void)pal_loss_nll(s->pass, 1.0);
    (void)pal_loss_residual_mse(s->pass, 1, s->weights, 1, 1.0);
    pal_backward(s->pass, s->weights, NULL, again);
    assert_memory_equal(again, s->grad, s->count * sizeof *again);
    free(again);
}

/* For every choice of one trained slice: its gradient has the bits of the full one, and
 * nothing else is touched. */
static void frozen_slices_are_skipped(void **state)
{
    sample_t *s = *state;
    float *full = calloc(s->count, sizeof *full);
    uint8_t *train = calloc((size_t)s->layout->slice_count, 1);

    assert_non_null(full);
    assert_non_null(train);
    full_gradient(s, NULL, full);
    for (int32_t i = 0; i < s->layout->slice_count; i++) {
        const pal_slice_t *slice = &s->layout->slices[i];

        train[i] = 1;
        full_gradient(s, train, s->grad);
        train[i] = 0;
        for (int64_t j = 0; j < s->layout->count; j++)
            if (j >= slice->offset && j < slice->offset + slice->size)
                assert_true(s->grad[j] == full[j]);
            else
                assert_true(s->grad[j] == 0.0f);
    }
    full_gradient(s, train, s->grad);
    for (size_t j = 0; j < s->count; j++)
        assert_true(s->grad[j] == 0.0f);
    free(full);
    free(train);
}

/* RMU's case: a seed on the residual stream of block 1 and only that block's mlp.down
 * to train. Its gradient needs no weight at all, so a descent that went further would
 * read through NULL. */
static void descent_ends_at_the_lowest_trained_slice(void **state)
{
    sample_t *s = *state;
    const pal_slice_t *down = pal_layout_slice(s->layout, PAL_MLP_DOWN, 1);
    uint8_t *train = calloc((size_t)s->layout->slice_count, 1);
    int nonzero = 0;

    assert_non_null(train);
    train[down - s->layout->slices] = 1;
    assert_int_equal(pal_forward(s->pass, s->weights, &s->batch, 2, &s->err), PAL_OK);
    (void)pal_loss_residual_mse(s->pass, 1, s->weights, 1, 1.0);
    pal_backward(s->pass, NULL, train, s->grad);
    for (int64_t i = 0; i < down->size; i++)
        nonzero += s->grad[down->offset + i] != 0.0f;
    assert_int_equal(nonzero, down->size);
    free(train);
}

static void backward_adds(void **state)
{
    sample_t *s = *state;
    float *once = calloc(s->count, sizeof *once);

    assert_non_null(once);
    full_gradient(s, NULL, once);
    for (size_t i = 0; i < s->count; i++)
        s->grad[i] = 1.0f;
    sample_forward(s);
    (void)pal_loss_nll(s->pass, 1.0);
    (void)pal_loss_residual_mse(s->pass, 1, s->weights, 1, 1.0);
    pal_backward(s->pass, s->weights, NULL, s->grad);
    for (size_t i = 0; i < s->count; i++)
        assert_true(fabsf(s->grad[i] - 1.0f - once[i]) <=
                    1e-6f * (2.0f + fabsf(once[i])));
    free(once);
}

static void without_seed_nothing_happens(void **state)
{
    sample_t *s = *state;

    sample_forward(s);
    pal_backward(s->pass, s->weights, NULL, s->grad);
    for (size_t i = 0; i < s->count; i++)
        assert_true(s->grad[i] == 0.0f);
    (void)pal_loss_nll(s->pass, 1.0);
    sample_forward(s); /* clears the seed */
    pal_backward(s->pass, s->weights, NULL, s->grad);
    for (size_t i = 0; i < s->count; i++)
        assert_true(s->grad[i] == 0.0f);
}

/* A sequence's NLL does not depend on what shares its batch. Not bit for bit: the order
 * of a product's sums may depend on its number of rows. */
static void sequences_do_not_see_each_other(void **state)
{
    sample_t *s = *state;
    double all[SAMPLE_SEQUENCES], alone;

    sample_forward(s);
    pal_loss_nll_sequences(s->pass, all, NULL);
    for (int32_t b = 0; b < SAMPLE_SEQUENCES; b++) {
        const int32_t start = sample_offsets[b];
        const int32_t offsets[2] = {0, sample_offsets[b + 1] - start};
        const pal_batch_t batch = {.sequences = 1,
                                   .offsets = offsets,
                                   .tokens = s->tokens + start,
                                   .weights = s->token_weights + start};

        assert_int_equal(
            pal_forward(s->pass, s->weights, &batch, PAL_ALL_LAYERS, &s->err), PAL_OK);
        pal_loss_nll_sequences(s->pass, &alone, NULL);
        assert_true(fabs(alone - all[b]) <= 1e-5 * (1.0 + fabs(alone)));
    }
}

/* Sequence 2 of the sample (9 tokens), cut after 6: the stem once, then the same three
 * tokens as a branch, with another branch before that, and once more going on from the
 * second token of the first branch. */
static void branches_equal_whole_sequences(void **state)
{
    enum { STEM = 6, OWN = 3 };
    sample_t *s = *state;
    const int32_t *whole = s->tokens + sample_offsets[2];
    const int32_t whole_offsets[] = {0, STEM + OWN};
    const int32_t offsets[] = {0, STEM, STEM + OWN, STEM + 2 * OWN, STEM + 2 * OWN + 1};
    const int32_t stems[] = {-1, 0, 0, 1}, starts[] = {0, STEM, STEM, STEM + 2};
    float whole_weights[STEM + OWN] = {0}, weights[STEM + 2 * OWN + 1] = {0};
    int32_t tokens[STEM + 2 * OWN + 1];
    const pal_batch_t one = {.sequences = 1,
                             .offsets = whole_offsets,
                             .tokens = whole,
                             .weights = whole_weights};
    const pal_batch_t tree = {.sequences = 4,
                              .offsets = offsets,
                              .tokens = tokens,
                              .weights = weights,
                              .stems = stems,
                              .starts = starts};
    double expected, l[STEM + 2 * OWN + 1];

    memcpy(tokens, whole, (STEM + OWN) * sizeof *tokens);
    for (int t = 0; t < OWN; t++) {
        whole_weights[STEM + t] = 1.0f;
        tokens[STEM + OWN + t] = (whole[STEM + t] + 1) % 23;
        weights[STEM + t] = weights[STEM + OWN + t] = 1.0f;
    }
    tokens[STEM + 2 * OWN] = whole[STEM + 2];
    weights[STEM + 2 * OWN] = 1.0f;
    assert_int_equal(pal_forward(s->pass, s->weights, &one, PAL_ALL_LAYERS, &s->err),
                     PAL_OK);
    pal_loss_nll_sequences(s->pass, &expected, NULL);
    assert_int_equal(pal_forward(s->pass, s->weights, &tree, PAL_ALL_LAYERS, &s->err),
                     PAL_OK);
    pal_loss_nll_tokens(s->pass, l);
    for (int t = 0; t < STEM; t++)
        assert_true(l[t] == 0);
    l[0] = l[STEM] + l[STEM + 1] + l[STEM + 2];
    assert_true(fabs(l[0] - expected) <= 1e-5 * expected);
    l[0] = l[STEM] + l[STEM + 1] + l[STEM + 2 * OWN];
    assert_true(fabs(l[0] - expected) <= 1e-5 * expected);
    l[0] = l[STEM + OWN] + l[STEM + OWN + 1] + l[STEM + OWN + 2];
    assert_true(fabs(l[0] - expected) > 1e-3 * expected);
}

static void impossible_stems_are_refused(void **state)
{
    static const struct {
        int32_t stems[3], starts[3];
        const char *says;
    } cases[] = {
        {{-1, 1, -1}, {0, 4, 0}, "sequence 1: sequence 1 cannot be its stem"},
        {{-1, 2, -1}, {0, 4, 0}, "sequence 1: sequence 2 cannot be its stem"},
        {{0, -1, -1}, {4, 0, 0}, "sequence 0: sequence 0 cannot be its stem"},
        {{-1, -1, -1}, {0, 4, 0}, "sequence 1: sequence -1 cannot be its stem"},
        {{-1, 0, 1}, {0, 2, 6}, "begins with 6 tokens of sequence 1, which has 1 to 5"},
        {{-1, 0, 1}, {0, 2, 0}, "begins with 0 tokens of sequence 1, which has 1 to 5"},
    };
    static const int32_t offsets[] = {0, 4, 7, 9};
    sample_t *s = *state;
    const float weights[9] = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const pal_batch_t batch = {.sequences = 3,
                                   .offsets = offsets,
                                   .tokens = s->tokens,
                                   .weights = weights,
                                   .stems = cases[i].stems,
                                   .starts = cases[i].starts};

        assert_int_equal(pal_forward(s->pass, s->weights, &batch, 0, &s->err),
                         PAL_EINVAL);
        assert_non_null(strstr(s->err.text, cases[i].says));
    }
}

static void impossible_ends_are_refused(void **state)
{
    sample_t *s = *state;
    const int32_t offsets[] = {0, 4}, far[] = {4}, near[] = {3};
    int32_t tokens[] = {1, 2, 3, 4, 5};
    const float weights[5] = {0};
    pal_batch_t batch = {.sequences = 1,
                         .offsets = offsets,
                         .tokens = tokens,
                         .weights = weights,
                         .ends = 1,
                         .before = far};

    assert_int_equal(pal_forward(s->pass, s->weights, &batch, 0, &s->err), PAL_EINVAL);
    assert_non_null(strstr(s->err.text, "comes after place 4; the batch has 0 to 3"));
    batch.before = near;
    assert_int_equal(pal_forward(s->pass, s->weights, &batch, 0, &s->err), PAL_OK);
    tokens[4] = s->layout->shape.vocab;
    assert_int_equal(pal_forward(s->pass, s->weights, &batch, 0, &s->err), PAL_EINVAL);
    assert_non_null(strstr(s->err.text, "end 0: token id 23 is outside 0 to 22"));
}

static void equal_input_gives_equal_bits(void **state)
{
    sample_t *s = *state;
    float *once = calloc(s->count, sizeof *once);

    assert_non_null(once);
    full_gradient(s, NULL, once);
    full_gradient(s, NULL, s->grad);
    assert_memory_equal(once, s->grad, s->count * sizeof *once);
    free(once);
}

/* A reserved pass gives the same bits and does not move its arrays. */
static void reserved_memory_is_kept(void **state)
{
    sample_t *s = *state;
    float *once = calloc(s->count, sizeof *once);
    const float *before;

    assert_non_null(once);
    full_gradient(s, NULL, once);
    assert_int_equal(pal_pass_reserve(s->pass, 1000, 500, &s->err), PAL_OK);
    sample_forward(s);
    before = pal_pass_logits(s->pass);
    full_gradient(s, NULL, s->grad);
    assert_int_equal(pal_pass_reserve(s->pass, 10, 10, &s->err), PAL_OK);
    assert_ptr_equal(before, pal_pass_logits(s->pass));
    assert_memory_equal(once, s->grad, s->count * sizeof *once);
    free(once);
}

#if defined(__SANITIZE_ADDRESS__)
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1"; /* as malloc does without it */
}
#endif

/* 10^15 bytes, beyond any address space: the pass stays as it was. */
static void too_much_memory_is_refused(void **unused)
{
    static const int32_t offsets[2] = {0, 2}, tokens[2] = {1, 2};
    static const float weights[2] = {0, 1};
    const pal_batch_t batch = {
        .sequences = 1, .offsets = offsets, .tokens = tokens, .weights = weights};
    pal_shape_t shape;
    pal_layout_t *layout;
    pal_pass_t *pass;
    pal_error_t err;
    const float *before;
    float *zeros;

    (void)unused;
    assert_int_equal(pal_preset_find("medium", &shape, &err), PAL_OK);
    shape.vocab = 50000;
    shape.context = 2;
    assert_int_equal(pal_layout_create(&shape, &layout, &err), PAL_OK);
    assert_int_equal(pal_pass_create(layout, &pass, &err), PAL_OK);
    zeros = calloc((size_t)layout->count, sizeof *zeros);
    assert_non_null(zeros);
    assert_int_equal(pal_forward(pass, zeros, &batch, PAL_ALL_LAYERS, &err), PAL_OK);
    before = pal_pass_logits(pass);
    assert_int_equal(pal_pass_reserve(pass, INT32_MAX, INT32_MAX, &err), PAL_ENOMEM);
    assert_non_null(strstr(err.text, "no memory for"));
    assert_ptr_equal(before, pal_pass_logits(pass));
    assert_true(fabs(pal_loss_nll(pass, 0.0) - log(50000.0)) < 1e-5);
    free(zeros);
    pal_pass_destroy(pass);
    pal_layout_destroy(layout);
}

static void a_batch_that_predicts_nothing(void **state)
{
    sample_t *s = *state;

    memset(s->token_weights, 0, sizeof s->token_weights);
    sample_forward(s);
    assert_int_equal(pal_pass_rows(s->pass), 0);
    assert_true(isnan(pal_loss_nll(s->pass, 1.0)));
    pal_backward(s->pass, s->weights, NULL, s->grad);
    for (size_t i = 0; i < s->count; i++)
        assert_true(s->grad[i] == 0.0f);
}

/* A NaN shows as one, whichever weight it is; so does an infinity, as one or the other.
 * What overflows on the way shows too, or leaves a loss. */
static void broken_weights_show_in_the_loss(void **state)
{
    static const float broken[] = {NAN, INFINITY, -INFINITY, 3e38f};
    sample_t *s = *state;

    s->tokens[0] = 0; /* row 0 is read */
    for (int32_t i = 0; i < 4 * s->layout->slice_count; i++) {
        const int64_t at = s->layout->slices[i / 4].offset;
        const float kept = s->weights[at];
        double loss;

        s->weights[at] = broken[i % 4];
        sample_forward(s);
        loss = pal_loss_nll(s->pass, 1.0);
        pal_backward(s->pass, s->weights, NULL, s->grad);
        s->weights[at] = kept;
        if (i % 4 == 0 ? !isnan(loss) : i % 4 < 3 ? isfinite(loss) : loss < 0.0)
            fail_msg("%s with %g: loss %g", s->layout->slices[i / 4].name,
                     (double)broken[i % 4], loss);
    }
}

#define BATCH(n, o, t, w)                                                              \
    {                                                                                  \
        .sequences = n, .offsets = o, .tokens = t, .weights = w                        \
    }

static void bad_batches_are_refused(void **state)
{
    sample_t *s = *state;
    static const int32_t full[] = {0, 5}, late[] = {1, 5}, hollow[] = {0, 3, 3, 5};
    static const int32_t backwards[] = {0, 4, 2}, lengthy[] = {0, 10};
    static const int32_t good[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    static const int32_t negative[5] = {1, -2}, beyond[5] = {1, 2, 3, 4, 23};
    static const float ones[10] = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1}, first[5] = {1, 1};
    static const float minus[5] = {0, -0.5f}, missing[5] = {0, 1, NAN},
                       big[5] = {0, INFINITY};
    const struct {
        pal_batch_t batch;
        int32_t upto;
        const char *message;
    } bad[] = {
        {BATCH(0, full, good, ones), PAL_ALL_LAYERS, "empty batch (0 sequences)"},
        {BATCH(-3, full, good, ones), PAL_ALL_LAYERS, "empty batch (-3 sequences)"},
        {BATCH(1, late, good, ones), PAL_ALL_LAYERS, "starts at offset 1"},
        {BATCH(3, hollow, good, ones), PAL_ALL_LAYERS, "sequence 1 is empty"},
        {BATCH(2, backwards, good, ones), PAL_ALL_LAYERS, "sequence 1 is empty"},
        {BATCH(1, lengthy, good, ones), PAL_ALL_LAYERS,
         "10 tokens; the model's context"},
        {BATCH(1, full, negative, ones), PAL_ALL_LAYERS,
         "token id -2 is outside 0 to 22"},
        {BATCH(1, full, beyond, ones), PAL_ALL_LAYERS,
         "token id 23 is outside 0 to 22"},
        {BATCH(1, full, good, first), PAL_ALL_LAYERS, "first token has weight 1"},
        {BATCH(1, full, good, minus), PAL_ALL_LAYERS, "a weight is -0.5"},
        {BATCH(1, full, good, missing), PAL_ALL_LAYERS, "a weight is nan"},
        {BATCH(1, full, good, big), PAL_ALL_LAYERS, "a weight is inf"},
        {BATCH(1, full, good, ones), 4, "cannot stop after 4 of 3 blocks"},
        {BATCH(1, full, good, ones), -2, "cannot stop after -2 of 3 blocks"},
    };
    float *before;
    size_t size;

    sample_forward(s);
    size = (size_t)SAMPLE_ROWS * (size_t)s->layout->shape.vocab;
    before = sample_copy(pal_pass_logits(s->pass), size);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(
            pal_forward(s->pass, s->weights, &bad[i].batch, bad[i].upto, &s->err),
            PAL_EINVAL);
        if (!strstr(s->err.text, bad[i].message))
            fail_msg("'%s' does not say '%s'", s->err.text, bad[i].message);
    }
    assert_memory_equal(before, pal_pass_logits(s->pass), size * sizeof *before);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SAMPLE_TESTS(stopping_early_gives_the_same_taps),
        SAMPLE_TESTS(stopping_early_gives_the_same_gradient),
        SAMPLE_TESTS(one_forward_gives_several_gradients),
        SAMPLE_TESTS(frozen_slices_are_skipped),
        SAMPLE_TESTS(descent_ends_at_the_lowest_trained_slice),
        SAMPLE_TESTS(backward_adds),
        SAMPLE_TESTS(without_seed_nothing_happens),
        SAMPLE_TESTS(sequences_do_not_see_each_other),
        SAMPLE_TESTS(branches_equal_whole_sequences),
        SAMPLE_TESTS(impossible_stems_are_refused),
        SAMPLE_TESTS(impossible_ends_are_refused),
        SAMPLE_TESTS(equal_input_gives_equal_bits),
        SAMPLE_TESTS(reserved_memory_is_kept),
        cmocka_unit_test(too_much_memory_is_refused),
        SAMPLE_TESTS(a_batch_that_predicts_nothing),
        SAMPLE_TESTS(broken_weights_show_in_the_loss),
        SAMPLE_TESTS(bad_batches_are_refused),
    };
    int failed = cmocka_run_group_tests_name("one thread", tests, NULL, NULL);

    pal_threads_set(3);
    return failed + cmocka_run_group_tests_name("three threads", tests, NULL, NULL);
}
