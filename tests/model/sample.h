/* sample.h -- small models of several styles, with weights of every kind away from
 * their defaults, and a ragged batch with a sequence of one token, one that fills the
 * context, and gaps in what is predicted. */
#ifndef TESTS_MODEL_SAMPLE_H
#define TESTS_MODEL_SAMPLE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "model/layout.h"
#include "model/loss.h"
#include "model/pass.h"
#include "styles.h"

enum { SAMPLE_TOKENS = 19, SAMPLE_SEQUENCES = 4, SAMPLE_ROWS = 12 };

typedef struct {
    pal_layout_t *layout;
    pal_pass_t *pass;
    float *weights, *grad;
    size_t count;
    pal_batch_t batch;
    int32_t tokens[SAMPLE_TOKENS];
    float token_weights[SAMPLE_TOKENS];
    pal_error_t err;
} sample_t;

static const pal_shape_t sample_gpt2 = {.vocab = 23,
                                        .context = 9,
                                        .width = 12,
                                        .layers = 3,
                                        .heads = 3,
                                        .kv_heads = 3,
                                        .hidden = 20,
                                        GPT2_STYLE};
/* Grouped heads, an output matrix of its own. */
static const pal_shape_t sample_llama = {.vocab = 23,
                                         .context = 9,
                                         .width = 12,
                                         .layers = 3,
                                         .heads = 6,
                                         .kv_heads = 3,
                                         .hidden = 20,
                                         LLAMA_STYLE,
                                         .rope_base = 100};
/* What neither of them has. */
static const pal_shape_t sample_mixed = {.vocab = 23,
                                         .context = 9,
                                         .width = 12,
                                         .layers = 3,
                                         .heads = 2,
                                         .kv_heads = 1,
                                         .hidden = 10,
                                         .tied = 1,
                                         .norm = PAL_RMSNORM,
                                         .position = PAL_ROTARY,
                                         .mlp = PAL_SWIGLU,
                                         .bias = PAL_BIAS_ALL,
                                         .norm_epsilon = 1e-3,
                                         .rope_base = 1e4};
static const pal_shape_t sample_plain = {.vocab = 23,
                                         .context = 9,
                                         .width = 12,
                                         .layers = 3,
                                         .heads = 2,
                                         .kv_heads = 2,
                                         .hidden = 16,
                                         .tied = 0,
                                         .norm = PAL_LAYERNORM,
                                         .position = PAL_LEARNED,
                                         .mlp = PAL_SWIGLU,
                                         .bias = PAL_BIAS_NONE,
                                         .norm_epsilon = 1e-5};

static const int32_t sample_offsets[SAMPLE_SEQUENCES + 1] = {0, 5, 6, 15, 19};

static inline void sample_weights(sample_t *s, pal_rng_t *rng)
{
    for (int32_t i = 0; i < s->layout->slice_count; i++) {
        const pal_slice_t *slice = &s->layout->slices[i];
        int is_norm = strstr(slice->name, "norm") != NULL;

        for (int64_t j = 0; j < slice->size; j++)
            s->weights[slice->offset + j] =
                (float)((is_norm && j < slice->cols ? 1.0 : 0.0) +
                        0.3 * pal_rng_normal(rng));
    }
}

static inline void sample_batch(sample_t *s, pal_rng_t *rng)
{
    for (int32_t b = 0; b < SAMPLE_SEQUENCES; b++)
        for (int32_t t = sample_offsets[b]; t < sample_offsets[b + 1]; t++) {
            s->tokens[t] =
                (int32_t)pal_rng_below(rng, (uint32_t)s->layout->shape.vocab);
            s->token_weights[t] = t == sample_offsets[b] || t % 5 == 4 ? 0.0f
                                  : t % 3 == 0                         ? 0.5f
                                                                       : 1.0f;
        }
    s->batch = (pal_batch_t){.sequences = SAMPLE_SEQUENCES,
                             .offsets = sample_offsets,
                             .tokens = s->tokens,
                             .weights = s->token_weights};
}

/* *state points to the shape, or is NULL: GPT-2 style. */
static inline int sample_create(void **state)
{
    const pal_shape_t *shape = *state ? *state : &sample_gpt2;
    sample_t *s = calloc(1, sizeof *s);
    pal_rng_t rng;

    assert_non_null(s);
    assert_int_equal(pal_layout_create(shape, &s->layout, &s->err), PAL_OK);
    assert_int_equal(pal_pass_create(s->layout, &s->pass, &s->err), PAL_OK);
    s->count = (size_t)s->layout->count;
    s->weights = calloc(s->count, sizeof *s->weights);
    s->grad = calloc(s->count, sizeof *s->grad);
    assert_non_null(s->weights);
    assert_non_null(s->grad);
    pal_rng_init(&rng, (pal_key_t){{3}}, "sample");
    sample_weights(s, &rng);
    sample_batch(s, &rng);
    *state = s;
    return 0;
}

static inline int sample_destroy(void **state)
{
    sample_t *s = *state;

    pal_pass_destroy(s->pass);
    pal_layout_destroy(s->layout);
    free(s->weights);
    free(s->grad);
    free(s);
    return 0;
}

/* A test of the sample of one style, and of each. */
#define SAMPLE_TEST(f, style)                                                          \
    {                                                                                  \
#f ", " #style, f, sample_create, sample_destroy, (void *)&sample_##style      \
    }
#define SAMPLE_TESTS(f)                                                                \
    SAMPLE_TEST(f, gpt2), SAMPLE_TEST(f, llama), SAMPLE_TEST(f, mixed),                \
        SAMPLE_TEST(f, plain)

/* The weights in double; the caller frees. */
static inline double *sample_exact(const sample_t *s)
{
    double *weights = calloc(s->count, sizeof *weights);

    assert_non_null(weights);
    for (size_t i = 0; i < s->count; i++)
        weights[i] = (double)s->weights[i];
    return weights;
}

static inline void sample_forward(sample_t *s)
{
    assert_int_equal(
        pal_forward(s->pass, s->weights, &s->batch, PAL_ALL_LAYERS, &s->err), PAL_OK);
}

static inline float *sample_copy(const float *x, size_t n)
{
    float *copy = malloc((n ? n : 1) * sizeof *copy);

    assert_non_null(copy);
    memcpy(copy, x, n * sizeof *copy);
    return copy;
}

#endif
