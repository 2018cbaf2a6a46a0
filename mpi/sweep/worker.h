/* worker.h -- one rank's compute thread, and the part of its main thread that talks to
 * rank 0. Rank 0 has a worker like every other. */
#ifndef PAL_MPI_SWEEP_WORKER_H
#define PAL_MPI_SWEEP_WORKER_H

#include "sweep/compute.h"
#include "sweep/transport.h"

typedef struct pal_worker pal_worker_t;

/* Makes the lab and starts the thread. Everything is borrowed; *stop is set by a signal
 * or a STOP message. */
PAL_MUST_CHECK
int pal_worker_create(pal_plan_t *plan, const pal_compute_t *compute, const char *cache,
                      pal_transport_t *transport, atomic_int *stop, pal_worker_t **out,
                      pal_error_t *err);

/* Stops and joins the thread. NULL is allowed. */
void pal_worker_destroy(pal_worker_t *worker);

/* A message from rank 0. */
PAL_MUST_CHECK
int pal_worker_handle(pal_worker_t *worker, const pal_message_t *message, double now,
                      pal_error_t *err);

/* Send what the thread has finished, and a sign of life. `now` is in seconds of any
 * clock that does not jump. Returns 1 if there was something, 0 if not, or the failure;
 * PAL_ESTOP: rank 0 said nothing for `lease` seconds. */
PAL_MUST_CHECK
int pal_worker_step(pal_worker_t *worker, double now, double lease, pal_error_t *err);

/* 1 after BYE was sent and has left. */
int pal_worker_left(pal_worker_t *worker);

#endif
