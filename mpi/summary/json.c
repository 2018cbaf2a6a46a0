#include "summary/summary.h"

#include <jansson.h>
#include <math.h>

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *index_or_null(int32_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *estimate(const pal_estimate_t *e)
{
    return json_pack("{s:o, s:o, s:o, s:i, s:i, s:s?}", "value", number(e->value),
                     "low", number(e->low), "high", number(e->high), "seeds",
                     (int)e->seeds, "facts", (int)e->facts, "reason", e->reason);
}

static json_t *states(const int32_t trials[PAL_STATES])
{
    return json_pack("{s:i, s:i, s:i, s:i}", "pending", (int)trials[PAL_ROW_PENDING],
                     "done", (int)trials[PAL_ROW_DONE], "failed",
                     (int)trials[PAL_ROW_FAILED], "diverged",
                     (int)trials[PAL_ROW_DIVERGED]);
}

static int add_tuning(json_t *object, const pal_tuning_t *tuning)
{
    json_t *part = json_pack(
        "{s:i, s:o, s:o, s:o, s:i, s:i, s:i, s:i}", "repetitions",
        (int)tuning->repetitions, "attack_lr", number(tuning->rate),
        "attack_lr_smallest", number(tuning->smallest_rate), "attack_lr_largest",
        number(tuning->largest_rate), "rate_at_end", (int)tuning->rate_at_end,
        "rate_at_largest", (int)tuning->rate_at_largest, "point_at_end",
        (int)tuning->point_at_end, "gaining", (int)tuning->gaining);
    int failed = !part || json_object_update(object, part) != 0;

    json_decref(part);
    return failed;
}

static json_t *cell_object(const pal_summary_cell_t *cell)
{
    static const char *const roles[] = {"unlearns", "ceiling", "floor"};
    json_t *object = json_pack(
        "{s:i, s:s, s:o, s:s, s:o, s:o, s:I, s:s, s:s, s:s, s:o, s:o, s:o, s:b, s:i, "
        "s:o}",
        "world", (int)cell->world, "model", cell->model, "taught", number(cell->taught),
        "method", cell->method, "coefficient", number(cell->coefficient), "unlearn_lr",
        number(cell->unlearn_lr), "unlearn_steps", (json_int_t)cell->unlearn_steps,
        "role", roles[cell->role], "setting", cell->setting, "attack_setting",
        cell->attack, "trials", states(cell->trials), "floor",
        index_or_null(cell->floor), "ceiling", index_or_null(cell->ceiling), "damaged",
        cell->damaged, "ended_early", (int)cell->ended_early, "mean_steps",
        number(cell->mean_steps));
    const struct {
        const char *name;
        const pal_estimate_t *estimate;
    } estimates[] = {
        {"v_before", &cell->v_before},
        {"retain_before", &cell->retain_before},
        {"v_after", &cell->v_after},
        {"retain_after", &cell->retain_after},
        {"corrected_recovery", &cell->corrected},
        {"paper_recovery", &cell->paper},
    };
    int failed = !object;

    for (size_t i = 0; i < sizeof estimates / sizeof *estimates; i++)
        failed |= json_object_set_new(object, estimates[i].name,
                                      estimate(estimates[i].estimate));
    failed |= add_tuning(object, &cell->tuning);
    failed |= json_object_set_new(object, "v_after_max_chosen_on_v",
                                  number(cell->v_after_max.value));
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

int pal_summary_json(const pal_summary_t *summary, FILE *out, pal_error_t *err)
{
    json_t *cells = json_array(), *root = NULL;
    int rc = PAL_OK;

    for (int32_t i = 0; i < summary->count && rc == PAL_OK; i++)
        if (json_array_append_new(cells, cell_object(&summary->cells[i])) != 0)
            rc = PAL_FAIL(err, PAL_ENOMEM, "JSON of %d cells", summary->count);
    if (rc == PAL_OK)
        root =
            json_pack("{s:s, s:i, s:i, s:o, s:i, s:f, s:O}", "sweep", summary->sweep,
                      "seeds", (int)summary->seeds, "held_out_facts",
                      (int)summary->held_out, "trials", states(summary->trials),
                      "resamples", (int)PAL_RESAMPLES, "level", 0.95, "cells", cells);
    if (rc == PAL_OK && !root)
        rc = PAL_FAIL(err, PAL_ENOMEM, "JSON of %d cells", summary->count);
    if (rc == PAL_OK &&
        (json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) ||
         fputc('\n', out) == EOF || fflush(out) != 0))
        rc = PAL_FAIL(err, PAL_EIO, "cannot write JSON");
    json_decref(root);
    json_decref(cells);
    return rc;
}
