/* Against PyTorch: tests/golden/make_gpt2.py, make_llama.py and make_bf16.py made the
 * numbers, in double precision. That the files load says that their shapes are these.
 *
 * Tolerances. Loss and NLLs: 1e-6 relative, a few float roundings. Gradients: 1e-5 of
 * the largest entry of a slice, as in test_gradient.c. Ten steps of AdamW: a step
 * divides by the root of the second moment, so an entry whose gradient is near 0
 * amplifies its rounding up to a full lr; 1e-5 relative leaves room for a few such
 * entries, while a wrong bias correction, decay or clip shows in the second loss by
 * 1e-2.
 *
 * Under bf16 a factor that float rounding moves over a tie becomes the next bf16
 * number, 2^-8 away. That happens to one in some 10^4, and shifts the few sums that it
 * enters by up to 1e-4; without rounding, losses are off by 1.6e-4 and gradients by
 * 5e-3. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "kernel/optimizer.h"
#include "kernel/vector.h"
#include "model/checkpoint.h"
#include "model/loss.h"
#include "styles.h"

#define GOLDEN PAL_SOURCE_DIR "/tests/golden/"

enum { MOST_TOKENS = 64, MOST_SEQUENCES = 8 };

static const pal_shape_t gpt2_shape = {.vocab = 31,
                                       .context = 12,
                                       .width = 16,
                                       .layers = 2,
                                       .heads = 2,
                                       .kv_heads = 2,
                                       .hidden = 64,
                                       GPT2_STYLE};
static const pal_shape_t llama_shape = {.vocab = 31,
                                        .context = 12,
                                        .width = 24,
                                        .layers = 2,
                                        .heads = 6,
                                        .kv_heads = 2,
                                        .hidden = 40,
                                        LLAMA_STYLE,
                                        .rope_base = 1e4};

/* Files, what computes, and the tolerances of losses and gradients. */
typedef struct {
    const char *name;
    const pal_shape_t *shape;
    pal_precision_t precision;
    double loss, gradient;
} model_t;

static const model_t gpt2 = {"gpt2", &gpt2_shape, PAL_FP32, 1e-6, 1e-5};
static const model_t llama = {"llama", &llama_shape, PAL_FP32, 1e-6, 1e-5};
static const model_t bf16 = {"bf16", &gpt2_shape, PAL_BF16, 2e-5, 1e-3};

typedef struct {
    const model_t *model;
    json_t *json;
    pal_layout_t *layout;
    pal_pass_t *pass;
    size_t count;
    float *weights, *expected, *grad, *m, *v;
    int32_t offsets[MOST_SEQUENCES + 1], tokens[MOST_TOKENS];
    float token_weights[MOST_TOKENS];
    pal_batch_t batch;
} golden_t;

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    assert_true(json_is_number(value));
    return json_number_value(value);
}

static float *floats(size_t n)
{
    float *x = calloc(n, sizeof *x);

    assert_non_null(x);
    return x;
}

static void read_batch(golden_t *g)
{
    const json_t *tokens = json_object_get(g->json, "tokens");
    const json_t *weights = json_object_get(g->json, "weights");
    const size_t sequences = json_array_size(tokens);
    int32_t t = 0;

    assert_true(sequences > 0 && sequences <= MOST_SEQUENCES);
    for (size_t b = 0; b < sequences; b++) {
        const json_t *row = json_array_get(tokens, b), *w = json_array_get(weights, b);

        for (size_t i = 0; i < json_array_size(row); i++, t++) {
            assert_true(t < MOST_TOKENS);
            g->tokens[t] = (int32_t)json_integer_value(json_array_get(row, i));
            g->token_weights[t] = (float)json_number_value(json_array_get(w, i));
        }
        g->offsets[b + 1] = t;
    }
    g->batch = (pal_batch_t){.sequences = (int32_t)sequences,
                             .offsets = g->offsets,
                             .tokens = g->tokens,
                             .weights = g->token_weights};
}

static void load(const golden_t *g, const char *name, const char *what, float *values)
{
    char path[512];
    pal_error_t err = {""};

    snprintf(path, sizeof path, GOLDEN "%s_%s.safetensors", name, what);
    if (pal_checkpoint_load(path, g->layout, NULL, values, &err) != PAL_OK)
        fail_msg("%s", err.text);
}

/* *state points to the model. */
static int golden_open(void **state)
{
    const model_t *model = *state;
    golden_t *g = calloc(1, sizeof *g);
    char path[512];

    assert_non_null(g);
    g->model = model;
    snprintf(path, sizeof path, GOLDEN "%s.json", model->name);
    g->json = json_load_file(path, 0, NULL);
    assert_non_null(g->json);
    assert_int_equal(pal_layout_create(model->shape, &g->layout, NULL), PAL_OK);
    assert_int_equal(pal_pass_create(g->layout, &g->pass, NULL), PAL_OK);
    pal_pass_set_precision(g->pass, model->precision);
    g->count = (size_t)g->layout->count;
    g->weights = floats(g->count);
    g->expected = floats(g->count);
    g->grad = floats(g->count);
    g->m = floats(g->count);
    g->v = floats(g->count);
    load(g, model->name, "weights", g->weights);
    load(g, model->name, "gradient", g->expected);
    read_batch(g);
    *state = g;
    return 0;
}

static int golden_close(void **state)
{
    golden_t *g = *state;

    json_decref(g->json);
    pal_pass_destroy(g->pass);
    pal_layout_destroy(g->layout);
    free(g->weights);
    free(g->expected);
    free(g->grad);
    free(g->m);
    free(g->v);
    free(g);
    return 0;
}

/* Forward, loss and backward; returns the loss. */
static double gradient(golden_t *g)
{
    double loss;

    memset(g->grad, 0, g->count * sizeof *g->grad);
    assert_int_equal(pal_forward(g->pass, g->weights, &g->batch, PAL_ALL_LAYERS, NULL),
                     PAL_OK);
    loss = pal_loss_nll(g->pass, 1.0);
    pal_backward(g->pass, g->weights, NULL, g->grad);
    return loss;
}

static double golden_number(const golden_t *g, const char *list, size_t i)
{
    const json_t *value = json_array_get(json_object_get(g->json, list), i);

    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void losses_match(void **state)
{
    golden_t *g = *state;
    double n[MOST_SEQUENCES];

    assert_true(fabs(gradient(g) / golden_number(g, "losses", 0) - 1.0) <
                g->model->loss);
    assert_int_equal(pal_forward(g->pass, g->weights, &g->batch, PAL_ALL_LAYERS, NULL),
                     PAL_OK);
    pal_loss_nll_sequences(g->pass, n, NULL);
    for (int32_t b = 0; b < g->batch.sequences; b++) {
        double exact = golden_number(g, "sequences", (size_t)b);

        assert_true(fabs(n[b] - exact) <= g->model->loss * exact);
    }
}

static void gradients_match(void **state)
{
    golden_t *g = *state;

    (void)gradient(g);
    for (int32_t i = 0; i < g->layout->slice_count; i++) {
        const pal_slice_t *slice = &g->layout->slices[i];
        double most = 0.0, worst = 0.0;

        for (int64_t j = slice->offset; j < slice->offset + slice->size; j++) {
            most = fmax(most, fabs((double)g->expected[j]));
            worst = fmax(worst, fabs((double)g->grad[j] - (double)g->expected[j]));
        }
        assert_true(most > 0.0);
        if (!(worst <= g->model->gradient * most))
            fail_msg("%s is off by %g of %g", slice->name, worst, most);
    }
}

static void ten_steps_match(void **state)
{
    golden_t *g = *state;
    const json_t *a = json_object_get(g->json, "adamw");
    pal_update_t h = {.lr = number(a, "lr"),
                      .beta1 = number(a, "beta1"),
                      .beta2 = number(a, "beta2"),
                      .epsilon = number(a, "epsilon"),
                      .decay = number(a, "decay")};
    int clipped = 0;

    assert_int_equal(json_array_size(json_object_get(g->json, "losses")), 10);
    for (size_t step = 0; step < 10; step++) {
        double loss = gradient(g);
        double norm = sqrt(pal_norm_squared(g->grad, g->layout->count));

        assert_true(fabs(loss / golden_number(g, "losses", step) - 1.0) < 1e-5);
        assert_true(fabs(norm / golden_number(g, "gradient_norms", step) - 1.0) < 1e-5);
        clipped += norm > number(a, "clip");
        h.grad_scale = fmin(1.0, number(a, "clip") / (norm + 1e-6));
        h.step = (int64_t)step + 1;
        pal_adamw(g->weights, g->grad, g->m, g->v, g->layout->count, &h);
    }
    assert_true(clipped > 0); /* or clipping would not be tested */
}

#define TEST(f, model)                                                                 \
    {                                                                                  \
#f ", " #model, f, golden_open, golden_close, (void *)&model                   \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(losses_match, gpt2),     TEST(losses_match, llama),
        TEST(losses_match, bf16),     TEST(gradients_match, gpt2),
        TEST(gradients_match, llama), TEST(gradients_match, bf16),
        TEST(ten_steps_match, gpt2),  TEST(ten_steps_match, llama),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
