/* Each operation against the formula in double precision, entry by entry; frozen slices
 * keep their bits and count for nothing. */
#include "buffers.h"
#include "train/gradient.h"

typedef struct {
    pal_layout_t *layout;
    uint8_t train[64];
    float *x, *y;       /* y has NaN in its frozen slices: nobody may read them */
    float *x0;          /* x as it was */
    double dot, xx, yy; /* over the slices that train */
} pair_t;

static pair_t make_pair(void)
{
    pair_t p = {.layout = small_layout()};

    freeze_some(p.layout, p.train);
    p.x = random_buffer(p.layout, "x");
    p.y = random_buffer(p.layout, "y");
    p.x0 = copy_buffer(p.layout, p.x);
    for (int64_t i = 0; i < p.layout->count; i++) {
        if (!is_trained(p.layout, p.train, i)) {
            p.y[i] = NAN;
            continue;
        }
        p.dot += (double)p.x[i] * p.y[i];
        p.xx += (double)p.x[i] * p.x[i];
        p.yy += (double)p.y[i] * p.y[i];
    }
    return p;
}

static void free_pair(pair_t *p)
{
    free(p->x);
    free(p->y);
    free(p->x0);
    pal_layout_destroy(p->layout);
}

/* x[i] is a x0[i] + b y[i] where it trains, and x0[i] elsewhere. */
static void assert_mix(const pair_t *p, double a, double b)
{
    for (int64_t i = 0; i < p->layout->count; i++)
        if (!is_trained(p->layout, p->train, i))
            assert_true(p->x[i] == p->x0[i]);
        else if (fabs(p->x[i] - (a * p->x0[i] + b * p->y[i])) > 1e-6)
            fail_msg("%g, not %g", p->x[i], a * p->x0[i] + b * p->y[i]);
}

static void sums_leave_frozen_slices_out(void **unused)
{
    pair_t p = make_pair();
    double norms[64], square = 0;

    (void)unused;
    assert_true(fabs(pal_gradient_dot(p.layout, p.train, p.x, p.y) - p.dot) < 1e-12);
    assert_true(fabs(pal_gradient_norm(p.layout, p.train, p.x) - sqrt(p.xx)) < 1e-12);
    pal_gradient_norms(p.layout, p.train, p.x, norms);
    for (int32_t s = 0; s < p.layout->slice_count; s++) {
        square += norms[s] * norms[s];
        assert_int_equal(norms[s] == 0, !p.train[s]);
    }
    assert_true(fabs(square - p.xx) < 1e-10);
    assert_true(isnan(pal_gradient_norm(p.layout, NULL, p.y)));
    free_pair(&p);
}

static void axpby_adds(void **unused)
{
    pair_t p = make_pair();

    (void)unused;
    pal_gradient_axpby(p.layout, p.train, p.x, 0.75, -2, p.y);
    assert_mix(&p, 0.75, -2);
    free_pair(&p);
}

static void normalize_sets_the_length(void **unused)
{
    pair_t p = make_pair();
    double before = pal_gradient_normalize(p.layout, p.train, p.x, 3);
    float *zero;

    (void)unused;
    assert_true(fabs(before - sqrt(p.xx)) < 1e-12);
    assert_true(fabs(pal_gradient_norm(p.layout, p.train, p.x) - 3) < 1e-6);
    memset(p.y, 0, buffer_bytes(p.layout));
    assert_mix(&p, 3 / before, 0);
    assert_int_equal(pal_layout_buffer(p.layout, "zero", &zero, NULL), PAL_OK);
    assert_true(pal_gradient_normalize(p.layout, p.train, zero, 3) == 0);
    assert_true(pal_gradient_norm(p.layout, NULL, zero) == 0);
    free(zero);
    free_pair(&p);
}

static void sign_mask_keeps_agreement(void **unused)
{
    pair_t p = make_pair();
    int64_t kept = 0, cleared = 0;

    (void)unused;
    pal_gradient_sign_mask(p.layout, p.train, p.x, p.y);
    for (int64_t i = 0; i < p.layout->count; i++) {
        int agree = p.x0[i] * p.y[i] > 0;

        if (!is_trained(p.layout, p.train, i))
            agree = 1;
        assert_true(p.x[i] == (agree ? p.x0[i] : 0));
        kept += agree;
        cleared += !agree;
    }
    assert_true(kept > 10 && cleared > 10);
    free_pair(&p);
}

/* What is left is orthogonal to y, and nothing else has gone. */
static void projection_is_orthogonal(void **unused)
{
    pair_t p = make_pair();
    double dot = pal_gradient_project(p.layout, p.train, p.x, p.y);

    (void)unused;
    assert_true(fabs(dot - p.dot) < 1e-12 && fabs(dot) > 0.1);
    assert_true(fabs(pal_gradient_dot(p.layout, p.train, p.x, p.y)) < 1e-5);
    assert_mix(&p, 1, -p.dot / p.yy);
    memcpy(p.x, p.x0, buffer_bytes(p.layout));
    memset(p.y, 0, buffer_bytes(p.layout));
    assert_true(pal_gradient_project(p.layout, p.train, p.x, p.y) == 0);
    assert_memory_equal(p.x, p.x0, buffer_bytes(p.layout));
    free_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_leave_frozen_slices_out),
        cmocka_unit_test(axpby_adds),
        cmocka_unit_test(normalize_sets_the_length),
        cmocka_unit_test(sign_mask_keeps_agreement),
        cmocka_unit_test(projection_is_orthogonal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
