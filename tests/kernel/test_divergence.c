/* The divergences against their naive twins, against finite differences of those, and
 * at the places where they are known. Tolerances as in test_kernels.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernel/divergence.h"

#define CLOSE 2e-6

enum { MOST = 550 };

static const int32_t sizes[] = {1, 2, 16, 17, 33, MOST};

enum { SIZES = sizeof sizes / sizeof *sizes };

/* One signature for all four, so that one test covers them. */
typedef struct {
    const char *name;
    double (*fast)(float *, const float *, const float *, int32_t, float);
    double (*naive)(double *, const double *, const double *, int32_t, double);
} divergence_t;

static double entropy(float *dz, const float *z, const float *t, int32_t n, float w)
{
    (void)t;
    return pal_entropy(dz, z, n, w);
}

static double entropy_ref(double *dz, const double *z, const double *t, int32_t n,
                          double w)
{
    (void)t;
    return pal_entropy_ref(dz, z, n, w);
}

static double uniform(float *dz, const float *z, const float *t, int32_t n, float w)
{
    (void)t;
    return pal_uniform_kl(dz, z, n, w);
}

static double uniform_ref(double *dz, const double *z, const double *t, int32_t n,
                          double w)
{
    (void)t;
    return pal_uniform_kl_ref(dz, z, n, w);
}

static const divergence_t all[] = {
    {"kl", pal_kl, pal_kl_ref},
    {"reverse kl", pal_reverse_kl, pal_reverse_kl_ref},
    {"entropy", entropy, entropy_ref},
    {"uniform kl", uniform, uniform_ref},
};

enum { ALL = sizeof all / sizeof *all };

typedef struct {
    float z[MOST], target[MOST], dz[MOST];
    double exact_z[MOST], exact_target[MOST], exact_dz[MOST];
} rows_t;

static void draw(rows_t *r, pal_rng_t *rng)
{
    for (int v = 0; v < MOST; v++) {
        r->z[v] = (float)(4.0 * pal_rng_normal(rng));
        r->target[v] = (float)(4.0 * pal_rng_normal(rng));
        r->exact_z[v] = (double)r->z[v];
        r->exact_target[v] = (double)r->target[v];
    }
}

static void fast_matches_naive(void **unused)
{
    static rows_t r;
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{8}}, "divergence");
    for (int i = 0; i < SIZES * ALL; i++) {
        const divergence_t *d = &all[i % ALL];
        const int32_t n = sizes[i / ALL];
        double value, exact, largest = 0;

        draw(&r, &rng);
        value = d->fast(r.dz, r.z, r.target, n, -0.5f);
        exact = d->naive(r.exact_dz, r.exact_z, r.exact_target, n, -0.5);
        if (!(fabs(value - exact) <= CLOSE * (10 + fabs(exact))))
            fail_msg("%s of %d: %g, not %g", d->name, n, value, exact);
        assert_true(d->fast(NULL, r.z, r.target, n, 1) == value);
        for (int32_t v = 0; v < n; v++)
            largest = fmax(largest, fabs(r.exact_dz[v]));
        for (int32_t v = 0; v < n; v++)
            if (!(fabs((double)r.dz[v] - r.exact_dz[v]) <= CLOSE * (largest + 0.1)))
                fail_msg("%s of %d, entry %d: %g, not %g", d->name, n, v,
                         (double)r.dz[v], r.exact_dz[v]);
    }
}

static void naive_matches_differences(void **unused)
{
    enum { N = 17 };
    static rows_t r;
    const double h = 1e-5;
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{9}}, "divergence");
    draw(&r, &rng);
    for (int i = 0; i < ALL; i++) {
        (void)all[i].naive(r.exact_dz, r.exact_z, r.exact_target, N, 3);
        for (int v = 0; v < N; v++) {
            double kept = r.exact_z[v], up, down;

            r.exact_z[v] = kept + h;
            up = all[i].naive(NULL, r.exact_z, r.exact_target, N, 0);
            r.exact_z[v] = kept - h;
            down = all[i].naive(NULL, r.exact_z, r.exact_target, N, 0);
            r.exact_z[v] = kept;
            assert_true(fabs(3 * (up - down) / (2 * h) - r.exact_dz[v]) < 1e-8);
        }
    }
}

static void a_row_does_not_differ_from_itself(void **unused)
{
    static rows_t r;
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{10}}, "divergence");
    for (int i = 0; i < SIZES; i++) {
        draw(&r, &rng);
        assert_true(pal_kl(r.dz, r.z, r.z, sizes[i], 7) == 0);
        for (int32_t v = 0; v < sizes[i]; v++)
            assert_true(r.dz[v] == 0);
        assert_true(pal_reverse_kl(r.dz, r.z, r.z, sizes[i], 7) == 0);
        for (int32_t v = 0; v < sizes[i]; v++)
            assert_true(r.dz[v] == 0);
    }
}

static void known_values(void **unused)
{
    const float even[4] = {2, 2, 2, 2}, sure[4] = {100, 0, 0, 0};
    const float half[4] = {0, 0, -100, -100};

    (void)unused;
    assert_true(fabs(pal_entropy(NULL, even, 4, 1) - log(4)) < 1e-6);
    assert_true(fabs(pal_entropy(NULL, sure, 4, 1)) < 1e-6);
    assert_true(fabs(pal_entropy(NULL, half, 4, 1) - log(2)) < 1e-6);
    assert_true(fabs(pal_uniform_kl(NULL, even, 4, 1)) < 1e-6);
    assert_true(fabs(pal_uniform_kl(NULL, half, 4, 1) - (50 - log(2))) < 1e-4);
    assert_true(fabs(pal_kl(NULL, even, half, 4, 1) - log(2)) < 1e-6);
    assert_true(fabs(pal_reverse_kl(NULL, half, even, 4, 1) - log(2)) < 1e-6);
    assert_true(fabs(pal_reverse_kl(NULL, even, half, 4, 1) - (50 - log(2))) < 1e-4);
}

static void nan_propagates(void **unused)
{
    static rows_t r;
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{11}}, "divergence");
    draw(&r, &rng);
    for (int i = 0; i < ALL; i++)
        for (int v = 0; v < 40; v++) {
            float kept = r.z[v];

            r.z[v] = NAN;
            assert_true(isnan(all[i].fast(r.dz, r.z, r.target, 40, 1)));
            assert_true(isnan(r.dz[(v + 1) % 40]));
            r.z[v] = kept;
        }
    for (int v = 0; v < 40; v++) {
        float kept = r.target[v];

        r.target[v] = NAN;
        assert_true(isnan(pal_kl(NULL, r.z, r.target, 40, 1)));
        assert_true(isnan(pal_reverse_kl(NULL, r.z, r.target, 40, 1)));
        r.target[v] = kept;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_matches_naive),
        cmocka_unit_test(naive_matches_differences),
        cmocka_unit_test(a_row_does_not_differ_from_itself),
        cmocka_unit_test(known_values),
        cmocka_unit_test(nan_propagates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
