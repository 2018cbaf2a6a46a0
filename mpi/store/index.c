/* The index of a results file: text in its user block, which HDF5 skips and keeps. A
 * line with its length and checksum, then a line a column and the attributes:
 *
 *   palimpsest results, schema 2, 7345 bytes, crc 1a2b3c4d
 *   length 153616
 *   column /trials/v_after 1 270 18488            values a row, rows, offset
 *   column /trials/seed 1 270 9848 5e6f7a8b       a plan column: its CRC-32 as well
 *   attribute sweep 10
 *   quickstart
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "store/file.h"

enum { HEAD = 80, LINE = 128, SMALLEST = 512, MOST_INDEX = 1 << 24 };

static const char title[] = "palimpsest results, schema ";

const char *const pal_attribute_names[PAL_ATTRIBUTE_COUNT] = {
#define X(name) #name,
    PAL_ATTRIBUTES(X)
#undef X
};

size_t pal_index_room(const pal_store_t *store)
{
    size_t need = HEAD + LINE * (size_t)(1 + pal_column_count() + PAL_ATTRIBUTE_COUNT);
    size_t room = SMALLEST;

    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++)
        need += strlen(store->attributes[i]);
    while (room < need)
        room *= 2;
    return room;
}

void pal_index_print(const pal_store_t *store, size_t length, char *room, size_t n)
{
    char *body = room + HEAD, *end = room + n;
    char *at = body;

    at += snprintf(at, (size_t)(end - at), "length %zu\n", length);
    for (int i = 0; i < pal_column_count(); i++) {
        const pal_column_t *column = pal_column_at(i);
        const pal_span_t *span = &store->spans[i];

        at += snprintf(at, (size_t)(end - at), "column %s/%s %d %d %" PRId64,
                       pal_table_path(column->table), column->name, span->width,
                       store->rows[column->table], span->offset);
        if (span->sealed)
            at += snprintf(at, (size_t)(end - at), " %08" PRIx32, span->crc);
        at += snprintf(at, (size_t)(end - at), "\n");
    }
    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++)
        at += snprintf(at, (size_t)(end - at), "attribute %s %zu\n%s\n",
                       pal_attribute_names[i], strlen(store->attributes[i]),
                       store->attributes[i]);
    snprintf(room, HEAD, "%s%d, %zu bytes, crc %08" PRIx32 "\n", title,
             PAL_STORE_SCHEMA, (size_t)(at - body),
             pal_crc32(0, body, (size_t)(at - body)));
}

/* --- Reading --- */

/* Read the head; *bytes and *crc of the body. */
static int read_head(const pal_store_t *store, size_t *bytes, uint32_t *crc,
                     pal_error_t *err)
{
    char head[HEAD + 1] = "";
    struct stat file;
    int schema = 0;

    if (fstat(store->fd, &file) != 0)
        return PAL_FAIL(err, PAL_EIO, "%s: %s", store->path, strerror(errno));
    if (!S_ISREG(file.st_mode))
        return PAL_REJECT(err, "%s: not a file but %s", store->path,
                          pal_file_kind(file.st_mode));
    if (pread(store->fd, head, HEAD, 0) < 0 ||
        strncmp(head, title, sizeof title - 1) != 0)
        return PAL_REJECT(err, "%s: not a results file of palimpsest (%lld bytes, %s)",
                          store->path, (long long)file.st_size,
                          strncmp(head, "\211HDF", 4) == 0 ? "of some HDF5 file"
                                                           : "not of HDF5");
    if (sscanf(head + sizeof title - 1, "%9d, %10zu bytes, crc %8" SCNx32, &schema,
               bytes, crc) != 3 &&
        schema == PAL_STORE_SCHEMA)
        return PAL_REJECT(err, "%s: damaged in its first line", store->path);
    if (schema != PAL_STORE_SCHEMA)
        return PAL_REJECT(err,
                          "%s: written with schema %d; this program reads schema %d",
                          store->path, schema, PAL_STORE_SCHEMA);
    return PAL_OK;
}

/* The body, malloc'ed and terminated. */
static int read_body(const pal_store_t *store, char **body, size_t *bytes,
                     pal_error_t *err)
{
    uint32_t crc = 0;
    char *text;
    ssize_t got;
    int rc = read_head(store, bytes, &crc, err);

    if (rc != PAL_OK)
        return rc;
    text = *bytes < MOST_INDEX ? malloc(*bytes + 1) : NULL;
    if (!text)
        return PAL_REJECT(err, "%s: an index of %zu bytes", store->path, *bytes);
    got = pread(store->fd, text, *bytes, HEAD);
    if (got != (ssize_t)*bytes) {
        rc = PAL_REJECT(err, "%s: truncated: %zd bytes of an index of %zu", store->path,
                        got, *bytes);
    } else if (pal_crc32(0, text, *bytes) != crc) {
        rc =
            PAL_REJECT(err, "%s: damaged: its index has another checksum", store->path);
    }
    if (rc != PAL_OK) {
        free(text);
        return rc;
    }
    text[*bytes] = 0;
    *body = text;
    return PAL_OK;
}

/* The column called "/trials/v_after", or -1. */
static int find_path(const char *path)
{
    char name[LINE];

    for (int i = 0; i < pal_column_count(); i++) {
        const pal_column_t *column = pal_column_at(i);

        snprintf(name, sizeof name, "%s/%s", pal_table_path(column->table),
                 column->name);
        if (strcmp(name, path) == 0)
            return i;
    }
    return -1;
}

/* Take over one column; 0 if it cannot be right. length: bytes of the file. */
static int take_column(pal_store_t *store, const char *line, int64_t length)
{
    const pal_column_t *column;
    char path[LINE] = "";
    int32_t width, rows;
    int64_t offset;
    uint32_t crc = 0;
    size_t stride;
    int i, fields;

    /* A blank in the format would match the end of the line as well. */
    fields = sscanf(
        line, "column %127s %9" SCNd32 " %9" SCNd32 " %18" SCNd64 "%*1[ ]%8" SCNx32,
        path, &width, &rows, &offset, &crc);
    if (fields < 4 || width < 0 || rows < 0 || offset < 0 || offset > length)
        return 0;
    i = find_path(path);
    if (i < 0)
        return 1; /* none of ours: nobody asks for it */
    column = pal_column_at(i);
    stride = (size_t)width * pal_storage_size(column->storage);
    if ((column->extent == PAL_ONE && width != pal_column_width(column, NULL)) ||
        (store->rows[column->table] >= 0 && store->rows[column->table] != rows) ||
        (rows > 0 && stride > (size_t)(length - offset) / (size_t)rows))
        return 0;
    store->rows[column->table] = rows;
    store->spans[i] = (pal_span_t){offset, width, stride, fields == 5, crc};
    return 1;
}

/* Take over one attribute; returns what follows it, or NULL if it cannot be right. */
static const char *take_attribute(pal_store_t *store, const char *line, const char *end)
{
    const char *text = strchr(line, '\n');
    char name[LINE] = "";
    size_t n;

    if (!text || sscanf(line, "attribute %127s %9zu", name, &n) != 2)
        return NULL;
    text++;
    if ((size_t)(end - text) <= n || text[n] != '\n')
        return NULL;
    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++)
        if (strcmp(name, pal_attribute_names[i]) == 0 && !store->attributes[i]) {
            store->attributes[i] = calloc(1, n + 1);
            if (!store->attributes[i])
                return NULL;
            memcpy(store->attributes[i], text, n);
        }
    return text + n + 1;
}

static int parse(pal_store_t *store, const char *body, size_t bytes, pal_error_t *err)
{
    const char *line = body, *end = body + bytes;
    int64_t length = -1;
    struct stat file;

    if (fstat(store->fd, &file) != 0 || sscanf(body, "length %18" SCNd64, &length) != 1)
        return PAL_REJECT(err, "%s: damaged: its index has no length", store->path);
    if (length > (int64_t)file.st_size)
        return PAL_REJECT(err, "%s: truncated: %lld bytes of %" PRId64, store->path,
                          (long long)file.st_size, length);
    while (line && line < end) {
        if (strncmp(line, "attribute ", 10) == 0) {
            line = take_attribute(store, line, end);
        } else {
            if (strncmp(line, "column ", 7) == 0 && !take_column(store, line, length))
                line = NULL;
            else if ((line = strchr(line, '\n')))
                line++;
        }
    }
    if (!line)
        return PAL_REJECT(err, "%s: damaged: a line of its index makes no sense",
                          store->path);
    return PAL_OK;
}

static int check_complete(const pal_store_t *store, pal_error_t *err)
{
    for (int i = 0; i < pal_column_count(); i++) {
        const pal_column_t *column = pal_column_at(i);

        if (store->spans[i].offset < 0)
            return PAL_REJECT(err, "%s: column %s/%s is missing", store->path,
                              pal_table_path(column->table), column->name);
    }
    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++)
        if (!store->attributes[i])
            return PAL_REJECT(err, "%s: attribute %s is missing", store->path,
                              pal_attribute_names[i]);
    return PAL_OK;
}

int pal_index_read(pal_store_t *store, pal_error_t *err)
{
    char *body = NULL;
    size_t bytes = 0;
    int rc = read_body(store, &body, &bytes, err);

    if (rc != PAL_OK)
        return rc;
    for (int t = 0; t < PAL_TABLES; t++)
        store->rows[t] = -1;
    for (int i = 0; i < pal_column_count(); i++)
        store->spans[i].offset = -1;
    rc = parse(store, body, bytes, err);
    if (rc == PAL_OK)
        rc = check_complete(store, err);
    free(body);
    return rc;
}
