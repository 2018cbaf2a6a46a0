/* rows.h -- the columns a summary reads, grouped into cells. For summary.c. */
#ifndef PAL_MPI_SUMMARY_ROWS_H
#define PAL_MPI_SUMMARY_ROWS_H

#include "store/store.h"

/* Columns of /trials and what they point at; in the arena. */
typedef struct {
    int32_t count, worlds, bases, models;
    double *state, *world, *base, *unlearned, *seed, *taught, *coefficient, *unlearn_lr,
        *unlearn_steps, *role, *attack_lr, *attack_steps, *holdout, *retain_before,
        *dev_after, *v_after_max, *retain_after, *chosen_step;
    const char *const *model, *const *method, *const *setting, *const *attack_setting;
    const char *const *base_setting; /* of /base */
    double *steps_done;              /* of /unlearned */
    int32_t bases_done, models_done;
    uint8_t *bits, *bits_before; /* [count, bytes] */
    int32_t bytes;
    /* Folds of the forget facts of world w: fold[first_fact[w]] ..
     * fold[first_fact[w+1]-1] */
    int32_t *fold, *first_fact;
    double *seeds; /* the distinct seeds, ascending */
    int32_t seed_count;
} pal_rows_t;

/* The trial that counts of those with the same cell, seed and held-out fold. */
typedef struct {
    int32_t row;
    int32_t seed; /* index into seeds */
    double v_max; /* the best v_after_max of them */
} pal_chosen_t;

/* Rows that are one cell. */
typedef struct {
    int32_t first;        /* its first row in the file */
    const char *attack;   /* attack_setting without lr and holdout */
    pal_chosen_t *chosen; /* by seed and holdout, ascending */
    int32_t chosen_count;
    int32_t trials[4];                  /* by pal_state_t */
    double smallest_rate, largest_rate; /* of the attack in them, done or not */
} pal_group_t;

/* Read the columns. PAL_EINVAL: they contradict each other, or a row has a wrong
 * checksum. */
PAL_MUST_CHECK
int pal_rows_read(const pal_store_t *store, pal_arena_t *arena, pal_rows_t *rows,
                  pal_error_t *err);

/* Group rows into cells, in the order of their first rows, and choose. */
PAL_MUST_CHECK
int pal_rows_group(const pal_rows_t *rows, pal_arena_t *arena, pal_group_t **groups,
                   int32_t *count, pal_error_t *err);

#endif
