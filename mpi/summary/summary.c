#include "summary/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/setting.h"
#include "summary/rows.h"

/* What a cell's estimates are made from. */
typedef struct {
    const pal_rows_t *rows;
    const pal_group_t *groups;
    double *own, *floor, *ceiling; /* [seeds, forget facts] of the largest world */
} work_t;

static int32_t forget_facts(const pal_rows_t *rows, int32_t world)
{
    return rows->first_fact[world + 1] - rows->first_fact[world];
}

/* Random numbers of a cell: its settings name them, so that showing a file again, or a
 * larger sweep with the same cell, gives the same interval from the same rows. */
static pal_key_t cell_key(const pal_summary_cell_t *cell)
{
    pal_hash_t hash;

    pal_hash_begin(&hash);
    pal_hash_print(&hash, "%s", cell->setting);
    pal_hash_print(&hash, "%s", cell->attack);
    return pal_hash_end(&hash);
}

static int bit_of(const pal_rows_t *rows, const uint8_t *bits, int32_t row, int32_t i)
{
    return bits[(size_t)row * (size_t)rows->bytes + (size_t)i / 8] >> (i % 8) & 1;
}

/* scores[seeds, facts] of a world from bits[rows, bytes]; of v_max if bits is NULL. */
static void fill_scores(const pal_rows_t *rows, const pal_group_t *group, int32_t world,
                        const uint8_t *bits, double *scores)
{
    int32_t facts = forget_facts(rows, world);
    const int32_t *fold = rows->fold + rows->first_fact[world];

    for (size_t i = 0; i < (size_t)rows->seed_count * (size_t)facts; i++)
        scores[i] = NAN;
    for (int32_t c = 0; c < group->chosen_count; c++) {
        const pal_chosen_t *chosen = &group->chosen[c];
        double *score = scores + (size_t)chosen->seed * (size_t)facts;
        int32_t i = 0;

        for (int32_t f = 0; f < facts; f++) {
            if (fold[f] != rows->holdout[chosen->row])
                continue;
            score[f] = bits ? bit_of(rows, bits, chosen->row, i) : chosen->v_max;
            i++;
        }
    }
}

/* scores[seeds]: mean of a column over the held-out folds. */
static void fill_seeds(const pal_rows_t *rows, const pal_group_t *group,
                       const double *column, double *scores)
{
    for (int32_t s = 0; s < rows->seed_count; s++) {
        double sum = 0;
        int32_t n = 0;

        for (int32_t c = 0; c < group->chosen_count; c++)
            if (group->chosen[c].seed == s) {
                sum += column[group->chosen[c].row];
                n++;
            }
        scores[s] = n ? sum / n : NAN;
    }
}

static int estimate_means(const work_t *work, const pal_group_t *group,
                          pal_summary_cell_t *cell, pal_error_t *err)
{
    const pal_rows_t *rows = work->rows;
    const struct {
        const uint8_t *bits;
        const double *column;
        pal_estimate_t *out;
    } means[] = {
        {rows->bits_before, NULL, &cell->v_before},
        {NULL, NULL, &cell->v_after_max},
        {NULL, rows->retain_before, &cell->retain_before},
        {NULL, rows->retain_after, &cell->retain_after},
        {rows->bits, NULL, &cell->v_after},
    };
    int rc = PAL_OK;

    for (size_t i = 0; i < sizeof means / sizeof *means && rc == PAL_OK; i++) {
        if (means[i].column) {
            fill_seeds(rows, group, means[i].column, work->own);
            pal_estimate_seeds(work->own, rows->seed_count, means[i].out);
            continue;
        }
        fill_scores(rows, group, cell->world, means[i].bits, work->own);
        rc = pal_estimate_mean(work->own, rows->seed_count,
                               forget_facts(rows, cell->world), cell_key(cell),
                               means[i].out, err);
    }
    return rc;
}

static int any_seed_damaged(const pal_rows_t *rows, const pal_group_t *group)
{
    for (int32_t c = 0; c < group->chosen_count; c++)
        if (rows->retain_before[group->chosen[c].row] < PAL_SMALLEST_RETAIN)
            return 1;
    return 0;
}

/* Steps of the unlearning runs of a cell, and how many made fewer than asked for; those
 * that are not done have none. A group's chosen trials stand seed by seed, and those of
 * a seed share their run. */
static void count_steps(const pal_rows_t *rows, const pal_group_t *group,
                        pal_summary_cell_t *cell)
{
    double sum = 0;
    int32_t n = 0;

    for (int32_t c = 0; c < group->chosen_count; c++) {
        const pal_chosen_t *chosen = &group->chosen[c];
        double steps = rows->steps_done[(int32_t)rows->unlearned[chosen->row]];

        if (isnan(steps) || (c > 0 && chosen->seed == chosen[-1].seed))
            continue;
        cell->ended_early += steps < rows->unlearn_steps[chosen->row];
        sum += steps;
        n++;
    }
    cell->mean_steps = n ? sum / n : NAN;
}

/* The attack's rate that most repetitions chose, the smaller of equals. */
static double usual_rate(const pal_rows_t *rows, const pal_group_t *group)
{
    double usual = NAN;
    int32_t most = 0;

    for (int32_t c = 0; c < group->chosen_count; c++) {
        double rate = rows->attack_lr[group->chosen[c].row];
        int32_t n = 0;

        for (int32_t d = 0; d < group->chosen_count; d++)
            n += rows->attack_lr[group->chosen[d].row] == rate;
        if (n > most || (n == most && rate < usual)) {
            usual = rate;
            most = n;
        }
    }
    return usual;
}

static pal_tuning_t tuning_of(const pal_rows_t *rows, const pal_group_t *group)
{
    pal_tuning_t tuning = {.repetitions = group->chosen_count,
                           .smallest_rate = group->smallest_rate,
                           .largest_rate = group->largest_rate,
                           .rate = usual_rate(rows, group)};
    int several = tuning.smallest_rate < tuning.largest_rate;

    for (int32_t c = 0; c < group->chosen_count; c++) {
        int32_t row = group->chosen[c].row;
        int smallest = several && rows->attack_lr[row] == tuning.smallest_rate;
        int largest = several && rows->attack_lr[row] == tuning.largest_rate;
        int last = rows->chosen_step[row] == rows->attack_steps[row];

        tuning.rate_at_end += smallest || largest;
        tuning.rate_at_largest += largest;
        tuning.point_at_end += last;
        tuning.gaining += (largest || last) && rows->dev_after[row] < 1;
    }
    return tuning;
}

static pal_estimate_t without_number(const char *reason)
{
    return (pal_estimate_t){NAN, NAN, NAN, 0, 0, reason};
}

static int estimate_recoveries(const work_t *work, const pal_group_t *group,
                               pal_summary_cell_t *cell, pal_error_t *err)
{
    const pal_rows_t *rows = work->rows;
    int32_t facts = forget_facts(rows, cell->world);
    int rc;

    cell->corrected = without_number(cell->floor < 0 ? "no floor" : "no ceiling");
    cell->paper = without_number("no ceiling");
    if (cell->ceiling < 0)
        return PAL_OK;
    fill_scores(rows, group, cell->world, rows->bits, work->own);
    fill_scores(rows, &work->groups[cell->ceiling], cell->world, rows->bits,
                work->ceiling);
    rc = pal_estimate_recovery(work->own, NULL, work->ceiling, rows->seed_count, facts,
                               cell_key(cell), &cell->paper, err);
    if (rc != PAL_OK || cell->floor < 0)
        return rc;
    fill_scores(rows, &work->groups[cell->floor], cell->world, rows->bits, work->floor);
    return pal_estimate_recovery(work->own, work->floor, work->ceiling,
                                 rows->seed_count, facts, cell_key(cell),
                                 &cell->corrected, err);
}

static void describe(const pal_rows_t *rows, const pal_group_t *group,
                     pal_summary_cell_t *cell)
{
    int32_t row = group->first;

    cell->world = (int32_t)rows->world[row];
    cell->model = rows->model[row];
    cell->method = rows->method[row];
    cell->taught = rows->taught[row];
    cell->coefficient = rows->coefficient[row];
    cell->unlearn_lr = rows->unlearn_lr[row];
    cell->unlearn_steps = (int64_t)rows->unlearn_steps[row];
    cell->role = (pal_method_role_t)rows->role[row];
    cell->base_setting = rows->base_setting[(int32_t)rows->base[row]];
    cell->setting = rows->setting[row];
    cell->attack = group->attack;
    cell->damaged = any_seed_damaged(rows, group);
    cell->tuning = tuning_of(rows, group);
    count_steps(rows, group, cell);
    memcpy(cell->trials, group->trials, sizeof cell->trials);
}

/* A floor was taught nothing, so it serves models that were taught any fraction. */
static int find_controls(pal_summary_t *summary, pal_error_t *err)
{
    static const char *const drop[] = {"taught"};
    pal_arena_t *arena = &summary->arena;
    char **ground = pal_arena_get(arena, (size_t)summary->count * sizeof *ground);

    for (int32_t i = 0; i < summary->count; i++) {
        if (ground)
            ground[i] =
                pal_setting_without(summary->cells[i].base_setting, drop, 1, arena);
        if (!ground || !ground[i])
            return PAL_FAIL(err, PAL_ENOMEM, "%d cells", summary->count);
    }
    for (int32_t i = 0; i < summary->count; i++) {
        pal_summary_cell_t *cell = &summary->cells[i];

        cell->floor = cell->ceiling = -1;
        for (int32_t j = summary->count - 1; j >= 0; j--) {
            const pal_summary_cell_t *other = &summary->cells[j];

            if (other->role == PAL_UNLEARNS || strcmp(other->attack, cell->attack) != 0)
                continue;
            if (other->role == PAL_FLOOR && strcmp(ground[i], ground[j]) == 0)
                cell->floor = j;
            if (other->role == PAL_CEILING &&
                strcmp(other->base_setting, cell->base_setting) == 0)
                cell->ceiling = j;
        }
    }
    return PAL_OK;
}

/* Texts for all[0..count): what differs between them. */
static int label(const pal_setting_t *all, int32_t count, const char **const names[],
                 pal_arena_t *arena, pal_setting_t *differing, pal_error_t *err)
{
    int rc = pal_setting_differing(all, count, arena, differing, err);

    for (int32_t i = 0; i < count && rc == PAL_OK; i++) {
        *names[i] = pal_setting_label(&all[i], differing, arena);
        if (!*names[i])
            rc = PAL_FAIL(err, PAL_ENOMEM, "%d labels", count);
    }
    return rc;
}

/* Sections: cells that share floor and ceiling; the floors themselves are in none. */
static int name_sections(pal_summary_t *summary, pal_error_t *err)
{
    size_t n = (size_t)summary->count;
    pal_arena_t *arena = &summary->arena;
    pal_setting_t *all = pal_arena_get(arena, n * sizeof *all);
    const char ***names = pal_arena_get(arena, n * sizeof *names);
    pal_setting_t differing = {NULL, 0};
    int32_t count = 0;
    int rc = PAL_OK;

    if (!all || !names)
        return PAL_FAIL(err, PAL_ENOMEM, "%d cells", summary->count);
    for (int32_t i = 0; i < summary->count && rc == PAL_OK; i++) {
        pal_summary_cell_t *cell = &summary->cells[i];

        cell->section = "";
        if (cell->role == PAL_FLOOR)
            continue;
        names[count] = &cell->section;
        rc = pal_setting_add(&all[count], "", cell->base_setting, arena, err);
        if (rc == PAL_OK)
            rc = pal_setting_add(&all[count], "attack.", cell->attack, arena, err);
        count++;
    }
    return rc == PAL_OK ? label(all, count, names, arena, &differing, err) : rc;
}

/* What a cell's setting has beside its base's, without the coefficient; one without an
 * adapter does not say so (stage/spec.h). */
static int variant_fields(const pal_summary_cell_t *cell, pal_arena_t *arena,
                          pal_setting_t *out, pal_error_t *err)
{
    static const char *const drop[] = {"coefficient"};
    pal_setting_t base = {NULL, 0};
    char *rest = pal_setting_without(cell->setting, drop, 1, arena);
    int rc = pal_setting_add(&base, "", cell->base_setting, arena, err);
    int32_t kept = 0;

    if (!rest)
        return PAL_FAIL(err, PAL_ENOMEM, "setting of %s", cell->method);
    if (rc == PAL_OK)
        rc = pal_setting_add(out, "", rest, arena, err);
    if (rc == PAL_OK && !pal_setting_get(out, "adapter"))
        rc = pal_setting_add(out, "", "adapter=0", arena, err);
    for (int32_t i = 0; i < out->count && rc == PAL_OK; i++)
        if (!pal_setting_get(&base, out->fields[i].key))
            out->fields[kept++] = out->fields[i];
    out->count = kept;
    return rc;
}

/* 1 if a field is no parameter of unlearning, or has its default. */
static int is_preset(const pal_method_t *method, const pal_field_t *field)
{
    _Alignas(16) char slot[PAL_TEXT_MAX];
    char preset[PAL_TEXT_MAX];
    const pal_param_t *param = pal_param_find(pal_unlearn_params, field->key);
    pal_param_t alone[2] = {{0}};

    if (!param && method)
        param = pal_param_find(method->params, field->key);
    if (!param)
        return 1;
    alone[0] = *param;
    alone[0].offset = 0;
    pal_param_defaults(alone, slot);
    pal_param_print(alone, slot, preset, sizeof preset);
    return strcmp(preset, field->value) == 0;
}

/* "adapter=8 lr=0.003": fields that are neither among `differing` nor defaults. */
static int name_constant(const pal_setting_t *setting, const pal_setting_t *differing,
                         pal_arena_t *arena, pal_summary_cell_t *cell, pal_error_t *err)
{
    const pal_method_t *method = NULL; /* of another release: unknown here */
    const char *text = "";

    if (pal_method_find(cell->method, &method, NULL) != PAL_OK)
        method = NULL;
    for (int32_t i = 0; i < setting->count && text; i++) {
        const pal_field_t *field = &setting->fields[i];

        if (!pal_setting_has(differing, field->key) && !is_preset(method, field))
            text = pal_arena_print(arena, "%s%s%s=%s", text, *text ? " " : "",
                                   field->key, field->value);
    }
    cell->constant = text;
    return text ? PAL_OK : PAL_FAIL(err, PAL_ENOMEM, "settings of %s", cell->method);
}

/* Variants: what differs between the cells of a method. */
static int name_variants(pal_summary_t *summary, pal_error_t *err)
{
    size_t n = (size_t)summary->count;
    pal_arena_t *arena = &summary->arena;
    pal_setting_t *all = pal_arena_get(arena, n * sizeof *all);
    const char ***names = pal_arena_get(arena, n * sizeof *names);
    int rc = PAL_OK;

    if (!all || !names)
        return PAL_FAIL(err, PAL_ENOMEM, "%d cells", summary->count);
    for (int32_t i = 0; i < summary->count && rc == PAL_OK; i++) {
        pal_setting_t differing = {NULL, 0};
        int32_t count = 0;

        if (summary->cells[i].variant)
            continue;
        for (int32_t j = i; j < summary->count && rc == PAL_OK; j++) {
            if (strcmp(summary->cells[j].method, summary->cells[i].method) != 0)
                continue;
            names[count] = &summary->cells[j].variant;
            all[count] = (pal_setting_t){NULL, 0};
            rc = variant_fields(&summary->cells[j], arena, &all[count++], err);
        }
        if (rc == PAL_OK)
            rc = label(all, count, names, arena, &differing, err);
        if (rc == PAL_OK)
            rc = name_constant(&all[0], &differing, arena, &summary->cells[i], err);
    }
    return rc;
}

static int32_t held_out_facts(const pal_rows_t *rows, int32_t world)
{
    int32_t n = 0;

    for (int32_t f = rows->first_fact[world]; f < rows->first_fact[world + 1]; f++)
        for (int32_t i = 0; i < rows->count; i++)
            if (rows->world[i] == world && rows->holdout[i] == rows->fold[f]) {
                n++;
                break;
            }
    return n;
}

static int estimate_cells(pal_summary_t *summary, const pal_rows_t *rows,
                          const pal_group_t *groups, pal_error_t *err)
{
    work_t work = {rows, groups, NULL, NULL, NULL};
    size_t facts = 1, n;
    int rc = PAL_OK;

    for (int32_t w = 0; w < rows->worlds; w++) {
        int32_t held_out = held_out_facts(rows, w);

        if ((size_t)forget_facts(rows, w) > facts)
            facts = (size_t)forget_facts(rows, w);
        if (held_out > summary->held_out)
            summary->held_out = held_out;
    }
    n = facts * ((size_t)rows->seed_count + 1);
    work.own = pal_arena_get(&summary->arena, n * sizeof *work.own);
    work.floor = pal_arena_get(&summary->arena, n * sizeof *work.floor);
    work.ceiling = pal_arena_get(&summary->arena, n * sizeof *work.ceiling);
    if (!work.own || !work.floor || !work.ceiling)
        return PAL_FAIL(err, PAL_ENOMEM, "scores of %zu facts", facts);
    for (int32_t i = 0; i < summary->count && rc == PAL_OK; i++) {
        rc = estimate_means(&work, &groups[i], &summary->cells[i], err);
        if (rc == PAL_OK)
            rc = estimate_recoveries(&work, &groups[i], &summary->cells[i], err);
    }
    return rc;
}

static int fill(const pal_store_t *store, pal_summary_t *summary, pal_error_t *err)
{
    pal_arena_t *arena = &summary->arena;
    const char *sweep = pal_store_attribute(store, "sweep");
    pal_rows_t rows = {0};
    pal_group_t *groups = NULL;
    int rc = pal_rows_read(store, arena, &rows, err);

    if (rc == PAL_OK)
        rc = pal_rows_group(&rows, arena, &groups, &summary->count, err);
    if (rc != PAL_OK)
        return rc;
    summary->seeds = rows.seed_count;
    summary->bases = rows.bases;
    summary->bases_done = rows.bases_done;
    summary->models = rows.models;
    summary->models_done = rows.models_done;
    summary->sweep = pal_arena_text(arena, sweep, strlen(sweep));
    summary->cells =
        pal_arena_get(arena, (size_t)summary->count * sizeof *summary->cells);
    if (!summary->sweep || !summary->cells)
        return PAL_FAIL(err, PAL_ENOMEM, "%d cells", summary->count);
    for (int32_t i = 0; i < summary->count; i++) {
        describe(&rows, &groups[i], &summary->cells[i]);
        for (int s = 0; s < PAL_STATES; s++)
            summary->trials[s] += groups[i].trials[s];
    }
    rc = find_controls(summary, err);
    if (rc == PAL_OK)
        rc = name_sections(summary, err);
    if (rc == PAL_OK)
        rc = name_variants(summary, err);
    return rc == PAL_OK ? estimate_cells(summary, &rows, groups, err) : rc;
}

int pal_summary_create(const pal_store_t *store, pal_summary_t *summary,
                       pal_error_t *err)
{
    pal_summary_t made = {0};
    int rc = fill(store, &made, err);

    if (rc != PAL_OK)
        pal_summary_free(&made);
    *summary = made;
    return rc;
}

void pal_summary_free(pal_summary_t *summary)
{
    pal_arena_free(&summary->arena);
    memset(summary, 0, sizeof *summary);
}
