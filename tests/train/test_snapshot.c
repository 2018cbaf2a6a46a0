#include "buffers.h"
#include "train/snapshot.h"

/* Wide enough that the moments of its noise are known to a few per cent. */
static pal_layout_t *wide_layout(void)
{
    return one_block(90, 30, 40, 60);
}

static pal_rng_t stream(const char *name)
{
    pal_rng_t rng;

    pal_rng_init(&rng, (pal_key_t){{9}}, name);
    return rng;
}

/* Root mean square of a - b over a slice. */
static double distance(const pal_slice_t *s, const float *a, const float *b)
{
    double square = 0;

    for (int64_t i = s->offset; i < s->offset + s->size; i++)
        square += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(square / (double)s->size);
}

static void combine_adds_up(void **unused)
{
    const double c[3] = {1, -0.5, 2};
    pal_layout_t *layout = small_layout();
    float *a = random_buffer(layout, "a"), *b = random_buffer(layout, "b");
    float *d = random_buffer(layout, "d"), *kept = copy_buffer(layout, a);
    const float *thetas[3] = {a, b, d};

    (void)unused;
    pal_snapshot_combine(layout, a, 3, c, thetas); /* onto one of the terms */
    for (int64_t i = 0; i < layout->count; i++)
        assert_true(a[i] == (float)(kept[i] - 0.5 * b[i] + 2.0 * d[i]));
    pal_snapshot_copy(layout, a, kept);
    assert_memory_equal(a, kept, buffer_bytes(layout));
    free(a), free(b), free(d), free(kept);
    pal_layout_destroy(layout);
}

/* The noise of each slice has the deviation asked for; the same stream draws the same,
 * another draws others; frozen slices do not move. */
static void noise_has_its_scale(void **unused)
{
    static const pal_noise_t scales[] = {PAL_NOISE_ABSOLUTE, PAL_NOISE_RELATIVE};
    pal_layout_t *layout = wide_layout();
    float *start = random_buffer(layout, "weights");
    uint8_t train[64];

    (void)unused;
    freeze_some(layout, train);
    for (int64_t i = 0; i < layout->count; i++)
        start[i] *= 3;
    for (int k = 0; k < 2; k++) {
        float *a = copy_buffer(layout, start), *b = copy_buffer(layout, start);
        pal_rng_t one = stream("noise"), same = stream("noise");

        pal_snapshot_noise(layout, train, a, 0.1, scales[k], &one);
        pal_snapshot_noise(layout, train, b, 0.1, scales[k], &same);
        assert_memory_equal(a, b, buffer_bytes(layout));
        for (int32_t s = 0; s < layout->slice_count; s++) {
            const pal_slice_t *slice = &layout->slices[s];
            double right = !train[s] ? 0 : k == 0 ? 0.1 : 0.1 * 3;

            /* Both root mean squares err by 1 / sqrt(2 n): five deviations. */
            assert_true(fabs(distance(slice, a, start) - right) <=
                        right * 5 / sqrt((double)slice->size));
        }
        pal_snapshot_copy(layout, b, start);
        same = stream("other noise");
        pal_snapshot_noise(layout, train, b, 0.1, scales[k], &same);
        assert_memory_not_equal(a, b, buffer_bytes(layout));
        free(a), free(b);
    }
    free(start);
    pal_layout_destroy(layout);
}

/* (1 - alpha) w + alpha beta N: within the reach of N in matrices and with its
 * deviation, a / sqrt(3); norms and biases only shrink. */
static void shrink_and_perturb(void **unused)
{
    const double alpha = 0.4, beta = 0.5;
    pal_layout_t *layout = wide_layout();
    float *w = random_buffer(layout, "weights"), *shrunk = copy_buffer(layout, w);
    float *frozen = copy_buffer(layout, w);
    uint8_t none[64] = {0};
    pal_rng_t rng = stream("undo");

    (void)unused;
    for (int64_t i = 0; i < layout->count; i++)
        shrunk[i] *= (float)(1 - alpha);
    pal_snapshot_shrink_perturb(layout, NULL, w, alpha, beta, &rng);
    for (int32_t s = 0; s < layout->slice_count; s++) {
        const pal_slice_t *slice = &layout->slices[s];
        double a = alpha * beta * sqrt(6.0 / (slice->rows + slice->cols));
        double found = distance(slice, w, shrunk);

        for (int64_t i = slice->offset; i < slice->offset + slice->size; i++)
            assert_true(fabs((double)w[i] - shrunk[i]) <= a + 1e-6);
        if (!pal_slice_is_matrix(slice->kind))
            assert_true(found == 0);
        else
            assert_true(fabs(found - a / sqrt(3)) < 0.05 * a);
    }
    pal_snapshot_copy(layout, w, frozen);
    pal_snapshot_shrink_perturb(layout, none, w, alpha, beta, &rng);
    assert_memory_equal(w, frozen, buffer_bytes(layout));
    free(w), free(shrunk), free(frozen);
    pal_layout_destroy(layout);
}

/* alpha = 1 keeps nothing of the model. */
static void full_noise_forgets_the_weights(void **unused)
{
    pal_layout_t *layout = small_layout();
    float *a = random_buffer(layout, "a"), *b = random_buffer(layout, "b");
    pal_rng_t one = stream("undo"), same = stream("undo");

    (void)unused;
    pal_snapshot_shrink_perturb(layout, NULL, a, 1, 1, &one);
    pal_snapshot_shrink_perturb(layout, NULL, b, 1, 1, &same);
    for (int64_t i = 0; i < layout->count; i++)
        assert_true(a[i] == b[i]);
    free(a), free(b);
    pal_layout_destroy(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(combine_adds_up),
        cmocka_unit_test(noise_has_its_scale),
        cmocka_unit_test(shrink_and_perturb),
        cmocka_unit_test(full_noise_forgets_the_weights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
