/* pal_forward() against the naive reference, and pal_backward() against central finite
 * differences on that reference. Tolerances: difference.h. */
#include "difference.h"
#include "model/reference.h"

#define CLOSE 1e-5

/* d(loss) = scale d(nll) + sum over layers of mse_l + coefficient . mlp outputs. */
typedef struct {
    const char *name;
    double nll;    /* coefficients; 0 leaves a term out */
    double mse;    /* of the residual stream after `layer`, to `target` */
    double mlp;    /* of a linear function of that block's MLP output */
    int32_t layer; /* -1 .. L-1 */
    int broadcast;
} objective_t;

static const objective_t objectives[] = {
    {.name = "nll", .nll = 1.0},
    {.name = "nll upwards", .nll = -0.3},
    {.name = "residual, embeddings", .mse = 0.7, .layer = -1},
    {.name = "residual, first block", .mse = 1.0, .layer = 0, .broadcast = 1},
    {.name = "residual, last block", .mse = 2.0, .layer = 2},
    {.name = "mlp output", .mlp = 1.0, .layer = 1},
    {.name = "everything", .nll = 0.5, .mse = 1.5, .mlp = -1.0, .layer = 1},
};

/* Fixed pseudo-random coefficients and targets, about 1 in size. */
static double wave(size_t i)
{
    return sin(1.7 * (double)i + 0.3);
}

/* What the values are computed from. */
typedef struct {
    sample_t *s;
    const objective_t *o;
    pal_reference_t r;
    double *exact_target;
    float *target;
} scene_t;

static scene_t scene_make(sample_t *s)
{
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)s->layout->shape.width;
    scene_t scene = {.s = s,
                     .exact_target = calloc(size, sizeof(double)),
                     .target = calloc(size, sizeof(float))};

    assert_non_null(scene.exact_target);
    assert_non_null(scene.target);
    for (size_t i = 0; i < size; i++) {
        scene.target[i] = (float)wave(i);
        scene.exact_target[i] = (double)scene.target[i];
    }
    assert_int_equal(pal_reference_create(s->layout, SAMPLE_TOKENS, &scene.r, &s->err),
                     PAL_OK);
    return scene;
}

static void scene_drop(scene_t *scene)
{
    pal_reference_destroy(&scene->r);
    free(scene->exact_target);
    free(scene->target);
}

static double exact_value(void *ctx, const double *weights)
{
    scene_t *scene = ctx;
    const sample_t *s = scene->s;
    const objective_t *o = scene->o;
    pal_reference_t *r = &scene->r;
    const size_t size = (size_t)r->tokens * (size_t)s->layout->shape.width;
    double value = 0.0;

    pal_reference_forward(r, s->layout, weights, &s->batch);
    if (o->nll != 0.0)
        value += o->nll * pal_reference_nll(r, s->layout, &s->batch);
    if (o->mse != 0.0)
        value += o->mse * pal_reference_residual_mse(r, s->layout, &s->batch, o->layer,
                                                     scene->exact_target, o->broadcast);
    for (size_t i = 0; o->mlp != 0.0 && i < size; i++)
        value += o->mlp * wave(i) * r->mlp[(size_t)o->layer * size + i];
    return value;
}

/* The same value by the fast path, leaving its seeds in the pass. */
static double fast_value(const scene_t *scene)
{
    const sample_t *s = scene->s;
    const objective_t *o = scene->o;
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)s->layout->shape.width;
    double value = 0.0;

    if (o->nll != 0.0)
        value += o->nll * pal_loss_nll(s->pass, o->nll);
    if (o->mse != 0.0)
        value += o->mse * pal_loss_residual_mse(s->pass, o->layer, scene->target,
                                                o->broadcast, o->mse);
    if (o->mlp != 0.0) {
        const float *mlp = pal_pass_mlp(s->pass, o->layer);
        float *seed = pal_pass_seed_mlp(s->pass, o->layer);

        for (size_t i = 0; i < size; i++) {
            value += o->mlp * wave(i) * (double)mlp[i];
            seed[i] += (float)(o->mlp * wave(i));
        }
    }
    return value;
}

static void gradients_match_finite_differences(void **state)
{
    sample_t *s = *state;
    scene_t scene = scene_make(s);
    double *weights = sample_exact(s);

    for (size_t i = 0; i < sizeof objectives / sizeof *objectives; i++) {
        double exact;

        scene.o = &objectives[i];
        exact = exact_value(&scene, weights);
        memset(s->grad, 0, s->count * sizeof *s->grad);
        sample_forward(s);
        /* The linear function sums terms of either sign, about 10 in all. */
        assert_true(fabs(fast_value(&scene) - exact) <= CLOSE * (10.0 + fabs(exact)));
        pal_backward(s->pass, s->weights, NULL, s->grad);
        assert_differences(s, scene.o->name, exact_value, &scene);
    }
    free(weights);
    scene_drop(&scene);
}

static void assert_taps(const float *fast, const double *exact, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(fabs((double)fast[i] - exact[i]) <= CLOSE * (1.0 + fabs(exact[i])));
}

static void forward_matches_reference(void **state)
{
    sample_t *s = *state;
    const pal_shape_t *shape = &s->layout->shape;
    const size_t size = (size_t)SAMPLE_TOKENS * (size_t)shape->width;
    const size_t vocab = (size_t)shape->vocab;
    double *weights = sample_exact(s);
    pal_reference_t r;

    assert_int_equal(pal_reference_create(s->layout, SAMPLE_TOKENS, &r, &s->err),
                     PAL_OK);
    pal_reference_forward(&r, s->layout, weights, &s->batch);
    sample_forward(s);
    for (int32_t l = -1; l < shape->layers; l++)
        assert_taps(pal_pass_residual(s->pass, l), r.residual + (size_t)(l + 1) * size,
                    size);
    for (int32_t l = 0; l < shape->layers; l++)
        assert_taps(pal_pass_mlp(s->pass, l), r.mlp + (size_t)l * size, size);
    assert_int_equal(pal_pass_rows(s->pass), SAMPLE_ROWS);
    for (int32_t i = 0; i < SAMPLE_ROWS; i++)
        assert_taps(pal_pass_logits(s->pass) + (size_t)i * vocab,
                    r.logits + (size_t)pal_pass_positions(s->pass)[i] * vocab, vocab);
    pal_reference_destroy(&r);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SAMPLE_TESTS(forward_matches_reference),
        SAMPLE_TESTS(gradients_match_finite_differences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
