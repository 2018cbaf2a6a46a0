#include <math.h>
#include <string.h>

#include "stage/lab.h"
#include "stage/pools.h"

struct unlearning {
    const pal_method_t *method;
    void *state;
    pal_unlearning_t lent;
    const uint8_t *train;
};

static int step(void *ctx, int64_t i, const float *weights, float *grad, double *loss,
                pal_error_t *err)
{
    struct unlearning *run = ctx;

    return run->method->step(run->state, &run->lent, i, weights, run->train, grad, loss,
                             err);
}

static int edit(void *ctx, int64_t i, float *weights, pal_error_t *err)
{
    struct unlearning *run = ctx;

    return run->method->edit(run->state, &run->lent, i, run->train, weights, err);
}

static int train(pal_lab_t *lab, const pal_unlearn_spec_t *spec, pal_unlearning_t *lent,
                 float *weights, double *loss, pal_error_t *err)
{
    _Alignas(16) unsigned char state[PAL_STATE_MAX];
    struct unlearning run = {
        .method = spec->method, .state = state, .lent = *lent, .train = lab->train};
    pal_training_t training = {.recipe = &spec->common.recipe,
                               .rate = lab->rate,
                               .stop = lab->stop,
                               .edit = spec->method->edit ? edit : NULL,
                               .step = step,
                               .ctx = &run};
    int rc = PAL_OK;

    memcpy(state, spec->state, sizeof state);
    pal_lab_select(lab, spec->method->rate, state);
    if (spec->method->begin)
        rc = spec->method->begin(state, &run.lent, err);
    if (rc == PAL_OK)
        rc = pal_train(lab->trainer, &training, weights, loss, err);
    if (spec->method->end)
        spec->method->end(state);
    return rc == PAL_OK ? rc : pal_context(err, rc, "method %s", spec->id);
}

/* Pools and streams around train(). */
static int run_method(pal_lab_t *lab, const pal_ground_t *ground,
                      const pal_base_spec_t *base, const pal_unlearn_spec_t *spec,
                      pal_key_t key, const float *start, float *weights, double *loss,
                      pal_error_t *err)
{
    pal_unlearning_t lent = {.layout = lab->layout,
                             .start = start,
                             .pass = lab->pass,
                             .frozen = lab->frozen,
                             .key = key,
                             .stop = lab->stop,
                             .coefficient = spec->common.coefficient,
                             .steps = spec->common.recipe.steps};
    int32_t batch = (int32_t)spec->common.recipe.batch;
    pal_pool_t forget = {0}, retain = {0};
    int rc = pal_pool_forget(ground, spec, key, &forget, err);

    if (rc == PAL_OK)
        rc = pal_pool_retain(ground, base, &retain, err);
    if (rc == PAL_OK)
        rc = pal_stream_create(&ground->corpus, &forget, batch, key, "forget",
                               &lent.forget, err);
    if (rc == PAL_OK)
        rc = pal_stream_create(&ground->corpus, &retain, batch, key, "retain",
                               &lent.retain, err);
    if (rc == PAL_OK)
        rc = train(lab, spec, &lent, weights, loss, err);
    pal_stream_destroy(lent.forget);
    pal_stream_destroy(lent.retain);
    pal_pool_free(&forget);
    pal_pool_free(&retain);
    return rc;
}

int pal_stage_unlearn(pal_lab_t *lab, const pal_ground_t *ground,
                      const pal_base_spec_t *base, const pal_unlearn_spec_t *spec,
                      pal_key_t key, const float *start, float *weights,
                      pal_model_result_t *result, pal_error_t *err)
{
    int rc = pal_lab_prepare(lab, ground, base, err);

    if (rc != PAL_OK)
        return rc;
    memcpy(weights, start, (size_t)lab->layout->count * sizeof(float));
    result->loss = NAN;
    if (spec->method->role == PAL_UNLEARNS)
        rc = run_method(lab, ground, base, spec, key, start, weights, &result->loss,
                        err);
    if (rc == PAL_OK)
        rc = pal_lab_judge(lab, ground, weights, result, err);
    return rc;
}
