#include "plan/done.h"

#include <string.h>

#include "store/store.h"

static int no_memory(const char *path, pal_error_t *err)
{
    return PAL_FAIL(err, PAL_ENOMEM, "finished rows of %s", path);
}

static void mark(const pal_match_t *match, const pal_plan_t *plan, pal_done_t *done)
{
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++)
        for (int32_t i = 0; i < pal_table_rows(plan, (pal_table_t)t); i++) {
            done->rows[t][i] = match->rows[t][i] >= 0;
            done->left -= done->rows[t][i];
            done->trials += t == PAL_TABLE_TRIALS && done->rows[t][i];
        }
}

static int mark_all(const char *path, const pal_plan_t *plan, pal_done_t *done,
                    pal_error_t *err)
{
    pal_match_t match = {0};
    pal_store_t *store = NULL;
    int rc = pal_store_view(path, &store, err);

    if (rc == PAL_ENOENT) {
        if (err)
            err->text[0] = 0; /* nothing is done yet */
        return PAL_OK;
    }
    if (rc == PAL_OK)
        rc = pal_store_match(store, plan, &match, err);
    if (rc == PAL_OK)
        mark(&match, plan, done);
    pal_match_free(&match);
    pal_store_close(store);
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
