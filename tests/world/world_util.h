/* world_util.h -- made worlds, and small files in a folder of their own. */
#ifndef WORLD_UTIL_H
#define WORLD_UTIL_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "made_world.h"

/* What a check says, a line each: "<line of the file>: <text>". */
typedef struct {
    char text[4096];
} heard_t;

static inline void hear(void *ctx, int32_t line, const char *text)
{
    heard_t *heard = ctx;
    size_t used = strlen(heard->text);

    snprintf(heard->text + used, sizeof heard->text - used, "%d: %s\n", line, text);
}

/* Group setup: work in a fresh folder; teardown: remove it and the files in it. */
static inline int enter_folder(void **state)
{
    char name[] = "test-world-XXXXXX";

    if (!mkdtemp(name) || chdir(name) != 0)
        return -1;
    *state = strdup(name);
    return *state ? 0 : -1;
}

static inline int count_files(const char *folder, int remove)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n++;
        if (remove)
            unlink(entry->d_name);
    }
    closedir(dir);
    return n;
}

static inline int leave_folder(void **state)
{
    count_files(".", 1);
    if (chdir("..") != 0 || rmdir(*state) != 0)
        return -1;
    free(*state);
    return 0;
}

static inline void write_bytes(const char *path, const char *bytes, size_t n)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static inline void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

/* The whole file, terminated; caller frees. */
static inline char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    struct stat about;
    char *text;

    assert_non_null(file);
    assert_int_equal(stat(path, &about), 0);
    text = calloc((size_t)about.st_size + 1, 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)about.st_size, file), about.st_size);
    fclose(file);
    return text;
}

#endif
