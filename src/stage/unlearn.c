#include <math.h>
#include <string.h>

#include "model/loss.h"
#include "stage/lab.h"
#include "stage/pools.h"

struct unlearning {
    pal_lab_t *lab;
    const pal_method_t *method;
    const pal_unlearn_common_t *common;
    void *state;
    pal_unlearning_t lent;
    const float *frozen;     /* the model before; NULL: not needed */
    const pal_batch_t *held; /* retain text, one and the same at every look */
    double limit;            /* largest NLL of it, nats per token */
    int64_t kept;            /* steps whose weights are kept */
    double loss;             /* of the last of them; NaN if none */
};

static int step(void *ctx, int64_t i, const float *weights, float *grad, double *loss,
                pal_error_t *err)
{
    struct unlearning *run = ctx;

    return run->method->step(run->state, &run->lent, i, weights, run->lab->train, grad,
                             loss, err);
}

static int edit(void *ctx, int64_t i, float *weights, pal_error_t *err)
{
    struct unlearning *run = ctx;

    return run->method->edit(run->state, &run->lent, i, run->lab->train, weights, err);
}

static int held_nll(struct unlearning *run, const float *weights, double *nll,
                    pal_error_t *err)
{
    int rc = pal_forward(run->lent.pass, weights, run->held, PAL_ALL_LAYERS, err);

    if (rc == PAL_OK)
        *nll = pal_loss_nll(run->lent.pass, 0);
    return rc;
}

static int keep(struct unlearning *run, int64_t done, const float *weights, double loss,
                pal_error_t *err)
{
    run->kept = done;
    run->loss = loss;
    return pal_lab_keep(run->lab, weights, err);
}

/* Go on while the retain text is within the budget. */
static int watch(void *ctx, int64_t done, const float *weights, double loss,
                 pal_error_t *err)
{
    struct unlearning *run = ctx;
    double nll;
    int rc = held_nll(run, weights, &nll, err);

    if (rc != PAL_OK)
        return rc;
    if (!(nll <= run->limit))
        return PAL_ENOUGH;
    return keep(run, done, weights, loss, err);
}

/* As the config asks, for any method. */
static void common_adapter(const void *common, pal_adapter_spec_t *spec)
{
    *spec = pal_unlearn_adapter(common);
}

static int train_all(struct unlearning *run, pal_training_t *training, float *weights,
                     double *loss, pal_error_t *err)
{
    const int asked = run->common->adapter > 0;

    return pal_lab_train(run->lab, asked ? common_adapter : run->method->adapter,
                         asked ? run->common : run->state, run->frozen, run->lent.key,
                         training, weights, loss, err);
}

/* With a budget, the last weights within it: a run that diverges has left it. */
static int train_within(struct unlearning *run, pal_training_t *training,
                        float *weights, double *loss, pal_error_t *err)
{
    int64_t steps = training->recipe->steps;
    int rc;

    run->kept = steps;
    if (run->common->budget == 0)
        return train_all(run, training, weights, loss, err);
    rc = held_nll(run, weights, &run->limit, err);
    if (rc != PAL_OK)
        return rc;
    if (!isfinite(run->limit))
        return PAL_FAIL(err, PAL_EDIVERGE, "retain loss %g before step 0", run->limit);
    run->limit += run->common->budget;
    rc = keep(run, 0, weights, NAN, err);
    if (rc != PAL_OK)
        return rc;
    training->watch = watch;
    training->watches = (steps + PAL_LOOK_EVERY - 1) / PAL_LOOK_EVERY;
    rc = train_all(run, training, weights, loss, err);
    if (rc != PAL_OK && rc != PAL_EDIVERGE)
        return rc;
    *loss = run->loss;
    return pal_lab_return(run->lab, weights, err);
}

static int train(struct unlearning *run, const pal_unlearn_spec_t *spec, float *weights,
                 double *loss, pal_error_t *err)
{
    pal_training_t training = {.recipe = &spec->common.recipe,
                               .rate = run->lab->rate,
                               .stop = run->lab->stop,
                               .edit = spec->method->edit ? edit : NULL,
                               .step = step,
                               .ctx = run};
    int rc = PAL_OK;

    memcpy(run->state, spec->state, PAL_STATE_MAX);
    pal_lab_select(run->lab, spec->method->rate, run->state);
    if (spec->method->begin)
        rc = spec->method->begin(run->state, &run->lent, err);
    run->lent.start = run->frozen;
    if (rc == PAL_OK)
        rc = train_within(run, &training, weights, loss, err);
    if (spec->method->end)
        spec->method->end(run->state);
    return rc == PAL_OK ? rc : pal_context(err, rc, "method %s", spec->id);
}

static int reserve(const pal_unlearning_t *lent, pal_error_t *err)
{
    int rc = pal_stream_reserve(lent->forget, lent->pass, 1, err);

    if (rc == PAL_OK && lent->twin)
        rc = pal_stream_reserve(lent->twin, lent->pass, 1, err);
    if (rc == PAL_OK)
        rc = pal_stream_reserve(lent->retain, lent->pass, 1, err);
    return rc;
}

/* Pools and streams around train(). */
static int run_method(struct unlearning *run, const pal_ground_t *ground,
                      const pal_base_spec_t *base, const pal_unlearn_spec_t *spec,
                      float *weights, double *loss, pal_error_t *err)
{
    const pal_corpus_t *corpus = &ground->corpus;
    pal_unlearning_t *lent = &run->lent;
    int32_t batch = (int32_t)spec->common.recipe.batch;
    pal_pool_t retain = {0};
    pal_stream_t *held = NULL;
    int rc =
        pal_forget_streams(ground, spec, lent->key, &lent->forget, &lent->twin, err);

    if (rc == PAL_OK)
        rc = pal_pool_retain(ground, base, &retain, err);
    if (rc == PAL_OK)
        rc = pal_stream_create(corpus, &retain, batch, lent->key, "retain",
                               &lent->retain, err);
    if (rc == PAL_OK)
        rc = pal_stream_create(corpus, &retain, PAL_HELD_SEQUENCES, lent->key, "held",
                               &held, err);
    if (rc == PAL_OK)
        rc = reserve(lent, err);
    if (rc == PAL_OK) {
        run->held = pal_stream_next_shared(held);
        rc = train(run, spec, weights, loss, err);
    }
    pal_stream_destroy(lent->forget);
    pal_stream_destroy(lent->twin);
    pal_stream_destroy(lent->retain);
    pal_stream_destroy(held);
    pal_pool_free(&retain);
    return rc;
}

static int needs_start(const pal_unlearn_spec_t *spec)
{
    return spec->method->frozen || spec->method->adapter || spec->common.adapter;
}

int pal_stage_unlearn(pal_lab_t *lab, const pal_ground_t *ground,
                      const pal_base_spec_t *base, const pal_unlearn_spec_t *spec,
                      pal_key_t key, const float *start, float *weights,
                      pal_model_result_t *result, pal_error_t *err)
{
    _Alignas(16) unsigned char state[PAL_STATE_MAX];
    struct unlearning run = {
        .lab = lab, .method = spec->method, .common = &spec->common, .state = state};
    int rc = pal_lab_prepare(lab, ground, base, err);

    if (rc != PAL_OK)
        return rc;
    run.lent = (pal_unlearning_t){.layout = lab->layout,
                                  .start = weights,
                                  .pass = lab->pass,
                                  .frozen = lab->frozen,
                                  .key = key,
                                  .stop = lab->stop,
                                  .coefficient = spec->common.coefficient,
                                  .steps = spec->common.recipe.steps};
    result->loss = NAN;
    rc = pal_lab_begin(lab, start, needs_start(spec), weights, &run.frozen, err);
    if (run.frozen)
        run.lent.start = run.frozen;
    if (rc == PAL_OK && spec->method->role == PAL_UNLEARNS)
        rc = run_method(&run, ground, base, spec, weights, &result->loss, err);
    pal_lab_end(lab);
    result->steps = (double)run.kept;
    if (rc == PAL_OK)
        rc = pal_lab_judge(lab, ground, weights, result, err);
    return rc;
}
