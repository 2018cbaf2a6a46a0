#include "command/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/param.h"

const pal_command_t *const pal_commands[] = {
    &pal_cmd_run,  &pal_cmd_plan,  &pal_cmd_status, &pal_cmd_show,
    &pal_cmd_list, &pal_cmd_facts, &pal_cmd_verify, &pal_cmd_bench, NULL};

const char *pal_cli_program = "palimpsest";

/* --- Messages --- */

void pal_cli_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("palimpsest: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int pal_cli_fail(int rc, const pal_error_t *err)
{
    if (err->text[0])
        pal_cli_say("%s", err->text);
    if (rc == PAL_ESTOP)
        return PAL_EXIT_AGAIN;
    return rc == PAL_EINVAL || rc == PAL_ENOENT ? PAL_EXIT_INPUT : PAL_EXIT_FAILED;
}

int pal_cli_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return PAL_EXIT_DONE;
    pal_cli_say("cannot write to standard output: %s", strerror(errno));
    return PAL_EXIT_FAILED;
}

void pal_cli_time(double seconds, char *text, int n)
{
    if (seconds < 1)
        snprintf(text, (size_t)n, "under a second");
    else if (seconds < 100)
        snprintf(text, (size_t)n, "%.0f s", seconds);
    else if (seconds < 10 * 60)
        snprintf(text, (size_t)n, "%.1f min", seconds / 60);
    else if (seconds < 100 * 60)
        snprintf(text, (size_t)n, "%.0f min", seconds / 60);
    else if (seconds < 100 * 3600)
        snprintf(text, (size_t)n, "%.1f h", seconds / 3600);
    else
        snprintf(text, (size_t)n, "%.1f days", seconds / 86400);
}

void pal_cli_bytes(double bytes, char *text, int n)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    int i = 0;

    for (bytes /= 1000; bytes >= 1000 && i < 3; i++)
        bytes /= 1000;
    snprintf(text, (size_t)n, bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, units[i]);
}

int pal_cli_count(const char *option, const char *text, double least, double most,
                  double *value, pal_error_t *err)
{
    const pal_param_t count = {option, PAL_COUNT, 0,    least, least,
                               most,   NULL,      NULL, "1",   "option"};
    int64_t number;

    if (pal_param_set(&count, &number, text, NULL) != PAL_OK)
        return PAL_REJECT(err,
                          "option --%s: '%s' is not a whole number from %.0f to %.0f",
                          option, text, least, most);
    *value = (double)number;
    return PAL_OK;
}

/* --- Help --- */

static void print_option(char letter, const char *name, const char *argument,
                         const char *help)
{
    char left[64];
    int used = letter ? snprintf(left, sizeof left, "-%c, ", letter)
                      : snprintf(left, sizeof left, "    ");

    snprintf(left + used, sizeof left - (size_t)used, "--%s%s%s", name,
             argument ? " " : "", argument ? argument : "");
    printf("  %-22s %s\n", left, help);
}

void pal_command_help(const pal_command_t *command)
{
    printf("usage: palimpsest %s%s%s%s\n\n%s.\n", command->command,
           command->options ? " [OPTIONS]" : "", *command->operands ? " " : "",
           command->operands, command->summary);
    if (*command->text)
        printf("\n%s", command->text);
    puts("\nOptions:");
    for (const pal_option_t *o = command->options; o && o->name; o++)
        print_option(o->letter, o->name, o->argument, o->help);
    print_option('h', "help", NULL, "print this and exit");
}

/* --- Options --- */

/* What getopt_long() wants. Leading ":": it says when an argument is missing. */
static int make_options(const pal_command_t *command, struct option *longs,
                        char *letters)
{
    int n = 0;

    *letters++ = ':';
    *letters++ = 'h';
    for (; command->options && command->options[n].name; n++) {
        const pal_option_t *o = &command->options[n];

        longs[n] = (struct option){
            o->name, o->argument ? required_argument : no_argument, NULL, 256 + n};
        if (o->letter)
            *letters++ = o->letter;
        if (o->letter && o->argument)
            *letters++ = ':';
    }
    *letters = 0;
    longs[n] = (struct option){"help", no_argument, NULL, 'h'};
    longs[n + 1] = (struct option){NULL, 0, NULL, 0};
    return n;
}

static int reject_option(const pal_command_t *command, const char *word)
{
    const char *names[PAL_OPTIONS_MAX + 1] = {"help"}, *nearest;
    char name[64];
    int n = 1;

    for (const pal_option_t *o = command->options; o && o->name; o++)
        names[n++] = o->name;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    nearest = strncmp(name, "--", 2) == 0 ? pal_nearest(name + 2, names, n) : NULL;
    pal_cli_say("%s: unknown option '%s'%s%s%s; try 'palimpsest %s --help'",
                command->command, name, nearest ? ", nearest is '--" : "",
                nearest ? nearest : "", nearest ? "'" : "", command->command);
    return PAL_EXIT_INPUT;
}

/* What getopt_long() answered '?' to: a switch with a value, or an option that is not
 * there. */
static int reject_word(const pal_command_t *command, const char *word)
{
    char letter[3] = {'-', (char)optopt, 0};

    if (optopt >= 256 || (optopt == 'h' && strncmp(word, "--", 2) == 0)) {
        pal_cli_say("%s: option '%.*s' takes no value; try 'palimpsest %s --help'",
                    command->command, (int)strcspn(word, "="), word, command->command);
        return PAL_EXIT_INPUT;
    }
    return reject_option(command, optopt > 0 ? letter : word);
}

/* -1: go on with the operands at argv[optind]; otherwise the exit code. */
static int parse_options(const pal_command_t *command, int argc, char **argv,
                         const char **values)
{
    struct option longs[PAL_OPTIONS_MAX + 2];
    char letters[2 * PAL_OPTIONS_MAX + 3];
    int n = make_options(command, longs, letters), c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        int i = c - 256;

        if (c == 'h') {
            pal_command_help(command);
            return pal_cli_flush();
        }
        for (int j = 0; i < 0 && j < n; j++)
            if (c == command->options[j].letter)
                i = j;
        if (c == ':') {
            pal_cli_say("%s: option '%s' needs a value; try 'palimpsest %s --help'",
                        command->command, argv[optind - 1], command->command);
            return PAL_EXIT_INPUT;
        }
        if (i < 0)
            return reject_word(command, argv[optind - 1]);
        values[i] = optarg ? optarg : "";
    }
    return -1;
}

int pal_command_run(const pal_command_t *command, int argc, char **argv)
{
    const char *values[PAL_OPTIONS_MAX] = {NULL};
    int rc = parse_options(command, argc, argv, values), operands;

    if (rc >= 0)
        return rc;
    operands = argc - optind;
    if (operands < command->least || operands > command->most) {
        pal_cli_say("%s: %s operand%s; usage: palimpsest %s%s %s", command->command,
                    operands < command->least ? "missing" : "too many",
                    operands < command->least ? "" : "s", command->command,
                    command->options ? " [OPTIONS]" : "", command->operands);
        return PAL_EXIT_INPUT;
    }
    return command->run((const char *const *)argv + optind, values);
}
