/* Sums of a product run in another order when it has another length, so what should be
 * the same function is so up to rounding. */
#include "model/surgery.h"
#include "sample.h"

static float *logits_of(sample_t *s, const pal_layout_t *layout, const float *weights)
{
    const size_t size = (size_t)SAMPLE_ROWS * (size_t)layout->shape.vocab;
    pal_pass_t *pass;
    float *logits;

    assert_int_equal(pal_pass_create(layout, &pass, &s->err), PAL_OK);
    assert_int_equal(pal_forward(pass, weights, &s->batch, PAL_ALL_LAYERS, &s->err),
                     PAL_OK);
    logits = sample_copy(pal_pass_logits(pass), size);
    pal_pass_destroy(pass);
    return logits;
}

/* Largest difference of the two models' logits. */
static double apart(sample_t *s, const pal_layout_t *layout, const float *weights)
{
    float *before = logits_of(s, s->layout, s->weights);
    float *after = logits_of(s, layout, weights);
    double most = 0.0;

    for (int32_t i = 0; i < SAMPLE_ROWS * s->layout->shape.vocab; i++)
        most = fmax(most, fabs((double)before[i] - (double)after[i]));
    free(before);
    free(after);
    return most;
}

static void drop(pal_layout_t *layout, float *weights)
{
    pal_layout_destroy(layout);
    free(weights);
}

static void clear_slice(sample_t *s, pal_slice_kind_t kind, int32_t layer)
{
    const pal_slice_t *slice = pal_layout_slice(s->layout, kind, layer);

    if (slice)
        memset(s->weights + slice->offset, 0, (size_t)slice->size * sizeof(float));
}

/* A block that adds nothing to the stream is not missed; one that does is. */
static void layers_are_dropped(void **state)
{
    sample_t *s = *state;
    const uint8_t keep[] = {1, 0, 1};
    pal_layout_t *layout;
    float *weights;

    for (int idle = 0; idle < 2; idle++) {
        if (idle) {
            clear_slice(s, PAL_ATTENTION_OUT, 1);
            clear_slice(s, PAL_ATTENTION_OUT_BIAS, 1);
            clear_slice(s, PAL_MLP_DOWN, 1);
            clear_slice(s, PAL_MLP_DOWN_BIAS, 1);
        }
        assert_int_equal(
            pal_surgery_layers(s->layout, s->weights, keep, &layout, &weights, &s->err),
            PAL_OK);
        assert_int_equal(layout->shape.layers, 2);
        assert_true(idle ? apart(s, layout, weights) == 0.0
                         : apart(s, layout, weights) > 0.1);
        drop(layout, weights);
    }
}

/* What is left runs as it did below the cut. */
static void the_first_layers_stay(void **state)
{
    sample_t *s = *state;
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)s->layout->shape.width;
    const uint8_t keep[] = {1, 1, 0};
    pal_layout_t *layout;
    pal_pass_t *pass;
    float *weights;

    assert_int_equal(
        pal_surgery_layers(s->layout, s->weights, keep, &layout, &weights, &s->err),
        PAL_OK);
    assert_int_equal(pal_pass_create(layout, &pass, &s->err), PAL_OK);
    assert_int_equal(pal_forward(pass, weights, &s->batch, PAL_ALL_LAYERS, &s->err),
                     PAL_OK);
    sample_forward(s);
    assert_memory_equal(pal_pass_residual(s->pass, 1), pal_pass_residual(pass, 1),
                        size * sizeof(float));
    pal_pass_destroy(pass);
    drop(layout, weights);
}

/* Fresh neurons change nothing, get a gradient, and gone again leave the old weights,
 * bit for bit. */
static void widening_preserves_the_model(void **state)
{
    sample_t *s = *state;
    const int32_t old = s->layout->shape.hidden, wide = old + 5;
    const pal_key_t key = {{1}}, other = {{2}};
    pal_layout_t *layout, *again, *back;
    float *weights, *same, *narrow, *grad;
    double moved = 0.0;
    pal_pass_t *pass;

    assert_int_equal(pal_surgery_neurons(s->layout, s->weights, NULL, wide, key,
                                         &layout, &weights, &s->err),
                     PAL_OK);
    assert_int_equal(layout->shape.hidden, wide);
    assert_true(apart(s, layout, weights) < 1e-4);
    assert_int_equal(pal_pass_create(layout, &pass, &s->err), PAL_OK);
    assert_int_equal(pal_layout_buffer(layout, "gradient", &grad, &s->err), PAL_OK);
    assert_int_equal(pal_forward(pass, weights, &s->batch, PAL_ALL_LAYERS, &s->err),
                     PAL_OK);
    (void)pal_loss_nll(pass, 1.0);
    pal_backward(pass, weights, NULL, grad);
    for (int32_t l = 0; l < layout->shape.layers; l++) {
        const pal_slice_t *down = pal_layout_slice(layout, PAL_MLP_DOWN, l);
        const float *dw = grad + down->offset, *w = weights + down->offset;

        for (int32_t j = old; j < wide; j++) {
            assert_true(w[j] == 0.0f);
            moved += fabs((double)dw[j]);
        }
    }
    assert_true(moved > 0.0);
    assert_int_equal(pal_surgery_neurons(s->layout, s->weights, NULL, wide, other,
                                         &again, &same, &s->err),
                     PAL_OK);
    assert_memory_not_equal(same, weights, (size_t)layout->count * sizeof *same);
    drop(again, same);
    assert_int_equal(pal_surgery_neurons(s->layout, s->weights, NULL, wide, key, &again,
                                         &same, &s->err),
                     PAL_OK);
    assert_memory_equal(same, weights, (size_t)layout->count * sizeof *same);
    assert_int_equal(
        pal_surgery_neurons(layout, weights, NULL, old, key, &back, &narrow, &s->err),
        PAL_OK);
    assert_memory_equal(narrow, s->weights, s->count * sizeof *narrow);
    pal_pass_destroy(pass);
    free(grad);
    drop(layout, weights);
    drop(again, same);
    drop(back, narrow);
}

/* Neurons 1 and 4 removed: the same as silencing them; the others may change places. */
static void removing_is_silencing(void **state)
{
    sample_t *s = *state;
    const int32_t f = s->layout->shape.hidden, left = f - 2;
    int32_t *neurons = calloc((size_t)left * 3, sizeof *neurons);
    pal_layout_t *layout;
    float *weights;

    assert_non_null(neurons);
    for (int32_t l = 0; l < 3; l++)
        for (int32_t k = 0; k < left; k++) {
            const int32_t place = l == 2 ? left - 1 - k : k;

            neurons[l * left + place] = k < 1 ? k : k < 3 ? k + 1 : k + 2;
        }
    assert_int_equal(pal_surgery_neurons(s->layout, s->weights, neurons, left,
                                         (pal_key_t){{1}}, &layout, &weights, &s->err),
                     PAL_OK);
    assert_true(apart(s, layout, weights) > 1e-2);
    for (int32_t l = 0; l < 3; l++) {
        const pal_slice_t *down = pal_layout_slice(s->layout, PAL_MLP_DOWN, l);

        for (int32_t i = 0; i < down->rows; i++)
            s->weights[down->offset + i * f + 1] =
                s->weights[down->offset + i * f + 4] = 0.0f;
    }
    assert_true(apart(s, layout, weights) < 1e-4);
    drop(layout, weights);
    free(neurons);
}

static void what_does_not_fit_is_refused(void **state)
{
    sample_t *s = *state;
    const uint8_t none[3] = {0};
    int32_t *neurons = calloc(3 * 4, sizeof *neurons);
    pal_layout_t *layout = NULL;
    float *weights = NULL;

    assert_non_null(neurons);
    assert_int_equal(
        pal_surgery_layers(s->layout, s->weights, none, &layout, &weights, &s->err),
        PAL_EINVAL);
    assert_non_null(strstr(s->err.text, "layers is 0"));
    assert_int_equal(pal_surgery_neurons(s->layout, s->weights, NULL, 0,
                                         (pal_key_t){{1}}, &layout, &weights, &s->err),
                     PAL_EINVAL);
    assert_non_null(strstr(s->err.text, "hidden is 0"));
    for (int i = 0; i < 2; i++) {
        neurons[7] = i ? -2 : s->layout->shape.hidden;
        assert_int_equal(pal_surgery_neurons(s->layout, s->weights, neurons, 4,
                                             (pal_key_t){{1}}, &layout, &weights,
                                             &s->err),
                         PAL_EINVAL);
        assert_non_null(
            strstr(s->err.text, i ? "there is no neuron -2" : "there is no neuron "));
        assert_non_null(strstr(s->err.text, "block 1: "));
    }
    assert_null(layout);
    assert_null(weights);
    free(neurons);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SAMPLE_TESTS(layers_are_dropped),
        SAMPLE_TESTS(the_first_layers_stay),
        SAMPLE_TESTS(widening_preserves_the_model),
        SAMPLE_TESTS(removing_is_silencing),
        SAMPLE_TEST(what_does_not_fit_is_refused, gpt2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
