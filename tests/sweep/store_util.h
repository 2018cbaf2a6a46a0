/* store_util.h -- results files of small plans, for tests. */
#ifndef PAL_TESTS_STORE_UTIL_H
#define PAL_TESTS_STORE_UTIL_H

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "made_plan.h"
#include "made_result.h"
#include "store/file.h"

static const char path[] = "test_store.h5";
static char folder[] = "store.XXXXXX"; /* of this program alone */
static const pal_where_t where = {"node1", 3, 1.5, 1.75e9};
static made_plan_t small, large, other; /* seeds 0; 0 and 1; 2 */

static inline int setup(void **unused)
{
    pal_error_t err = {{0}};

    (void)unused;
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return -1;
    if (made_plan(&small, "[0]", "[0.1, 1]", &err) != PAL_OK ||
        made_plan(&large, "[0, 1]", "[0.1, 1, 10]", &err) != PAL_OK ||
        made_plan(&other, "[2]", "[0.1]", &err) != PAL_OK) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    return 0;
}

static inline int teardown(void **unused)
{
    (void)unused;
    made_plan_free(&small);
    made_plan_free(&large);
    made_plan_free(&other);
    unlink(path);
    return chdir("..") != 0 || rmdir(folder) != 0;
}

static inline int no_file(void **unused)
{
    (void)unused;
    unlink(path);
    return 0;
}

static inline int exists(const char *name)
{
    struct stat file;

    return stat(name, &file) == 0;
}

/* In the folder, hidden ones left out. */
static inline int count_files(void)
{
    DIR *here = opendir(".");
    struct dirent *entry;
    int n = 0;

    while ((entry = readdir(here)))
        n += entry->d_name[0] != '.';
    closedir(here);
    return n;
}

static inline pal_store_t *open_for(made_plan_t *made, pal_resume_t *resume)
{
    pal_store_t *store = NULL;
    pal_error_t err = {{0}};
    int rc =
        pal_store_open(path, &made->plan, made->config.text, 0, &store, resume, &err);

    if (rc != PAL_OK)
        fail_msg("%s", err.text);
    return store;
}

static inline pal_store_t *view(void)
{
    pal_store_t *store = NULL;
    pal_error_t err = {{0}};

    if (pal_store_view(path, &store, &err) != PAL_OK)
        fail_msg("%s", err.text);
    return store;
}

/* The row that a sweep would write. */
static inline void make_record(made_plan_t *made, pal_table_t table, int32_t row,
                               uint8_t *record)
{
    pal_plan_t *plan = &made->plan;
    uint8_t bits[64] = {0}, fold[64] = {0}, before[64] = {0};
    pal_model_result_t model = {.bits = bits};
    pal_trial_result_t trial = {.bits = fold, .bits_before = before};
    pal_outcome_t outcome = {&model, &trial};

    assert_true(plan->forget_bytes <= 64 && plan->fold_bytes <= 64);
    made_model(plan,
               table == PAL_TABLE_BASE ? plan->bases[row].key
               : table == PAL_TABLE_UNLEARNED
                   ? plan->unlearned[row].key
                   : plan->unlearned[plan->trials[row].unlearned].key,
               &model);
    if (table == PAL_TABLE_TRIALS)
        made_trial(plan, plan->trials[row].key, &trial);
    pal_record_pack(plan, table, &outcome, record);
}

static inline void write_row(pal_store_t *store, made_plan_t *made, pal_table_t table,
                             int32_t row, pal_state_t state)
{
    uint8_t record[4096];
    pal_error_t err;

    assert_true(pal_record_size(&made->plan, table) <= sizeof record);
    if (state == PAL_ROW_DONE)
        make_record(made, table, row, record);
    else
        pal_record_error(&made->plan, table, "loss nan at step 3", record);
    assert_int_equal(pal_store_write(store, table, row, state, record, &where, &err),
                     PAL_OK);
}

static inline void assert_row(pal_store_t *store, made_plan_t *made, pal_table_t table,
                              int32_t row)
{
    uint8_t expected[4096], found[4096];
    pal_error_t err;

    make_record(made, table, row, expected);
    assert_int_equal(pal_store_state(store, table, row), PAL_ROW_DONE);
    assert_int_equal(pal_store_read(store, table, row, found, &err), PAL_OK);
    assert_memory_equal(found, expected, pal_record_size(&made->plan, table));
}

static inline double number(pal_store_t *store, pal_table_t table, const char *column,
                            int32_t i)
{
    size_t n = (size_t)pal_store_rows(store, table) *
               (size_t)pal_store_width(store, table, column);
    double *values = malloc(n * sizeof *values), value;
    pal_error_t err;

    assert_int_equal(pal_store_numbers(store, table, column, values, &err), PAL_OK);
    value = values[i];
    free(values);
    return value;
}

static inline void assert_text(pal_store_t *store, pal_table_t table,
                               const char *column, int32_t row, const char *expected)
{
    const char *const *texts = NULL;
    pal_arena_t arena = {0};
    pal_error_t err;

    assert_int_equal(pal_store_texts(store, table, column, &arena, &texts, &err),
                     PAL_OK);
    assert_string_equal(texts[row], expected);
    pal_arena_free(&arena);
}

static inline void read_file(const char *name, char **bytes, size_t *n)
{
    FILE *file = fopen(name, "rb");

    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    *bytes = malloc(*n);
    assert_int_equal(fread(*bytes, 1, *n, file), *n);
    fclose(file);
}

/* XOR one byte of the file. */
static inline void damage(int64_t offset)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static inline int64_t place_of(pal_store_t *store, pal_table_t table,
                               const char *column, int32_t row)
{
    const pal_span_t *span = &store->spans[pal_column_find(table, column)];

    return span->offset + (int64_t)span->stride * row;
}

#define FRESH(test) cmocka_unit_test_setup(test, no_file)

#endif
