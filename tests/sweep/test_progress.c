#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sweep/progress.h"

static void times_are_readable(void **unused)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0:00"},     {59.4, "0:59"},    {59.6, "1:00"},
                 {3599, "59:59"}, {3600, "1:00:00"}, {360000, "100:00:00"},
                 {INFINITY, "?"}, {NAN, "?"}};
    char text[32];

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pal_progress_time(cases[i].seconds, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

/* What a sweep of 20 trials, 8 done before, prints into a log or on a terminal. */
static char *printed(int terminal)
{
    pal_progress_t progress;
    char *text = NULL;
    size_t n;

    pal_progress_start(&progress, 0, "made", 20, 8, 100, 1000);
    progress.out = open_memstream(&text, &n);
    progress.terminal = terminal;
    pal_progress_step(&progress, 100, 1000.1);
    progress.done = 11;
    pal_progress_step(&progress, 75, 1060);
    pal_progress_step(&progress, 75, 1060.1);
    pal_progress_say(&progress, "rank %d is back", 2);
    progress.done = 18;
    progress.failed = 2;
    progress.diverged = 1;
    pal_progress_end(&progress, "made.h5", 0, 1125);
    fclose(progress.out);
    return text;
}

static void a_log_gets_a_line_a_minute(void **unused)
{
    char *text = printed(0);

    (void)unused;
    assert_string_equal(text, "made: 25%, 11 of 20 trials, 3 a minute, ETA 3:00\n"
                              "rank 2 is back\n"
                              "made: 10 trials in 2:05, 18 of 20 done, 2 failed, "
                              "1 diverged: made.h5\n");
    free(text);
}

static void a_terminal_gets_a_bar(void **unused)
{
    char *text = printed(1);

    (void)unused;
    assert_non_null(strstr(text, "\r[#######.......................]  25% 11 of 20"));
    assert_non_null(strstr(text, "\r\033[Krank 2 is back\n"));
    assert_non_null(strstr(text, "] 100% 18 of 20 trials, 2 failed, 1 diverged, "));
    free(text);
}

/* Without trials from before. */
static void a_first_run_ends_in_one_number(void **unused)
{
    pal_progress_t progress;
    char *text = NULL;
    size_t n;

    (void)unused;
    pal_progress_start(&progress, 0, "made", 20, 0, 100, 1000);
    progress.out = open_memstream(&text, &n);
    progress.terminal = 0;
    progress.done = 19;
    progress.failed = 1;
    pal_progress_end(&progress, "made.h5", 0, 1015);
    fclose(progress.out);
    assert_string_equal(text, "made: 19 of 20 trials, 1 failed in 0:15: made.h5\n");
    free(text);
}

static void silence_is_silent(void **unused)
{
    pal_progress_t progress;

    (void)unused;
    pal_progress_start(&progress, 1, "made", 20, 0, 100, 0);
    assert_null(progress.out);
    pal_progress_step(&progress, 50, 100);
    pal_progress_end(&progress, "made.h5", 0, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_readable),
        cmocka_unit_test(a_log_gets_a_line_a_minute),
        cmocka_unit_test(a_terminal_gets_a_bar),
        cmocka_unit_test(a_first_run_ends_in_one_number),
        cmocka_unit_test(silence_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
