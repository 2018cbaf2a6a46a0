/* made_result.h -- results that follow from a stage's key, for tests. */
#ifndef PAL_TESTS_MADE_RESULT_H
#define PAL_TESTS_MADE_RESULT_H

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "plan/plan.h"

static inline void made_bits(pal_rng_t *rng, uint8_t *bits, int32_t bytes)
{
    for (int32_t i = 0; i < bytes; i++)
        bits[i] = (uint8_t)pal_rng_u32(rng);
}

static inline void made_model(const pal_plan_t *plan, pal_key_t key,
                              pal_model_result_t *result)
{
    pal_rng_t rng;

    pal_rng_init(&rng, key, "made model");
    result->loss = pal_rng_normal(&rng);
    result->steps = pal_rng_below(&rng, 250);
    result->v_accuracy = pal_rng_uniform(&rng);
    result->retain_accuracy = pal_rng_uniform(&rng);
    made_bits(&rng, result->bits, plan->forget_bytes);
}

static inline void made_trial(const pal_plan_t *plan, pal_key_t key,
                              pal_trial_result_t *result)
{
    pal_rng_t rng;

    pal_rng_init(&rng, key, "made trial");
    result->points = 1 + (int32_t)pal_rng_below(&rng, (uint32_t)plan->points);
    for (int32_t i = 0; i < result->points; i++) {
        result->step[i] = 15.0 * i;
        result->loss[i] = i ? pal_rng_normal(&rng) : NAN;
        result->v[i] = pal_rng_uniform(&rng);
        result->dev[i] = pal_rng_uniform(&rng);
    }
    result->chosen = (int32_t)pal_rng_below(&rng, (uint32_t)result->points);
    result->best = (int32_t)pal_rng_below(&rng, (uint32_t)result->points);
    result->retain_after = pal_rng_uniform(&rng);
    made_bits(&rng, result->bits, plan->fold_bytes);
    made_bits(&rng, result->bits_before, plan->fold_bytes);
}

#endif
