/* paths.h -- where a sweep writes. */
#ifndef PAL_SWEEP_PATHS_H
#define PAL_SWEEP_PATHS_H

#include "base/error.h"

enum { PAL_PATH_BYTES = 4096 };

typedef struct {
    char file[PAL_PATH_BYTES];      /* results, as it was named */
    char cache[PAL_PATH_BYTES + 8]; /* folder of weights, beside the file itself */
} pal_paths_t;

/* output: of -o; NULL: results/<sweep>.h5. PAL_EINVAL: no name, or too long a one. */
PAL_MUST_CHECK
int pal_paths_set(const char *output, const char *sweep, pal_paths_t *paths,
                  pal_error_t *err);

#endif
