/* kernels.h -- each kernel alone, at the sizes of a model. */
#ifndef PAL_BENCH_KERNELS_H
#define PAL_BENCH_KERNELS_H

#include "bench/timing.h"
#include "bench/workload.h"

typedef struct {
    const char *kernel; /* "gemm forward" */
    char size[48];      /* "2048 x 64 x 192" */
    double flops;       /* of a call; 0 where bytes are what counts */
    double bytes;       /* read and written once */
    pal_timing_t timing;
} pal_kernel_result_t;

/* Time every kernel a training step uses on the first batch of the workload, each for
 * about `seconds`, and hand the results to `found`, one by one. */
PAL_MUST_CHECK
int pal_kernels_time(const pal_workload_t *workload, double seconds,
                     void (*found)(void *ctx, const pal_kernel_result_t *result),
                     void *ctx, pal_error_t *err);

#endif
