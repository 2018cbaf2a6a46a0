/* summary.h -- from rows to what a sweep says: the table behind `palimpsest show FILE`.
 *
 * A cell is what shares everything but seed, held-out fold and the attack's learning
 * rate. In each (seed, held-out fold) the trial whose learning rate is best on the dev
 * fold counts (the smaller rate of equals). Only rows that are done count, so that a
 * running sweep can be read. analysis/results.py computes the same.
 */
#ifndef PAL_MPI_SUMMARY_SUMMARY_H
#define PAL_MPI_SUMMARY_SUMMARY_H

#include <stdio.h>

#include "eval/recovery.h"
#include "store/store.h"

enum { PAL_STATES = 4 };

/* Below it a model is damaged: it must not count as robust. One damaged seed damages
 * its cell, for it lowers V after the attack as well. */
#define PAL_SMALLEST_RETAIN 0.9

/* What the attacker chose in the repetitions of a cell, its (seed, held-out fold)s. An
 * attack that was still gaining at the end of its rates or steps may get further with a
 * longer list. */
typedef struct {
    int32_t repetitions;
    double smallest_rate, largest_rate; /* equal: there is nothing to choose */
    double rate;             /* chosen most often, the smaller of equals; NaN: none */
    int32_t rate_at_end;     /* repetitions with the smallest or largest of several */
    int32_t rate_at_largest; /* those of them with the largest */
    int32_t point_at_end;    /* repetitions that stopped at the last point */
    int32_t gaining; /* with the largest rate of several, or at the last point, and the
                        dev fold not all right: then no longer list is chosen from */
} pal_tuning_t;

typedef struct {
    int32_t world; /* row of /worlds */
    const char *model, *method;
    double taught, coefficient, unlearn_lr; /* coefficient is NaN for a control */
    int64_t unlearn_steps;
    pal_method_role_t role;
    const char *base_setting; /* world, model and pretraining */
    const char *setting;      /* the same, and unlearning */
    const char *attack;       /* the attack's setting without lr and holdout */
    const char *section;      /* what differs from other sections; "" if there is one */
    const char *variant;  /* what differs, beside the coefficient, within a method */
    const char *constant; /* what does not differ, and is not the default */
    int32_t trials[PAL_STATES]; /* by pal_state_t */
    int32_t floor, ceiling;     /* cells; -1: none */
    int32_t damaged; /* 1: a seed's retain before the attack < PAL_SMALLEST_RETAIN */
    int32_t ended_early; /* runs of unlearning that the budget ended */
    pal_tuning_t tuning;
    double mean_steps; /* of the runs that are done; NaN: none */
    pal_estimate_t v_before, v_after, retain_before,
        retain_after; /* retain: over seeds */
    pal_estimate_t
        v_after_max; /* point and learning rate chosen on V: the paper's way */
    pal_estimate_t corrected, paper; /* recoveries */
} pal_summary_cell_t;

typedef struct {
    const char *sweep;
    int32_t seeds;
    int32_t held_out; /* most forget facts that a world's trials hold out */
    int32_t trials[PAL_STATES];
    int32_t bases, bases_done, models, models_done; /* models: unlearned ones */
    pal_summary_cell_t *cells;                      /* in file order */
    int32_t count;
    pal_arena_t arena;
} pal_summary_t;

/* Build the cells from what the file holds now. PAL_EINVAL: columns that contradict
 * each other, or a row with a wrong checksum; PAL_EIO, PAL_ENOMEM. On failure *summary
 * is zeroed. */
PAL_MUST_CHECK
int pal_summary_create(const pal_store_t *store, pal_summary_t *summary,
                       pal_error_t *err);
void pal_summary_free(pal_summary_t *summary);

/* The table, at most 110 columns wide but for long settings; one line while no trial is
 * done. PAL_EIO, PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_summary_print(const pal_summary_t *summary, FILE *out, pal_error_t *err);

/* Everything as one JSON object; what does not exist is null. PAL_EIO, PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_summary_json(const pal_summary_t *summary, FILE *out, pal_error_t *err);

#endif
