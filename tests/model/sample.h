/* sample.h -- a small model with weights of every kind away from their defaults, and a
 * ragged batch with a sequence of one token, one that fills the context, and gaps in
 * what is predicted. */
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

static const int32_t sample_offsets[SAMPLE_SEQUENCES + 1] = {0, 5, 6, 15, 19};

static inline void sample_weights(sample_t *s, pal_rng_t *rng)
{
    for (int32_t i = 0; i < s->layout->slice_count; i++) {
        const pal_slice_t *slice = &s->layout->slices[i];
        int is_norm = slice->rows == 2;

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

static inline int sample_create(void **state)
{
    const pal_shape_t shape = {
        .vocab = 23, .context = 9, .width = 12, .layers = 3, .heads = 3, .hidden = 20};
    sample_t *s = calloc(1, sizeof *s);
    pal_rng_t rng;

    assert_non_null(s);
    assert_int_equal(pal_layout_create(&shape, &s->layout, &s->err), PAL_OK);
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
