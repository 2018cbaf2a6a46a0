#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "store_util.h"

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
        {"schema 2,", "schema 3,", 0,
         "written with schema 3; this program reads schema 2"},
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

/* Of rows that are done and rows that are pending. */
static void a_changed_plan_column_is_refused(void **unused)
{
    static const struct {
        pal_table_t table;
        const char *column;
        int32_t row;
        const char *says;
    } changes[] = {
        {PAL_TABLE_TRIALS, "coefficient", 0, "the column /trials/coefficient"},
        {PAL_TABLE_TRIALS, "seed", 5, "the column /trials/seed is not as it was made"},
        {PAL_TABLE_TRIALS, "method", 1, "the column /trials/method"},
        {PAL_TABLE_TRIALS, "key", 2, "the column /trials/key"},
        {PAL_TABLE_UNLEARNED, "setting", 1, "the column /unlearned/setting"},
        {PAL_TABLE_BASE, "taught_bits", 0, "the column /base/taught_bits"},
        {PAL_TABLE_FACTS, "fold", 3, "the column /facts/fold"},
        {PAL_TABLE_WORLDS, "chance", 0, "the column /worlds/chance"},
    };
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    int64_t offset;

    (void)unused;
    write_row(store, &small, PAL_TABLE_TRIALS, 0, PAL_ROW_DONE);
    pal_store_close(store);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        store = view();
        offset = place_of(store, changes[i].table, changes[i].column, changes[i].row);
        pal_store_close(store);
        damage(offset);
        assert_refused(&small, changes[i].says);
        damage(offset); /* back */
    }
    store = open_for(&small, &resume);
    assert_int_equal(resume.kept, 1);
    pal_store_close(store);
}

/* An index of before these checksums. */
static void an_index_without_checksums_is_read(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    int32_t rows = pal_store_rows(store, PAL_TABLE_TRIALS);
    char *bytes, *line, old[128];
    int64_t offset;
    size_t n;

    (void)unused;
    offset = store->spans[pal_column_find(PAL_TABLE_TRIALS, "seed")].offset;
    pal_store_close(store);
    snprintf(old, sizeof old, "column /trials/seed 1 %d %lld ", rows,
             (long long)offset);
    read_file(path, &bytes, &n);
    line = strstr(bytes + 80, old);
    assert_non_null(line);
    /* The same length, but the checksum is a line of its own that says nothing. */
    line[strlen(old) - 1] = '\n';
    seal(bytes);
    write_file(bytes, n);
    free(bytes);
    store = view();
    assert_true(number(store, PAL_TABLE_TRIALS, "seed", 0) == 0);
    pal_store_close(store);
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
            copy[pal_rng_below(&rng, (uint32_t)within)] ^=
                (char)(1 + pal_rng_below(&rng, 255));
        seal(copy);
        write_file(copy, n);
        status = view_in_child();
        if (status)
            fail_msg("status %d at damage %d", status, i);
    }
    free(copy);
    free(bytes);
}

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
        _exit(strstr(err.text, "cannot make test_store.h5.") &&
                      strstr(err.text, strerror(EFBIG))
                  ? 0
                  : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count_files(), 0);
}

static void a_missing_folder_is_named(void **unused)
{
    pal_store_t *store = NULL;
    pal_resume_t resume;
    pal_error_t err;

    (void)unused;
    assert_int_equal(
        pal_store_open("nowhere/x.h5", &small.plan, "", 0, &store, &resume, &err),
        PAL_EINVAL);
    assert_string_equal(err.text, "nowhere/x.h5: its folder does not exist");
}

/* The names beside it are longer than its own. */
static void a_long_name_is_refused(void **unused)
{
    static const int lengths[] = {256, 251, 243};
    pal_store_t *store = NULL;
    pal_resume_t resume;
    char name[300];
    pal_error_t err;

    (void)unused;
    for (int i = 0; i < 3; i++) {
        memset(name, 'x', sizeof name);
        name[lengths[i]] = 0;
        assert_int_equal(
            pal_store_open(name, &small.plan, "", 0, &store, &resume, &err),
            PAL_EINVAL);
        assert_non_null(strstr(err.text, "too long a name"));
        assert_int_equal(count_files(), 0);
    }
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
    assert_non_null(strstr(err.text, "another run is writing it (palimpsest process "));
    store = view(); /* a reader need not wait */
    pal_store_close(store);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    pal_store_close(open_for(&small, &resume)); /* the lock went with its process */
    assert_false(exists("test_store.h5.lock"));
    close(ready[0]);
    close(ready[1]);
}

/* A pipe is waited for in vain, and a device may do anything. */
static void only_plain_files_are_opened(void **unused)
{
    static const char *const names[] = {"fifo", "folder", "folder/", "/dev/null",
                                        "/dev/zero"};

    (void)unused;
    assert_int_equal(mkfifo("fifo", 0600) | mkdir("folder", 0700), 0);
    alarm(20);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pal_store_t *store = NULL;
        pal_resume_t resume;
        pal_error_t err;

        assert_int_equal(
            pal_store_open(names[i], &small.plan, "", 0, &store, &resume, &err),
            PAL_EINVAL);
        assert_null(store);
        assert_memory_equal(err.text, names[i], strlen(names[i]));
        assert_non_null(strstr(err.text, i == 1 || i == 2
                                             ? ": not a file but a folder"
                                             : ": not a file but a pipe or device"));
    }
    alarm(0);
    assert_int_equal(count_files(), 2);
    assert_int_equal(rmdir("folder") | unlink("fifo"), 0);
}

static void ignore(int number)
{
    (void)number;
}

/* Signals that end system calls, all the time. */
static void signals_disturb_nothing(void **unused)
{
    const struct timespec pause = {0, 20000};
    struct sigaction action = {.sa_handler = ignore}; /* no SA_RESTART */
    pid_t self = getpid(), child;

    (void)unused;
    sigaction(SIGUSR1, &action, NULL);
    child = fork();
    if (child == 0) {
        while (getppid() == self && kill(self, SIGUSR1) == 0)
            nanosleep(&pause, NULL);
        _exit(0);
    }
    assert_true(child > 0);
    for (int i = 0; i < 20; i++) {
        pal_resume_t resume;
        pal_store_t *store;

        unlink(path);
        store = open_for(&large, &resume);
        write_row(store, &large, PAL_TABLE_TRIALS, i, PAL_ROW_DONE);
        pal_store_close(store);
        store = open_for(&large, &resume);
        assert_int_equal(resume.kept, 1);
        assert_row(store, &large, PAL_TABLE_TRIALS, i);
        pal_store_close(store);
    }
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

static void write_named(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static void assert_holds(const char *name, const char *text)
{
    char *bytes;
    size_t n;

    read_file(name, &bytes, &n);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(bytes, text, n);
    free(bytes);
}

static void files_of_others_are_left_alone(void **unused)
{
    static const char text[] = "somebody's notes, and more than a few of them\n";
    static const char lock[] = "test_store.h5.lock";
    pal_store_t *store = NULL;
    pal_resume_t resume;
    pal_error_t err;

    (void)unused;
    write_named("test_store.h5.tmp", text);
    write_named(lock, text);
    for (int i = 0; i < 4; i++) { /* notes, a pipe, a link to notes, a folder */
        assert_int_equal(
            pal_store_open(path, &small.plan, "", 0, &store, &resume, &err),
            PAL_EINVAL);
        assert_non_null(strstr(err.text, "test_store.h5.lock: no lock of this"));
        if (i == 0 || i == 2)
            assert_holds(lock, text);
        assert_false(exists(path));
        assert_int_equal(remove(lock), 0);
        assert_int_equal(i == 0   ? mkfifo(lock, 0600)
                         : i == 1 ? symlink("test_store.h5.tmp", lock)
                         : i == 2 ? mkdir(lock, 0700)
                                  : 0,
                         0);
    }
    pal_store_close(open_for(&small, &resume));
    pal_store_close(open_for(&large, &resume));
    assert_int_equal(resume.created, 2);
    assert_holds("test_store.h5.tmp", text);
    assert_int_equal(unlink("test_store.h5.tmp"), 0);
    assert_int_equal(count_files(), 1);
}

static int is_link(const char *name)
{
    struct stat file;

    assert_int_equal(lstat(name, &file), 0);
    return S_ISLNK(file.st_mode);
}

/* All names of a file share its lock; links stay, also when the file is made. */
static void a_link_stands_for_its_file(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store;

    (void)unused;
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(symlink("folder/link", path), 0);
    assert_int_equal(symlink("real.h5", "folder/link"), 0);
    for (int created = 1; created < 4; created++) {
        store = open_for(created == 1 ? &small : &large, &resume);
        assert_int_equal(resume.created, created % 3);
        assert_true(exists("folder/real.h5.lock"));
        pal_store_close(store);
        assert_true(is_link(path) && is_link("folder/link"));
        assert_false(is_link("folder/real.h5"));
        assert_int_equal(count_files(), 2);
    }
    assert_int_equal(unlink("folder/link") | symlink("link", "folder/link"), 0);
    assert_int_equal(pal_store_open(path, &small.plan, "", 0, &store, &resume, NULL),
                     PAL_EINVAL);
    assert_int_equal(unlink("folder/link") | unlink("folder/real.h5") | rmdir("folder"),
                     0);
}

/* A run that was killed left its lock; an empty file is somebody's. */
static void a_lock_left_behind_is_taken(void **unused)
{
    static const char lock[] = "test_store.h5.lock";
    pal_store_t *store;
    pal_resume_t resume;

    (void)unused;
    for (int i = 0; i < 2; i++) {
        write_named(lock, i ? "palimpsest process 7 on node1\n" : "");
        store = open_for(&small, &resume);
        assert_true(exists(lock));
        pal_store_close(store);
        assert_int_equal(exists(lock), i == 0);
    }
}

static void write_all_rows(pal_store_t *store, made_plan_t *made)
{
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++)
        for (int32_t row = 0; row < pal_store_rows(store, (pal_table_t)t); row++)
            write_row(store, made, (pal_table_t)t, row, PAL_ROW_DONE);
}

/* pal_store_open() in a child that may write neither the file nor its folder; what it
 * said, "" if it went well. Permissions do not bind root, so root becomes nobody. */
static void open_in_child(made_plan_t *made, char said[256])
{
    enum { NOBODY = 65534 };
    int ends[2], status;
    pid_t child;
    ssize_t n;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        pal_store_t *store = NULL;
        pal_resume_t resume;
        pal_error_t err = {{0}};

        if (geteuid() == 0 && setuid(NOBODY) != 0)
            _exit(1);
        if (pal_store_open(path, &made->plan, "", 0, &store, &resume, &err) == PAL_OK &&
            resume.kept != pal_store_rows(store, PAL_TABLE_BASE) +
                               pal_store_rows(store, PAL_TABLE_UNLEARNED) +
                               pal_store_rows(store, PAL_TABLE_TRIALS))
            _exit(2);
        pal_store_close(store);
        _exit(write(ends[1], err.text, strlen(err.text)) < 0 ? 3 : 0);
    }
    close(ends[1]);
    n = read(ends[0], said, 255);
    close(ends[0]);
    said[n > 0 ? n : 0] = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_finished_file_need_not_be_writable(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume);
    char said[256];

    (void)unused;
    write_all_rows(store, &small);
    pal_store_close(store);
    assert_int_equal(chmod(path, 0444) | chmod(".", 0555), 0);
    open_in_child(&small, said);
    assert_string_equal(said, "");
    open_in_child(&large, said);
    assert_non_null(strstr(said, "cannot make test_store.h5.lock: Permission denied"));
    assert_int_equal(chmod(".", 0777), 0);
    open_in_child(&large, said);
    assert_string_equal(said,
                        "test_store.h5: cannot open it for writing: Permission denied");
    assert_int_equal(chmod(".", 0755), 0);
    assert_false(exists("test_store.h5.lock"));
}

/* A second run of a finished sweep needs no lock, and a bad row no less than before. */
static void a_damaged_file_is_not_finished(void **unused)
{
    pal_resume_t resume;
    pal_store_t *store = open_for(&small, &resume), *second;
    int64_t offset = place_of(store, PAL_TABLE_TRIALS, "v_after", 3);

    (void)unused;
    write_all_rows(store, &small);
    second = open_for(&small, &resume);
    assert_int_equal(resume.corrupt, 0);
    pal_store_close(second);
    pal_store_close(store);
    damage(offset);
    store = open_for(&small, &resume);
    assert_int_equal(resume.corrupt, 1);
    assert_int_equal(pal_store_state(store, PAL_TABLE_TRIALS, 3), PAL_ROW_PENDING);
    pal_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(strange_files_are_refused),
        FRESH(a_changed_plan_column_is_refused),
        FRESH(an_index_without_checksums_is_read),
        FRESH(no_damage_crashes_the_reader),
        FRESH(a_full_disk_leaves_nothing),
        FRESH(a_missing_folder_is_named),
        FRESH(a_second_run_waits_for_the_first),
        FRESH(only_plain_files_are_opened),
        FRESH(signals_disturb_nothing),
        FRESH(files_of_others_are_left_alone),
        FRESH(a_link_stands_for_its_file),
        FRESH(a_lock_left_behind_is_taken),
        FRESH(a_long_name_is_refused),
        FRESH(a_finished_file_need_not_be_writable),
        FRESH(a_damaged_file_is_not_finished),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
