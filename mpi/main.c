/* main.c -- the command line: finds the command and leaves. */
#include <stdio.h>
#include <string.h>

#include "command/cli.h"
#include "store/provenance.h"

static void print_help(void)
{
    puts("usage: palimpsest COMMAND [OPTIONS] ...\n\n"
         "Did an unlearning method remove information from a language model, or hide "
         "it?\n"
         "\nCommands:");
    for (int i = 0; pal_commands[i]; i++)
        printf("  %-8s %s\n", pal_commands[i]->command, pal_commands[i]->summary);
    puts("\n'palimpsest COMMAND --help' says more. Options:\n"
         "  -h, --help             print this and exit\n"
         "  -V, --version          print version, commit and libraries and exit\n"
         "\nExit codes: 0 done; 1 trials failed or the machine did; 2 a command, "
         "config or\n"
         "file is not acceptable, nothing was written; 75 interrupted, the same "
         "command\n"
         "goes on from there.");
}

static void print_version(void)
{
    static const char *const parts[] = {"commit", "compiler", "blas", "mpi", "hwloc"};
    char text[256];

    printf("palimpsest %s\n", pal_build_version());
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (pal_provenance(parts[i], text, sizeof text))
            printf("%-9s %s\n", parts[i], text);
}

static int reject_command(const char *word)
{
    const char *names[16], *nearest;
    int n = 0;

    while (pal_commands[n]) {
        names[n] = pal_commands[n]->command;
        n++;
    }
    nearest = pal_nearest(word, names, n);
    pal_cli_say("unknown command '%s'%s%s%s; try 'palimpsest --help'", word,
                nearest ? ", nearest is '" : "", nearest ? nearest : "",
                nearest ? "'" : "");
    return PAL_EXIT_INPUT;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";

    if (argc > 0)
        pal_cli_program = argv[0];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return pal_cli_flush();
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        print_version();
        return pal_cli_flush();
    }
    for (int i = 0; pal_commands[i]; i++)
        if (strcmp(pal_commands[i]->command, word) == 0)
            return pal_command_run(pal_commands[i], argc - 1, argv + 1);
    if (argc > 1)
        return reject_command(word);
    pal_cli_say("a command is missing; try 'palimpsest --help'");
    return PAL_EXIT_INPUT;
}
