/* Adapters against their definition in double precision, alone, through the whole model
 * and through the loop. */
#include "../model/difference.h"
#include "model/reference.h"
#include "train/adapter.h"
#include "train/train.h"

static const pal_key_t key = {{11}};

static pal_adapter_spec_t spec_of(const char *targets, int64_t rank, double noise)
{
    pal_adapter_spec_t spec = {.rank = rank, .alpha = 5, .noise = noise};

    strcpy(spec.targets, targets);
    return spec;
}

static pal_adapter_t *adapter_of(sample_t *s, const char *targets, int64_t rank,
                                 double noise, const float *base)
{
    const pal_adapter_spec_t spec = spec_of(targets, rank, noise);
    pal_adapter_t *adapter = NULL;

    assert_int_equal(
        pal_adapter_create(s->layout, &spec, NULL, base, key, &adapter, &s->err),
        PAL_OK);
    return adapter;
}

/* weights = base, then W0 + (alpha / rank) B A of every adapted matrix, in double. */
static void merge_exactly(const pal_adapter_t *adapter, const double *values,
                          double *weights)
{
    for (int64_t i = 0; i < adapter->layout->count; i++)
        weights[i] = (double)adapter->base[i];
    for (int32_t m = 0; m < adapter->count; m++) {
        const pal_slice_t *w = &adapter->layout->slices[adapter->matrices[m]];
        const pal_slice_t *a = &adapter->factors.slices[2 * m], *b = a + 1;

        for (int32_t i = 0; i < w->rows; i++)
            for (int32_t j = 0; j < w->cols; j++)
                for (int32_t r = 0; r < a->rows; r++)
                    weights[w->offset + (int64_t)i * w->cols + j] +=
                        5.0 / a->rows * values[b->offset + (int64_t)i * b->cols + r] *
                        values[a->offset + (int64_t)r * a->cols + j];
    }
}

/* What the loss of an adapted model is computed from. */
typedef struct {
    const sample_t *s;
    const pal_adapter_t *adapter;
    pal_reference_t r;
    double *weights;
} scene_t;

static double exact_loss(void *ctx, const double *values)
{
    scene_t *scene = ctx;
    const sample_t *s = scene->s;

    merge_exactly(scene->adapter, values, scene->weights);
    pal_reference_forward(&scene->r, s->layout, scene->weights, &s->batch);
    return pal_reference_nll(&scene->r, s->layout, &s->batch);
}

/* d(loss)/dA and d(loss)/dB of the whole model. */
static void gradients_match_finite_differences(void **state)
{
    static const char *const targets[] = {"attention", "mlp", "all"};
    sample_t *s = *state;
    float *base = sample_copy(s->weights, s->count);
    scene_t scene = {.s = s, .weights = sample_exact(s)};
    uint8_t *train = calloc((size_t)s->layout->slice_count, 1);

    assert_int_equal(pal_reference_create(s->layout, SAMPLE_TOKENS, &scene.r, &s->err),
                     PAL_OK);
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        pal_adapter_t *adapter = adapter_of(s, targets[t], 3, 0.2, base);
        const pal_layout_t *factors = &adapter->factors;
        double *values = calloc((size_t)factors->count, sizeof *values);
        float *grad = calloc((size_t)factors->count, sizeof *grad);

        for (int64_t i = 0; i < factors->count; i++)
            values[i] = (double)adapter->values[i];
        pal_adapter_merge(adapter, s->weights);
        pal_adapter_select(adapter, train);
        memset(s->grad, 0, s->count * sizeof *s->grad);
        sample_forward(s);
        (void)pal_loss_nll(s->pass, 1);
        pal_backward(s->pass, s->weights, train, s->grad);
        grad[0] = NAN; /* is written, not added to */
        pal_adapter_gradient(adapter, s->grad, grad);
        for (int32_t i = 0; i < factors->slice_count; i++)
            assert_true(
                largest(grad + factors->slices[i].offset, factors->slices[i].size) > 0);
        scene.adapter = adapter;
        assert_slice_differences(targets[t], factors->slices, factors->slice_count,
                                 grad, exact_loss, &scene, values);
        pal_adapter_disable(adapter, s->weights);
        pal_adapter_destroy(adapter);
        free(values);
        free(grad);
    }
    pal_reference_destroy(&scene.r);
    free(base);
    free(scene.weights);
    free(train);
}

/* At B = 0 a merge gives W0, with B it gives the definition; what is not adapted is not
 * written, and disabling gives W0 back. */
static void merges_and_gives_back(void **state)
{
    sample_t *s = *state;
    float *base = sample_copy(s->weights, s->count);
    pal_adapter_t *fresh = adapter_of(s, "attention", 2, 0, base);
    pal_adapter_t *noisy = adapter_of(s, "attention", 2, 0.5, base);
    double *values = calloc((size_t)noisy->factors.count, sizeof *values);
    double *exact = calloc(s->count, sizeof *exact);
    uint8_t *train = calloc((size_t)s->layout->slice_count, 1);

    pal_adapter_merge(fresh, s->weights);
    for (size_t i = 0; i < s->count; i++)
        assert_true(s->weights[i] == base[i]);
    for (int64_t i = 0; i < noisy->factors.count; i++)
        values[i] = (double)noisy->values[i];
    merge_exactly(noisy, values, exact);
    pal_adapter_select(noisy, train);
    for (size_t i = 0; i < s->count; i++)
        s->weights[i] = 77;
    pal_adapter_merge(noisy, s->weights);
    for (int32_t k = 0; k < s->layout->slice_count; k++)
        for (int64_t i = 0; i < s->layout->slices[k].size; i++) {
            size_t at = (size_t)(s->layout->slices[k].offset + i);
            double right = train[k] ? exact[at] : 77;

            assert_true(fabs((double)s->weights[at] - right) < 1e-5);
        }
    pal_adapter_disable(noisy, s->weights);
    for (int32_t k = 0; k < s->layout->slice_count; k++)
        if (train[k])
            assert_memory_equal(s->weights + s->layout->slices[k].offset,
                                base + s->layout->slices[k].offset,
                                (size_t)s->layout->slices[k].size * sizeof(float));
    memcpy(s->weights, base, s->count * sizeof *base);
    pal_adapter_destroy(fresh);
    pal_adapter_destroy(noisy);
    free(values);
    free(exact);
    free(base);
    free(train);
}

static void extracts_what_it_adds(void **state)
{
    sample_t *s = *state;
    float *base = sample_copy(s->weights, s->count), *delta;
    pal_adapter_t *adapter = adapter_of(s, "mlp", 4, 0.5, base);
    double most = 0;

    pal_adapter_merge(adapter, s->weights);
    for (int32_t i = 0; i < adapter->count; i++) {
        const pal_slice_t *w = &s->layout->slices[adapter->matrices[i]];

        delta = calloc((size_t)w->size, sizeof *delta);
        pal_adapter_extract(adapter, i, delta);
        for (int64_t j = 0; j < w->size; j++)
            assert_true(fabsf(base[w->offset + j] + delta[j] -
                              s->weights[w->offset + j]) < 1e-6f);
        most = fmax(most, largest(delta, w->size));
        free(delta);
    }
    assert_true(most > 0.1);
    memcpy(s->weights, base, s->count * sizeof *base);
    pal_adapter_destroy(adapter);
    free(base);
}

/* The same key gives the same factors, another one others, A has the scale that keeps
 * its products near 1. */
static void is_drawn_from_the_key(void **state)
{
    sample_t *s = *state;
    const pal_adapter_spec_t spec = spec_of("all", 12, 0.1);
    pal_adapter_t *a = adapter_of(s, "all", 12, 0.1, s->weights);
    pal_adapter_t *b = adapter_of(s, "all", 12, 0.1, s->weights), *c = NULL;
    const size_t bytes = (size_t)a->factors.count * sizeof(float);
    double square = 0;

    assert_int_equal(pal_adapter_create(s->layout, &spec, NULL, s->weights,
                                        (pal_key_t){{12}}, &c, &s->err),
                     PAL_OK);
    assert_memory_equal(a->values, b->values, bytes);
    assert_true(memcmp(a->values, c->values, bytes) != 0);
    for (int64_t i = 0; i < a->factors.slices[0].size; i++)
        square += (double)a->values[i] * (double)a->values[i];
    /* 144 draws: the mean square is 1 / in within 12 % as a standard error. */
    assert_true(fabs(square / 12 - 1) < 0.5);
    pal_adapter_destroy(a);
    pal_adapter_destroy(b);
    pal_adapter_destroy(c);
}

static void refuses(sample_t *s, const pal_adapter_spec_t *spec, const uint8_t *train,
                    const char *what, const char *expected)
{
    pal_adapter_t *adapter = NULL;

    assert_int_equal(
        pal_adapter_create(s->layout, spec, train, s->weights, key, &adapter, &s->err),
        PAL_EINVAL);
    assert_null(adapter);
    if (!strstr(s->err.text, what) || !strstr(s->err.text, expected))
        fail_msg("'%s' has no '%s' or no '%s'", s->err.text, what, expected);
}

static void impossible_adapters_are_refused(void **state)
{
    sample_t *s = *state;
    uint8_t *none = calloc((size_t)s->layout->slice_count, 1);
    pal_adapter_spec_t spec = spec_of("all", 0, 0);

    refuses(s, &spec, NULL, "rank 0", "at least 1");
    spec.rank = 13;
    refuses(s, &spec, NULL, "rank 13", "at most 12");
    refuses(s, &spec, NULL, "block.0.attention.qkv", "36 x 12");
    assert_int_equal(pal_adapter_check(&spec, &s->layout->shape, &s->err), PAL_EINVAL);
    spec.rank = 12;
    assert_int_equal(pal_adapter_check(&spec, &s->layout->shape, &s->err), PAL_OK);
    refuses(s, &spec, none, "'all'", "nothing is to be trained");
    spec.alpha = 0;
    refuses(s, &spec, NULL, "alpha 0", "above 0");
    spec.alpha = NAN;
    refuses(s, &spec, NULL, "alpha nan", "above 0");
    spec = spec_of("everything", 2, 0);
    refuses(s, &spec, NULL, "'everything'", "attention|mlp|all");
    spec = spec_of("all", 2, -1);
    refuses(s, &spec, NULL, "noise -1", "at least 0");
    free(none);
}

/* --- In the loop --- */

typedef struct {
    sample_t *sample;
    const uint8_t *train;
    double first; /* loss of the first step */
    float *seen;  /* weights of the last look */
} loop_t;

static int nll_step(void *ctx, int64_t step, const float *weights, float *grad,
                    double *loss, pal_error_t *err)
{
    loop_t *loop = ctx;
    int rc = pal_forward(loop->sample->pass, weights, &loop->sample->batch,
                         PAL_ALL_LAYERS, err);

    if (rc != PAL_OK)
        return rc;
    assert_true(grad[0] == 0);
    *loss = pal_loss_nll(loop->sample->pass, 1);
    pal_backward(loop->sample->pass, weights, loop->train, grad);
    if (step == 0)
        loop->first = *loss;
    return PAL_OK;
}

static int look(void *ctx, int64_t done, const float *weights, double loss,
                pal_error_t *err)
{
    loop_t *loop = ctx;

    (void)done, (void)loss, (void)err;
    memcpy(loop->seen, weights, loop->sample->count * sizeof *weights);
    return PAL_OK;
}

static int no_edit(void *ctx, int64_t step, float *weights, pal_error_t *err)
{
    (void)ctx, (void)step, (void)weights, (void)err;
    return PAL_OK;
}

static pal_recipe_t recipe_of(const char *optimizer, int64_t steps, double lr)
{
    pal_recipe_t recipe = {.steps = steps, .batch = 1, .lr = lr};

    strcpy(recipe.schedule, "constant");
    strcpy(recipe.optimizer, optimizer);
    return recipe;
}

/* A and B move and the merged weights with them, the rest of the model does not, to the
 * last byte; the looks see what comes out. */
static void the_loop_trains_the_factors(void **state)
{
    sample_t *s = *state;
    float *base = sample_copy(s->weights, s->count);
    float *seen = calloc(s->count, sizeof *seen), *merged = sample_copy(base, s->count);
    uint8_t *train = calloc((size_t)s->layout->slice_count, 1);
    pal_adapter_t *adapter = adapter_of(s, "all", 4, 0, base);
    const pal_recipe_t recipe = recipe_of("adamw", 40, 1e-2);
    loop_t loop = {.sample = s, .train = train, .seen = seen};
    pal_training_t training = {.recipe = &recipe,
                               .step = nll_step,
                               .watch = look,
                               .watches = 2,
                               .ctx = &loop,
                               .adapter = adapter};
    pal_trainer_t *trainer;
    double loss;

    pal_adapter_select(adapter, train);
    assert_int_equal(pal_trainer_create(s->layout, &trainer, &s->err), PAL_OK);
    assert_int_equal(pal_train(trainer, &training, s->weights, &loss, &s->err), PAL_OK);
    assert_true(loss < 0.5 * loop.first);
    assert_memory_equal(seen, s->weights, s->count * sizeof *seen);
    pal_adapter_merge(adapter, merged);
    assert_memory_equal(merged, s->weights, s->count * sizeof *merged);
    for (int32_t i = 0; i < s->layout->slice_count; i++) {
        const pal_slice_t *slice = &s->layout->slices[i];

        assert_int_equal(memcmp(s->weights + slice->offset, base + slice->offset,
                                (size_t)slice->size * sizeof *base) == 0,
                         !train[i]);
    }
    training.edit = no_edit;
    assert_int_equal(pal_train(trainer, &training, s->weights, &loss, &s->err),
                     PAL_EINVAL);
    assert_non_null(strstr(s->err.text, "edit"));
    memcpy(s->weights, base, s->count * sizeof *base);
    pal_trainer_destroy(trainer);
    pal_adapter_destroy(adapter);
    free(base), free(seen), free(merged), free(train);
}

/* One step of gradient descent by hand, every matrix at a rate of its own, one frozen.
 */
static void factors_have_the_rate_of_their_matrix(void **state)
{
    sample_t *s = *state;
    float *base = sample_copy(s->weights, s->count), *before, *grad;
    pal_adapter_t *adapter = adapter_of(s, "mlp", 2, 0.2, base);
    double *rate = calloc((size_t)s->layout->slice_count, sizeof *rate), loss;
    const size_t n = (size_t)adapter->factors.count;
    const pal_recipe_t recipe = recipe_of("sgd", 1, 0.05);
    loop_t loop = {.sample = s};
    pal_training_t training = {.recipe = &recipe,
                               .rate = rate,
                               .step = nll_step,
                               .ctx = &loop,
                               .adapter = adapter};
    pal_trainer_t *trainer;

    for (int32_t i = 0; i < adapter->count; i++)
        rate[adapter->matrices[i]] = i - 1; /* one ascends, one is frozen */
    pal_adapter_merge(adapter, s->weights);
    before = sample_copy(adapter->values, n);
    grad = calloc(n, sizeof *grad);
    memset(s->grad, 0, s->count * sizeof *s->grad);
    assert_int_equal(nll_step(&loop, 0, s->weights, s->grad, &loss, &s->err), PAL_OK);
    pal_adapter_gradient(adapter, s->grad, grad);
    assert_int_equal(pal_trainer_create(s->layout, &trainer, &s->err), PAL_OK);
    assert_int_equal(pal_train(trainer, &training, s->weights, &loss, &s->err), PAL_OK);
    for (int32_t i = 0; i < adapter->factors.slice_count; i++)
        for (int64_t j = 0; j < adapter->factors.slices[i].size; j++) {
            const int64_t at = adapter->factors.slices[i].offset + j;
            const double right =
                (double)before[at] - 0.05 * (i / 2 - 1) * (double)grad[at];

            assert_true(fabs((double)adapter->values[at] - right) < 1e-6);
        }
    memcpy(s->weights, base, s->count * sizeof *base);
    pal_trainer_destroy(trainer);
    pal_adapter_destroy(adapter);
    free(base), free(before), free(grad), free(rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(merges_and_gives_back),
        cmocka_unit_test(extracts_what_it_adds),
        cmocka_unit_test(is_drawn_from_the_key),
        cmocka_unit_test(impossible_adapters_are_refused),
        cmocka_unit_test(the_loop_trains_the_factors),
        cmocka_unit_test(factors_have_the_rate_of_their_matrix),
    };

    return cmocka_run_group_tests(tests, sample_create, sample_destroy);
}
