/* Products where the address space is limited. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/gemm.h"
#include "kernel/threads.h"
#include "twin.h"

enum { THREADS = 2, BUFFERS = THREADS * 128, SIZE = 520, STACK = 48 };
enum { DONE = 100, REFUSED, OTHER }; /* beyond signals */

static void limit(int mib)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    struct rlimit most;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    most.rlim_cur = most.rlim_max =
        pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)mib << 20);
    assert_int_equal(setrlimit(RLIMIT_AS, &most), 0);
}

static int multiply_with(int mib)
{
    static float y[SIZE * SIZE], x[SIZE * SIZE], w[SIZE * SIZE];
    pal_error_t err = {{0}};
    int rc;

    pal_threads_set(THREADS);
    limit(mib);
    rc = pal_gemm_prepare(&err);
    if (rc == PAL_ENOMEM && strstr(err.text, "256 MiB") && strstr(err.text, "ulimit"))
        return REFUSED;
    if (rc != PAL_OK || pal_gemm_prepare(&err) != PAL_OK)
        return OTHER;
    limit(STACK);
    for (int i = 0; i < 20; i++)
        pal_gemm_forward(NULL, y, x, w, SIZE, SIZE, SIZE);
    return DONE;
}

/* In a process of its own, which has taken nothing yet: how it ended, or the signal. */
static int outcome_with(int mib)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        alarm(60);
        _exit(multiply_with(mib));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
}

static void too_little_is_refused(void **unused)
{
    (void)unused;
    assert_int_equal(outcome_with(BUFFERS - 8), REFUSED);
    assert_int_equal(outcome_with(8), REFUSED);
}

/* And nothing more is needed later, but the stack of a thread. */
static void what_was_prepared_suffices(void **unused)
{
    (void)unused;
    assert_int_equal(outcome_with(BUFFERS + STACK), DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_little_is_refused),
        cmocka_unit_test(what_was_prepared_suffices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
