/* No training step allocates: a stage of many steps asks for memory as often as one of
 * a single step. Every batch differs in length, so what is reserved must fit the
 * longest.
 *
 * The linker sends the calls of all our objects here (tests/CMakeLists.txt). */
#include "fixture.h"

static long calls;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);

void *__wrap_malloc(size_t n)
{
    calls++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    calls++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    calls++;
    return __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    calls++;
    return __real_aligned_alloc(alignment, n);
}

typedef void (*run_t)(fixture_t *f, pal_lab_t *lab, const char *id, const char *steps);

/* In a lab of its own: one that has run before has room. */
static long calls_of(fixture_t *f, run_t run, const char *id, const char *steps)
{
    pal_lab_t *lab;

    assert_int_equal(pal_lab_create(NULL, NULL, &lab, NULL), PAL_OK);
    calls = 0;
    run(f, lab, id, steps);
    pal_lab_destroy(lab);
    return calls;
}

static void check(fixture_t *f, run_t run, const char *id)
{
    const long few = calls_of(f, run, id, "1"), many = calls_of(f, run, id, "13");

    assert_true(few > 20); /* they are counted */
    if (many != few)
        fail_msg("%s: %ld allocations in one step, %ld in 13", id, few, many);
}

static void run_base(fixture_t *f, pal_lab_t *lab, const char *id, const char *steps)
{
    pal_base_spec_t spec = f->base;
    pal_model_result_t result = {.bits = f->bits};
    float *weights = malloc(weight_bytes(f));
    pal_error_t err;

    (void)id;
    set(pal_pretrain_params, &spec.pretrain, "steps", steps);
    set(pal_pretrain_params, &spec.pretrain, "batch", "3");
    assert_int_equal(
        pal_stage_base(lab, &f->ground, &spec, f->base_key, weights, &result, &err),
        PAL_OK);
    free(weights);
}

static void run_method(fixture_t *f, pal_lab_t *lab, const char *id, const char *steps)
{
    pal_unlearn_spec_t spec = unlearn_spec(id);
    pal_model_result_t result = {.bits = f->bits};
    float *weights = malloc(weight_bytes(f));
    pal_error_t err;

    set(pal_unlearn_params, &spec.common, "steps", steps);
    set(pal_unlearn_params, &spec.common, "batch", "3");
    assert_int_equal(pal_stage_unlearn(lab, &f->ground, &f->base, &spec, f->base_key,
                                       f->start, weights, &result, &err),
                     PAL_OK);
    free(weights);
}

static void run_attack(fixture_t *f, pal_lab_t *lab, const char *id, const char *steps)
{
    pal_attack_spec_t spec = attack_spec(id);
    pal_trial_result_t result = {.bits = f->bits, .bits_before = f->bits + 32};
    pal_error_t err;

    set(pal_attack_params, &spec.common, "steps", steps);
    set(pal_attack_params, &spec.common, "batch", "3");
    assert_int_equal(pal_stage_trial(lab, &f->ground, &f->base, &spec, f->base_key,
                                     f->start, f->work, &result, &err),
                     PAL_OK);
}

static void pretraining(void **state)
{
    check(*state, run_base, "pretraining");
}

static void methods(void **state)
{
    for (int i = 0; i < pal_method_count(); i++)
        check(*state, run_method, pal_method_id(i));
}

static void attacks(void **state)
{
    for (int i = 0; i < pal_attack_count(); i++)
        check(*state, run_attack, pal_attack_id(i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pretraining),
        cmocka_unit_test(methods),
        cmocka_unit_test(attacks),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
