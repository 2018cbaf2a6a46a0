#include "sweep/coordinator.h"

#include <stdlib.h>
#include <string.h>

enum { AHEAD = 2 };             /* jobs of a rank: one running, one to go on with */
static const double PING = 1.0; /* s between signs of life */

typedef struct {
    int64_t seq[AHEAD];
    pal_job_t jobs[AHEAD];
    int count;
    int lost, gone; /* its lease ran out; it has said goodbye */
    double heard;
    char reason[PAL_ERROR_BYTES]; /* why it could not make what another could */
    pal_where_t where;
} pal_rank_t;

struct pal_coordinator {
    pal_plan_t *plan;
    pal_store_t *store;
    pal_queue_t *queue;
    pal_transport_t *transport;
    pal_progress_t *progress;
    pal_rank_t *ranks;
    uint8_t *record; /* room for one of the largest */
    double lease, pinged, stepped;
    int64_t seq;
    int stopping;
    int changed; /* since jobs were last given out */
};

int pal_coordinator_create(pal_plan_t *plan, pal_store_t *store, pal_queue_t *queue,
                           pal_transport_t *transport, pal_progress_t *progress,
                           double lease, pal_coordinator_t **out, pal_error_t *err)
{
    pal_coordinator_t *coordinator = calloc(1, sizeof *coordinator);

    if (!coordinator)
        return PAL_FAIL(err, PAL_ENOMEM, "a coordinator");
    coordinator->plan = plan;
    coordinator->store = store;
    coordinator->queue = queue;
    coordinator->transport = transport;
    coordinator->progress = progress;
    coordinator->lease = lease;
    coordinator->changed = 1;
    coordinator->stepped = -1;
    coordinator->record = malloc(pal_record_most(plan));
    coordinator->ranks =
        calloc((size_t)pal_transport_ranks(transport), sizeof *coordinator->ranks);
    if (!coordinator->record || !coordinator->ranks) {
        pal_coordinator_destroy(coordinator);
        return PAL_FAIL(err, PAL_ENOMEM, "%d ranks", pal_transport_ranks(transport));
    }
    *out = coordinator;
    return PAL_OK;
}

void pal_coordinator_destroy(pal_coordinator_t *coordinator)
{
    if (!coordinator)
        return;
    free(coordinator->record);
    free(coordinator->ranks);
    free(coordinator);
}

static int send_plain(pal_coordinator_t *coordinator, int rank, pal_message_kind_t kind,
                      pal_error_t *err)
{
    pal_message_t message;

    memset(&message, 0, sizeof message);
    message.kind = kind;
    return pal_transport_send(coordinator->transport, rank, &message, NULL, 0, err);
}

/* --- Rows --- */

static void count_trial(pal_coordinator_t *coordinator, pal_state_t state)
{
    coordinator->progress->done += state == PAL_ROW_DONE || state == PAL_ROW_DIVERGED;
    coordinator->progress->diverged += state == PAL_ROW_DIVERGED;
    coordinator->progress->failed += state == PAL_ROW_FAILED;
}

static int write_row(pal_coordinator_t *coordinator, pal_table_t table, int32_t row,
                     pal_state_t state, const uint8_t *record, const pal_where_t *where,
                     pal_error_t *err)
{
    int rc = pal_store_write(coordinator->store, table, row, state, record, where, err);

    if (rc != PAL_OK)
        return rc;
    pal_queue_close(coordinator->queue, table, row);
    if (table == PAL_TABLE_TRIALS)
        count_trial(coordinator, state);
    return PAL_OK;
}

/* A row without its parent: same state, and the parent's reason. */
static int fail_row(pal_coordinator_t *coordinator, pal_table_t table, int32_t row,
                    pal_state_t state, const char *text, const pal_where_t *where,
                    pal_error_t *err)
{
    pal_where_t here = *where;

    if (pal_store_state(coordinator->store, table, row) != PAL_ROW_PENDING)
        return PAL_OK;
    here.seconds = 0;
    pal_record_error(coordinator->plan, table, text, coordinator->record);
    return write_row(coordinator, table, row, state, coordinator->record, &here, err);
}

static int fail_trials(pal_coordinator_t *coordinator, int32_t unlearned,
                       pal_state_t state, const char *text, const pal_where_t *where,
                       pal_error_t *err)
{
    const pal_plan_unlearned_t *model = &coordinator->plan->unlearned[unlearned];
    int rc = PAL_OK;

    for (int32_t i = 0; i < model->trials && rc == PAL_OK; i++)
        rc = fail_row(coordinator, PAL_TABLE_TRIALS, model->first + i, state, text,
                      where, err);
    return rc;
}

/* "base KEY failed: " and why. */
static void print_reason(const pal_plan_t *plan, pal_table_t table, int32_t row,
                         pal_state_t state, const uint8_t *record, char *text, size_t n)
{
    int is_base = table == PAL_TABLE_BASE;
    char key[PAL_KEY_TEXT];

    pal_key_text(is_base ? plan->bases[row].key : plan->unlearned[row].key, key);
    snprintf(text, n, "%s %s %s: %.180s", is_base ? "base" : "unlearned", key,
             state == PAL_ROW_DIVERGED ? "diverged" : "failed",
             pal_record_text(plan, table, record));
}

/* What stands on a model that has none gets its state and its reason, both as they are
 * stored. */
static int fail_descendants(pal_coordinator_t *coordinator, pal_table_t table,
                            int32_t row, const pal_where_t *where, pal_error_t *err)
{
    const pal_plan_t *plan = coordinator->plan;
    pal_state_t state = pal_store_state(coordinator->store, table, row);
    char text[PAL_ERROR_BYTES];
    int rc = pal_store_read(coordinator->store, table, row, coordinator->record, err);

    if (rc != PAL_OK)
        return rc;
    print_reason(plan, table, row, state, coordinator->record, text, sizeof text);
    if (table == PAL_TABLE_UNLEARNED)
        return fail_trials(coordinator, row, state, text, where, err);
    for (int32_t i = plan->bases[row].models; i >= 0 && rc == PAL_OK;
         i = plan->unlearned[i].next) {
        rc = fail_row(coordinator, PAL_TABLE_UNLEARNED, i, state, text, where, err);
        if (rc == PAL_OK)
            rc = fail_trials(coordinator, i, state, text, where, err);
    }
    return rc;
}

/* A row that is there already came from a lost lease, from a model made once more, or
 * from a base whose weights had to be made again: it must be the same. */
static int compare_row(pal_coordinator_t *coordinator, const pal_message_t *message,
                       const uint8_t *body, pal_error_t *err)
{
    pal_table_t table = (pal_table_t)message->table;
    int rc;

    if (message->state == PAL_ROW_FAILED ||
        pal_store_state(coordinator->store, table, message->row) == PAL_ROW_FAILED)
        return PAL_OK;
    rc = pal_store_read(coordinator->store, table, message->row, coordinator->record,
                        err);
    if (rc == PAL_OK && memcmp(coordinator->record, body,
                               pal_record_size(coordinator->plan, table)) != 0)
        pal_progress_say(
            coordinator->progress,
            "warning: row %d of %s, computed again on %s (rank %d), differs "
            "from what is stored, which stays: is that another kind of machine?",
            message->row, pal_table_path(table), message->where.host,
            message->where.rank);
    return rc;
}

/* A rank cannot make what another could: that stands, and so does all that others make
 * of it. */
static int take_refusal(pal_coordinator_t *coordinator, int rank,
                        const pal_message_t *message, const uint8_t *body,
                        pal_error_t *err)
{
    pal_table_t table = (pal_table_t)message->table;
    pal_rank_t *from = &coordinator->ranks[rank];
    char text[PAL_ERROR_BYTES];
    int rc = pal_queue_refuse(coordinator->queue, rank, table, message->row, err);

    if (rc != PAL_OK)
        return rc;
    print_reason(coordinator->plan, table, message->row, (pal_state_t)message->state,
                 body, text, sizeof text);
    if (strcmp(text, from->reason) != 0)
        pal_progress_say(coordinator->progress,
                         "warning: rank %d on %s cannot make what is made already; "
                         "it is left to others, if they can: %s",
                         rank, message->where.host, text);
    memcpy(from->reason, text, sizeof text);
    from->where = message->where;
    return PAL_OK;
}

/* What follows is decided by the row as stored: another rank may have made it. */
static int take_row(pal_coordinator_t *coordinator, int rank,
                    const pal_message_t *message, const uint8_t *body, pal_error_t *err)
{
    pal_table_t table = (pal_table_t)message->table;
    pal_state_t state = (pal_state_t)message->state, stored;
    int rc;

    if (pal_store_state(coordinator->store, table, message->row) != PAL_ROW_PENDING)
        rc = compare_row(coordinator, message, body, err);
    else
        rc = write_row(coordinator, table, message->row, state, body, &message->where,
                       err);
    if (rc != PAL_OK || table == PAL_TABLE_TRIALS)
        return rc;
    stored = pal_store_state(coordinator->store, table, message->row);
    if (stored == PAL_ROW_DONE && state != PAL_ROW_DONE)
        return take_refusal(coordinator, rank, message, body, err);
    if (stored == PAL_ROW_DONE && table == PAL_TABLE_BASE)
        pal_queue_base_ready(coordinator->queue, message->row);
    pal_queue_close(coordinator->queue, table, message->row);
    if (stored != PAL_ROW_DONE)
        rc = fail_descendants(coordinator, table, message->row, &message->where, err);
    return rc;
}

/* --- Ranks --- */

/* No rank can make what this job takes, this one least. A model that has no row gets
 * one; of a model that has one the other trials are still to be tried. */
static int fail_job(pal_coordinator_t *coordinator, const pal_rank_t *from,
                    const pal_job_t *job, pal_error_t *err)
{
    const pal_where_t *where = &from->where;
    int rc = PAL_OK;

    if (job->base >= 0) { /* has a row: each of its models shall tell */
        pal_queue_base_ready(coordinator->queue, job->base);
    } else if (pal_store_state(coordinator->store, PAL_TABLE_UNLEARNED,
                               job->unlearned) == PAL_ROW_PENDING) {
        rc = fail_row(coordinator, PAL_TABLE_UNLEARNED, job->unlearned, PAL_ROW_FAILED,
                      from->reason, where, err);
        if (rc == PAL_OK)
            rc = fail_trials(coordinator, job->unlearned, PAL_ROW_FAILED, from->reason,
                             where, err);
    } else if (job->trial >= 0) {
        rc = fail_row(coordinator, PAL_TABLE_TRIALS, job->trial, PAL_ROW_FAILED,
                      from->reason, where, err);
    }
    return rc;
}

/* A job is over. If its row is open still, the rank was stopped, or could not make what
 * the job takes: then it is another's, if there is one that may do better. */
static int end_job(pal_coordinator_t *coordinator, const pal_rank_t *from,
                   const pal_job_t *job, pal_error_t *err)
{
    if (!coordinator->stopping && !pal_queue_able(coordinator->queue, job))
        return fail_job(coordinator, from, job, err);
    pal_queue_return(coordinator->queue, job);
    return PAL_OK;
}

static int take_done(pal_coordinator_t *coordinator, pal_rank_t *rank, int64_t seq,
                     pal_error_t *err)
{
    for (int i = 0; i < rank->count; i++) {
        pal_job_t job = rank->jobs[i];

        if (rank->seq[i] != seq)
            continue;
        rank->count--;
        memmove(rank->seq + i, rank->seq + i + 1,
                (size_t)(rank->count - i) * sizeof *rank->seq);
        memmove(rank->jobs + i, rank->jobs + i + 1,
                (size_t)(rank->count - i) * sizeof *rank->jobs);
        return end_job(coordinator, rank, &job, err);
    }
    return PAL_OK;
}

/* 1 if what the message names exists. */
static int is_sane(const pal_coordinator_t *coordinator, const pal_message_t *message)
{
    return message->kind != PAL_MSG_ROW ||
           (message->table >= PAL_TABLE_BASE && message->table <= PAL_TABLE_TRIALS &&
            message->row >= 0 &&
            message->row <
                pal_table_rows(coordinator->plan, (pal_table_t)message->table) &&
            message->state > PAL_ROW_PENDING && message->state <= PAL_ROW_DIVERGED);
}

int pal_coordinator_handle(pal_coordinator_t *coordinator, int rank,
                           const pal_message_t *message, const uint8_t *body,
                           double now, pal_error_t *err)
{
    pal_rank_t *from = &coordinator->ranks[rank];

    if (!is_sane(coordinator, message))
        return PAL_FAIL(err, PAL_EMPI, "a message of rank %d about row %d of table %d",
                        rank, message->row, message->table);
    from->heard = now;
    if (from->lost && message->kind != PAL_MSG_BYE)
        pal_progress_say(coordinator->progress, "rank %d is back", rank);
    from->lost = 0;
    coordinator->changed |= message->kind != PAL_MSG_BEAT;
    switch (message->kind) {
    case PAL_MSG_ROW:
        return take_row(coordinator, rank, message, body, err);
    case PAL_MSG_DONE:
        return take_done(coordinator, from, message->seq, err);
    case PAL_MSG_HALT:
        if (message->state != PAL_OK)
            pal_progress_say(coordinator->progress,
                             "rank %d cannot send what it finished: %s; stopping", rank,
                             pal_strerror(message->state));
        return pal_coordinator_stop(coordinator, err);
    case PAL_MSG_BYE:
        from->gone = 1;
        return PAL_OK;
    default:
        return PAL_OK;
    }
}

static int give_job(pal_coordinator_t *coordinator, int rank, const pal_job_t *job,
                    pal_error_t *err)
{
    pal_rank_t *to = &coordinator->ranks[rank];
    pal_message_t message;

    memset(&message, 0, sizeof message);
    message.kind = PAL_MSG_JOB;
    message.seq = ++coordinator->seq;
    message.job = *job;
    to->seq[to->count] = message.seq;
    to->jobs[to->count++] = *job;
    return pal_transport_send(coordinator->transport, rank, &message, NULL, 0, err);
}

/* Idle ranks first, then those that ask ahead. */
static int give_jobs(pal_coordinator_t *coordinator, pal_error_t *err)
{
    int ranks = pal_transport_ranks(coordinator->transport), rc = PAL_OK;

    coordinator->changed = 0;
    for (int ahead = 0; ahead < AHEAD; ahead++)
        for (int i = 0; i < ranks && rc == PAL_OK; i++) {
            pal_rank_t *rank = &coordinator->ranks[i];
            pal_job_t job;

            if (!rank->lost && !rank->gone && rank->count == ahead &&
                pal_queue_next(coordinator->queue, i, ahead > 0, &job))
                rc = give_job(coordinator, i, &job, err);
        }
    return rc;
}

static void lose(pal_coordinator_t *coordinator, int i)
{
    pal_rank_t *rank = &coordinator->ranks[i];

    rank->lost = 1;
    pal_progress_say(
        coordinator->progress,
        "rank %d said nothing for %.0f s and counts as lost; others take over", i,
        coordinator->lease);
    while (rank->count > 0)
        pal_queue_return(coordinator->queue, &rank->jobs[--rank->count]);
    pal_queue_forget(coordinator->queue, i);
    coordinator->changed = 1;
}

static void check_leases(pal_coordinator_t *coordinator, double now)
{
    /* Who was itself asleep cannot tell who was silent. */
    int asleep =
        coordinator->stepped < 0 || now - coordinator->stepped > coordinator->lease / 2;

    coordinator->stepped = now;
    for (int i = 0; i < pal_transport_ranks(coordinator->transport); i++) {
        pal_rank_t *rank = &coordinator->ranks[i];

        if (asleep)
            rank->heard = now;
        if (!rank->lost && !rank->gone && now - rank->heard > coordinator->lease)
            lose(coordinator, i);
    }
}

static int ping(pal_coordinator_t *coordinator, double now, pal_error_t *err)
{
    int rc = PAL_OK;

    if (now - coordinator->pinged < PING)
        return PAL_OK;
    coordinator->pinged = now;
    for (int i = 0; i < pal_transport_ranks(coordinator->transport) && rc == PAL_OK;
         i++)
        if (!coordinator->ranks[i].gone && !coordinator->ranks[i].lost)
            rc = send_plain(coordinator, i, PAL_MSG_PING, err);
    return rc;
}

int pal_coordinator_step(pal_coordinator_t *coordinator, double now, pal_error_t *err)
{
    int rc;

    check_leases(coordinator, now);
    rc = ping(coordinator, now, err);
    if (rc == PAL_OK && !coordinator->stopping && coordinator->changed)
        rc = give_jobs(coordinator, err);
    if (rc == PAL_OK && !coordinator->stopping &&
        pal_queue_left(coordinator->queue) == 0)
        rc = pal_coordinator_stop(coordinator, err);
    return rc;
}

int pal_coordinator_stop(pal_coordinator_t *coordinator, pal_error_t *err)
{
    int rc = PAL_OK;

    if (coordinator->stopping)
        return PAL_OK;
    coordinator->stopping = 1;
    for (int i = 0; i < pal_transport_ranks(coordinator->transport) && rc == PAL_OK;
         i++)
        if (!coordinator->ranks[i].gone)
            rc = send_plain(coordinator, i, PAL_MSG_STOP, err);
    return rc;
}

int pal_coordinator_over(const pal_coordinator_t *coordinator)
{
    for (int i = 0; i < pal_transport_ranks(coordinator->transport); i++)
        if (!coordinator->ranks[i].gone && !coordinator->ranks[i].lost)
            return 0;
    return 1;
}

int pal_coordinator_lost(const pal_coordinator_t *coordinator)
{
    int lost = 0;

    for (int i = 0; i < pal_transport_ranks(coordinator->transport); i++)
        lost += !coordinator->ranks[i].gone;
    return lost;
}
