#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/cli.h"
#include "sweep/sweep.h"

enum { OUTPUT, THREADS, LEASE, UNBOUND, QUIET };

static const pal_option_t options[] = {
    {"output", 'o', "FILE", "results file (default: results/<sweep>.h5)"},
    {"threads", 't', "N", "threads of each rank (default: 1); give it as many cores"},
    {"lease", 0, "SECONDS", "a rank this long silent counts as lost (default: 30)"},
    {"unbound", 0, NULL, "leave threads on the cores they were given"},
    {"quiet", 'q', NULL, "no progress, only warnings"},
    {NULL, 0, NULL, NULL},
};

/* MPI is not running yet, so the launcher's variables tell the ranks apart: one of them
 * says what is wrong with the command line. */
static int is_first_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                        "SLURM_PROCID"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return strcmp(getenv(names[i]), "0") == 0;
    return 1;
}

static int run(const char *const operands[], const char *const values[])
{
    pal_sweep_options_t sweep = {.config = operands[0],
                                 .output = values[OUTPUT],
                                 .unbound = values[UNBOUND] != NULL,
                                 .quiet = values[QUIET] != NULL};
    pal_error_t err = {""};
    double threads = 1;
    int rc = PAL_OK;

    if (values[THREADS])
        rc = pal_cli_count("threads", values[THREADS], 1, 1024, &threads, &err);
    sweep.threads = (int)threads;
    if (rc == PAL_OK && values[LEASE])
        rc = pal_cli_count("lease", values[LEASE], 1, 86400, &sweep.lease, &err);
    if (rc != PAL_OK) {
        if (!is_first_rank())
            err.text[0] = 0;
        return pal_cli_fail(rc, &err);
    }
    rc = pal_sweep_run(&sweep, &err);
    return rc == PAL_OK ? PAL_EXIT_DONE : pal_cli_fail(rc, &err);
}

const pal_command_t pal_cmd_run = {
    .command = "run",
    .operands = "CONFIG",
    .least = 1,
    .most = 1,
    .summary = "Run the sweep of a config, or go on with it",
    .text = "mpirun -n N palimpsest run CONFIG uses N processes; without mpirun it is "
            "one.\n"
            "Small models fill the cores best with a rank each; where width >= 512 or "
            "memory is\n"
            "short, fewer ranks with --threads. Rows have the same bits either way.\n"
            "Interrupted or killed at any time, the same command goes on from the rows "
            "that\n"
            "the results file has. Base models are kept in cache/ beside that file.\n",
    .options = options,
    .run = run,
};
