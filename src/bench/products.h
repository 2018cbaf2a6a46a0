/* products.h -- the matrix products of a training step, and nothing else. */
#ifndef PAL_BENCH_PRODUCTS_H
#define PAL_BENCH_PRODUCTS_H

#include "bench/timing.h"
#include "bench/workload.h"

/* Seconds of a step's products on a batch, forward and backward; `rows` of it have
 * logits. */
typedef struct {
    pal_timing_t layers;    /* of every linear layer, one after the other */
    pal_timing_t attention; /* attention itself, a product of its own kind */
} pal_products_t;

PAL_MUST_CHECK
int pal_products_time(const pal_workload_t *workload, const pal_batch_t *batch,
                      int32_t rows, double seconds, pal_products_t *products,
                      pal_error_t *err);

#endif
