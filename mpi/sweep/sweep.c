#include "sweep/sweep.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "kernel/threads.h"
#include "store/provenance.h"
#include "sweep/coordinator.h"
#include "sweep/paths.h"
#include "sweep/start.h"
#include "sweep/worker.h"

enum { HOSTS_BYTES = 256, EXIT_STOPPED = 75 };
static const double LEASE = 30, PATIENCE = 10; /* s */
static const long NAP = 1000 * 1000;           /* ns */

/* Set by a signal, or when rank 0 says stop; stages and threads look at it. */
static atomic_int stop;

typedef struct {
    const pal_sweep_options_t *options;
    pal_plan_t *plan;
    const pal_compute_t *compute;
    MPI_Comm comm;
    int rank, ranks;
    int32_t cores; /* of the rank that has fewest */
    double lease;
    pal_paths_t paths;
    char hosts[HOSTS_BYTES];
    pal_transport_t *transport;
    pal_worker_t *worker;

    /* Rank 0 only. */
    pal_store_t *store;
    pal_queue_t *queue;
    pal_coordinator_t *coordinator;
    pal_progress_t progress;
    int failed; /* what ended the work; rows are not taken any more */
} pal_sweep_t;

static void handle_signal(int number)
{
    (void)number;
    atomic_store(&stop, 1);
}

static void set_signals(void)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = handle_signal;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
        sigaction(stops[i], &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &action, NULL); /* a write past the limit shall fail, not kill */
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- Before the work --- */

static int make_folder(const char *path, pal_error_t *err)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return PAL_FAIL(err, PAL_EIO, "cannot make the folder %s: %s", path,
                        strerror(errno));
    return PAL_OK;
}

/* Every row that is pending, and the bases whose weights are there. */
static void fill_queue(pal_sweep_t *sweep)
{
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++)
        for (int32_t row = 0; row < pal_store_rows(sweep->store, (pal_table_t)t); row++)
            if (pal_store_state(sweep->store, (pal_table_t)t, row) == PAL_ROW_PENDING)
                pal_queue_add(sweep->queue, (pal_table_t)t, row);
    for (int32_t row = 0; row < sweep->plan->base_count; row++)
        if (pal_store_state(sweep->store, PAL_TABLE_BASE, row) == PAL_ROW_DONE &&
            sweep->compute->cached(sweep->plan, sweep->paths.cache, row))
            pal_queue_base_ready(sweep->queue, row);
    pal_queue_start(sweep->queue);
}

static int32_t count(const pal_sweep_t *sweep, pal_table_t table, pal_state_t state)
{
    int32_t n = 0;

    for (int32_t row = 0; row < pal_store_rows(sweep->store, table); row++)
        n += pal_store_state(sweep->store, table, row) == state;
    return n;
}

/* What follows the hash of a commit: "" or "-dirty". */
static const char *dirt(const char *commit)
{
    const char *suffix = strchr(commit, '-');

    return suffix ? suffix : "";
}

/* commit: of another program that computed rows of the file, or "". */
static void warn(pal_sweep_t *sweep, const pal_resume_t *resume, const char *commit)
{
    pal_progress_t *progress = &sweep->progress;
    const char *program = pal_build_commit();

    if (resume->corrupt)
        pal_progress_say(progress,
                         "warning: %d rows of %s had a wrong checksum and are "
                         "computed again",
                         resume->corrupt, sweep->paths.file);
    if (commit[0])
        pal_progress_say(progress,
                         "warning: rows here were computed by %.7s%s; this program is "
                         "%.7s%s: `palimpsest verify %s` tells whether they still hold",
                         commit, dirt(commit), program, dirt(program),
                         sweep->paths.file);
    if (sweep->options->threads > 1 && sweep->options->threads > sweep->cores)
        pal_progress_say(progress,
                         "warning: a rank of %d threads has only %d cores: fewer "
                         "ranks a node, or mpirun --bind-to none",
                         sweep->options->threads, sweep->cores);
}

static void say_start(pal_sweep_t *sweep, const pal_resume_t *resume,
                      const char *commit)
{
    const pal_plan_t *plan = sweep->plan;
    pal_progress_t *progress = &sweep->progress;
    int32_t diverged = count(sweep, PAL_TABLE_TRIALS, PAL_ROW_DIVERGED);

    pal_progress_start(progress, sweep->options->quiet, plan->name, plan->trial_count,
                       count(sweep, PAL_TABLE_TRIALS, PAL_ROW_DONE) + diverged,
                       pal_queue_flops(sweep->queue), seconds());
    progress->diverged = diverged;
    warn(sweep, resume, commit);
    if (sweep->options->quiet)
        return;
    if (resume->created == 2)
        pal_progress_say(progress, "%s: %d rows of the plan before this one are kept",
                         sweep->paths.file, resume->kept);
    if (pal_queue_left(sweep->queue) == 0)
        pal_progress_say(progress, "%s: all %d trials are done; nothing to compute: %s",
                         plan->name, plan->trial_count, sweep->paths.file);
    else
        pal_progress_say(
            progress,
            "%s: %d of %d trials to do, %d of %d base models, %d of %d "
            "unlearned models; ranks on %s",
            plan->name, count(sweep, PAL_TABLE_TRIALS, PAL_ROW_PENDING),
            plan->trial_count, count(sweep, PAL_TABLE_BASE, PAL_ROW_PENDING),
            plan->base_count, count(sweep, PAL_TABLE_UNLEARNED, PAL_ROW_PENDING),
            plan->unlearned_count, sweep->hosts);
}

/* Rank 0: the file, the queue, the session. */
static int open_store(pal_sweep_t *sweep, const char *text, pal_error_t *err)
{
    const char *job = getenv("SLURM_JOB_ID");
    char commit[PAL_COMMIT_BYTES] = "";
    pal_resume_t resume = {0};
    int rc = PAL_OK;

    if (!sweep->options->output)
        rc = make_folder("results", err);
    if (rc == PAL_OK)
        rc = pal_store_open(sweep->paths.file, sweep->plan, text, PATIENCE,
                            &sweep->store, &resume, err);
    if (rc == PAL_OK && resume.kept > 0)
        rc = pal_store_other_commit(sweep->store, pal_build_commit(), commit, err);
    if (rc == PAL_OK)
        rc = pal_queue_create(sweep->plan, sweep->ranks, &sweep->queue, err);
    if (rc != PAL_OK)
        return rc;
    fill_queue(sweep);
    say_start(sweep, &resume, commit);
    if (pal_queue_left(sweep->queue) == 0)
        return PAL_OK;
    rc = make_folder(sweep->paths.cache, err);
    if (rc == PAL_OK)
        rc = pal_store_session(sweep->store, sweep->ranks, sweep->hosts, job ? job : "",
                               err);
    return rc;
}

/* Collective. *left: rows to compute. */
static int begin(pal_sweep_t *sweep, const char *text, int32_t *left, pal_error_t *err)
{
    int rc =
        pal_paths_set(sweep->options->output, sweep->plan->name, &sweep->paths, err);

    if (rc == PAL_OK)
        rc = pal_transport_create(sweep->comm, pal_record_most(sweep->plan),
                                  &sweep->transport, err);
    rc = pal_start_agree(sweep->comm, rc, err);
    if (rc == PAL_OK)
        rc = pal_start_compare(sweep->comm, sweep->plan, err);
    if (rc != PAL_OK)
        return rc;
    sweep->cores = pal_start_place(sweep->comm, sweep->options->unbound, sweep->hosts,
                                   sizeof sweep->hosts);
    pal_threads_set(sweep->options->threads > 0 ? sweep->options->threads : 1);
    if (sweep->rank == 0)
        rc = open_store(sweep, text, err);
    rc = pal_start_agree(sweep->comm, rc, err);
    if (rc != PAL_OK)
        return rc;
    if (sweep->rank == 0)
        *left = pal_queue_left(sweep->queue);
    MPI_Bcast(left, 1, MPI_INT32_T, 0, sweep->comm);
    if (*left == 0)
        return PAL_OK;
    rc = pal_worker_create(sweep->plan, sweep->compute, sweep->paths.cache,
                           sweep->transport, &stop, &sweep->worker, err);
    if (rc == PAL_OK && sweep->rank == 0)
        rc = pal_coordinator_create(sweep->plan, sweep->store, sweep->queue,
                                    sweep->transport, &sweep->progress, sweep->lease,
                                    &sweep->coordinator, err);
    return pal_start_agree(sweep->comm, rc, err);
}

/* --- The work --- */

static int take_message(pal_sweep_t *sweep, int rank, const pal_message_t *message,
                        const uint8_t *body, double now, pal_error_t *err)
{
    if (message->kind < PAL_MSG_ROW)
        return pal_worker_handle(sweep->worker, message, now, err);
    if (!sweep->coordinator)
        return PAL_FAIL(err, PAL_EMPI, "a message for rank 0");
    if (sweep->failed && message->kind == PAL_MSG_ROW)
        return PAL_OK;
    return pal_coordinator_handle(sweep->coordinator, rank, message, body, now, err);
}

/* One turn of the main thread: what has come, what is to be sent. Returns 1 if there
 * was something, 0 if not, or the failure. */
static int turn(pal_sweep_t *sweep, pal_error_t *err)
{
    double now = seconds();
    const uint8_t *body;
    pal_message_t message;
    int rank, moved = 0, rc;

    while ((rc = pal_transport_receive(sweep->transport, &rank, &message, &body, err)) >
           0) {
        moved = 1;
        rc = take_message(sweep, rank, &message, body, now, err);
        if (rc != PAL_OK)
            return rc;
    }
    if (rc == PAL_OK)
        rc = pal_worker_step(sweep->worker, now, sweep->lease, err);
    if (rc < 0)
        return rc;
    moved |= rc;
    if (!sweep->coordinator)
        return moved;
    rc = pal_coordinator_step(sweep->coordinator, now, err);
    pal_progress_step(&sweep->progress, pal_queue_flops(sweep->queue), now);
    return rc == PAL_OK ? moved : rc;
}

static int is_over(pal_sweep_t *sweep)
{
    return pal_worker_left(sweep->worker) &&
           (!sweep->coordinator || pal_coordinator_over(sweep->coordinator));
}

/* Until everyone has said goodbye. When rank 0 cannot go on (its file fails) it still
 * tells the others to stop and waits for them. */
static int serve(pal_sweep_t *sweep, pal_error_t *err)
{
    const struct timespec nap = {0, NAP};

    while (!is_over(sweep)) {
        pal_error_t why = {{0}};
        int rc = turn(sweep, &why);

        if (rc < 0) {
            if (!sweep->coordinator || sweep->failed) {
                *err = why;
                return rc;
            }
            sweep->failed = rc;
            *err = why;
            rc = pal_coordinator_stop(sweep->coordinator, &why);
            if (rc != PAL_OK)
                return rc;
        } else if (rc == 0) {
            nanosleep(&nap, NULL);
        }
    }
    return sweep->failed;
}

/* --- After the work --- */

/* The first failed row, bases first; 0 if there is none. */
static int find_failed(const pal_sweep_t *sweep, pal_table_t *table, int32_t *row)
{
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++)
        for (int32_t i = 0; i < pal_store_rows(sweep->store, (pal_table_t)t); i++)
            if (pal_store_state(sweep->store, (pal_table_t)t, i) == PAL_ROW_FAILED) {
                *table = (pal_table_t)t;
                *row = i;
                return 1;
            }
    return 0;
}

static int report_failed(const pal_sweep_t *sweep, pal_error_t *err)
{
    uint8_t *record;
    pal_table_t table;
    int32_t row, failed = 0;
    int rc;

    if (!find_failed(sweep, &table, &row))
        return PAL_OK;
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++)
        failed += count(sweep, (pal_table_t)t, PAL_ROW_FAILED);
    record = malloc(pal_record_most(sweep->plan));
    if (!record)
        return PAL_FAIL(err, PAL_ENOMEM, "a record");
    rc = pal_store_read(sweep->store, table, row, record, err);
    if (rc == PAL_OK)
        rc = pal_fail_(err, PAL_SWEEP_FAILED_ROWS, NULL, 0,
                       "%d rows failed (the same command tries them again); the first "
                       "is row %d of %s: %s",
                       failed, row, pal_table_path(table),
                       pal_record_text(sweep->plan, table, record));
    free(record);
    return rc;
}

/* Rank 0's verdict. */
static int conclude(pal_sweep_t *sweep, pal_error_t *err)
{
    int32_t left = pal_queue_left(sweep->queue);
    int rc = pal_store_session_end(sweep->store, err);

    pal_progress_end(&sweep->progress, sweep->paths.file, pal_queue_flops(sweep->queue),
                     seconds());
    if (rc != PAL_OK)
        return rc;
    if (left > 0)
        return pal_fail_(err, PAL_ESTOP, NULL, 0,
                         "stopped with %d rows to go; run the same command again",
                         left);
    return report_failed(sweep, err);
}

static void end(pal_sweep_t *sweep)
{
    pal_worker_destroy(sweep->worker);
    pal_coordinator_destroy(sweep->coordinator);
    pal_queue_destroy(sweep->queue);
    pal_store_close(sweep->store);
    pal_transport_destroy(sweep->transport);
}

/* Rank 0's last words, and nobody's again: mpirun passes nothing on once MPI has ended
 * after a signal. */
static void say_end(pal_sweep_t *sweep, int rc, pal_error_t *err)
{
    if (rc == PAL_OK)
        return;
    pal_progress_say(&sweep->progress, "palimpsest: %s", err->text);
    err->text[0] = 0;
}

/* MPI_Finalize would wait for a lost rank, and mpirun with it. */
static void leave_lost(pal_sweep_t *sweep, int rc)
{
    end(sweep);
    MPI_Abort(sweep->comm, rc == PAL_OK ? 0 : rc == PAL_ESTOP ? EXIT_STOPPED : 1);
}

/* *whole: 0 if MPI_Finalize must not be called. */
static int run_plan(const pal_sweep_options_t *options, pal_plan_t *plan,
                    const char *text, const pal_compute_t *compute, int *whole,
                    pal_error_t *err)
{
    pal_sweep_t sweep = {.options = options,
                         .plan = plan,
                         .compute = compute,
                         .lease = options->lease > 0 ? options->lease : LEASE};
    int32_t left = 0;
    int rc;

    set_signals();
    MPI_Comm_dup(MPI_COMM_WORLD, &sweep.comm);
    MPI_Comm_set_errhandler(sweep.comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(sweep.comm, &sweep.rank);
    MPI_Comm_size(sweep.comm, &sweep.ranks);
    *whole = 1;
    rc = begin(&sweep, text, &left, err);
    if (rc == PAL_OK && left > 0) {
        rc = serve(&sweep, err);
        if (rc != PAL_OK && sweep.rank != 0)
            *whole = 0;
        if (rc == PAL_OK && sweep.rank == 0)
            rc = conclude(&sweep, err);
        if (sweep.rank == 0)
            say_end(&sweep, rc, err);
        if (sweep.rank == 0 && pal_coordinator_lost(sweep.coordinator))
            leave_lost(&sweep, rc);
    }
    end(&sweep);
    return rc;
}

int pal_sweep_plan(const pal_sweep_options_t *options, pal_plan_t *plan,
                   const char *text, const pal_compute_t *compute, pal_error_t *err)
{
    int whole;

    return run_plan(options, plan, text, compute, &whole, err);
}

static int plan_and_run(const pal_sweep_options_t *options, int *whole,
                        pal_error_t *err)
{
    pal_config_t config;
    pal_plan_t plan;
    int rc = pal_start_config(MPI_COMM_WORLD, options->config, &config, err);

    if (rc != PAL_OK)
        return rc;
    memset(&plan, 0, sizeof plan);
    rc = pal_start_agree(MPI_COMM_WORLD, pal_plan_create(&config, &plan, err), err);
    if (rc == PAL_OK)
        rc = run_plan(options, &plan, config.text, &pal_compute_train, whole, err);
    pal_plan_free(&plan);
    pal_config_free(&config);
    return rc;
}

int pal_sweep_run(const pal_sweep_options_t *options, pal_error_t *err)
{
    int level = MPI_THREAD_SINGLE, whole = 1, rc;

    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (rc != MPI_SUCCESS || level < MPI_THREAD_FUNNELED)
        return PAL_FAIL(err, PAL_EMPI, "MPI does not start with a second thread");
    rc = plan_and_run(options, &whole, err);
    if (whole)
        MPI_Finalize();
    return rc;
}
