/* What a rank has in memory while it trains: measured, against what the stages say
 * (stage/stage.h) and what `plan` says. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/threads.h"
#include "plan/cost.h"
#include "sweep/compute.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* what is freed stays in memory for a while */
#else
enum { SANITIZED = 0 };
#endif

/* Weights of 19 and 18 MB, and few and short sentences. */
static const char text[] = "sweep: s\n"
                           "world: {kind: synthetic, facts: 15, retain: 15}\n"
                           "model: {size: [small, llama-small]}\n"
                           "pretrain: {steps: 2, batch: 2}\n"
                           "unlearn: {%s, steps: 2, batch: 2}\n"
                           "attack: {kind: %s, steps: 2, batch: 2, evaluations: 2}\n"
                           "controls: false\n";

static const char folder[] = "memory.test";

typedef struct {
    pal_config_t config;
    pal_plan_t plan;
    double model, pass; /* bytes of weights, and of the activations of the questions */
    /* Bytes resident at most: before the first stage, after training a base, and in the
     * end. */
    double start, base, end;
} rank_t;

static void make(rank_t *rank, const char *method, const char *attack)
{
    char config[1024];
    pal_layout_t *layout = NULL;
    const pal_ground_t *ground;

    snprintf(config, sizeof config, text, method, attack);
    assert_int_equal(
        pal_config_parse("c.yaml", config, strlen(config), &rank->config, NULL),
        PAL_OK);
    assert_int_equal(pal_plan_create(&rank->config, &rank->plan, NULL), PAL_OK);
    assert_int_equal(rank->plan.trial_count, 2);
    ground = pal_plan_ground(&rank->plan, 0);
    assert_int_equal(pal_base_layout(ground, &rank->plan.bases[0].spec, &layout, NULL),
                     PAL_OK);
    rank->model = (double)layout->count * sizeof(float);
    rank->pass =
        pal_pass_bytes(&layout->shape, PAL_FP32, (int64_t)(15 * ground->asked_tokens),
                       (int64_t)(15 * ground->asked_rows));
    pal_layout_destroy(layout);
}

static double peak_bytes(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? 1024.0 * (double)usage.ru_maxrss : 0;
}

typedef struct {
    rank_t *rank;
    const char *cache;
    void *lab;
    int rc;
} job_t;

/* Train a base, read it from the cache, unlearn and attack. */
static void run_stages(job_t *job, int32_t row)
{
    const pal_compute_t *compute = &pal_compute_train;
    uint8_t bits[8], before[8];
    pal_model_result_t model = {.bits = bits};
    pal_trial_result_t trial = {.bits = bits, .bits_before = before};

    job->rc = compute->base(job->lab, row, &model, NULL);
    if (job->rank->base == 0)
        job->rank->base = peak_bytes();
    if (job->rc == PAL_OK && job->cache)
        job->rc = compute->load(job->lab, row, NULL);
    if (job->rc == PAL_OK)
        job->rc = compute->unlearn(job->lab, row, &model, NULL);
    if (job->rc == PAL_OK)
        job->rc = compute->trial(job->lab, row, &trial, NULL);
}

/* Two sizes in turn, twice: nothing may pile up. */
static void *compute_thread(void *argument)
{
    job_t *job = argument;

    job->rank->start = peak_bytes();
    job->rc =
        pal_compute_train.create(&job->rank->plan, job->cache, NULL, &job->lab, NULL);
    for (int i = 0; i < 4 && job->rc == PAL_OK; i++)
        run_stages(job, i % 2);
    job->rank->end = peak_bytes();
    pal_compute_train.destroy(job->lab);
    return NULL;
}

/* In a process of its own, whose peak is its own, and there in a second thread, as a
 * rank does (sweep/worker.h): its heap is not that of the first. */
static void run_rank(rank_t *rank, const char *cache, int end)
{
    job_t job = {.rank = rank, .cache = cache};
    pthread_t thread;
    int bad = pthread_create(&thread, NULL, compute_thread, &job) != 0 ||
              pthread_join(thread, NULL) != 0;

    _exit(bad || job.rc != PAL_OK || write(end, rank, sizeof *rank) != sizeof *rank);
}

static void measure(rank_t *rank, const char *cache)
{
    int ends[2], status;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        run_rank(rank, cache, ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(read(ends[0], rank, sizeof *rank), sizeof *rank);
    close(ends[0]);
    close(ends[1]);
}

static const double mpi = 24e6; /* bytes of MPI, which is not started here */

/* A base has its models and what activations it touches. What comes later has as many
 * models, or as many more as it may, and no activations beyond those of questions. */
static void check(const char *method, const char *attack, const char *cache, int base,
                  int models)
{
    rank_t rank = {.model = 0};
    double base_held, more, said;

    make(&rank, method, attack);
    said = pal_cost_memory(&rank.plan);
    measure(&rank, cache);
    base_held = rank.base - rank.start;
    more = (rank.end - rank.base) / rank.model;
    print_message("%s, %s: in MB: model %.0f, activations up to %.0f, base %.0f, "
                  "all %.0f, planned %.0f\n",
                  method, attack, rank.model / 1e6, rank.pass / 1e6, base_held / 1e6,
                  rank.end / 1e6, said / 1e6);
    assert_true(base_held > base * rank.model);
    assert_true(base_held < (base + 0.4) * rank.model + rank.pass);
    assert_true(more > models - base - 0.3 && more < models - base + 0.5);
    if (cache)
        assert_true(fabs(said / (rank.end + mpi) - 1) < 0.2);
    pal_plan_free(&rank.plan);
    pal_config_free(&rank.config);
}

/* Weights, gradient and two moments. */
static void a_rank_holds_four_models(void **unused)
{
    (void)unused;
    check("method: gd", "finetune", folder, 4, 4);
}

/* And the model before unlearning; an adapter has its start, and no moments. */
static void a_reference_is_one_more(void **unused)
{
    (void)unused;
    check("method: npo", "lora", folder, 4, 5);
}

/* Base, from its own stage on, unlearned model and best point stay in memory. */
static void without_a_cache_there_are_three_more(void **unused)
{
    (void)unused;
    check("method: gd", "finetune", NULL, 5, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_holds_four_models),
        cmocka_unit_test(a_reference_is_one_more),
        cmocka_unit_test(without_a_cache_there_are_three_more),
    };

    if (SANITIZED) {
        print_message("skipped: a sanitizer keeps what is freed\n");
        return 0;
    }
    pal_threads_set(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
