#include "sweep/paths.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

int pal_paths_set(const char *output, const char *sweep, pal_paths_t *paths,
                  pal_error_t *err)
{
    char *target = NULL, copy[PAL_PATH_BYTES];
    int n = output ? snprintf(paths->file, sizeof paths->file, "%s", output)
                   : snprintf(paths->file, sizeof paths->file, "results/%s.h5", sweep);

    if (n <= 0 || n >= PAL_PATH_BYTES)
        return PAL_REJECT(err, "-o: a name of %d bytes", n);
    /* What cannot be written is refused by who opens it. */
    if (pal_file_target(paths->file, &target, NULL) != PAL_OK ||
        strlen(target) >= sizeof copy)
        strcpy(copy, paths->file);
    else
        strcpy(copy, target);
    free(target);
    snprintf(paths->cache, sizeof paths->cache, "%s/cache", dirname(copy));
    return PAL_OK;
}
