/* cli.h -- options, messages and exit codes, alike in every command.
 *
 * All printing of the program lives in main.c, command/, sweep/progress.c and
 * summary/print.c.
 */
#ifndef PAL_MPI_COMMAND_CLI_H
#define PAL_MPI_COMMAND_CLI_H

#include "base/error.h"

enum {
    PAL_EXIT_DONE = 0,   /* all done */
    PAL_EXIT_FAILED = 1, /* trials failed, or the machine did */
    PAL_EXIT_INPUT = 2,  /* what was typed or written in a file is not acceptable */
    PAL_EXIT_AGAIN = 75  /* interrupted: the same command goes on from there */
};

/* One option; a list ends at name == NULL. --help is always there. */
typedef struct {
    const char *name;     /* "ranks" */
    char letter;          /* 'n', or 0 */
    const char *argument; /* "N"; NULL: a switch */
    const char *help;
} pal_option_t;

typedef struct {
    const char *command;         /* "plan" */
    const char *operands;        /* "CONFIG"; "" if there are none */
    int least, most;             /* operands */
    const char *summary;         /* one line */
    const char *text;            /* more lines, or "" */
    const pal_option_t *options; /* NULL: none */
    int (*run)(const char *const operands[], const char *const values[]);
} pal_command_t;

enum { PAL_OPTIONS_MAX = 8 };

/* argv[0]: the program as it was called. main() sets it. */
extern const char *pal_cli_program;

/* Parse argv[1 ...] as the command's options and operands and run it: values[i] is the
 * argument of option i, "" for a switch that is set, NULL if it is not there; operands
 * end with NULL. Returns the exit code. */
int pal_command_run(const pal_command_t *command, int argc, char **argv);

void pal_command_help(const pal_command_t *command);

/* Print "palimpsest: ..." on stderr; evaluates to the exit code of the failure. */
int pal_cli_fail(int rc, const pal_error_t *err);
void pal_cli_say(const char *format, ...) PAL_PRINTF(1, 2);

/* A whole number from least to most; otherwise PAL_EINVAL names the option. */
PAL_MUST_CHECK
int pal_cli_count(const char *option, const char *text, double least, double most,
                  double *value, pal_error_t *err);

/* Flush stdout: 0, or PAL_EXIT_FAILED with a message if it could not be written. */
int pal_cli_flush(void);

/* "3 min", "1.5 h" ... and "12 MB": into text[n]. */
void pal_cli_time(double seconds, char *text, int n);
void pal_cli_bytes(double bytes, char *text, int n);

/* In order of use; ends with NULL. */
extern const pal_command_t *const pal_commands[];
extern const pal_command_t pal_cmd_run, pal_cmd_plan, pal_cmd_status, pal_cmd_show,
    pal_cmd_list, pal_cmd_facts, pal_cmd_verify, pal_cmd_bench;

#endif
