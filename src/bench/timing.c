#include "bench/timing.h"

#include <stdlib.h>
#include <time.h>

enum { LEAST_SAMPLES = 3, MOST_SAMPLES = 200 };

double pal_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

pal_timing_t pal_timing_of(double *samples, int32_t n)
{
    qsort(samples, (size_t)n, sizeof *samples, compare);
    return (pal_timing_t){.median = 0.5 * (samples[n / 2] + samples[(n - 1) / 2]),
                          .least = samples[0],
                          .most = samples[n - 1],
                          .repeats = n};
}

/* Seconds of one call when `calls` follow each other. */
static double sample(void (*work)(void *ctx), void *ctx, int32_t calls)
{
    const double start = pal_clock();

    for (int32_t i = 0; i < calls; i++)
        work(ctx);
    return (pal_clock() - start) / calls;
}

pal_timing_t pal_timing_take(void (*work)(void *ctx), void *ctx, double seconds)
{
    double samples[MOST_SAMPLES], start, calls;
    int32_t n = 0;

    work(ctx);
    calls = 0.01 * seconds / (sample(work, ctx, 1) + 1e-9);
    start = pal_clock();
    while (n < LEAST_SAMPLES || (n < MOST_SAMPLES && pal_clock() - start < seconds))
        samples[n++] = sample(work, ctx, calls < 1e9 ? 1 + (int32_t)calls : 1000000000);
    return pal_timing_of(samples, n);
}
