/* choice.h -- multiple choice: the question once, or with every choice again. */
#ifndef PAL_BENCH_CHOICE_H
#define PAL_BENCH_CHOICE_H

#include "bench/timing.h"
#include "stage/stage.h"

/* Seconds of a fact. */
typedef struct {
    pal_timing_t branched; /* the scorer's way, eval/choice.h */
    pal_timing_t whole;    /* each question with each choice a sequence of its own */
} pal_choice_result_t;

/* Ask a fresh model every fact of the world. */
PAL_MUST_CHECK
int pal_choice_time(const pal_ground_t *ground, const pal_layout_t *layout,
                    double seconds, pal_choice_result_t *result, pal_error_t *err);

#endif
