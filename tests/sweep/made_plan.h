/* made_plan.h -- small plans from a config, for tests. */
#ifndef PAL_TESTS_MADE_PLAN_H
#define PAL_TESTS_MADE_PLAN_H

#include <stdio.h>
#include <string.h>

#include "plan/plan.h"

typedef struct {
    pal_config_t config;
    pal_plan_t plan;
} made_plan_t;

/* `seeds` and `coefficients` as in YAML, "[0, 1]". Three unlearned models a seed and
 * one more for every coefficient beyond the first; four trials each. */
static inline int made_plan(made_plan_t *made, const char *seeds,
                            const char *coefficients, pal_error_t *err)
{
    static char text[1024];
    int rc;

    snprintf(text, sizeof text,
             "sweep: made\n"
             "world: {kind: synthetic, facts: 40, retain: 20}\n"
             "model: {size: nano}\n"
             "seed: %s\n"
             "unlearn:\n"
             "  - {method: gd, coefficient: %s}\n"
             "attack:\n"
             "  - {kind: finetune, lr: [1e-4, 1e-3], holdout: [0, 1]}\n",
             seeds, coefficients);
    memset(made, 0, sizeof *made);
    rc = pal_config_parse("made.yaml", text, strlen(text), &made->config, err);
    if (rc == PAL_OK)
        rc = pal_plan_create(&made->config, &made->plan, err);
    return rc;
}

static inline void made_plan_free(made_plan_t *made)
{
    pal_plan_free(&made->plan);
    pal_config_free(&made->config);
}

#endif
