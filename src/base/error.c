#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int pal_fail_(pal_error_t *err, int code, const char *file, int line,
              const char *format, ...)
{
    va_list args;
    int used = 0;

    if (!err)
        return code;
    if (file)
        used = snprintf(err->text, sizeof err->text, "%s:%d: ", file, line);
    if (used < 0 || (size_t)used >= sizeof err->text)
        used = 0;
    va_start(args, format);
    vsnprintf(err->text + used, sizeof err->text - (size_t)used, format, args);
    va_end(args);
    return code;
}

int pal_context(pal_error_t *err, int code, const char *format, ...)
{
    char inner[sizeof err->text];
    va_list args;
    int used;

    if (!err)
        return code;
    memcpy(inner, err->text, sizeof inner);
    va_start(args, format);
    used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->text)
        snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s", inner);
    return code;
}

const char *pal_strerror(int code)
{
    switch (code) {
    case PAL_OK:
        return "success";
#define X(name, text)                                                                  \
    case name:                                                                         \
        return text;
        PAL_ERRORS(X)
#undef X
    default:
        return "unknown error code";
    }
}

enum { LONGEST_NAME = 64 };

static int edit_distance(const char *a, const char *b)
{
    int row[LONGEST_NAME + 1];
    int n = (int)strlen(b);

    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];

        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *pal_nearest(const char *word, const char *const names[], int n)
{
    const char *nearest = NULL;
    int best = (int)strlen(word) / 2 + 1;

    if (strlen(word) > LONGEST_NAME)
        return NULL;
    for (int i = 0; i < n; i++) {
        int distance =
            strlen(names[i]) > LONGEST_NAME ? best : edit_distance(word, names[i]);
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

int pal_name_find(const char *what, const char *word, const char *const names[], int n,
                  pal_error_t *err)
{
    const char *nearest = pal_nearest(word, names, n);
    char known[256] = "";

    for (int i = 0; i < n; i++) {
        size_t used = strlen(known);

        if (strcmp(names[i], word) == 0)
            return i;
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", names[i]);
    }
    (void)PAL_REJECT(err, "unknown %s '%s'%s%s; known: %s", what, word,
                     nearest ? ", nearest is " : "", nearest ? nearest : "", known);
    return -1;
}
