/* step.h -- training steps, ours and a peer's in turn. */
#ifndef PAL_BENCH_STEP_H
#define PAL_BENCH_STEP_H

#include "bench/peer.h"
#include "bench/products.h"
#include "bench/timing.h"
#include "bench/workload.h"

/* The peer's precisions, in the order of pal_step_result_t.peer. */
enum { PAL_PEER_FP32, PAL_PEER_BF16, PAL_PEER_PRECISIONS };
extern const char *const pal_peer_precisions[PAL_PEER_PRECISIONS];

/* All per token that is no pad. Rounds of steps are timed; the ratio is taken round by
 * round, between neighbours in time. */
typedef struct {
    pal_timing_t token;      /* seconds */
    pal_products_t products; /* alone */
    double flops;            /* done for a token, mean over the steps */
    double loss;             /* of the first step, on the initial weights */
    pal_timing_t peer_token[PAL_PEER_PRECISIONS]; /* repeats 0: no peer */
    pal_timing_t ratio[PAL_PEER_PRECISIONS];      /* peer's seconds / ours */
    double peer_loss[PAL_PEER_PRECISIONS];
} pal_step_result_t;

/* Train for about `seconds` (and at least 3 rounds) on the batches in turn: forward,
 * backward, clipping, AdamW. With a script (NULL: none) the peer takes the same steps
 * after each round. */
PAL_MUST_CHECK
int pal_step_time(const pal_workload_t *workload, const char *script, int32_t threads,
                  double seconds, pal_step_result_t *result, pal_error_t *err);

#endif
