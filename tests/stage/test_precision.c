/* Bases that differ in precision alone. CTest runs this twice, as it does kernel.gemm.
 */
#include "fixture.h"
#include "kernel/threads.h"

static void train(fixture_t *f, const pal_base_spec_t *spec, float *weights)
{
    pal_model_result_t result = {.bits = f->bits};
    pal_error_t err = {""};

    assert_int_equal(
        pal_stage_base(f->lab, &f->ground, spec, f->base_key, weights, &result, &err),
        PAL_OK);
    assert_true(isfinite(result.loss));
}

static void precision_is_in_the_key(void **state)
{
    fixture_t *f = *state;
    pal_base_spec_t rounded = f->base;

    assert_int_equal(pal_base_precision(&f->base), PAL_FP32);
    set(pal_model_params, &rounded.model, "precision", "bf16");
    assert_int_equal(pal_base_precision(&rounded), PAL_BF16);
    assert_false(pal_key_equal(f->base_key, base_key(f, &rounded)));
}

/* The same random numbers, 20 steps: other weights, but near. Back in FP32 the lab
 * gives the same bits as before, and in bf16 again too. */
static void a_lab_takes_both_in_turn(void **state)
{
    fixture_t *f = *state;
    const size_t bytes = weight_bytes(f);
    float *bf16 = malloc(bytes), *again = malloc(bytes);
    pal_base_spec_t rounded = f->base;
    double change = 0, distance = 0;

    assert_true(bf16 && again);
    set(pal_model_params, &rounded.model, "precision", "bf16");
    train(f, &rounded, bf16);
    train(f, &f->base, again);
    assert_memory_equal(again, f->start, bytes);
    train(f, &rounded, again);
    assert_memory_equal(again, bf16, bytes);
    pal_layout_init(f->layout, f->base_key, again);
    for (int64_t i = 0; i < f->layout->count; i++) {
        change += pow((double)f->start[i] - (double)again[i], 2);
        distance += pow((double)f->start[i] - (double)bf16[i], 2);
    }
    assert_true(distance > 0 && distance < 0.01 * change);
    free(bf16);
    free(again);
}

static void bits_do_not_depend_on_threads(void **state)
{
    static const char *const precisions[] = {"fp32", "bf16"};
    fixture_t *f = *state;
    const size_t bytes = weight_bytes(f);
    float *one = malloc(bytes), *several = malloc(bytes);

    assert_true(one && several);
    for (int p = 0; p < 2; p++) {
        pal_base_spec_t spec = f->base;

        set(pal_model_params, &spec.model, "precision", precisions[p]);
        train(f, &spec, one);
        for (int threads = 2; threads <= 3; threads++) {
            pal_threads_set(threads);
            train(f, &spec, several);
            pal_threads_set(1);
            assert_memory_equal(several, one, bytes);
        }
    }
    free(one);
    free(several);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precision_is_in_the_key),
        cmocka_unit_test(a_lab_takes_both_in_turn),
        cmocka_unit_test(bits_do_not_depend_on_threads),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
