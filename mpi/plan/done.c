#include "plan/done.h"

#include <stdlib.h>
#include <string.h>

#include "store/store.h"

static int no_memory(const char *path, pal_error_t *err)
{
    return PAL_FAIL(err, PAL_ENOMEM, "finished rows of %s", path);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Keys of a table's finished rows, sorted, in the arena. */
static int finished_keys(const pal_store_t *store, pal_table_t table,
                         pal_arena_t *arena, const char ***keys, int32_t *count,
                         pal_error_t *err)
{
    int32_t rows = pal_store_rows(store, table);
    double *states = pal_arena_get(arena, ((size_t)rows + 1) * sizeof *states);
    const char *const *texts = NULL;
    int rc = PAL_OK;

    *count = 0;
    *keys = pal_arena_get(arena, ((size_t)rows + 1) * sizeof **keys);
    if (!states || !*keys)
        return PAL_FAIL(err, PAL_ENOMEM, "keys of %d rows", rows);
    rc = pal_store_numbers(store, table, "state", states, err);
    if (rc == PAL_OK)
        rc = pal_store_texts(store, table, "key", arena, &texts, err);
    for (int32_t i = 0; rc == PAL_OK && i < rows; i++)
        if (states[i] == PAL_ROW_DONE || states[i] == PAL_ROW_DIVERGED)
            (*keys)[(*count)++] = texts[i];
    if (rc == PAL_OK)
        qsort(*keys, (size_t)*count, sizeof **keys, by_text);
    return rc;
}

static pal_key_t key_of(const pal_plan_t *plan, pal_table_t table, int32_t row)
{
    if (table == PAL_TABLE_BASE)
        return plan->bases[row].key;
    return table == PAL_TABLE_UNLEARNED ? plan->unlearned[row].key
                                        : plan->trials[row].key;
}

/* Mark the plan's rows that are finished; *homeless: finished rows that it lacks. */
static int mark(const pal_store_t *store, const pal_plan_t *plan, pal_table_t table,
                pal_done_t *done, int32_t *homeless, pal_error_t *err)
{
    char text[PAL_KEY_TEXT];
    const char *key = text, **keys;
    pal_arena_t arena = {0};
    int32_t count, found = 0;
    int rc = finished_keys(store, table, &arena, &keys, &count, err);

    for (int32_t i = 0; rc == PAL_OK && i < pal_table_rows(plan, table); i++) {
        pal_key_text(key_of(plan, table, i), text);
        if (bsearch(&key, keys, (size_t)count, sizeof *keys, by_text)) {
            done->rows[table][i] = 1;
            found++;
        }
    }
    *homeless = count - found;
    done->left -= found;
    if (table == PAL_TABLE_TRIALS)
        done->trials = found;
    pal_arena_free(&arena);
    return rc;
}

static int mark_all(const char *path, const pal_plan_t *plan, pal_done_t *done,
                    pal_error_t *err)
{
    int32_t homeless[PAL_TABLES] = {0};
    pal_store_t *store = NULL;
    int rc = pal_store_view(path, &store, err);

    if (rc == PAL_ENOENT) {
        if (err)
            err->text[0] = 0; /* nothing is done yet */
        return PAL_OK;
    }
    for (int t = PAL_TABLE_BASE; rc == PAL_OK && t <= PAL_TABLE_TRIALS; t++)
        rc = mark(store, plan, (pal_table_t)t, done, &homeless[t], err);
    pal_store_close(store);
    if (rc == PAL_OK && (homeless[PAL_TABLE_BASE] || homeless[PAL_TABLE_UNLEARNED] ||
                         homeless[PAL_TABLE_TRIALS]))
        return PAL_REJECT(err,
                          "%s holds %d done trials and %d done models that this "
                          "config does not have; choose another -o, or move it away",
                          path, homeless[PAL_TABLE_TRIALS],
                          homeless[PAL_TABLE_BASE] + homeless[PAL_TABLE_UNLEARNED]);
    return rc;
}

int pal_done_read(const char *path, const pal_plan_t *plan, pal_done_t *done,
                  pal_error_t *err)
{
    int rc = PAL_OK;

    memset(done, 0, sizeof *done);
    done->weights = pal_arena_get(&done->arena, (size_t)plan->base_count + 1);
    if (!done->weights)
        rc = no_memory(path, err);
    for (int t = PAL_TABLE_BASE; rc == PAL_OK && t <= PAL_TABLE_TRIALS; t++) {
        size_t rows = (size_t)pal_table_rows(plan, (pal_table_t)t);

        done->rows[t] = pal_arena_get(&done->arena, rows + 1);
        done->left += (int32_t)rows;
        if (!done->rows[t])
            rc = no_memory(path, err);
    }
    if (rc == PAL_OK)
        rc = mark_all(path, plan, done, err);
    if (rc != PAL_OK)
        pal_done_free(done);
    return rc;
}

void pal_done_free(pal_done_t *done)
{
    pal_arena_free(&done->arena);
    memset(done, 0, sizeof *done);
}
