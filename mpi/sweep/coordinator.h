/* coordinator.h -- rank 0's part: hands out jobs, writes rows, notices who is gone.
 *
 * A lease is the trust in a rank that has spoken lately. When it runs out the rank's
 * jobs go to others; what it sends later is still welcome, because a row computed twice
 * is the same.
 */
#ifndef PAL_MPI_SWEEP_COORDINATOR_H
#define PAL_MPI_SWEEP_COORDINATOR_H

#include "sweep/progress.h"
#include "sweep/transport.h"

typedef struct pal_coordinator pal_coordinator_t;

/* Everything is borrowed. queue: filled and started. */
PAL_MUST_CHECK
int pal_coordinator_create(pal_plan_t *plan, pal_store_t *store, pal_queue_t *queue,
                           pal_transport_t *transport, pal_progress_t *progress,
                           double lease, pal_coordinator_t **out, pal_error_t *err);
void pal_coordinator_destroy(pal_coordinator_t *coordinator);

/* A message from a rank. A failure is that of the results file or of MPI. */
PAL_MUST_CHECK
int pal_coordinator_handle(pal_coordinator_t *coordinator, int rank,
                           const pal_message_t *message, const uint8_t *body,
                           double now, pal_error_t *err);

/* Give out what can be given, look after leases, tell everyone to stop when all is
 * done. */
PAL_MUST_CHECK
int pal_coordinator_step(pal_coordinator_t *coordinator, double now, pal_error_t *err);

/* Tell everyone to stop; finished rows are still taken. */
PAL_MUST_CHECK
int pal_coordinator_stop(pal_coordinator_t *coordinator, pal_error_t *err);

/* 1 when every rank has said goodbye or is lost. */
int pal_coordinator_over(const pal_coordinator_t *coordinator);
/* Ranks that were lost. */
int pal_coordinator_lost(const pal_coordinator_t *coordinator);

#endif
