/* transport.h -- messages between rank 0 and the others: point to point, never
 * blocking.
 *
 * Sends are buffered and forgotten: to a rank that is gone they simply never complete.
 * All calls from the main thread (MPI_THREAD_FUNNELED). Ranks run the same program on
 * the same kind of machine, so a message is its bytes.
 */
#ifndef PAL_MPI_SWEEP_TRANSPORT_H
#define PAL_MPI_SWEEP_TRANSPORT_H

#include <mpi.h>

#include "plan/queue.h"
#include "store/store.h"

typedef enum {
    /* from rank 0 */
    PAL_MSG_JOB,  /* seq, job */
    PAL_MSG_STOP, /* compute nothing more, send what is done, then BYE */
    PAL_MSG_PING, /* rank 0 is alive */
    /* to rank 0 */
    PAL_MSG_ROW,  /* table, row, state, where; body: the record */
    PAL_MSG_DONE, /* seq: the job is over, its rows are sent */
    PAL_MSG_BEAT, /* this rank is alive */
    PAL_MSG_HALT, /* this rank was told to stop, or has to (state: why): the sweep
                     should */
    PAL_MSG_BYE   /* the last message of this rank */
} pal_message_kind_t;

typedef struct {
    int32_t kind; /* pal_message_kind_t */
    int32_t table, row, state;
    int64_t seq;
    pal_job_t job;
    pal_where_t where;
} pal_message_t;

typedef struct pal_transport pal_transport_t;

/* comm is borrowed; bodies have at most `most` bytes. */
PAL_MUST_CHECK
int pal_transport_create(MPI_Comm comm, size_t most, pal_transport_t **out,
                         pal_error_t *err);
void pal_transport_destroy(pal_transport_t *transport);

int pal_transport_rank(const pal_transport_t *transport);
int pal_transport_ranks(const pal_transport_t *transport);

/* body[0..n) may be NULL if n = 0. PAL_ENOMEM, PAL_EMPI. */
PAL_MUST_CHECK
int pal_transport_send(pal_transport_t *transport, int rank,
                       const pal_message_t *message, const uint8_t *body, size_t n,
                       pal_error_t *err);

/* 1 if a message came: *message, its sender and its body (borrowed until the next
 * call). 0 if none is there, negative on failure. */
PAL_MUST_CHECK
int pal_transport_receive(pal_transport_t *transport, int *rank, pal_message_t *message,
                          const uint8_t **body, pal_error_t *err);

/* Sends that have not left yet. */
int pal_transport_pending(pal_transport_t *transport);

/* Fill err with MPI's own words for a failed call. */
int pal_mpi_fail(pal_error_t *err, int code, const char *what);

#endif
