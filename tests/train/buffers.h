/* buffers.h -- a small layout, and buffers of it with known numbers. */
#ifndef PAL_TESTS_TRAIN_BUFFERS_H
#define PAL_TESTS_TRAIN_BUFFERS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../model/styles.h"
#include "base/rng.h"
#include "model/layout.h"

/* One block and one head. */
static inline pal_layout_t *one_block(int32_t vocab, int32_t context, int32_t width,
                                      int32_t hidden)
{
    const pal_shape_t shape = {.vocab = vocab,
                               .context = context,
                               .width = width,
                               .layers = 1,
                               .heads = 1,
                               .kv_heads = 1,
                               .hidden = hidden,
                               GPT2_STYLE};
    pal_layout_t *layout;

    assert_int_equal(pal_layout_create(&shape, &layout, NULL), PAL_OK);
    return layout;
}

static inline pal_layout_t *small_layout(void)
{
    return one_block(5, 3, 4, 8);
}

static inline size_t buffer_bytes(const pal_layout_t *layout)
{
    return (size_t)layout->count * sizeof(float);
}

/* Normal numbers from a stream of this name. */
static inline float *random_buffer(const pal_layout_t *layout, const char *name)
{
    float *x;
    pal_rng_t rng;

    assert_int_equal(pal_layout_buffer(layout, name, &x, NULL), PAL_OK);
    pal_rng_init(&rng, (pal_key_t){{5}}, name);
    for (int64_t i = 0; i < layout->count; i++)
        x[i] = (float)pal_rng_normal(&rng);
    return x;
}

static inline float *copy_buffer(const pal_layout_t *layout, const float *x)
{
    float *copy = malloc(buffer_bytes(layout));

    assert_non_null(copy);
    memcpy(copy, x, buffer_bytes(layout));
    return copy;
}

/* 1 if weight i lies in a slice whose flag is set. */
static inline int is_trained(const pal_layout_t *layout, const uint8_t *train,
                             int64_t i)
{
    for (int32_t s = 0; s < layout->slice_count; s++)
        if (i >= layout->slices[s].offset &&
            i < layout->slices[s].offset + layout->slices[s].size)
            return train[s];
    return 0;
}

/* Every third slice is frozen. */
static inline void freeze_some(const pal_layout_t *layout, uint8_t *train)
{
    for (int32_t s = 0; s < layout->slice_count; s++)
        train[s] = s % 3 != 1;
}

#endif
