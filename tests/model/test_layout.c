#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/layout.h"

static const pal_shape_t nano = {
    .vocab = 550, .context = 32, .width = 64, .layers = 2, .heads = 4, .hidden = 256};

static pal_layout_t *create(const pal_shape_t *shape)
{
    pal_layout_t *layout = NULL;
    pal_error_t err;

    assert_int_equal(pal_layout_create(shape, &layout, &err), PAL_OK);
    return layout;
}

static void slices_cover_the_buffer(void **unused)
{
    pal_layout_t *layout = create(&nano);
    int64_t at = 0;

    (void)unused;
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];

        assert_int_equal(slice->offset, at);
        assert_int_equal(slice->size, (int64_t)slice->rows * slice->cols);
        assert_ptr_equal(slice, pal_layout_slice(layout, slice->kind, slice->layer));
        for (int32_t j = 0; j < i; j++)
            assert_string_not_equal(slice->name, layout->slices[j].name);
        at += slice->size;
    }
    assert_int_equal(at, layout->count);
    /* tied GPT-2: V C + S C + L (12 C^2 + 13 C) + 2 C */
    assert_int_equal(layout->count,
                     550 * 64 + 32 * 64 + 2 * (12 * 4096 + 13 * 64) + 128);
    assert_string_equal(pal_layout_slice(layout, PAL_MLP_DOWN, 1)->name,
                        "block.1.mlp.down");
    pal_layout_destroy(layout);
}

static void bad_shapes_are_refused(void **unused)
{
    const struct {
        pal_shape_t shape;
        const char *message;
    } bad[] = {
        {{0, 32, 64, 2, 4, 256}, "vocab is 0"},
        {{9, -1, 64, 2, 4, 256}, "context is -1"},
        {{9, 32, 0, 2, 4, 256}, "width is 0"},
        {{9, 32, 64, 0, 4, 256}, "layers is 0"},
        {{9, 32, 64, 2, 0, 256}, "heads is 0"},
        {{9, 32, 64, 2, 4, 0}, "hidden is 0"},
        {{9, 32, 64, 2, 5, 256}, "width 64 is not a multiple of heads 5"},
        {{2000000000, 32, 64, 2, 4, 256}, "at most 2^31 - 1"},
        {{9, 32, 1 << 20, 1, 1, 1}, "at most 2^31 - 1"},
    };
    pal_layout_t *layout = NULL;
    pal_error_t err;

    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pal_layout_create(&bad[i].shape, &layout, &err), PAL_EINVAL);
        assert_null(layout);
        if (!strstr(err.text, bad[i].message))
            fail_msg("'%s' does not say '%s'", err.text, bad[i].message);
    }
}

static double deviation(const float *x, int64_t n)
{
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum / (double)n);
}

static void initial_weights(void **unused)
{
    pal_layout_t *layout = create(&nano);
    const size_t bytes = (size_t)layout->count * sizeof(float);
    float *a = malloc(bytes), *b = malloc(bytes);

    (void)unused;
    assert_non_null(a);
    assert_non_null(b);
    pal_layout_init(layout, (pal_key_t){{1}}, a);
    pal_layout_init(layout, (pal_key_t){{1}}, b);
    assert_memory_equal(a, b, bytes);
    pal_layout_init(layout, (pal_key_t){{2}}, b);
    assert_memory_not_equal(a, b, bytes);
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];
        const float *w = a + slice->offset;
        int output = slice->kind == PAL_ATTENTION_OUT || slice->kind == PAL_MLP_DOWN;

        if (slice->rows > 2) /* 4096 draws or more for a matrix: 5 % is 4 sigma */
            assert_true(fabs(deviation(w, slice->size) / (output ? 0.01 : 0.02) - 1.0) <
                        0.05);
        else if (slice->rows == 2)
            assert_true(w[0] == 1.0f && w[slice->cols - 1] == 1.0f &&
                        w[slice->cols] == 0.0f && w[2 * slice->cols - 1] == 0.0f);
        else
            assert_true(deviation(w, slice->size) == 0.0);
    }
    free(a);
    free(b);
    pal_layout_destroy(layout);
}

static void flops_by_hand(void **unused)
{
    pal_layout_t *layout = create(&nano);
    double blocks = 2 * (2 * 12 * 4096 + 2 * 64 * 13);

    (void)unused;
    assert_true(pal_layout_flops(layout, 12.0, 0) == blocks);
    assert_true(pal_layout_flops(layout, 12.0, 1) == blocks + 2 * 64 * 550);
    pal_layout_destroy(layout);
}

static void presets_grow(void **unused)
{
    pal_shape_t shape = {.vocab = 300, .context = 16};
    pal_error_t err;
    int64_t before = 0;

    (void)unused;
    for (int i = 0; i < pal_preset_count(); i++) {
        pal_layout_t *layout;

        assert_int_equal(pal_preset_find(pal_preset_name(i), &shape, &err), PAL_OK);
        assert_int_equal(shape.hidden, 4 * shape.width);
        assert_int_equal(shape.vocab, 300);
        layout = create(&shape);
        assert_true(layout->count > before);
        before = layout->count;
        pal_layout_destroy(layout);
    }
    assert_int_equal(pal_preset_find("nanoo", &shape, &err), PAL_ENOENT);
    assert_non_null(strstr(err.text, "nanoo"));
    assert_non_null(strstr(err.text, "nano, micro, small, medium"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_cover_the_buffer),
        cmocka_unit_test(bad_shapes_are_refused),
        cmocka_unit_test(initial_weights),
        cmocka_unit_test(flops_by_hand),
        cmocka_unit_test(presets_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
