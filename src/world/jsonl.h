/* jsonl.h -- read a JSON Lines file one object at a time, write one. */
#ifndef PAL_WORLD_JSONL_H
#define PAL_WORLD_JSONL_H

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "base/error.h"

enum { PAL_LINE_MAX = 1 << 20 }; /* bytes, line end not counted */

typedef struct {
    FILE *file;
    const char *path; /* borrowed */
    char *buffer;
    int32_t line; /* of the row read last, from 1 */
} pal_jsonl_t;

/* PAL_ENOENT: no such file; PAL_EIO: cannot be read. Messages name the path. */
PAL_MUST_CHECK
int pal_jsonl_open(const char *path, pal_jsonl_t *reader, pal_error_t *err);
void pal_jsonl_close(pal_jsonl_t *reader); /* a zeroed reader is allowed */

/* The next object (owned; NULL at the end of the file). Blank lines, CR LF and a byte
 * order mark at the start are skipped. PAL_EINVAL "<path>:<line>: ..." for malformed
 * JSON, a line over PAL_LINE_MAX, ill-formed UTF-8, a zero byte, a repeated key,
 * anything but an object; the next call goes on with the line after it. */
PAL_MUST_CHECK
int pal_jsonl_next(pal_jsonl_t *reader, json_t **row, pal_error_t *err);

/* Write the objects of an array, one a line, to a temporary name beside path (or beside
 * what it links to); check() it there, fsync, rename. On failure path is as it was.
 * PAL_EINVAL: path is a folder, pipe or device; PAL_EIO names path and cause. */
PAL_MUST_CHECK
int pal_jsonl_write(const char *path, const json_t *rows,
                    int (*check)(const char *path, pal_error_t *err), pal_error_t *err);

/* "a number", "an array", ...: for messages. Static. */
const char *pal_json_kind(const json_t *value);

#endif
