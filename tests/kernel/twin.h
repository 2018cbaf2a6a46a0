/* twin.h -- the same random numbers in float for a fast kernel and in double for its
 * naive twin.
 *
 * Tolerance: a float sum of n terms of size about 1 errs by a few times sqrt(n)
 * half-ulps (6e-8); CLOSE allows 2e-6 of the largest entry of the result, 30 half-ulps.
 */
#ifndef TESTS_KERNEL_TWIN_H
#define TESTS_KERNEL_TWIN_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#define CLOSE 2e-6
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* The same numbers twice. */
typedef struct {
    float *fast;
    double *naive;
    size_t n;
} twin_t;

static pal_rng_t rng; /* the tests draw from it in order */

static inline int start_random(void **unused)
{
    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{7}}, "kernels");
    return 0;
}

static inline twin_t twin(size_t n, double deviation)
{
    twin_t t = {malloc((n + 1) * sizeof(float)), malloc((n + 1) * sizeof(double)), n};

    assert_non_null(t.fast);
    assert_non_null(t.naive);
    for (size_t i = 0; i < n; i++) {
        t.fast[i] = (float)(deviation * pal_rng_normal(&rng));
        t.naive[i] = (double)t.fast[i];
    }
    return t;
}

static inline void drop(twin_t t)
{
    free(t.fast);
    free(t.naive);
}

/* No entry is off by more than that. */
static inline void assert_within(twin_t t, double error)
{
    double worst = 0.0;

    for (size_t i = 0; i < t.n; i++) {
        double difference = fabs((double)t.fast[i] - t.naive[i]);

        assert_true(isfinite(difference));
        worst = fmax(worst, difference);
    }
    if (worst > error)
        fail_msg("off by %g, which is more than %g", worst, error);
}

/* The same with an error relative to the largest entry. */
static inline void assert_close(twin_t t, double tolerance)
{
    double largest = 0.0;

    for (size_t i = 0; i < t.n; i++)
        largest = fmax(largest, fabs(t.naive[i]));
    assert_within(t, tolerance * largest);
}

#endif
