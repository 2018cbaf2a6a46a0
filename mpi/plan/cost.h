/* cost.h -- how long a plan will take and what it needs, before it runs.
 *
 * Stages know their floating-point operations; how many of those a core does in a
 * second is measured on a few training steps of each size of model.
 */
#ifndef PAL_MPI_PLAN_COST_H
#define PAL_MPI_PLAN_COST_H

#include "plan/done.h"

/* FLOP/s of one core in training steps of this base model: the median of the steps that
 * fit into 0.2 s, at least one, whatever else the machine does; of at most 128
 * sequences. One BLAS thread from then on. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_cost_rate(const pal_plan_t *plan, int32_t base, double *rate, pal_error_t *err);

/* The same for every base: rates[base_count], written; measured once for those of one
 * size on one world. */
PAL_MUST_CHECK
int pal_cost_rates(const pal_plan_t *plan, double *rates, pal_error_t *err);

/* How many times as fast as one so many threads are. Below this width products are so
 * small that kernel/gemm.h leaves most of them to one thread: they count as one. Above
 * it two were 1.9 times as fast (kernel/README.md), more are taken to share the rest of
 * the work as two do (Amdahl, AFIPS 1967): 8 are 5.8 times, no number is 20 times. */
enum { PAL_THREADED_WIDTH = 512 };
double pal_cost_threads(int32_t width, double threads);

/* Seconds from start to end on that many ranks of what is not done (NULL: of all): the
 * queue (queue.h) played through with expected times. On one rank that is the sum of
 * all stages. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_cost_makespan(const pal_plan_t *plan, const pal_done_t *done,
                      const double *rates, int32_t ranks, double *seconds,
                      pal_error_t *err);

/* The fewest ranks of 1, 2, 3, 4, 6, 8, 12, ... and at most `most` that reach
 * PAL_USEFUL_SPEED of the speed of `most`, by that play. PAL_ENOMEM. */
#define PAL_USEFUL_SPEED 0.95
PAL_MUST_CHECK
int pal_cost_useful(const pal_plan_t *plan, const pal_done_t *done, const double *rates,
                    int32_t most, int32_t *ranks, pal_error_t *err);

/* Bytes a rank needs at its largest model: what its greediest stage holds of models
 * (stage/stage.h), activations, the program, its plan. Of what is resident at
 * most it was 0.87 (repnoise) to 1.3 (undo) in batches of 256 sentences. */
double pal_cost_memory(const pal_plan_t *plan);

#endif
