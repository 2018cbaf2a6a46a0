/* pal_mmd() against its naive twin, the twin's gradient against central differences,
 * and values known by hand.
 *
 * Tolerance of the fast form: an exponential errs by 2e-7, its fourth squaring by 16
 * times that, and the terms of MMD^2, each up to 5, cancel. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernel/mmd.h"

enum { MOST = 40 * 70 };

static float x[MOST], y[MOST], dx[MOST];
static double exact_x[MOST], exact_y[MOST], exact_dx[MOST];

/* Two samples, the first narrower and off centre. */
static void draw(int32_t n, int32_t cols)
{
    pal_rng_t rng;

    pal_rng_init(&rng, (pal_key_t){{9}}, "mmd");
    for (int32_t i = 0; i < n * cols; i++) {
        x[i] = (float)(0.4 + 0.5 * pal_rng_normal(&rng));
        y[i] = (float)pal_rng_normal(&rng);
        dx[i] = 0.0f;
        exact_dx[i] = 0.0;
        exact_x[i] = (double)x[i];
        exact_y[i] = (double)y[i];
    }
}

static const int32_t shapes[][2] = {{1, 1}, {2, 3}, {7, 16}, {40, 70}, {13, 33}};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void fast_matches_naive(void **unused)
{
    (void)unused;
    for (size_t s = 0; s < SHAPES; s++) {
        const int32_t n = shapes[s][0], cols = shapes[s][1];
        double width, exact, worst = 0.0, largest = 0.0;

        draw(n, cols);
        width = pal_mmd_bandwidth_ref(exact_x, exact_y, n, cols);
        assert_true(fabs(pal_mmd_bandwidth(x, y, n, cols) - width) <= 1e-6 * width);
        exact = pal_mmd_ref(exact_dx, exact_x, exact_y, n, cols, width, 3.0);
        assert_true(fabs(pal_mmd(NULL, x, y, n, cols, width, 3.0) - exact) <= 1e-5);
        for (int twice = 0; twice < 2; twice++) /* a gradient is added */
            assert_true(fabs(pal_mmd(dx, x, y, n, cols, width, 1.5) - exact) <= 1e-5);
        for (int32_t i = 0; i < n * cols; i++) {
            largest = fmax(largest, fabs(exact_dx[i]));
            worst = fmax(worst, fabs((double)dx[i] - exact_dx[i]));
        }
        assert_true(largest > 0.0 && worst <= 1e-5 * largest);
    }
}

static void gradient_matches_differences(void **unused)
{
    const int32_t n = 7, cols = 16;
    const double step = 1e-5;
    double width;

    (void)unused;
    draw(n, cols);
    width = pal_mmd_bandwidth_ref(exact_x, exact_y, n, cols);
    (void)pal_mmd_ref(exact_dx, exact_x, exact_y, n, cols, width, -0.5);
    for (int32_t i = 0; i < n * cols; i++) {
        double kept = exact_x[i], up, down;

        exact_x[i] = kept + step;
        up = pal_mmd_ref(NULL, exact_x, exact_y, n, cols, width, 0);
        exact_x[i] = kept - step;
        down = pal_mmd_ref(NULL, exact_x, exact_y, n, cols, width, 0);
        exact_x[i] = kept;
        assert_true(fabs(exact_dx[i] + 0.5 * (up - down) / (2 * step)) < 1e-9);
    }
}

/* Two numbers one apart: k = 5 with themselves; the bandwidth is a quarter. */
static void values_by_hand(void **unused)
{
    const float zero = 0.0f, one = 1.0f, far = 1e10f;
    double k = 0.0;

    (void)unused;
    for (int i = 0; i < 5; i++)
        k += exp(-4.0 / (1 << i));
    assert_true(pal_mmd_bandwidth(&zero, &one, 1, 1) == 0.25);
    assert_true(fabs(pal_mmd(NULL, &zero, &one, 1, 1, 0.25, 0) - (10.0 - 2.0 * k)) <
                1e-5);
    assert_true(fabs(pal_mmd(NULL, &zero, &far, 1, 1, 0.25, 0) - 10.0) < 1e-6);
}

/* Equal samples, in whatever order, differ by nothing; others do. */
static void equal_samples_give_zero(void **unused)
{
    const int32_t n = 40, cols = 70;

    (void)unused;
    draw(n, cols);
    for (int32_t i = 0; i < n * cols; i++)
        y[i] = x[(n - 1 - i / cols) * cols + i % cols];
    assert_true(fabs(pal_mmd(NULL, x, y, n, cols, 10.0, 0)) < 1e-6);
    y[5] += 20.0f;
    assert_true(pal_mmd(NULL, x, y, n, cols, 10.0, 0) > 1e-3);
}

static void nan_propagates(void **unused)
{
    (void)unused;
    draw(13, 33);
    x[13 * 33 - 1] = NAN;
    assert_true(isnan(pal_mmd(dx, x, y, 13, 33, 1.0, 1.0)));
    assert_true(isnan(dx[0]));
    assert_true(isnan(pal_mmd_bandwidth(x, y, 13, 33)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_matches_naive),
        cmocka_unit_test(gradient_matches_differences),
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(equal_samples_give_zero),
        cmocka_unit_test(nan_propagates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
