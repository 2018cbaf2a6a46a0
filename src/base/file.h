/* file.h -- opening what a person named. */
#ifndef PAL_BASE_FILE_H
#define PAL_BASE_FILE_H

#include <stdio.h>

#include "base/error.h"

/* Open a plain file for reading; *file is the caller's to close. PAL_ENOENT: no such
 * file; PAL_EINVAL: a folder, a pipe or a device (a pipe would be waited for without
 * end); PAL_EIO: not readable. */
PAL_MUST_CHECK
int pal_file_open(const char *path, FILE **file, pal_error_t *err);

#endif
