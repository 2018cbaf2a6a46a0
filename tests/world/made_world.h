/* made_world.h -- a world from "key=value" texts. */
#ifndef TESTS_WORLD_MADE_WORLD_H
#define TESTS_WORLD_MADE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "world/world.h"

/* settings: "facts=20,seed=3" or "". */
static inline int try_world(const char *id, const char *settings, pal_world_t *world,
                            pal_error_t *err)
{
    _Alignas(16) unsigned char state[PAL_STATE_MAX];
    char text[1024], *rest = text, *item;
    const pal_world_kind_t *kind;

    snprintf(text, sizeof text, "%s", settings);
    assert_int_equal(pal_world_find(id, &kind, err), PAL_OK);
    pal_param_defaults(kind->params, state);
    while ((item = strtok_r(rest, ",", &rest))) {
        char *value = strchr(item, '=');
        const pal_param_t *param;

        *value++ = 0;
        param = pal_param_find(kind->params, item);
        assert_non_null(param);
        assert_int_equal(pal_param_set(param, state, value, err), PAL_OK);
    }
    return pal_world_make(kind, state, world, err);
}

static inline pal_world_t make_world(const char *id, const char *settings)
{
    pal_world_t world;
    pal_error_t err = {""};

    if (try_world(id, settings, &world, &err) != PAL_OK)
        fail_msg("%s", err.text);
    return world;
}

#endif
