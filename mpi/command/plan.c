#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "command/cli.h"
#include "place.h"
#include "plan/cost.h"
#include "store/store.h"
#include "sweep/compute.h"
#include "sweep/paths.h"

enum { RANKS, THREADS, OUTPUT, LEFT };

enum { MOST_RANKS = 1024 }; /* that are thought of */

static const pal_option_t options[] = {
    {"ranks", 'n', "N", "processes to plan for (default: as many as have cores here)"},
    {"threads", 't', "N", "threads of each (default: 1); they help from width 512 on"},
    {"output", 'o', "FILE", "results file of the run (default: results/<sweep>.h5)"},
    {"left", 0, NULL, "print only how many trials that file lacks or has as failed"},
    {NULL, 0, NULL, NULL},
};

/* Of the run to be. */
typedef struct {
    const char *config, *output; /* output: NULL is the default */
    int count_only;
    pal_paths_t paths;
    int32_t done, left;           /* trials that the file has; rows it lacks */
    int32_t bases;                /* to train */
    int32_t useful, most;         /* ranks that help, of how many thought of */
    int32_t narrowest, widest;    /* of the models */
    double ranks, threads;        /* threads of each rank */
    double rate_least, rate_most; /* FLOP/s of a thread */
    double core_seconds, seconds, rank_bytes, file_bytes;
} forecast_t;

static int32_t usable_cores(void)
{
    pal_cores_t cores = {{0}};
    int32_t n;

    if (pal_place_usable(&cores, NULL) != PAL_OK)
        return 1;
    n = pal_place_count(&cores);
    return n > 0 ? n : 1;
}

/* As `run` would refuse it; without -o it makes the folder. */
static int check_output(const char *output, pal_error_t *err)
{
    char *target;
    int rc = output ? pal_file_target(output, &target, err) : PAL_OK;

    if (output && rc == PAL_OK)
        free(target);
    return rc;
}

/* What of the plan the results file and the cache beside it have. */
static int read_done(const pal_plan_t *plan, forecast_t *forecast, pal_done_t *done,
                     pal_error_t *err)
{
    pal_paths_t *paths = &forecast->paths;
    int rc = pal_paths_set(forecast->output, plan->name, paths, err);

    if (rc == PAL_OK)
        rc = check_output(forecast->output, err);
    if (rc == PAL_OK)
        rc = pal_done_read(paths->file, plan, done, err);
    for (int32_t i = 0; rc == PAL_OK && i < plan->base_count; i++)
        done->weights[i] = pal_compute_train.cached(plan, paths->cache, i) != 0;
    return rc;
}

static int32_t width_of(const pal_plan_t *plan, int32_t base)
{
    pal_shape_t shape = {0};

    return pal_preset_find(plan->bases[base].spec.model.size, &shape, NULL) == PAL_OK
               ? shape.width
               : 0;
}

/* Of a rank for every base. One thread is measured: several together would wait for
 * whatever else the machine does. */
static int measure(const pal_plan_t *plan, forecast_t *forecast, double *rates,
                   pal_error_t *err)
{
    int rc = pal_cost_rates(plan, rates, err);

    if (rc != PAL_OK)
        return rc;
    forecast->rate_least = forecast->rate_most = rates[0];
    for (int32_t i = 0; i < plan->base_count; i++) {
        forecast->rate_least = fmin(forecast->rate_least, rates[i]);
        forecast->rate_most = fmax(forecast->rate_most, rates[i]);
        rates[i] *= pal_cost_threads(width_of(plan, i), forecast->threads);
    }
    return PAL_OK;
}

static void note_widths(const pal_plan_t *plan, forecast_t *forecast)
{
    forecast->narrowest = forecast->widest = width_of(plan, 0);
    for (int32_t i = 1; i < plan->base_count; i++) {
        int32_t width = width_of(plan, i);

        if (width < forecast->narrowest)
            forecast->narrowest = width;
        if (width > forecast->widest)
            forecast->widest = width;
    }
}

static int count_useful(const pal_plan_t *plan, const pal_done_t *done,
                        const double *rates, forecast_t *forecast, pal_error_t *err)
{
    forecast->most = done->left < MOST_RANKS ? done->left : MOST_RANKS;
    for (int32_t i = 0; i < plan->base_count; i++)
        forecast->bases += !done->rows[PAL_TABLE_BASE][i];
    return pal_cost_useful(plan, done, rates, forecast->most, &forecast->useful, err);
}

static int foresee(pal_plan_t *plan, forecast_t *forecast, pal_error_t *err)
{
    double *rates = NULL;
    pal_done_t done = {0};
    int rc = read_done(plan, forecast, &done, err);

    forecast->done = done.trials;
    forecast->left = done.left;
    forecast->rank_bytes = pal_cost_memory(plan);
    forecast->file_bytes = pal_store_bytes(plan);
    if (rc != PAL_OK || done.left == 0 || forecast->count_only)
        goto out;
    rates = malloc((size_t)plan->base_count * sizeof *rates);
    rc = rates ? measure(plan, forecast, rates, err)
               : PAL_FAIL(err, PAL_ENOMEM, "%d base models", plan->base_count);
    if (rc == PAL_OK)
        rc = pal_cost_makespan(plan, &done, rates, 1, &forecast->core_seconds, err);
    if (rc == PAL_OK)
        rc = pal_cost_makespan(plan, &done, rates, (int32_t)forecast->ranks,
                               &forecast->seconds, err);
    if (rc == PAL_OK)
        rc = count_useful(plan, &done, rates, forecast, err);
    forecast->core_seconds *= forecast->threads;
    note_widths(plan, forecast);
out:
    free(rates);
    pal_done_free(&done);
    return rc;
}

static void print_sharing(const char *what, int32_t computed, int64_t asked)
{
    printf("%-18s %d computed for %lld trials, %lld saved\n", what, computed,
           (long long)asked, (long long)(asked - computed));
}

static void print_plan(const pal_plan_t *plan, const forecast_t *forecast)
{
    printf("sweep              %s (%s)\n", plan->name, forecast->config);
    for (int32_t i = 0; i < plan->world_count && i < 10; i++)
        printf("world              %d forget facts in %d folds, %d retain facts: %s\n",
               plan->worlds[i].ground.forget, plan->worlds[i].ground.world.folds,
               plan->worlds[i].ground.retain, plan->worlds[i].setting);
    if (plan->world_count > 10)
        printf("                   and %d more worlds\n", plan->world_count - 10);
    printf("trials             %d", plan->trial_count);
    if (plan->asked_trials > plan->trial_count)
        printf(" (%lld asked for, equal ones are one)", (long long)plan->asked_trials);
    printf("\ndistinct stages    %lld\n",
           (long long)plan->trial_count + plan->unlearned_count + plan->base_count);
    print_sharing("base models", plan->base_count, plan->asked_bases);
    print_sharing("unlearned models", plan->unlearned_count, plan->asked_unlearned);
    if (forecast->done > 0)
        printf("done               %d of %d trials in %s; %s\n", forecast->done,
               plan->trial_count, forecast->paths.file,
               forecast->left ? "what follows is for the rest" : "nothing to compute");
}

/* A word as a shell reads it. */
static void print_word(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789%+,-./:=@_";

    if (word[strspn(word, plain)] == 0) {
        printf(" %s", word);
        return;
    }
    printf(" '");
    for (; *word; word++)
        fputs(*word == '\'' ? "'\\''" : (char[]){*word, 0}, stdout);
    printf("'");
}

/* Only where every thread would have a core. */
static void print_here(const forecast_t *forecast)
{
    if (forecast->ranks * forecast->threads > usable_cores())
        return;
    printf("here               mpirun -n %.0f --bind-to none", forecast->ranks);
    print_word(pal_cli_program);
    printf(" run");
    print_word(forecast->config);
    if (forecast->threads > 1)
        printf(" --threads %.0f", forecast->threads);
    if (forecast->output) {
        printf(" -o");
        print_word(forecast->output);
    }
    printf("\n");
}

static void print_commands(const forecast_t *forecast)
{
    double hours = forecast->seconds / 3600 * 1.5,
           core_bytes = forecast->rank_bytes * 1.25 / forecast->threads;
    int minutes = (int)(hours < 2000 ? hours * 60 : 120000) + 5;

    printf("\n");
    print_here(forecast);
    printf("cluster            sbatch --ntasks=%.0f --cpus-per-task=%.0f "
           "--mem-per-cpu=%.0fM \\\n                   --time=%d:%02d:00 "
           "slurm/sweep.sbatch",
           forecast->ranks, forecast->threads, core_bytes / 1e6 + 1, minutes / 60,
           minutes % 60);
    print_word(forecast->config);
    print_word(forecast->paths.file);
    printf("\n");
}

static void print_useful(const forecast_t *forecast)
{
    printf("useful ranks       %d", forecast->useful);
    if (forecast->useful < forecast->most)
        printf(", for %.0f %% of the speed of %d", 100 * PAL_USEFUL_SPEED,
               forecast->most);
    else if (forecast->most == MOST_RANKS)
        printf(" and more");
    if (forecast->bases > 0 && forecast->bases < forecast->useful)
        printf("; %d while base models train", forecast->bases);
    printf("\n");
}

static void print_forecast(const forecast_t *forecast)
{
    char text[64];

    printf("core-hours         %.2g, at %.3g", forecast->core_seconds / 3600,
           forecast->rate_least / 1e9);
    if (forecast->rate_most > 1.01 * forecast->rate_least)
        printf(" to %.3g", forecast->rate_most / 1e9);
    printf(" GFLOP/s a core (measured here)\n");
    pal_cli_time(forecast->seconds, text, sizeof text);
    printf("expected time      %s on %.0f rank%s", text, forecast->ranks,
           forecast->ranks > 1 ? "s" : "");
    if (forecast->threads > 1)
        printf(" of %.0f threads", forecast->threads);
    printf("\n");
    print_useful(forecast);
    if (forecast->threads > 1 && forecast->narrowest < PAL_THREADED_WIDTH)
        printf("warning            threads hardly help models of width %d (below %d): "
               "%smore ranks instead\n",
               forecast->narrowest, PAL_THREADED_WIDTH,
               forecast->widest < PAL_THREADED_WIDTH ? ""
                                                     : "a sweep of their own with ");
    pal_cli_bytes(forecast->rank_bytes, text, sizeof text);
    printf("memory             %s a rank\n", text);
    pal_cli_bytes(forecast->file_bytes, text, sizeof text);
    printf("results file       %s (%s)\n", text, forecast->paths.file);
}

static int show_plan(forecast_t *forecast, pal_error_t *err)
{
    pal_config_t config = {0};
    pal_plan_t plan = {0};
    char *text = NULL;
    size_t length;
    int rc = pal_file_read(forecast->config, &text, &length, err);

    if (rc == PAL_OK)
        rc = pal_config_parse(forecast->config, text, length, &config, err);
    if (rc == PAL_OK)
        rc = pal_plan_create(&config, &plan, err);
    if (rc == PAL_OK)
        rc = foresee(&plan, forecast, err);
    if (rc == PAL_OK && forecast->count_only)
        printf("%d\n", plan.trial_count - forecast->done);
    else if (rc == PAL_OK)
        print_plan(&plan, forecast);
    if (rc == PAL_OK && forecast->left > 0 && !forecast->count_only) {
        print_forecast(forecast);
        print_commands(forecast);
    }
    pal_plan_free(&plan);
    pal_config_free(&config);
    free(text);
    return rc;
}

static int run(const char *const operands[], const char *const values[])
{
    forecast_t forecast = {.config = operands[0],
                           .output = values[OUTPUT],
                           .count_only = values[LEFT] != NULL};
    pal_error_t err = {""};
    int rc = PAL_OK;

    forecast.threads = 1;
    if (values[THREADS])
        rc = pal_cli_count("threads", values[THREADS], 1, PAL_MOST_CORES,
                           &forecast.threads, &err);
    forecast.ranks = floor(usable_cores() / forecast.threads);
    if (forecast.ranks < 1)
        forecast.ranks = 1;
    if (rc == PAL_OK && values[RANKS])
        rc = pal_cli_count("ranks", values[RANKS], 1, 100000, &forecast.ranks, &err);
    if (rc == PAL_OK)
        rc = show_plan(&forecast, &err);
    return rc == PAL_OK ? pal_cli_flush() : pal_cli_fail(rc, &err);
}

const pal_command_t pal_cmd_plan = {
    .command = "plan",
    .operands = "CONFIG",
    .least = 1,
    .most = 1,
    .summary = "Say what a config asks for, how long it takes and what it needs",
    .text =
        "Checks the config, counts trials and stages, measures this machine for a "
        "moment\n"
        "and expects the time to within a factor of two. What the results file has\n"
        "already is counted and left out of the times. Nothing is written.\n",
    .options = options,
    .run = run,
};
