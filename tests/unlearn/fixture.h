/* fixture.h -- a world of 30 facts, two small models and the streams of a method's run.
 */
#ifndef PAL_TESTS_UNLEARN_FIXTURE_H
#define PAL_TESTS_UNLEARN_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../model/styles.h"
#include "../world/made_world.h"
#include "model/loss.h"
#include "unlearn/method.h"

typedef struct {
    pal_world_t world;
    pal_corpus_t corpus;
    pal_pool_t forget, retain;
    pal_layout_t *layout;
    float *start, *weights; /* two models that differ everywhere */
    float *grad, *right;    /* what a step gave, and what it should have */
    pal_unlearning_t run;   /* streams open, coefficient 0.5 */
    _Alignas(16) unsigned char state[PAL_STATE_MAX];
    pal_error_t err;
} fixture_t;

static inline void set(const pal_param_t *table, void *state, const char *key,
                       double value)
{
    char text[32];

    snprintf(text, sizeof text, "%.17g", value);
    assert_int_equal(pal_param_set(pal_param_find(table, key), state, text, NULL),
                     PAL_OK);
}

static inline void make_pools(fixture_t *f)
{
    f->world = make_world("synthetic", "facts=20,retain=10");
    assert_int_equal(pal_corpus_create(&f->world, 16384, &f->corpus, &f->err), PAL_OK);
    for (int32_t i = 0; i < f->world.count; i++)
        assert_int_equal(
            pal_pool_add(f->world.facts[i].role == PAL_FORGET ? &f->forget : &f->retain,
                         &f->corpus, i, PAL_STATEMENT, 1, &f->err),
            PAL_OK);
}

static inline float *buffer(const fixture_t *f)
{
    float *made = calloc((size_t)f->layout->count, sizeof *made);

    assert_non_null(made);
    return made;
}

static inline size_t weight_bytes(const fixture_t *f)
{
    return (size_t)f->layout->count * sizeof(float);
}

/* The streams from their beginning, `batch` sequences each. */
static inline void open_streams(fixture_t *f, int32_t batch)
{
    pal_unlearning_t *run = &f->run;

    pal_stream_destroy(run->forget);
    pal_stream_destroy(run->retain);
    assert_int_equal(pal_stream_create(&f->corpus, &f->forget, batch, run->key,
                                       "forget", &run->forget, &f->err),
                     PAL_OK);
    assert_int_equal(pal_stream_create(&f->corpus, &f->retain, batch, run->key,
                                       "retain", &run->retain, &f->err),
                     PAL_OK);
}

static inline int fixture_make(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    pal_shape_t shape = {
        .width = 16, .layers = 2, .heads = 2, .kv_heads = 2, .hidden = 32, GPT2_STYLE};

    assert_non_null(f);
    make_pools(f);
    shape.vocab = pal_tokenizer_size(f->corpus.tokenizer);
    shape.context = f->corpus.longest;
    assert_int_equal(pal_layout_create(&shape, &f->layout, &f->err), PAL_OK);
    f->start = buffer(f);
    f->weights = buffer(f);
    f->grad = buffer(f);
    f->right = buffer(f);
    pal_layout_init(f->layout, (pal_key_t){{1}}, f->start);
    pal_layout_init(f->layout, (pal_key_t){{2}}, f->weights);
    f->run = (pal_unlearning_t){.layout = f->layout,
                                .start = f->start,
                                .coefficient = 0.5,
                                .steps = 10,
                                .key = {{3}}};
    assert_int_equal(pal_pass_create(f->layout, &f->run.pass, &f->err), PAL_OK);
    assert_int_equal(pal_pass_create(f->layout, &f->run.frozen, &f->err), PAL_OK);
    open_streams(f, 4);
    *state = f;
    return 0;
}

static inline int fixture_free(void **state)
{
    fixture_t *f = *state;

    pal_stream_destroy(f->run.forget);
    pal_stream_destroy(f->run.retain);
    pal_pass_destroy(f->run.pass);
    pal_pass_destroy(f->run.frozen);
    pal_layout_destroy(f->layout);
    free(f->start);
    free(f->weights);
    free(f->grad);
    free(f->right);
    pal_pool_free(&f->forget);
    pal_pool_free(&f->retain);
    pal_corpus_free(&f->corpus);
    pal_world_free(&f->world);
    free(f);
    return 0;
}

/* step() into f->grad; the loss. */
static inline double method_step(fixture_t *f, const pal_method_t *method, int64_t i,
                                 const float *weights)
{
    double loss = 0;

    memset(f->grad, 0, weight_bytes(f));
    assert_int_equal(
        method->step(f->state, &f->run, i, weights, NULL, f->grad, &loss, &f->err),
        PAL_OK);
    return loss;
}

/* The largest difference of grad and right, over the largest entry of right. */
static inline double grad_error(const fixture_t *f)
{
    double difference = 0, largest = 0;

    for (int64_t i = 0; i < f->layout->count; i++) {
        difference = fmax(difference, fabs((double)f->grad[i] - (double)f->right[i]));
        largest = fmax(largest, fabs((double)f->right[i]));
    }
    return difference / largest;
}

#endif
