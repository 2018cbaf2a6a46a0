/* progress.h -- what a person sees of a running sweep, on stderr: one bar on a
 * terminal, a line a minute in a log. Rank 0 only. */
#ifndef PAL_MPI_SWEEP_PROGRESS_H
#define PAL_MPI_SWEEP_PROGRESS_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

typedef struct {
    FILE *out;        /* NULL: silent */
    int terminal;     /* 1: a bar that is redrawn */
    const char *name; /* of the sweep */
    int32_t trials;   /* in all */
    int32_t done, failed,
        diverged; /* trials so far; done counts those before this run */
    int32_t done_before;
    double flops;        /* to be done when this run began */
    double start, shown; /* s */
    int drawn;           /* a bar stands on the line */
} pal_progress_t;

/* On stderr, or silent if quiet. */
void pal_progress_start(pal_progress_t *progress, int quiet, const char *name,
                        int32_t trials, int32_t done_before, double flops, double now);

/* Show it if it is time. left: FLOPs to go. */
void pal_progress_step(pal_progress_t *progress, double left, double now);

/* A line of its own, whatever is drawn. Not silenced. */
void pal_progress_say(pal_progress_t *progress, const char *format, ...)
    PAL_PRINTF(2, 3);

/* The last line: what was done, in how long, where it is. */
void pal_progress_end(pal_progress_t *progress, const char *path, double left,
                      double now);

/* Seconds as "1:02:03" or "2:03" into text[n]; "?" if unknown (not finite). */
void pal_progress_time(double seconds, char *text, size_t n);

#endif
