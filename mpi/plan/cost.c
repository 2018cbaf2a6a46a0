#include "plan/cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/shelf.h"
#include "eval/choice.h"
#include "kernel/gemm.h"
#include "kernel/threads.h"
#include "model/loss.h"
#include "plan/queue.h"
#include "stage/pools.h"

/* --- Rate --- */

/* Sequences: FLOPs are proportional to the batch, and beyond this the rate hardly
 * changes, but time and memory of the measurement would. */
enum { MOST_STEPS = 64, MOST_BATCH = 128 };
static const double ENOUGH_SECONDS = 0.2;

typedef struct {
    pal_pass_t *pass;
    pal_stream_t *stream;
    double first, last; /* s */
    double times[MOST_STEPS];
    int count;
} stopwatch_t;

/* Time this thread computed, not time that others had the core. */
static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A step of pretraining. What the step before took, its optimizer included, is known
 * when this one begins; the very first does not count because it makes room. */
static int timed_step(void *ctx, int64_t i, const float *weights, float *grad,
                      double *loss, pal_error_t *err)
{
    stopwatch_t *watch = ctx;
    double start = now();
    int rc;

    if (i == 1)
        watch->first = start;
    if (i > 1)
        watch->times[watch->count++] = start - watch->last;
    watch->last = start;
    if (watch->count == MOST_STEPS ||
        (watch->count >= 1 && start - watch->first > ENOUGH_SECONDS))
        return PAL_ESTOP;
    rc = pal_forward(watch->pass, weights, pal_stream_next_shared(watch->stream),
                     PAL_ALL_LAYERS, err);
    if (rc != PAL_OK)
        return rc;
    *loss = pal_loss_nll(watch->pass, 1);
    pal_backward(watch->pass, weights, NULL, grad);
    return PAL_OK;
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median seconds of a step. */
static int time_steps(const pal_layout_t *layout, const pal_base_spec_t *spec,
                      stopwatch_t *watch, double *seconds, pal_error_t *err)
{
    pal_recipe_t recipe = spec->pretrain.recipe;
    pal_training_t training = {.recipe = &recipe, .step = timed_step, .ctx = watch};
    float *weights = malloc((size_t)layout->count * sizeof *weights);
    pal_trainer_t *trainer = NULL;
    double loss;
    int rc;

    if (!weights)
        return PAL_FAIL(err, PAL_ENOMEM, "%lld weights", (long long)layout->count);
    recipe.steps = MOST_STEPS + 3;
    recipe.lr = 0; /* weights that stay put cannot diverge */
    recipe.warmup = 0;
    pal_layout_init(layout, (pal_key_t){{0}}, weights);
    rc = pal_trainer_create(layout, &trainer, err);
    if (rc == PAL_OK)
        rc = pal_train(trainer, &training, weights, &loss, err);
    pal_trainer_destroy(trainer);
    free(weights);
    if (rc != PAL_ESTOP)
        return rc;
    qsort(watch->times, (size_t)watch->count, sizeof *watch->times, compare_times);
    *seconds = watch->times[watch->count / 2];
    return PAL_OK;
}

static double step_flops(const pal_ground_t *ground, const pal_base_spec_t *spec)
{
    pal_base_spec_t one = *spec;
    double flops;

    one.pretrain.recipe.steps = 1;
    flops = pal_base_flops(ground, &one);
    one.pretrain.recipe.steps = 0;
    return flops - pal_base_flops(ground, &one);
}

int pal_cost_rate(const pal_plan_t *plan, int32_t base, double *rate, pal_error_t *err)
{
    const pal_ground_t *ground = pal_plan_ground(plan, base);
    pal_base_spec_t spec = plan->bases[base].spec;
    pal_layout_t *layout = NULL;
    stopwatch_t watch = {0};
    pal_pool_t pool = {0};
    double seconds = 0;
    int rc;

    if (spec.pretrain.recipe.batch > MOST_BATCH)
        spec.pretrain.recipe.batch = MOST_BATCH;
    pal_threads_set(1);
    rc = pal_gemm_prepare(err);
    if (rc == PAL_OK)
        rc = pal_base_layout(ground, &spec, &layout, err);
    if (rc == PAL_OK)
        rc = pal_pool_pretrain(ground, &spec, &pool, err);
    if (rc == PAL_OK)
        rc = pal_stream_create(&ground->corpus, &pool,
                               (int32_t)spec.pretrain.recipe.batch,
                               plan->bases[base].key, "cost", &watch.stream, err);
    if (rc == PAL_OK)
        rc = pal_pass_create(layout, &watch.pass, err);
    if (rc == PAL_OK)
        pal_pass_set_precision(watch.pass, pal_base_precision(&spec));
    if (rc == PAL_OK)
        rc = time_steps(layout, &spec, &watch, &seconds, err);
    if (rc == PAL_OK)
        *rate = step_flops(ground, &spec) / seconds;
    pal_pass_destroy(watch.pass);
    pal_stream_destroy(watch.stream);
    pal_pool_free(&pool);
    pal_layout_destroy(layout);
    return rc;
}

static int same_size(const pal_plan_base_t *a, const pal_plan_base_t *b)
{
    return a->world == b->world && a->spec.model.words == b->spec.model.words &&
           strcmp(a->spec.model.size, b->spec.model.size) == 0 &&
           strcmp(a->spec.model.precision, b->spec.model.precision) == 0;
}

int pal_cost_rates(const pal_plan_t *plan, double *rates, pal_error_t *err)
{
    int32_t *measured = malloc((size_t)plan->base_count * sizeof *measured);
    int32_t count = 0;
    int rc = PAL_OK;

    if (!measured)
        return PAL_FAIL(err, PAL_ENOMEM, "rates of %d base models", plan->base_count);
    for (int32_t i = 0; rc == PAL_OK && i < plan->base_count; i++) {
        int32_t j = count - 1;

        while (j >= 0 && !same_size(&plan->bases[i], &plan->bases[measured[j]]))
            j--;
        if (j >= 0) {
            rates[i] = rates[measured[j]];
        } else {
            rc = pal_cost_rate(plan, i, &rates[i], err);
            measured[count++] = i;
        }
    }
    free(measured);
    return rc;
}

double pal_cost_threads(int32_t width, double threads)
{
    const double alone = 2 / 1.9 - 1; /* share of one thread's time */

    return width < PAL_THREADED_WIDTH ? 1 : threads / (1 + alone * (threads - 1));
}

/* --- Makespan --- */

typedef struct {
    double end; /* s */
    int32_t rank;
    pal_job_t job;
} event_t;

typedef struct {
    const pal_plan_t *plan;
    const double *rates;
    pal_queue_t *queue;
    int32_t *holds;   /* unlearned row of each rank, -1 */
    int32_t *idle;    /* ranks without a job */
    event_t *running; /* heap, earliest end first, of equals the lower rank */
    int32_t idle_count, running_count;
} play_t;

static int earlier(const event_t *a, const event_t *b)
{
    return a->end < b->end || (a->end == b->end && a->rank < b->rank);
}

static void push_event(play_t *play, event_t event)
{
    int32_t i = play->running_count++;

    for (; i > 0 && earlier(&event, &play->running[(i - 1) / 2]); i = (i - 1) / 2)
        play->running[i] = play->running[(i - 1) / 2];
    play->running[i] = event;
}

static event_t pop_event(play_t *play)
{
    event_t first = play->running[0], last = play->running[--play->running_count];
    int32_t i = 0, child;

    while ((child = 2 * i + 1) < play->running_count) {
        if (child + 1 < play->running_count &&
            earlier(&play->running[child + 1], &play->running[child]))
            child++;
        if (!earlier(&play->running[child], &last))
            break;
        play->running[i] = play->running[child];
        i = child;
    }
    play->running[i] = last;
    return first;
}

static double job_seconds(play_t *play, int32_t rank, const pal_job_t *job)
{
    const pal_plan_t *plan = play->plan;
    double flops = 0;

    if (job->base >= 0) {
        play->holds[rank] = -1;
        return plan->bases[job->base].flops / play->rates[job->base];
    }
    if (play->holds[rank] != job->unlearned)
        flops += plan->unlearned[job->unlearned].flops;
    if (job->trial >= 0)
        flops += plan->trials[job->trial].flops;
    play->holds[rank] = job->unlearned;
    return flops / play->rates[plan->unlearned[job->unlearned].base];
}

/* Give idle ranks what there is. If one gets nothing the others would not either: each
 * of them is done with the model it holds. */
static void give_out(play_t *play, double time)
{
    pal_job_t job;

    while (play->idle_count > 0) {
        int32_t rank = play->idle[play->idle_count - 1];

        if (!pal_queue_next(play->queue, rank, 0, &job))
            return;
        play->idle_count--;
        push_event(play, (event_t){time + job_seconds(play, rank, &job), rank, job});
    }
}

static void finish(play_t *play, const pal_job_t *job)
{
    if (job->base >= 0) {
        pal_queue_close(play->queue, PAL_TABLE_BASE, job->base);
        pal_queue_base_ready(play->queue, job->base);
        return;
    }
    pal_queue_close(play->queue, PAL_TABLE_UNLEARNED, job->unlearned);
    if (job->trial >= 0)
        pal_queue_close(play->queue, PAL_TABLE_TRIALS, job->trial);
}

static double play_through(play_t *play)
{
    double time = 0;

    give_out(play, time);
    while (play->running_count > 0) {
        event_t event = pop_event(play);

        time = event.end;
        finish(play, &event.job);
        play->idle[play->idle_count++] = event.rank;
        give_out(play, time);
    }
    return time;
}

/* As a run begins: every row that is not done, and the bases whose weights are there.
 * Without `done` that is all and none. */
static void fill_queue(pal_queue_t *queue, const pal_plan_t *plan,
                       const pal_done_t *done)
{
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++)
        for (int32_t i = 0; i < pal_table_rows(plan, (pal_table_t)t); i++)
            if (!done || !done->rows[t][i])
                pal_queue_add(queue, (pal_table_t)t, i);
    for (int32_t i = 0; done && i < plan->base_count; i++)
        if (done->rows[PAL_TABLE_BASE][i] && done->weights[i])
            pal_queue_base_ready(queue, i);
    pal_queue_start(queue);
}

int pal_cost_makespan(const pal_plan_t *plan, const pal_done_t *done,
                      const double *rates, int32_t ranks, double *seconds,
                      pal_error_t *err)
{
    play_t play = {.plan = plan, .rates = rates};
    size_t n = (size_t)ranks;
    int rc = pal_queue_create(plan, ranks, &play.queue, err);

    if (rc != PAL_OK)
        return rc;
    play.holds = malloc(n * sizeof *play.holds);
    play.idle = malloc(n * sizeof *play.idle);
    play.running = malloc(n * sizeof *play.running);
    if (!play.holds || !play.idle || !play.running) {
        rc = PAL_FAIL(err, PAL_ENOMEM, "schedule of %d ranks", ranks);
        goto out;
    }
    for (int32_t rank = 0; rank < ranks; rank++) {
        play.holds[rank] = -1;
        play.idle[play.idle_count++] = ranks - 1 - rank;
    }
    fill_queue(play.queue, plan, done);
    *seconds = play_through(&play);
out:
    pal_queue_destroy(play.queue);
    free(play.holds);
    free(play.idle);
    free(play.running);
    return rc;
}

/* 1, 2, 3, 4, 6, 8, 12, ... */
static int32_t step_of(int step)
{
    return step < 1 ? 1 : (step % 2 ? 2 : 3) << (step - 1) / 2;
}

int pal_cost_useful(const pal_plan_t *plan, const pal_done_t *done, const double *rates,
                    int32_t most, int32_t *ranks, pal_error_t *err)
{
    double least, seconds;
    int low = 0, high = 0; /* steps: the answer is none below low, and at most high */
    int rc = pal_cost_makespan(plan, done, rates, most, &least, err);

    while (step_of(high) < most)
        high++;
    while (rc == PAL_OK && low < high) {
        int middle = (low + high) / 2;

        rc = pal_cost_makespan(plan, done, rates, step_of(middle), &seconds, err);
        if (rc == PAL_OK && seconds * PAL_USEFUL_SPEED <= least)
            high = middle;
        else
            low = middle + 1;
    }
    if (rc == PAL_OK)
        *ranks = step_of(high) < most ? step_of(high) : most;
    return rc;
}

/* --- Memory --- */

static int larger(int a, int b)
{
    return a > b ? a : b;
}

/* Models that the greediest stage has in memory. */
static int most_models(const pal_plan_t *plan)
{
    int most = 0;

    for (int32_t i = 0; i < plan->base_count; i++)
        most = larger(most, pal_base_models(&plan->bases[i].spec));
    for (int32_t i = 0; i < plan->unlearned_count; i++)
        most = larger(most, pal_unlearn_models(plan->unlearned[i].spec));
    for (int32_t i = 0; i < plan->attack_count; i++)
        most = larger(most, pal_trial_models(plan->trials[i].spec));
    return most;
}

/* A batch of sentences of usual length: of the room for the longest ones little more is
 * ever touched. */
typedef struct {
    double tokens, rows;
} batch_t;

static batch_t larger_of(batch_t a, batch_t b)
{
    return (batch_t){fmax(a.tokens, b.tokens), fmax(a.rows, b.rows)};
}

/* Of a recipe that draws texts of which so many tokens are computed. */
static batch_t trained_batch(const pal_recipe_t *recipe, double tokens)
{
    const double all = recipe->steps > 0 ? (double)recipe->batch * tokens : 0;

    return (batch_t){all, all};
}

/* Of a method; a reference has the same if it runs at all. */
static batch_t unlearned_batch(const pal_ground_t *ground,
                               const pal_unlearn_spec_t *spec)
{
    const double shared = fmax(ground->statement_tokens, ground->question_tokens);
    const double whole = fmax(ground->statement_length, shared);
    const pal_method_pass_t computes = spec->method->computes;
    batch_t batch =
        trained_batch(&spec->common.recipe, computes == PAL_LOGITS ? shared : whole);

    if (computes == PAL_WHOLE_TAPS)
        batch.rows = 0;
    return batch;
}

/* Of the stages that train on a base. */
static batch_t largest_batch(const pal_plan_t *plan, const pal_ground_t *ground)
{
    const double shared = fmax(ground->statement_tokens, ground->question_tokens);
    batch_t batch = {0, 0};

    for (int32_t i = 0; i < plan->base_count; i++)
        batch = larger_of(batch,
                          trained_batch(&plan->bases[i].spec.pretrain.recipe, shared));
    for (int32_t i = 0; i < plan->unlearned_count; i++)
        batch = larger_of(batch, unlearned_batch(ground, plan->unlearned[i].spec));
    for (int32_t i = 0; i < plan->attack_count; i++)
        batch = larger_of(batch, trained_batch(&plan->trials[i].spec->common.recipe,
                                               ground->question_tokens));
    return batch;
}

static batch_t reference_batch(const pal_plan_t *plan, const pal_ground_t *ground)
{
    batch_t batch = {0, 0};

    for (int32_t i = 0; i < plan->unlearned_count; i++)
        if (plan->unlearned[i].spec->method->reference)
            batch = larger_of(batch, unlearned_batch(ground, plan->unlearned[i].spec));
    return batch;
}

/* Questions, or the retain text that a budget is judged by. */
static batch_t looked_at_batch(const pal_plan_t *plan, const pal_ground_t *ground)
{
    const double facts = fmin(fmax(ground->forget, ground->retain),
                              PAL_SCORED_TOKENS / ground->asked_length);
    batch_t batch = {facts * ground->asked_tokens, facts * ground->asked_rows};

    for (int32_t i = 0; i < plan->unlearned_count; i++)
        if (plan->unlearned[i].spec->common.budget > 0)
            batch = larger_of(batch,
                              (batch_t){PAL_HELD_SEQUENCES * ground->statement_tokens,
                                        PAL_HELD_SEQUENCES * ground->statement_tokens});
    return batch;
}

/* Gradients of activations: of the residual stream and within one block, and of the
 * logits. */
static double backward_bytes(const pal_shape_t *shape, batch_t batch)
{
    const double c = shape->width, f = shape->hidden, qkv = pal_shape_qkv_size(shape);
    const double token = 2 * c + fmax(qkv, f) + (shape->mlp == PAL_SWIGLU ? f : 0);

    return (batch.tokens * token + batch.rows * shape->vocab) * sizeof(float);
}

/* The whole pass without these, and without the seeds of taps, which few losses use. */
static double forward_bytes(const pal_shape_t *shape, pal_precision_t precision,
                            batch_t batch)
{
    const double seeds = (2.0 * shape->layers + 1) * shape->width;

    return pal_pass_bytes(shape, precision, (int64_t)batch.tokens,
                          (int64_t)batch.rows) -
           batch.tokens * seeds * sizeof(float) - backward_bytes(shape, batch);
}

static double pass_bytes(const pal_plan_t *plan, const pal_ground_t *ground,
                         const pal_shape_t *shape, pal_precision_t precision)
{
    const batch_t trained = largest_batch(plan, ground);
    const batch_t all = larger_of(trained, looked_at_batch(plan, ground));

    return forward_bytes(shape, precision, all) + backward_bytes(shape, trained) +
           forward_bytes(shape, precision, reference_batch(plan, ground));
}

static double base_bytes(const pal_plan_t *plan, int32_t base)
{
    enum { SHELVED = 3 }; /* base, unlearned model, a trial's best point */
    const pal_ground_t *ground = pal_plan_ground(plan, base);
    const pal_precision_t precision = pal_base_precision(&plan->bases[base].spec);
    pal_layout_t *layout = NULL;
    double model, bytes;

    if (pal_base_layout(ground, &plan->bases[base].spec, &layout, NULL) != PAL_OK)
        return 0;
    model = (double)layout->count * sizeof(float);
    bytes = most_models(plan) * model +
            (model < PAL_SHELF_LEAST ? SHELVED * model : 0) +
            pass_bytes(plan, ground, &layout->shape, precision);
    pal_layout_destroy(layout);
    return bytes;
}

double pal_cost_memory(const pal_plan_t *plan)
{
    const double program = 35e6; /* libraries and their buffers */
    double most = 0, corpora = 0;

    for (int32_t i = 0; i < plan->base_count; i++) {
        double bytes;

        if (i > 0 && same_size(&plan->bases[i], &plan->bases[i - 1]))
            continue;
        bytes = base_bytes(plan, i);
        most = bytes > most ? bytes : most;
    }
    for (int32_t i = 0; i < plan->world_count; i++)
        corpora += 100.0 * plan->worlds[i].ground.corpus.count;
    return program + most + corpora + (double)plan->trial_count * sizeof *plan->trials +
           (double)plan->unlearned_count * sizeof *plan->unlearned +
           (double)plan->base_count * sizeof *plan->bases;
}
