/* Are the bytes of a file still those that were written? */
#include <stdlib.h>

#include "store/file.h"

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
