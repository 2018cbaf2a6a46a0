/* peer.h -- another program that trains the same model on the same batches.
 *
 * analysis/peer.py, a PyTorch training loop, runs beside this process and waits on its
 * standard input: so two programs can be timed in turn, in one run. It starts from the
 * same weights, pads the batches and says what each stretch of steps took.
 */
#ifndef PAL_BENCH_PEER_H
#define PAL_BENCH_PEER_H

#include "bench/workload.h"

typedef struct pal_peer pal_peer_t;

/* Start the script with the first of $PYTHON, python3 and /usr/bin/python3 that has
 * torch, and hand it model, weights and batches. *out is owned. PAL_ENOENT: no script,
 * or no Python with torch. */
PAL_MUST_CHECK
int pal_peer_start(const char *script, const pal_workload_t *workload,
                   const float *weights, int32_t threads, pal_peer_t **out,
                   pal_error_t *err);

/* Take `steps` >= 1 training steps on the batches first, first + 1, ... in "fp32", or
 * in "bf16" where the peer's autocast does: the seconds they took, as the peer says,
 * and the loss of the last of them. Each precision has weights of its own. PAL_EIO: it
 * ended. */
PAL_MUST_CHECK
int pal_peer_run(pal_peer_t *peer, const char *precision, int64_t first, int64_t steps,
                 double *seconds, double *loss, pal_error_t *err);

/* NULL allowed. */
void pal_peer_stop(pal_peer_t *peer);

#endif
