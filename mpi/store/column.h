/* column.h -- the tables of the results file, one line a column (columns.def).
 *
 * That list drives creation, writing, reading, checksums and the messages between
 * ranks: the results of a row travel as a record, its result columns one after the
 * other.
 */
#ifndef PAL_MPI_STORE_COLUMN_H
#define PAL_MPI_STORE_COLUMN_H

#include "plan/plan.h"

typedef enum {
    PAL_TABLE_WORLDS,
    PAL_TABLE_FACTS,
    PAL_TABLE_BASE,
    PAL_TABLE_UNLEARNED,
    PAL_TABLE_TRIALS,
    PAL_TABLE_RUN_BASE, /* one row per row of /base, and so on */
    PAL_TABLE_RUN_UNLEARNED,
    PAL_TABLE_RUN_TRIALS,
    PAL_TABLE_SESSIONS,
    PAL_TABLES
} pal_table_t;

/* Of a row of /base, /unlearned, /trials. */
typedef enum {
    PAL_ROW_PENDING,
    PAL_ROW_DONE,
    PAL_ROW_FAILED,  /* the machine's fault: tried again by the next run */
    PAL_ROW_DIVERGED /* a result */
} pal_state_t;

enum { PAL_ERROR_BYTES = 256, PAL_HOST_BYTES = 64 };
enum { PAL_COMMIT_BYTES = 64, PAL_SESSIONS = 256 };

typedef enum { PAL_F64, PAL_I32, PAL_I64, PAL_U8, PAL_U32, PAL_STRING } pal_storage_t;

/* How many values a row has. */
typedef enum {
    PAL_ONE,
    PAL_POINTS,       /* plan->points */
    PAL_FORGET_BYTES, /* plan->forget_bytes */
    PAL_FOLD_BYTES,   /* plan->fold_bytes */
    PAL_LONGEST       /* text as long as the longest of the plan */
} pal_extent_t;

typedef enum {
    PAL_FROM_PLAN,   /* known before anything runs */
    PAL_FROM_RESULT, /* part of the record, covered by the checksum */
    PAL_FROM_ERROR,  /* likewise: the text of a row that failed or diverged */
    PAL_FROM_STORE,  /* state and crc */
    PAL_FROM_RUN     /* hosts and times */
} pal_source_t;

/* What a plan column's value is computed from; only what the table has is set. */
typedef struct {
    pal_plan_t *plan;
    int32_t world_row, base_row, unlearned_row, trial_row, fact_row;
    const pal_plan_world_t *world;
    const pal_plan_base_t *base;
    const pal_plan_unlearned_t *unlearned;
    const pal_plan_trial_t *trial;
    const pal_fact_t *fact;
    char text[PAL_KEY_TEXT]; /* scratch */
} pal_cell_t;

/* What a result column's value is computed from. */
typedef struct {
    const pal_model_result_t *model; /* of a trial: of its unlearned model */
    const pal_trial_result_t *trial;
} pal_outcome_t;

/* One of number, text, facts (plan columns) and pack (result columns), or none. */
typedef struct {
    pal_table_t table;
    const char *name;
    pal_storage_t storage;
    pal_extent_t extent;
    int32_t bytes; /* of text with extent PAL_ONE */
    pal_source_t source;
    const char *unit, *label; /* the attributes units and long_name */
    double (*number)(pal_cell_t *cell);
    const char *(*text)(pal_cell_t *cell);               /* NULL when memory is out */
    int (*facts)(const pal_cell_t *cell, uint8_t *bits); /* PAL_OK or PAL_ENOMEM */
    void (*pack)(const pal_outcome_t *outcome, uint8_t *out, int32_t width);
} pal_column_t;

int pal_column_count(void);
const pal_column_t *pal_column_at(int i);

/* Index of a column, or -1. */
int pal_column_find(pal_table_t table, const char *name);

/* "/trials", "/run/base", ...; static. */
const char *pal_table_path(pal_table_t table);
int32_t pal_table_rows(const pal_plan_t *plan, pal_table_t table);

/* Point the cell at a row of /worlds, /facts, /base, /unlearned or /trials. */
void pal_cell_set(pal_cell_t *cell, pal_plan_t *plan, pal_table_t table, int32_t row);

/* Values a row of a column: bytes for text, 0 for PAL_LONGEST (only the plan's texts
 * tell). */
int32_t pal_column_width(const pal_column_t *column, const pal_plan_t *plan);

/* Bytes of one value. */
size_t pal_storage_size(pal_storage_t storage);

/* Set `width` values to what a row without a result holds: NaN, or zero. */
void pal_column_blank(const pal_column_t *column, uint8_t *out, int32_t width);

/* 1 if the column is part of a record of the table. */
int pal_column_in_record(const pal_column_t *column, pal_table_t table);

/* --- Records --- */

/* Bytes of a record of /base, /unlearned or /trials. */
size_t pal_record_size(const pal_plan_t *plan, pal_table_t table);
size_t pal_record_most(const pal_plan_t *plan); /* of the three */

/* Pack a result; record[pal_record_size()] is written. NaNs get one bit pattern. */
void pal_record_pack(const pal_plan_t *plan, pal_table_t table,
                     const pal_outcome_t *outcome, uint8_t *record);

/* The record of a row that failed or diverged: no results, and the text. */
void pal_record_error(const pal_plan_t *plan, pal_table_t table, const char *text,
                      uint8_t *record);

/* The error text in a record: PAL_ERROR_BYTES bytes, the last of them 0. */
const char *pal_record_text(const pal_plan_t *plan, pal_table_t table,
                            const uint8_t *record);

#endif
