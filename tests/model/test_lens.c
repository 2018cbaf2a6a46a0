/* The lens against the naive reference: its values, and its gradient through the whole
 * model against central differences. Tolerances as in test_gradient.c. */
#include "model/lens.h"
#include "model/reference.h"
#include "sample.h"

#define STEP 1e-5
#define CLOSE 1e-5

enum { LAYERS = 3, ENTRIES = 12 };

typedef struct {
    pal_lens_t *lens;
    pal_reference_t reference;
    double *weights;
} scene_t;

static scene_t scene_make(sample_t *s)
{
    scene_t scene = {.weights = sample_exact(s)};

    assert_int_equal(pal_lens_create(s->layout, SAMPLE_ROWS, &scene.lens, &s->err),
                     PAL_OK);
    assert_int_equal(
        pal_reference_create(s->layout, SAMPLE_TOKENS, &scene.reference, &s->err),
        PAL_OK);
    sample_forward(s);
    return scene;
}

static void scene_drop(scene_t *scene)
{
    pal_lens_destroy(scene->lens);
    pal_reference_destroy(&scene->reference);
    free(scene->weights);
}

static void last_layer_is_the_model(void **state)
{
    sample_t *s = *state;
    scene_t scene = scene_make(s);
    const float *logits = pal_lens_logits(scene.lens, s->pass, s->weights, LAYERS - 1);

    for (int32_t i = 0; i < SAMPLE_ROWS * s->layout->shape.vocab; i++)
        assert_true(fabsf(logits[i] - pal_pass_logits(s->pass)[i]) <= 1e-6f);
    assert_true(fabs(pal_lens_nll(scene.lens, s->pass, s->weights, LAYERS - 1, 0.0,
                                  NULL, NULL) -
                     pal_loss_nll(s->pass, 0.0)) <= 1e-7);
    scene_drop(&scene);
}

static double exact_lens(const sample_t *s, scene_t *scene, int32_t layer)
{
    pal_reference_forward(&scene->reference, s->layout, scene->weights, &s->batch);
    pal_reference_lens(&scene->reference, s->layout, scene->weights, layer);
    return pal_reference_nll(&scene->reference, s->layout, &s->batch);
}

static void layers_match_reference(void **state)
{
    sample_t *s = *state;
    scene_t scene = scene_make(s);
    double before = NAN;

    for (int32_t layer = -1; layer < LAYERS; layer++) {
        double exact = exact_lens(s, &scene, layer);
        double fast =
            pal_lens_nll(scene.lens, s->pass, s->weights, layer, 0.0, NULL, NULL);

        assert_true(fabs(fast - exact) <= CLOSE * exact);
        assert_true(exact != before); /* each layer says something else */
        before = exact;
    }
    scene_drop(&scene);
}

static void check_slice(sample_t *s, scene_t *scene, int32_t layer, double scale,
                        const pal_slice_t *slice, pal_rng_t *rng)
{
    double most = 0.0;

    for (int64_t i = 0; i < slice->size; i++)
        most = fmax(most, fabs((double)s->grad[slice->offset + i]));
    for (int i = 0; i < ENTRIES; i++) {
        int64_t at = slice->offset + pal_rng_below(rng, (uint32_t)slice->size);
        double kept = scene->weights[at], above, below, exact;

        scene->weights[at] = kept + STEP;
        above = exact_lens(s, scene, layer);
        scene->weights[at] = kept - STEP;
        below = exact_lens(s, scene, layer);
        scene->weights[at] = kept;
        exact = scale * (above - below) / (2.0 * STEP);
        if (!(fabs((double)s->grad[at] - exact) <= CLOSE * most + 1e-7))
            fail_msg("layer %d: %s[%d] is %g, not %g", (int)layer, slice->name,
                     (int)(at - slice->offset), (double)s->grad[at], exact);
    }
}

static void gradients_match_differences(void **state)
{
    sample_t *s = *state;
    scene_t scene = scene_make(s);
    pal_rng_t rng;

    pal_rng_init(&rng, (pal_key_t){{5}}, "entries");
    for (int32_t layer = -1; layer < LAYERS; layer++) {
        const double scale = layer % 2 ? -0.7 : 1.0;

        memset(s->grad, 0, s->count * sizeof *s->grad);
        sample_forward(s);
        (void)pal_lens_nll(scene.lens, s->pass, s->weights, layer, scale, NULL,
                           s->grad);
        pal_backward(s->pass, s->weights, NULL, s->grad);
        for (int32_t j = 0; j < s->layout->slice_count; j++)
            check_slice(s, &scene, layer, scale, &s->layout->slices[j], &rng);
    }
    scene_drop(&scene);
}

/* Without grad, or where a slice does not train, only the stream is seeded. */
static void norm_and_output_train_if_asked(void **state)
{
    sample_t *s = *state;
    scene_t scene = scene_make(s);
    const pal_slice_t *norm = pal_layout_slice(s->layout, PAL_FINAL_NORM, -1);
    const int32_t slices = s->layout->slice_count;
    uint8_t *train = calloc((size_t)slices, 1);
    float *seeds = sample_copy(s->grad, s->count);

    assert_non_null(train);
    (void)pal_lens_nll(scene.lens, s->pass, s->weights, 1, 1.0, train, s->grad);
    assert_memory_equal(s->grad, seeds, s->count * sizeof *seeds);
    (void)pal_lens_nll(scene.lens, s->pass, s->weights, 1, 1.0, NULL, NULL);
    train[norm - s->layout->slices] = 1;
    (void)pal_lens_nll(scene.lens, s->pass, s->weights, 0, 1.0, train, s->grad);
    for (size_t i = 0; i < s->count; i++)
        assert_true(s->grad[i] == 0.0f || (i >= (size_t)norm->offset &&
                                           i < (size_t)(norm->offset + norm->size)));
    assert_true(s->grad[norm->offset] != 0.0f);
    free(train);
    free(seeds);
    scene_drop(&scene);
}

static void value_only_leaves_no_seed(void **state)
{
    sample_t *s = *state;
    scene_t scene = scene_make(s);

    for (int32_t layer = -1; layer < LAYERS; layer++)
        (void)pal_lens_nll(scene.lens, s->pass, s->weights, layer, 0.0, NULL, s->grad);
    pal_backward(s->pass, s->weights, NULL, s->grad);
    for (size_t i = 0; i < s->count; i++)
        assert_true(s->grad[i] == 0.0f);
    scene_drop(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SAMPLE_TESTS(last_layer_is_the_model),
        SAMPLE_TESTS(layers_match_reference),
        SAMPLE_TESTS(gradients_match_differences),
        SAMPLE_TESTS(norm_and_output_train_if_asked),
        SAMPLE_TESTS(value_only_leaves_no_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
