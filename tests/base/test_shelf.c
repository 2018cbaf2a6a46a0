#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/shelf.h"

enum { SMALL = 1000, LARGE = PAL_SHELF_LEAST + 3 };
static const char folder[] = "shelf.test";
static char *bytes, *again; /* LARGE each */

static int start(void **unused)
{
    (void)unused;
    bytes = malloc(LARGE);
    again = malloc(LARGE);
    return mkdir(folder, 0777) != 0 && errno != EEXIST;
}

static int end(void **unused)
{
    (void)unused;
    free(bytes);
    free(again);
    return rmdir(folder); /* which has no file any more */
}

/* Put n bytes that depend on `seed`, and get them back. */
static void check(pal_shelf_t *shelf, size_t n, int seed)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 7 + i / 251 + (size_t)seed);
    memset(again, 0, n);
    assert_int_equal(pal_shelf_put(shelf, bytes, n, NULL), PAL_OK);
    assert_int_equal(pal_shelf_get(shelf, again, NULL), PAL_OK);
    assert_memory_equal(bytes, again, n);
}

static void an_empty_shelf_gives_nothing(void **unused)
{
    pal_shelf_t shelf;
    pal_error_t err;

    (void)unused;
    pal_shelf_init(&shelf, folder);
    assert_int_equal(pal_shelf_get(&shelf, again, &err), PAL_EINVAL);
    check(&shelf, SMALL, 1);
    pal_shelf_free(&shelf);
    assert_int_equal(pal_shelf_get(&shelf, again, &err), PAL_EINVAL);
}

/* As when a file system took the bytes and lost them. */
static void lost_bytes_are_noticed(void **unused)
{
    const char zero = 0;
    pal_shelf_t shelf;
    pal_error_t err;

    (void)unused;
    pal_shelf_init(&shelf, folder);
    check(&shelf, LARGE, 1);
    assert_int_equal(pwrite(shelf.file, &zero, 1, LARGE - 1), 1);
    assert_int_equal(pal_shelf_get(&shelf, again, &err), PAL_EIO);
    assert_non_null(strstr(err.text, "came back damaged"));
    pal_shelf_free(&shelf);
}

static void what_was_put_comes_back(void **unused)
{
    pal_shelf_t shelf;

    (void)unused;
    pal_shelf_init(&shelf, folder);
    check(&shelf, SMALL, 1);
    assert_non_null(shelf.memory);
    for (int seed = 2; seed < 5; seed++) {
        check(&shelf, LARGE, seed);
        assert_null(shelf.memory);
    }
    check(&shelf, LARGE - 1, 5);
    check(&shelf, SMALL, 6);
    assert_int_equal(shelf.file, -1);
    pal_shelf_free(&shelf);
    check(&shelf, LARGE, 7);
    pal_shelf_free(&shelf);
}

static void without_a_folder_it_is_in_memory(void **unused)
{
    static const char *const folders[] = {NULL, "no/such/folder"};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        pal_shelf_t shelf;

        pal_shelf_init(&shelf, folders[i]);
        check(&shelf, LARGE, 1);
        check(&shelf, LARGE, 2);
        assert_non_null(shelf.memory);
        pal_shelf_free(&shelf);
    }
}

static void a_full_disk_is_no_failure(void **unused)
{
    pal_shelf_t shelf;

    (void)unused;
    pal_shelf_init(&shelf, folder);
    check(&shelf, LARGE, 1);
    assert_int_equal(close(shelf.file), 0);
    shelf.file = open("/dev/full", O_RDWR);
    assert_true(shelf.file >= 0);
    check(&shelf, LARGE, 2);
    assert_non_null(shelf.memory);
    check(&shelf, LARGE, 3);
    pal_shelf_free(&shelf);
}

static void a_lost_file_is_an_error(void **unused)
{
    pal_error_t err;
    pal_shelf_t shelf;

    (void)unused;
    pal_shelf_init(&shelf, folder);
    check(&shelf, LARGE, 1);
    assert_int_equal(ftruncate(shelf.file, 100), 0);
    assert_int_equal(pal_shelf_get(&shelf, again, &err), PAL_EIO);
    assert_non_null(strstr(err.text, folder));
    pal_shelf_free(&shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_shelf_gives_nothing),
        cmocka_unit_test(lost_bytes_are_noticed),
        cmocka_unit_test(what_was_put_comes_back),
        cmocka_unit_test(without_a_folder_it_is_in_memory),
        cmocka_unit_test(a_full_disk_is_no_failure),
        cmocka_unit_test(a_lost_file_is_an_error),
    };

    return cmocka_run_group_tests(tests, start, end);
}
