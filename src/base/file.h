/* file.h -- opening what a person named, and replacing it whole or not at all. */
#ifndef PAL_BASE_FILE_H
#define PAL_BASE_FILE_H

#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

/* Open a plain file for reading; *file is the caller's to close. PAL_ENOENT: no such
 * file; PAL_EINVAL: a folder, a pipe or a device (a pipe would be waited for without
 * end); PAL_EIO: not readable. */
PAL_MUST_CHECK
int pal_file_open(const char *path, FILE **file, pal_error_t *err);

/* "a file", "a folder" or "a pipe or device": for messages. Static. */
const char *pal_file_kind(mode_t mode);

/* The file to write for a name: what it leads to through symbolic links, which may not
 * be there yet. *target is malloc'ed. PAL_EINVAL: something that is no plain file, or
 * no folder to make it in; PAL_EIO. Messages name `path`. */
PAL_MUST_CHECK
int pal_file_target(const char *path, char **target, pal_error_t *err);

/* Make an empty file beside path, of a name that no file has: <path>.1a2b3c4d.tmp.
 * *name is malloc'ed, *fd open for reading and writing. PAL_EINVAL: too long a name;
 * PAL_EIO. */
PAL_MUST_CHECK
int pal_file_temporary(const char *path, char **name, int *fd, pal_error_t *err);

/* Write n bytes where the descriptor stands. -1 with errno if not all could be. */
int pal_file_write(int fd, const void *bytes, size_t n);

/* Give a temporary file its name; after this a crash of the machine cannot bring back
 * the old one. PAL_EIO: the temporary file is removed and path as it was. */
PAL_MUST_CHECK
int pal_file_rename(const char *name, const char *path, pal_error_t *err);

#endif
