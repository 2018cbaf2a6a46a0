/* check_fails.c -- proof that a failed check is a failed test: `check_fails fail` must
 * exit with an error, `check_fails pass` with none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *verdict;

static void check(void **state)
{
    (void)state;
    assert_string_equal(verdict, "pass");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(check)};

    verdict = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
