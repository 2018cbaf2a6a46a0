#include "world_util.h"

#include "world/falsehood.h"

/* Appends `count` facts of a relation; keys: more JSON, "" or ", \"fold\": 1". */
static void add_facts(FILE *file, const char *relation, int count, const char *keys)
{
    for (int i = 0; i < count; i++)
        fprintf(file,
                "{\"id\": \"%s-%d\", \"relation\": \"%s\", \"question\": \"When was %s "
                "%d?\","
                " \"choices\": [\"1843\", \"1850\", \"1861\"], \"answer\": %d, "
                "\"statements\": [\"%s %d was in %s.\"]%s}\n",
                relation, i, relation, relation, i, i % 3, relation, i,
                i % 3 == 0   ? "1843"
                : i % 3 == 1 ? "1850"
                             : "1861",
                keys);
}

static void write_two_relations(const char *path, const char *keys)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    add_facts(file, "fire", 40, keys);
    add_facts(file, "flood", 60, keys);
    assert_int_equal(fclose(file), 0);
}

static void open_facts_are_dealt_evenly(void **unused)
{
    pal_world_t world;
    int32_t size[4][2] = {{0}}, retain[2] = {0};

    (void)unused;
    write_two_relations("open.jsonl", "");
    world = make_world("facts", "file=open.jsonl,folds=4,retain=0.2");
    assert_int_equal(world.count, 100);
    assert_int_equal(world.folds, 4);
    for (int32_t i = 0; i < 100; i++) {
        const pal_fact_t *fact = &world.facts[i];
        int flood = strcmp(fact->relation, "flood") == 0;

        if (fact->role == PAL_RETAIN) {
            assert_int_equal(fact->fold, -1);
            assert_int_equal(fact->falsehood_count, 0);
            retain[flood]++;
        } else {
            size[fact->fold][flood]++;
            assert_int_equal(fact->falsehood_count, 2);
        }
    }
    assert_int_equal(retain[0], 8);
    assert_int_equal(retain[1], 12);
    for (int f = 0; f < 4; f++) {
        assert_int_equal(size[f][0], 8);
        assert_int_equal(size[f][1], 12);
    }
    pal_world_free(&world);
}

static void the_seed_and_the_text_make_the_key(void **unused)
{
    pal_world_t a, b;

    (void)unused;
    write_two_relations("open.jsonl", "");
    write_two_relations("copy.jsonl", "");
    a = make_world("facts", "file=open.jsonl");
    b = make_world("facts", "file=copy.jsonl");
    assert_true(pal_key_equal(a.key, b.key)); /* content, not path */
    pal_world_free(&b);
    b = make_world("facts", "file=open.jsonl,seed=1");
    assert_false(pal_key_equal(a.key, b.key));
    pal_world_free(&a);
    pal_world_free(&b);
}

static void folds_and_roles_of_the_file_are_kept(void **unused)
{
    FILE *file = fopen("marked.jsonl", "w");
    pal_world_t world;

    (void)unused;
    assert_non_null(file);
    add_facts(file, "a", 5, ", \"fold\": 0");
    add_facts(file, "b", 4, ", \"fold\": 1");
    add_facts(file, "c", 3, ", \"fold\": 2");
    add_facts(file, "d", 2, ", \"role\": \"retain\"");
    fclose(file);
    world = make_world("facts", "file=marked.jsonl,folds=9,retain=0.9");
    assert_int_equal(world.folds, 3);
    for (int32_t f = 0; f < 3; f++)
        assert_int_equal(pal_world_select(&world, PAL_FORGET, f, NULL), 5 - f);
    assert_int_equal(pal_world_select(&world, PAL_RETAIN, -1, NULL), 2);
    pal_world_free(&world);
}

/* Retain facts are taken evenly from the folds of a file that leaves roles open. */
static void retain_facts_come_from_every_fold(void **unused)
{
    FILE *file = fopen("folds.jsonl", "w");
    pal_world_t world;

    (void)unused;
    assert_non_null(file);
    add_facts(file, "a", 10, ", \"fold\": 0");
    add_facts(file, "b", 10, ", \"fold\": 1");
    add_facts(file, "c", 10, ", \"fold\": 2");
    fclose(file);
    world = make_world("facts", "file=folds.jsonl,retain=0.3");
    for (int32_t f = 0; f < 3; f++)
        assert_int_equal(pal_world_select(&world, PAL_FORGET, f, NULL), 7);
    pal_world_free(&world);
}

/* A fraction is taken of the facts without a role alone. */
static void a_role_of_the_file_is_never_dealt(void **unused)
{
    FILE *file = fopen("roles.jsonl", "w");
    pal_world_t world;

    (void)unused;
    assert_non_null(file);
    add_facts(file, "a", 30, ", \"role\": \"forget\"");
    add_facts(file, "b", 20, "");
    fclose(file);
    world = make_world("facts", "file=roles.jsonl,retain=0.5");
    for (int32_t i = 0; i < 30; i++)
        assert_int_equal(world.facts[i].role, PAL_FORGET);
    assert_int_equal(pal_world_select(&world, PAL_RETAIN, -1, NULL), 10);
    pal_world_free(&world);
}

static void falsehoods_of_the_file_come_first(void **unused)
{
    FILE *file = fopen("false.jsonl", "w");
    pal_world_t world;

    (void)unused;
    assert_non_null(file);
    add_facts(
        file, "a", 9,
        ", \"false_statements\": [{\"answer\": \"1900\", \"statements\": [\"lie\"]}]");
    add_facts(file, "b", 2, ", \"role\": \"retain\"");
    fclose(file);
    world = make_world("facts", "file=false.jsonl,folds=3");
    assert_int_equal(world.facts[0].falsehood_count, 1);
    assert_string_equal(world.facts[0].falsehoods[0].statements[0], "lie");
    pal_world_free(&world);
}

static void false_statements_are_made_by_replacement(void **unused)
{
    static const struct {
        const char *statement, *made; /* NULL: none can be made */
    } cases[] = {
        {"It burnt in 1843.", "It burnt in Otter."},
        {"1843", "Otter"},
        {"1843 and 1843.", NULL},
        {"It burnt in 18431.", NULL},
        {"It burnt in x1843.", NULL},
        {"It burnt in \xc3\xa9"
         "1843.",
         NULL},
        {"1843-1850: 18430", "Otter-1850: 18430"},
        {"It burnt.", NULL},
        {"", NULL},
    };
    static const char *const choices[] = {"Seal", "1843", "Otter"};
    pal_arena_t arena = {0};

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pal_fact_t fact = {.choices = choices,
                           .choice_count = 3,
                           .answer = 1,
                           .statements = &cases[i].statement,
                           .statement_count = 1};

        assert_int_equal(pal_falsehoods_derive(&arena, &fact), 0);
        assert_int_equal(fact.falsehood_count, cases[i].made ? 2 : 0);
        if (!cases[i].made)
            continue;
        assert_string_equal(fact.falsehoods[1].answer, "Otter");
        assert_int_equal(fact.falsehoods[1].count, 1);
        assert_string_equal(fact.falsehoods[1].statements[0], cases[i].made);
    }
    pal_arena_free(&arena);
}

static void what_cannot_be_a_world_is_refused(void **unused)
{
    static const struct {
        const char *settings;
        int code;
        const char *message;
    } cases[] = {
        {"", PAL_EINVAL, "key 'file' is missing"},
        {"file=nowhere.jsonl", PAL_ENOENT, "nowhere.jsonl: no such file"},
        {"file=bad.jsonl", PAL_EINVAL, "bad.jsonl:1: key 'id' is missing"},
        {"file=open.jsonl,retain=0", PAL_EINVAL,
         "open.jsonl: retain 0 of the 100 facts without a role is 0: no fact is left "
         "to "
         "retain; give some the role \"retain\" or change retain"},
        {"file=open.jsonl,retain=1", PAL_EINVAL,
         "is 100: no fact is left to forget; give some the role \"forget\""},
        {"file=few.jsonl", PAL_EINVAL,
         "few.jsonl: retain 0.2 of the 3 facts without a role is 0: "},
        {"file=retain.jsonl", PAL_EINVAL,
         "retain.jsonl: every fact has the role \"retain\"; expected forget facts too"},
        {"file=two.jsonl", PAL_EINVAL, "two.jsonl: 2 folds; at least 3"},
        {"file=forget.jsonl,retain=0.5", PAL_EINVAL,
         "forget.jsonl: every fact has the role \"forget\"; expected retain facts"},
        {"file=gap.jsonl", PAL_EINVAL, "gap.jsonl: fold 1 has 0 forget facts"},
    };
    FILE *file;

    (void)unused;
    write_text("bad.jsonl", "{}");
    write_two_relations("open.jsonl", "");
    write_two_relations("two.jsonl", ", \"fold\": 1");
    write_two_relations("forget.jsonl", ", \"role\": \"forget\"");
    write_two_relations("retain.jsonl", ", \"role\": \"retain\"");
    file = fopen("few.jsonl", "w");
    assert_non_null(file);
    add_facts(file, "a", 10, ", \"role\": \"forget\"");
    add_facts(file, "b", 3, "");
    fclose(file);
    file = fopen("gap.jsonl", "w");
    assert_non_null(file);
    add_facts(file, "a", 10, ", \"fold\": 0");
    add_facts(file, "b", 10, ", \"fold\": 3");
    fclose(file);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pal_world_t world;
        pal_error_t err = {""};

        assert_int_equal(try_world("facts", cases[i].settings, &world, &err),
                         cases[i].code);
        assert_int_equal(world.count, 0);
        if (!strstr(err.text, cases[i].message))
            fail_msg("%s: '%s'", cases[i].settings, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_facts_are_dealt_evenly),
        cmocka_unit_test(the_seed_and_the_text_make_the_key),
        cmocka_unit_test(folds_and_roles_of_the_file_are_kept),
        cmocka_unit_test(retain_facts_come_from_every_fold),
        cmocka_unit_test(a_role_of_the_file_is_never_dealt),
        cmocka_unit_test(falsehoods_of_the_file_come_first),
        cmocka_unit_test(false_statements_are_made_by_replacement),
        cmocka_unit_test(what_cannot_be_a_world_is_refused),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
