/* timing.h -- how long something takes: repeated, with median and range. */
#ifndef PAL_BENCH_TIMING_H
#define PAL_BENCH_TIMING_H

#include <stdint.h>

/* Seconds of one call. */
typedef struct {
    double median, least, most;
    int32_t repeats;
} pal_timing_t;

/* Seconds of the wall clock, from any start. */
double pal_clock(void);

/* Of n >= 1 samples, which are sorted. */
pal_timing_t pal_timing_of(double *samples, int32_t n);

/* Call work(ctx) for about `seconds`, at least 3 times after one that does not count. A
 * sample is as many calls as take a hundredth of that, so that the clock's own time
 * does not show. */
pal_timing_t pal_timing_take(void (*work)(void *ctx), void *ctx, double seconds);

#endif
