#include "model/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#if defined(__BYTE_ORDER__)
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "weights are written and read as they lie in memory");
#endif
_Static_assert(sizeof(float) == 4, "F32");

enum {
    LENGTH_BYTES = 8,
    HEADER_MOST = 100 << 20, /* bytes; the format's own limit */
    REASON_TEXT = 128,
};

static int fail_errno(int code, const char *path, const char *verb, pal_error_t *err)
{
    char reason[REASON_TEXT] = "";

    if (strerror_r(errno, reason, sizeof reason) != 0)
        memcpy(reason, "unknown error", sizeof "unknown error");
    return PAL_FAIL(err, code, "%s: cannot %s: %s", path, verb, reason);
}

/* --- Writing --- */

int pal_safetensors_put(json_t *header, const pal_slice_t *slice)
{
    const json_int_t begin = slice->offset * (json_int_t)sizeof(float);
    const json_int_t end = begin + slice->size * (json_int_t)sizeof(float);
    json_t *shape = slice->rows == 1 ? json_pack("[i]", slice->cols)
                                     : json_pack("[i, i]", slice->rows, slice->cols);

    return json_object_set_new(header, slice->name,
                               json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32",
                                         "shape", shape, "data_offsets", begin, end));
}

/* Length, header padded with spaces so that the data are aligned, data. */
static int write_content(int file, const char *header, const void *data, size_t bytes)
{
    const size_t length = strlen(header), padding = (8 - length % 8) % 8;
    uint8_t prefix[LENGTH_BYTES];

    for (int i = 0; i < LENGTH_BYTES; i++)
        prefix[i] = (uint8_t)((uint64_t)(length + padding) >> (8 * i));
    if (pal_file_write(file, prefix, sizeof prefix) ||
        pal_file_write(file, header, length) ||
        pal_file_write(file, "        ", padding))
        return -1;
    return pal_file_write(file, data, bytes);
}

static int write_file(const char *path, const char *header, const void *data,
                      size_t bytes, pal_error_t *err)
{
    char *temporary;
    int file, bad, rc = pal_file_temporary(path, &temporary, &file, err);

    if (rc != PAL_OK)
        return rc;
    bad = write_content(file, header, data, bytes) || fsync(file);
    if (bad)
        rc = fail_errno(PAL_EIO, temporary, "write it", err);
    if (close(file) != 0 && !bad)
        rc = fail_errno(PAL_EIO, temporary, "close it", err);
    if (rc == PAL_OK)
        rc = pal_file_rename(temporary, path, err);
    else
        unlink(temporary);
    free(temporary);
    return rc;
}

int pal_safetensors_write(const char *path, const json_t *header, const void *data,
                          size_t bytes, pal_error_t *err)
{
    char *text = json_dumps(header, JSON_COMPACT);
    int rc = text ? write_file(path, text, data, bytes, err)
                  : PAL_FAIL(err, PAL_ENOMEM, "%s: no memory for its header", path);

    free(text);
    return rc;
}

/* --- Reading --- */

/* n bytes of the file from `offset` on. */
static int read_all(const pal_safetensors_t *t, size_t offset, void *bytes, size_t n,
                    pal_error_t *err)
{
    char *at = bytes;

    while (n > 0) {
        ssize_t done = pread(t->file, at, n, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail_errno(PAL_EIO, t->path, "read it", err);
        if (done == 0)
            return PAL_FAIL(err, PAL_EIO, "%s: it was cut while being read", t->path);
        at += done;
        offset += (size_t)done;
        n -= (size_t)done;
    }
    return PAL_OK;
}

static int parse_header(pal_safetensors_t *t, size_t length, pal_error_t *err)
{
    char *text = malloc(length);
    json_error_t why;
    int rc;

    if (!text)
        return PAL_FAIL(err, PAL_ENOMEM, "%s: no memory for a header of %zu bytes",
                        t->path, length);
    rc = read_all(t, LENGTH_BYTES, text, length, err);
    if (rc == PAL_OK) {
        t->header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
        if (!t->header)
            rc = PAL_REJECT(err, "%s: header is not JSON: %s (byte %d)", t->path,
                            why.text, why.position);
        else if (!json_is_object(t->header))
            rc = PAL_REJECT(err, "%s: header is not a JSON object", t->path);
    }
    free(text);
    return rc;
}

static int read_header(pal_safetensors_t *t, pal_error_t *err)
{
    uint8_t prefix[LENGTH_BYTES];
    uint64_t length = 0, size;
    struct stat status;
    int rc;

    if (fstat(t->file, &status) != 0)
        return fail_errno(PAL_EIO, t->path, "examine it", err);
    if (!S_ISREG(status.st_mode))
        return PAL_REJECT(err, "%s: not a regular file", t->path);
    size = (uint64_t)status.st_size;
    if (size < LENGTH_BYTES)
        return PAL_REJECT(err, "%s: %llu bytes; a safetensors file has at least %d",
                          t->path, (unsigned long long)size, LENGTH_BYTES);
    rc = read_all(t, 0, prefix, sizeof prefix, err);
    if (rc != PAL_OK)
        return rc;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | prefix[i];
    if (length == 0 || length > HEADER_MOST || length > size - LENGTH_BYTES)
        return PAL_REJECT(err,
                          "%s: header of %llu bytes in a file of %llu; not a "
                          "safetensors file, or cut short",
                          t->path, (unsigned long long)length,
                          (unsigned long long)size);
    t->data_at = (size_t)(LENGTH_BYTES + length);
    t->data_bytes = (size_t)size - t->data_at;
    return parse_header(t, (size_t)length, err);
}

int pal_safetensors_open(const char *path, pal_safetensors_t *t, pal_error_t *err)
{
    int rc;

    /* Non-blocking, so that a FIFO is refused and not waited for. */
    *t = (pal_safetensors_t){.path = path, .file = open(path, O_RDONLY | O_NONBLOCK)};
    if (t->file < 0)
        return fail_errno(errno == ENOENT ? PAL_ENOENT : PAL_EIO, path, "open it", err);
    rc = read_header(t, err);
    if (rc != PAL_OK)
        pal_safetensors_close(t);
    return rc;
}

void pal_safetensors_close(pal_safetensors_t *t)
{
    json_decref(t->header);
    (void)close(t->file);
}

static int has_shape(const json_t *shape, const pal_slice_t *slice)
{
    const size_t dimensions = slice->rows == 1 ? 1 : 2;

    if (json_array_size(shape) != dimensions)
        return 0;
    for (size_t i = 0; i < dimensions; i++)
        if (!json_is_integer(json_array_get(shape, i)))
            return 0;
    return json_integer_value(json_array_get(shape, dimensions - 1)) == slice->cols &&
           (dimensions == 1 ||
            json_integer_value(json_array_get(shape, 0)) == slice->rows);
}

int pal_safetensors_find(const pal_safetensors_t *t, const pal_slice_t *slice,
                         pal_extent_t *extent, pal_error_t *err)
{
    const json_t *entry = json_object_get(t->header, slice->name);
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0),
                 *last = json_array_get(offsets, 1);
    const json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    const json_int_t bytes = slice->size * (json_int_t)sizeof(float);

    if (!entry)
        return PAL_REJECT(err, "%s: tensor '%s' is missing", t->path, slice->name);
    if (!dtype || strcmp(dtype, "F32") != 0)
        return PAL_REJECT(err, "%s: tensor '%s': dtype is '%.20s'; expected 'F32'",
                          t->path, slice->name, dtype ? dtype : "");
    if (!has_shape(json_object_get(entry, "shape"), slice))
        return PAL_REJECT(err, "%s: tensor '%s': shape is not %d x %d", t->path,
                          slice->name, (int)slice->rows, (int)slice->cols);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) ||
        !json_is_integer(last))
        return PAL_REJECT(err, "%s: tensor '%s': data_offsets is not [begin, end]",
                          t->path, slice->name);
    if (begin < 0 || end < begin || (uint64_t)end > t->data_bytes ||
        end - begin != bytes)
        return PAL_REJECT(err,
                          "%s: tensor '%s': data_offsets %lld to %lld; expected %lld "
                          "bytes within the file's %zu",
                          t->path, slice->name, (long long)begin, (long long)end,
                          (long long)bytes, t->data_bytes);
    *extent = (pal_extent_t){(size_t)begin, (size_t)end};
    return PAL_OK;
}

static int by_begin(const void *a, const void *b)
{
    const pal_extent_t *x = a, *y = b;

    return (x->begin > y->begin) - (x->begin < y->begin);
}

int pal_safetensors_cover(const pal_safetensors_t *t, const pal_extent_t *extents,
                          size_t n, pal_error_t *err)
{
    pal_extent_t *sorted = malloc(n * sizeof *sorted);
    size_t at = 0;
    int rc = PAL_OK;

    if (!sorted)
        return PAL_FAIL(err, PAL_ENOMEM, "%s: no memory for its table", t->path);
    memcpy(sorted, extents, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_begin);
    for (size_t i = 0; i < n && sorted[i].begin == at; i++)
        at = sorted[i].end;
    if (at != t->data_bytes)
        rc = PAL_REJECT(err,
                        "%s: tensors overlap or leave a gap at byte %zu of %zu of data",
                        t->path, at, t->data_bytes);
    free(sorted);
    return rc;
}

int pal_safetensors_read(const pal_safetensors_t *t, size_t at, void *bytes, size_t n,
                         pal_error_t *err)
{
    return read_all(t, t->data_at + at, bytes, n, err);
}
