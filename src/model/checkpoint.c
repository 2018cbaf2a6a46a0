#include "model/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static json_t *shape_json(const pal_shape_t *s)
{
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:s, s:s, s:s, s:s, s:f, s:f}",
        "vocab", s->vocab, "context", s->context, "width", s->width, "layers",
        s->layers, "heads", s->heads, "kv_heads", s->kv_heads, "hidden", s->hidden,
        "tied", s->tied, "norm", pal_norm_names[s->norm], "position",
        pal_position_names[s->position], "mlp", pal_mlp_names[s->mlp], "bias",
        pal_bias_names[s->bias], "norm_epsilon", s->norm_epsilon, "rope_base",
        s->rope_base);
}

/* --- Saving --- */

/* Each of these returns -1 if memory ran out. */
static int put_text(json_t *object, const char *key, const char *text)
{
    return json_object_set_new(object, key, json_string(text));
}

static int put_shape(json_t *metadata, const pal_shape_t *shape)
{
    json_t *json = shape_json(shape);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    int rc = text ? put_text(metadata, "shape", text) : -1;

    free(text);
    json_decref(json);
    return rc;
}

static int put_tensor(json_t *header, const pal_slice_t *slice)
{
    const json_int_t begin = slice->offset * (json_int_t)sizeof(float);
    const json_int_t end = begin + slice->size * (json_int_t)sizeof(float);
    json_t *shape = slice->rows == 1 ? json_pack("[i]", slice->cols)
                                     : json_pack("[i, i]", slice->rows, slice->cols);

    return json_object_set_new(header, slice->name,
                               json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32",
                                         "shape", shape, "data_offsets", begin, end));
}

/* Of the values in slice order, wherever the tensors lie in the file. */
static void digest_add(pal_hash_t *hash, const pal_slice_t *slice, const void *values)
{
    pal_hash_add(hash, values, (size_t)slice->size * sizeof(float));
}

static int put_digest(json_t *metadata, const pal_layout_t *layout,
                      const float *weights)
{
    char text[PAL_KEY_TEXT];
    pal_hash_t hash;

    pal_hash_begin(&hash);
    for (int32_t i = 0; i < layout->slice_count; i++)
        digest_add(&hash, &layout->slices[i], weights + layout->slices[i].offset);
    pal_key_text(pal_hash_end(&hash), text);
    return put_text(metadata, "digest", text);
}

/* The header's text, malloc'ed, or NULL when memory is out. */
static char *header_text(const pal_layout_t *layout, const float *weights,
                         const char *tokenizer, const char *note)
{
    json_t *header = json_object(), *metadata = json_object();
    int rc = json_object_set_new(header, "__metadata__", metadata);
    char *text = NULL;

    rc |= put_shape(metadata, &layout->shape);
    rc |= put_digest(metadata, layout, weights);
    if (tokenizer)
        rc |= put_text(metadata, "tokenizer", tokenizer);
    if (note)
        rc |= put_text(metadata, "note", note);
    for (int32_t i = 0; i < layout->slice_count; i++)
        rc |= put_tensor(header, &layout->slices[i]);
    if (rc == 0)
        text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    return text;
}

static int write_all(int file, const void *bytes, size_t n)
{
    const char *at = bytes;

    while (n > 0) {
        ssize_t done = write(file, at, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

/* Length, header padded with spaces so that the data are aligned, data. */
static int write_content(int file, const char *header, const pal_layout_t *layout,
                         const float *weights)
{
    const size_t length = strlen(header), padding = (8 - length % 8) % 8;
    uint8_t prefix[LENGTH_BYTES];

    for (int i = 0; i < LENGTH_BYTES; i++)
        prefix[i] = (uint8_t)((uint64_t)(length + padding) >> (8 * i));
    if (write_all(file, prefix, sizeof prefix) || write_all(file, header, length) ||
        write_all(file, "        ", padding))
        return -1;
    return write_all(file, weights, (size_t)layout->count * sizeof *weights);
}

static int write_file(const char *path, const char *header, const pal_layout_t *layout,
                      const float *weights, pal_error_t *err)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    int file, bad, rc = PAL_OK;

    if (n < 0 || (size_t)n >= sizeof temporary)
        return PAL_FAIL(err, PAL_EIO, "%.200s...: the path is too long", path);
    file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file < 0)
        return fail_errno(PAL_EIO, temporary, "create it", err);
    bad = write_content(file, header, layout, weights) || fsync(file);
    if (bad)
        rc = fail_errno(PAL_EIO, temporary, "write it", err);
    if (close(file) != 0 && !bad)
        rc = fail_errno(PAL_EIO, temporary, "close it", err);
    if (rc == PAL_OK && rename(temporary, path) != 0)
        rc = fail_errno(PAL_EIO, path, "rename to it", err);
    if (rc != PAL_OK)
        (void)unlink(temporary);
    return rc;
}

int pal_checkpoint_save(const char *path, const pal_layout_t *layout,
                        const float *weights, const pal_tokenizer_t *tokenizer,
                        const char *note, pal_error_t *err)
{
    char *words = NULL, *header = NULL;
    int rc = PAL_OK;

    if (tokenizer)
        rc = pal_tokenizer_save(tokenizer, &words, err);
    if (rc != PAL_OK)
        return rc;
    header = header_text(layout, weights, words, note);
    if (header)
        rc = write_file(path, header, layout, weights, err);
    else
        rc = PAL_FAIL(err, PAL_ENOMEM, "%s: no memory for its header", path);
    free(words);
    free(header);
    return rc;
}

/* --- Loading --- */

typedef struct {
    const char *path;
    int file;
    size_t data_bytes; /* after the header, by the file's size */
    json_t *header;
    pal_error_t *err;
} reader_t;

typedef struct {
    size_t begin, end; /* bytes of data */
} extent_t;

static int read_all(const reader_t *r, void *bytes, size_t n)
{
    char *at = bytes;

    while (n > 0) {
        ssize_t done = read(r->file, at, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail_errno(PAL_EIO, r->path, "read it", r->err);
        if (done == 0)
            return PAL_FAIL(r->err, PAL_EIO, "%s: it was cut while being read",
                            r->path);
        at += done;
        n -= (size_t)done;
    }
    return PAL_OK;
}

static int parse_header(reader_t *r, size_t length)
{
    char *text = malloc(length);
    json_error_t why;
    int rc;

    if (!text)
        return PAL_FAIL(r->err, PAL_ENOMEM, "%s: no memory for a header of %zu bytes",
                        r->path, length);
    rc = read_all(r, text, length);
    if (rc == PAL_OK) {
        r->header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
        if (!r->header)
            rc = PAL_REJECT(r->err, "%s: header is not JSON: %s (byte %d)", r->path,
                            why.text, why.position);
        else if (!json_is_object(r->header))
            rc = PAL_REJECT(r->err, "%s: header is not a JSON object", r->path);
    }
    free(text);
    return rc;
}

static int read_header(reader_t *r)
{
    uint8_t prefix[LENGTH_BYTES];
    uint64_t length = 0, size;
    struct stat status;
    int rc;

    if (fstat(r->file, &status) != 0)
        return fail_errno(PAL_EIO, r->path, "examine it", r->err);
    if (!S_ISREG(status.st_mode))
        return PAL_REJECT(r->err, "%s: not a regular file", r->path);
    size = (uint64_t)status.st_size;
    if (size < LENGTH_BYTES)
        return PAL_REJECT(r->err, "%s: %llu bytes; a safetensors file has at least %d",
                          r->path, (unsigned long long)size, LENGTH_BYTES);
    rc = read_all(r, prefix, sizeof prefix);
    if (rc != PAL_OK)
        return rc;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | prefix[i];
    if (length == 0 || length > HEADER_MOST || length > size - LENGTH_BYTES)
        return PAL_REJECT(r->err,
                          "%s: header of %llu bytes in a file of %llu; not a "
                          "safetensors file, or cut short",
                          r->path, (unsigned long long)length,
                          (unsigned long long)size);
    r->data_bytes = (size_t)(size - LENGTH_BYTES - length);
    return parse_header(r, (size_t)length);
}

/* The first version stored six sizes of a GPT-2 style. */
static void fill_style(json_t *shape)
{
    json_t *heads = json_object_get(shape, "heads");
    json_t *style =
        json_pack("{s:O*, s:b, s:s, s:s, s:s, s:s, s:f, s:f}", "kv_heads", heads,
                  "tied", 1, "norm", "layernorm", "position", "learned", "mlp", "gelu",
                  "bias", "all", "norm_epsilon", 1e-5, "rope_base", 0.0);

    (void)json_object_update_missing(shape, style);
    json_decref(style);
}

static int refuse_field(const reader_t *r, const char *name, const json_t *found,
                        const json_t *expected)
{
    char *a = json_dumps(found, JSON_ENCODE_ANY),
         *b = json_dumps(expected, JSON_ENCODE_ANY);
    int rc = PAL_REJECT(r->err, "%s: its shape has %.40s %.60s; expected %s", r->path,
                        name, a ? a : "missing", b ? b : "none");

    free(a);
    free(b);
    return rc;
}

/* Heads and more leave no trace in the tensors, so the stored shape is compared as
 * well. */
static int compare_shapes(const reader_t *r, json_t *stored, json_t *expected)
{
    const char *name;
    json_t *value;

    if (!json_is_object(stored))
        return PAL_REJECT(r->err, "%s: its shape is not a JSON object", r->path);
    if (!expected)
        return PAL_FAIL(r->err, PAL_ENOMEM, "%s: no memory for a shape", r->path);
    fill_style(stored);
    json_object_foreach (expected, name, value)
        if (!json_equal(json_object_get(stored, name), value))
            return refuse_field(r, name, json_object_get(stored, name), value);
    json_object_foreach (stored, name, value)
        if (!json_object_get(expected, name))
            return refuse_field(r, name, value, NULL);
    return PAL_OK;
}

static int check_metadata(const reader_t *r, const pal_shape_t *shape, const char *note)
{
    const json_t *metadata = json_object_get(r->header, "__metadata__");
    const char *text = json_string_value(json_object_get(metadata, "shape"));
    const char *found = json_string_value(json_object_get(metadata, "note"));
    json_t *stored, *expected;
    int rc;

    if (!text)
        return PAL_REJECT(r->err, "%s: its metadata have no shape", r->path);
    stored = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    expected = shape_json(shape);
    rc = compare_shapes(r, stored, expected);
    json_decref(stored);
    json_decref(expected);
    if (rc != PAL_OK)
        return rc;
    if (note && (!found || strcmp(note, found) != 0))
        return PAL_REJECT(r->err, "%s: its note is '%.100s'; expected '%.100s'",
                          r->path, found ? found : "", note);
    return PAL_OK;
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

static int check_tensor(const reader_t *r, const pal_slice_t *slice, extent_t *extent)
{
    const json_t *entry = json_object_get(r->header, slice->name);
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0),
                 *last = json_array_get(offsets, 1);
    const json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    const json_int_t bytes = slice->size * (json_int_t)sizeof(float);

    if (!entry)
        return PAL_REJECT(r->err, "%s: tensor '%s' is missing", r->path, slice->name);
    if (!dtype || strcmp(dtype, "F32") != 0)
        return PAL_REJECT(r->err, "%s: tensor '%s': dtype is '%.20s'; expected 'F32'",
                          r->path, slice->name, dtype ? dtype : "");
    if (!has_shape(json_object_get(entry, "shape"), slice))
        return PAL_REJECT(r->err, "%s: tensor '%s': shape is not %d x %d", r->path,
                          slice->name, (int)slice->rows, (int)slice->cols);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) ||
        !json_is_integer(last))
        return PAL_REJECT(r->err, "%s: tensor '%s': data_offsets is not [begin, end]",
                          r->path, slice->name);
    if (begin < 0 || end < begin || (uint64_t)end > r->data_bytes ||
        end - begin != bytes)
        return PAL_REJECT(r->err,
                          "%s: tensor '%s': data_offsets %lld to %lld; expected %lld "
                          "bytes within the file's %zu",
                          r->path, slice->name, (long long)begin, (long long)end,
                          (long long)bytes, r->data_bytes);
    *extent = (extent_t){(size_t)begin, (size_t)end};
    return PAL_OK;
}

static int is_slice(const pal_layout_t *layout, const char *name)
{
    for (int32_t i = 0; i < layout->slice_count; i++)
        if (strcmp(layout->slices[i].name, name) == 0)
            return 1;
    return 0;
}

static int refuse_extra(const reader_t *r, const pal_layout_t *layout)
{
    const char *name;
    json_t *value;

    if (json_object_size(r->header) == (size_t)layout->slice_count + 1)
        return PAL_OK;
    json_object_foreach (r->header, name, value)
        if (strcmp(name, "__metadata__") != 0 && !is_slice(layout, name))
            return PAL_REJECT(r->err, "%s: tensor '%.60s' is not one of this model's",
                              r->path, name);
    return PAL_OK;
}

static int by_begin(const void *a, const void *b)
{
    const extent_t *x = a, *y = b;

    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Tensors may lie in any order, but must cover the data without overlap or gap. */
static int check_cover(const reader_t *r, const extent_t *extents, size_t n)
{
    extent_t *sorted = malloc(n * sizeof *sorted);
    size_t at = 0;
    int rc = PAL_OK;

    if (!sorted)
        return PAL_FAIL(r->err, PAL_ENOMEM, "%s: no memory for its table", r->path);
    memcpy(sorted, extents, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_begin);
    for (size_t i = 0; i < n && sorted[i].begin == at; i++)
        at = sorted[i].end;
    if (at != r->data_bytes)
        rc = PAL_REJECT(r->err,
                        "%s: tensors overlap or leave a gap at byte %zu of %zu of data",
                        r->path, at, r->data_bytes);
    free(sorted);
    return rc;
}

/* Damage to the values shows nowhere else: any bytes are some weights. */
static int check_digest(const reader_t *r, const pal_layout_t *layout,
                        const extent_t *extents, const char *note, const char *data)
{
    const json_t *metadata = json_object_get(r->header, "__metadata__");
    const char *expected = json_string_value(json_object_get(metadata, "digest"));
    char found[PAL_KEY_TEXT];
    pal_hash_t hash;

    if (!expected && !note) /* written by another program */
        return PAL_OK;
    if (!expected)
        return PAL_REJECT(r->err, "%s: its metadata have no digest", r->path);
    pal_hash_begin(&hash);
    for (int32_t i = 0; i < layout->slice_count; i++)
        digest_add(&hash, &layout->slices[i], data + extents[i].begin);
    pal_key_text(pal_hash_end(&hash), found);
    if (strcmp(found, expected) != 0)
        return PAL_REJECT(r->err,
                          "%s: its weights are damaged: digest %s, expected %.40s",
                          r->path, found, expected);
    return PAL_OK;
}

static int read_data(const reader_t *r, const pal_layout_t *layout,
                     const extent_t *extents, const char *note, float *weights)
{
    char *data = malloc(r->data_bytes);
    int rc;

    if (!data)
        return PAL_FAIL(r->err, PAL_ENOMEM, "%s: no memory for %zu bytes", r->path,
                        r->data_bytes);
    rc = read_all(r, data, r->data_bytes);
    if (rc == PAL_OK)
        rc = check_digest(r, layout, extents, note, data);
    for (int32_t i = 0; rc == PAL_OK && i < layout->slice_count; i++)
        memcpy(weights + layout->slices[i].offset, data + extents[i].begin,
               extents[i].end - extents[i].begin);
    free(data);
    return rc;
}

static int read_file(reader_t *r, const pal_layout_t *layout, const char *note,
                     float *weights)
{
    const size_t n = (size_t)layout->slice_count;
    extent_t *extents = calloc(n, sizeof *extents);
    int rc;

    if (!extents)
        return PAL_FAIL(r->err, PAL_ENOMEM, "%s: no memory for its table", r->path);
    rc = read_header(r);
    if (rc == PAL_OK)
        rc = check_metadata(r, &layout->shape, note);
    for (size_t i = 0; rc == PAL_OK && i < n; i++)
        rc = check_tensor(r, &layout->slices[i], &extents[i]);
    if (rc == PAL_OK)
        rc = refuse_extra(r, layout);
    if (rc == PAL_OK)
        rc = check_cover(r, extents, n);
    if (rc == PAL_OK)
        rc = read_data(r, layout, extents, note, weights);
    free(extents);
    return rc;
}

int pal_checkpoint_load(const char *path, const pal_layout_t *layout, const char *note,
                        float *weights, pal_error_t *err)
{
    /* Non-blocking, so that a FIFO is refused and not waited for. */
    reader_t r = {.path = path, .file = open(path, O_RDONLY | O_NONBLOCK), .err = err};
    int rc;

    if (r.file < 0)
        return fail_errno(errno == ENOENT ? PAL_ENOENT : PAL_EIO, path, "open it", err);
    rc = read_file(&r, layout, note, weights);
    json_decref(r.header);
    (void)close(r.file);
    return rc;
}
