#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "place.h"

/* Shares of all ranks of a node, as "0-3|4-7". */
static void shares(const char *machine, const char *const *masks, int ranks, char *text)
{
    pal_cores_t usable[8], share;
    pal_error_t err;

    setenv("HWLOC_SYNTHETIC", machine, 1);
    text[0] = 0;
    for (int i = 0; i < ranks; i++) {
        assert_int_equal(pal_place_usable(&usable[i], &err), PAL_OK);
        for (int u = 0; masks && u < PAL_MOST_CORES; u++)
            usable[i].unit[u] = u < (int)strlen(masks[i]) && masks[i][u] == '1';
    }
    for (int i = 0; i < ranks; i++) {
        assert_int_equal(pal_place_share(usable, ranks, i, &share, &err), PAL_OK);
        pal_place_print(&share, text + strlen(text), 64);
        if (i + 1 < ranks)
            strcat(text, "|");
    }
    unsetenv("HWLOC_SYNTHETIC");
}

static void cores_are_split_evenly(void **unused)
{
    static const struct {
        const char *machine;
        const char *masks[8]; /* per rank: units of its mask; none: all */
        int ranks;
        const char *expected;
    } cases[] = {
        {"core:2 pu:1", {0}, 1, "0-1"},
        {"core:2 pu:1", {0}, 2, "0|1"},
        {"core:2 pu:1", {0}, 5, "0|1|0|1|0"}, /* more ranks than cores */
        {"numa:2 core:8 pu:1", {0}, 3, "0-4|5-9|10-15"},
        {"numa:2 core:8 pu:1", {0}, 5, "0-2|3-5|6-8|9-11|12-15"},
        {"core:4 pu:1", {0}, 3, "0|1|2-3"},
        {"core:4 pu:2", {0}, 2, "0-3|4-7"}, /* both threads of a core together */
        {"core:4 pu:1", {"0110", "0110"}, 2, "1|2"},   /* an inherited mask */
        {"core:4 pu:1", {"1000", "0011"}, 2, "0|2-3"}, /* placed by the launcher */
        {"core:4 pu:1", {"1100", "0110"}, 2, "0|1-2"}, /* overlapping: the union */
        {"core:4 pu:2", {"10101010", "10101010"}, 2, "0,2|4,6"}, /* one thread a core */
        {"core:4 pu:1", {"0100"}, 1, "1"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];

        shares(cases[i].machine, cases[i].masks[0] ? cases[i].masks : NULL,
               cases[i].ranks, text);
        assert_string_equal(text, cases[i].expected);
    }
}

/* On this machine: a rank alone may use what it could use before. */
static void binding_keeps_to_the_share(void **unused)
{
    pal_cores_t before, share, after;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_place_usable(&before, &err), PAL_OK);
    assert_int_equal(pal_place_share(&before, 1, 0, &share, &err), PAL_OK);
    assert_memory_equal(&share, &before, sizeof share);
    for (int u = 0, found = 0; u < PAL_MOST_CORES; u++) {
        share.unit[u] = share.unit[u] && !found;
        found |= share.unit[u];
    }
    assert_int_equal(pal_place_bind(&share, &err), PAL_OK);
    assert_int_equal(pal_place_usable(&after, &err), PAL_OK);
    assert_memory_equal(&after, &share, sizeof share);
    assert_int_equal(pal_place_bind(&before, &err), PAL_OK);
}

static void nothing_to_bind_to_is_refused(void **unused)
{
    pal_cores_t none = {{0}};
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_place_bind(&none, &err), PAL_EIO);
    assert_non_null(strstr(err.text, "cannot bind"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cores_are_split_evenly),
        cmocka_unit_test(binding_keeps_to_the_share),
        cmocka_unit_test(nothing_to_bind_to_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
