/* done.h -- which rows of a plan its results file has already. */
#ifndef PAL_MPI_PLAN_DONE_H
#define PAL_MPI_PLAN_DONE_H

#include "store/column.h"

/* Zero-initialise or read. */
typedef struct {
    uint8_t *rows[PAL_TABLES]; /* of /base, /unlearned, /trials: 1 needs nothing more */
    uint8_t *weights; /* per base: 1 if they can be read. All 0; the caller knows. */
    int32_t trials;   /* that are done */
    int32_t left;     /* rows of all three that are not */
    pal_arena_t arena;
} pal_done_t;

/* Find the plan's rows in the file by key. Done and diverged rows count if they are
 * whole; others, and failed ones, are computed again. Nothing is done if there is no
 * such file. PAL_EINVAL: not a results file, or one with finished rows that the plan
 * does not have, which `run` refuses too. On failure *done is zeroed. */
PAL_MUST_CHECK
int pal_done_read(const char *path, const pal_plan_t *plan, pal_done_t *done,
                  pal_error_t *err);
void pal_done_free(pal_done_t *done);

#endif
