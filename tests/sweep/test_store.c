#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "made_plan.h"
#include "made_result.h"
#include "store_file.h"

static const char path[] = "test_store.h5";
static const pal_where_t where = {"node1", 3, 1.5, 1.75e9};
static made_plan_t small, large, other; /* seeds 0; 0 and 1; 2 */

static int setup(void **unused)
{
    pal_error_t err = {{0}};

    (void)unused;
    if (made_plan(&small, "[0]", "[0.1, 1]", &err) != PAL_OK ||
        made_plan(&large, "[0, 1]", "[0.1, 1, 10]", &err) != PAL_OK ||
        made_plan(&other, "[2]", "[0.1]", &err) != PAL_OK) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    made_plan_free(&small);
    made_plan_free(&large);
    made_plan_free(&other);
    unlink(path);
    return 0;
}

static int no_file(void **unused)
{
    (void)unused;
    unlink(path);
    return 0;
}

static int exists(const char *name)
{
    struct stat file;

    return stat(name, &file) == 0;
}

static pal_store_t *open_for(made_plan_t *made, pal_resume_t *resume)
{
    pal_store_t *store = NULL;
    pal_error_t err = {{0}};
    int rc = pal_store_open(path, &made->plan, made->config.text, 0, &store, resume, &err);

    if (rc != PAL_OK)
        fail_msg("%s", err.text);
    return store;
}

static pal_store_t *view(void)
{
    pal_store_t *store = NULL;
    pal_error_t err = {{0}};

    if (pal_store_view(path, &store, &err) != PAL_OK)
        fail_msg("%s", err.text);
    return store;
}

/* The row that a sweep would write. */
static void make_record(made_plan_t *made, pal_table_t table, int32_t row, uint8_t *record)
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

static void write_row(pal_store_t *store, made_plan_t *made, pal_table_t table,
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

static void assert_row(pal_store_t *store, made_plan_t *made, pal_table_t table,
                       int32_t row)
{
    uint8_t expected[4096], found[4096];
    pal_error_t err;

    make_record(made, table, row, expected);
    assert_int_equal(pal_store_state(store, table, row), PAL_ROW_DONE);
    assert_int_equal(pal_store_read(store, table, row, found, &err), PAL_OK);
    assert_memory_equal(found, expected, pal_record_size(&made->plan, table));
}

static double number(pal_store_t *store, pal_table_t table, const char *column, int32_t i)
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

static void assert_text(pal_store_t *store, pal_table_t table, const char *column,
                        int32_t row, const char *expected)
{
    const char *const *texts = NULL;
    pal_arena_t arena = {0};
    pal_error_t err;

    assert_int_equal(pal_store_texts(store, table, column, &arena, &texts, &err), PAL_OK);
    assert_string_equal(texts[row], expected);
    pal_arena_free(&arena);
}

static void a_new_file_has_the_plan_and_no_results(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    const pal_plan_t *plan = &small.plan;
    int32_t last = plan->trial_count - 1, u = plan->trials[last].unlearned;
    char key[PAL_KEY_TEXT];

    (void)unused;
    assert_int_equal(resume.created, 1);
    assert_int_equal(resume.kept, 0);
    assert_true(exists("test_store.h5.lock"));
    pal_store_close(store);
    assert_false(exists("test_store.h5.lock"));
    assert_false(exists("test_store.h5.tmp"));
    store = view();
    assert_string_equal(pal_store_attribute(store, "config"), small.config.text);
    assert_string_equal(pal_store_attribute(store, "sweep"), "made");
    assert_string_equal(pal_store_attribute(store, "schema"), "1");
    assert_true(strlen(pal_store_attribute(store, "commit")) > 0);
    assert_non_null(strstr(pal_store_attribute(store, "blas"), "OpenBLAS"));
    assert_int_equal(pal_store_rows(store, PAL_TABLE_TRIALS), plan->trial_count);
    assert_int_equal(pal_store_rows(store, PAL_TABLE_FACTS),
                     plan->worlds[0].ground.world.count);
    for (int32_t i = 0; i < plan->trial_count; i++) {
        assert_int_equal(pal_store_state(store, PAL_TABLE_TRIALS, i), PAL_ROW_PENDING);
        assert_true(isnan(number(store, PAL_TABLE_TRIALS, "v_after", i)));
        assert_true(isnan(number(store, PAL_TABLE_TRIALS, "curve_v", i * plan->points)));
        assert_true(number(store, PAL_TABLE_TRIALS, "holdout", i) ==
                    (double)plan->trials[i].spec->common.holdout);
        assert_true(number(store, PAL_TABLE_TRIALS, "attack_lr", i) ==
                    plan->trials[i].spec->common.recipe.lr);
    }
    pal_key_text(plan->trials[last].key, key);
    assert_text(store, PAL_TABLE_TRIALS, "key", last, key);
    assert_text(store, PAL_TABLE_TRIALS, "method", last, plan->unlearned[u].spec->id);
    assert_text(store, PAL_TABLE_TRIALS, "setting", last,
                pal_plan_setting(&small.plan, u));
    assert_text(store, PAL_TABLE_RUN_TRIALS, "host", last, "");
    pal_store_close(store);
}

static void controls_have_no_coefficient(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);

    (void)unused;
    for (int32_t i = 0; i < small.plan.unlearned_count; i++)
        assert_int_equal(isnan(number(store, PAL_TABLE_UNLEARNED, "coefficient", i)) != 0,
                         number(store, PAL_TABLE_UNLEARNED, "role", i) != 0);
    pal_store_close(store);
}

static void taught_bits_count_what_was_taught(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    int32_t width = pal_store_width(store, PAL_TABLE_BASE, "taught_bits");
    uint8_t bits[256];
    pal_error_t err;

    (void)unused;
    assert_true(small.plan.base_count * width <= 256);
    assert_int_equal(pal_store_bits(store, PAL_TABLE_BASE, "taught_bits", bits, &err),
                     PAL_OK);
    for (int32_t b = 0; b < small.plan.base_count; b++) {
        int32_t taught = 0;

        for (int32_t i = 0; i < 8 * width; i++)
            taught += bits[b * width + i / 8] >> i % 8 & 1;
        assert_int_equal(taught, small.plan.bases[b].spec.pretrain.taught > 0
                                     ? small.plan.worlds[0].ground.forget
                                     : 0);
    }
    pal_store_close(store);
}

static void rows_come_back_as_written(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    pal_plan_t *plan = &small.plan;

    (void)unused;
    write_row(store, &small, PAL_TABLE_BASE, 0, PAL_ROW_DONE);
    write_row(store, &small, PAL_TABLE_UNLEARNED, 1, PAL_ROW_DIVERGED);
    for (int32_t i = 0; i < plan->trial_count; i += 3)
        write_row(store, &small, PAL_TABLE_TRIALS, i, PAL_ROW_DONE);
    pal_store_close(store);
    store = view();
    assert_row(store, &small, PAL_TABLE_BASE, 0);
    for (int32_t i = 0; i < plan->trial_count; i++)
        if (i % 3 == 0)
            assert_row(store, &small, PAL_TABLE_TRIALS, i);
        else
            assert_int_equal(pal_store_state(store, PAL_TABLE_TRIALS, i), PAL_ROW_PENDING);
    assert_text(store, PAL_TABLE_UNLEARNED, "error", 1, "loss nan at step 3");
    assert_true(isnan(number(store, PAL_TABLE_UNLEARNED, "v_accuracy", 1)));
    assert_text(store, PAL_TABLE_RUN_TRIALS, "host", 3, "node1");
    assert_true(number(store, PAL_TABLE_RUN_TRIALS, "rank", 3) == 3);
    assert_true(number(store, PAL_TABLE_RUN_TRIALS, "seconds", 3) == 1.5);
    pal_store_close(store);
}

static void columns_that_are_not_there_are_refused(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    const char *const *texts;
    pal_arena_t arena = {0};
    double value;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_store_numbers(store, PAL_TABLE_TRIALS, "v_afer", &value, &err),
                     PAL_ENOENT);
    assert_non_null(strstr(err.text, "/trials/v_afer"));
    assert_int_equal(pal_store_numbers(store, PAL_TABLE_TRIALS, "method", &value, &err),
                     PAL_EINVAL);
    assert_int_equal(pal_store_texts(store, PAL_TABLE_TRIALS, "seed", &arena, &texts, &err),
                     PAL_EINVAL);
    assert_int_equal(pal_store_width(store, PAL_TABLE_TRIALS, "v_afer"), 0);
    pal_store_close(store);
}

/* XOR one byte of the file. */
static void damage(int64_t offset)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static int64_t place_of(pal_store_t *store, const char *column, int32_t row)
{
    const pal_span_t *span =
        &store->spans[pal_column_find(PAL_TABLE_TRIALS, column)];

    return span->offset + (int64_t)span->stride * row;
}

static void resuming_keeps_good_rows_only(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    int64_t result, key, crc, state;

    (void)unused;
    for (int32_t i = 0; i < 8; i++)
        write_row(store, &small, PAL_TABLE_TRIALS, i,
                  i == 5 ? PAL_ROW_FAILED : i == 6 ? PAL_ROW_DIVERGED : PAL_ROW_DONE);
    result = place_of(store, "v_after", 0) + 2;
    key = place_of(store, "key", 1) + 7;
    crc = place_of(store, "crc", 2);
    state = place_of(store, "state", 3); /* 1 becomes 17 */
    pal_store_close(store);
    damage(result);
    damage(key);
    damage(crc);
    damage(state);
    store = open_for(&small, &resume);
    assert_int_equal(resume.created, 0);
    assert_int_equal(resume.corrupt, 4);
    assert_int_equal(resume.kept, 3);
    for (int32_t i = 0; i < 8; i++)
        assert_int_equal(pal_store_state(store, PAL_TABLE_TRIALS, i),
                         i == 4 || i == 7 ? PAL_ROW_DONE
                         : i == 6         ? PAL_ROW_DIVERGED
                                          : PAL_ROW_PENDING);
    assert_true(isnan(number(store, PAL_TABLE_TRIALS, "v_after", 0)));
    assert_text(store, PAL_TABLE_TRIALS, "error", 5, "");
    assert_row(store, &small, PAL_TABLE_TRIALS, 7);
    pal_store_close(store);
}

/* A kill leaves a row half written: its state byte still says pending. */
static void half_a_row_is_wiped(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    const double half = 0.5;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_store_put(store, pal_column_find(PAL_TABLE_TRIALS, "v_before"), 4,
                                   1, &half, &err),
                     PAL_OK);
    pal_store_close(store);
    store = open_for(&small, &resume);
    assert_int_equal(resume.corrupt, 0);
    assert_true(isnan(number(store, PAL_TABLE_TRIALS, "v_before", 4)));
    pal_store_close(store);
}

static int32_t row_of(const pal_plan_t *plan, pal_key_t key)
{
    for (int32_t i = 0; i < plan->trial_count; i++)
        if (pal_key_equal(plan->trials[i].key, key))
            return i;
    fail();
    return -1;
}

static void a_larger_plan_takes_the_rows_over(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    int32_t moved = 0;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_store_session(store, 2, "node1 node2", "77", &err), PAL_OK);
    write_row(store, &small, PAL_TABLE_BASE, 0, PAL_ROW_DONE);
    for (int32_t i = 0; i < small.plan.trial_count; i += 2)
        write_row(store, &small, PAL_TABLE_TRIALS, i, PAL_ROW_DONE);
    write_row(store, &small, PAL_TABLE_TRIALS, 1, PAL_ROW_FAILED);
    assert_int_equal(pal_store_session_end(store, &err), PAL_OK);
    pal_store_close(store);
    store = open_for(&large, &resume);
    assert_int_equal(resume.created, 2);
    assert_int_equal(pal_store_rows(store, PAL_TABLE_TRIALS), large.plan.trial_count);
    for (int32_t i = 0; i < small.plan.trial_count; i++) {
        int32_t row = row_of(&large.plan, small.plan.trials[i].key);

        if (i % 2 == 0) {
            assert_row(store, &large, PAL_TABLE_TRIALS, row);
            assert_text(store, PAL_TABLE_RUN_TRIALS, "host", row, "node1");
            moved++;
        } else {
            assert_int_equal(pal_store_state(store, PAL_TABLE_TRIALS, row),
                             PAL_ROW_PENDING);
        }
    }
    assert_int_equal(resume.kept, moved + 1);
    assert_text(store, PAL_TABLE_SESSIONS, "hosts", 0, "node1 node2");
    assert_text(store, PAL_TABLE_SESSIONS, "job", 0, "77");
    assert_false(exists("test_store.h5.tmp"));
    pal_store_close(store);
}

static void read_file(const char *name, char **bytes, size_t *n)
{
    FILE *file = fopen(name, "rb");

    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    *bytes = malloc(*n);
    assert_int_equal(fread(*bytes, 1, *n, file), *n);
    fclose(file);
}

static void a_plan_without_the_rows_is_refused(void **unused)
{
    pal_resume_t resume = {7, 7, 7};
    pal_store_t *store = open_for(&small, &resume);
    char *before, *after;
    size_t n, m;
    pal_error_t err;

    (void)unused;
    write_row(store, &small, PAL_TABLE_TRIALS, 0, PAL_ROW_DONE);
    write_row(store, &small, PAL_TABLE_BASE, 0, PAL_ROW_DONE);
    pal_store_close(store);
    read_file(path, &before, &n);
    store = NULL;
    assert_int_equal(pal_store_open(path, &other.plan, other.config.text, 0, &store,
                                    &resume, &err),
                     PAL_EINVAL);
    assert_null(store);
    assert_non_null(strstr(err.text, "test_store.h5 holds 1 done trials and 1 done models"));
    assert_non_null(strstr(err.text, "choose another -o, or move it away"));
    read_file(path, &after, &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
    assert_false(exists("test_store.h5.tmp"));
    assert_false(exists("test_store.h5.lock"));
    free(before);
    free(after);
}

/* --- Files that are not ours --- */

static void write_file(const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");

    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void assert_refused(made_plan_t *made, const char *says)
{
    pal_store_t *store = NULL;
    pal_resume_t resume;
    char *before, *after;
    size_t n, m;
    pal_error_t err = {{0}};

    read_file(path, &before, &n);
    assert_int_equal(pal_store_view(path, &store, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, path));
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
    assert_int_equal(pal_store_open(path, &made->plan, "", 0, &store, &resume, &err),
                     PAL_EINVAL);
    assert_null(store);
    read_file(path, &after, &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
    free(before);
    free(after);
}

/* Replace the first occurrence of a text by one of the same length. */
static void replace(char *bytes, size_t n, const char *old, const char *new)
{
    size_t length = strlen(old);

    for (size_t i = 0; i + length <= n; i++)
        if (memcmp(bytes + i, old, length) == 0) {
            memcpy(bytes + i, new, length);
            return;
        }
    fail();
}

/* Give a damaged index its right checksum, as a hostile hand would. */
static void seal(char *bytes)
{
    char line[80];
    unsigned schema;
    size_t n;

    if (sscanf(bytes, "palimpsest results, schema %u, %zu bytes", &schema, &n) != 2 ||
        n > 16384 - 80)
        return;
    snprintf(line, sizeof line, "palimpsest results, schema %u, %zu bytes, crc %08x\n",
             schema, n, (unsigned)pal_crc32(0, bytes + 80, n));
    memcpy(bytes, line, sizeof line);
}

static void strange_files_are_refused(void **unused)
{
    static const struct {
        const char *old, *new;
        int seal; /* with the right checksum */
        const char *says;
    } changes[] = {
        {"schema 1,", "schema 2,", 0, "written with schema 2; this program reads schema 1"},
        {"/trials/curve_dev ", "/trials/curve_deV ", 1, "/trials/curve_dev is missing"},
        {"/trials/curve_dev ", "/trials/curve_deV ", 0, "another checksum"},
        {"attribute plan", "attribute plaN", 1, "attribute plan is missing"},
        {"column /trials/state 1 ", "column /trials/state 2 ", 1, "makes no sense"},
        {"column /trials/seed 1 ", "column /trials/seed -1", 1, "makes no sense"},
        {"length ", "lengty ", 1, "has no length"},
        {"bytes, crc ", "bytes, crx ", 0, "damaged in its first line"},
    };
    pal_resume_t resume;
    char *bytes, *copy;
    size_t n;

    (void)unused;
    write_file("", 0);
    assert_refused(&small, "not a results file");
    write_file("sweep: quickstart\nworld: {kind: synthetic, facts: 300}\n", 55);
    assert_refused(&small, "not a results file");
    unlink(path);
    pal_store_close(open_for(&small, &resume));
    read_file(path, &bytes, &n);
    copy = malloc(n);
    for (size_t i = 1; i < 40; i++) {
        write_file(bytes, n * i / 40);
        assert_refused(&small, "truncated");
    }
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        memcpy(copy, bytes, n);
        replace(copy, n, changes[i].old, changes[i].new);
        if (changes[i].seal)
            seal(copy);
        write_file(copy, n);
        assert_refused(&small, changes[i].says);
    }
    for (size_t i = 512; i < n; i *= 2)
        if (memcmp(bytes + i, "\211HDF", 4) == 0) {
            write_file(bytes + i, n - i);
            assert_refused(&small, "of some HDF5 file");
        }
    free(copy);
    free(bytes);
}

/* Run in a child, so that a crash is a number. */
static int view_in_child(void)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        pal_store_t *store = NULL;
        double values[1024];

        signal(SIGSEGV, SIG_DFL); /* cmocka's would end as a failed test */
        signal(SIGBUS, SIG_DFL);
        signal(SIGFPE, SIG_DFL);
        alarm(20);
        if (pal_store_view(path, &store, NULL) == PAL_OK &&
            pal_store_rows(store, PAL_TABLE_TRIALS) <= 1024)
            (void)!pal_store_numbers(store, PAL_TABLE_TRIALS, "v_after", values, NULL);
        pal_store_close(store);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void no_damage_crashes_the_reader(void **unused)
{
    enum { TIMES = 300 };
    pal_rng_t rng;
    pal_resume_t resume;
    char *bytes, *copy;
    size_t n;

    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{9}}, "damage");
    pal_store_close(open_for(&small, &resume));
    read_file(path, &bytes, &n);
    copy = malloc(n);
    for (int i = 0; i < TIMES; i++) {
        int flips = 1 + (int)pal_rng_below(&rng, 8), status;
        /* The index and all its numbers first, then anywhere. */
        size_t within = i % 2 ? n : 16384;

        memcpy(copy, bytes, n);
        for (int k = 0; k < flips; k++)
            copy[pal_rng_below(&rng, (uint32_t)within)] ^= (char)(1 + pal_rng_below(&rng, 255));
        seal(copy);
        write_file(copy, n);
        status = view_in_child();
        if (status)
            fail_msg("status %d at damage %d", status, i);
    }
    free(copy);
    free(bytes);
}

/* --- A full disk, two runs --- */

static void a_full_disk_leaves_nothing(void **unused)
{
    pid_t child = fork();
    int status;

    (void)unused;
    if (child == 0) {
        const struct rlimit limit = {20000, 20000};
        pal_store_t *store = NULL;
        pal_resume_t resume;
        pal_error_t err = {{0}};

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        if (pal_store_open(path, &small.plan, "", 0, &store, &resume, &err) != PAL_EIO)
            _exit(1);
        _exit(strstr(err.text, "test_store.h5.tmp") && strstr(err.text, strerror(EFBIG))
                  ? 0
                  : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(exists(path));
    assert_false(exists("test_store.h5.tmp"));
    assert_false(exists("test_store.h5.lock"));
}

static void a_missing_folder_is_named(void **unused)
{
    pal_store_t *store = NULL;
    pal_resume_t resume;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_store_open("nowhere/x.h5", &small.plan, "", 0, &store, &resume,
                                    &err),
                     PAL_EINVAL);
    assert_string_equal(err.text, "nowhere/x.h5: its folder does not exist");
}

static void a_second_run_waits_for_the_first(void **unused)
{
    pal_store_t *store = NULL;
    pal_resume_t resume;
    int ready[2];
    char byte;
    pid_t child;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        store = open_for(&small, &resume);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(pal_store_open(path, &small.plan, "", 0.2, &store, &resume, &err),
                     PAL_EINVAL);
    assert_non_null(strstr(err.text, "another run is writing it (process "));
    store = view(); /* a reader need not wait */
    pal_store_close(store);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    pal_store_close(open_for(&small, &resume)); /* the lock went with its process */
    assert_false(exists("test_store.h5.lock"));
    close(ready[0]);
    close(ready[1]);
}

static void sessions_go_round(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    pal_error_t err;

    (void)unused;
    for (int i = 0; i <= PAL_SESSIONS; i++) {
        char job[16];

        snprintf(job, sizeof job, "%d", i);
        assert_int_equal(pal_store_session(store, i, "here", job, &err), PAL_OK);
        assert_int_equal(pal_store_session_end(store, &err), PAL_OK);
    }
    assert_text(store, PAL_TABLE_SESSIONS, "job", 0, "256");
    assert_text(store, PAL_TABLE_SESSIONS, "job", 1, "1");
    pal_store_close(store);
}

static void the_size_is_foreseen(void **unused)
{
    pal_resume_t resume;
    struct stat file;

    (void)unused;
    pal_store_close(open_for(&large, &resume));
    assert_int_equal(stat(path, &file), 0);
    assert_true(fabs(pal_store_bytes(&large.plan) / (double)file.st_size - 1) < 0.1);
}

#define FRESH(test) cmocka_unit_test_setup(test, no_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(a_new_file_has_the_plan_and_no_results),
        FRESH(controls_have_no_coefficient),
        FRESH(taught_bits_count_what_was_taught),
        FRESH(rows_come_back_as_written),
        FRESH(columns_that_are_not_there_are_refused),
        FRESH(resuming_keeps_good_rows_only),
        FRESH(half_a_row_is_wiped),
        FRESH(a_larger_plan_takes_the_rows_over),
        FRESH(a_plan_without_the_rows_is_refused),
        FRESH(strange_files_are_refused),
        FRESH(no_damage_crashes_the_reader),
        FRESH(a_full_disk_leaves_nothing),
        FRESH(a_missing_folder_is_named),
        FRESH(a_second_run_waits_for_the_first),
        FRESH(sessions_go_round),
        FRESH(the_size_is_foreseen),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
