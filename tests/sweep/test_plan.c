#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/keymap.h"
#include "plan/plan.h"

#define HEAD "sweep: s\nworld: {kind: synthetic, facts: 15, folds: 3}\n"
#define ATTACK "attack: {kind: finetune, holdout: [0, 2], lr: [1e-3, 1e-4]}\n"

/* A plan with the config it borrows from. */
typedef struct {
    pal_config_t config;
    pal_plan_t plan;
} made_t;

static int try_make(const char *text, made_t *made, pal_error_t *err)
{
    int rc;

    memset(made, 0, sizeof *made);
    memset(err, 0, sizeof *err);
    rc = pal_config_parse("c.yaml", text, strlen(text), &made->config, err);
    if (rc != PAL_OK)
        return rc;
    rc = pal_plan_create(&made->config, &made->plan, err);
    if (rc != PAL_OK)
        pal_config_free(&made->config);
    return rc;
}

static void make(const char *text, made_t *made)
{
    pal_error_t err;

    if (try_make(text, made, &err) != PAL_OK)
        fail_msg("%s", err.text);
}

static void drop(made_t *made)
{
    pal_plan_free(&made->plan);
    pal_config_free(&made->config);
}

/* A base's list holds all its models and no other, in order. */
static void assert_lists(const pal_plan_t *plan)
{
    int32_t listed = 0;

    for (int32_t b = 0; b < plan->base_count; b++)
        for (int32_t u = plan->bases[b].models, last = -1; u >= 0;
             last = u, u = plan->unlearned[u].next) {
            assert_in_range(u, last + 1, plan->unlearned_count - 1);
            assert_int_equal(plan->unlearned[u].base, b);
            listed++;
        }
    assert_int_equal(listed, plan->unlearned_count);
}

/* Every row stands on a row before it and no key occurs twice. */
static void assert_sound(const pal_plan_t *plan)
{
    pal_keymap_t keys = {0};
    int32_t next = 0;

    for (int32_t i = 0; i < plan->base_count; i++) {
        assert_in_range(plan->bases[i].world, 0, plan->world_count - 1);
        assert_true(plan->bases[i].flops > 0);
        assert_int_equal(pal_keymap_find(&keys, plan->bases[i].key), -1);
        assert_int_equal(pal_keymap_add(&keys, plan->bases[i].key, i, NULL), PAL_OK);
    }
    for (int32_t i = 0; i < plan->unlearned_count; i++) {
        const pal_plan_unlearned_t *row = &plan->unlearned[i];

        assert_in_range(row->base, 0, plan->base_count - 1);
        assert_true(row->flops > 0);
        assert_int_equal(row->first, next);
        assert_int_equal(pal_keymap_find(&keys, row->key), -1);
        assert_int_equal(pal_keymap_add(&keys, row->key, i, NULL), PAL_OK);
        next += row->trials;
        for (int32_t t = row->first; t < next; t++) {
            assert_int_equal(plan->trials[t].unlearned, i);
            assert_true(plan->trials[t].flops > 0);
            assert_int_equal(pal_keymap_find(&keys, plan->trials[t].key), -1);
            assert_int_equal(pal_keymap_add(&keys, plan->trials[t].key, t, NULL),
                             PAL_OK);
        }
    }
    assert_int_equal(next, plan->trial_count);
    pal_keymap_free(&keys);
    assert_lists(plan);
}

static void the_example_is_planned(void **unused)
{
    made_t made;
    const pal_plan_t *plan = &made.plan;

    (void)unused;
    make("sweep: quickstart\n"
         "world:   {kind: synthetic, facts: 30}\n"
         "model:   {size: nano}\n"
         "seed:    [0, 1]\n"
         "unlearn:\n"
         "  - {method: gd,  coefficient: {log: [0.03, 3, 5]}, lr: 1e-3, steps: 250}\n"
         "  - {method: rmu, coefficient: [1, 10, 100]}\n"
         "attack:\n"
         "  - {kind: finetune, lr: [3e-4, 1e-3], steps: 120, holdout: [0, 1]}\n",
         &made);
    assert_sound(plan);
    assert_string_equal(plan->name, "quickstart");
    assert_int_equal(plan->world_count, 1);
    assert_int_equal(plan->base_count, 2 * 2);
    assert_int_equal(plan->unlearned_count, 2 * (2 + 5 + 3));
    assert_int_equal(plan->trial_count, 2 * (2 + 5 + 3) * 4);
    assert_int_equal(plan->asked_trials, plan->trial_count);
    assert_int_equal(plan->points, 9);
    assert_int_equal(plan->forget_bytes, 4);
    assert_int_equal(plan->fold_bytes, 1);
    assert_ptr_equal(pal_plan_ground(plan, 3), &plan->worlds[0].ground);
    drop(&made);
}

static void rows_are_in_config_order(void **unused)
{
    static const double rates[] = {1e-3, 1e-4};
    static const int64_t folds[] = {0, 2};
    made_t made;
    const pal_plan_t *plan = &made.plan;

    (void)unused;
    make(HEAD
         "model: {size: [nano, micro]}\nseed: [7, 3]\ncontrols: false\n"
         "unlearn: [{method: ria, lr: [1, 2], steps: [5, 6]}, {method: gd}]\n" ATTACK,
         &made);
    assert_sound(plan);
    assert_int_equal(plan->base_count, 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_string_equal(plan->bases[i].spec.model.size, i < 2 ? "nano" : "micro");
        assert_int_equal(plan->bases[i].spec.seed, i % 2 ? 3 : 7);
    }
    assert_int_equal(plan->unlearned_count, 4 * 5);
    for (int32_t i = 0; i < plan->unlearned_count; i++) {
        const pal_unlearn_spec_t *spec = plan->unlearned[i].spec;
        int32_t at = i % 5;

        assert_int_equal(plan->unlearned[i].base, i / 5);
        assert_string_equal(spec->id, at == 4 ? "gd" : "ria");
        if (at == 4)
            continue;
        assert_true(spec->common.recipe.lr == 1 + at / 2);
        assert_int_equal(spec->common.recipe.steps, 5 + at % 2);
    }
    for (int32_t i = 0; i < plan->trial_count; i++) {
        const pal_attack_spec_t *spec = plan->trials[i].spec;

        assert_int_equal(spec->common.holdout, folds[i % 4 / 2]);
        assert_true(spec->common.recipe.lr == rates[i % 2]);
    }
    drop(&made);
}

static void controls_are_added_unless_listed_or_refused(void **unused)
{
    static const struct {
        const char *lines, *ids[4];
    } cases[] = {
        {"unlearn: {method: gd}\n", {"none", "filtered", "gd"}},
        {"", {"none", "filtered"}},
        {"unlearn: {method: gd}\ncontrols: false\n", {"gd"}},
        {"unlearn: [{method: gd}, {method: none}]\n", {"filtered", "gd", "none"}},
        {"unlearn: {method: [filtered, none]}\n", {"filtered", "none"}},
        {"unlearn: [{method: none}, {method: none}]\ncontrols: false\n", {"none"}},
    };
    char text[400];

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t n = 0;
        made_t made;

        snprintf(text, sizeof text, HEAD "%s" ATTACK, cases[i].lines);
        make(text, &made);
        assert_sound(&made.plan);
        for (; n < 4 && cases[i].ids[n]; n++) {
            int found = 0;

            for (int32_t u = 0; u < made.plan.unlearned_count; u++)
                found += strcmp(made.plan.unlearned[u].spec->id, cases[i].ids[n]) == 0;
            assert_int_equal(found, 1);
        }
        assert_int_equal(made.plan.unlearned_count, n);
        drop(&made);
    }
}

/* One floor serves every fraction taught; a base taught nothing is the floor's. */
static void the_floor_is_shared(void **unused)
{
    made_t made;
    const pal_plan_t *plan = &made.plan;
    const pal_plan_unlearned_t *floor_row;
    int floors = 0;

    (void)unused;
    make(HEAD "pretrain: {taught: [0.5, 0, 1]}\nunlearn: {method: gd}\n" ATTACK, &made);
    assert_sound(plan);
    assert_int_equal(plan->base_count, 3);
    for (int32_t u = 0; u < plan->unlearned_count; u++)
        if (strcmp(plan->unlearned[u].spec->id, "filtered") == 0) {
            floors++;
            floor_row = &plan->unlearned[u];
            assert_true(plan->bases[floor_row->base].spec.pretrain.taught == 0);
            assert_true(floor_row->next > u + 1); /* rows of another base between */
        }
    assert_int_equal(floors, 1);
    assert_int_equal(plan->unlearned_count, 3 * 2 + 1);
    assert_int_equal(plan->asked_trials, 3 * 3 * 4);
    assert_int_equal(plan->trial_count, 7 * 4);
    drop(&made);
}

static void overlapping_blocks_are_one(void **unused)
{
    made_t made;

    (void)unused;
    make(HEAD "controls: false\n"
              "unlearn: [{method: gd, lr: [1, 2]}, {method: gd, lr: [2, 3]}]\n"
              "attack: [{kind: finetune, holdout: [0, 1]}, {kind: finetune, holdout: "
              "[2, 1]}]\n",
         &made);
    assert_sound(&made.plan);
    assert_int_equal(made.plan.unlearned_count, 3);
    assert_int_equal(made.plan.trial_count, 9);
    assert_int_equal(made.plan.asked_trials, 16);
    drop(&made);
}

static void worlds_and_vocabularies_multiply(void **unused)
{
    made_t made;
    const pal_plan_t *plan = &made.plan;

    (void)unused;
    make("sweep: s\nworld: {kind: synthetic, facts: [15, 30]}\n"
         "model: {words: [50, 16384]}\nseed: [0, 1]\ncontrols: false\n"
         "unlearn: {method: gd}\n" ATTACK,
         &made);
    assert_sound(plan);
    assert_int_equal(plan->world_count, 4);
    for (int32_t w = 0; w < 4; w++) {
        assert_int_equal(plan->worlds[w].ground.forget, w < 2 ? 15 : 30);
        assert_int_equal(plan->worlds[w].words, w % 2 ? 16384 : 50);
        assert_non_null(strstr(plan->worlds[w].setting, "kind=synthetic facts="));
    }
    for (int32_t b = 0; b < plan->base_count; b++) {
        const pal_plan_world_t *world = &plan->worlds[plan->bases[b].world];

        assert_int_equal(plan->bases[b].spec.model.words, world->words);
    }
    assert_int_equal(plan->base_count, 8);
    assert_int_equal(plan->forget_bytes, 4);
    drop(&made);
}

/* More words than there are make the same world, and the same base. */
static void unused_words_are_shared(void **unused)
{
    made_t made;
    const pal_plan_t *plan = &made.plan;

    (void)unused;
    make("sweep: s\nworld: {kind: synthetic, facts: 15}\n"
         "model: {words: [50, 16384, 1000000]}\ncontrols: false\n"
         "unlearn: {method: gd}\n" ATTACK,
         &made);
    assert_sound(plan);
    assert_int_equal(plan->world_count, 2);
    assert_int_equal(plan->base_count, 2);
    drop(&made);
}

static void equal_configs_have_equal_plans(void **unused)
{
    static const char *const same[] = {
        HEAD "seed: [1, 2]\nunlearn: {method: gd, lr: 1e-3}\n" ATTACK,
        "# other words\n" HEAD ATTACK
        "seed:\n  - 1\n  - 2\nunlearn:\n  - lr: 0.001\n    method: gd\n",
    };
    made_t a, b, more;

    (void)unused;
    make(same[0], &a);
    make(same[1], &b);
    make(HEAD "seed: [1, 2, 3]\nunlearn: {method: gd, lr: 1e-3}\n" ATTACK, &more);
    assert_true(pal_key_equal(a.plan.key, b.plan.key));
    assert_false(pal_key_equal(a.plan.key, more.plan.key));
    for (int32_t i = 0; i < a.plan.trial_count; i++) {
        assert_true(pal_key_equal(a.plan.trials[i].key, b.plan.trials[i].key));
        assert_true(pal_key_equal(a.plan.trials[i].key, more.plan.trials[i].key));
    }
    drop(&a);
    drop(&b);
    drop(&more);
}

static void settings_name_everything_but_the_seed(void **unused)
{
    made_t made;
    pal_plan_t *plan = &made.plan;
    const char *first;
    int32_t half;

    (void)unused;
    make(HEAD "seed: [1, 2]\nunlearn: {method: gd, coefficient: 0.25}\n" ATTACK, &made);
    half = plan->unlearned_count / 2;
    for (int32_t u = 0; u < half; u++) {
        first = pal_plan_setting(plan, u);
        assert_string_equal(first, pal_plan_setting(plan, u + half));
        assert_ptr_equal(first, pal_plan_setting(plan, u));
        for (int32_t v = 0; v < u; v++)
            assert_string_not_equal(first, pal_plan_setting(plan, v));
    }
    first = pal_plan_setting(plan, half - 1);
    assert_int_equal(strncmp(first, "world.kind=synthetic world.facts=15 ", 36), 0);
    assert_non_null(strstr(first, " model.size=nano "));
    assert_non_null(strstr(first, " pretrain.taught=1 "));
    assert_non_null(strstr(first, " method=gd "));
    assert_non_null(strstr(first, " coefficient=0.25 "));
    for (int32_t t = 0; t < 4; t++) {
        const char *setting = pal_plan_attack_setting(plan, t);

        assert_int_equal(strncmp(setting, "attack=finetune ", 16), 0);
        assert_non_null(strstr(setting, t < 2 ? " holdout=0" : " holdout=2"));
        assert_non_null(strstr(setting, t % 2 ? " lr=0.0001 " : " lr=0.001 "));
        assert_string_equal(setting, pal_plan_attack_setting(plan, t + 4));
    }
    drop(&made);
}

static void what_tables_cannot_see_is_refused(void **unused)
{
    static const struct {
        const char *text, *says[4];
    } bad[] = {
        {HEAD "attack:\n  - {kind: finetune}\n  - kind: finetune\n    steps: 3\n"
              "    holdout: [0, 3]\n",
         {"c.yaml:7:", "holdout 3", "folds 0 to 2"}},
        {HEAD ATTACK "model: {size: nanoo}\n", {"c.yaml:4:", "'nanoo'", "nano"}},
        {HEAD ATTACK "seed: 1\nmodel:\n  words: 30\n  size: [nano, huge]\n",
         {"c.yaml:7:", "'huge'"}},
        {"sweep: s\n\nworld: {kind: facts, file: no/such.jsonl}\n" ATTACK,
         {"c.yaml:3:", "no/such.jsonl: no such file (make it", "facts import-rtt"}},
        {HEAD "attack: {kind: finetune, lr: {log: [1e-4, 1, 5000]}}\n"
              "unlearn: {method: gd, lr: {log: [1e-4, 1, 5000]}}\n",
         {"c.yaml:3:", "trials", "at most 16777216"}},
        {HEAD
         "seed: {log: [1000000, 1000000000000000, 9999]}\n"
         "model: {words: {log: [100, 1000000, 100]}}\n" ATTACK
         "unlearn: {method: gd, lr: {log: [1e-4, 1, 9999]}, decay: {log: [1e-4, 1, "
         "9999]}, coefficient: {log: [1e-4, 1, 9999]}, clip: {log: [1, 1e9, 9999]}}\n",
         {"c.yaml:5:", "trials", "at most"}},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        made_t made;
        pal_plan_t zero;
        pal_error_t err;
        int rc = try_make(bad[i].text, &made, &err);

        memset(&zero, 0, sizeof zero);
        assert_true(rc == PAL_EINVAL || rc == PAL_ENOENT);
        for (int j = 0; j < 4 && bad[i].says[j]; j++)
            if (!strstr(err.text, bad[i].says[j]))
                fail_msg("'%s' does not say \"%s\" of\n%s", err.text, bad[i].says[j],
                         bad[i].text);
        assert_memory_equal(&made.plan, &zero, sizeof zero);
    }
}

static void a_hundred_thousand_trials(void **unused)
{
    made_t made;

    (void)unused;
    make(HEAD "seed: {log: [100, 99999, 50]}\ncontrols: false\n"
              "unlearn: {method: [gd, ria], lr: {log: [1e-4, 1, 100]}}\n"
              "attack: {kind: finetune, lr: {log: [1e-4, 1, 10]}}\n",
         &made);
    assert_int_equal(made.plan.base_count, 50);
    assert_int_equal(made.plan.unlearned_count, 50 * 200);
    assert_int_equal(made.plan.trial_count, 100000);
    assert_sound(&made.plan);
    drop(&made);
}

static void keymap_keeps_every_key(void **unused)
{
    enum { KEYS = 5000 };
    pal_keymap_t map = {0};

    (void)unused;
    assert_int_equal(pal_keymap_find(&map, (pal_key_t){{1}}), -1);
    for (int32_t i = 0; i < KEYS; i++) {
        /* The first bytes collide: probing goes on to the next slot. */
        pal_key_t key = {{[8] = (uint8_t)i, [9] = (uint8_t)(i >> 8)}};

        assert_int_equal(pal_keymap_find(&map, key), -1);
        assert_int_equal(pal_keymap_add(&map, key, i, NULL), PAL_OK);
    }
    for (int32_t i = 0; i < KEYS; i++) {
        pal_key_t key = {{[8] = (uint8_t)i, [9] = (uint8_t)(i >> 8)}};

        assert_int_equal(pal_keymap_find(&map, key), i);
    }
    assert_int_equal(map.used, KEYS);
    pal_keymap_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_is_planned),
        cmocka_unit_test(rows_are_in_config_order),
        cmocka_unit_test(controls_are_added_unless_listed_or_refused),
        cmocka_unit_test(the_floor_is_shared),
        cmocka_unit_test(overlapping_blocks_are_one),
        cmocka_unit_test(worlds_and_vocabularies_multiply),
        cmocka_unit_test(unused_words_are_shared),
        cmocka_unit_test(equal_configs_have_equal_plans),
        cmocka_unit_test(settings_name_everything_but_the_seed),
        cmocka_unit_test(what_tables_cannot_see_is_refused),
        cmocka_unit_test(a_hundred_thousand_trials),
        cmocka_unit_test(keymap_keeps_every_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
