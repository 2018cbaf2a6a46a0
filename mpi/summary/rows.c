#include "summary/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/setting.h"

static int read_numbers(const pal_store_t *store, pal_table_t table, const char *column,
                        pal_arena_t *arena, double **values, pal_error_t *err)
{
    size_t n = (size_t)pal_store_rows(store, table);

    if (pal_store_width(store, table, column) > 1)
        return PAL_REJECT(err, "column '%s' has several numbers a row", column);
    *values = pal_arena_get(arena, n * sizeof **values);
    if (!*values)
        return PAL_FAIL(err, PAL_ENOMEM, "column '%s'", column);
    return pal_store_numbers(store, table, column, *values, err);
}

static int read_bits(const pal_store_t *store, const char *column, pal_arena_t *arena,
                     const pal_rows_t *rows, uint8_t **bits, pal_error_t *err)
{
    if (pal_store_width(store, PAL_TABLE_TRIALS, column) != rows->bytes)
        return PAL_REJECT(err, "columns 'bits' and '%s' differ in width", column);
    *bits = pal_arena_get(arena, (size_t)rows->count * (size_t)rows->bytes);
    if (!*bits)
        return PAL_FAIL(err, PAL_ENOMEM, "column '%s'", column);
    return pal_store_bits(store, PAL_TABLE_TRIALS, column, *bits, err);
}

/* The state comes first: it is written last, so what is read after it belongs to it. */
static int read_trial_numbers(const pal_store_t *store, pal_arena_t *arena,
                              pal_rows_t *rows, pal_error_t *err)
{
    const struct {
        const char *name;
        double **values;
    } numbers[] = {
        {"state", &rows->state},
        {"world", &rows->world},
        {"base", &rows->base},
        {"unlearned", &rows->unlearned},
        {"seed", &rows->seed},
        {"taught", &rows->taught},
        {"coefficient", &rows->coefficient},
        {"unlearn_lr", &rows->unlearn_lr},
        {"unlearn_steps", &rows->unlearn_steps},
        {"role", &rows->role},
        {"attack_lr", &rows->attack_lr},
        {"attack_steps", &rows->attack_steps},
        {"holdout", &rows->holdout},
        {"retain_before", &rows->retain_before},
        {"dev_after", &rows->dev_after},
        {"v_after_max", &rows->v_after_max},
        {"retain_after", &rows->retain_after},
        {"chosen_step", &rows->chosen_step},
    };
    int rc = PAL_OK;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && rc == PAL_OK; i++)
        rc = read_numbers(store, PAL_TABLE_TRIALS, numbers[i].name, arena,
                          numbers[i].values, err);
    return rc;
}

static int read_trial_texts(const pal_store_t *store, pal_arena_t *arena,
                            pal_rows_t *rows, pal_error_t *err)
{
    const struct {
        const char *name;
        const char *const **texts;
    } words[] = {
        {"model", &rows->model},
        {"method", &rows->method},
        {"setting", &rows->setting},
        {"attack_setting", &rows->attack_setting},
    };
    int rc = PAL_OK;

    for (size_t i = 0; i < sizeof words / sizeof *words && rc == PAL_OK; i++)
        rc = pal_store_texts(store, PAL_TABLE_TRIALS, words[i].name, arena,
                             words[i].texts, err);
    return rc;
}

static int read_trials(const pal_store_t *store, pal_arena_t *arena, pal_rows_t *rows,
                       pal_error_t *err)
{
    int rc;

    rows->count = pal_store_rows(store, PAL_TABLE_TRIALS);
    rows->bytes = pal_store_width(store, PAL_TABLE_TRIALS, "bits");
    rc = read_trial_numbers(store, arena, rows, err);
    if (rc == PAL_OK)
        rc = read_trial_texts(store, arena, rows, err);
    if (rc == PAL_OK)
        rc = read_bits(store, "bits", arena, rows, &rows->bits, err);
    if (rc == PAL_OK)
        rc = read_bits(store, "bits_before", arena, rows, &rows->bits_before, err);
    return rc;
}

/* Folds of the forget facts, world by world. */
static int read_facts(const pal_store_t *store, pal_arena_t *arena, pal_rows_t *rows,
                      pal_error_t *err)
{
    int32_t facts = pal_store_rows(store, PAL_TABLE_FACTS), n = 0;
    double *world, *role, *fold;
    int rc = read_numbers(store, PAL_TABLE_FACTS, "world", arena, &world, err);

    if (rc == PAL_OK)
        rc = read_numbers(store, PAL_TABLE_FACTS, "role", arena, &role, err);
    if (rc == PAL_OK)
        rc = read_numbers(store, PAL_TABLE_FACTS, "fold", arena, &fold, err);
    if (rc != PAL_OK)
        return rc;
    rows->worlds = pal_store_rows(store, PAL_TABLE_WORLDS);
    rows->fold = pal_arena_get(arena, (size_t)facts * sizeof *rows->fold);
    rows->first_fact =
        pal_arena_get(arena, ((size_t)rows->worlds + 1) * sizeof *rows->first_fact);
    if (!rows->fold || !rows->first_fact)
        return PAL_FAIL(err, PAL_ENOMEM, "%d facts", facts);
    for (int32_t w = 0; w < rows->worlds; w++) {
        rows->first_fact[w] = n;
        for (int32_t i = 0; i < facts; i++)
            if (world[i] == w && role[i] == PAL_FORGET)
                rows->fold[n++] = (int32_t)fold[i];
    }
    rows->first_fact[rows->worlds] = n;
    return PAL_OK;
}

/* Rows of a table that are done. */
static int count_done(const pal_store_t *store, pal_table_t table, pal_arena_t *arena,
                      int32_t *rows, int32_t *done, pal_error_t *err)
{
    double *state;
    int rc = read_numbers(store, table, "state", arena, &state, err);

    if (rc != PAL_OK)
        return rc;
    *rows = pal_store_rows(store, table);
    for (int32_t i = 0; i < *rows; i++)
        *done += state[i] == PAL_ROW_DONE;
    return PAL_OK;
}

static int32_t fold_size(const pal_rows_t *rows, int32_t world, double holdout)
{
    int32_t n = 0;

    for (int32_t i = rows->first_fact[world]; i < rows->first_fact[world + 1]; i++)
        n += rows->fold[i] == holdout;
    return n;
}

static int is_index(double value, int32_t count)
{
    return value >= 0 && value < count && value == floor(value);
}

/* Whatever is used as an index later. */
static int check(const pal_rows_t *rows, pal_error_t *err)
{
    for (int32_t i = 0; i < rows->count; i++) {
        if (!is_index(rows->state[i], 4))
            return PAL_REJECT(err, "trial %d: state %g is none of 0 to 3", i,
                              rows->state[i]);
        if (!is_index(rows->role[i], 3))
            return PAL_REJECT(err, "trial %d: role %g is none of 0 to 2", i,
                              rows->role[i]);
        if (!is_index(rows->world[i], rows->worlds))
            return PAL_REJECT(err, "trial %d: world %g of %d", i, rows->world[i],
                              rows->worlds);
        if (!is_index(rows->base[i], rows->bases))
            return PAL_REJECT(err, "trial %d: base %g of %d", i, rows->base[i],
                              rows->bases);
        if (!is_index(rows->unlearned[i], rows->models))
            return PAL_REJECT(err, "trial %d: unlearned model %g of %d", i,
                              rows->unlearned[i], rows->models);
        if (fold_size(rows, (int32_t)rows->world[i], rows->holdout[i]) >
            8 * rows->bytes)
            return PAL_REJECT(err,
                              "trial %d: fold %g has more facts than there are bits", i,
                              rows->holdout[i]);
    }
    return PAL_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int find_seeds(pal_rows_t *rows, pal_arena_t *arena, pal_error_t *err)
{
    size_t bytes = (size_t)rows->count * sizeof *rows->seeds;

    rows->seeds = pal_arena_get(arena, bytes);
    if (!rows->seeds)
        return PAL_FAIL(err, PAL_ENOMEM, "%d seeds", rows->count);
    memcpy(rows->seeds, rows->seed, bytes);
    qsort(rows->seeds, (size_t)rows->count, sizeof *rows->seeds, ascending);
    for (int32_t i = 0; i < rows->count; i++)
        if (i == 0 || rows->seeds[i] != rows->seeds[rows->seed_count - 1])
            rows->seeds[rows->seed_count++] = rows->seeds[i];
    return PAL_OK;
}

int pal_rows_read(const pal_store_t *store, pal_arena_t *arena, pal_rows_t *rows,
                  pal_error_t *err)
{
    int rc = read_trials(store, arena, rows, err);

    if (rc == PAL_OK)
        rc = read_facts(store, arena, rows, err);
    if (rc == PAL_OK)
        rc = pal_store_texts(store, PAL_TABLE_BASE, "setting", arena,
                             &rows->base_setting, err);
    if (rc == PAL_OK)
        rc = read_numbers(store, PAL_TABLE_UNLEARNED, "steps_done", arena,
                          &rows->steps_done, err);
    if (rc == PAL_OK)
        rc = count_done(store, PAL_TABLE_BASE, arena, &rows->bases, &rows->bases_done,
                        err);
    if (rc == PAL_OK)
        rc = count_done(store, PAL_TABLE_UNLEARNED, arena, &rows->models,
                        &rows->models_done, err);
    if (rc == PAL_OK)
        rc = pal_store_check_rows(store, err); /* at least those read as done */
    if (rc == PAL_OK)
        rc = check(rows, err);
    return rc == PAL_OK ? find_seeds(rows, arena, err) : rc;
}

/* --- Grouping --- */

typedef struct {
    const char *setting, *attack;
    double seed, holdout;
    int32_t row;
} place_t;

static int compare_cells(const place_t *p, const place_t *q)
{
    int order = strcmp(p->setting, q->setting);

    return order ? order : strcmp(p->attack, q->attack);
}

static int compare_spots(const place_t *p, const place_t *q)
{
    int order = (p->seed > q->seed) - (p->seed < q->seed);

    return order ? order : (p->holdout > q->holdout) - (p->holdout < q->holdout);
}

static int by_place(const void *a, const void *b)
{
    const place_t *p = a, *q = b;
    int order = compare_cells(p, q);

    order = order ? order : compare_spots(p, q);
    return order ? order : (p->row > q->row) - (p->row < q->row);
}

static int by_first_row(const void *a, const void *b)
{
    const pal_group_t *p = a, *q = b;

    return (p->first > q->first) - (p->first < q->first);
}

/* Is trial row a better choice for the attacker than the one that counts so far? */
static int better(const pal_rows_t *rows, int32_t row, int32_t best)
{
    if (rows->dev_after[row] != rows->dev_after[best])
        return rows->dev_after[row] > rows->dev_after[best];
    return rows->attack_lr[row] < rows->attack_lr[best];
}

static int32_t seed_index(const pal_rows_t *rows, double seed)
{
    const double *found =
        bsearch(&seed, rows->seeds, (size_t)rows->seed_count, sizeof seed, ascending);

    return found ? (int32_t)(found - rows->seeds) : 0;
}

static void choose(const pal_rows_t *rows, const place_t *places, int32_t count,
                   pal_group_t *group)
{
    const place_t *last = NULL;

    group->smallest_rate = INFINITY;
    group->largest_rate = -INFINITY;
    for (int32_t i = 0; i < count; i++) {
        int32_t row = places[i].row;
        pal_chosen_t *chosen;

        group->first = i == 0 || row < group->first ? row : group->first;
        group->trials[(int)rows->state[row]]++;
        group->smallest_rate = fmin(group->smallest_rate, rows->attack_lr[row]);
        group->largest_rate = fmax(group->largest_rate, rows->attack_lr[row]);
        if (rows->state[row] != PAL_ROW_DONE)
            continue;
        if (!last || compare_spots(last, &places[i]) != 0)
            group->chosen[group->chosen_count++] =
                (pal_chosen_t){row, seed_index(rows, rows->seed[row]), -INFINITY};
        chosen = &group->chosen[group->chosen_count - 1];
        chosen->v_max = fmax(chosen->v_max, rows->v_after_max[row]);
        if (better(rows, row, chosen->row))
            chosen->row = row;
        last = &places[i];
    }
}

static int make_places(const pal_rows_t *rows, pal_arena_t *arena, place_t *places,
                       pal_error_t *err)
{
    static const char *const drop[] = {"lr", "holdout"};

    for (int32_t i = 0; i < rows->count; i++) {
        char *attack = pal_setting_without(rows->attack_setting[i], drop, 2, arena);

        if (!attack)
            return PAL_FAIL(err, PAL_ENOMEM, "%d trials", rows->count);
        places[i] =
            (place_t){rows->setting[i], attack, rows->seed[i], rows->holdout[i], i};
    }
    qsort(places, (size_t)rows->count, sizeof *places, by_place);
    return PAL_OK;
}

int pal_rows_group(const pal_rows_t *rows, pal_arena_t *arena, pal_group_t **groups,
                   int32_t *count, pal_error_t *err)
{
    size_t n = (size_t)rows->count;
    place_t *places = pal_arena_get(arena, n * sizeof *places);
    pal_chosen_t *chosen = pal_arena_get(arena, n * sizeof *chosen);
    pal_group_t *made = pal_arena_get(arena, n * sizeof *made);
    int32_t cells = 0, end;
    int rc;

    if (!places || !chosen || !made)
        return PAL_FAIL(err, PAL_ENOMEM, "%d trials", rows->count);
    rc = make_places(rows, arena, places, err);
    if (rc != PAL_OK)
        return rc;
    for (int32_t start = 0; start < rows->count; start = end) {
        pal_group_t *group = &made[cells++];

        end = start + 1;
        while (end < rows->count && compare_cells(&places[start], &places[end]) == 0)
            end++;
        group->attack = places[start].attack;
        group->chosen = chosen + start;
        choose(rows, places + start, end - start, group);
    }
    qsort(made, (size_t)cells, sizeof *made, by_first_row);
    *groups = made;
    *count = cells;
    return PAL_OK;
}
