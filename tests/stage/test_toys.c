/* Published methods and attacks in a few lines each, for the hooks that none of the
 * registered ones uses: edits of the residual stream, further losses, generation,
 * rounding and pruning. */
#include "eval/generate.h"
#include "kernel/vector.h"
#include "model/compress.h"
#include "model/edit.h"
#include "model/loss.h"
#include "stage/lab.h"
#include "toy.h"
#include "train/snapshot.h"

/* What a toy saw at its first and at its last step. */
static double first, last;

static void saw(int64_t step, double value)
{
    if (step == 0)
        first = value;
    last = value;
}

static pal_unlearn_spec_t adam_spec(const pal_method_t *toy, const char *steps)
{
    pal_unlearn_spec_t spec = toy_spec(toy, "1e-3");

    set(pal_unlearn_params, &spec.common, "steps", steps);
    set(pal_unlearn_params, &spec.common, "optimizer", "adamw");
    return spec;
}

/* --- Latent adversarial training (Casper et al. 2024): unlearn while a perturbation of
 * the residual stream brings the facts back --- */

struct latent {
    float *delta, *grad; /* (N, C) for the longest batch */
    uint8_t *none;       /* slices the perturbation trains */
};

static int latent_begin(void *p, pal_unlearning_t *run, pal_error_t *err)
{
    struct latent *state = p;
    const size_t size =
        (size_t)pal_stream_most_tokens(run->forget) * (size_t)run->layout->shape.width;

    state->delta = calloc(size, sizeof(float));
    state->grad = calloc(size, sizeof(float));
    state->none = calloc((size_t)run->layout->slice_count, 1);
    if (!state->delta || !state->grad || !state->none)
        return PAL_FAIL(err, PAL_ENOMEM, "a perturbation of %zu numbers", size);
    return PAL_OK;
}

/* Descend on the facts' NLL by the perturbation alone. Returns how far it fell. */
static double perturb(struct latent *state, pal_unlearning_t *run,
                      const pal_batch_t *batch, const pal_edit_t *edit,
                      const float *weights)
{
    const int64_t n = (int64_t)edit->rows * run->layout->shape.width;
    double before = 0, after = 0;

    memset(state->delta, 0, (size_t)n * sizeof(float));
    for (int k = 0; k < 4; k++) {
        memset(state->grad, 0, (size_t)n * sizeof(float));
        assert_int_equal(pal_forward_edited(run->pass, weights, batch, PAL_ALL_LAYERS,
                                            edit, 1, NULL),
                         PAL_OK);
        after = pal_loss_nll(run->pass, 1);
        before = k == 0 ? after : before;
        pal_backward(run->pass, weights, state->none, NULL);
        pal_axpby(state->delta, 1,
                  (float)(-0.5 / sqrt(pal_norm_squared(state->grad, n))), state->grad,
                  n);
    }
    return before - after;
}

static int latent_step(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                       const uint8_t *train, float *grad, double *loss,
                       pal_error_t *err)
{
    struct latent *state = p;
    const pal_batch_t *batch = pal_stream_next(run->forget);
    const pal_edit_t edit = {PAL_EDIT_ADD, 0, batch->offsets[batch->sequences],
                             state->delta, state->grad};
    int rc;

    saw(i, perturb(state, run, batch, &edit, weights));
    rc = pal_forward_edited(run->pass, weights, batch, PAL_ALL_LAYERS, &edit, 1, err);
    if (rc != PAL_OK)
        return rc;
    *loss = -pal_loss_nll(run->pass, -1);
    pal_backward(run->pass, weights, train, grad);
    return pal_method_nll(run, run->retain, 1, weights, train, grad, loss, err);
}

static void latent_end(void *p)
{
    struct latent *state = p;

    free(state->delta);
    free(state->grad);
    free(state->none);
}

static void latent_adversarial_training(void **state)
{
    const pal_method_t toy = {.summary = "",
                              .params = no_params,
                              .state_size = sizeof(struct latent),
                              .begin = latent_begin,
                              .step = latent_step,
                              .end = latent_end};
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = adam_spec(&toy, "5");

    run_toy(f, &spec, a);
    assert_true(first > 0.01 && last > 0.01); /* the adversary brings facts back */
    run_toy(f, &spec, b);
    assert_memory_equal(a, b, weight_bytes(f));
    assert_memory_not_equal(a, f->start, weight_bytes(f));
    free(a);
    free(b);
}

/* --- Circuit breakers (Zou et al. 2024): turn the facts' activations away from what
 * they were, hold the others --- */

static int breaker_begin(void *p, pal_unlearning_t *run, pal_error_t *err)
{
    int rc = pal_stream_reserve(run->forget, run->frozen, 0, err);

    (void)p;
    return rc == PAL_OK ? pal_stream_reserve(run->retain, run->frozen, 0, err) : rc;
}

static int both(pal_unlearning_t *run, const pal_batch_t *batch, const float *weights,
                pal_error_t *err)
{
    int rc = pal_forward(run->frozen, run->start, batch, 1, err);

    return rc == PAL_OK ? pal_forward(run->pass, weights, batch, 1, err) : rc;
}

static int breaker_step(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                        const uint8_t *train, float *grad, double *loss,
                        pal_error_t *err)
{
    int rc = both(run, pal_stream_next(run->forget), weights, err);

    (void)p;
    if (rc != PAL_OK)
        return rc;
    *loss = pal_loss_residual_cosine(run->pass, 0, pal_pass_residual(run->frozen, 0),
                                     run->coefficient);
    saw(i, *loss);
    pal_backward(run->pass, weights, train, grad);
    rc = both(run, pal_stream_next(run->retain), weights, err);
    if (rc != PAL_OK)
        return rc;
    *loss =
        run->coefficient * *loss +
        pal_loss_residual_mse(run->pass, 0, pal_pass_residual(run->frozen, 0), 0, 1);
    pal_backward(run->pass, weights, train, grad);
    return PAL_OK;
}

static int push(void *p, pal_unlearning_t *run, int64_t step, const uint8_t *train,
                float *weights, pal_error_t *err)
{
    pal_rng_t rng;

    (void)p, (void)err;
    pal_rng_init(&rng, run->key, "push");
    if (step == 0)
        pal_snapshot_noise(run->layout, train, weights, 1e-3, PAL_NOISE_RELATIVE, &rng);
    return PAL_OK;
}

/* The model it starts from is a stationary point: nothing moves, to the last bit, until
 * it is pushed. */
static void circuit_breakers_need_a_push(void **state)
{
    pal_method_t toy = {.summary = "",
                        .params = no_params,
                        .begin = breaker_begin,
                        .frozen = 1,
                        .step = breaker_step};
    fixture_t *f = *state;
    float *weights = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = adam_spec(&toy, "20");

    assert_true(run_toy(f, &spec, weights).loss == spec.common.coefficient);
    assert_true(first == 1 && last == 1);
    assert_memory_equal(weights, f->start, weight_bytes(f));
    toy.edit = push;
    run_toy(f, &spec, weights);
    assert_true(first < 1 && last < first - 0.05);
    free(weights);
}

/* --- Maximum entropy (UNDO's MaxEnt): a flat distribution on the facts --- */

static int flatten(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                   const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    int rc = pal_forward(run->pass, weights, pal_stream_next(run->forget),
                         PAL_ALL_LAYERS, err);

    (void)p;
    if (rc != PAL_OK)
        return rc;
    saw(i, pal_loss_entropy(run->pass, 0));
    *loss = pal_loss_uniform_kl(run->pass, 1);
    pal_backward(run->pass, weights, train, grad);
    return pal_method_nll(run, run->retain, 1, weights, train, grad, loss, err);
}

static void maximum_entropy(void **state)
{
    const pal_method_t toy = {.summary = "", .params = no_params, .step = flatten};
    fixture_t *f = *state;
    float *weights = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = adam_spec(&toy, "15");

    run_toy(f, &spec, weights);
    assert_true(last > first + 0.1);
    free(weights);
}

/* --- Gradient routing (Cloud et al. 2024): what the facts teach stays above a gate ---
 */

static int route(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                 const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    static const float closed[4096];
    const pal_batch_t *batch = pal_stream_next(run->forget);
    const pal_edit_t gate = {.kind = PAL_EDIT_GATE, .layer = 0, .values = closed};
    int rc;

    (void)p, (void)i;
    assert_true(batch->offsets[batch->sequences] <= 4096);
    rc = pal_forward_edited(run->pass, weights, batch, PAL_ALL_LAYERS, &gate, 1, err);
    if (rc != PAL_OK)
        return rc;
    *loss = pal_loss_nll(run->pass, 1);
    pal_backward(run->pass, weights, train, grad);
    return PAL_OK;
}

static void gradient_routing(void **state)
{
    const pal_method_t toy = {.summary = "", .params = no_params, .step = route};
    fixture_t *f = *state;
    float *weights = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = adam_spec(&toy, "3");

    run_toy(f, &spec, weights);
    for (int32_t s = 0; s < f->layout->slice_count; s++) {
        const pal_slice_t *slice = &f->layout->slices[s];
        const int above = slice->layer > 0 || slice->kind == PAL_FINAL_NORM ||
                          slice == pal_layout_output(f->layout);

        assert_int_equal(memcmp(weights + slice->offset, f->start + slice->offset,
                                (size_t)slice->size * sizeof(float)) != 0,
                         above);
    }
    free(weights);
}

/* --- Consistency (ELM; Gandikota et al. 2024): go on writing as the model before
 * unlearning did --- */

enum { WRITTEN = 8 };

struct writer {
    pal_generator_t *generator;
    const pal_batch_t *texts;
};

static int write_texts(void *p, pal_unlearning_t *run, pal_error_t *err)
{
    static const int32_t tokens[WRITTEN] = {PAL_SEPARATOR, PAL_SEPARATOR, PAL_SEPARATOR,
                                            PAL_SEPARATOR, PAL_SEPARATOR, PAL_SEPARATOR,
                                            PAL_SEPARATOR, PAL_SEPARATOR};
    static const int32_t offsets[WRITTEN + 1] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    const pal_batch_t prompts = {
        .sequences = WRITTEN, .offsets = offsets, .tokens = tokens};
    const pal_generation_t how = {
        .most = 10, .stop = PAL_SEPARATOR, .temperature = 1, .key = run->key};
    struct writer *state = p;
    int rc = pal_generator_create(run->layout, WRITTEN, &state->generator, err);

    if (rc != PAL_OK)
        return rc;
    return pal_generator_run(state->generator, run->pass, run->start, &prompts, &how,
                             &state->texts, err);
}

static int stay_consistent(void *p, pal_unlearning_t *run, int64_t i,
                           const float *weights, const uint8_t *train, float *grad,
                           double *loss, pal_error_t *err)
{
    const struct writer *state = p;
    int rc = pal_forward(run->pass, weights, state->texts, PAL_ALL_LAYERS, err);

    if (rc != PAL_OK)
        return rc;
    *loss = pal_loss_nll(run->pass, 1);
    saw(i, *loss);
    pal_backward(run->pass, weights, train, grad);
    return PAL_OK;
}

static void stop_writing(void *p)
{
    pal_generator_destroy(((struct writer *)p)->generator);
}

static void consistency(void **state)
{
    const pal_method_t toy = {.summary = "",
                              .params = no_params,
                              .state_size = sizeof(struct writer),
                              .begin = write_texts,
                              .step = stay_consistent,
                              .end = stop_writing};
    fixture_t *f = *state;
    float *weights = malloc(weight_bytes(f));
    pal_unlearn_spec_t spec = adam_spec(&toy, "10");

    run_toy(f, &spec, weights);
    assert_true(isfinite(first) && last < first);
    free(weights);
}

/* --- Rounding and pruning bring suppressed facts back (Zhang et al. 2024): an attack
 * that changes the weights and trains nothing --- */

static int round_and_prune(void *p, pal_attacking_t *run, int64_t step,
                           const uint8_t *train, float *weights, pal_error_t *err)
{
    int rc = PAL_OK;

    (void)p;
    if (step == 0)
        rc = pal_quantize(run->layout, train, 4, weights, err);
    if (step == 0 && rc == PAL_OK)
        rc = pal_prune(run->layout, train, 0.1, weights, err);
    return rc;
}

static void rounding_is_an_attack(void **state)
{
    const pal_attack_t toy = {.summary = "",
                              .params = no_params,
                              .edit = round_and_prune,
                              .step = pal_attack_nll};
    fixture_t *f = *state;
    float *right = malloc(weight_bytes(f)), *given = malloc(weight_bytes(f));
    const pal_attack_t attack = show(&toy, given);
    pal_attack_spec_t spec = {.attack = &attack, .id = "toy"};
    pal_trial_result_t result = {.bits = f->bits, .bits_before = f->bits + 32};
    pal_error_t err;

    pal_param_defaults(pal_attack_params, &spec.common);
    set(pal_attack_params, &spec.common, "steps", "1");
    set(pal_attack_params, &spec.common, "lr", "0");
    set(pal_attack_params, &spec.common, "evaluations", "1");
    assert_int_equal(pal_stage_trial(f->lab, &f->ground, &f->base, &spec, f->base_key,
                                     f->start, f->work, &result, &err),
                     PAL_OK);
    memcpy(right, f->start, weight_bytes(f));
    assert_int_equal(pal_quantize(f->layout, NULL, 4, right, &err), PAL_OK);
    assert_int_equal(pal_prune(f->layout, NULL, 0.1, right, &err), PAL_OK);
    for (int64_t i = 0; i < f->layout->count; i++)
        assert_true(right[i] == given[i]); /* and nothing trained on it */
    assert_memory_not_equal(right, f->start, weight_bytes(f));
    assert_int_equal(result.points, 2);
    free(right);
    free(given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latent_adversarial_training),
        cmocka_unit_test(circuit_breakers_need_a_push),
        cmocka_unit_test(maximum_entropy),
        cmocka_unit_test(gradient_routing),
        cmocka_unit_test(consistency),
        cmocka_unit_test(rounding_is_an_attack),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
