/* Are the bytes of a file still those that were written? */
#include <stdlib.h>

#include "store/file.h"

/* --- Columns of the plan --- */

static int check_column(const pal_store_t *store, int column, pal_error_t *err)
{
    const pal_span_t *span = &store->spans[column];
    pal_table_t table = pal_column_at(column)->table;
    size_t bytes = span->stride * (size_t)store->rows[table];
    uint8_t *values = malloc(bytes + 1);
    int rc;

    if (!values)
        return PAL_FAIL(err, PAL_ENOMEM, "column %s", pal_column_at(column)->name);
    rc = pal_store_get(store, column, 0, store->rows[table], values, err);
    if (rc == PAL_OK && pal_crc32(0, values, bytes) != span->crc)
        rc =
            PAL_REJECT(err,
                       "%s: damaged: the column %s/%s is not as it was made; the plan "
                       "never changes it",
                       store->path, pal_table_path(table), pal_column_at(column)->name);
    free(values);
    return rc;
}

int pal_store_check_plan(const pal_store_t *store, pal_error_t *err)
{
    int rc = PAL_OK;

    for (int i = 0; i < pal_column_count() && rc == PAL_OK; i++)
        if (store->spans[i].sealed)
            rc = check_column(store, i, err);
    return rc;
}

/* --- Rows --- */

int pal_is_finished(uint8_t state)
{
    return state == PAL_ROW_DONE || state == PAL_ROW_DIVERGED;
}

int pal_stretch_create(const pal_store_t *store, pal_table_t table, pal_stretch_t **out,
                       pal_error_t *err)
{
    const pal_span_t *key = &store->spans[pal_column_find(table, "key")];
    pal_stretch_t *stretch;

    if (store->rows[table] > 0 && key->stride != sizeof stretch->keys[0])
        return PAL_REJECT(err, "%s: keys of %zu bytes in %s", store->path, key->stride,
                          pal_table_path(table));
    stretch = calloc(1, sizeof *stretch);
    if (stretch) {
        stretch->store = store;
        stretch->table = table;
        stretch->record_size = pal_store_record_size(store, table);
        stretch->records = malloc(stretch->record_size * PAL_STRETCH + 1);
    }
    if (!stretch || !stretch->records) {
        free(stretch);
        return PAL_FAIL(err, PAL_ENOMEM, "rows of %s", pal_table_path(table));
    }
    *out = stretch;
    return PAL_OK;
}

void pal_stretch_destroy(pal_stretch_t *stretch)
{
    if (stretch)
        free(stretch->records);
    free(stretch);
}

int pal_stretch_next(pal_stretch_t *stretch, pal_error_t *err)
{
    const pal_store_t *store = stretch->store;
    pal_table_t table = stretch->table;
    int32_t left;
    int rc;

    stretch->first += stretch->count;
    left = store->rows[table] - stretch->first;
    stretch->count = left < PAL_STRETCH ? left : PAL_STRETCH;
    rc = pal_store_get(store, pal_column_find(table, "state"), stretch->first,
                       stretch->count, stretch->states, err);
    if (rc == PAL_OK)
        rc = pal_store_get(store, pal_column_find(table, "key"), stretch->first,
                           stretch->count, stretch->keys, err);
    if (rc == PAL_OK)
        rc = pal_store_get(store, pal_column_find(table, "crc"), stretch->first,
                           stretch->count, stretch->crcs, err);
    if (rc == PAL_OK)
        rc = pal_store_records(store, table, stretch->first, stretch->count,
                               stretch->records, err);
    return rc;
}

const uint8_t *pal_stretch_record(const pal_stretch_t *stretch, int32_t i)
{
    return stretch->records + stretch->record_size * (size_t)i;
}

int pal_stretch_is_whole(const pal_stretch_t *stretch, int32_t i)
{
    return stretch->states[i] <= PAL_ROW_DIVERGED &&
           stretch->crcs[i] ==
               pal_store_crc((pal_state_t)stretch->states[i], stretch->keys[i],
                             pal_stretch_record(stretch, i), stretch->record_size);
}

/* A row that failed is no result, and a run may just set it back. */
static int check_rows(const pal_stretch_t *stretch, pal_error_t *err)
{
    for (int32_t i = 0; i < stretch->count; i++) {
        int strange = stretch->states[i] > PAL_ROW_DIVERGED;

        if (!strange &&
            (!pal_is_finished(stretch->states[i]) || pal_stretch_is_whole(stretch, i)))
            continue;
        return PAL_REJECT(err,
                          "%s: damaged: row %d of %s has %s; `palimpsest run` with its "
                          "config computes it again",
                          stretch->store->path, stretch->first + i,
                          pal_table_path(stretch->table),
                          strange ? "a state that does not exist" : "another checksum");
    }
    return PAL_OK;
}

int pal_store_check_rows(const pal_store_t *store, pal_error_t *err)
{
    int rc = PAL_OK;

    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS && rc == PAL_OK; t++) {
        pal_stretch_t *stretch = NULL;

        rc = pal_stretch_create(store, (pal_table_t)t, &stretch, err);
        while (rc == PAL_OK && (rc = pal_stretch_next(stretch, err)) == PAL_OK &&
               stretch->count > 0)
            rc = check_rows(stretch, err);
        pal_stretch_destroy(stretch);
    }
    return rc;
}
