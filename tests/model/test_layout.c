#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/layout.h"

static pal_shape_t preset(const char *name)
{
    pal_shape_t shape;
    pal_error_t err;

    assert_int_equal(pal_preset_find(name, &shape, &err), PAL_OK);
    assert_true(shape.vocab == 0 && shape.context == 0);
    shape.vocab = 550;
    shape.context = 32;
    return shape;
}

static pal_layout_t *create(const pal_shape_t *shape)
{
    pal_layout_t *layout = NULL;
    pal_error_t err;

    assert_int_equal(pal_layout_create(shape, &layout, &err), PAL_OK);
    return layout;
}

static void assert_covered(const pal_layout_t *layout)
{
    int64_t at = 0;

    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];

        assert_int_equal(slice->offset, at);
        assert_int_equal(slice->size, (int64_t)slice->rows * slice->cols);
        assert_ptr_equal(slice, pal_layout_slice(layout, slice->kind, slice->layer));
        if (i > 0 && slice->layer == slice[-1].layer)
            assert_true(slice->kind > slice[-1].kind);
        for (int32_t j = 0; j < i; j++)
            assert_string_not_equal(slice->name, layout->slices[j].name);
        at += slice->size;
    }
    assert_int_equal(at, layout->count);
}

static void slices_cover_the_buffer(void **unused)
{
    (void)unused;
    for (int i = 0; i < pal_preset_count(); i++) {
        const pal_shape_t shape = preset(pal_preset_name(i));
        pal_layout_t *layout = create(&shape);

        assert_covered(layout);
        pal_layout_destroy(layout);
    }
}

static void slices_of_gpt2(void **unused)
{
    const pal_shape_t shape = preset("nano");
    pal_layout_t *layout = create(&shape);
    const pal_slice_t *down = pal_layout_slice(layout, PAL_MLP_DOWN, 1);

    (void)unused;
    /* tied: V C + S C + L (12 C^2 + 13 C) + 2 C */
    assert_int_equal(layout->count,
                     550 * 64 + 32 * 64 + 2 * (12 * 4096 + 13 * 64) + 128);
    assert_string_equal(down->name, "block.1.mlp.down");
    assert_ptr_equal(pal_layout_bias(layout, down), down + 1);
    assert_ptr_equal(pal_layout_output(layout), &layout->slices[0]);
    assert_null(pal_layout_slice(layout, PAL_MLP_GATE, 0));
    assert_null(pal_layout_slice(layout, PAL_OUTPUT, -1));
    pal_layout_destroy(layout);
}

static void slices_of_llama(void **unused)
{
    pal_shape_t shape = preset("llama-nano");
    pal_layout_t *layout = create(&shape);
    const pal_slice_t *qkv = pal_layout_slice(layout, PAL_ATTENTION_QKV, 1);

    (void)unused;
    /* 2 V C + L (C (H + 2K) D + C^2 + 3 C F + 2 C) + C */
    assert_int_equal(layout->count,
                     2 * 550 * 64 + 2 * (64 * 128 + 4096 + 3 * 64 * 176 + 2 * 64) + 64);
    assert_int_equal(qkv->rows, 128);
    assert_null(pal_layout_bias(layout, qkv));
    assert_null(pal_layout_slice(layout, PAL_POSITION_EMBEDDING, -1));
    assert_string_equal(pal_layout_slice(layout, PAL_MLP_GATE, 1)->name,
                        "block.1.mlp.gate");
    assert_ptr_equal(pal_layout_output(layout),
                     &layout->slices[layout->slice_count - 1]);
    pal_layout_destroy(layout);
    shape.bias = PAL_BIAS_QKV;
    layout = create(&shape);
    assert_covered(layout);
    qkv = pal_layout_slice(layout, PAL_ATTENTION_QKV, 1);
    assert_ptr_equal(pal_layout_bias(layout, qkv), qkv + 1);
    assert_string_equal(qkv[1].name, "block.1.attention.qkv_bias");
    pal_layout_destroy(layout);
}

static void assert_refused(const pal_shape_t *shape, const char *message)
{
    pal_layout_t *layout = NULL;
    pal_error_t err = {""};

    assert_int_equal(pal_layout_create(shape, &layout, &err), PAL_EINVAL);
    assert_null(layout);
    if (!strstr(err.text, message))
        fail_msg("'%s' does not say '%s'", err.text, message);
}

/* Of each preset one field is made wrong. */
#define REFUSED(name, field, wrong, message)                                           \
    do {                                                                               \
        pal_shape_t shape_ = preset(name);                                             \
                                                                                       \
        shape_.field = wrong;                                                          \
        assert_refused(&shape_, message);                                              \
    } while (0)

static void bad_shapes_are_refused(void **unused)
{
    (void)unused;
    REFUSED("nano", vocab, 0, "vocab is 0; it must be at least 1");
    REFUSED("nano", context, -1, "context is -1");
    REFUSED("nano", width, 0, "width is 0");
    REFUSED("nano", layers, 0, "layers is 0");
    REFUSED("nano", heads, 0, "heads is 0");
    REFUSED("nano", kv_heads, -4, "kv_heads is -4");
    REFUSED("nano", hidden, 0, "hidden is 0");
    REFUSED("nano", heads, 5, "width 64 is not a multiple of heads 5");
    REFUSED("llama-nano", kv_heads, 3, "heads 4 is not a multiple of kv_heads 3");
    REFUSED("llama-nano", kv_heads, 8, "heads 4 is not a multiple of kv_heads 8");
    REFUSED("llama-nano", heads, 64, "head size 1 (width 64, heads 64) is odd");
    REFUSED("llama-nano", rope_base, 0.5, "rope_base is 0.5; it must be 1 to 1e12");
    REFUSED("llama-nano", rope_base, NAN, "rope_base is nan");
    REFUSED("nano", rope_base, 1e4, "rope_base is 10000; it must be 0");
    REFUSED("nano", norm_epsilon, 0, "norm_epsilon is 0; it must be above 0");
    REFUSED("nano", norm_epsilon, NAN, "norm_epsilon is nan");
    REFUSED("nano", tied, 2, "tied is 2; it must be 0 to 1");
    REFUSED("nano", norm, PAL_NORMS, "norm is 2; it must be 0 to 1");
    REFUSED("nano", position, PAL_POSITIONS, "position is 2");
    REFUSED("nano", mlp, PAL_MLPS, "mlp is 2");
    REFUSED("nano", bias, PAL_BIASES, "bias is 3; it must be 0 to 2");
    REFUSED("nano", vocab, 2000000000, "at most 2^31 - 1");
    REFUSED("nano", width, 1 << 20, "at most 2^31 - 1");
    REFUSED("nano", width, INT32_MAX - 3, "at most 2^31 - 1");
    REFUSED("nano", layers, INT32_MAX, "at most 2^31 - 1");
}

static double deviation(const float *x, int64_t n)
{
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum / (double)n);
}

static void assert_initial(const pal_layout_t *layout, const float *weights)
{
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];
        const float *w = weights + slice->offset;
        int output = slice->kind == PAL_ATTENTION_OUT || slice->kind == PAL_MLP_DOWN;

        if (pal_slice_is_matrix(slice->kind)) /* 4096 draws or more: 5 % is 4 sigma */
            assert_true(fabs(deviation(w, slice->size) / (output ? 0.01 : 0.02) - 1.0) <
                        0.05);
        else if (strstr(slice->name, "norm"))
            for (int64_t j = 0; j < slice->size; j++)
                assert_true(w[j] == (j < slice->cols ? 1.0f : 0.0f));
        else
            assert_true(deviation(w, slice->size) == 0.0);
    }
}

static void initial_weights(void **unused)
{
    static const char *const names[] = {"nano", "llama-nano"};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        const pal_shape_t shape = preset(names[i]);
        pal_layout_t *layout = create(&shape);
        const size_t bytes = (size_t)layout->count * sizeof(float);
        float *a = malloc(bytes), *b = malloc(bytes);

        assert_non_null(a);
        assert_non_null(b);
        pal_layout_init(layout, (pal_key_t){{1}}, a);
        pal_layout_init(layout, (pal_key_t){{1}}, b);
        assert_memory_equal(a, b, bytes);
        pal_layout_init(layout, (pal_key_t){{2}}, b);
        assert_memory_not_equal(a, b, bytes);
        assert_initial(layout, a);
        free(a);
        free(b);
        pal_layout_destroy(layout);
    }
}

static void flops_by_hand(void **unused)
{
    const pal_shape_t gpt2 = preset("nano"), llama = preset("llama-nano");
    const double attention = 2 * 64 * 13, logits = 2 * 64 * 550;
    const double llama_matrices = 64 * 128 + 4096 + 3 * 64 * 176;

    (void)unused;
    assert_true(pal_shape_flops(&gpt2, 12, 0) == 2 * (2 * 12 * 4096 + attention));
    assert_true(pal_shape_flops(&gpt2, 12, 1) ==
                2 * (2 * 12 * 4096 + attention) + logits);
    assert_true(pal_shape_flops(&llama, 12, 1) ==
                2 * (2 * llama_matrices + attention) + logits);
}

/* Weights that are no embedding. */
static int64_t block_weights(const pal_layout_t *layout)
{
    int64_t count = layout->count;

    for (int32_t i = 0; i < layout->slice_count; i++)
        if (layout->slices[i].kind < PAL_ATTENTION_NORM ||
            layout->slices[i].kind == PAL_OUTPUT)
            count -= layout->slices[i].size;
    return count;
}

/* Both styles, from about 0.1 to 150 million weights. */
static void presets_grow(void **unused)
{
    const int half = pal_preset_count() / 2;
    pal_shape_t shape = {.vocab = 300};
    pal_error_t err;
    int64_t before = 0;

    (void)unused;
    for (int i = 0; i < pal_preset_count(); i++) {
        const pal_shape_t made = preset(pal_preset_name(i));
        pal_layout_t *layout = create(&made);
        int64_t count = block_weights(layout);

        if (i % half == 0)
            assert_true(count > 80e3 && count < 120e3);
        else
            assert_true(count > before);
        if (i % half == half - 1)
            assert_true(count > 140e6 && count < 160e6);
        before = count;
        pal_layout_destroy(layout);
    }
    assert_int_equal(pal_preset_find("nanoo", &shape, &err), PAL_ENOENT);
    assert_non_null(strstr(err.text, "nanoo"));
    assert_non_null(strstr(err.text, "nano, micro, small, medium, large"));
    assert_non_null(strstr(err.text, "llama-xl"));
    assert_int_equal(shape.vocab, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_cover_the_buffer),
        cmocka_unit_test(slices_of_gpt2),
        cmocka_unit_test(slices_of_llama),
        cmocka_unit_test(bad_shapes_are_refused),
        cmocka_unit_test(initial_weights),
        cmocka_unit_test(flops_by_hand),
        cmocka_unit_test(presets_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
