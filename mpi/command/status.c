#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command/cli.h"
#include "plan/cost.h"
#include "store/store.h"

enum { JSON };

static const pal_option_t options[] = {
    {"json", 0, NULL, "print one JSON object"},
    {NULL, 0, NULL, NULL},
};

enum { STATES = 4, REASONS = 3 };
static const pal_table_t tables[] = {PAL_TABLE_TRIALS, PAL_TABLE_UNLEARNED,
                                     PAL_TABLE_BASE};
static const pal_table_t runs[] = {PAL_TABLE_RUN_TRIALS, PAL_TABLE_RUN_UNLEARNED,
                                   PAL_TABLE_RUN_BASE};
static const char *const titles[] = {"trials", "unlearned models", "base models"};
static const char *const keys[] = {"trials", "unlearned", "base"};
static const char *const states[STATES] = {"pending", "done", "failed", "diverged"};
enum { TABLES = sizeof tables / sizeof *tables };

typedef struct {
    const char *path, *sweep;
    int32_t counts[TABLES][STATES], rows[TABLES];
    double started,
        finished; /* Unix time of the last session; NaN: none, or not ended */
    int32_t ranks;
    double left;                  /* s until the end on as many ranks; NaN: unknown */
    const char *reasons[REASONS]; /* why trials failed, without repetition */
    int32_t reason_count;
    pal_arena_t arena;
} status_t;

/* --- Reading --- */

/* A whole column of one number a row, malloc'ed. */
static int read_column(const pal_store_t *store, pal_table_t table, const char *name,
                       double **values, pal_error_t *err)
{
    *values = malloc(((size_t)pal_store_rows(store, table) + 1) * sizeof **values);
    if (!*values)
        return PAL_FAIL(err, PAL_ENOMEM, "column %s", name);
    return pal_store_numbers(store, table, name, *values, err);
}

static int count_states(const pal_store_t *store, int t, status_t *status,
                        pal_error_t *err)
{
    double *values = NULL;
    int rc = read_column(store, tables[t], "state", &values, err);

    status->rows[t] = pal_store_rows(store, tables[t]);
    for (int32_t i = 0; rc == PAL_OK && i < status->rows[t]; i++) {
        if (values[i] >= 0 && values[i] < STATES)
            status->counts[t][(int)values[i]]++;
        else
            rc = PAL_REJECT(err, "%s: row %d of %s has the state %g", status->path, i,
                            keys[t], values[i]);
    }
    free(values);
    return rc;
}

/* The session that started last. */
static int read_session(const pal_store_t *store, status_t *status, pal_error_t *err)
{
    int32_t rows = pal_store_rows(store, PAL_TABLE_SESSIONS);
    double *started = NULL, *finished = NULL, *ranks = NULL;
    int rc = read_column(store, PAL_TABLE_SESSIONS, "started", &started, err);

    status->started = status->finished = NAN;
    if (rc == PAL_OK)
        rc = read_column(store, PAL_TABLE_SESSIONS, "finished", &finished, err);
    if (rc == PAL_OK)
        rc = read_column(store, PAL_TABLE_SESSIONS, "ranks", &ranks, err);
    for (int32_t i = 0; rc == PAL_OK && i < rows; i++) {
        if (!(started[i] > 0) || started[i] <= status->started)
            continue;
        status->started = started[i];
        status->finished = finished[i] > 0 ? finished[i] : NAN;
        status->ranks = (int32_t)ranks[i];
    }
    free(started);
    free(finished);
    free(ranks);
    return rc;
}

static int read_reasons(const pal_store_t *store, status_t *status, pal_error_t *err)
{
    const char *const *texts;
    int rc;

    if (status->counts[0][PAL_ROW_FAILED] == 0)
        return PAL_OK;
    rc = pal_store_texts(store, PAL_TABLE_TRIALS, "error", &status->arena, &texts, err);
    for (int32_t i = 0; rc == PAL_OK && i < status->rows[0]; i++) {
        int32_t j = 0;

        while (j < status->reason_count && strcmp(status->reasons[j], texts[i]) != 0)
            j++;
        if (texts[i][0] && j == status->reason_count && j < REASONS)
            status->reasons[status->reason_count++] = texts[i];
    }
    return rc;
}

/* --- Time to go --- */

/* The plan of the file's config. PAL_ENOENT: not here, because a facts file lies
 * elsewhere, or the config or the program has another one by now. */
static int plan_again(const status_t *status, const pal_store_t *store,
                      pal_config_t *config, pal_plan_t *plan)
{
    const char *text = pal_store_attribute(store, "config");
    char key[PAL_KEY_TEXT];

    if (pal_config_parse(status->path, text, strlen(text), config, NULL) != PAL_OK ||
        pal_plan_create(config, plan, NULL) != PAL_OK)
        return PAL_ENOENT;
    pal_key_text(plan->key, key);
    return strcmp(key, pal_store_attribute(store, "plan")) == 0 ? PAL_OK : PAL_ENOENT;
}

static double flops_of(const pal_plan_t *plan, pal_table_t table, int32_t row)
{
    if (table == PAL_TABLE_BASE)
        return plan->bases[row].flops;
    return table == PAL_TABLE_UNLEARNED ? plan->unlearned[row].flops
                                        : plan->trials[row].flops;
}

/* FLOP/s of a rank in all stages so far; NaN if there are none. */
static int measure_pace(const pal_store_t *store, const status_t *status,
                        const pal_plan_t *plan, double *pace, pal_error_t *err)
{
    double flops = 0, sum = 0;
    int rc = PAL_OK;

    for (int t = 0; rc == PAL_OK && t < TABLES; t++) {
        double *seconds = NULL;

        rc = read_column(store, runs[t], "seconds", &seconds, err);
        for (int32_t i = 0; rc == PAL_OK && i < status->rows[t]; i++)
            if (seconds[i] > 0) {
                sum += seconds[i];
                flops += flops_of(plan, tables[t], i);
            }
        free(seconds);
    }
    *pace = sum > 0 ? flops / sum : NAN;
    return rc;
}

/* Rows that failed wait for the next run. */
static int mark_failed(const pal_store_t *store, const status_t *status,
                       pal_done_t *done, pal_error_t *err)
{
    int rc = PAL_OK;

    for (int t = 0; rc == PAL_OK && t < TABLES; t++) {
        double *values = NULL;

        rc = read_column(store, tables[t], "state", &values, err);
        for (int32_t i = 0; rc == PAL_OK && i < status->rows[t]; i++)
            done->rows[tables[t]][i] |= values[i] == PAL_ROW_FAILED;
        free(values);
    }
    return rc;
}

/* The queue played through at one pace. */
static int play(const pal_store_t *store, status_t *status, const pal_plan_t *plan,
                double pace, pal_error_t *err)
{
    double *rates = malloc((size_t)plan->base_count * sizeof *rates);
    pal_done_t done = {0};
    int rc = rates ? pal_done_read(status->path, plan, &done, err)
                   : PAL_FAIL(err, PAL_ENOMEM, "%d base models", plan->base_count);

    if (rc == PAL_OK)
        rc = mark_failed(store, status, &done, err);
    for (int32_t i = 0; rc == PAL_OK && i < plan->base_count; i++) {
        rates[i] = pace;
        done.weights[i] = 1; /* if its row is done */
    }
    if (rc == PAL_OK)
        rc = pal_cost_makespan(plan, &done, rates, status->ranks, &status->left, err);
    pal_done_free(&done);
    free(rates);
    return rc;
}

static int estimate_left(const pal_store_t *store, status_t *status, pal_error_t *err)
{
    pal_config_t config = {0};
    pal_plan_t plan = {0};
    double pace = NAN;
    int rc = PAL_OK;

    status->left = NAN;
    if (status->ranks > 0 && plan_again(status, store, &config, &plan) == PAL_OK)
        rc = measure_pace(store, status, &plan, &pace, err);
    if (rc == PAL_OK && !isnan(pace))
        rc = play(store, status, &plan, pace, err);
    pal_plan_free(&plan);
    pal_config_free(&config);
    return rc;
}

static int read_status(const pal_store_t *store, status_t *status, pal_error_t *err)
{
    int rc = PAL_OK;

    status->sweep = pal_store_attribute(store, "sweep");
    for (int t = 0; rc == PAL_OK && t < TABLES; t++)
        rc = count_states(store, t, status, err);
    if (rc == PAL_OK)
        rc = read_session(store, status, err);
    if (rc == PAL_OK)
        rc = estimate_left(store, status, err);
    return rc == PAL_OK ? read_reasons(store, status, err) : rc;
}

/* --- Printing --- */

static void print_date(const char *before, double unix_time)
{
    time_t seconds = (time_t)unix_time;
    struct tm local;
    char text[64] = "?";

    if (localtime_r(&seconds, &local))
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
    printf("%s%s", before, text);
}

static void print_session(const status_t *status)
{
    const char *plural = status->ranks == 1 ? "" : "s";
    char text[64];

    if (!isnan(status->started)) {
        print_date("last session: from ", status->started);
        if (!isnan(status->finished))
            print_date(" to ", status->finished);
        printf(" on %d rank%s%s\n", status->ranks, plural,
               isnan(status->finished) ? ", not ended: it runs, or was killed" : "");
    }
    if (status->counts[0][PAL_ROW_PENDING] > 0 && !isnan(status->left)) {
        pal_cli_time(status->left, text, sizeof text);
        printf("to go: %s on %d rank%s\n", text, status->ranks, plural);
    }
}

static void print_status(const status_t *status)
{
    printf("%s: %s\n%18s %9s %9s %9s %9s %9s\n", status->sweep, status->path, "",
           "done", "diverged", "failed", "pending", "rows");
    for (int t = TABLES - 1; t >= 0; t--)
        printf("%-18s %9d %9d %9d %9d %9d\n", titles[t],
               status->counts[t][PAL_ROW_DONE], status->counts[t][PAL_ROW_DIVERGED],
               status->counts[t][PAL_ROW_FAILED], status->counts[t][PAL_ROW_PENDING],
               status->rows[t]);
    print_session(status);
    for (int32_t i = 0; i < status->reason_count; i++)
        printf("failed: %s\n", status->reasons[i]);
}

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static int print_json(const status_t *status, pal_error_t *err)
{
    json_t *root =
        json_pack("{s:s, s:s}", "sweep", status->sweep, "file", status->path);
    int failed = !root;

    for (int t = 0; !failed && t < TABLES; t++) {
        json_t *table = json_object();

        for (int s = 0; !failed && s < STATES; s++)
            failed |= json_object_set_new(table, states[s],
                                          json_integer(status->counts[t][s])) != 0;
        failed |=
            json_object_set_new(table, "rows", json_integer(status->rows[t])) != 0;
        failed |= json_object_set_new(root, keys[t], table) != 0;
    }
    failed =
        failed ||
        json_object_set_new(root, "started", number_or_null(status->started)) != 0 ||
        json_object_set_new(root, "finished", number_or_null(status->finished)) != 0 ||
        json_object_set_new(root, "ranks", json_integer(status->ranks)) != 0 ||
        json_object_set_new(root, "left_s", number_or_null(status->left)) != 0 ||
        json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0;
    putchar('\n');
    json_decref(root);
    return failed ? PAL_FAIL(err, PAL_EIO, "status of %s as JSON", status->path)
                  : PAL_OK;
}

static int run(const char *const operands[], const char *const values[])
{
    status_t status = {.path = operands[0]};
    pal_store_t *store = NULL;
    pal_error_t err = {""};
    int rc = pal_store_view(operands[0], &store, &err);

    if (rc == PAL_OK)
        rc = pal_store_check_rows(store, &err);
    if (rc == PAL_OK)
        rc = read_status(store, &status, &err);
    if (rc == PAL_OK && values[JSON])
        rc = print_json(&status, &err);
    else if (rc == PAL_OK)
        print_status(&status);
    pal_arena_free(&status.arena);
    pal_store_close(store);
    return rc == PAL_OK ? pal_cli_flush() : pal_cli_fail(rc, &err);
}

const pal_command_t pal_cmd_status = {
    .command = "status",
    .operands = "FILE",
    .least = 1,
    .most = 1,
    .summary = "Say how far a sweep is, from its results file",
    .text =
        "May be asked at any time and from anywhere that sees the file. A row is "
        "done,\n"
        "diverged (a result too), failed (tried again by the next run) or pending.\n",
    .options = options,
    .run = run,
};
