/* safetensors.h -- a file of named FP32 tensors.
 *
 * An 8-byte little-endian header length, a JSON header {name: {dtype, shape,
 * data_offsets}} with an entry "__metadata__" of texts, then the bytes. What tensors
 * and metadata mean is the caller's (checkpoint.h).
 */
#ifndef PAL_MODEL_SAFETENSORS_H
#define PAL_MODEL_SAFETENSORS_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "model/layout.h"

/* Enter the slice, which lies at slice->offset of the data. -1 if memory ran out. */
int pal_safetensors_put(json_t *header, const pal_slice_t *slice);

/* Write under a name of its own beside path, fsync, rename: the file is there whole or
 * not at all, and writers of the same content do not disturb each other, on whatever
 * node. PAL_EINVAL, PAL_EIO: as pal_file_temporary(), pal_file_rename(). */
PAL_MUST_CHECK
int pal_safetensors_write(const char *path, const json_t *header, const void *data,
                          size_t bytes, pal_error_t *err);

typedef struct {
    const char *path; /* borrowed; for messages */
    int file;
    json_t *header;             /* an object */
    size_t data_at, data_bytes; /* after the header, by the file's size */
} pal_safetensors_t;

typedef struct {
    size_t begin, end; /* bytes of data */
} pal_extent_t;

/* Open and read the header. PAL_EINVAL: not such a file, or cut short; PAL_ENOENT: no
 * such file. On failure nothing is kept. */
PAL_MUST_CHECK
int pal_safetensors_open(const char *path, pal_safetensors_t *t, pal_error_t *err);
void pal_safetensors_close(pal_safetensors_t *t);

/* Where the tensor of the slice's name lies. PAL_EINVAL names the tensor, if it is
 * missing, not of the slice's shape in FP32, or not within the data. */
PAL_MUST_CHECK
int pal_safetensors_find(const pal_safetensors_t *t, const pal_slice_t *slice,
                         pal_extent_t *extent, pal_error_t *err);

/* Tensors may lie in any order, but must cover the data without overlap or gap;
 * PAL_EINVAL names the byte where they do not. */
PAL_MUST_CHECK
int pal_safetensors_cover(const pal_safetensors_t *t, const pal_extent_t *extents,
                          size_t count, pal_error_t *err);

/* n bytes of data from byte `at` on, within data_bytes. */
PAL_MUST_CHECK
int pal_safetensors_read(const pal_safetensors_t *t, size_t at, void *bytes, size_t n,
                         pal_error_t *err);

#endif
