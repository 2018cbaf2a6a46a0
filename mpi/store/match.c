/* Which rows of a plan a results file has, by key. */
#include <stdlib.h>
#include <string.h>

#include "store/file.h"

enum { KEY_BYTES = PAL_KEY_TEXT - 1 };

typedef struct {
    char key[KEY_BYTES];
    int32_t row; /* -1: another checksum */
} pal_keyed_row_t;

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, KEY_BYTES);
}

/* A table's finished rows, sorted by key, in the arena. */
static int list_rows(const pal_store_t *store, pal_table_t table, pal_arena_t *arena,
                     pal_keyed_row_t **list, int32_t *count, pal_error_t *err)
{
    pal_stretch_t *stretch = NULL;
    int rc = pal_stretch_create(store, table, &stretch, err);

    *count = 0;
    *list = pal_arena_get(arena, ((size_t)store->rows[table] + 1) * sizeof **list);
    if (rc == PAL_OK && !*list)
        rc = PAL_FAIL(err, PAL_ENOMEM, "keys of %d rows", store->rows[table]);
    while (rc == PAL_OK && (rc = pal_stretch_next(stretch, err)) == PAL_OK &&
           stretch->count > 0)
        for (int32_t i = 0; i < stretch->count; i++) {
            pal_keyed_row_t *next = &(*list)[*count];

            if (stretch->states[i] == PAL_ROW_PENDING ||
                stretch->states[i] == PAL_ROW_FAILED)
                continue;
            memcpy(next->key, stretch->keys[i], KEY_BYTES);
            next->row = pal_stretch_is_whole(stretch, i) ? stretch->first + i : -1;
            ++*count;
        }
    pal_stretch_destroy(stretch);
    if (rc == PAL_OK)
        qsort(*list, (size_t)*count, sizeof **list, by_key);
    return rc;
}

static pal_key_t key_of(const pal_plan_t *plan, pal_table_t table, int32_t row)
{
    if (table == PAL_TABLE_BASE)
        return plan->bases[row].key;
    return table == PAL_TABLE_UNLEARNED ? plan->unlearned[row].key
                                        : plan->trials[row].key;
}

/* *homeless: finished rows that the plan lacks. */
static int match_table(const pal_store_t *store, const pal_plan_t *plan,
                       pal_table_t table, pal_match_t *match, int32_t *homeless,
                       pal_error_t *err)
{
    int32_t rows = pal_table_rows(plan, table), count, *from;
    pal_keyed_row_t *list;
    char text[PAL_KEY_TEXT];
    int rc = list_rows(store, table, &match->arena, &list, &count, err);

    if (rc != PAL_OK)
        return rc;
    from = pal_arena_get(&match->arena, ((size_t)rows + 1) * sizeof *from);
    if (!from)
        return PAL_FAIL(err, PAL_ENOMEM, "%d rows", rows);
    *homeless = count;
    for (int32_t i = 0; i < rows; i++) {
        const pal_keyed_row_t *found;

        pal_key_text(key_of(plan, table, i), text);
        found = bsearch(text, list, (size_t)count, sizeof *list, by_key);
        from[i] = found ? found->row : -1;
        *homeless -= found != NULL;
        match->damaged += found && found->row < 0;
    }
    match->rows[table] = from;
    return PAL_OK;
}

int pal_store_match(const pal_store_t *store, const pal_plan_t *plan,
                    pal_match_t *match, pal_error_t *err)
{
    int32_t homeless[PAL_TABLES] = {0};
    int rc = PAL_OK;

    memset(match, 0, sizeof *match);
    for (int t = PAL_TABLE_BASE; rc == PAL_OK && t <= PAL_TABLE_TRIALS; t++)
        rc = match_table(store, plan, (pal_table_t)t, match, &homeless[t], err);
    if (rc == PAL_OK && (homeless[PAL_TABLE_BASE] || homeless[PAL_TABLE_UNLEARNED] ||
                         homeless[PAL_TABLE_TRIALS]))
        rc = PAL_REJECT(err,
                        "%s holds %d done trials and %d done models that this "
                        "config does not have; choose another -o, or move it away",
                        store->path, homeless[PAL_TABLE_TRIALS],
                        homeless[PAL_TABLE_BASE] + homeless[PAL_TABLE_UNLEARNED]);
    if (rc != PAL_OK)
        pal_match_free(match);
    return rc;
}

void pal_match_free(pal_match_t *match)
{
    pal_arena_free(&match->arena);
    memset(match, 0, sizeof *match);
}
