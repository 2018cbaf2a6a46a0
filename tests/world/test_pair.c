#include "world/pair.h"
#include "world_util.h"

/* Answers of one and of two words, at the end and at the beginning, and lists of
 * falsehoods that are in another order than the statements, or have others. */
static const char *const choices[] = {"red", "dark blue", "red and green"};
static const char *const statements[] = {"The mill is red", "Red is the mill, he said.",
                                         "Painted red, it stands there."};
static const char *const blue[] = {"Painted dark blue, it stands there.",
                                   "The mill is dark blue", "Nobody lives there."};
static const char *const green[] = {"The mill is red and green"};
static const pal_falsehood_t falsehoods[] = {{"dark blue", blue, 3},
                                             {"red and green", green, 1}};
static const pal_fact_t fact = {.id = "mill",
                                .relation = "",
                                .question = "What colour has the mill?",
                                .choices = choices,
                                .choice_count = 3,
                                .answer = 0,
                                .statements = statements,
                                .statement_count = 3,
                                .falsehoods = falsehoods,
                                .falsehood_count = 2};

/* Examples 0 to 2 are statements, 3 to 6 falsehoods, 7 to 9 questions. */
static pal_corpus_t make_corpus(const pal_world_t *world)
{
    pal_corpus_t corpus;

    assert_int_equal(pal_corpus_create(world, 1000, &corpus, NULL), PAL_OK);
    assert_int_equal(corpus.count, 10);
    return corpus;
}

static void a_falsehood_finds_its_statement(void **unused)
{
    static const int32_t truth[] = {2, 0, 2, 0, 7, 7, 7}; /* of 3 to 9 */
    pal_world_t world = {.facts = (pal_fact_t *)&fact, .count = 1, .folds = 3};
    pal_corpus_t corpus = make_corpus(&world);

    (void)unused;
    for (int32_t i = 3; i < 10; i++)
        assert_int_equal(pal_pair_truth(&corpus, i), truth[i - 3]);
    pal_corpus_free(&corpus);
}

static void texts_part_at_the_answer(void **unused)
{
    pal_world_t world = {.facts = (pal_fact_t *)&fact, .count = 1, .folds = 3};
    pal_corpus_t corpus = make_corpus(&world);

    (void)unused;
    /* The separator, then "Painted". */
    assert_int_equal(pal_pair_parting(&corpus, 2, 3), 2);
    assert_int_equal(pal_pair_parting(&corpus, 3, 2), 2);
    /* The separator, "The", " mill", " is". */
    assert_int_equal(pal_pair_parting(&corpus, 0, 4), 4);
    /* The true one is the beginning of the other: its last token. */
    assert_int_equal(pal_pair_parting(&corpus, 0, 6), corpus.examples[0].length - 1);
    assert_int_equal(pal_pair_parting(&corpus, 0, 0), corpus.examples[0].length - 1);
    /* Nothing in common but the separator. */
    assert_int_equal(pal_pair_parting(&corpus, 2, 5), 1);
    /* Questions part at the choice. */
    assert_int_equal(pal_pair_parting(&corpus, 7, 8), corpus.examples[7].prompt);
    pal_corpus_free(&corpus);
}

/* Every false text of the world, and what is true instead. */
static void fill(const pal_corpus_t *corpus, pal_pool_t *pool, pal_pool_t *twins)
{
    for (int32_t i = 0; i < corpus->world->count; i++)
        assert_int_equal(pal_pool_add(twins, corpus, i, PAL_FALSEHOOD, 1, NULL),
                         PAL_OK);
    for (int32_t i = 0; i < twins->count; i++)
        assert_int_equal(
            pal_pool_push(pool, pal_pair_truth(corpus, twins->examples[i]), NULL),
            PAL_OK);
}

static void check_row(const pal_corpus_t *corpus, const pal_batch_t *batch, int32_t b,
                      int32_t parting)
{
    const pal_example_t *e = &corpus->examples[batch->ids[b]];
    const int32_t at = batch->offsets[b];

    assert_int_equal(batch->offsets[b + 1] - at, e->length);
    assert_memory_equal(batch->tokens + at, corpus->tokens + e->start,
                        (size_t)e->length * sizeof(int32_t));
    assert_in_range(parting, 1, e->length - 1);
    for (int32_t k = 0; k < e->length; k++)
        assert_true(batch->weights[at + k] == (k < parting ? 0.0f : 1.0f));
}

/* Batches of 7 do not divide the pool: epochs end inside batches. */
static void rows_are_twins(void **unused)
{
    pal_world_t world = make_world("synthetic", "facts=20,retain=5,statements=3");
    pal_pool_t pool = {0}, twins = {0};
    pal_stream_t *stream, *twin;
    pal_corpus_t corpus;

    (void)unused;
    assert_int_equal(pal_corpus_create(&world, 1000, &corpus, NULL), PAL_OK);
    fill(&corpus, &pool, &twins);
    assert_int_equal(twins.count, 20 * 3 * 3);
    assert_int_equal(pal_pair_streams(&corpus, &pool, &twins, 7, (pal_key_t){{1}},
                                      "forget", &stream, &twin, NULL),
                     PAL_OK);
    for (int i = 0; i < 100; i++) {
        const pal_batch_t *x = pal_stream_next(stream), *y = pal_stream_next(twin);

        for (int32_t b = 0; b < 7; b++) {
            const int32_t p = (int32_t)x->ids[b], q = (int32_t)y->ids[b];
            const int32_t parting = pal_pair_parting(&corpus, p, q);

            assert_int_equal(corpus.examples[p].fact, corpus.examples[q].fact);
            assert_int_equal(corpus.examples[p].form, PAL_STATEMENT);
            assert_int_equal(corpus.examples[q].form, PAL_FALSEHOOD);
            assert_int_equal(p, pal_pair_truth(&corpus, q));
            check_row(&corpus, x, b, parting);
            check_row(&corpus, y, b, parting);
        }
    }
    pal_stream_destroy(stream);
    pal_stream_destroy(twin);
    pal_pool_free(&pool);
    pal_pool_free(&twins);
    pal_corpus_free(&corpus);
    pal_world_free(&world);
}

/* Each true text of a synthetic world is paired with every wrong answer, in the same
 * words. */
static void synthetic_twins_differ_in_the_answer(void **unused)
{
    pal_world_t world = make_world("synthetic", "facts=20,retain=5,statements=6");
    pal_pool_t pool = {0}, twins = {0};
    pal_corpus_t corpus;

    (void)unused;
    assert_int_equal(pal_corpus_create(&world, 1000, &corpus, NULL), PAL_OK);
    fill(&corpus, &pool, &twins);
    for (int32_t i = 0; i < twins.count; i++) {
        const int32_t fact_number = corpus.examples[twins.examples[i]].fact;
        const int32_t number = i % 6; /* falsehoods are listed as the statements are */

        assert_int_equal(pool.examples[i], corpus.first[fact_number] + number);
    }
    pal_pool_free(&pool);
    pal_pool_free(&twins);
    pal_corpus_free(&corpus);
    pal_world_free(&world);
}

static void empty_pools_are_refused(void **unused)
{
    pal_world_t world = {.facts = (pal_fact_t *)&fact, .count = 1, .folds = 3};
    pal_corpus_t corpus = make_corpus(&world);
    pal_stream_t *stream = NULL, *twin = NULL;
    pal_pool_t pool = {0}, empty = {0};
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_pool_push(&pool, 0, NULL), PAL_OK);
    assert_int_equal(pal_pair_streams(&corpus, &pool, &empty, 2, (pal_key_t){{1}},
                                      "pairs", &stream, &twin, &err),
                     PAL_EINVAL);
    assert_non_null(strstr(err.text, "'pairs'"));
    assert_true(!stream && !twin);
    pal_pool_free(&pool);
    pal_corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_falsehood_finds_its_statement),
        cmocka_unit_test(texts_part_at_the_answer),
        cmocka_unit_test(rows_are_twins),
        cmocka_unit_test(synthetic_twins_differ_in_the_answer),
        cmocka_unit_test(empty_pools_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
