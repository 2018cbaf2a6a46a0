#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/optimizer.h"

/* Runs are a few hundred steps: a second moment with a memory of 100 steps, not 1,000.
 */
static const double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
static const double pi = 3.14159265358979323846;

struct pal_trainer {
    const pal_layout_t *layout;
    float *grad, *m, *v; /* layout->count each */
};

double pal_recipe_lr(const pal_recipe_t *recipe, int64_t step)
{
    double lr = recipe->lr;

    if (step + 1 < recipe->warmup)
        lr *= (double)(step + 1) / (double)recipe->warmup;
    if (strcmp(recipe->schedule, "cosine") == 0)
        lr *= 0.5 * (1 + cos(pi * (double)step / (double)recipe->steps));
    return lr;
}

int pal_trainer_create(const pal_layout_t *layout, pal_trainer_t **out,
                       pal_error_t *err)
{
    pal_trainer_t *trainer = calloc(1, sizeof *trainer);
    size_t n = (size_t)layout->count;

    if (!trainer)
        goto fail;
    trainer->layout = layout;
    trainer->grad = calloc(n, sizeof(float));
    trainer->m = calloc(n, sizeof(float));
    trainer->v = calloc(n, sizeof(float));
    if (!trainer->grad || !trainer->m || !trainer->v)
        goto fail;
    *out = trainer;
    return PAL_OK;
fail:
    pal_trainer_destroy(trainer);
    return PAL_FAIL(err, PAL_ENOMEM, "gradient and moments of %zu parameters", n);
}

void pal_trainer_destroy(pal_trainer_t *trainer)
{
    if (!trainer)
        return;
    free(trainer->grad);
    free(trainer->m);
    free(trainer->v);
    free(trainer);
}

static int trains(const pal_training_t *training, int32_t slice)
{
    return !training->train || training->train[slice];
}

static double gradient_norm(const pal_trainer_t *trainer,
                            const pal_training_t *training)
{
    const pal_layout_t *layout = trainer->layout;
    double square = 0;

    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];

        if (trains(training, i))
            square += pal_norm_squared(trainer->grad + slice->offset, slice->size);
    }
    return sqrt(square);
}

/* Weight decay is for what multiplies, not for norms and biases. */
static int is_matrix(pal_slice_kind_t kind)
{
    switch (kind) {
    case PAL_TOKEN_EMBEDDING:
    case PAL_POSITION_EMBEDDING:
    case PAL_ATTENTION_QKV:
    case PAL_ATTENTION_OUT:
    case PAL_MLP_UP:
    case PAL_MLP_DOWN:
        return 1;
    default:
        return 0;
    }
}

static void update(pal_trainer_t *trainer, const pal_training_t *training, int64_t step,
                   double grad_scale, float *weights)
{
    const pal_layout_t *layout = trainer->layout;
    const pal_recipe_t *recipe = training->recipe;
    pal_adamw_t h = {.lr = pal_recipe_lr(recipe, step),
                     .beta1 = beta1,
                     .beta2 = beta2,
                     .epsilon = epsilon,
                     .grad_scale = grad_scale,
                     .step = step + 1};

    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];
        int64_t at = slice->offset;

        if (!trains(training, i))
            continue;
        h.decay = is_matrix(slice->kind) ? recipe->decay : 0;
        pal_adamw(weights + at, trainer->grad + at, trainer->m + at, trainer->v + at,
                  slice->size, &h);
    }
}

static int one_step(pal_trainer_t *trainer, const pal_training_t *training,
                    int64_t step, float *weights, double *loss, pal_error_t *err)
{
    double clip = training->recipe->clip, norm;
    int rc;

    if (training->stop && atomic_load(training->stop))
        return PAL_FAIL(err, PAL_ESTOP, "stopped after %lld of %lld steps",
                        (long long)step, (long long)training->recipe->steps);
    memset(trainer->grad, 0, (size_t)trainer->layout->count * sizeof(float));
    rc = training->step(training->ctx, step, weights, trainer->grad, loss, err);
    if (rc != PAL_OK)
        return rc;
    norm = gradient_norm(trainer, training);
    if (!isfinite(*loss) || !isfinite(norm))
        return PAL_FAIL(err, PAL_EDIVERGE, "step %lld: loss %g, gradient norm %g",
                        (long long)step, *loss, norm);
    update(trainer, training, step, clip > 0 && norm > clip ? clip / norm : 1, weights);
    return PAL_OK;
}

/* Of `watches` evenly spaced looks the ones due after step i: when i + 1 crosses a
 * multiple of steps / watches. With fewer steps than watches every step is looked at
 * once. */
static int is_due(const pal_training_t *training, int64_t step)
{
    int64_t steps = training->recipe->steps, watches = training->watches;

    return training->watch && (step + 1) * watches / steps > step * watches / steps;
}

int pal_train(pal_trainer_t *trainer, const pal_training_t *training, float *weights,
              double *loss, pal_error_t *err)
{
    size_t bytes = (size_t)trainer->layout->count * sizeof(float);
    int rc = PAL_OK;

    memset(trainer->m, 0, bytes);
    memset(trainer->v, 0, bytes);
    *loss = NAN;
    for (int64_t step = 0; step < training->recipe->steps && rc == PAL_OK; step++) {
        rc = one_step(trainer, training, step, weights, loss, err);
        if (rc == PAL_OK && is_due(training, step))
            rc = training->watch(training->ctx, step + 1, weights, *loss, err);
    }
    if (rc == PAL_OK && !isfinite(pal_norm_squared(weights, trainer->layout->count)))
        rc = PAL_FAIL(err, PAL_EDIVERGE, "a weight is not finite after the last step");
    return rc;
}
