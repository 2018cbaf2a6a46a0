#include "world_util.h"

#include <math.h>

#include "world/corpus.h"
#include "world/relations.h"

static void same_parameters_same_key(void **unused)
{
    static const char *const differ[] = {"seed=1",      "facts=301",   "folds=6",
                                         "relations=3", "choices=3",   "statements=5",
                                         "retain=10",   "seed=1000000"};
    pal_world_t a = make_world("synthetic", ""), b = make_world("synthetic", "");

    (void)unused;
    assert_true(pal_key_equal(a.key, b.key));
    pal_world_free(&b);
    for (size_t i = 0; i < sizeof differ / sizeof *differ; i++) {
        b = make_world("synthetic", differ[i]);
        assert_false(pal_key_equal(a.key, b.key));
        pal_world_free(&b);
    }
    b = make_world("synthetic", "retain=300,facts=300,seed=0"); /* the defaults, said */
    assert_true(pal_key_equal(a.key, b.key));
    pal_world_free(&a);
    pal_world_free(&b);
    assert_int_equal(a.count, 0);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Questions hold the name and nothing else that differs within a relation; names are
 * drawn for all relations together, so the last three words must be unique over the
 * world. */
static void names_are_unique(void **unused)
{
    pal_world_t world = make_world("synthetic", "facts=20000,retain=20000,relations=4");
    const char **names = calloc((size_t)world.count, sizeof *names);

    (void)unused;
    assert_non_null(names);
    for (int32_t i = 0; i < world.count; i++) {
        const char *statement =
            world.facts[i].statements[0]; /* "The king A B C bore ..." */

        names[i] =
            pal_arena_text(&world.arena, strchr(strchr(statement, ' ') + 1, ' '), 15);
        assert_int_equal(names[i][0], ' ');
        assert_int_equal(names[i][5], ' ');
        assert_int_equal(names[i][10], ' ');
    }
    qsort(names, (size_t)world.count, sizeof *names, by_text);
    for (int32_t i = 1; i < world.count; i++)
        assert_string_not_equal(names[i - 1], names[i]);
    free(names);
    pal_world_free(&world);
}

static void choices_differ_and_hold_the_answer(void **unused)
{
    pal_world_t world = make_world("synthetic", "facts=3000,choices=16,relations=4");

    (void)unused;
    for (int32_t i = 0; i < world.count; i++) {
        const pal_fact_t *fact = &world.facts[i];

        assert_int_equal(fact->choice_count, 16);
        assert_in_range(fact->answer, 0, 15);
        for (int32_t a = 1; a < 16; a++)
            for (int32_t b = 0; b < a; b++)
                assert_string_not_equal(fact->choices[a], fact->choices[b]);
        for (int32_t k = 0; k < fact->statement_count; k++)
            assert_non_null(strstr(fact->statements[k], fact->choices[fact->answer]));
        assert_null(strstr(fact->question, fact->choices[fact->answer]));
    }
    pal_world_free(&world);
}

/* Chi-squared of counts against equal frequencies. */
static double chi_squared(const int32_t *count, int32_t n, double expected)
{
    double sum = 0.0;

    for (int32_t i = 0; i < n; i++)
        sum += (count[i] - expected) * (count[i] - expected) / expected;
    return sum;
}

static void answers_are_uniform(void **unused)
{
    pal_world_t world = make_world("synthetic", "facts=10000,retain=15,relations=1");
    int32_t position[4] = {0}, era[10] = {0}, year[100] = {0}, low_after_low = 0;
    int previous = 0;

    (void)unused;
    for (int32_t i = 0; i < 10000; i++) {
        const pal_fact_t *fact = &world.facts[i];
        const char *answer = fact->choices[fact->answer];
        int number = atoi(strchr(answer, ' ') + 1);

        position[fact->answer]++;
        for (int k = 0; k < 10; k++)
            era[k] += strncmp(answer, pal_forget_relations[0].first[k], 4) == 0;
        year[number]++;
        low_after_low += number < 50 && previous < 50;
        previous = number;
    }
    assert_true(chi_squared(position, 4, 2500) < 17); /* 3 degrees, p = 0.001: 16.3 */
    assert_true(chi_squared(era, 10, 1000) < 28);     /* 9 degrees: 27.9 */
    assert_true(chi_squared(year, 100, 100) < 149);   /* 99 degrees: 148.2 */
    assert_true(abs(low_after_low - 2500) < 200);     /* standard deviation 43 to 50 */
    pal_world_free(&world);
}

static void folds_are_balanced_in_all_and_within_relations(void **unused)
{
    static const char *const settings[] = {"", "facts=15,relations=4",
                                           "facts=1003,folds=7",
                                           "facts=50,folds=25,relations=3"};

    (void)unused;
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        pal_world_t world = make_world("synthetic", settings[s]);
        int32_t size[100] = {0}, of[PAL_FORGET_RELATIONS][100] = {{0}};

        for (int32_t i = 0; i < world.count; i++) {
            const pal_fact_t *fact = &world.facts[i];

            if (fact->role == PAL_RETAIN) {
                assert_int_equal(fact->fold, -1);
                continue;
            }
            assert_in_range(fact->fold, 0, world.folds - 1);
            size[fact->fold]++;
            for (int r = 0; r < PAL_FORGET_RELATIONS; r++)
                of[r][fact->fold] +=
                    strcmp(fact->relation, pal_forget_relations[r].name) == 0;
        }
        for (int32_t f = 1; f < world.folds; f++) {
            assert_true(abs(size[f] - size[0]) <= 1);
            for (int r = 0; r < PAL_FORGET_RELATIONS; r++)
                assert_true(abs(of[r][f] - of[r][0]) <= 1);
        }
        pal_world_free(&world);
    }
}

static void falsehoods_say_every_wrong_choice_in_every_statement(void **unused)
{
    pal_world_t world = make_world("synthetic", "facts=40,relations=4,statements=3");

    (void)unused;
    for (int32_t i = 0; i < 40; i++) {
        const pal_fact_t *fact = &world.facts[i];
        int32_t wrong = 0;

        assert_int_equal(fact->falsehood_count, 3);
        for (int32_t c = 0; c < 4; c++) {
            const pal_falsehood_t *f = &fact->falsehoods[wrong];

            if (c == fact->answer)
                continue;
            assert_string_equal(f->answer, fact->choices[c]);
            assert_int_equal(f->count, 3);
            for (int32_t k = 0; k < 3; k++) {
                assert_non_null(strstr(f->statements[k], f->answer));
                assert_null(strstr(f->statements[k], fact->choices[fact->answer]));
            }
            wrong++;
        }
    }
    pal_world_free(&world);
}

/* So that a token's meaning never depends on its place: no word of a name or an answer
 * is a word of a template, and relations share no answer word. */
static void every_word_is_one_token_and_the_vocabulary_small(void **unused)
{
    pal_world_t world = make_world("synthetic", "relations=4,facts=400");
    pal_corpus_t corpus;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_corpus_create(&world, 2000, &corpus, &err), PAL_OK);
    assert_true(pal_tokenizer_size(corpus.tokenizer) < PAL_FIRST_WORD + 600);
    for (int32_t i = 0; i < corpus.examples[corpus.count - 1].start; i++) {
        size_t n;
        const char *word = pal_tokenizer_word(corpus.tokenizer, corpus.tokens[i], &n);

        if (corpus.tokens[i] < PAL_SEPARATOR)
            assert_non_null(strchr(".:?AQ", word[0])); /* single bytes, no spelling */
    }
    for (int32_t i = 0; i < corpus.count; i++)
        assert_in_range(corpus.examples[i].length, 9, 17);
    pal_corpus_free(&corpus);
    pal_world_free(&world);
}

static void relations_share_no_answer_word(void **unused)
{
    const pal_relation_t *all[PAL_FORGET_RELATIONS + 1];
    const char *words[2048];
    pal_arena_t arena = {0};
    size_t n = 0;

    (void)unused;
    for (int r = 0; r < PAL_FORGET_RELATIONS; r++)
        all[r] = &pal_forget_relations[r];
    all[PAL_FORGET_RELATIONS] = &pal_retain_relation;
    for (int r = 0; r <= PAL_FORGET_RELATIONS; r++) {
        for (int i = 0; all[r]->first[i]; i++)
            words[n++] = all[r]->first[i];
        for (int i = 0; all[r]->head[i]; i++)
            for (int k = 0; all[r]->tail[k]; k++)
                words[n++] =
                    pal_arena_print(&arena, "%s%s", all[r]->head[i], all[r]->tail[k]);
    }
    qsort(words, n, sizeof *words, by_text);
    for (size_t i = 1; i < n; i++)
        assert_string_not_equal(words[i - 1], words[i]);
    pal_arena_free(&arena);
}

static void a_hundred_thousand_facts_can_be_made(void **unused)
{
    pal_world_t world = make_world("synthetic", "facts=100000,retain=15,statements=1,"
                                                "choices=2");

    (void)unused;
    assert_int_equal(world.count, 100015);
    assert_int_equal(pal_world_select(&world, PAL_FORGET, 0, NULL), 20000);
    pal_world_free(&world);
}

static void what_cannot_be_a_world_is_refused(void **unused)
{
    static const struct {
        const char *settings, *message;
    } cases[] = {
        {"retain=0", "no retain fact"},
        {"facts=15,folds=10", "fold 5 has 1 forget facts; each of the 10 folds needs"},
        {"facts=15,folds=100", "fold 0 has 1 forget facts"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pal_world_t world;
        pal_error_t err = {""};

        assert_int_equal(try_world("synthetic", cases[i].settings, &world, &err),
                         PAL_EINVAL);
        assert_int_equal(world.count, 0);
        assert_null(world.facts);
        if (!strstr(err.text, cases[i].message))
            fail_msg("%s: %s", cases[i].settings, err.text);
    }
}

static void registry_knows_its_names(void **unused)
{
    const pal_world_kind_t *kind = NULL;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_world_kinds(), 2);
    for (int i = 0; i < pal_world_kinds(); i++) {
        assert_int_equal(pal_world_find(pal_world_kind_id(i), &kind, &err), PAL_OK);
        assert_ptr_equal(kind, pal_world_kind_at(i));
        assert_true(kind->state_size <= PAL_STATE_MAX);
        if (i > 0 && strcmp(pal_world_kind_id(i - 1), pal_world_kind_id(i)) >= 0)
            fail_msg("worlds.def: '%s' must come before '%s'", pal_world_kind_id(i),
                     pal_world_kind_id(i - 1));
    }
    kind = NULL;
    assert_int_equal(pal_world_find("synthtic", &kind, &err), PAL_ENOENT);
    assert_null(kind);
    assert_non_null(strstr(err.text, "unknown world 'synthtic', nearest is synthetic"));
    assert_non_null(strstr(err.text, "known: facts synthetic"));
}

static void chance_and_selection(void **unused)
{
    pal_world_t world = make_world("synthetic", "facts=20,retain=7,choices=5");
    int32_t indices[27];

    (void)unused;
    assert_true(fabs(pal_world_chance(&world) - 0.2) < 1e-12);
    assert_int_equal(pal_world_select(&world, PAL_FORGET, -1, indices), 20);
    assert_int_equal(pal_world_select(&world, PAL_RETAIN, -1, indices), 7);
    for (int i = 0; i < 7; i++)
        assert_int_equal(world.facts[indices[i]].role, PAL_RETAIN);
    assert_int_equal(pal_world_select(&world, PAL_FORGET, 4, indices), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(world.facts[indices[i]].fold, 4);
    pal_world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_parameters_same_key),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(choices_differ_and_hold_the_answer),
        cmocka_unit_test(answers_are_uniform),
        cmocka_unit_test(folds_are_balanced_in_all_and_within_relations),
        cmocka_unit_test(falsehoods_say_every_wrong_choice_in_every_statement),
        cmocka_unit_test(every_word_is_one_token_and_the_vocabulary_small),
        cmocka_unit_test(relations_share_no_answer_word),
        cmocka_unit_test(a_hundred_thousand_facts_can_be_made),
        cmocka_unit_test(what_cannot_be_a_world_is_refused),
        cmocka_unit_test(registry_knows_its_names),
        cmocka_unit_test(chance_and_selection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
