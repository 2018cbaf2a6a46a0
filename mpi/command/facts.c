#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command/cli.h"
#include "world/facts_file.h"

enum { OUTPUT };

static const pal_option_t options[] = {
    {"output", 'o', "FILE", "facts file to write (import-rtt)"},
    {NULL, 0, NULL, NULL},
};

/* --- check --- */

/* line 0: of the whole file. */
static void warn(void *path, int32_t line, const char *text)
{
    if (line > 0)
        printf("%s:%d: warning: %s\n", (const char *)path, line, text);
    else
        printf("%s: warning: %s\n", (const char *)path, text);
}

/* 0 if there is none; otherwise the exit code. */
static int print_flaws(const char *path)
{
    pal_arena_t arena = {0};
    pal_flaws_t flaws;
    pal_error_t err = {""};
    int rc = pal_facts_flaws(path, &arena, &flaws, &err);
    int code = rc == PAL_OK ? PAL_EXIT_DONE : pal_cli_fail(rc, &err);

    for (int32_t i = 0; rc == PAL_OK && i < flaws.count && i < PAL_FLAWS_MOST; i++)
        pal_cli_say("%s", flaws.texts[i]);
    if (rc == PAL_OK && flaws.count > 1)
        pal_cli_say("%s: %d flaws%s", path, flaws.count,
                    flaws.count > PAL_FLAWS_MOST ? "; the others are not shown" : "");
    if (rc == PAL_OK && flaws.count > 0)
        code = PAL_EXIT_INPUT;
    pal_arena_free(&arena);
    return code;
}

static const char *plural(int32_t n)
{
    return n == 1 ? "" : "s";
}

/* A parameter's default; of the world that reads facts files. */
static double preset(const char *key)
{
    const pal_world_kind_t *kind;

    return pal_world_find("facts", &kind, NULL) == PAL_OK
               ? pal_param_find(kind->params, key)->preset
               : NAN;
}

static void print_counts(const char *path, const pal_facts_report_t *report)
{
    printf("%s: %d fact%s, ", path, report->facts, plural(report->facts));
    if (report->open < report->forget || report->open == 0)
        printf("%d to forget, ", report->forget - report->open);
    if (report->open > 0)
        printf("%d without a role (the world's `retain`, by default %g of them, are "
               "retained), ",
               report->open, preset("retain"));
    else
        printf("%d to retain, ", report->retain);
    printf("%d relation%s, ", report->relations, plural(report->relations));
    if (report->folds > 0)
        printf("%d fold%s, ", report->folds, plural(report->folds));
    else
        printf("folds are dealt: %g by default, ", preset("folds"));
    printf("%d warning%s\n", report->warnings, plural(report->warnings));
}

static int check(const char *path)
{
    pal_facts_report_t report;
    pal_error_t err = {""};
    int rc = print_flaws(path);

    if (rc != PAL_EXIT_DONE)
        return rc;
    rc = pal_facts_check(path, warn, (void *)path, &report, &err);
    if (rc != PAL_OK)
        return pal_cli_fail(rc, &err);
    print_counts(path, &report);
    printf("forget questions answered right without knowing anything:\n"
           "  %.3f by chance\n  %.3f by the longest choice\n"
           "  %.3f by the most frequent position\n"
           "  %.3f by the choice that is most often right elsewhere\n"
           "  %.3f by the choice that is least often right elsewhere\n",
           report.chance, report.longest_choice, report.majority_position,
           report.majority_answer, report.rarest_answer);
    rc = pal_cli_flush();
    if (report.usable)
        return rc;
    pal_cli_say("%s", report.refusal.text);
    return PAL_EXIT_INPUT;
}

/* --- import-rtt --- */

static void tell(void *unused, int32_t line, const char *text)
{
    (void)unused, (void)line;
    puts(text);
}

static int import(const char *folder, const char *output)
{
    pal_error_t err = {""};
    int rc;

    if (!output) {
        pal_cli_say("facts import-rtt: option --output is missing");
        return PAL_EXIT_INPUT;
    }
    rc = pal_facts_import_rtt(folder, output, tell, NULL, &err);
    if (rc != PAL_OK)
        return pal_cli_fail(rc, &err);
    printf("%s: written\n", output);
    return pal_cli_flush();
}

static int run(const char *const operands[], const char *const values[])
{
    static const char *const names[] = {"check", "import-rtt"};
    const char *nearest = pal_nearest(operands[0], names, 2);

    if (strcmp(operands[0], "check") == 0 && !values[OUTPUT])
        return check(operands[1]);
    if (strcmp(operands[0], "import-rtt") == 0)
        return import(operands[1], values[OUTPUT]);
    if (strcmp(operands[0], "check") == 0)
        pal_cli_say("facts check: it writes nothing, so --output has no meaning");
    else
        pal_cli_say("facts: unknown action '%s'%s%s; known: check import-rtt",
                    operands[0], nearest ? ", nearest is " : "",
                    nearest ? nearest : "");
    return PAL_EXIT_INPUT;
}

const pal_command_t pal_cmd_facts = {
    .command = "facts",
    .operands = "check FILE | import-rtt FOLDER -o FILE",
    .least = 2,
    .most = 2,
    .summary = "Check a facts file, or make one from an official RTT folder",
    .text =
        "check       says what is wrong or doubtful in a facts file (JSON Lines), "
        "and how\n"
        "            far one gets on its questions without knowing anything\n"
        "import-rtt  joins a folder of the RTT paper's data into a facts file and "
        "says what\n"
        "            was dropped and why. Layouts, told apart by their files:\n"
        "              Years             tf_split_0.jsonl, split_0.jsonl, ...\n"
        "              MMLU              mmlu_STEM.jsonl, corpus_mmlu_STEM.jsonl, "
        "...\n"
        "              WMDP              split_0.jsonl, ..., choices that are texts\n"
        "              Random Birthdays  split_0.jsonl, ..., choices that are "
        "years\n",
    .options = options,
    .run = run,
};
