#include "kernel/threads.h"
#include "model/share.h"
#include "sample.h"

enum { TEXTS = 24, LONGEST = 9, MOST = TEXTS * LONGEST };

/* Texts of few different tokens, so that they begin alike, equal each other and go on
 * from each other. */
typedef struct {
    int32_t offsets[TEXTS + 1], tokens[MOST];
    float weights[MOST];
    pal_batch_t batch;
} texts_t;

static void draw_texts(texts_t *x, pal_rng_t *rng, int32_t count, uint32_t letters)
{
    x->offsets[0] = 0;
    for (int32_t b = 0; b < count; b++) {
        const int32_t start = x->offsets[b];

        x->offsets[b + 1] = start + 1 + (int32_t)pal_rng_below(rng, LONGEST);
        for (int32_t t = start; t < x->offsets[b + 1]; t++) {
            x->tokens[t] = (int32_t)pal_rng_below(rng, letters);
            x->weights[t] =
                t == start ? 0.0f : 0.5f * (float)(int)pal_rng_below(rng, 3);
        }
    }
    x->batch = (pal_batch_t){.sequences = count,
                             .offsets = x->offsets,
                             .tokens = x->tokens,
                             .weights = x->weights};
}

static pal_share_t *create(int32_t tokens, int32_t sequences)
{
    pal_share_t *share;
    pal_error_t err;

    assert_int_equal(pal_share_create(tokens, sequences, &share, &err), PAL_OK);
    return share;
}

/* Is the beginning of text b, up to and with token i, also one of an earlier text? */
static int begun_before(const pal_batch_t *batch, int32_t b, int32_t i)
{
    const int32_t *text = batch->tokens + batch->offsets[b];

    for (int32_t a = 0; a < b; a++) {
        const int32_t *other = batch->tokens + batch->offsets[a];

        if (batch->offsets[a + 1] - batch->offsets[a] > i &&
            memcmp(text, other, (size_t)(i + 1) * sizeof *text) == 0)
            return 1;
    }
    return 0;
}

/* Does any text go on after the beginning of b up to and with token i? */
static int goes_on(const pal_batch_t *batch, int32_t b, int32_t i)
{
    const int32_t *text = batch->tokens + batch->offsets[b];

    for (int32_t a = 0; a < batch->sequences; a++) {
        const int32_t *other = batch->tokens + batch->offsets[a];

        if (batch->offsets[a + 1] - batch->offsets[a] > i + 1 &&
            memcmp(text, other, (size_t)(i + 1) * sizeof *text) == 0)
            return 1;
    }
    return 0;
}

/* Every different beginning is there once: to compute if a text goes on from it or it
 * is a first token, and otherwise as an end; and each text is found where it should be.
 */
static void every_beginning_is_held_once(void **unused)
{
    pal_share_t *share = create(MOST, TEXTS);
    pal_rng_t rng;
    texts_t x;

    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{1}}, "texts");
    for (int round = 0; round < 200; round++) {
        const int32_t count = 1 + (int32_t)pal_rng_below(&rng, TEXTS);
        int32_t computed = 0, ends = 0, places[LONGEST];
        const pal_batch_t *shared;
        double sum = 0, expected = 0;

        draw_texts(&x, &rng, count, 1 + pal_rng_below(&rng, 4));
        shared = pal_share_batch(share, &x.batch);
        for (int32_t b = 0; b < count; b++)
            for (int32_t i = 0; i < x.offsets[b + 1] - x.offsets[b]; i++) {
                const int computes = i == 0 || goes_on(&x.batch, b, i);

                expected += (double)x.weights[x.offsets[b] + i];
                if (!begun_before(&x.batch, b, i))
                    *(computes ? &computed : &ends) += 1;
            }
        assert_int_equal(pal_batch_tokens(shared), computed);
        assert_int_equal(shared->ends, ends);
        for (int32_t t = 0; t < computed + ends; t++)
            sum += (double)shared->weights[t];
        assert_true(sum == expected);
        for (int32_t b = 0; b < count; b++) {
            pal_share_text(share, b, places);
            for (int32_t i = 0; i < x.offsets[b + 1] - x.offsets[b]; i++)
                assert_int_equal(shared->tokens[places[i]], x.tokens[x.offsets[b] + i]);
        }
    }
    pal_share_destroy(share);
}

/* What gives a loss its value and leaves its seed. */
typedef double loss_t(pal_pass_t *pass);

static double nll(pal_pass_t *pass)
{
    return pal_loss_nll(pass, 0.7);
}

static double entropy(pal_pass_t *pass)
{
    return pal_loss_entropy(pass, -0.7);
}

static double both(pal_pass_t *pass)
{
    return pal_loss_nll(pass, -0.7) + pal_loss_uniform_kl(pass, 0.3);
}

static double run(sample_t *s, const pal_batch_t *batch, loss_t *loss, float *grad)
{
    double value;

    assert_int_equal(pal_forward(s->pass, s->weights, batch, PAL_ALL_LAYERS, &s->err),
                     PAL_OK);
    value = loss(s->pass);
    memset(grad, 0, s->count * sizeof *grad);
    pal_backward(s->pass, s->weights, NULL, grad);
    return value;
}

/* Loss and gradient of a shared batch are those of the batch as it came. */
static void losses_are_those_of_the_texts(void **state)
{
    loss_t *const losses[] = {nll, entropy, both};
    sample_t *s = *state;
    pal_share_t *share = create(MOST, TEXTS);
    float *expected = malloc(s->count * sizeof *expected);
    pal_rng_t rng;
    texts_t x;

    assert_non_null(expected);
    pal_rng_init(&rng, (pal_key_t){{2}}, "texts");
    for (int round = 0; round < 12; round++) {
        double value, size = 0, error = 0;

        draw_texts(&x, &rng, TEXTS, 2 + (uint32_t)round % 3);
        value = run(s, &x.batch, losses[round % 3], expected);
        assert_true(
            fabs(run(s, pal_share_batch(share, &x.batch), losses[round % 3], s->grad) -
                 value) <= 1e-5 * fabs(value));
        for (size_t i = 0; i < s->count; i++) {
            size = fmax(size, fabs((double)expected[i]));
            error = fmax(error, fabs((double)(expected[i] - s->grad[i])));
        }
        assert_true(size > 1e-3);
        assert_true(error <= 2e-5 * size);
    }
    free(expected);
    pal_share_destroy(share);
}

/* Token by token, each text has the NLL that it has alone. */
static void tokens_have_their_nll(void **state)
{
    sample_t *s = *state;
    pal_share_t *share = create(MOST, TEXTS);
    double whole[MOST], shared[MOST];
    int32_t places[LONGEST];
    pal_rng_t rng;
    texts_t x;

    pal_rng_init(&rng, (pal_key_t){{3}}, "texts");
    draw_texts(&x, &rng, TEXTS, 3);
    for (int32_t b = 0; b < TEXTS; b++) /* all but the first tokens are predicted */
        for (int32_t t = x.offsets[b]; t < x.offsets[b + 1]; t++)
            x.weights[t] = t > x.offsets[b];
    (void)run(s, &x.batch, nll, s->grad);
    pal_loss_nll_tokens(s->pass, whole);
    (void)run(s, pal_share_batch(share, &x.batch), nll, s->grad);
    pal_loss_nll_tokens(s->pass, shared);
    for (int32_t b = 0; b < TEXTS; b++) {
        pal_share_text(share, b, places);
        for (int32_t t = x.offsets[b]; t < x.offsets[b + 1]; t++)
            assert_true(fabs(shared[places[t - x.offsets[b]]] - whole[t]) <=
                        1e-5 * (1 + whole[t]));
    }
    pal_share_destroy(share);
}

static void bits_do_not_depend_on_threads(void **state)
{
    sample_t *s = *state;
    pal_share_t *share = create(MOST, TEXTS);
    float *one = malloc(s->count * sizeof *one);
    pal_rng_t rng;
    texts_t x;

    assert_non_null(one);
    pal_rng_init(&rng, (pal_key_t){{4}}, "texts");
    draw_texts(&x, &rng, TEXTS, 3);
    (void)run(s, pal_share_batch(share, &x.batch), both, one);
    for (int threads = 2; threads <= 4; threads++) {
        pal_threads_set(threads);
        (void)run(s, pal_share_batch(share, &x.batch), both, s->grad);
        assert_memory_equal(one, s->grad, s->count * sizeof *one);
    }
    pal_threads_set(1);
    free(one);
    pal_share_destroy(share);
}

/* Losses that want whole texts say so of shared ones. */
static void whole_texts_are_asked_for(void **state)
{
    const int32_t offsets[] = {0, 3, 6}, tokens[] = {1, 2, 3, 1, 2, 4};
    const float weights[] = {0, 1, 1, 0, 1, 1};
    const pal_batch_t two = {
        .sequences = 2, .offsets = offsets, .tokens = tokens, .weights = weights};
    sample_t *s = *state;
    pal_share_t *share = create(6, 2);
    const pal_batch_t *shared = pal_share_batch(share, &two);
    const float target[12] = {0};
    double n[2] = {0}, one[2] = {1, 1};

    assert_true(pal_batch_whole(&two) && !pal_batch_whole(shared));
    assert_int_equal(pal_forward(s->pass, s->weights, shared, PAL_ALL_LAYERS, &s->err),
                     PAL_OK);
    pal_loss_nll_sequences(s->pass, n, NULL);
    assert_true(isnan(n[0]));
    assert_true(isnan(pal_loss_residual_mse(s->pass, 0, target, 1, 1.0)));
    assert_true(isnan(pal_loss_residual_cosine(s->pass, 0, target, 1.0)));
    pal_loss_nll_seed(s->pass, one);
    pal_share_destroy(share);
}

/* What nothing is shared of has no stems. */
static void different_texts_stay_whole_sequences(void **unused)
{
    const int32_t offsets[] = {0, 2, 4}, tokens[] = {1, 2, 3, 4};
    const float weights[] = {0, 1, 0, 1};
    const pal_batch_t two = {
        .sequences = 2, .offsets = offsets, .tokens = tokens, .weights = weights};
    pal_share_t *share = create(4, 2);
    const pal_batch_t *shared = pal_share_batch(share, &two);

    (void)unused;
    assert_null(shared->stems);
    assert_null(shared->starts);
    assert_int_equal(shared->ends, 2);
    pal_share_destroy(share);
}

/* A batch with nothing in common and nothing to leave out keeps its tokens. */
static void a_single_token_stays(void **unused)
{
    const int32_t offsets[] = {0, 1}, tokens[] = {5};
    const float weights[] = {0};
    const pal_batch_t one = {
        .sequences = 1, .offsets = offsets, .tokens = tokens, .weights = weights};
    pal_share_t *share = create(1, 1);
    const pal_batch_t *shared = pal_share_batch(share, &one);

    (void)unused;
    assert_int_equal(shared->sequences, 1);
    assert_int_equal(pal_batch_tokens(shared), 1);
    assert_int_equal(shared->ends, 0);
    pal_share_destroy(share);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_beginning_is_held_once),
        cmocka_unit_test(a_single_token_stays),
        cmocka_unit_test(different_texts_stay_whole_sequences),
        SAMPLE_TESTS(whole_texts_are_asked_for),
        SAMPLE_TESTS(losses_are_those_of_the_texts),
        SAMPLE_TESTS(tokens_have_their_nll),
        SAMPLE_TESTS(bits_do_not_depend_on_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
