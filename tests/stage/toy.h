/* toy.h -- methods and attacks that are not registered, run as if they were. */
#ifndef PAL_TESTS_STAGE_TOY_H
#define PAL_TESTS_STAGE_TOY_H

#include "fixture.h"

static const pal_param_t no_params[] = {{0}};

/* Descend on the retain data. */
static inline int retain_step(void *state, pal_unlearning_t *run, int64_t i,
                              const float *weights, const uint8_t *train, float *grad,
                              double *loss, pal_error_t *err)
{
    (void)state, (void)i;
    *loss = 0;
    return pal_method_nll(run, run->retain, 1, weights, train, grad, loss, err);
}

/* One step of SGD with learning rate lr. */
static inline pal_unlearn_spec_t toy_spec(const pal_method_t *toy, const char *lr)
{
    pal_unlearn_spec_t spec = {.method = toy, .id = "toy"};

    pal_param_defaults(pal_unlearn_params, &spec.common);
    set(pal_unlearn_params, &spec.common, "steps", "1");
    set(pal_unlearn_params, &spec.common, "lr", lr);
    set(pal_unlearn_params, &spec.common, "warmup", "0");
    set(pal_unlearn_params, &spec.common, "clip", "0");
    set(pal_unlearn_params, &spec.common, "optimizer", "sgd");
    return spec;
}

/* An attack that shows what it was given to its last step. */
static const pal_attack_t *shown;
static float *seen; /* the model's weights */

static inline int show_step(void *state, pal_attacking_t *run, int64_t i,
                            const float *weights, const uint8_t *train, float *grad,
                            double *loss, pal_error_t *err)
{
    memcpy(seen, run->own ? run->start : weights,
           (size_t)run->layout->count * sizeof *seen);
    return shown->step(state, run, i, weights, train, grad, loss, err);
}

static inline pal_attack_t show(const pal_attack_t *attack, float *weights)
{
    pal_attack_t copy = *attack;

    shown = attack;
    seen = weights;
    copy.step = show_step;
    return copy;
}

/* The same random streams whatever the spec. */
static inline pal_model_result_t run_toy(fixture_t *f, const pal_unlearn_spec_t *spec,
                                         float *weights)
{
    pal_model_result_t result = {.bits = f->bits};
    pal_error_t err;

    if (pal_stage_unlearn(f->lab, &f->ground, &f->base, spec, f->base_key, f->start,
                          weights, &result, &err) != PAL_OK)
        fail_msg("%s", err.text);
    return result;
}

#endif
