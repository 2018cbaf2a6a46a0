#include "bench/step.h"

#include <stdlib.h>
#include <string.h>

#include "model/loss.h"
#include "model/share.h"
#include "train/train.h"

enum { LEAST_ROUNDS = 3, MOST_ROUNDS = 200, OURS = PAL_PEER_PRECISIONS, SAMPLES };

const char *const pal_peer_precisions[PAL_PEER_PRECISIONS] = {"fp32", "bf16"};

/* A run of the training loop, cut into rounds. */
typedef struct {
    const pal_workload_t *workload;
    pal_pass_t *pass;
    pal_share_t *share;
    pal_peer_t *peer;         /* NULL: none */
    double seconds;           /* of all rounds */
    double begin;             /* of everything timed */
    int64_t steps;            /* done; the first does not count */
    double flops, all_tokens; /* of all steps */

    double start;  /* of the round */
    double tokens; /* of the round so far */
    int64_t first; /* step of the round */

    double samples[SAMPLES][MOST_ROUNDS]; /* seconds per token */
    double ratio[PAL_PEER_PRECISIONS][MOST_ROUNDS];
    int32_t rounds;
    pal_step_result_t *result;
} run_t;

static int step(void *ctx, int64_t i, const float *weights, float *grad, double *loss,
                pal_error_t *err)
{
    run_t *run = ctx;
    const pal_batch_t *texts = pal_workload_batch(run->workload, i);
    const pal_batch_t *batch = pal_share_batch(run->share, texts);
    int rc = pal_forward(run->pass, weights, batch, PAL_ALL_LAYERS, err);

    if (rc != PAL_OK)
        return rc;
    *loss = pal_loss_nll(run->pass, 1);
    pal_backward(run->pass, weights, NULL, grad);
    run->tokens += pal_batch_tokens(texts);
    run->all_tokens += pal_batch_tokens(texts);
    run->flops += pal_workload_flops(run->workload, batch, pal_pass_rows(run->pass));
    return PAL_OK;
}

/* The peer takes the steps [first, first + steps). */
static int follow(run_t *run, int64_t first, int64_t steps, double seconds[],
                  pal_error_t *err)
{
    int rc = PAL_OK;

    for (int p = 0; p < PAL_PEER_PRECISIONS && run->peer && rc == PAL_OK; p++) {
        double loss;

        rc = pal_peer_run(run->peer, pal_peer_precisions[p], first, steps, &seconds[p],
                          &loss, err);
        if (first == 0)
            run->result->peer_loss[p] = loss;
    }
    return rc;
}

static void begin_round(run_t *run, int64_t first)
{
    run->first = first;
    run->tokens = 0;
    run->start = pal_clock();
}

/* A round is over when it took a while or met every batch. */
static int watch(void *ctx, int64_t done, const float *weights, double loss,
                 pal_error_t *err)
{
    enum { ROUND_STEPS = PAL_BENCH_BATCHES };
    static const double round_seconds = 0.1;
    run_t *run = ctx;
    double seconds[SAMPLES] = {0};
    int rc;

    (void)weights;
    seconds[OURS] = pal_clock() - run->start;
    if (done == 1)
        run->result->loss = loss;
    if (done > 1 && done - run->first < ROUND_STEPS && seconds[OURS] < round_seconds)
        return PAL_OK;
    rc = follow(run, run->first, done - run->first, seconds, err);
    if (rc != PAL_OK)
        return rc;
    if (done == 1)
        run->begin = pal_clock();
    for (int p = 0; p < SAMPLES && done > 1; p++)
        run->samples[p][run->rounds] = seconds[p] / run->tokens;
    for (int p = 0; p < PAL_PEER_PRECISIONS && done > 1; p++)
        run->ratio[p][run->rounds] = seconds[p] / seconds[OURS];
    run->rounds += done > 1;
    if (run->rounds == MOST_ROUNDS ||
        (run->rounds >= LEAST_ROUNDS && pal_clock() - run->begin > run->seconds))
        return PAL_ESTOP;
    begin_round(run, done);
    return PAL_OK;
}

static void note(run_t *run)
{
    pal_step_result_t *result = run->result;

    result->flops = run->flops / run->all_tokens;
    result->token = pal_timing_of(run->samples[OURS], run->rounds);
    for (int p = 0; p < PAL_PEER_PRECISIONS && run->peer; p++) {
        result->peer_token[p] = pal_timing_of(run->samples[p], run->rounds);
        result->ratio[p] = pal_timing_of(run->ratio[p], run->rounds);
    }
}

static int train(run_t *run, pal_trainer_t *trainer, float *weights, pal_error_t *err)
{
    const pal_recipe_t recipe = {.steps = 1000000,
                                 .lr = 1e-4,
                                 .clip = 1,
                                 .schedule = "constant",
                                 .optimizer = "adamw"};
    const pal_training_t training = {.recipe = &recipe,
                                     .step = step,
                                     .watch = watch,
                                     .watches = recipe.steps,
                                     .ctx = run};
    double loss;
    int rc;

    begin_round(run, 0);
    rc = pal_train(trainer, &training, weights, &loss, err);
    return rc == PAL_ESTOP ? PAL_OK : rc; /* watch() had enough */
}

static pal_timing_t per_token(pal_timing_t timing, double tokens)
{
    return (pal_timing_t){timing.median / tokens, timing.least / tokens,
                          timing.most / tokens, timing.repeats};
}

static int time_products(run_t *run, const float *weights, double seconds,
                         pal_products_t *products, pal_error_t *err)
{
    const pal_batch_t *texts = pal_workload_batch(run->workload, 0);
    const pal_batch_t *batch = pal_share_batch(run->share, texts);
    const double tokens = pal_batch_tokens(texts);
    int rc = pal_forward(run->pass, weights, batch, PAL_ALL_LAYERS, err);

    if (rc == PAL_OK)
        rc = pal_products_time(run->workload, batch, pal_pass_rows(run->pass), seconds,
                               products, err);
    if (rc == PAL_OK)
        *products = (pal_products_t){per_token(products->layers, tokens),
                                     per_token(products->attention, tokens)};
    return rc;
}

int pal_step_time(const pal_workload_t *workload, const char *script, int32_t threads,
                  double seconds, pal_step_result_t *result, pal_error_t *err)
{
    const pal_layout_t *layout = workload->layout;
    float *weights = malloc((size_t)layout->count * sizeof *weights);
    run_t *run = calloc(1, sizeof *run);
    pal_trainer_t *trainer = NULL;
    int rc = run && weights
                 ? PAL_OK
                 : PAL_FAIL(err, PAL_ENOMEM, "%lld weights", (long long)layout->count);

    if (rc != PAL_OK)
        goto out;
    memset(result, 0, sizeof *result);
    *run = (run_t){.workload = workload, .seconds = seconds, .result = result};
    pal_layout_init(layout, (pal_key_t){{0}}, weights);
    rc = pal_pass_create(layout, &run->pass, err);
    if (rc == PAL_OK)
        pal_pass_set_precision(run->pass, workload->precision);
    if (rc == PAL_OK)
        rc = pal_pass_reserve(run->pass, workload->most_tokens, workload->most_tokens,
                              err);
    if (rc == PAL_OK)
        rc = pal_share_create(workload->most_tokens, PAL_BENCH_SENTENCES, &run->share,
                              err);
    if (rc == PAL_OK)
        rc = pal_trainer_create(layout, &trainer, err);
    if (rc == PAL_OK && script)
        rc = pal_peer_start(script, workload, weights, threads, &run->peer, err);
    if (rc == PAL_OK)
        rc = time_products(run, weights, seconds / 4, &result->products, err);
    if (rc == PAL_OK)
        rc = train(run, trainer, weights, err);
    if (rc == PAL_OK)
        note(run);
out:
    if (run) {
        pal_peer_stop(run->peer);
        pal_pass_destroy(run->pass);
        pal_share_destroy(run->share);
    }
    pal_trainer_destroy(trainer);
    free(run);
    free(weights);
    return rc;
}
