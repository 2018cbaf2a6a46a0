/* store.h -- the results file (schema: results/README.md).
 *
 * One HDF5 file, made whole under a temporary name before the first trial and renamed;
 * its structure never changes again. A finished row is written with pwrite() at the
 * offsets of its columns: results, then the checksum, the state byte last. Where they
 * lie is said by an index in the file's user block, which HDF5 leaves alone: this
 * program never parses HDF5, so that no damaged or hostile file can crash it, and any
 * reader may open the file at any time. The only place for <hdf5.h>.
 *
 * Not thread-safe: all calls from the main thread.
 */
#ifndef PAL_MPI_STORE_STORE_H
#define PAL_MPI_STORE_STORE_H

#include "plan/plan.h"
#include "store/column.h"

typedef struct pal_store pal_store_t;

/* --- Reading: status, show, summaries --- */

/* Open for reading, also while a run writes the file. PAL_ENOENT: no such file.
 * PAL_EINVAL: not one of our files, of another schema or truncated; says what was
 * found. */
PAL_MUST_CHECK
int pal_store_view(const char *path, pal_store_t **out, pal_error_t *err);
void pal_store_close(pal_store_t *store); /* NULL is allowed */

int32_t pal_store_rows(const pal_store_t *store, pal_table_t table);

/* A root attribute: "config", "sweep", "commit", ...; "" if there is none. Borrowed. */
const char *pal_store_attribute(const pal_store_t *store, const char *name);

/* Numbers (or bytes of a bits column) a row: 1, the curve's points, the bytes of a bit
 * row; for text its width in bytes. 0 if the table has no such column. */
int32_t pal_store_width(const pal_store_t *store, pal_table_t table,
                        const char *column);

/* Has every row a state that exists, and do the checksums of those that are done or
 * diverged match? PAL_EINVAL names the first that does not. */
PAL_MUST_CHECK
int pal_store_check_rows(const pal_store_t *store, pal_error_t *err);

/* What of a plan a file has already, row by row of the plan. */
typedef struct {
    /* Of /base, /unlearned, /trials: the row of the file that is done or diverged and
     * whole; -1: none. In the arena. */
    int32_t *rows[PAL_TABLES];
    int32_t damaged; /* rows of the plan with another checksum: computed again */
    pal_arena_t arena;
} pal_match_t;

/* Find the plan's rows by key. PAL_EINVAL: a finished row is none of the plan. On
 * failure *match is zeroed. */
PAL_MUST_CHECK
int pal_store_match(const pal_store_t *store, const pal_plan_t *plan,
                    pal_match_t *match, pal_error_t *err);
void pal_match_free(pal_match_t *match);

/* A whole numeric column of any type, as it is in the file now: values[rows * width],
 * written. PAL_ENOENT: no such column; PAL_EINVAL: it is text; PAL_EIO. */
PAL_MUST_CHECK
int pal_store_numbers(const pal_store_t *store, pal_table_t table, const char *column,
                      double *values, pal_error_t *err);

/* A whole bits column: bits[rows * width], written. Bit i of a row is
 * row[i / 8] >> (i % 8) & 1. */
PAL_MUST_CHECK
int pal_store_bits(const pal_store_t *store, pal_table_t table, const char *column,
                   uint8_t *bits, pal_error_t *err);

/* A whole text column: (*texts)[rows], array and texts in the arena. */
PAL_MUST_CHECK
int pal_store_texts(const pal_store_t *store, pal_table_t table, const char *column,
                    pal_arena_t *arena, const char *const **texts, pal_error_t *err);

/* --- Writing: run --- */

/* What resuming found. */
typedef struct {
    int created;  /* 1: a new file; 2: made anew from a file of another plan */
    int32_t kept; /* rows of /base, /unlearned and /trials already done or diverged */
    int32_t corrupt; /* rows set back to pending: their checksum did not match */
} pal_resume_t;

/* Lock path (waits up to `patience` seconds for another run to let go), then create it
 * or resume. A file of this plan with all rows finished is only viewed, without a lock:
 * nothing may be written into it. The file of another plan is made anew, its rows
 * copied by key, if the new plan has every one of its finished trials; else PAL_EINVAL
 * and the file is as it was. Failed rows go back to pending. config is the text of the
 * config file. A symbolic link stands for the file it leads to. On failure no file is
 * left that was not there before. PAL_EIO: rows are left, and it or its folder cannot
 * be written. */
PAL_MUST_CHECK
int pal_store_open(const char *path, pal_plan_t *plan, const char *config,
                   double patience, pal_store_t **out, pal_resume_t *resume,
                   pal_error_t *err);

/* State of a row of /base, /unlearned or /trials. */
pal_state_t pal_store_state(const pal_store_t *store, pal_table_t table, int32_t row);

/* Where and how fast a row was computed. */
typedef struct {
    char host[64];
    int32_t rank;
    double seconds;  /* wall-clock of the stage */
    double finished; /* Unix time */
} pal_where_t;

/* Write a row: record as pal_record_*() packed it for the same plan. The row's state
 * becomes `state`, last of all. PAL_EIO names the file and the cause; the row is then
 * pending. */
PAL_MUST_CHECK
int pal_store_write(pal_store_t *store, pal_table_t table, int32_t row,
                    pal_state_t state, const uint8_t *record, const pal_where_t *where,
                    pal_error_t *err);

/* Read a row's record back: record[pal_record_size()], written. */
PAL_MUST_CHECK
int pal_store_read(const pal_store_t *store, pal_table_t table, int32_t row,
                   uint8_t *record, pal_error_t *err);

/* Enter a session into /run/sessions, and its end. `hosts` and `job` are cut to fit. */
PAL_MUST_CHECK
int pal_store_session(pal_store_t *store, int32_t ranks, const char *hosts,
                      const char *job, pal_error_t *err);
PAL_MUST_CHECK
int pal_store_session_end(pal_store_t *store, pal_error_t *err);

/* commit[PAL_COMMIT_BYTES]: that of the last session which may have computed otherwise
 * than `program` (pal_build_commit()) does, being another commit or one with changes;
 * "" if there is none. PAL_EINVAL, PAL_EIO. */
PAL_MUST_CHECK
int pal_store_other_commit(const pal_store_t *store, const char *program, char *commit,
                           pal_error_t *err);

/* Bytes the results file of a plan will have, within a few per cent. */
double pal_store_bytes(pal_plan_t *plan);

#endif
