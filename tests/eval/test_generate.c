#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../model/styles.h"
#include "eval/generate.h"
#include "kernel/optimizer.h"
#include "model/loss.h"

enum { VOCAB = 7, CONTEXT = 12, PROMPTS = 600, STOP = 6 };

typedef struct {
    pal_layout_t *layout;
    pal_pass_t *pass;
    pal_generator_t *generator;
    float *weights;
    pal_error_t err;
} fixture_t;

static int make(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    const pal_shape_t shape = {.vocab = VOCAB,
                               .context = CONTEXT,
                               .width = 16,
                               .layers = 2,
                               .heads = 2,
                               .kv_heads = 2,
                               .hidden = 32,
                               GPT2_STYLE};

    assert_non_null(f);
    assert_int_equal(pal_layout_create(&shape, &f->layout, &f->err), PAL_OK);
    assert_int_equal(pal_pass_create(f->layout, &f->pass, &f->err), PAL_OK);
    assert_int_equal(pal_generator_create(f->layout, PROMPTS, &f->generator, &f->err),
                     PAL_OK);
    f->weights = calloc((size_t)f->layout->count, sizeof *f->weights);
    assert_non_null(f->weights);
    *state = f;
    return 0;
}

static int release(void **state)
{
    fixture_t *f = *state;

    pal_generator_destroy(f->generator);
    pal_pass_destroy(f->pass);
    pal_layout_destroy(f->layout);
    free(f->weights);
    free(f);
    return 0;
}

/* Two texts that begin differently; one ends in the stop token. */
static const int32_t learned[] = {1, 2, 3, 3, 2, 1, 0, 5, STOP, 4, 4, 5, 1, 4, 0, 2};
static const int32_t learned_offsets[] = {0, 9, 16};

static void learn(fixture_t *f)
{
    float token_weights[16], *buffers[3];
    const pal_batch_t batch = {.sequences = 2,
                               .offsets = learned_offsets,
                               .tokens = learned,
                               .weights = token_weights};
    const size_t n = (size_t)f->layout->count;
    pal_update_t h = {
        .lr = 1e-2, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .grad_scale = 1};

    for (int t = 0; t < 16; t++)
        token_weights[t] = t == 0 || t == 9 ? 0.0f : 1.0f;
    for (int i = 0; i < 3; i++) {
        buffers[i] = calloc(n, sizeof(float));
        assert_non_null(buffers[i]);
    }
    pal_layout_init(f->layout, (pal_key_t){{1}}, f->weights);
    for (h.step = 1; h.step <= 150; h.step++) {
        memset(buffers[0], 0, n * sizeof(float));
        assert_int_equal(
            pal_forward(f->pass, f->weights, &batch, PAL_ALL_LAYERS, &f->err), PAL_OK);
        (void)pal_loss_nll(f->pass, 1.0);
        pal_backward(f->pass, f->weights, NULL, buffers[0]);
        pal_adamw(f->weights, buffers[0], buffers[1], buffers[2], (int64_t)n, &h);
    }
    assert_true(pal_loss_nll(f->pass, 0.0) < 0.1);
    for (int i = 0; i < 3; i++)
        free(buffers[i]);
}

static const pal_batch_t *run(fixture_t *f, const pal_batch_t *prompts,
                              const pal_generation_t *how)
{
    const pal_batch_t *texts;

    assert_int_equal(pal_generator_run(f->generator, f->pass, f->weights, prompts, how,
                                       &texts, &f->err),
                     PAL_OK);
    assert_int_equal(texts->sequences, prompts->sequences);
    return texts;
}

/* Prompts of different lengths; a text ends at the stop token, at `most`, or with the
 * context. */
static void greedy_says_what_was_learned(void **state)
{
    fixture_t *f = *state;
    static const int32_t offsets[] = {0, 2, 7, 8};
    static const int32_t tokens[] = {1, 2, 4, 4, 5, 1, 4, 4};
    const pal_batch_t prompts = {.sequences = 3, .offsets = offsets, .tokens = tokens};
    pal_generation_t how = {.most = 7, .stop = STOP};
    const pal_batch_t *texts;

    learn(f);
    texts = run(f, &prompts, &how);
    assert_int_equal(texts->offsets[1], 9);
    assert_memory_equal(texts->tokens, learned, 9 * sizeof *learned);
    assert_memory_equal(texts->tokens + 9, learned + 9, 7 * sizeof *learned);
    assert_int_equal(texts->offsets[2] - 9, CONTEXT); /* 7 more would not fit */
    assert_int_equal(texts->offsets[3] - texts->offsets[2], 8);
    assert_memory_equal(texts->tokens + texts->offsets[2], learned + 9,
                        7 * sizeof *learned);
    for (int32_t t = 0; t < texts->offsets[3]; t++)
        assert_true(texts->weights[t] ==
                    ((t >= 2 && t < 9) || (t >= 14 && t < 21) || t > 21));
    how.most = 2;
    how.stop = -1;
    texts = run(f, &prompts, &how);
    assert_true(texts->offsets[1] == 4 && texts->offsets[2] == 11 &&
                texts->offsets[3] == 14);
    how.most = 0;
    texts = run(f, &prompts, &how);
    assert_memory_equal(texts->tokens, tokens, sizeof tokens);
    assert_memory_equal(texts->offsets, offsets, sizeof offsets);
}

/* What comes out is a batch to train on. */
static void texts_are_a_batch(void **state)
{
    fixture_t *f = *state;
    static const int32_t offsets[] = {0, 2}, tokens[] = {1, 2};
    const pal_batch_t prompts = {.sequences = 1, .offsets = offsets, .tokens = tokens};
    const pal_generation_t how = {.most = 7, .stop = STOP};

    learn(f);
    assert_int_equal(pal_forward(f->pass, f->weights, run(f, &prompts, &how),
                                 PAL_ALL_LAYERS, &f->err),
                     PAL_OK);
    assert_int_equal(pal_pass_rows(f->pass), 7);
    assert_true(pal_loss_nll(f->pass, 0.0) < 0.1);
}

/* Logits that do not depend on the text: the final norm only shifts, by the first unit
 * vector, and row v of the output matrix starts with the logit of v. */
static const float logits[VOCAB] = {0, 1, -1, 0.5f, 2, -30, -30};

static void make_dice(fixture_t *f)
{
    const pal_slice_t *token = pal_layout_slice(f->layout, PAL_TOKEN_EMBEDDING, -1);
    const pal_slice_t *norm = pal_layout_slice(f->layout, PAL_FINAL_NORM, -1);

    memset(f->weights, 0, (size_t)f->layout->count * sizeof *f->weights);
    f->weights[norm->offset + norm->cols] = 1.0f;
    for (int v = 0; v < VOCAB; v++)
        f->weights[token->offset + v * token->cols] = logits[v];
}

static pal_batch_t dice_prompts(int32_t n)
{
    static int32_t offsets[PROMPTS + 1], tokens[PROMPTS];

    for (int32_t b = 0; b < n; b++)
        offsets[b + 1] = b + 1;
    return (pal_batch_t){.sequences = n, .offsets = offsets, .tokens = tokens};
}

/* Pearson's chi-square of 6,600 draws over the five likely tokens: below the 0.999
 * quantile of four degrees of freedom. The numbers are always the same ones. */
static void draws_have_the_distribution(void **state)
{
    fixture_t *f = *state;
    const pal_batch_t prompts = dice_prompts(PROMPTS);
    static const double temperatures[] = {0.5, 1.0, 2.0};

    make_dice(f);
    for (int i = 0; i < 3; i++) {
        const pal_generation_t how = {.most = CONTEXT - 1,
                                      .stop = -1,
                                      .temperature = temperatures[i],
                                      .key = {{(uint8_t)i}}};
        const pal_batch_t *texts = run(f, &prompts, &how);
        double count[VOCAB] = {0}, mass = 0, square = 0;

        assert_int_equal(texts->offsets[PROMPTS], PROMPTS * CONTEXT);
        for (int32_t t = 0; t < PROMPTS * CONTEXT; t++)
            count[texts->tokens[t]] += texts->weights[t] > 0.0f;
        for (int v = 0; v < 5; v++)
            mass += exp((double)logits[v] / temperatures[i]);
        for (int v = 0; v < 5; v++) {
            const double expected = PROMPTS * (CONTEXT - 1) *
                                    exp((double)logits[v] / temperatures[i]) / mass;

            square += (count[v] - expected) * (count[v] - expected) / expected;
        }
        assert_true(count[5] == 0 && count[6] == 0);
        if (square > 18.47)
            fail_msg("temperature %g: chi-square %g", temperatures[i], square);
    }
}

/* Same key, same texts; a text does not depend on how many there are beside it; another
 * key gives others; two prompts of one run differ. */
static void draws_depend_on_the_key_alone(void **state)
{
    fixture_t *f = *state;
    const pal_batch_t many = dice_prompts(50), one = dice_prompts(1);
    pal_generation_t how = {
        .most = CONTEXT - 1, .stop = -1, .temperature = 1.0, .key = {{5}}};
    int32_t first[50 * CONTEXT];

    make_dice(f);
    memcpy(first, run(f, &many, &how)->tokens, sizeof first);
    assert_memory_equal(first, run(f, &many, &how)->tokens, sizeof first);
    assert_memory_equal(first, run(f, &one, &how)->tokens, CONTEXT * sizeof *first);
    assert_memory_not_equal(first, first + CONTEXT, CONTEXT * sizeof *first);
    how.key = (pal_key_t){{6}};
    assert_memory_not_equal(first, run(f, &many, &how)->tokens, sizeof first);
}

static void stops_where_told(void **state)
{
    fixture_t *f = *state;
    const pal_batch_t prompts = dice_prompts(50);
    const pal_generation_t how = {
        .most = CONTEXT - 1, .stop = 4, .temperature = 1.0, .key = {{7}}};
    const pal_batch_t *texts;
    int32_t short_ones = 0;

    make_dice(f);
    texts = run(f, &prompts, &how);
    for (int32_t b = 0; b < 50; b++) {
        const int32_t last = texts->offsets[b + 1] - 1;

        for (int32_t t = texts->offsets[b]; t < last; t++)
            assert_true(texts->tokens[t] != 4);
        short_ones += last + 1 - texts->offsets[b] < CONTEXT;
        assert_true(texts->tokens[last] == 4 ||
                    last + 1 - texts->offsets[b] == CONTEXT);
    }
    assert_in_range(short_ones, 40, 50);
}

static void bad_input_is_refused(void **state)
{
    fixture_t *f = *state;
    static const int32_t one[] = {0, 1}, two[] = {0, 1, 1}, longer[] = {0, 13};
    static const int32_t good[13] = {0}, beyond[] = {VOCAB}, negative[] = {-1};
    const struct {
        int32_t sequences;
        const int32_t *offsets, *tokens;
        pal_generation_t how;
        const char *message;
    } bad[] = {
        {0, one, good, {.most = 1}, "0 prompts; there is room for 1 to 600"},
        {601, one, good, {.most = 1}, "601 prompts; there is room for 1 to 600"},
        {2, two, good, {.most = 1}, "prompt 1 has 0 tokens; it must have 1 to 12"},
        {1, longer, good, {.most = 1}, "prompt 0 has 13 tokens; it must have 1 to 12"},
        {1, one, beyond, {.most = 1}, "prompt 0: token id 7 is outside 0 to 6"},
        {1, one, negative, {.most = 1}, "prompt 0: token id -1 is outside 0 to 6"},
        {1, one, good, {.most = -1}, "temperature 0 and -1 tokens"},
        {1, one, good, {.most = 1, .temperature = NAN}, "temperature nan"},
        {1, one, good, {.most = 1, .temperature = -2}, "temperature -2"},
        {1, one, good, {.most = 1, .temperature = INFINITY}, "temperature inf"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const pal_batch_t prompts = {.sequences = bad[i].sequences,
                                     .offsets = bad[i].offsets,
                                     .tokens = bad[i].tokens};
        const pal_batch_t *texts = NULL;

        assert_int_equal(pal_generator_run(f->generator, f->pass, f->weights, &prompts,
                                           &bad[i].how, &texts, &f->err),
                         PAL_EINVAL);
        assert_null(texts);
        if (!strstr(f->err.text, bad[i].message))
            fail_msg("'%s' does not say '%s'", f->err.text, bad[i].message);
    }
}

static void weights_that_are_not_finite_diverge(void **state)
{
    fixture_t *f = *state;
    const pal_batch_t prompts = dice_prompts(3);
    const float broken[] = {NAN, INFINITY};

    for (int i = 0; i < 4; i++) {
        const pal_generation_t how = {.most = 3, .stop = -1, .temperature = i / 2};
        const pal_batch_t *texts = NULL;

        make_dice(f);
        f->weights[pal_layout_slice(f->layout, PAL_TOKEN_EMBEDDING, -1)->offset + 16] =
            broken[i % 2];
        assert_int_equal(pal_generator_run(f->generator, f->pass, f->weights, &prompts,
                                           &how, &texts, &f->err),
                         PAL_EDIVERGE);
        assert_non_null(strstr(f->err.text, "text 0: the logit of token 1 is "));
        assert_null(texts);
    }
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, make, release)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(greedy_says_what_was_learned),
        TEST(texts_are_a_batch),
        TEST(draws_have_the_distribution),
        TEST(draws_depend_on_the_key_alone),
        TEST(stops_where_told),
        TEST(bad_input_is_refused),
        TEST(weights_that_are_not_finite_diverge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
