/* queue.h -- what is left to do, and who does what next. No MPI, no files, no clock.
 *
 * A job is a base model, or one trial of an unlearned model; a rank makes the unlearned
 * model when it does not hold it. So a rank keeps getting trials of the model it holds,
 * and only when nothing else is left does it take some of another rank's, if that pays
 * for making the model once more.
 */
#ifndef PAL_MPI_PLAN_QUEUE_H
#define PAL_MPI_PLAN_QUEUE_H

#include "store/column.h"

/* base >= 0: train it. Otherwise make the unlearned model unless held, then the trial
 * (-1: only the model). */
typedef struct {
    int32_t base, unlearned, trial;
} pal_job_t;

typedef struct pal_queue pal_queue_t;

/* Nothing is left to do at first. The plan is borrowed. */
PAL_MUST_CHECK
int pal_queue_create(const pal_plan_t *plan, int32_t ranks, pal_queue_t **out,
                     pal_error_t *err);
void pal_queue_destroy(pal_queue_t *queue);

/* This row of /base, /unlearned or /trials is to be computed. */
void pal_queue_add(pal_queue_t *queue, pal_table_t table, int32_t row);

/* The weights of a base can be read. Call it for those in the cache before start(),
 * later whenever one is trained. */
void pal_queue_base_ready(pal_queue_t *queue, int32_t base);

/* After all rows are added: bases without weights that something needs become work. */
void pal_queue_start(pal_queue_t *queue);

/* The next job of a rank, longest first; 0 if there is none for it now. busy: it has a
 * job running and asks ahead; then it gets none when there is hardly enough for all. */
int pal_queue_next(pal_queue_t *queue, int32_t rank, int busy, pal_job_t *job);

/* The row needs nothing more, however it ended. No effect on one that is not open. */
void pal_queue_close(pal_queue_t *queue, pal_table_t table, int32_t row);

/* A rank will not finish this job. No effect if its row is closed. */
void pal_queue_return(pal_queue_t *queue, const pal_job_t *job);

/* A rank cannot make this row of /base or /unlearned, which another could: it gets no
 * job that takes it, unless every rank that is there has said so. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_queue_refuse(pal_queue_t *queue, int32_t rank, pal_table_t table, int32_t row,
                     pal_error_t *err);
/* 0 if every rank that is there has refused what this job takes. */
int pal_queue_able(const pal_queue_t *queue, const pal_job_t *job);

/* A rank is gone, until it asks for a job: it holds no model any more. */
void pal_queue_forget(pal_queue_t *queue, int32_t rank);

/* Rows still open, and the expected FLOPs to close them. */
int32_t pal_queue_left(const pal_queue_t *queue);
double pal_queue_flops(const pal_queue_t *queue);

#endif
