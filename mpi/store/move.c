/* From the file of another plan to that of this one, row by row, by key. */
#include <stdlib.h>
#include <string.h>

#include "store/file.h"

enum { KEY_BYTES = PAL_KEY_TEXT - 1 };

typedef struct {
    char key[KEY_BYTES];
    int32_t row;
} pal_keyed_row_t;

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, KEY_BYTES);
}

/* Rows of a table sorted by key, malloc'ed. */
static int sort_rows(const pal_store_t *store, pal_table_t table, pal_keyed_row_t **out,
                     pal_error_t *err)
{
    int column = pal_column_find(table, "key");
    int32_t rows = store->rows[table];
    pal_keyed_row_t *list = calloc((size_t)rows + 1, sizeof *list);
    int rc = PAL_OK;

    if (!list)
        return PAL_FAIL(err, PAL_ENOMEM, "%d keys", rows);
    if (rows > 0 && store->spans[column].stride != KEY_BYTES)
        rc = PAL_REJECT(err, "%s: keys of %zu bytes in %s", store->path,
                        store->spans[column].stride, pal_table_path(table));
    for (int32_t i = 0; i < rows && rc == PAL_OK; i++) {
        list[i].row = i;
        rc = pal_store_get(store, column, i, 1, list[i].key, err);
    }
    if (rc != PAL_OK) {
        free(list);
        return rc;
    }
    qsort(list, (size_t)rows, sizeof *list, by_key);
    *out = list;
    return PAL_OK;
}

/* Copy one column's value: the same, cut or filled up to the new width. A cut may only
 * lose what was blank. */
static int fit(const pal_column_t *column, const pal_span_t *from, const pal_span_t *to,
               const uint8_t *in, uint8_t *out)
{
    size_t n = from->stride < to->stride ? from->stride : to->stride;
    uint8_t *blank;
    int same;

    pal_column_blank(column, out, to->width);
    memcpy(out, in, n);
    if (from->stride <= to->stride)
        return 1;
    blank = malloc(from->stride);
    if (!blank)
        return 0;
    pal_column_blank(column, blank, from->width);
    same = memcmp(in + n, blank + n, from->stride - n) == 0;
    free(blank);
    return same;
}

static int fit_record(const pal_store_t *old, const pal_store_t *fresh,
                      pal_table_t table, const uint8_t *in, uint8_t *out)
{
    for (int i = 0; i < pal_column_count(); i++) {
        const pal_column_t *column = pal_column_at(i);

        if (!pal_column_in_record(column, table))
            continue;
        if (!fit(column, &old->spans[i], &fresh->spans[i], in, out))
            return 0;
        in += old->spans[i].stride;
        out += fresh->spans[i].stride;
    }
    return 1;
}

static int read_where(const pal_store_t *store, pal_table_t table, int32_t row,
                      pal_where_t *where, pal_error_t *err)
{
    pal_table_t run = pal_store_run_table(table);
    int rc =
        pal_store_get(store, pal_column_find(run, "host"), row, 1, where->host, err);

    if (rc == PAL_OK)
        rc = pal_store_get(store, pal_column_find(run, "rank"), row, 1, &where->rank,
                           err);
    if (rc == PAL_OK)
        rc = pal_store_get(store, pal_column_find(run, "seconds"), row, 1,
                           &where->seconds, err);
    if (rc == PAL_OK)
        rc = pal_store_get(store, pal_column_find(run, "finished"), row, 1,
                           &where->finished, err);
    where->host[sizeof where->host - 1] = 0;
    return rc;
}

/* A row whose checksum does not match is left behind, and computed again. */
static int move_row(pal_store_t *old, int32_t from, pal_store_t *fresh, int32_t to,
                    pal_table_t table, uint8_t *in, uint8_t *out, pal_error_t *err)
{
    pal_state_t state = (pal_state_t)old->states[table][from];
    char key[PAL_KEY_TEXT] = "";
    pal_where_t where;
    uint32_t crc = 0;
    int rc;

    rc = pal_store_get(old, pal_column_find(table, "key"), from, 1, key, err);
    if (rc == PAL_OK)
        rc = pal_store_get(old, pal_column_find(table, "crc"), from, 1, &crc, err);
    if (rc == PAL_OK)
        rc = pal_store_read(old, table, from, in, err);
    if (rc == PAL_OK)
        rc = read_where(old, table, from, &where, err);
    if (rc != PAL_OK)
        return rc;
    if (crc != pal_store_crc(state, key, in, pal_store_record_size(old, table)) ||
        !fit_record(old, fresh, table, in, out))
        return PAL_OK;
    return pal_store_write(fresh, table, to, state, out, &where, err);
}

/* Finished rows of `old` without a place in `fresh` go into *homeless; with move set
 * the others are copied. */
static int move_table(pal_store_t *old, pal_store_t *fresh, pal_table_t table, int move,
                      int32_t *homeless, pal_error_t *err)
{
    uint8_t *in = malloc(pal_store_record_size(old, table) + 1);
    uint8_t *out = malloc(pal_store_record_size(fresh, table) + 1);
    pal_keyed_row_t *theirs = NULL, *ours = NULL;
    int rc;

    if (!in || !out)
        rc = PAL_FAIL(err, PAL_ENOMEM, "records of %s", pal_table_path(table));
    else
        rc = sort_rows(old, table, &theirs, err);
    if (rc == PAL_OK)
        rc = sort_rows(fresh, table, &ours, err);
    for (int32_t i = 0; rc == PAL_OK && i < old->rows[table]; i++) {
        const pal_keyed_row_t *to;

        if (!pal_is_finished(old->states[table][theirs[i].row]))
            continue;
        to =
            bsearch(&theirs[i], ours, (size_t)fresh->rows[table], sizeof *ours, by_key);
        if (!to)
            ++*homeless;
        else if (move)
            rc = move_row(old, theirs[i].row, fresh, to->row, table, in, out, err);
    }
    free(ours);
    free(theirs);
    free(out);
    free(in);
    return rc;
}

static int move_sessions(pal_store_t *old, pal_store_t *fresh, pal_error_t *err)
{
    uint8_t bytes[256];
    int rc = PAL_OK;

    for (int i = 0; i < pal_column_count(); i++) {
        if (pal_column_at(i)->table != PAL_TABLE_SESSIONS)
            continue;
        for (int32_t row = 0; row < PAL_SESSIONS && rc == PAL_OK; row++) {
            rc = pal_store_get(old, i, row, 1, bytes, err);
            if (rc == PAL_OK)
                rc = pal_store_put(fresh, i, row, 1, bytes, err);
        }
    }
    return rc;
}

static int same_sessions(const pal_store_t *old, const pal_store_t *fresh)
{
    for (int i = 0; i < pal_column_count(); i++)
        if (pal_column_at(i)->table == PAL_TABLE_SESSIONS &&
            old->spans[i].stride != fresh->spans[i].stride)
            return 0;
    return old->rows[PAL_TABLE_SESSIONS] == fresh->rows[PAL_TABLE_SESSIONS];
}

int pal_store_move(pal_store_t *old, pal_store_t *fresh, pal_error_t *err)
{
    int32_t trials = 0, models = 0;
    int rc;

    rc = move_table(old, fresh, PAL_TABLE_TRIALS, 0, &trials, err);
    if (rc == PAL_OK)
        rc = move_table(old, fresh, PAL_TABLE_UNLEARNED, 0, &models, err);
    if (rc == PAL_OK)
        rc = move_table(old, fresh, PAL_TABLE_BASE, 0, &models, err);
    if (rc != PAL_OK)
        return rc;
    if (trials || models)
        return PAL_REJECT(err,
                          "%s holds %d done trials and %d done models that this "
                          "config does not have; choose another -o, or move it away",
                          old->path, trials, models);
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS && rc == PAL_OK; t++)
        rc = move_table(old, fresh, (pal_table_t)t, 1, &models, err);
    if (rc == PAL_OK && same_sessions(old, fresh))
        rc = move_sessions(old, fresh, err);
    return rc;
}
