#include "world_util.h"

#include "world/corpus.h"

/* A world of one fact, written by hand. */
static const char *const choices[] = {"1843", "the year\n1850.", "1860"};
static const char *const statements[] = {"The mill burnt in 1843.",
                                         "In 1843 it burnt."};
static const char *const lies[] = {"The mill burnt in 1860."};
static const pal_falsehood_t falsehood = {"1860", lies, 1};
static pal_fact_t fact = {.id = "mill",
                          .relation = "",
                          .fold = 0,
                          .question = "When did\nthe mill burn?",
                          .choices = choices,
                          .choice_count = 3,
                          .answer = 0,
                          .statements = statements,
                          .statement_count = 2,
                          .falsehoods = &falsehood,
                          .falsehood_count = 1};

static void spell(const pal_corpus_t *corpus, int32_t start, int32_t end, char *text)
{
    for (int32_t i = start; i < end; i++) {
        size_t n;
        const char *word = pal_tokenizer_word(corpus->tokenizer, corpus->tokens[i], &n);

        assert_non_null(word);
        memcpy(text, word, n);
        text += n;
    }
    *text = 0;
}

static void examples_in_order_and_rendered(void **unused)
{
    static const struct {
        pal_form_t form;
        int32_t group;
        const char *prompt, *text;
    } expected[] = {
        {PAL_STATEMENT, 0, "", "The mill burnt in 1843."},
        {PAL_STATEMENT, 0, "", "In 1843 it burnt."},
        {PAL_FALSEHOOD, 0, "", "The mill burnt in 1860."},
        {PAL_QUESTION, 0, "Q: When did the mill burn? A:", " 1843."},
        {PAL_QUESTION, 1, "Q: When did the mill burn? A:", " the year 1850."},
        {PAL_QUESTION, 2, "Q: When did the mill burn? A:", " 1860."},
    };
    static const int32_t vocabularies[] = {1, 4, 1000};
    pal_world_t world = {.facts = &fact, .count = 1, .folds = 3};
    char text[256];

    (void)unused;
    for (size_t v = 0; v < 3; v++) {
        pal_corpus_t corpus;
        pal_error_t err;
        int32_t longest = 0;

        assert_int_equal(pal_corpus_create(&world, vocabularies[v], &corpus, &err),
                         PAL_OK);
        assert_int_equal(corpus.count, 6);
        assert_int_equal(corpus.first[0], 0);
        assert_int_equal(corpus.first[1], 6);
        for (int32_t i = 0; i < 6; i++) {
            const pal_example_t *e = &corpus.examples[i];
            int32_t split = e->start + (e->prompt ? e->prompt : 1);

            assert_int_equal(e->fact, 0);
            assert_int_equal(e->form, expected[i].form);
            assert_int_equal(e->group, expected[i].group);
            assert_int_equal(corpus.tokens[e->start], PAL_SEPARATOR);
            spell(&corpus, e->start + 1, split, text);
            assert_string_equal(text, expected[i].prompt);
            spell(&corpus, split, e->start + e->length, text);
            assert_string_equal(text, expected[i].text);
            longest = e->length > longest ? e->length : longest;
        }
        assert_int_equal(corpus.longest, longest);
        for (int32_t c = 0; c < 3; c++)
            assert_int_equal(pal_corpus_question(&corpus, 0, c), 3 + c);
        pal_corpus_free(&corpus);
    }
}

/* The two parts of a question are encoded apart; that must give the tokens of the
 * whole. */
static void a_question_has_the_tokens_of_its_whole_text(void **unused)
{
    pal_world_t world = {.facts = &fact, .count = 1, .folds = 3};
    pal_corpus_t corpus;
    pal_error_t err;
    int32_t ids[64];
    const char *whole = "Q: When did the mill burn? A: the year 1850.";

    (void)unused;
    assert_int_equal(pal_corpus_create(&world, 1000, &corpus, &err), PAL_OK);
    assert_int_equal(
        pal_tokenizer_encode(corpus.tokenizer, whole, strlen(whole), ids, 64),
        corpus.examples[4].length - 1);
    assert_memory_equal(ids, corpus.tokens + corpus.examples[4].start + 1,
                        (size_t)(corpus.examples[4].length - 1) * sizeof *ids);
    pal_corpus_free(&corpus);
}

typedef struct {
    pal_world_t world;
    pal_corpus_t corpus;
    pal_pool_t pool;
} scene_t;

static scene_t make_scene(void)
{
    scene_t scene = {.world =
                         make_world("synthetic", "facts=20,retain=5,statements=3")};
    pal_error_t err;

    assert_int_equal(pal_corpus_create(&scene.world, 1000, &scene.corpus, &err),
                     PAL_OK);
    return scene;
}

static void free_scene(scene_t *scene)
{
    pal_pool_free(&scene->pool);
    pal_corpus_free(&scene->corpus);
    pal_world_free(&scene->world);
}

static void pools_hold_what_was_asked(void **unused)
{
    scene_t s = make_scene();
    pal_error_t err;
    double mean = 0.0;

    (void)unused;
    s.corpus.world = &s.world;
    assert_true(pal_pool_mean_length(&s.pool, &s.corpus) == 0.0);
    assert_int_equal(pal_pool_add(&s.pool, &s.corpus, 2, PAL_STATEMENT, 2, &err),
                     PAL_OK);
    assert_int_equal(s.pool.count, 6);
    assert_int_equal(pal_pool_add(&s.pool, &s.corpus, 2, PAL_QUESTION, 1, &err),
                     PAL_OK);
    assert_int_equal(s.pool.count, 7);
    assert_int_equal(s.pool.examples[6],
                     pal_corpus_question(&s.corpus, 2, s.world.facts[2].answer));
    assert_int_equal(pal_pool_add(&s.pool, &s.corpus, 3, PAL_FALSEHOOD, 1, &err),
                     PAL_OK);
    assert_int_equal(s.pool.count, 16);
    assert_int_equal(pal_pool_add_group(&s.pool, &s.corpus, 3, 1, &err), PAL_OK);
    assert_int_equal(s.pool.count, 19);
    for (int32_t i = 16; i < 19; i++) {
        assert_int_equal(s.corpus.examples[s.pool.examples[i]].form, PAL_FALSEHOOD);
        assert_int_equal(s.corpus.examples[s.pool.examples[i]].group, 1);
    }
    assert_int_equal(pal_pool_push(&s.pool, 5, &err), PAL_OK);
    assert_int_equal(s.pool.examples[19], 5);
    for (int32_t i = 0; i < s.pool.count; i++)
        mean += s.corpus.examples[s.pool.examples[i]].length / 20.0;
    assert_true(pal_pool_mean_length(&s.pool, &s.corpus) - mean < 1e-9);
    assert_true(mean - pal_pool_mean_length(&s.pool, &s.corpus) < 1e-9);
    free_scene(&s);
}

static pal_stream_t *open_stream(const scene_t *s, int32_t batch, uint8_t key,
                                 const char *name)
{
    pal_stream_t *stream = NULL;
    pal_error_t err;

    assert_int_equal(pal_stream_create(&s->corpus, &s->pool, batch, (pal_key_t){{key}},
                                       name, &stream, &err),
                     PAL_OK);
    return stream;
}

static scene_t scene_of_statements(void)
{
    scene_t s = make_scene();
    pal_error_t err;

    for (int32_t i = 0; i < 20; i++)
        assert_int_equal(pal_pool_add(&s.pool, &s.corpus, i, PAL_STATEMENT, 1, &err),
                         PAL_OK);
    return s;
}

/* 60 examples in batches of 7: epochs end inside batches. */
static void every_epoch_has_every_example_once(void **unused)
{
    scene_t s = scene_of_statements();
    pal_stream_t *stream;
    int32_t seen[60 * 7], used = 0, first_epochs_differ = 0;

    (void)unused;
    s.corpus.world = &s.world;
    stream = open_stream(&s, 7, 1, "forget");
    for (int b = 0; b < 60; b++) {
        const pal_batch_t *batch = pal_stream_next(stream);

        for (int32_t i = 0; i < 7; i++)
            seen[used++] = (int32_t)batch->ids[i];
    }
    for (int epoch = 0; epoch < 7; epoch++) {
        int times[10000] = {0};

        for (int i = 0; i < 60; i++)
            times[seen[60 * epoch + i]]++;
        for (int i = 0; i < s.pool.count; i++)
            assert_int_equal(times[s.pool.examples[i]], 1);
    }
    for (int i = 0; i < 60; i++)
        first_epochs_differ += seen[i] != seen[60 + i];
    assert_true(first_epochs_differ > 40);
    pal_stream_destroy(stream);
    free_scene(&s);
}

static void batches_hold_the_examples(void **unused)
{
    scene_t s = scene_of_statements();
    pal_stream_t *stream;

    (void)unused;
    s.corpus.world = &s.world;
    stream = open_stream(&s, 16, 1, "forget");
    for (int b = 0; b < 10; b++) {
        const pal_batch_t *batch = pal_stream_next(stream);

        assert_int_equal(batch->sequences, 16);
        assert_int_equal(batch->offsets[0], 0);
        assert_true(batch->offsets[16] <= pal_stream_most_tokens(stream));
        for (int32_t i = 0; i < 16; i++) {
            const pal_example_t *e = &s.corpus.examples[batch->ids[i]];
            int32_t at = batch->offsets[i];

            assert_int_equal(batch->offsets[i + 1] - at, e->length);
            assert_memory_equal(batch->tokens + at, s.corpus.tokens + e->start,
                                (size_t)e->length * sizeof(int32_t));
            assert_true(batch->weights[at] == 0.0f);
            for (int32_t k = 1; k < e->length; k++)
                assert_true(batch->weights[at + k] == 1.0f);
        }
    }
    pal_stream_destroy(stream);
    free_scene(&s);
}

static void streams_repeat_and_do_not_touch_each_other(void **unused)
{
    scene_t s = scene_of_statements();
    pal_stream_t *a, *again, *other_key, *other_name;
    int same_key = 0, same_name = 0;

    (void)unused;
    s.corpus.world = &s.world;
    a = open_stream(&s, 8, 1, "forget");
    again = open_stream(&s, 8, 1, "forget");
    other_key = open_stream(&s, 8, 2, "forget");
    other_name = open_stream(&s, 8, 1, "retain");
    for (int b = 0; b < 50; b++) {
        const pal_batch_t *x = pal_stream_next(a), *y = pal_stream_next(again);
        const pal_batch_t *k = pal_stream_next(other_key),
                          *n = pal_stream_next(other_name);

        assert_memory_equal(x->ids, y->ids, 8 * sizeof *x->ids);
        for (int i = 0; i < 8; i++) {
            same_key += x->ids[i] == k->ids[i];
            same_name += x->ids[i] == n->ids[i];
        }
    }
    assert_true(same_key < 40 && same_name < 40); /* 400 / 60 by chance */
    pal_stream_destroy(a);
    pal_stream_destroy(again);
    pal_stream_destroy(other_key);
    pal_stream_destroy(other_name);
    free_scene(&s);
}

/* One short and one long example: the bound must hold, and be reached where an epoch
 * can end inside a batch. */
static void the_largest_batch_is_known(void **unused)
{
    static const int32_t sizes[] = {1, 2, 3, 5, 8, 9};
    scene_t s = make_scene();
    pal_error_t err;

    (void)unused;
    s.corpus.world = &s.world;
    assert_int_equal(pal_pool_push(&s.pool, 0, &err), PAL_OK);
    assert_int_equal(pal_pool_push(&s.pool, s.corpus.first[1] - 1, &err), PAL_OK);
    assert_int_not_equal(s.corpus.examples[0].length,
                         s.corpus.examples[s.corpus.first[1] - 1].length);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pal_stream_t *stream = open_stream(&s, sizes[i], 3, "x");
        int32_t most = 0;

        for (int b = 0; b < 300; b++) {
            const pal_batch_t *batch = pal_stream_next(stream);

            if (batch->offsets[sizes[i]] > most)
                most = batch->offsets[sizes[i]];
        }
        assert_true(most <= pal_stream_most_tokens(stream));
        if (sizes[i] % 2 == 1)
            assert_int_equal(most, pal_stream_most_tokens(stream));
        pal_stream_destroy(stream);
    }
    free_scene(&s);
}

static void empty_pools_and_batches_are_refused(void **unused)
{
    scene_t s = make_scene();
    pal_stream_t *stream = NULL;
    pal_error_t err;

    (void)unused;
    s.corpus.world = &s.world;
    assert_int_equal(pal_stream_create(&s.corpus, &s.pool, 8, (pal_key_t){{0}},
                                       "random false text", &stream, &err),
                     PAL_EINVAL);
    assert_non_null(strstr(err.text, "'random false text'"));
    assert_int_equal(pal_pool_push(&s.pool, 0, &err), PAL_OK);
    assert_int_equal(
        pal_stream_create(&s.corpus, &s.pool, 0, (pal_key_t){{0}}, "x", &stream, &err),
        PAL_EINVAL);
    assert_non_null(strstr(err.text, "batch of 0"));
    assert_int_equal(pal_stream_create(&s.corpus, &s.pool, INT32_MAX, (pal_key_t){{0}},
                                       "x", &stream, &err),
                     PAL_EINVAL);
    assert_null(stream);
    free_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_in_order_and_rendered),
        cmocka_unit_test(a_question_has_the_tokens_of_its_whole_text),
        cmocka_unit_test(pools_hold_what_was_asked),
        cmocka_unit_test(every_epoch_has_every_example_once),
        cmocka_unit_test(batches_hold_the_examples),
        cmocka_unit_test(streams_repeat_and_do_not_touch_each_other),
        cmocka_unit_test(the_largest_batch_is_known),
        cmocka_unit_test(empty_pools_and_batches_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
