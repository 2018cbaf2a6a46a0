/* products.h -- the matrix products of a training step, and nothing else. */
#ifndef PAL_BENCH_PRODUCTS_H
#define PAL_BENCH_PRODUCTS_H

#include "bench/timing.h"
#include "bench/workload.h"

/* Time the products of every linear layer that a step on that batch computes, forward
 * and backward, one after the other. Attention is not among them. */
PAL_MUST_CHECK
int pal_products_time(const pal_workload_t *workload, const pal_batch_t *batch,
                      double seconds, pal_timing_t *timing, pal_error_t *err);

#endif
