/* repnoise: its value on a model that is known by hand, and what its parts do to a
 * model. That its gradient is that of its loss, the contract suite shows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../model/styles.h"
#include "../world/made_world.h"
#include "kernel/mmd.h"
#include "model/lens.h"
#include "model/loss.h"
#include "unlearn/method.h"
#include "world/pair.h"

enum { BATCH = 8, LAYERS = 2, WIDTH = 16 };

typedef struct {
    pal_world_t world;
    pal_corpus_t corpus;
    pal_layout_t *layout;
    const pal_method_t *method;
    _Alignas(16) unsigned char state[PAL_STATE_MAX];
    pal_unlearning_t run;
    float *weights;
} scene_t;

/* From their beginning. */
static void make_streams(scene_t *s)
{
    pal_pool_t twins = {0}, pool = {0}, retain = {0};

    pal_stream_destroy(s->run.forget);
    pal_stream_destroy(s->run.twin);
    pal_stream_destroy(s->run.retain);
    for (int32_t i = 0; i < s->world.count; i++)
        assert_int_equal(
            s->world.facts[i].role == PAL_RETAIN
                ? pal_pool_add(&retain, &s->corpus, i, PAL_STATEMENT, 1, NULL)
                : pal_pool_add(&twins, &s->corpus, i, PAL_FALSEHOOD, 1, NULL),
            PAL_OK);
    for (int32_t i = 0; i < twins.count; i++)
        assert_int_equal(
            pal_pool_push(&pool, pal_pair_truth(&s->corpus, twins.examples[i]), NULL),
            PAL_OK);
    assert_int_equal(pal_pair_streams(&s->corpus, &pool, &twins, BATCH, s->run.key,
                                      "forget", &s->run.forget, &s->run.twin, NULL),
                     PAL_OK);
    assert_int_equal(pal_stream_create(&s->corpus, &retain, BATCH, s->run.key, "retain",
                                       &s->run.retain, NULL),
                     PAL_OK);
    pal_pool_free(&twins);
    pal_pool_free(&pool);
    pal_pool_free(&retain);
}

static int make(void **state)
{
    pal_shape_t shape = {.width = WIDTH,
                         .layers = LAYERS,
                         .heads = 2,
                         .kv_heads = 2,
                         .hidden = 32,
                         GPT2_STYLE};
    scene_t *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->world = make_world("synthetic", "facts=20");
    assert_int_equal(pal_corpus_create(&s->world, 1000, &s->corpus, NULL), PAL_OK);
    shape.vocab = pal_tokenizer_size(s->corpus.tokenizer);
    shape.context = s->corpus.longest;
    assert_int_equal(pal_layout_create(&shape, &s->layout, NULL), PAL_OK);
    s->weights = calloc((size_t)s->layout->count, sizeof(float));
    assert_non_null(s->weights);
    s->run = (pal_unlearning_t){.layout = s->layout,
                                .start = s->weights,
                                .coefficient = 0.5,
                                .steps = 100,
                                .key = (pal_key_t){{3}}};
    assert_int_equal(pal_pass_create(s->layout, &s->run.pass, NULL), PAL_OK);
    make_streams(s);
    assert_int_equal(pal_method_find("repnoise", &s->method, NULL), PAL_OK);
    pal_param_defaults(s->method->params, s->state);
    assert_int_equal(s->method->begin(s->state, &s->run, NULL), PAL_OK);
    *state = s;
    return 0;
}

static int drop(void **state)
{
    scene_t *s = *state;

    s->method->end(s->state);
    pal_pass_destroy(s->run.pass);
    pal_stream_destroy(s->run.forget);
    pal_stream_destroy(s->run.twin);
    pal_stream_destroy(s->run.retain);
    pal_layout_destroy(s->layout);
    pal_corpus_free(&s->corpus);
    pal_world_free(&s->world);
    free(s->weights);
    free(s);
    return 0;
}

static void set(scene_t *s, const char *key, const char *text)
{
    assert_int_equal(
        pal_param_set(pal_param_find(s->method->params, key), s->state, text, NULL),
        PAL_OK);
}

/* The loss of the next batches at these weights. */
static double loss_of(scene_t *s, int64_t step)
{
    float *grad = calloc((size_t)s->layout->count, sizeof *grad);
    double loss;

    assert_non_null(grad);
    assert_int_equal(
        s->method->step(s->state, &s->run, step, s->weights, NULL, grad, &loss, NULL),
        PAL_OK);
    free(grad);
    return loss;
}

/* All weights 0: every layer guesses, and its cross-entropy is ln V. */
static void value_of_a_model_that_guesses(void **state)
{
    scene_t *s = *state;
    const double guess = log(s->layout->shape.vocab);

    set(s, "noise", "0");
    set(s, "ascent", "4");
    set(s, "twin", "3");
    assert_true(fabs(loss_of(s, 0) - (-0.5 * 4 * log(1 + guess) + 3 * guess + guess)) <
                1e-4);
}

/* Steps of fixed length down the gradient. */
static void descend(scene_t *s, int64_t steps)
{
    const int64_t n = s->layout->count;
    float *grad = calloc((size_t)n, sizeof *grad);
    double loss;

    assert_non_null(grad);
    for (int64_t i = 0; i < steps; i++) {
        double square = 0;

        memset(grad, 0, (size_t)n * sizeof *grad);
        assert_int_equal(
            s->method->step(s->state, &s->run, i, s->weights, NULL, grad, &loss, NULL),
            PAL_OK);
        for (int64_t k = 0; k < n; k++)
            square += (double)grad[k] * (double)grad[k];
        for (int64_t k = 0; k < n; k++)
            s->weights[k] -= (float)(0.1 * (double)grad[k] / sqrt(square));
    }
    free(grad);
}

/* Distance of a block's outputs from noise, after the parting of the true statements
 * that come next. */
static double distance(scene_t *s, int32_t layer)
{
    static float y[BATCH * 64 * WIDTH], x[BATCH * 64 * WIDTH];
    pal_pass_t *pass = s->run.pass;
    pal_rng_t rng;
    int32_t rows;

    assert_int_equal(pal_forward(pass, s->weights, pal_stream_next(s->run.forget),
                                 PAL_ALL_LAYERS, NULL),
                     PAL_OK);
    rows = pal_pass_rows(pass);
    assert_in_range(rows, BATCH, BATCH * 64);
    pal_rng_init(&rng, (pal_key_t){{8}}, "other noise");
    for (int32_t i = 0; i < rows; i++)
        for (int32_t c = 0; c < WIDTH; c++) {
            const int32_t at = i * WIDTH + c;

            x[at] = pal_pass_mlp(pass, layer)[pal_pass_targets(pass)[i] * WIDTH + c];
            y[at] = (float)pal_rng_normal(&rng);
        }
    return pal_mmd(NULL, x, y, rows, WIDTH, WIDTH / 2.0, 0);
}

static void noise_comes_near_noise(void **state)
{
    scene_t *s = *state;
    double before[LAYERS];

    pal_layout_init(s->layout, s->run.key, s->weights);
    set(s, "noise", "100");
    set(s, "ascent", "0");
    for (int32_t l = 0; l < LAYERS; l++)
        before[l] = distance(s, l);
    descend(s, 400);
    for (int32_t l = 0; l < LAYERS; l++)
        assert_true(distance(s, l) < 0.6 * before[l]);
}

/* Mean over the layers, and the last alone, on the true statements that come next. */
static void lens(scene_t *s, double *mean, double *last)
{
    pal_lens_t *made;

    assert_int_equal(pal_lens_create(s->layout, BATCH * 64, &made, NULL), PAL_OK);
    assert_int_equal(pal_forward(s->run.pass, s->weights,
                                 pal_stream_next(s->run.forget), PAL_ALL_LAYERS, NULL),
                     PAL_OK);
    *mean = 0;
    for (int32_t l = -1; l < LAYERS; l++) {
        *last = pal_lens_nll(made, s->run.pass, s->weights, l, 0, NULL, NULL);
        *mean += *last / (LAYERS + 1);
    }
    pal_lens_destroy(made);
}

static void ascent_makes_every_layer_wrong(void **state)
{
    scene_t *s = *state;
    double mean_before, mean, last_before, last;

    pal_layout_init(s->layout, s->run.key, s->weights);
    set(s, "noise", "0");
    set(s, "ascent", "100");
    lens(s, &mean_before, &last_before);
    descend(s, 50);
    lens(s, &mean, &last);
    assert_true(mean > 1.5 * mean_before && last > 1.5 * last_before);
}

static double next_nll(scene_t *s, pal_stream_t *stream)
{
    assert_int_equal(pal_forward(s->run.pass, s->weights, pal_stream_next(stream),
                                 PAL_ALL_LAYERS, NULL),
                     PAL_OK);
    return pal_loss_nll(s->run.pass, 0);
}

/* Ascent is on what is true, at every layer, descent on its twins, once more on the
 * retain text. */
static void each_term_has_its_text(void **state)
{
    scene_t *s = *state;
    double mean, last, right;

    pal_layout_init(s->layout, s->run.key, s->weights);
    for (int64_t i = 0; i < s->layout->count; i++)
        s->weights[i] *= 10; /* so that texts and layers differ */
    set(s, "noise", "0");
    set(s, "ascent", "4");
    set(s, "twin", "3");
    lens(s, &mean, &last);
    assert_true(fabs(last - mean) > 0.1);
    right = -0.5 * 4 * log(1 + mean) + 3 * next_nll(s, s->run.twin);
    right += next_nll(s, s->run.retain);
    make_streams(s);
    assert_true(fabs(loss_of(s, 0) - right) < 1e-5 * fabs(right));
}

static void noise_is_fresh_in_every_step(void **state)
{
    scene_t *s = *state;
    double loss[3];

    pal_layout_init(s->layout, s->run.key, s->weights);
    for (int64_t step = 0; step < 3; step++) {
        make_streams(s);
        loss[step] = loss_of(s, step);
    }
    assert_true(loss[0] != loss[1] && loss[1] != loss[2] && loss[0] != loss[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(value_of_a_model_that_guesses, make, drop),
        cmocka_unit_test_setup_teardown(noise_comes_near_noise, make, drop),
        cmocka_unit_test_setup_teardown(ascent_makes_every_layer_wrong, make, drop),
        cmocka_unit_test_setup_teardown(each_term_has_its_text, make, drop),
        cmocka_unit_test_setup_teardown(noise_is_fresh_in_every_step, make, drop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
