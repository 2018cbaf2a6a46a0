#include "store/column.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Values that take more than an expression --- */

static const char *key_text(pal_cell_t *c, pal_key_t key)
{
    pal_key_text(key, c->text);
    return c->text;
}

static double coefficient(const pal_unlearn_spec_t *spec)
{
    return pal_unlearn_has_coefficient(spec) ? spec->common.coefficient : NAN;
}

static const char *unlearned_setting(pal_cell_t *c)
{
    return pal_plan_setting(c->plan, c->unlearned_row);
}

static const char *attack_setting(pal_cell_t *c)
{
    return pal_plan_attack_setting(c->plan, c->trial_row);
}

/* What its unlearned models say before their method. */
static const char *base_setting(pal_cell_t *c)
{
    const char *text, *end;

    if (c->base->models < 0)
        return "";
    text = pal_plan_setting(c->plan, c->base->models);
    end = text ? strstr(text, " method=") : NULL;
    return end ? pal_arena_text(&c->plan->arena, text, (size_t)(end - text)) : text;
}

static int taught_bits(const pal_cell_t *c, uint8_t *bits)
{
    const pal_ground_t *ground = &c->world->ground;
    uint8_t *taught = malloc((size_t)ground->world.count + 1);
    int rc = PAL_ENOMEM, forget = 0;

    if (taught)
        rc = pal_base_taught(ground, &c->base->spec, taught, NULL);
    for (int32_t i = 0; rc == PAL_OK && i < ground->world.count; i++) {
        if (ground->world.facts[i].role != PAL_FORGET)
            continue;
        bits[forget / 8] |= (uint8_t)(taught[i] << forget % 8);
        forget++;
    }
    free(taught);
    return rc;
}

/* --- One function a column --- */

static void put_number(uint8_t *out, double value)
{
    /* The sign and payload of a NaN differ from machine to machine. */
    if (isnan(value))
        value = NAN;
    memcpy(out, &value, sizeof value);
}

static void put_curve(uint8_t *out, int32_t width, const double *values, int32_t points)
{
    for (int32_t i = 0; i < points && i < width; i++)
        put_number(out + sizeof *values * i, values[i]);
}

#define NUMBER(t, n, storage, unit, label, value)                                      \
    static double number_##t##_##n(pal_cell_t *c)                                      \
    {                                                                                  \
        return (double)(value);                                                        \
    }
#define TEXT(t, n, label, value)                                                       \
    static const char *text_##t##_##n(pal_cell_t *c)                                   \
    {                                                                                  \
        return value;                                                                  \
    }
#define RESULT(t, n, unit, label, value)                                               \
    static void pack_##t##_##n(const pal_outcome_t *r, uint8_t *out, int32_t width)    \
    {                                                                                  \
        (void)width;                                                                   \
        put_number(out, value);                                                        \
    }
#define COUNT(t, n, unit, label, value)                                                \
    static void pack_##t##_##n(const pal_outcome_t *r, uint8_t *out, int32_t width)    \
    {                                                                                  \
        (void)width;                                                                   \
        memcpy(out, &(value), sizeof(int32_t));                                        \
    }
#define CURVE(t, n, unit, label, array)                                                \
    static void pack_##t##_##n(const pal_outcome_t *r, uint8_t *out, int32_t width)    \
    {                                                                                  \
        put_curve(out, width, array, r->trial->points);                                \
    }
#define BITS(t, n, extent, label, array)                                               \
    static void pack_##t##_##n(const pal_outcome_t *r, uint8_t *out, int32_t width)    \
    {                                                                                  \
        memcpy(out, array, (size_t)width);                                             \
    }
#define FACTS(t, n, label, function)
#define OTHER(t, n, storage, bytes, source, unit, label)
#include "store/columns.def"
#undef NUMBER
#undef TEXT
#undef RESULT
#undef COUNT
#undef CURVE
#undef BITS
#undef FACTS
#undef OTHER

/* --- The table --- */

#define COLUMN(t, n) .table = PAL_TABLE_##t, .name = #n
#define NUMBER(t, n, kind, u, l, value)                                                \
    {COLUMN(t, n), .storage = kind, .unit = u, .label = l, .number = number_##t##_##n},
#define TEXT(t, n, l, value)                                                           \
    {COLUMN(t, n), .storage = PAL_STRING, .extent = PAL_LONGEST, .unit = "1",          \
     .label = l,   .text = text_##t##_##n},
#define FACTS(t, n, l, function)                                                       \
    {COLUMN(t, n), .storage = PAL_U8, .extent = PAL_FORGET_BYTES,                      \
     .unit = "1",  .label = l,        .facts = function},
#define PACKED(t, n, kind, many, u, l)                                                 \
    {COLUMN(t, n), .storage = kind, .extent = many,        .source = PAL_FROM_RESULT,  \
     .unit = u,    .label = l,      .pack = pack_##t##_##n},
#define RESULT(t, n, u, l, value) PACKED(t, n, PAL_F64, PAL_ONE, u, l)
#define COUNT(t, n, u, l, value) PACKED(t, n, PAL_I32, PAL_ONE, u, l)
#define CURVE(t, n, u, l, array) PACKED(t, n, PAL_F64, PAL_POINTS, u, l)
#define BITS(t, n, many, l, array) PACKED(t, n, PAL_U8, many, "1", l)
#define OTHER(t, n, kind, size, from, u, l)                                            \
    {COLUMN(t, n),   .storage = kind, .bytes = size,                                   \
     .source = from, .unit = u,       .label = l},

static const pal_column_t columns[] = {
#include "store/columns.def"
};

int pal_column_count(void)
{
    return (int)(sizeof columns / sizeof *columns);
}

const pal_column_t *pal_column_at(int i)
{
    return &columns[i];
}

int pal_column_find(pal_table_t table, const char *name)
{
    for (int i = 0; i < pal_column_count(); i++)
        if (columns[i].table == table && strcmp(columns[i].name, name) == 0)
            return i;
    return -1;
}

const char *pal_table_path(pal_table_t table)
{
    static const char *const paths[PAL_TABLES] = {
        "/worlds",   "/facts",         "/base",       "/unlearned",    "/trials",
        "/run/base", "/run/unlearned", "/run/trials", "/run/sessions",
    };

    return paths[table];
}

int32_t pal_table_rows(const pal_plan_t *plan, pal_table_t table)
{
    int32_t facts = 0;

    switch (table) {
    case PAL_TABLE_WORLDS:
        return plan->world_count;
    case PAL_TABLE_FACTS:
        for (int32_t i = 0; i < plan->world_count; i++)
            facts += plan->worlds[i].ground.world.count;
        return facts;
    case PAL_TABLE_BASE:
    case PAL_TABLE_RUN_BASE:
        return plan->base_count;
    case PAL_TABLE_UNLEARNED:
    case PAL_TABLE_RUN_UNLEARNED:
        return plan->unlearned_count;
    case PAL_TABLE_TRIALS:
    case PAL_TABLE_RUN_TRIALS:
        return plan->trial_count;
    default:
        return PAL_SESSIONS;
    }
}

static void set_fact(pal_cell_t *cell, const pal_plan_t *plan, int32_t row)
{
    int32_t world = 0;

    for (; row >= plan->worlds[world].ground.world.count; world++)
        row -= plan->worlds[world].ground.world.count;
    cell->world_row = world;
    cell->fact_row = row;
    cell->fact = &plan->worlds[world].ground.world.facts[row];
}

void pal_cell_set(pal_cell_t *cell, pal_plan_t *plan, pal_table_t table, int32_t row)
{
    memset(cell, 0, sizeof *cell);
    cell->plan = plan;
    cell->world_row = cell->base_row = cell->unlearned_row = cell->trial_row = row;
    if (table == PAL_TABLE_FACTS)
        set_fact(cell, plan, row);
    if (table == PAL_TABLE_TRIALS) {
        cell->trial = &plan->trials[row];
        cell->unlearned_row = cell->trial->unlearned;
    }
    if (table == PAL_TABLE_TRIALS || table == PAL_TABLE_UNLEARNED) {
        cell->unlearned = &plan->unlearned[cell->unlearned_row];
        cell->base_row = cell->unlearned->base;
    }
    if (table != PAL_TABLE_WORLDS && table != PAL_TABLE_FACTS) {
        cell->base = &plan->bases[cell->base_row];
        cell->world_row = cell->base->world;
    }
    cell->world = &plan->worlds[cell->world_row];
}

int32_t pal_column_width(const pal_column_t *column, const pal_plan_t *plan)
{
    switch (column->extent) {
    case PAL_POINTS:
        return plan->points;
    case PAL_FORGET_BYTES:
        return plan->forget_bytes;
    case PAL_FOLD_BYTES:
        return plan->fold_bytes;
    case PAL_LONGEST:
        return 0;
    default:
        return column->storage == PAL_STRING ? column->bytes : 1;
    }
}

size_t pal_storage_size(pal_storage_t storage)
{
    static const uint8_t sizes[] = {
        [PAL_F64] = 8, [PAL_I32] = 4, [PAL_I64] = 8,
        [PAL_U8] = 1,  [PAL_U32] = 4, [PAL_STRING] = 1,
    };

    return sizes[storage];
}

void pal_column_blank(const pal_column_t *column, uint8_t *out, int32_t width)
{
    memset(out, 0, (size_t)width * pal_storage_size(column->storage));
    if (column->storage == PAL_F64)
        for (int32_t i = 0; i < width; i++)
            put_number(out + sizeof(double) * i, NAN);
}

int pal_column_in_record(const pal_column_t *column, pal_table_t table)
{
    return column->table == table &&
           (column->source == PAL_FROM_RESULT || column->source == PAL_FROM_ERROR);
}

/* --- Records --- */

/* Bytes of the record's columns before `end`. */
static size_t record_offset(const pal_plan_t *plan, pal_table_t table,
                            const pal_column_t *end)
{
    size_t size = 0;

    for (const pal_column_t *column = columns; column < end; column++)
        if (pal_column_in_record(column, table))
            size += pal_storage_size(column->storage) *
                    (size_t)pal_column_width(column, plan);
    return size;
}

size_t pal_record_size(const pal_plan_t *plan, pal_table_t table)
{
    return record_offset(plan, table, columns + pal_column_count());
}

size_t pal_record_most(const pal_plan_t *plan)
{
    size_t most = 0;

    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++)
        if (pal_record_size(plan, (pal_table_t)t) > most)
            most = pal_record_size(plan, (pal_table_t)t);
    return most;
}

void pal_record_pack(const pal_plan_t *plan, pal_table_t table,
                     const pal_outcome_t *outcome, uint8_t *record)
{
    for (int i = 0; i < pal_column_count(); i++) {
        const pal_column_t *column = &columns[i];
        int32_t width = pal_column_width(column, plan);

        if (!pal_column_in_record(column, table))
            continue;
        pal_column_blank(column, record, width);
        if (outcome && column->pack)
            column->pack(outcome, record, width);
        record += pal_storage_size(column->storage) * (size_t)width;
    }
}

static size_t text_offset(const pal_plan_t *plan, pal_table_t table)
{
    return record_offset(plan, table, &columns[pal_column_find(table, "error")]);
}

void pal_record_error(const pal_plan_t *plan, pal_table_t table, const char *text,
                      uint8_t *record)
{
    pal_record_pack(plan, table, NULL, record);
    snprintf((char *)record + text_offset(plan, table), PAL_ERROR_BYTES, "%s", text);
}

const char *pal_record_text(const pal_plan_t *plan, pal_table_t table,
                            const uint8_t *record)
{
    return (const char *)record + text_offset(plan, table);
}
