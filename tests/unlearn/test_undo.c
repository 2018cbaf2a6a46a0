#include "fixture.h"
#include "train/snapshot.h"

extern const pal_method_t pal_method_gd, pal_method_undo;

/* Four steps of ten suppress. */
static void begin(fixture_t *f, double alpha)
{
    open_streams(f, 4);
    memset(f->state, 0, sizeof f->state);
    pal_param_defaults(pal_method_undo.params, f->state);
    set(pal_method_undo.params, f->state, "suppress", 0.4);
    set(pal_method_undo.params, f->state, "alpha", alpha);
    assert_int_equal(pal_method_undo.begin(f->state, &f->run, &f->err), PAL_OK);
}

static void edit(fixture_t *f, int64_t i, float *weights)
{
    assert_int_equal(pal_method_undo.edit(f->state, &f->run, i, NULL, weights, &f->err),
                     PAL_OK);
}

static void suppression_is_gradient_difference(void **state)
{
    fixture_t *f = *state;
    double loss, right;

    begin(f, 0.5);
    loss = method_step(f, &pal_method_undo, 3, f->weights);
    memcpy(f->right, f->grad, weight_bytes(f));
    open_streams(f, 4);
    right = method_step(f, &pal_method_gd, 3, f->weights);
    assert_true(loss == right);
    assert_memory_equal(f->grad, f->right, weight_bytes(f));
    pal_method_undo.end(f->state);
}

static void weights_are_noised_once(void **state)
{
    fixture_t *f = *state;
    float *weights = buffer(f), *right = buffer(f);
    pal_rng_t rng;

    begin(f, 0.3);
    memcpy(weights, f->weights, weight_bytes(f));
    memcpy(right, f->weights, weight_bytes(f));
    for (int64_t i = 0; i < 4; i++)
        edit(f, i, weights);
    assert_memory_equal(weights, right, weight_bytes(f));
    pal_rng_init(&rng, f->run.key, "undo noise");
    pal_snapshot_shrink_perturb(f->layout, NULL, right, 0.3, 0.1, &rng);
    for (int64_t i = 4; i < 10; i++)
        edit(f, i, weights);
    assert_memory_equal(weights, right, weight_bytes(f));
    pal_method_undo.end(f->state);
    free(weights);
    free(right);
}

/* log p of a row, in double precision. */
static double log_p(const float *z, int32_t vocab, int32_t v)
{
    double sum = 0;

    for (int32_t i = 0; i < vocab; i++)
        sum += exp((double)z[i]);
    return (double)z[v] - log(sum);
}

/* Mean over the predicted tokens of the first retain batch of KL(teacher || student).
 */
static double divergence(fixture_t *f, const float *teacher, const float *student)
{
    const pal_batch_t *batch;
    const int32_t vocab = f->layout->shape.vocab;
    double sum = 0;

    open_streams(f, 4);
    batch = pal_stream_next(f->run.retain);
    assert_int_equal(
        pal_forward(f->run.frozen, teacher, batch, PAL_ALL_LAYERS, &f->err), PAL_OK);
    assert_int_equal(pal_forward(f->run.pass, student, batch, PAL_ALL_LAYERS, &f->err),
                     PAL_OK);
    for (int32_t i = 0; i < pal_pass_rows(f->run.pass); i++) {
        const float *q = pal_pass_logits(f->run.frozen) + (size_t)i * (size_t)vocab;
        const float *p = pal_pass_logits(f->run.pass) + (size_t)i * (size_t)vocab;

        for (int32_t v = 0; v < vocab; v++)
            sum += exp(log_p(q, vocab, v)) * (log_p(q, vocab, v) - log_p(p, vocab, v));
    }
    return sum / pal_pass_rows(f->run.pass);
}

static void student_learns_what_the_suppressed_model_says(void **state)
{
    fixture_t *f = *state;
    float *student = buffer(f);
    double loss, right;

    begin(f, 0.5);
    memcpy(student, f->weights, weight_bytes(f));
    edit(f, 4, student);
    loss = method_step(f, &pal_method_undo, 4, student);
    right = divergence(f, f->weights, student);
    assert_true(right > 1e-3 && fabs(loss - right) < 1e-4 * right);
    pal_method_undo.end(f->state);
    free(student);
}

/* Golden: distillation from oneself is 0 and has no gradient. */
static void without_noise_there_is_nothing_to_learn(void **state)
{
    fixture_t *f = *state;

    begin(f, 0);
    edit(f, 4, f->weights);
    assert_true(method_step(f, &pal_method_undo, 4, f->weights) == 0);
    for (int64_t i = 0; i < f->layout->count; i++)
        assert_true(f->grad[i] == 0);
    pal_method_undo.end(f->state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suppression_is_gradient_difference),
        cmocka_unit_test(weights_are_noised_once),
        cmocka_unit_test(student_learns_what_the_suppressed_model_says),
        cmocka_unit_test(without_noise_there_is_nothing_to_learn),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
