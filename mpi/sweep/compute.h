/* compute.h -- how a rank's compute thread does a stage; a seam for tests.
 *
 * The real one trains (stage/stage.h) and keeps base models in a cache folder. A test
 * puts deterministic numbers and a pause in its place and runs the whole sweep.
 *
 * Memory: one model, which stages train in place, and what they have beside it
 * (stage/stage.h). The base, the unlearned model and the best point of a trial, which
 * later stages start from, lie on shelves (base/shelf.h) in the cache folder: small
 * ones in memory, and all of them without a cache.
 */
#ifndef PAL_MPI_SWEEP_COMPUTE_H
#define PAL_MPI_SWEEP_COMPUTE_H

#include <stdatomic.h>

#include "plan/plan.h"

/* All slots required. A lab is used by one thread and holds one base and one unlearned
 * model, the last ones made. The bits of results are zeroed buffers of
 * plan->forget_bytes or plan->fold_bytes. A slot returns PAL_OK, PAL_ESTOP (soon after
 * *stop became nonzero), PAL_EDIVERGE, or what failed. */
typedef struct {
    int (*create)(pal_plan_t *plan, const char *cache, const atomic_int *stop,
                  void **lab, pal_error_t *err);
    void (*destroy)(void *lab);

    /* Train base `row`, save it in the cache (NULL: nowhere) and hold it. */
    int (*base)(void *lab, int32_t row, pal_model_result_t *result, pal_error_t *err);
    /* Hold base `row` from the cache. Any failure: train it instead. */
    int (*load)(void *lab, int32_t row, pal_error_t *err);
    /* 1 if the cache has base `row`, as far as one can see without reading it. */
    int (*cached)(const pal_plan_t *plan, const char *cache, int32_t row);
    /* Make unlearned model `row` from the base held. */
    int (*unlearn)(void *lab, int32_t row, pal_model_result_t *result,
                   pal_error_t *err);
    /* Attack the unlearned model held. */
    int (*trial)(void *lab, int32_t row, pal_trial_result_t *result, pal_error_t *err);
} pal_compute_t;

extern const pal_compute_t pal_compute_train;

#endif
