#include "sweep/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/threads.h"
#include "sweep/compute.h"

enum { NONE = -1 };

typedef struct {
    pal_store_t *store;
    pal_config_t config;
    pal_plan_t plan;
    void *lab;                   /* of pal_compute_train */
    int32_t base, unlearned;     /* rows of the models held; NONE */
    pal_model_result_t model;    /* of the unlearned model held */
    uint8_t *bits, *bits_before; /* forget_bytes or fold_bytes */
    uint8_t *stored, *computed;  /* records */
    pal_verify_say_t say;
    void *ctx;
    pal_verify_t *result;
} verifier_t;

static int open_all(verifier_t *v, const char *path, pal_error_t *err)
{
    const char *text;
    char key[PAL_KEY_TEXT];
    int rc = pal_store_view(path, &v->store, err);

    if (rc == PAL_OK)
        rc = pal_store_check_rows(v->store, err);
    if (rc != PAL_OK)
        return rc;
    text = pal_store_attribute(v->store, "config");
    rc = pal_config_parse(path, text, strlen(text), &v->config, err);
    if (rc == PAL_OK)
        rc = pal_plan_create(&v->config, &v->plan, err);
    if (rc != PAL_OK)
        return rc;
    pal_key_text(v->plan.key, key);
    if (strcmp(key, pal_store_attribute(v->store, "plan")) != 0)
        return PAL_REJECT(err,
                          "%s: its config now gives another plan than when it was "
                          "made; the facts file or the program has changed",
                          path);
    v->bits = malloc((size_t)(v->plan.forget_bytes + v->plan.fold_bytes));
    v->bits_before = malloc((size_t)v->plan.fold_bytes + 1);
    v->stored = malloc(pal_record_most(&v->plan));
    v->computed = malloc(pal_record_most(&v->plan));
    if (!v->bits || !v->bits_before || !v->stored || !v->computed)
        return PAL_FAIL(err, PAL_ENOMEM, "records of %s", path);
    return pal_compute_train.create(&v->plan, NULL, NULL, &v->lab, err);
}

static void close_all(verifier_t *v)
{
    pal_compute_train.destroy(v->lab);
    pal_plan_free(&v->plan);
    pal_config_free(&v->config);
    pal_store_close(v->store);
    free(v->bits);
    free(v->bits_before);
    free(v->stored);
    free(v->computed);
}

/* Name of the first column in which the two records differ, or NULL. */
static const char *first_difference(const verifier_t *v, pal_table_t table)
{
    size_t at = 0;

    for (int i = 0; i < pal_column_count(); i++) {
        const pal_column_t *column = pal_column_at(i);
        size_t n;

        if (!pal_column_in_record(column, table))
            continue;
        n = (size_t)pal_column_width(column, &v->plan) *
            pal_storage_size(column->storage);
        if (memcmp(v->stored + at, v->computed + at, n) != 0)
            return column->name;
        at += n;
    }
    return NULL;
}

static int compare(verifier_t *v, pal_table_t table, int32_t row, const char *what,
                   const pal_outcome_t *outcome, pal_error_t *err)
{
    const char *column;
    char text[256];
    int rc = pal_store_read(v->store, table, row, v->stored, err);

    if (rc != PAL_OK)
        return rc;
    pal_record_pack(&v->plan, table, outcome, v->computed);
    column = first_difference(v, table);
    snprintf(text, sizeof text, "%s, row %d: %s%s", what, (int)row,
             column ? column : "the same", column ? " differs" : "");
    v->say(v->ctx, text);
    v->result->rows++;
    v->result->different += column != NULL;
    return PAL_OK;
}

static int hold_base(verifier_t *v, int32_t row, pal_error_t *err)
{
    pal_model_result_t result = {.bits = v->bits};
    pal_outcome_t outcome = {.model = &result};
    int rc;

    if (v->base == row)
        return PAL_OK;
    v->base = v->unlearned = NONE;
    memset(v->bits, 0, (size_t)v->plan.forget_bytes);
    rc = pal_compute_train.base(v->lab, row, &result, err);
    if (rc != PAL_OK)
        return rc;
    v->base = row;
    return compare(v, PAL_TABLE_BASE, row, "base model", &outcome, err);
}

static int hold_unlearned(verifier_t *v, int32_t row, pal_error_t *err)
{
    pal_outcome_t outcome = {.model = &v->model};
    int rc;

    if (v->unlearned == row)
        return PAL_OK;
    rc = hold_base(v, v->plan.unlearned[row].base, err);
    if (rc != PAL_OK)
        return rc;
    v->unlearned = NONE;
    v->model = (pal_model_result_t){.bits = v->bits};
    memset(v->bits, 0, (size_t)v->plan.forget_bytes);
    rc = pal_compute_train.unlearn(v->lab, row, &v->model, err);
    if (rc != PAL_OK)
        return rc;
    v->unlearned = row;
    return compare(v, PAL_TABLE_UNLEARNED, row, "unlearned model", &outcome, err);
}

static int verify_trial(verifier_t *v, int32_t row, pal_error_t *err)
{
    pal_trial_result_t result = {.bits = v->bits, .bits_before = v->bits_before};
    pal_outcome_t outcome = {.model = &v->model, .trial = &result};
    int rc = hold_unlearned(v, v->plan.trials[row].unlearned, err);

    if (rc != PAL_OK)
        return rc;
    memset(v->bits, 0, (size_t)v->plan.fold_bytes);
    memset(v->bits_before, 0, (size_t)v->plan.fold_bytes);
    rc = pal_compute_train.trial(v->lab, row, &result, err);
    if (rc != PAL_OK)
        return rc;
    return compare(v, PAL_TABLE_TRIALS, row, "trial", &outcome, err);
}

static int by_row(const void *a, const void *b)
{
    return (*(const int32_t *)a > *(const int32_t *)b) -
           (*(const int32_t *)a < *(const int32_t *)b);
}

/* Rows of done trials, `most` of them chosen at random, in order: trials of one model
 * stay together and it is made once. */
static int32_t choose(const verifier_t *v, int32_t most, int64_t seed,
                      const double *state, int32_t *rows)
{
    int32_t done = 0;
    char name[64];
    pal_rng_t rng;

    for (int32_t i = 0; i < v->plan.trial_count; i++)
        if (state[i] == PAL_ROW_DONE)
            rows[done++] = i;
    snprintf(name, sizeof name, "verify %lld", (long long)seed);
    pal_rng_init(&rng, v->plan.key, name);
    pal_rng_shuffle(&rng, rows, done);
    if (done > most)
        done = most;
    qsort(rows, (size_t)done, sizeof *rows, by_row);
    return done;
}

static int verify_all(verifier_t *v, const char *path, int32_t most, int64_t seed,
                      pal_error_t *err)
{
    size_t count = (size_t)v->plan.trial_count;
    double *state = malloc(count * sizeof *state);
    int32_t *rows = malloc(count * sizeof *rows), n;
    int rc = PAL_OK;

    if (!state || !rows) {
        rc = PAL_FAIL(err, PAL_ENOMEM, "%zu trials", count);
        goto out;
    }
    rc = pal_store_numbers(v->store, PAL_TABLE_TRIALS, "state", state, err);
    if (rc != PAL_OK)
        goto out;
    n = choose(v, most, seed, state, rows);
    if (n == 0)
        rc = PAL_REJECT(err, "%s: no trial is done yet", path);
    for (int32_t i = 0; i < n && rc == PAL_OK; i++)
        rc = verify_trial(v, rows[i], err);
out:
    free(state);
    free(rows);
    return rc;
}

int pal_verify(const char *path, int32_t trials, int64_t seed, pal_verify_say_t say,
               void *ctx, pal_verify_t *result, pal_error_t *err)
{
    verifier_t v = {
        .base = NONE, .unlearned = NONE, .say = say, .ctx = ctx, .result = result};
    int rc;

    *result = (pal_verify_t){0};
    pal_threads_set(1);
    rc = open_all(&v, path, err);
    if (rc == PAL_OK)
        rc = verify_all(&v, path, trials, seed, err);
    close_all(&v);
    return rc;
}
