#include <stdio.h>

#include "command/cli.h"
#include "sweep/verify.h"

enum { TRIALS, SEED };

static const pal_option_t options[] = {
    {"trials", 'n', "N", "how many trials to compute again (default: 3)"},
    {"seed", 0, "N", "choose others (default: 0)"},
    {NULL, 0, NULL, NULL},
};

static void say(void *ctx, const char *text)
{
    (void)ctx;
    puts(text);
    fflush(stdout);
}

static int run(const char *const operands[], const char *const values[])
{
    pal_verify_t result;
    pal_error_t err = {""};
    double trials = 3, seed = 0;
    int rc = PAL_OK;

    if (values[TRIALS])
        rc = pal_cli_count("trials", values[TRIALS], 1, 1e7, &trials, &err);
    if (rc == PAL_OK && values[SEED])
        rc = pal_cli_count("seed", values[SEED], 0, 1e15, &seed, &err);
    if (rc == PAL_OK)
        rc = pal_verify(operands[0], (int32_t)trials, (int64_t)seed, say, NULL, &result,
                        &err);
    if (rc != PAL_OK)
        return pal_cli_fail(rc, &err);
    printf("%d rows computed again, %d different\n", (int)result.rows,
           (int)result.different);
    rc = pal_cli_flush();
    return rc == PAL_EXIT_DONE && result.different ? PAL_EXIT_FAILED : rc;
}

const pal_command_t pal_cmd_verify = {
    .command = "verify",
    .operands = "FILE",
    .least = 1,
    .most = 1,
    .summary = "Compute random rows of a results file again and compare the bits",
    .text =
        "Checks every row's checksum first. Exit 0 if every row is the same, 1 if one\n"
        "differs. On another kind of processor, or with another OpenBLAS, the last "
        "bits\n"
        "may differ (attributes blas_core, cpu).\n",
    .options = options,
    .run = run,
};
