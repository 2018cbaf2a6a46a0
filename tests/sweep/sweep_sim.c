/* sweep_sim.c -- a whole sweep without training: results follow from the keys, stages
 * take as long as told. For tests of what MPI, kills and rank counts do to a results
 * file.
 *
 *   sweep_sim FILE [config=PATH | seeds=N coefficients=N] [ms=N] [lease=S] [trouble=1]
 *             [quiet=1] [starve=TABLE] [cannot=TABLE [from=RANK] [times=N] [diverge=1]]
 *
 * config: a config file; otherwise a small plan of that size. ms: milliseconds a trial
 * takes. trouble: some models and trials fail or diverge. starve: no memory to send the
 * first row of that table. cannot: ranks from that one on (1) have no memory, the first
 * N times (always), to make models of that table, nor can they load bases then (with
 * diverge=1 they get infinite weights instead), or to begin (cannot=lab). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mpi.h>

#include "made_plan.h"
#include "made_result.h"
#include "sweep/sweep.h"
#include "sweep/transport.h"

static double trial_ms = 5;
static int trouble;
static const char *starve = "", *cannot = "";
static int rank, from = 1, times = 1 << 30, diverge;

/* Refuse the next letter of a thread (linked with --wrap=malloc). */
static _Thread_local int refuse;
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);

void *__wrap_malloc(size_t n)
{
    if (refuse && n > sizeof(pal_message_t)) {
        refuse = 0;
        return NULL;
    }
    return __real_malloc(n);
}

static int has_met(const char *what)
{
    return rank >= from && strcmp(cannot, what) == 0 && times > 0;
}

static int meet_limit(const char *what, pal_error_t *err)
{
    if (!has_met(what))
        return PAL_OK;
    times--;
    return PAL_FAIL(err, diverge ? PAL_EDIVERGE : PAL_ENOMEM, "made to be unable");
}

static void meet_hunger(pal_table_t table)
{
    static int met;

    refuse = !met && strcmp(starve, pal_table_path(table) + 1) == 0;
    met |= refuse;
}

typedef struct {
    pal_plan_t *plan;
    const char *cache;
    const atomic_int *stop;
    int32_t base, unlearned; /* held */
} sim_t;

static int sim_create(pal_plan_t *plan, const char *cache, const atomic_int *stop,
                      void **lab, pal_error_t *err)
{
    sim_t *sim;
    int rc = meet_limit("lab", err);

    if (rc != PAL_OK)
        return rc;
    sim = calloc(1, sizeof *sim);
    if (!sim)
        return PAL_FAIL(err, PAL_ENOMEM, "a lab");
    *sim = (sim_t){plan, cache, stop, -1, -1};
    *lab = sim;
    return PAL_OK;
}

static void sim_destroy(void *lab)
{
    free(lab);
}

static int take_time(const sim_t *sim, double ms, pal_error_t *err)
{
    for (double left = ms; left > 0; left -= 1) {
        double step = left < 1 ? left : 1;
        const struct timespec pause = {0, (long)(step * 1e6)};

        if (atomic_load(sim->stop))
            return PAL_FAIL(err, PAL_ESTOP, "stopped");
        nanosleep(&pause, NULL);
    }
    return PAL_OK;
}

/* One in `odds` keys has the trouble. */
static int troubled(pal_key_t key, const char *name, uint32_t odds)
{
    pal_rng_t rng;

    pal_rng_init(&rng, key, name);
    return trouble && pal_rng_below(&rng, odds) == 0;
}

static int meet_trouble(pal_key_t key, uint32_t odds, pal_error_t *err)
{
    if (troubled(key, "fails", odds))
        return PAL_FAIL(err, PAL_ENOMEM, "made to fail");
    if (troubled(key, "diverges", odds))
        return PAL_FAIL(err, PAL_EDIVERGE, "made to diverge");
    return PAL_OK;
}

static void cache_name(const pal_plan_t *plan, const char *cache, int32_t row,
                       char *name, size_t n)
{
    char key[PAL_KEY_TEXT];

    pal_key_text(plan->bases[row].key, key);
    snprintf(name, n, "%s/%s.sim", cache, key);
}

static int sim_base(void *lab, int32_t row, pal_model_result_t *result,
                    pal_error_t *err)
{
    sim_t *sim = lab;
    pal_key_t key = sim->plan->bases[row].key;
    char name[4096], temporary[4200];
    FILE *file;
    int rc = take_time(sim, 4 * trial_ms, err);

    if (rc == PAL_OK)
        rc = meet_limit("base", err);
    if (rc == PAL_OK)
        rc = meet_trouble(key, 6, err);
    if (rc != PAL_OK)
        return rc;
    made_model(sim->plan, key, result);
    cache_name(sim->plan, sim->cache, row, name, sizeof name);
    snprintf(temporary, sizeof temporary, "%s.%ld.tmp", name, (long)getpid());
    file = fopen(temporary, "wb");
    if (!file || fwrite(&key, sizeof key, 1, file) != 1 || fclose(file) != 0 ||
        rename(temporary, name) != 0)
        return PAL_FAIL(err, PAL_EIO, "cannot write %s", name);
    sim->base = row;
    meet_hunger(PAL_TABLE_BASE);
    return PAL_OK;
}

static int sim_load(void *lab, int32_t row, pal_error_t *err)
{
    sim_t *sim = lab;
    char name[4096];
    pal_key_t key;
    FILE *file;
    int good;

    cache_name(sim->plan, sim->cache, row, name, sizeof name);
    file = has_met("base") ? NULL : fopen(name, "rb");
    if (!file)
        return PAL_FAIL(err, PAL_ENOENT, "no %s", name);
    good = fread(&key, sizeof key, 1, file) == 1 &&
           pal_key_equal(key, sim->plan->bases[row].key);
    fclose(file);
    if (!good)
        return PAL_FAIL(err, PAL_EINVAL, "%s is damaged", name);
    sim->base = row;
    return PAL_OK;
}

static int sim_cached(const pal_plan_t *plan, const char *cache, int32_t row)
{
    char name[4096];

    cache_name(plan, cache, row, name, sizeof name);
    return access(name, R_OK) == 0;
}

static int sim_unlearn(void *lab, int32_t row, pal_model_result_t *result,
                       pal_error_t *err)
{
    sim_t *sim = lab;
    pal_key_t key = sim->plan->unlearned[row].key;
    int rc;

    if (sim->base != sim->plan->unlearned[row].base)
        return PAL_FAIL(err, PAL_EINVAL, "not the base of %d", row);
    rc = take_time(sim, 2 * trial_ms, err);
    if (rc == PAL_OK)
        rc = meet_limit("unlearned", err);
    if (rc == PAL_OK)
        rc = meet_trouble(key, 12, err);
    if (rc != PAL_OK)
        return rc;
    made_model(sim->plan, key, result);
    sim->unlearned = row;
    meet_hunger(PAL_TABLE_UNLEARNED);
    return PAL_OK;
}

static int sim_trial(void *lab, int32_t row, pal_trial_result_t *result,
                     pal_error_t *err)
{
    sim_t *sim = lab;
    pal_key_t key = sim->plan->trials[row].key;
    int rc;

    if (sim->unlearned != sim->plan->trials[row].unlearned)
        return PAL_FAIL(err, PAL_EINVAL, "not the model of %d", row);
    rc = take_time(sim, trial_ms, err);
    if (rc == PAL_OK)
        rc = meet_trouble(key, 20, err);
    if (rc == PAL_OK)
        made_trial(sim->plan, key, result);
    meet_hunger(PAL_TABLE_TRIALS);
    return rc;
}

static const pal_compute_t simulated = {sim_create, sim_destroy, sim_base, sim_load,
                                        sim_cached, sim_unlearn, sim_trial};

/* "[0, 1, 2]" */
static void print_list(char *text, size_t n, int count)
{
    size_t at = (size_t)snprintf(text, n, "[0");

    for (int i = 1; i < count; i++)
        at += (size_t)snprintf(text + at, n - at, ", %d", i);
    snprintf(text + at, n - at, "]");
}

typedef struct {
    pal_sweep_options_t sweep; /* its config: NULL for a small plan */
    int seeds, coefficients;   /* of the small plan */
} options_t;

static int take_options(int argc, char **argv, options_t *options, pal_error_t *err)
{
    for (int i = 2; i < argc; i++) {
        const char *value = strchr(argv[i], '=') ? strchr(argv[i], '=') + 1 : "";

        if (strncmp(argv[i], "config=", 7) == 0)
            options->sweep.config = value;
        else if (strncmp(argv[i], "seeds=", 6) == 0)
            options->seeds = atoi(value);
        else if (strncmp(argv[i], "coefficients=", 13) == 0)
            options->coefficients = atoi(value);
        else if (strncmp(argv[i], "ms=", 3) == 0)
            trial_ms = atof(value);
        else if (strncmp(argv[i], "lease=", 6) == 0)
            options->sweep.lease = atof(value);
        else if (strncmp(argv[i], "trouble=", 8) == 0)
            trouble = atoi(value);
        else if (strncmp(argv[i], "starve=", 7) == 0)
            starve = value;
        else if (strncmp(argv[i], "cannot=", 7) == 0)
            cannot = value;
        else if (strncmp(argv[i], "from=", 5) == 0)
            from = atoi(value);
        else if (strncmp(argv[i], "times=", 6) == 0)
            times = atoi(value);
        else if (strncmp(argv[i], "diverge=", 8) == 0)
            diverge = atoi(value);
        else if (strncmp(argv[i], "quiet=", 6) == 0)
            options->sweep.quiet = atoi(value);
        else
            return PAL_REJECT(err, "unknown option %s", argv[i]);
    }
    return PAL_OK;
}

static int plan_small(const options_t *options, made_plan_t *made, pal_error_t *err)
{
    char seeds[256], coefficients[256];

    print_list(seeds, sizeof seeds, options->seeds);
    print_list(coefficients, sizeof coefficients, options->coefficients);
    return made_plan(made, seeds, coefficients, err);
}

static int plan_config(const char *path, made_plan_t *made, pal_error_t *err)
{
    char *text = NULL;
    size_t length;
    int rc = pal_file_read(path, &text, &length, err);

    if (rc == PAL_OK)
        rc = pal_config_parse(path, text, length, &made->config, err);
    if (rc == PAL_OK)
        rc = pal_plan_create(&made->config, &made->plan, err);
    free(text);
    return rc;
}

static int run(int argc, char **argv, pal_error_t *err)
{
    options_t options = {
        .sweep = {.output = argv[1], .unbound = 1}, .seeds = 2, .coefficients = 3};
    made_plan_t made = {0};
    int rc = take_options(argc, argv, &options, err);

    if (rc == PAL_OK)
        rc = options.sweep.config ? plan_config(options.sweep.config, &made, err)
                                  : plan_small(&options, &made, err);
    if (rc == PAL_OK)
        rc = pal_sweep_plan(&options.sweep, &made.plan, made.config.text, &simulated,
                            err);
    made_plan_free(&made);
    return rc;
}

int main(int argc, char **argv)
{
    pal_error_t err = {{0}};
    int level, rc;

    if (argc < 2)
        return 2;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    rc = run(argc, argv, &err);
    if (err.text[0])
        fprintf(stderr, "sweep_sim: %s\n", err.text);
    if (rc == PAL_OK || rc == PAL_SWEEP_FAILED_ROWS)
        MPI_Finalize(); /* else a rank may be gone */
    return rc >= 0 ? rc : rc == PAL_ESTOP ? 75 : rc == PAL_EINVAL ? 2 : 1;
}
