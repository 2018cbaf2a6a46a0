#include "sweep/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { JOBS = 16 }; /* one or two, and room for those of leases that ran out */
static const double BEAT = 1.0; /* s between signs of life */

typedef struct pal_letter {
    struct pal_letter *next;
    pal_message_t message;
    size_t bytes;
    uint8_t body[];
} pal_letter_t;

typedef struct {
    int64_t seq;
    pal_job_t job;
} pal_order_t;

struct pal_worker {
    pal_plan_t *plan;
    const pal_compute_t *compute;
    const char *cache;
    pal_transport_t *transport;
    atomic_int *stop;
    char host[PAL_HOST_BYTES];

    /* Shared between the threads, under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pal_order_t orders[JOBS];
    int order_count;
    pal_letter_t *first, **last; /* to be sent */
    int end, ended;              /* asked to, has */
    int unsent; /* why what was finished could not be sent, or PAL_OK */

    /* The compute thread's own. */
    void *lab;
    uint8_t *record, *bits, *fold_bits, *fold_bits_before;
    int32_t base, unlearned;  /* held; -1 */
    int32_t diverged;         /* unlearned row that did: again it would too; -1 */
    pal_error_t why;          /* it did */
    pal_model_result_t model; /* of the unlearned model held */

    /* The main thread's own. */
    pthread_t thread;
    double heard, beaten, stepped; /* from rank 0; to rank 0; last step */
    int halted, leaving, said_bye;
};

static double clock_seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- What the compute thread sends --- */

static int post(pal_worker_t *worker, const pal_message_t *message, const uint8_t *body,
                size_t bytes)
{
    pal_letter_t *letter = malloc(sizeof *letter + bytes);

    if (!letter)
        return PAL_ENOMEM;
    letter->next = NULL;
    letter->message = *message;
    letter->bytes = bytes;
    if (bytes)
        memcpy(letter->body, body, bytes);
    pthread_mutex_lock(&worker->mutex);
    *worker->last = letter;
    worker->last = &letter->next;
    pthread_mutex_unlock(&worker->mutex);
    return PAL_OK;
}

static pal_state_t state_of(int rc)
{
    return rc == PAL_OK         ? PAL_ROW_DONE
           : rc == PAL_EDIVERGE ? PAL_ROW_DIVERGED
                                : PAL_ROW_FAILED;
}

/* Send a row with its result, or with the reason it has none. A stopped stage has no
 * row: it stays pending. */
static int post_row(pal_worker_t *worker, pal_table_t table, int32_t row, int rc,
                    const pal_outcome_t *outcome, const char *text, double start)
{
    pal_message_t message;

    if (rc == PAL_ESTOP)
        return PAL_OK;
    memset(&message, 0, sizeof message);
    message.kind = PAL_MSG_ROW;
    message.table = table;
    message.row = row;
    message.state = state_of(rc);
    memcpy(message.where.host, worker->host, sizeof worker->host);
    message.where.rank = pal_transport_rank(worker->transport);
    message.where.seconds = clock_seconds(CLOCK_MONOTONIC) - start;
    message.where.finished = clock_seconds(CLOCK_REALTIME);
    if (rc == PAL_OK)
        pal_record_pack(worker->plan, table, outcome, worker->record);
    else
        pal_record_error(worker->plan, table, text, worker->record);
    return post(worker, &message, worker->record, pal_record_size(worker->plan, table));
}

/* --- Jobs --- */

/* These fail when a row cannot be sent. A stage that fails is a row like any other:
 * what is held (worker->base, worker->unlearned) tells whether the model was made. */
static int run_base(pal_worker_t *worker, int32_t row)
{
    double start = clock_seconds(CLOCK_MONOTONIC);
    pal_model_result_t result = {.bits = worker->bits};
    pal_outcome_t outcome = {.model = &result};
    pal_error_t err = {{0}};
    int rc;

    memset(worker->bits, 0, (size_t)worker->plan->forget_bytes);
    worker->base = worker->unlearned = -1;
    rc = worker->compute->base(worker->lab, row, &result, &err);
    if (rc == PAL_OK)
        worker->base = row;
    return post_row(worker, PAL_TABLE_BASE, row, rc, &outcome, err.text, start);
}

/* The cache may lack it: removed, damaged, or on a disk this node does not see. What is
 * trained anew is the same, bit by bit. */
static int get_base(pal_worker_t *worker, int32_t row)
{
    if (worker->base == row)
        return PAL_OK;
    worker->base = worker->unlearned = -1;
    if (worker->compute->load(worker->lab, row, NULL) != PAL_OK)
        return run_base(worker, row);
    worker->base = row;
    return PAL_OK;
}

static int get_unlearned(pal_worker_t *worker, int32_t row)
{
    double start;
    int32_t base = worker->plan->unlearned[row].base;
    pal_outcome_t outcome = {.model = &worker->model};
    pal_error_t err = {{0}};
    int rc;

    if (worker->unlearned == row)
        return PAL_OK;
    worker->unlearned = -1;
    if (worker->diverged == row)
        return post_row(worker, PAL_TABLE_UNLEARNED, row, PAL_EDIVERGE, NULL,
                        worker->why.text, clock_seconds(CLOCK_MONOTONIC));
    rc = get_base(worker, base);
    if (rc != PAL_OK || worker->base != base)
        return rc;
    start = clock_seconds(CLOCK_MONOTONIC);
    memset(worker->bits, 0, (size_t)worker->plan->forget_bytes);
    memset(&worker->model, 0, sizeof worker->model);
    worker->model.bits = worker->bits;
    rc = worker->compute->unlearn(worker->lab, row, &worker->model, &err);
    if (rc == PAL_OK)
        worker->unlearned = row;
    if (rc == PAL_EDIVERGE) {
        worker->diverged = row;
        worker->why = err;
    }
    return post_row(worker, PAL_TABLE_UNLEARNED, row, rc, &outcome, err.text, start);
}

static int run_trial(pal_worker_t *worker, int32_t row)
{
    double start = clock_seconds(CLOCK_MONOTONIC);
    size_t bytes = (size_t)worker->plan->fold_bytes;
    pal_trial_result_t result;
    pal_outcome_t outcome = {.model = &worker->model, .trial = &result};
    pal_error_t err = {{0}};
    int rc;

    memset(&result, 0, sizeof result);
    memset(worker->fold_bits, 0, bytes);
    memset(worker->fold_bits_before, 0, bytes);
    result.bits = worker->fold_bits;
    result.bits_before = worker->fold_bits_before;
    rc = worker->compute->trial(worker->lab, row, &result, &err);
    return post_row(worker, PAL_TABLE_TRIALS, row, rc, &outcome, err.text, start);
}

static int run_job(pal_worker_t *worker, const pal_job_t *job)
{
    int rc;

    if (job->base >= 0)
        return run_base(worker, job->base);
    rc = get_unlearned(worker, job->unlearned);
    if (rc != PAL_OK || worker->unlearned != job->unlearned || job->trial < 0)
        return rc;
    return run_trial(worker, job->trial);
}

static void *compute_thread(void *argument)
{
    pal_worker_t *worker = argument;
    pal_message_t done;

    memset(&done, 0, sizeof done);
    done.kind = PAL_MSG_DONE;
    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        pal_order_t order;
        int rc;

        while (worker->order_count == 0 && !worker->end)
            pthread_cond_wait(&worker->wake, &worker->mutex);
        if (worker->end)
            break;
        order = worker->orders[0];
        worker->order_count--;
        memmove(worker->orders, worker->orders + 1,
                (size_t)worker->order_count * sizeof order);
        pthread_mutex_unlock(&worker->mutex);
        done.seq = order.seq;
        rc = run_job(worker, &order.job);
        if (rc == PAL_OK)
            rc = post(worker, &done, NULL, 0);
        pthread_mutex_lock(&worker->mutex);
        /* Without memory to send a row the sweep must stop: the row is still pending.
         */
        if (rc != PAL_OK) {
            worker->unsent = rc;
            atomic_store(worker->stop, 1);
        }
    }
    worker->ended = 1;
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

/* --- Life --- */

static void free_worker(pal_worker_t *worker)
{
    pal_letter_t *letter = worker->first;

    while (letter) {
        pal_letter_t *next = letter->next;

        free(letter);
        letter = next;
    }
    if (worker->lab)
        worker->compute->destroy(worker->lab);
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->mutex);
    free(worker->record);
    free(worker->bits);
    free(worker->fold_bits);
    free(worker->fold_bits_before);
    free(worker);
}

static int make_buffers(pal_worker_t *worker)
{
    worker->record = malloc(pal_record_most(worker->plan));
    worker->bits = calloc((size_t)worker->plan->forget_bytes + 1, 1);
    worker->fold_bits = calloc((size_t)worker->plan->fold_bytes + 1, 1);
    worker->fold_bits_before = calloc((size_t)worker->plan->fold_bytes + 1, 1);
    return worker->record && worker->bits && worker->fold_bits &&
           worker->fold_bits_before;
}

int pal_worker_create(pal_plan_t *plan, const pal_compute_t *compute, const char *cache,
                      pal_transport_t *transport, atomic_int *stop, pal_worker_t **out,
                      pal_error_t *err)
{
    pal_worker_t *worker = calloc(1, sizeof *worker);
    int rc;

    if (!worker)
        return PAL_FAIL(err, PAL_ENOMEM, "a worker");
    worker->plan = plan;
    worker->compute = compute;
    worker->cache = cache;
    worker->transport = transport;
    worker->stop = stop;
    worker->last = &worker->first;
    worker->base = worker->unlearned = worker->diverged = -1;
    worker->heard = -1;
    gethostname(worker->host, sizeof worker->host - 1);
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->wake, NULL);
    if (!make_buffers(worker)) {
        free_worker(worker);
        return PAL_FAIL(err, PAL_ENOMEM, "the buffers of a worker");
    }
    rc = compute->create(plan, cache, stop, &worker->lab, err);
    if (rc != PAL_OK) {
        rc = pal_context(err, rc, "rank %d on %s", pal_transport_rank(transport),
                         worker->host);
        free_worker(worker);
        return rc;
    }
    if (pthread_create(&worker->thread, NULL, compute_thread, worker) != 0) {
        free_worker(worker);
        return PAL_FAIL(err, PAL_ENOMEM, "a compute thread");
    }
    *out = worker;
    return PAL_OK;
}

static void end_thread(pal_worker_t *worker)
{
    atomic_store(worker->stop, 1);
    pthread_mutex_lock(&worker->mutex);
    worker->end = 1;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->mutex);
}

void pal_worker_destroy(pal_worker_t *worker)
{
    if (!worker)
        return;
    end_thread(worker);
    pthread_join(worker->thread, NULL);
    free_worker(worker);
}

/* --- The main thread's part --- */

int pal_worker_handle(pal_worker_t *worker, const pal_message_t *message, double now,
                      pal_error_t *err)
{
    int rc = PAL_OK;

    worker->heard = now;
    if (message->kind == PAL_MSG_STOP) {
        worker->leaving = 1;
        end_thread(worker);
    } else if (message->kind == PAL_MSG_JOB) {
        pthread_mutex_lock(&worker->mutex);
        if (worker->order_count < JOBS)
            worker->orders[worker->order_count++] =
                (pal_order_t){message->seq, message->job};
        else
            rc = PAL_FAIL(err, PAL_EMPI, "more than %d jobs at once", JOBS);
        pthread_cond_signal(&worker->wake);
        pthread_mutex_unlock(&worker->mutex);
    }
    return rc;
}

static int send_plain(pal_worker_t *worker, pal_message_kind_t kind, double now,
                      pal_error_t *err)
{
    pal_message_t message;

    memset(&message, 0, sizeof message);
    message.kind = kind;
    pthread_mutex_lock(&worker->mutex);
    message.state = worker->unsent;
    pthread_mutex_unlock(&worker->mutex);
    worker->beaten = now;
    return pal_transport_send(worker->transport, 0, &message, NULL, 0, err);
}

/* 1 if there was a letter to send, 0 if not. */
static int send_letter(pal_worker_t *worker, double now, pal_error_t *err)
{
    pal_letter_t *letter;
    int rc;

    pthread_mutex_lock(&worker->mutex);
    letter = worker->first;
    if (letter) {
        worker->first = letter->next;
        if (!letter->next)
            worker->last = &worker->first;
    }
    pthread_mutex_unlock(&worker->mutex);
    if (!letter)
        return 0;
    worker->beaten = now;
    rc = pal_transport_send(worker->transport, 0, &letter->message, letter->body,
                            letter->bytes, err);
    free(letter);
    return rc == PAL_OK ? 1 : rc;
}

static int has_ended(pal_worker_t *worker)
{
    int ended;

    pthread_mutex_lock(&worker->mutex);
    ended = worker->ended && !worker->first;
    pthread_mutex_unlock(&worker->mutex);
    return ended;
}

int pal_worker_step(pal_worker_t *worker, double now, double lease, pal_error_t *err)
{
    int rc = send_letter(worker, now, err), plain = PAL_OK;

    if (rc < 0)
        return rc;
    /* Who was itself asleep cannot tell who was silent. */
    if (worker->heard < 0 || now - worker->stepped > lease / 2)
        worker->heard = now;
    worker->stepped = now;
    if (now - worker->heard > lease)
        return PAL_FAIL(err, PAL_ESTOP, "rank 0 said nothing for %.0f s", lease);
    if (rc == 0 && worker->leaving && !worker->said_bye && has_ended(worker)) {
        plain = send_plain(worker, PAL_MSG_BYE, now, err);
        worker->said_bye = plain == PAL_OK;
        rc = 1;
    } else if (!worker->halted && !worker->leaving && atomic_load(worker->stop)) {
        plain = send_plain(worker, PAL_MSG_HALT, now, err);
        worker->halted = plain == PAL_OK;
    } else if (now - worker->beaten > BEAT) {
        plain = send_plain(worker, PAL_MSG_BEAT, now, err);
    }
    return plain != PAL_OK ? plain : rc;
}

int pal_worker_left(pal_worker_t *worker)
{
    return worker->said_bye && pal_transport_pending(worker->transport) == 0;
}
