#include "model/loss.h"
#include "stage/lab.h"
#include "stage/pools.h"

struct pretraining {
    pal_pass_t *pass;
    pal_stream_t *stream;
};

static int step(void *ctx, int64_t i, const float *weights, float *grad, double *loss,
                pal_error_t *err)
{
    struct pretraining *run = ctx;
    const pal_batch_t *batch = pal_stream_next_shared(run->stream);
    int rc = pal_forward(run->pass, weights, batch, PAL_ALL_LAYERS, err);

    (void)i;
    if (rc != PAL_OK)
        return rc;
    *loss = pal_loss_nll(run->pass, 1);
    pal_backward(run->pass, weights, NULL, grad);
    return PAL_OK;
}

int pal_stage_base(pal_lab_t *lab, const pal_ground_t *ground,
                   const pal_base_spec_t *spec, pal_key_t key, float *weights,
                   pal_model_result_t *result, pal_error_t *err)
{
    struct pretraining run = {0};
    pal_training_t training = {
        .recipe = &spec->pretrain.recipe, .stop = lab->stop, .step = step, .ctx = &run};
    pal_pool_t pool = {0};
    int rc = pal_lab_prepare(lab, ground, spec, err);

    if (rc != PAL_OK)
        return rc;
    run.pass = lab->pass;
    rc = pal_pool_pretrain(ground, spec, &pool, err);
    if (rc != PAL_OK)
        goto out;
    rc = pal_stream_create(&ground->corpus, &pool, (int32_t)spec->pretrain.recipe.batch,
                           key, "pretrain", &run.stream, err);
    if (rc == PAL_OK)
        rc = pal_stream_reserve(run.stream, run.pass, 1, err);
    if (rc != PAL_OK)
        goto out;
    pal_layout_init(lab->layout, key, weights);
    rc = pal_train(lab->trainer, &training, weights, &result->loss, err);
    result->steps = (double)spec->pretrain.recipe.steps;
    if (rc == PAL_OK)
        rc = pal_lab_judge(lab, ground, weights, result, err);
out:
    pal_stream_destroy(run.stream);
    pal_pool_free(&pool);
    return rc;
}
