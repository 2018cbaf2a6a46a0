/* From the file of another plan to that of this one, row by row. */
#include <stdlib.h>
#include <string.h>

#include "store/file.h"

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

static int move_row(const pal_store_t *old, int32_t from, pal_store_t *fresh,
                    int32_t to, pal_table_t table, uint8_t *in, uint8_t *out,
                    pal_error_t *err)
{
    pal_where_t where;
    int rc = pal_store_read(old, table, from, in, err);

    if (rc == PAL_OK)
        rc = read_where(old, table, from, &where, err);
    if (rc != PAL_OK || !fit_record(old, fresh, table, in, out))
        return rc;
    return pal_store_write(fresh, table, to, pal_store_state(old, table, from), out,
                           &where, err);
}

/* from[i]: the row of `old` that is row i of `fresh`, or -1. */
static int move_table(const pal_store_t *old, pal_store_t *fresh, pal_table_t table,
                      const int32_t *from, pal_error_t *err)
{
    uint8_t *in = malloc(pal_store_record_size(old, table) + 1);
    uint8_t *out = malloc(pal_store_record_size(fresh, table) + 1);
    int rc = PAL_OK;

    if (!in || !out)
        rc = PAL_FAIL(err, PAL_ENOMEM, "records of %s", pal_table_path(table));
    for (int32_t i = 0; rc == PAL_OK && i < fresh->rows[table]; i++)
        if (from[i] >= 0)
            rc = move_row(old, from[i], fresh, i, table, in, out, err);
    free(out);
    free(in);
    return rc;
}

static int move_sessions(const pal_store_t *old, pal_store_t *fresh, pal_error_t *err)
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

int pal_store_move(const pal_store_t *old, pal_store_t *fresh, const pal_plan_t *plan,
                   int32_t *damaged, pal_error_t *err)
{
    pal_match_t match;
    int rc = pal_store_match(old, plan, &match, err);

    if (rc != PAL_OK)
        return rc;
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS && rc == PAL_OK; t++)
        rc = move_table(old, fresh, (pal_table_t)t, match.rows[t], err);
    if (rc == PAL_OK && same_sessions(old, fresh))
        rc = move_sessions(old, fresh, err);
    *damaged = match.damaged;
    pal_match_free(&match);
    return rc;
}
