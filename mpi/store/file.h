/* file.h -- the inside of pal_store_t; for mpi/store/ only. */
#ifndef PAL_MPI_STORE_FILE_H
#define PAL_MPI_STORE_FILE_H

#include "store/store.h"

/* Version of results/README.md. */
enum { PAL_STORE_SCHEMA = 2 };

/* Root attributes, all text. */
#define PAL_ATTRIBUTES(X)                                                              \
    X(schema)                                                                          \
    X(code_schema)                                                                     \
    X(sweep) X(config) X(plan) X(commit) X(version) X(compiler) X(mpi) X(hdf5) X(blas) \
        X(blas_core) X(hwloc) X(cpu)

enum {
#define X(name) PAL_ATTRIBUTE_##name,
    PAL_ATTRIBUTES(X)
#undef X
        PAL_ATTRIBUTE_COUNT
};
extern const char *const pal_attribute_names[PAL_ATTRIBUTE_COUNT];

/* Where a column lies in the file. */
typedef struct {
    int64_t offset; /* bytes */
    int32_t width;  /* values a row */
    size_t stride;  /* bytes a row */
    int sealed;     /* a plan column: never changes, and crc is that of its bytes */
    uint32_t crc;
} pal_span_t;

struct pal_store {
    char *path;
    int fd;
    int lock;          /* fd of the lock file; -1: open for reading */
    pal_span_t *spans; /* one per column of columns.def */
    int32_t rows[PAL_TABLES];
    char *attributes[PAL_ATTRIBUTE_COUNT];
    uint8_t *states[PAL_TABLES]; /* of /base, /unlearned, /trials */
    int32_t session;             /* row of this session */
};

/* image.c: a whole file in memory, results blank. *image is malloc'ed. */
PAL_MUST_CHECK
int pal_store_image(pal_plan_t *plan, const char *config, uint8_t **image, size_t *size,
                    pal_error_t *err);

/* index.c: what lies where, in the file's user block. Bytes to set aside for it
 * (a power of two), and the index of spans, rows and attributes as room[n]; length is
 * that of the file. */
size_t pal_index_room(const pal_store_t *store);
void pal_index_print(const pal_store_t *store, size_t length, char *room, size_t n);

/* Fill spans, rows and attributes from the open file. PAL_EINVAL says what was found.
 */
PAL_MUST_CHECK
int pal_index_read(pal_store_t *store, pal_error_t *err);

/* store.c: open without a lock. */
PAL_MUST_CHECK
int pal_store_attach(const char *path, int writable, pal_store_t **out,
                     pal_error_t *err);

/* n rows of a column, from or to memory. */
PAL_MUST_CHECK
int pal_store_get(const pal_store_t *store, int column, int32_t row, int32_t n,
                  void *bytes, pal_error_t *err);
PAL_MUST_CHECK
int pal_store_put(const pal_store_t *store, int column, int32_t row, int32_t n,
                  const void *bytes, pal_error_t *err);

/* Bytes of a record in this file, and n records from `row` on, one after the other. */
size_t pal_store_record_size(const pal_store_t *store, pal_table_t table);
PAL_MUST_CHECK
int pal_store_records(const pal_store_t *store, pal_table_t table, int32_t row,
                      int32_t n, uint8_t *records, pal_error_t *err);

/* check.c: are the sealed columns as they were made? PAL_EINVAL names the first that is
 * not. */
PAL_MUST_CHECK
int pal_store_check_plan(const pal_store_t *store, pal_error_t *err);

/* Done or diverged. */
int pal_is_finished(uint8_t state);

enum { PAL_STRETCH = 256 }; /* rows read at a time */

/* Rows first .. first+count-1 of /base, /unlearned or /trials as they lie in the file,
 * states before the rest: what a state says is there. */
typedef struct {
    const pal_store_t *store;
    pal_table_t table;
    int32_t first, count;
    uint8_t states[PAL_STRETCH];
    char keys[PAL_STRETCH][PAL_KEY_TEXT - 1];
    uint32_t crcs[PAL_STRETCH];
    uint8_t *records;
    size_t record_size;
} pal_stretch_t;

/* Before the first row; pal_stretch_next() goes on to the next stretch, count 0 after
 * the last. */
PAL_MUST_CHECK
int pal_stretch_create(const pal_store_t *store, pal_table_t table, pal_stretch_t **out,
                       pal_error_t *err);
void pal_stretch_destroy(pal_stretch_t *stretch); /* NULL is allowed */

PAL_MUST_CHECK
int pal_stretch_next(pal_stretch_t *stretch, pal_error_t *err);

/* Of the i-th row of the stretch: its record, and whether its checksum matches. */
const uint8_t *pal_stretch_record(const pal_stretch_t *stretch, int32_t i);
int pal_stretch_is_whole(const pal_stretch_t *stretch, int32_t i);

/* Checksum of a row; key is the 32 characters of its key column. */
uint32_t pal_store_crc(pal_state_t state, const char *key, const uint8_t *record,
                       size_t size);

/* lock.c: hold <path>.lock until unlocked or the process is gone; waits
 * `patience` seconds for who holds it. PAL_EINVAL: still held. */
PAL_MUST_CHECK
int pal_store_lock(const char *path, double patience, int *lock, pal_error_t *err);
void pal_store_unlock(const char *path, int lock); /* lock < 0: nothing */

/* move.c: from the file of another plan into that of this one, take over the rows that
 * match and the sessions. *damaged: rows left behind, for their checksum does not
 * match. PAL_EINVAL if a finished row has no place. */
PAL_MUST_CHECK
int pal_store_move(const pal_store_t *old, pal_store_t *fresh, const pal_plan_t *plan,
                   int32_t *damaged, pal_error_t *err);

/* /base, /unlearned or /trials -> the table in /run. */
pal_table_t pal_store_run_table(pal_table_t table);

#endif
