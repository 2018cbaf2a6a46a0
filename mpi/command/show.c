#include <stdio.h>

#include "command/cli.h"
#include "summary/summary.h"

static const pal_option_t options[] = {
    {"json", 0, NULL, "print everything as one JSON object"},
    {NULL, 0, NULL, NULL},
};

static int run(const char *const operands[], const char *const values[])
{
    pal_store_t *store = NULL;
    pal_summary_t summary = {0};
    pal_error_t err = {""};
    int rc = pal_store_view(operands[0], &store, &err);

    if (rc == PAL_OK)
        rc = pal_summary_create(store, &summary, &err);
    if (rc == PAL_OK)
        rc = values[0] ? pal_summary_json(&summary, stdout, &err)
                       : pal_summary_print(&summary, stdout, &err);
    pal_summary_free(&summary);
    pal_store_close(store);
    return rc == PAL_OK ? pal_cli_flush() : pal_cli_fail(rc, &err);
}

const pal_command_t pal_cmd_show = {
    .command = "show",
    .operands = "FILE",
    .least = 1,
    .most = 1,
    .summary = "Print the table of a results file, finished or not",
    .text =
        "Per method and coefficient: accuracy on V and on the retain facts before the\n"
        "attack, on V after it, corrected recovery and the paper's, with 95 % "
        "intervals.\n"
        "Marks: ! damaged, ~ not all trials done, x some diverged, < unlearning ended\n"
        "by its retain budget, ^ attack still gaining at the end of its rates or "
        "steps,\n"
        "? no interval.\n",
    .options = options,
    .run = run,
};
