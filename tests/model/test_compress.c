#include "model/compress.h"
#include "sample.h"

#define TEST(f) cmocka_unit_test_setup_teardown(f, sample_create, sample_destroy)

/* Half a step at most, on a grid of whole steps that has the largest weight on it. */
static void check_row(const float *before, const float *after, int32_t n, int bits)
{
    const double levels = (1 << (bits - 1)) - 1;
    double most = 0.0, step;

    for (int32_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)before[i]));
    step = most / levels;
    for (int32_t i = 0; i < n; i++) {
        const double w = (double)after[i], k = step > 0.0 ? w / step : 0.0;

        assert_true(fabs(w - (double)before[i]) <= 0.5 * step * (1.0 + 1e-5));
        assert_true(fabs(k - nearbyint(k)) < 1e-4 && fabs(k) < levels + 0.5);
    }
}

static void rows_are_rounded(void **state)
{
    sample_t *s = *state;
    float *before;

    s->weights[5] = 40.0f; /* a row with an outlier suffers alone */
    memset(s->weights + 12, 0, 12 * sizeof *s->weights); /* and one of zeros */
    before = sample_copy(s->weights, s->count);
    for (int bits = 8; bits >= 4; bits -= 4) {
        memcpy(s->weights, before, s->count * sizeof *before);
        assert_int_equal(pal_quantize(s->layout, NULL, bits, s->weights, &s->err),
                         PAL_OK);
        for (int32_t k = 0; k < s->layout->slice_count; k++) {
            const pal_slice_t *slice = &s->layout->slices[k];
            const float *was = before + slice->offset, *is = s->weights + slice->offset;
            int moved = 0;

            for (int64_t i = 0; i < slice->size; i++)
                moved |= was[i] != is[i];
            assert_int_equal(moved, pal_slice_is_matrix(slice->kind));
            for (int32_t row = 0; moved && row < slice->rows; row++)
                check_row(was + row * slice->cols, is + row * slice->cols, slice->cols,
                          bits);
        }
    }
    free(before);
}

/* Fewer bits, a worse model; 8 bits hardly show. */
static void the_loss_notices(void **state)
{
    sample_t *s = *state;
    float *before = sample_copy(s->weights, s->count);
    double loss, off[2];

    sample_forward(s);
    loss = pal_loss_nll(s->pass, 0.0);
    for (int i = 0; i < 2; i++) {
        memcpy(s->weights, before, s->count * sizeof *before);
        assert_int_equal(pal_quantize(s->layout, NULL, i ? 4 : 8, s->weights, &s->err),
                         PAL_OK);
        sample_forward(s);
        off[i] = fabs(pal_loss_nll(s->pass, 0.0) - loss);
    }
    assert_true(off[0] > 0.0 && off[0] < 0.05 && off[1] > off[0]);
    free(before);
}

/* By count, by size, and only where it is allowed. */
static void the_smallest_go(void **state)
{
    sample_t *s = *state;
    uint8_t *slices = calloc((size_t)s->layout->slice_count, 1);
    const pal_slice_t *up = pal_layout_slice(s->layout, PAL_MLP_UP, 1);
    float *before = sample_copy(s->weights, s->count), largest = 0, smallest = INFINITY;
    int64_t zeros = 0;

    assert_non_null(slices);
    slices[up - s->layout->slices] = 1;
    slices[up - s->layout->slices + 1] = 1; /* its bias: no matrix */
    assert_int_equal(pal_prune(s->layout, slices, 0.3, s->weights, &s->err), PAL_OK);
    for (int64_t i = 0; i < s->layout->count; i++) {
        const int inside = i >= up->offset && i < up->offset + up->size;

        if (s->weights[i] == before[i]) {
            smallest = inside ? fminf(smallest, fabsf(before[i])) : smallest;
            continue;
        }
        assert_true(inside && s->weights[i] == 0.0f);
        largest = fmaxf(largest, fabsf(before[i]));
        zeros++;
    }
    assert_int_equal(zeros, up->size * 3 / 10);
    assert_true(largest <= smallest);
    free(before);
    free(slices);
}

static void equals_go_in_order(void **state)
{
    sample_t *s = *state;
    const pal_slice_t *up = pal_layout_slice(s->layout, PAL_MLP_UP, 0);
    uint8_t *slices = calloc((size_t)s->layout->slice_count, 1);
    float *w = s->weights + up->offset;

    assert_non_null(slices);
    slices[up - s->layout->slices] = 1;
    for (int64_t i = 0; i < up->size; i++)
        w[i] = i % 2 ? -0.5f : 0.5f;
    w[0] = NAN;
    w[1] = -INFINITY;
    w[up->size - 1] = 1e-40f;
    assert_int_equal(pal_prune(s->layout, slices, 0.5, s->weights, &s->err), PAL_OK);
    assert_true(isnan(w[0]) && isinf(w[1]) && w[up->size - 1] == 0.0f);
    for (int64_t i = 2; i < up->size - 1; i++)
        assert_true((w[i] == 0.0f) == (i < up->size / 2 + 1));
    assert_int_equal(pal_prune(s->layout, slices, 0.0, s->weights, &s->err), PAL_OK);
    assert_true(isnan(w[0]));
    assert_int_equal(pal_prune(s->layout, slices, 1.0, s->weights, &s->err), PAL_OK);
    for (int64_t i = 0; i < up->size; i++)
        assert_true(w[i] == 0.0f);
    free(slices);
}

/* A model that is broken stays visibly so, and nothing crashes. */
static void broken_weights_stay_broken(void **state)
{
    sample_t *s = *state;

    s->weights[3] = NAN;
    s->weights[15] = INFINITY;
    assert_int_equal(pal_quantize(s->layout, NULL, 8, s->weights, &s->err), PAL_OK);
    assert_true(isnan(s->weights[3]) && !isfinite(s->weights[15]));
    assert_true(isfinite(s->weights[2]));
}

static void bad_settings_are_refused(void **state)
{
    sample_t *s = *state;
    float *before = sample_copy(s->weights, s->count);

    assert_int_equal(pal_quantize(s->layout, NULL, 5, s->weights, &s->err), PAL_EINVAL);
    assert_non_null(strstr(s->err.text, "weights of 5 bits"));
    assert_int_equal(pal_prune(s->layout, NULL, 1.5, s->weights, &s->err), PAL_EINVAL);
    assert_non_null(strstr(s->err.text, "a fraction of 1.5"));
    assert_int_equal(pal_prune(s->layout, NULL, NAN, s->weights, &s->err), PAL_EINVAL);
    assert_memory_equal(before, s->weights, s->count * sizeof *before);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_are_rounded),
        TEST(the_loss_notices),
        TEST(the_smallest_go),
        TEST(equals_go_in_order),
        TEST(broken_weights_stay_broken),
        TEST(bad_settings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
