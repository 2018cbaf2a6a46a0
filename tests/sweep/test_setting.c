#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "config/setting.h"

static void fields_are_split(void **unused)
{
    pal_arena_t arena = {0};
    pal_setting_t setting = {NULL, 0};

    (void)unused;
    assert_int_equal(pal_setting_add(&setting, "",
                                     "world.path=my own facts.jsonl lr=0.1", &arena,
                                     NULL),
                     PAL_OK);
    assert_int_equal(
        pal_setting_add(&setting, "attack.", "lr=0.2 empty=", &arena, NULL), PAL_OK);
    assert_int_equal(pal_setting_add(&setting, "", "", &arena, NULL), PAL_OK);
    assert_int_equal(setting.count, 4);
    assert_string_equal(pal_setting_get(&setting, "world.path"), "my own facts.jsonl");
    assert_string_equal(pal_setting_get(&setting, "lr"), "0.1");
    assert_string_equal(pal_setting_get(&setting, "attack.lr"), "0.2");
    assert_string_equal(pal_setting_get(&setting, "attack.empty"), "");
    assert_null(pal_setting_get(&setting, "path"));
    pal_arena_free(&arena);
}

static void fields_are_dropped_by_short_key(void **unused)
{
    static const struct {
        const char *text, *left;
    } cases[] = {
        {"attack=finetune lr=0.1 warmup=5 holdout=3", "attack=finetune warmup=5"},
        {"lr=0.1", ""},
        {"pretrain.lr=1 a=b", "a=b"},
        {"path=an lr file b=2 lr=3", "path=an lr file b=2"},
        {"slr=1 lrs=2", "slr=1 lrs=2"},
        {"", ""},
    };
    static const char *const drop[] = {"lr", "holdout"};
    pal_arena_t arena = {0};

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(pal_setting_without(cases[i].text, drop, 2, &arena),
                            cases[i].left);
    pal_arena_free(&arena);
}

static void labels_name_what_differs(void **unused)
{
    static const char *const texts[3] = {
        "model.size=nano pretrain.lr=1 same=1 lr=5",
        "model.size=tiny pretrain.lr=2 same=1 lr=5",
        "model.size=tiny pretrain.lr=2 same=1 lr=6 own=7"};
    static const char *const labels[3] = {"size=nano, pretrain.lr=1, lr=5",
                                          "size=tiny, pretrain.lr=2, lr=5",
                                          "size=tiny, pretrain.lr=2, lr=6"};
    pal_arena_t arena = {0};
    pal_setting_t all[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}}, differing;

    (void)unused;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pal_setting_add(&all[i], "", texts[i], &arena, NULL), PAL_OK);
    assert_int_equal(pal_setting_differing(all, 3, &arena, &differing, NULL), PAL_OK);
    for (int i = 0; i < 3; i++)
        assert_string_equal(pal_setting_label(&all[i], &differing, &arena), labels[i]);
    assert_int_equal(pal_setting_differing(all, 1, &arena, &differing, NULL), PAL_OK);
    assert_string_equal(pal_setting_label(&all[0], &differing, &arena), "");
    pal_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_split),
        cmocka_unit_test(fields_are_dropped_by_short_key),
        cmocka_unit_test(labels_name_what_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
