/* fixture.h -- a world of 60 facts and a nano model, for the stage tests. */
#ifndef PAL_TESTS_STAGE_FIXTURE_H
#define PAL_TESTS_STAGE_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stage/stage.h"

typedef struct {
    pal_ground_t ground;
    pal_base_spec_t base;
    pal_key_t base_key;
    pal_layout_t *layout;
    pal_lab_t *lab;
    float *start; /* a briefly trained base model */
    float *work;  /* room for a model under attack */
    uint8_t bits[64];
} fixture_t;

static inline void set(const pal_param_t *table, void *state, const char *key,
                       const char *text)
{
    const pal_param_t *param = pal_param_find(table, key);

    assert_non_null(param);
    assert_int_equal(pal_param_set(param, state, text, NULL), PAL_OK);
}

static inline pal_world_spec_t small_world(const char *seed)
{
    pal_world_spec_t spec = {.id = "synthetic"};

    assert_int_equal(pal_world_find(spec.id, &spec.kind, NULL), PAL_OK);
    pal_param_defaults(spec.kind->params, spec.state);
    set(spec.kind->params, spec.state, "facts", "40");
    set(spec.kind->params, spec.state, "retain", "20");
    set(spec.kind->params, spec.state, "seed", seed);
    return spec;
}

static inline pal_base_spec_t small_base(int64_t seed)
{
    pal_base_spec_t spec = {.seed = seed};

    pal_param_defaults(pal_model_params, &spec.model);
    pal_param_defaults(pal_pretrain_params, &spec.pretrain);
    set(pal_pretrain_params, &spec.pretrain, "steps", "20");
    set(pal_pretrain_params, &spec.pretrain, "warmup", "5");
    set(pal_pretrain_params, &spec.pretrain, "batch", "16");
    return spec;
}

static inline pal_unlearn_spec_t unlearn_spec(const char *id)
{
    pal_unlearn_spec_t spec = {.id = id};

    assert_int_equal(pal_method_find(id, &spec.method, NULL), PAL_OK);
    pal_param_defaults(pal_unlearn_params, &spec.common);
    pal_param_defaults(spec.method->params, spec.state);
    set(pal_unlearn_params, &spec.common, "steps", "4");
    set(pal_unlearn_params, &spec.common, "batch", "8");
    return spec;
}

static inline pal_attack_spec_t attack_spec(const char *id)
{
    pal_attack_spec_t spec = {.id = id};

    assert_int_equal(pal_attack_find(id, &spec.attack, NULL), PAL_OK);
    pal_param_defaults(pal_attack_params, &spec.common);
    pal_param_defaults(spec.attack->params, spec.state);
    set(pal_attack_params, &spec.common, "steps", "6");
    set(pal_attack_params, &spec.common, "batch", "8");
    set(pal_attack_params, &spec.common, "evaluations", "3");
    return spec;
}

static inline size_t weight_bytes(const fixture_t *f)
{
    return (size_t)f->layout->count * sizeof(float);
}

static inline pal_key_t base_key(const fixture_t *f, const pal_base_spec_t *spec)
{
    return pal_base_key(f->ground.world.key,
                        pal_tokenizer_size(f->ground.corpus.tokenizer), spec);
}

static inline int fixture_make(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    pal_world_spec_t world = small_world("0");
    pal_model_result_t result = {.bits = f->bits};
    pal_error_t err;

    f->base = small_base(0);
    assert_int_equal(pal_ground_create(&world, 16384, &f->ground, &err), PAL_OK);
    assert_int_equal(pal_base_layout(&f->ground, &f->base, &f->layout, &err), PAL_OK);
    assert_int_equal(pal_lab_create(NULL, NULL, &f->lab, &err), PAL_OK);
    f->start = malloc(weight_bytes(f));
    f->work = malloc(weight_bytes(f));
    f->base_key = base_key(f, &f->base);
    assert_int_equal(pal_stage_base(f->lab, &f->ground, &f->base, f->base_key, f->start,
                                    &result, &err),
                     PAL_OK);
    *state = f;
    return 0;
}

static inline int fixture_free(void **state)
{
    fixture_t *f = *state;

    pal_lab_destroy(f->lab);
    pal_layout_destroy(f->layout);
    pal_ground_free(&f->ground);
    free(f->start);
    free(f->work);
    free(f);
    return 0;
}

#endif
