#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/optimizer.h"
#include "kernel/threads.h"
#include "kernel/vector.h"
#include "train/adapter.h"

/* Runs are a few hundred steps: a second moment with a memory of 100 steps, not 1,000.
 * They are also Lion's published ones. */
static const double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
static const double pi = 3.14159265358979323846;

enum { MOMENTS = 2 };

static const struct optimizer {
    const char *name;
    void (*update)(float *w, const float *g, float *m, float *v, int64_t n,
                   const pal_update_t *h);
    int moments;
} optimizers[] = {
    {"adamw", pal_adamw, 2},
    {"sgd", pal_sgd, 0},
    {"momentum", pal_momentum, 1},
    {"lion", pal_lion, 1},
};

struct pal_trainer {
    const pal_layout_t *layout;
    const struct optimizer *optimizer;
    float *grad;             /* layout->count, as all below */
    float *moments[MOMENTS]; /* NULL until an optimizer needs them */
};

double pal_recipe_lr(const pal_recipe_t *recipe, int64_t step)
{
    double lr = recipe->lr, done = (double)step / (double)recipe->steps;

    if (step + 1 < recipe->warmup)
        lr *= (double)(step + 1) / (double)recipe->warmup;
    if (strcmp(recipe->schedule, "cosine") == 0)
        lr *= 0.5 * (1 + cos(pi * done));
    if (strcmp(recipe->schedule, "linear") == 0)
        lr *= 1 - done;
    return lr;
}

int pal_trainer_create(const pal_layout_t *layout, pal_trainer_t **out,
                       pal_error_t *err)
{
    pal_trainer_t *trainer = calloc(1, sizeof *trainer);
    size_t n = (size_t)layout->count;

    if (trainer) {
        trainer->layout = layout;
        trainer->grad = calloc(n, sizeof(float));
    }
    if (!trainer || !trainer->grad) {
        pal_trainer_destroy(trainer);
        return PAL_FAIL(err, PAL_ENOMEM, "gradient of %zu parameters", n);
    }
    *out = trainer;
    return PAL_OK;
}

/* All but the first `kept`. */
static void drop_moments(pal_trainer_t *trainer, int kept)
{
    for (int i = kept; i < MOMENTS; i++) {
        free(trainer->moments[i]);
        trainer->moments[i] = NULL;
    }
}

void pal_trainer_destroy(pal_trainer_t *trainer)
{
    if (!trainer)
        return;
    drop_moments(trainer, 0);
    free(trainer->grad);
    free(trainer);
}

static const struct optimizer *find_optimizer(const char *name)
{
    for (size_t k = 0; k < sizeof optimizers / sizeof *optimizers; k++)
        if (strcmp(optimizers[k].name, name) == 0)
            return &optimizers[k];
    return NULL;
}

int pal_optimizer_moments(const char *optimizer)
{
    const struct optimizer *found = find_optimizer(optimizer);

    return found ? found->moments : -1;
}

int pal_trainer_reserve(pal_trainer_t *trainer, const char *optimizer, pal_error_t *err)
{
    const struct optimizer *found = find_optimizer(optimizer);
    size_t n = (size_t)trainer->layout->count;

    if (!found)
        return PAL_REJECT(
            err, "no optimizer '%s'; there are adamw, sgd, momentum, lion", optimizer);
    drop_moments(trainer, found->moments);
    for (int i = 0; i < found->moments; i++) {
        if (!trainer->moments[i])
            trainer->moments[i] = malloc(n * sizeof(float));
        if (!trainer->moments[i])
            return PAL_FAIL(err, PAL_ENOMEM, "moments of %zu parameters", n);
    }
    trainer->optimizer = found;
    return PAL_OK;
}

static double rate(const pal_training_t *training, int32_t slice)
{
    return training->rate ? training->rate[slice] : 1;
}

static double gradient_norm(const pal_trainer_t *trainer,
                            const pal_training_t *training)
{
    const pal_layout_t *layout = trainer->layout;
    double square = 0;

    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];

        if (rate(training, i) != 0)
            square += pal_norm_squared(trainer->grad + slice->offset, slice->size);
    }
    return sqrt(square);
}

static float *moment(const pal_trainer_t *trainer, int i, int64_t offset)
{
    return i < trainer->optimizer->moments ? trainer->moments[i] + offset : NULL;
}

static void update_slice(pal_trainer_t *trainer, const pal_slice_t *slice,
                         const pal_update_t *h, float *weights)
{
    PAL_PARALLEL
    for (int64_t i = 0; i < slice->size; i += PAL_PIECE) {
        const int64_t at = slice->offset + i;

        trainer->optimizer->update(weights + at, trainer->grad + at,
                                   moment(trainer, 0, at), moment(trainer, 1, at),
                                   pal_piece(i, slice->size, PAL_PIECE), h);
    }
}

static void update(pal_trainer_t *trainer, const pal_training_t *training, int64_t step,
                   double grad_scale, float *weights)
{
    const pal_layout_t *layout = trainer->layout;
    const pal_recipe_t *recipe = training->recipe;
    const double lr = pal_recipe_lr(recipe, step);
    pal_update_t h = {.beta1 = beta1,
                      .beta2 = beta2,
                      .epsilon = epsilon,
                      .grad_scale = grad_scale,
                      .step = step + 1};

    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];

        h.lr = rate(training, i) * lr;
        if (rate(training, i) == 0)
            continue;
        /* Weight decay is for what multiplies, not for norms and biases. */
        h.decay = pal_slice_is_matrix(slice->kind) ? recipe->decay : 0;
        update_slice(trainer, slice, &h, weights);
    }
}

static int one_step(pal_trainer_t *trainer, const pal_training_t *training,
                    int64_t step, float *weights, double *loss, pal_error_t *err)
{
    double clip = training->recipe->clip, norm;
    int rc = PAL_OK;

    if (training->stop && atomic_load(training->stop))
        return PAL_FAIL(err, PAL_ESTOP, "stopped after %lld of %lld steps",
                        (long long)step, (long long)training->recipe->steps);
    memset(trainer->grad, 0, (size_t)trainer->layout->count * sizeof(float));
    if (training->edit)
        rc = training->edit(training->ctx, step, weights, err);
    if (rc == PAL_OK)
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

/* --- Under an adapter the loop trains A and B, which have a layout of their own --- */

struct adapted {
    const pal_training_t *outer; /* as the caller gave it */
    const pal_adapter_t *adapter;
    float *weights, *grad; /* of the model */
};

static int adapted_step(void *ctx, int64_t step, const float *values, float *grad,
                        double *loss, pal_error_t *err)
{
    const struct adapted *run = ctx;
    int rc;

    (void)values; /* the adapter's own */
    pal_adapter_merge(run->adapter, run->weights);
    memset(run->grad, 0, (size_t)run->adapter->layout->count * sizeof(float));
    rc = run->outer->step(run->outer->ctx, step, run->weights, run->grad, loss, err);
    if (rc == PAL_OK)
        pal_adapter_gradient(run->adapter, run->grad, grad);
    return rc;
}

static int adapted_watch(void *ctx, int64_t done, const float *values, double loss,
                         pal_error_t *err)
{
    const struct adapted *run = ctx;

    (void)values;
    pal_adapter_merge(run->adapter, run->weights);
    return run->outer->watch(run->outer->ctx, done, run->weights, loss, err);
}

static int train_factors(pal_trainer_t *factors, struct adapted *run, double *rates,
                         double *loss, pal_error_t *err)
{
    pal_training_t inner = *run->outer;

    for (int32_t i = 0; i < run->adapter->factors.slice_count; i++)
        rates[i] = rate(run->outer, run->adapter->matrices[i / 2]);
    inner.adapter = NULL;
    inner.rate = rates;
    inner.step = adapted_step;
    inner.watch = run->outer->watch ? adapted_watch : NULL;
    inner.ctx = run;
    return pal_train(factors, &inner, run->adapter->values, loss, err);
}

static int train_adapter(pal_trainer_t *trainer, const pal_training_t *outer,
                         float *weights, double *loss, pal_error_t *err)
{
    pal_adapter_t *adapter = outer->adapter;
    struct adapted run = {outer, adapter, weights, trainer->grad};
    size_t slices = (size_t)adapter->factors.slice_count;
    pal_trainer_t *factors = NULL;
    double *rates;
    int rc;

    if (outer->edit)
        return PAL_FAIL(err, PAL_EINVAL, "an edit of the weights under an adapter");
    drop_moments(trainer, 0);
    rc = pal_trainer_create(&adapter->factors, &factors, err);
    if (rc != PAL_OK)
        return rc;
    rates = malloc(slices * sizeof *rates);
    rc = rates ? train_factors(factors, &run, rates, loss, err)
               : PAL_FAIL(err, PAL_ENOMEM, "rates of %zu slices", slices);
    pal_adapter_merge(adapter, weights);
    pal_trainer_destroy(factors);
    free(rates);
    return rc;
}

/* After `done` steps: what is not finite is not worth a look. */
static int check_finite(const pal_trainer_t *trainer, const float *weights,
                        int64_t done, pal_error_t *err)
{
    if (isfinite(pal_norm_squared(weights, trainer->layout->count)))
        return PAL_OK;
    return PAL_FAIL(err, PAL_EDIVERGE, "a weight is not finite after %lld steps",
                    (long long)done);
}

int pal_train(pal_trainer_t *trainer, const pal_training_t *training, float *weights,
              double *loss, pal_error_t *err)
{
    size_t bytes = (size_t)trainer->layout->count * sizeof(float);
    int rc;

    if (training->adapter)
        return train_adapter(trainer, training, weights, loss, err);
    rc = pal_trainer_reserve(trainer, training->recipe->optimizer, err);
    for (int i = 0; rc == PAL_OK && i < trainer->optimizer->moments; i++)
        memset(trainer->moments[i], 0, bytes);
    *loss = NAN;
    for (int64_t step = 0; step < training->recipe->steps && rc == PAL_OK; step++) {
        rc = one_step(trainer, training, step, weights, loss, err);
        if (rc != PAL_OK || !is_due(training, step))
            continue;
        rc = check_finite(trainer, weights, step + 1, err);
        if (rc == PAL_OK)
            rc = training->watch(training->ctx, step + 1, weights, *loss, err);
    }
    if (rc == PAL_ENOUGH)
        return PAL_OK;
    return rc == PAL_OK ? check_finite(trainer, weights, training->recipe->steps, err)
                        : rc;
}
