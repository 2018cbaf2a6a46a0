#include "store_util.h"

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
    assert_int_equal(count_files(), 1);
    store = view();
    assert_string_equal(pal_store_attribute(store, "config"), small.config.text);
    assert_string_equal(pal_store_attribute(store, "sweep"), "made");
    assert_string_equal(pal_store_attribute(store, "schema"), "2");
    assert_true(strlen(pal_store_attribute(store, "commit")) > 0);
    assert_non_null(strstr(pal_store_attribute(store, "blas"), "OpenBLAS"));
    assert_int_equal(pal_store_rows(store, PAL_TABLE_TRIALS), plan->trial_count);
    assert_int_equal(pal_store_rows(store, PAL_TABLE_FACTS),
                     plan->worlds[0].ground.world.count);
    for (int32_t i = 0; i < plan->trial_count; i++) {
        assert_int_equal(pal_store_state(store, PAL_TABLE_TRIALS, i), PAL_ROW_PENDING);
        assert_true(isnan(number(store, PAL_TABLE_TRIALS, "v_after", i)));
        assert_true(
            isnan(number(store, PAL_TABLE_TRIALS, "curve_v", i * plan->points)));
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
        assert_int_equal(isnan(number(store, PAL_TABLE_UNLEARNED, "coefficient", i)) !=
                             0,
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
            assert_int_equal(pal_store_state(store, PAL_TABLE_TRIALS, i),
                             PAL_ROW_PENDING);
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
    assert_int_equal(
        pal_store_texts(store, PAL_TABLE_TRIALS, "seed", &arena, &texts, &err),
        PAL_EINVAL);
    assert_int_equal(pal_store_width(store, PAL_TABLE_TRIALS, "v_afer"), 0);
    pal_store_close(store);
}

static void resuming_keeps_good_rows_only(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    int64_t result, crc, state;

    (void)unused;
    for (int32_t i = 0; i < 8; i++)
        write_row(store, &small, PAL_TABLE_TRIALS, i,
                  i == 5   ? PAL_ROW_FAILED
                  : i == 6 ? PAL_ROW_DIVERGED
                           : PAL_ROW_DONE);
    result = place_of(store, PAL_TABLE_TRIALS, "v_after", 0) + 2;
    crc = place_of(store, PAL_TABLE_TRIALS, "crc", 2);
    state = place_of(store, PAL_TABLE_TRIALS, "state", 3); /* 1 becomes 17 */
    pal_store_close(store);
    damage(result);
    damage(crc);
    damage(state);
    store = open_for(&small, &resume);
    assert_int_equal(resume.created, 0);
    assert_int_equal(resume.corrupt, 3);
    assert_int_equal(resume.kept, 4);
    for (int32_t i = 0; i < 8; i++)
        assert_int_equal(pal_store_state(store, PAL_TABLE_TRIALS, i),
                         i == 1 || i == 4 || i == 7 ? PAL_ROW_DONE
                         : i == 6                   ? PAL_ROW_DIVERGED
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
    assert_int_equal(pal_store_put(store, pal_column_find(PAL_TABLE_TRIALS, "v_before"),
                                   4, 1, &half, &err),
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
    pal_store_close(store);
    assert_int_equal(count_files(), 1);
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
    assert_int_equal(
        pal_store_open(path, &other.plan, other.config.text, 0, &store, &resume, &err),
        PAL_EINVAL);
    assert_null(store);
    assert_non_null(
        strstr(err.text, "test_store.h5 holds 1 done trials and 1 done models"));
    assert_non_null(strstr(err.text, "choose another -o, or move it away"));
    read_file(path, &after, &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
    assert_int_equal(count_files(), 1);
    free(before);
    free(after);
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

static void put_commit(const pal_store_t *store, int32_t session, const char *commit)
{
    char bytes[PAL_COMMIT_BYTES] = "";

    snprintf(bytes, sizeof bytes, "%s", commit);
    assert_int_equal(pal_store_put(store, pal_column_find(PAL_TABLE_SESSIONS, "commit"),
                                   session, 1, bytes, NULL),
                     PAL_OK);
}

static void the_last_other_commit_is_known(void **unused)
{
    /* of three sessions, and of the program; "" in the first: none of them */
    static const char *const cases[][5] = {
        {"", "a", "a", "a", "a"},
        {"b", "a", "b", "a", "a"},
        {"c", "b", "c", "a", "a"},
        {"a", "a", "a", "a", "b"},
        {"a", "a", "a", "a", "a-dirty"},
        {"a-dirty", "a-dirty", "a", "a", "a"},
        {"a-dirty", "a", "a", "a-dirty", "a-dirty"}, /* which changes? */
        {"", "unknown", "unknown", "unknown", "unknown"},
    };
    char commit[PAL_COMMIT_BYTES];
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_store_other_commit(store, "a", commit, &err), PAL_OK);
    assert_string_equal(commit, "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(pal_store_session(store, 1, "here", "", &err), PAL_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int32_t k = 0; k < 3; k++)
            put_commit(store, k, cases[i][1 + k]);
        assert_int_equal(pal_store_other_commit(store, cases[i][4], commit, &err),
                         PAL_OK);
        assert_string_equal(commit, cases[i][0]);
    }
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

/* The page's section of each table names each of its columns. */
static void the_schema_page_is_complete(void **unused)
{
    char *page, *text, name[80];
    size_t n;

    (void)unused;
    read_file(PAL_SOURCE_DIR "/results/README.md", &page, &n);
    text = calloc(1, n + 1);
    memcpy(text, page, n);
    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++) {
        snprintf(name, sizeof name, "`%s`", pal_attribute_names[i]);
        assert_non_null(strstr(strstr(text, "## Root attributes"), name));
    }
    for (int i = 0; i < pal_column_count(); i++) {
        const pal_column_t *column = pal_column_at(i);
        int run = column->table >= PAL_TABLE_RUN_BASE;
        const char *section, *found, *end;

        snprintf(name, sizeof name,
                 "## %s:", run ? "/run" : pal_table_path(column->table));
        section = strstr(text, name);
        assert_non_null(section);
        end = strstr(section + 3, "\n## ");
        snprintf(name, sizeof name, "`%s`", column->name);
        found = strstr(section, name);
        if (!found || (end && found > end))
            fail_msg("%s/%s is not in results/README.md", pal_table_path(column->table),
                     column->name);
    }
    free(text);
    free(page);
}

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
        FRESH(sessions_go_round),
        FRESH(the_last_other_commit_is_known),
        FRESH(the_size_is_foreseen),
        cmocka_unit_test(the_schema_page_is_complete),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
