/* Create a results file, or go on with the one that is there. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "store/file.h"
#include "store/provenance.h"

/* --- Making a file --- */

/* SA_RESTART does not cover this call: a signal for the program to stop may end it. */
static int reserve(int fd, off_t size)
{
    int error;

    do
        error = posix_fallocate(fd, 0, size);
    while (error == EINTR);
    /* Where it does not exist, writing reserves the blocks as well. */
    return error == EOPNOTSUPP || error == ENOSYS ? 0 : error;
}

/* The whole file under a temporary name, malloc'ed. All its blocks are there after
 * this, so the disk cannot be full later. */
static int make_temporary(const char *path, pal_plan_t *plan, const char *config,
                          char **name, pal_error_t *err)
{
    uint8_t *image;
    size_t size;
    int fd, error, rc = pal_store_image(plan, config, &image, &size, err);

    if (rc != PAL_OK)
        return rc;
    rc = pal_file_temporary(path, name, &fd, err);
    if (rc != PAL_OK) {
        free(image);
        return rc;
    }
    error = reserve(fd, (off_t)size);
    if (error == 0)
        error = pal_file_write(fd, image, size) == 0 ? 0 : errno;
    if (error == 0 && fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && error == 0 && errno != EINTR)
        error = errno;
    free(image);
    if (error == 0)
        return PAL_OK;
    rc = pal_fail_(err, PAL_EIO, NULL, 0, "cannot make %s of %zu bytes: %s", *name,
                   size, strerror(error));
    unlink(*name);
    free(*name);
    return rc;
}

/* Make the file; with `old`, take over its rows before it gets its name. *damaged: rows
 * of it that were left behind. */
static int create(const char *path, pal_plan_t *plan, const char *config,
                  const pal_store_t *old, int32_t *damaged, pal_error_t *err)
{
    char *name;
    pal_store_t *fresh = NULL;
    int rc = make_temporary(path, plan, config, &name, err);

    if (rc != PAL_OK)
        return rc;
    if (old) {
        rc = pal_store_attach(name, 1, &fresh, err);
        if (rc == PAL_OK)
            rc = pal_store_move(old, fresh, plan, damaged, err);
        if (rc == PAL_OK && fsync(fresh->fd) != 0)
            rc = PAL_FAIL(err, PAL_EIO, "%s: %s", name, strerror(errno));
        pal_store_close(fresh);
    }
    if (rc == PAL_OK)
        rc = pal_file_rename(name, path, err);
    else
        unlink(name);
    free(name);
    return rc;
}

/* --- Going on with one --- */

/* 1 if the file is one of this plan. */
static int same_plan(const pal_store_t *store, const pal_plan_t *plan)
{
    char key[PAL_KEY_TEXT];

    pal_key_text(plan->key, key);
    if (strcmp(store->attributes[PAL_ATTRIBUTE_plan], key) != 0)
        return 0;
    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++)
        if (store->rows[t] != pal_table_rows(plan, (pal_table_t)t) ||
            pal_store_record_size(store, (pal_table_t)t) !=
                pal_record_size(plan, (pal_table_t)t))
            return 0;
    return 1;
}

static int check_row(pal_store_t *store, const pal_stretch_t *stretch, int32_t i,
                     const uint8_t *blank, pal_resume_t *resume, pal_error_t *err)
{
    int32_t row = stretch->first + i;
    int pending = stretch->states[i] == PAL_ROW_PENDING;

    if (!pending && !pal_stretch_is_whole(stretch, i)) {
        resume->corrupt++;
    } else if (pal_is_finished(stretch->states[i])) {
        resume->kept++;
        return PAL_OK;
    }
    /* What a kill left of a row, or a failure, is wiped. */
    if (pending &&
        memcmp(pal_stretch_record(stretch, i), blank, stretch->record_size) == 0)
        return PAL_OK;
    return pal_store_write(store, stretch->table, row, PAL_ROW_PENDING, blank, NULL,
                           err);
}

static int check_table(pal_store_t *store, const pal_plan_t *plan, pal_table_t table,
                       pal_resume_t *resume, pal_error_t *err)
{
    uint8_t *blank = malloc(pal_record_size(plan, table) + 1);
    pal_stretch_t *stretch = NULL;
    int rc;

    if (!blank)
        rc = PAL_FAIL(err, PAL_ENOMEM, "a record of %s", pal_table_path(table));
    else
        rc = pal_stretch_create(store, table, &stretch, err);
    if (rc == PAL_OK)
        pal_record_pack(plan, table, NULL, blank);
    while (rc == PAL_OK && (rc = pal_stretch_next(stretch, err)) == PAL_OK &&
           stretch->count > 0)
        for (int32_t i = 0; i < stretch->count && rc == PAL_OK; i++)
            rc = check_row(store, stretch, i, blank, resume, err);
    pal_stretch_destroy(stretch);
    free(blank);
    return rc;
}

static int check_rows(pal_store_t *store, const pal_plan_t *plan, pal_resume_t *resume,
                      pal_error_t *err)
{
    int rc = PAL_OK;

    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS && rc == PAL_OK; t++)
        rc = check_table(store, plan, (pal_table_t)t, resume, err);
    return rc;
}

/* Number of its rows if all of them are finished and whole, else 0. */
static int32_t count_finished(const pal_store_t *store)
{
    int32_t rows = 0;

    for (int t = PAL_TABLE_BASE; t <= PAL_TABLE_TRIALS; t++) {
        for (int32_t row = 0; row < store->rows[t]; row++)
            if (!pal_is_finished(store->states[t][row]))
                return 0;
        rows += store->rows[t];
    }
    return pal_store_check_rows(store, NULL) == PAL_OK ? rows : 0;
}

/* *out: the file of this plan if nothing is left to write into it, else NULL. It may
 * lie where nothing can be written. */
static int view_finished(const char *path, const pal_plan_t *plan, pal_store_t **out,
                         pal_resume_t *resume, pal_error_t *err)
{
    pal_store_t *store = NULL;
    int rc = pal_store_view(path, &store, err);

    *out = NULL;
    if (rc == PAL_ENOENT) {
        if (err)
            err->text[0] = 0; /* as it should be */
        return PAL_OK;
    }
    if (rc == PAL_OK && same_plan(store, plan))
        resume->kept = count_finished(store);
    if (resume->kept > 0)
        *out = store;
    else
        pal_store_close(store);
    return rc;
}

/* The file of this plan at path, made or found; not yet open. */
static int prepare(const char *path, pal_plan_t *plan, const char *config,
                   pal_resume_t *resume, pal_error_t *err)
{
    pal_store_t *old = NULL;
    int rc = pal_store_attach(path, 1, &old, err);

    if (rc == PAL_ENOENT) {
        if (err)
            err->text[0] = 0; /* as it should be */
        resume->created = 1;
        return create(path, plan, config, NULL, NULL, err);
    }
    if (rc == PAL_OK && !same_plan(old, plan)) {
        resume->created = 2;
        rc = create(path, plan, config, old, &resume->corrupt, err);
    }
    pal_store_close(old);
    return rc;
}

/* path: of the file itself, no link to it. */
static int open_file(const char *path, pal_plan_t *plan, const char *config,
                     double patience, pal_store_t **out, pal_resume_t *resume,
                     pal_error_t *err)
{
    int lock = -1, rc = view_finished(path, plan, out, resume, err);

    if (*out)
        return PAL_OK;
    if (rc == PAL_OK)
        rc = pal_store_lock(path, patience, &lock, err);
    if (rc == PAL_OK)
        rc = prepare(path, plan, config, resume, err);
    if (rc == PAL_OK)
        rc = pal_store_attach(path, 1, out, err);
    if (rc == PAL_OK)
        rc = check_rows(*out, plan, resume, err);
    if (rc == PAL_OK) {
        (*out)->lock = lock;
        return PAL_OK;
    }
    pal_store_close(*out);
    pal_store_unlock(path, lock);
    return rc;
}

int pal_store_open(const char *path, pal_plan_t *plan, const char *config,
                   double patience, pal_store_t **out, pal_resume_t *resume,
                   pal_error_t *err)
{
    pal_store_t *store = NULL;
    pal_resume_t found = {0};
    char *target;
    int rc = pal_file_target(path, &target, err);

    if (rc != PAL_OK)
        return rc;
    rc = open_file(target, plan, config, patience, &store, &found, err);
    free(target);
    if (rc == PAL_OK) {
        *resume = found;
        *out = store;
    }
    return rc;
}

/* --- Sessions --- */

static double unix_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int put_text(pal_store_t *store, const char *column, const char *text,
                    pal_error_t *err)
{
    int i = pal_column_find(PAL_TABLE_SESSIONS, column);
    char bytes[256] = "";

    memcpy(bytes, text, strnlen(text, store->spans[i].stride));
    return pal_store_put(store, i, store->session, 1, bytes, err);
}

static int put_time(pal_store_t *store, const char *column, double value,
                    pal_error_t *err)
{
    return pal_store_put(store, pal_column_find(PAL_TABLE_SESSIONS, column),
                         store->session, 1, &value, err);
}

/* started[PAL_SESSIONS]: not above 0 where the row is free. */
static int read_started(const pal_store_t *store, double *started, pal_error_t *err)
{
    if (store->rows[PAL_TABLE_SESSIONS] != PAL_SESSIONS)
        return PAL_REJECT(err, "%s: /run/sessions has %d rows", store->path,
                          store->rows[PAL_TABLE_SESSIONS]);
    return pal_store_numbers(store, PAL_TABLE_SESSIONS, "started", started, err);
}

/* The first free row, else that of the oldest session. */
static int find_session(pal_store_t *store, pal_error_t *err)
{
    double started[PAL_SESSIONS];
    int rc = read_started(store, started, err);

    if (rc != PAL_OK)
        return rc;
    store->session = 0;
    for (int32_t i = 0; i < PAL_SESSIONS; i++) {
        if (!(started[i] > 0)) {
            store->session = i;
            break;
        }
        if (started[i] < started[store->session])
            store->session = i;
    }
    return PAL_OK;
}

int pal_store_session(pal_store_t *store, int32_t ranks, const char *hosts,
                      const char *job, pal_error_t *err)
{
    int rc = find_session(store, err);

    if (rc == PAL_OK)
        rc = put_time(store, "finished", NAN, err);
    if (rc == PAL_OK)
        rc = pal_store_put(store, pal_column_find(PAL_TABLE_SESSIONS, "ranks"),
                           store->session, 1, &ranks, err);
    if (rc == PAL_OK)
        rc = put_text(store, "hosts", hosts, err);
    if (rc == PAL_OK)
        rc = put_text(store, "job", job, err);
    if (rc == PAL_OK)
        rc = put_text(store, "commit", pal_build_commit(), err);
    if (rc == PAL_OK)
        rc = put_time(store, "started", unix_time(), err);
    return rc;
}

int pal_store_session_end(pal_store_t *store, pal_error_t *err)
{
    int rc = put_time(store, "finished", unix_time(), err);

    if (rc == PAL_OK && fsync(store->fd) != 0)
        rc = PAL_FAIL(err, PAL_EIO, "%s: %s", store->path, strerror(errno));
    return rc;
}

/* Two trees with changes may have different ones. */
static int may_differ(const char *commit, const char *program)
{
    return strcmp(commit, program) != 0 || strstr(commit, "-dirty") != NULL;
}

int pal_store_other_commit(const pal_store_t *store, const char *program, char *commit,
                           pal_error_t *err)
{
    double started[PAL_SESSIONS], last = 0;
    char found[PAL_COMMIT_BYTES] = "";
    int column = pal_column_find(PAL_TABLE_SESSIONS, "commit");
    int rc = read_started(store, started, err);

    for (int32_t i = 0; i < PAL_SESSIONS && rc == PAL_OK; i++) {
        char text[PAL_COMMIT_BYTES + 1] = "";

        if (!(started[i] > last))
            continue;
        rc = pal_store_get(store, column, i, 1, text, err);
        if (rc == PAL_OK && may_differ(text, program)) {
            last = started[i];
            memcpy(found, text, sizeof found - 1);
        }
    }
    if (rc == PAL_OK)
        memcpy(commit, found, sizeof found);
    return rc;
}
