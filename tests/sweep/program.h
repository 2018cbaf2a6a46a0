/* program.h -- run the program in a folder of its own, for tests. */
#ifndef PAL_TESTS_PROGRAM_H
#define PAL_TESTS_PROGRAM_H

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char program[4096], folder[] = "/tmp/palimpsest-cli-XXXXXX";
static char output[1 << 16]; /* of the last command, both streams */

/* Run the program with these arguments in the folder; its exit code. */
static inline int run(const char *arguments)
{
    char command[8192];
    FILE *pipe;
    size_t n;
    int status;

    /* A sanitizer would blame the program for what MPI keeps to the end. */
    snprintf(command, sizeof command, "cd '%s' && %s '%s' %s 2>&1 </dev/null", folder,
             strncmp(arguments, "run ", 4) ? "" : "ASAN_OPTIONS=detect_leaks=0",
             program, arguments);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    n = fread(output, 1, sizeof output - 1, pipe);
    output[n] = 0;
    status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static inline void assert_says(const char *text)
{
    if (!strstr(output, text))
        fail_msg("does not say '%s' but\n%s", text, output);
}

static inline void write_file(const char *name, const char *text)
{
    char path[8192];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline void write_config(const char *text)
{
    write_file("c.yaml", text);
}

/* In the folder, for what C has no short words. */
static inline void shell(const char *words)
{
    char command[8192];

    snprintf(command, sizeof command, "cd '%s' && %s", folder, words);
    assert_int_equal(system(command), 0);
}

/* Entries of the folder. */
static inline int count_files(void)
{
    DIR *dir = opendir(folder);
    int n = 0;

    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static const char small[] =
    "sweep: tiny\n"
    "world: {kind: synthetic, facts: 15, folds: 3}\n"
    "seed: [0, 1]\n"
    "pretrain: {steps: 20}\n"
    "unlearn: {method: gd, coefficient: [0.5, 0.25], steps: 5}\n"
    "attack: {kind: finetune, steps: 4, evaluations: 2, lr: [1e-3, 1e-4]}\n";

static inline int start(void **unused)
{
    (void)unused;
    if (!getcwd(program, sizeof program - 16) || !mkdtemp(folder))
        return -1;
    strcat(program, "/../palimpsest");
    return access(program, X_OK);
}

static inline int end(void **unused)
{
    char command[4096];

    (void)unused;
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

#endif
