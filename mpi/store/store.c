#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/file.h"

/* --- Opening --- */

static int load_states(pal_store_t *store, pal_error_t *err)
{
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++) {
        int rc;

        store->states[t] = malloc((size_t)store->rows[t] + 1);
        if (!store->states[t])
            return PAL_FAIL(err, PAL_ENOMEM, "states of %d rows", store->rows[t]);
        rc = pal_store_get(store, pal_column_find((pal_table_t)t, "state"), 0,
                           store->rows[t], store->states[t], err);
        if (rc != PAL_OK)
            return rc;
    }
    return PAL_OK;
}

int pal_store_attach(const char *path, int writable, pal_store_t **out,
                     pal_error_t *err)
{
    pal_store_t *store = calloc(1, sizeof *store);
    int rc;

    if (!store ||
        !(store->spans = calloc((size_t)pal_column_count(), sizeof(pal_span_t))) ||
        !(store->path = malloc(strlen(path) + 1))) {
        free(store ? store->spans : NULL);
        free(store);
        return PAL_FAIL(err, PAL_ENOMEM, "a store");
    }
    strcpy(store->path, path);
    store->lock = -1;
    store->session = -1;
    /* O_NONBLOCK: opening a pipe would wait for its other end. */
    store->fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
    if (store->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        rc = pal_fail_(err, PAL_ENOENT, NULL, 0, "%s: no such file", path);
    else if (store->fd < 0)
        rc = pal_fail_(err, PAL_EIO, NULL, 0, "%s: cannot open it for %s: %s", path,
                       writable ? "writing" : "reading", strerror(errno));
    else
        rc = pal_index_read(store, err);
    if (rc == PAL_OK)
        rc = pal_store_check_plan(store, err);
    if (rc == PAL_OK)
        rc = load_states(store, err);
    if (rc != PAL_OK) {
        pal_store_close(store);
        return rc;
    }
    *out = store;
    return PAL_OK;
}

int pal_store_view(const char *path, pal_store_t **out, pal_error_t *err)
{
    return pal_store_attach(path, 0, out, err);
}

void pal_store_close(pal_store_t *store)
{
    if (!store)
        return;
    if (store->fd >= 0)
        close(store->fd);
    pal_store_unlock(store->path, store->lock);
    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++)
        free(store->attributes[i]);
    for (int i = 0; i < PAL_TABLES; i++)
        free(store->states[i]);
    free(store->spans);
    free(store->path);
    free(store);
}

/* --- Rows as they lie in the file --- */

int pal_store_get(const pal_store_t *store, int column, int32_t row, int32_t n,
                  void *bytes, pal_error_t *err)
{
    const pal_span_t *span = &store->spans[column];
    size_t left = span->stride * (size_t)n;
    off_t at = (off_t)span->offset + (off_t)span->stride * row;
    char *to = bytes;

    while (left > 0) {
        ssize_t got = pread(store->fd, to, left, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return PAL_FAIL(err, PAL_EIO, "%s: reading at %lld: %s", store->path,
                            (long long)at, got < 0 ? strerror(errno) : "end of file");
        to += got;
        at += got;
        left -= (size_t)got;
    }
    return PAL_OK;
}

int pal_store_put(const pal_store_t *store, int column, int32_t row, int32_t n,
                  const void *bytes, pal_error_t *err)
{
    const pal_span_t *span = &store->spans[column];
    size_t left = span->stride * (size_t)n;
    off_t at = (off_t)span->offset + (off_t)span->stride * row;
    const char *from = bytes;

    while (left > 0) {
        ssize_t done = pwrite(store->fd, from, left, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return PAL_FAIL(err, PAL_EIO, "%s: writing row %d of %s: %s", store->path,
                            row, pal_table_path(pal_column_at(column)->table),
                            done < 0 ? strerror(errno) : "nothing written");
        from += done;
        at += done;
        left -= (size_t)done;
    }
    return PAL_OK;
}

size_t pal_store_record_size(const pal_store_t *store, pal_table_t table)
{
    size_t size = 0;

    for (int i = 0; i < pal_column_count(); i++)
        if (pal_column_in_record(pal_column_at(i), table))
            size += store->spans[i].stride;
    return size;
}

int pal_store_records(const pal_store_t *store, pal_table_t table, int32_t row,
                      int32_t n, uint8_t *records, pal_error_t *err)
{
    size_t size = pal_store_record_size(store, table), at = 0;
    uint8_t *values = malloc(size * (size_t)n + 1);
    int rc = PAL_OK;

    if (!values)
        return PAL_FAIL(err, PAL_ENOMEM, "%d records", n);
    for (int i = 0; i < pal_column_count() && rc == PAL_OK; i++) {
        size_t stride = store->spans[i].stride;

        if (!pal_column_in_record(pal_column_at(i), table))
            continue;
        rc = pal_store_get(store, i, row, n, values, err);
        for (int32_t r = 0; r < n && rc == PAL_OK; r++)
            memcpy(records + size * (size_t)r + at, values + stride * (size_t)r,
                   stride);
        at += stride;
    }
    free(values);
    return rc;
}

uint32_t pal_store_crc(pal_state_t state, const char *key, const uint8_t *record,
                       size_t size)
{
    uint8_t byte = (uint8_t)state;
    uint32_t crc = pal_crc32(0, &byte, 1);

    crc = pal_crc32(crc, key, PAL_KEY_TEXT - 1);
    return pal_crc32(crc, record, size);
}

pal_table_t pal_store_run_table(pal_table_t table)
{
    return (pal_table_t)(table - PAL_TABLE_BASE + PAL_TABLE_RUN_BASE);
}

/* --- Writing a row --- */

static int put_where(pal_store_t *store, pal_table_t table, int32_t row,
                     const pal_where_t *where, pal_error_t *err)
{
    pal_table_t run = pal_store_run_table(table);
    char host[PAL_HOST_BYTES] = "";
    int rc;

    memcpy(host, where->host, strnlen(where->host, sizeof host - 1));
    rc = pal_store_put(store, pal_column_find(run, "host"), row, 1, host, err);
    if (rc == PAL_OK)
        rc = pal_store_put(store, pal_column_find(run, "rank"), row, 1, &where->rank,
                           err);
    if (rc == PAL_OK)
        rc = pal_store_put(store, pal_column_find(run, "seconds"), row, 1,
                           &where->seconds, err);
    if (rc == PAL_OK)
        rc = pal_store_put(store, pal_column_find(run, "finished"), row, 1,
                           &where->finished, err);
    return rc;
}

static int put_state(pal_store_t *store, pal_table_t table, int32_t row,
                     pal_state_t state, pal_error_t *err)
{
    uint8_t byte = (uint8_t)state;
    int rc = pal_store_put(store, pal_column_find(table, "state"), row, 1, &byte, err);

    if (rc == PAL_OK)
        store->states[table][row] = byte;
    return rc;
}

static int put_record(pal_store_t *store, pal_table_t table, int32_t row,
                      const uint8_t *record, pal_error_t *err)
{
    int rc = PAL_OK;

    for (int i = 0; i < pal_column_count() && rc == PAL_OK; i++) {
        if (!pal_column_in_record(pal_column_at(i), table))
            continue;
        rc = pal_store_put(store, i, row, 1, record, err);
        record += store->spans[i].stride;
    }
    return rc;
}

/* A reader, or the next run after a kill, must never see a state whose row is not
 * whole: pending first, then results, checksum, and the state last. */
int pal_store_write(pal_store_t *store, pal_table_t table, int32_t row,
                    pal_state_t state, const uint8_t *record, const pal_where_t *where,
                    pal_error_t *err)
{
    char key[PAL_KEY_TEXT] = "";
    uint32_t crc = 0;
    int rc = PAL_OK;

    if (store->states[table][row] != PAL_ROW_PENDING)
        rc = put_state(store, table, row, PAL_ROW_PENDING, err);
    if (rc == PAL_OK)
        rc = pal_store_get(store, pal_column_find(table, "key"), row, 1, key, err);
    if (rc == PAL_OK)
        rc = put_record(store, table, row, record, err);
    if (rc == PAL_OK && where)
        rc = put_where(store, table, row, where, err);
    if (state != PAL_ROW_PENDING)
        crc = pal_store_crc(state, key, record, pal_store_record_size(store, table));
    if (rc == PAL_OK)
        rc = pal_store_put(store, pal_column_find(table, "crc"), row, 1, &crc, err);
    if (rc == PAL_OK && state != PAL_ROW_PENDING)
        rc = put_state(store, table, row, state, err);
    return rc;
}

int pal_store_read(const pal_store_t *store, pal_table_t table, int32_t row,
                   uint8_t *record, pal_error_t *err)
{
    return pal_store_records(store, table, row, 1, record, err);
}

pal_state_t pal_store_state(const pal_store_t *store, pal_table_t table, int32_t row)
{
    return (pal_state_t)store->states[table][row];
}

/* --- Reading columns --- */

int32_t pal_store_rows(const pal_store_t *store, pal_table_t table)
{
    return store->rows[table];
}

const char *pal_store_attribute(const pal_store_t *store, const char *name)
{
    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++)
        if (strcmp(pal_attribute_names[i], name) == 0)
            return store->attributes[i];
    return "";
}

int32_t pal_store_width(const pal_store_t *store, pal_table_t table, const char *column)
{
    int i = pal_column_find(table, column);

    return i < 0 ? 0 : store->spans[i].width;
}

/* The column's index if it is text (or is not), or an error. */
static int find(pal_table_t table, const char *name, int text, int *column,
                pal_error_t *err)
{
    *column = pal_column_find(table, name);
    if (*column < 0)
        return PAL_FAIL(err, PAL_ENOENT, "no column %s/%s", pal_table_path(table),
                        name);
    if ((pal_column_at(*column)->storage == PAL_STRING) != text)
        return PAL_FAIL(err, PAL_EINVAL, "column %s/%s is %s", pal_table_path(table),
                        name, text ? "not text" : "text");
    return PAL_OK;
}

static double number_at(pal_storage_t storage, const uint8_t *bytes)
{
    double real;
    int32_t small;
    int64_t large;
    uint32_t natural;

    switch (storage) {
    case PAL_I32:
        memcpy(&small, bytes, sizeof small);
        return small;
    case PAL_I64:
        memcpy(&large, bytes, sizeof large);
        return (double)large;
    case PAL_U32:
        memcpy(&natural, bytes, sizeof natural);
        return natural;
    case PAL_U8:
        return *bytes;
    default:
        memcpy(&real, bytes, sizeof real);
        return real;
    }
}

int pal_store_numbers(const pal_store_t *store, pal_table_t table, const char *column,
                      double *values, pal_error_t *err)
{
    int32_t rows = store->rows[table];
    const pal_span_t *span;
    uint8_t *bytes;
    size_t size;
    int i, rc = find(table, column, 0, &i, err);

    if (rc != PAL_OK)
        return rc;
    span = &store->spans[i];
    size = pal_storage_size(pal_column_at(i)->storage);
    bytes = malloc(span->stride * (size_t)rows + 1);
    if (!bytes)
        return PAL_FAIL(err, PAL_ENOMEM, "column %s", column);
    rc = pal_store_get(store, i, 0, rows, bytes, err);
    for (size_t k = 0; rc == PAL_OK && k < (size_t)rows * (size_t)span->width; k++)
        values[k] = number_at(pal_column_at(i)->storage, bytes + k * size);
    free(bytes);
    return rc;
}

int pal_store_bits(const pal_store_t *store, pal_table_t table, const char *column,
                   uint8_t *bits, pal_error_t *err)
{
    int i, rc = find(table, column, 0, &i, err);

    if (rc == PAL_OK && pal_column_at(i)->storage != PAL_U8)
        rc = PAL_FAIL(err, PAL_EINVAL, "column %s/%s is not bits",
                      pal_table_path(table), column);
    if (rc == PAL_OK)
        rc = pal_store_get(store, i, 0, store->rows[table], bits, err);
    return rc;
}

int pal_store_texts(const pal_store_t *store, pal_table_t table, const char *column,
                    pal_arena_t *arena, const char *const **texts, pal_error_t *err)
{
    size_t rows = (size_t)store->rows[table];
    const char **list;
    char *bytes;
    int i, rc = find(table, column, 1, &i, err);

    if (rc != PAL_OK)
        return rc;
    list = pal_arena_get(arena, rows * sizeof *list);
    bytes = malloc(store->spans[i].stride * rows + 1);
    if (!list || !bytes)
        rc = PAL_FAIL(err, PAL_ENOMEM, "column %s", column);
    else
        rc = pal_store_get(store, i, 0, store->rows[table], bytes, err);
    for (size_t k = 0; rc == PAL_OK && k < rows; k++) {
        const char *text = bytes + store->spans[i].stride * k;

        list[k] = pal_arena_text(arena, text, strnlen(text, store->spans[i].stride));
        if (!list[k])
            rc = PAL_FAIL(err, PAL_ENOMEM, "column %s", column);
    }
    free(bytes);
    if (rc == PAL_OK)
        *texts = list;
    return rc;
}
