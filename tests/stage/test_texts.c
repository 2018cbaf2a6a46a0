/* Methods that are a sum of NLLs: of which texts, with which sign. Batches hold each
 * text equally often, so the loss of the first step is known from the world alone, and
 * a small step of SGD has to move the NLL of the forget text. */
#include "model/loss.h"
#include "stage/lab.h"
#include "toy.h"

typedef enum { TRUTH, EVERY_LIE, ONE_LIE } told_t;

/* As the engine draws the one wrong answer of each fact. */
static void tell(const fixture_t *f, told_t told, pal_pool_t *pool)
{
    const pal_corpus_t *corpus = &f->ground.corpus;
    pal_rng_t rng;

    pal_rng_init(&rng, f->base_key, "fixed wrong answer");
    for (int32_t i = 0; i < f->ground.world.count; i++) {
        const pal_fact_t *fact = &f->ground.world.facts[i];

        if (fact->role != PAL_FORGET)
            continue;
        if (told == ONE_LIE)
            assert_int_equal(
                pal_pool_add_group(
                    pool, corpus, i,
                    (int32_t)pal_rng_below(&rng, (uint32_t)fact->falsehood_count),
                    NULL),
                PAL_OK);
        else
            assert_int_equal(pal_pool_add(pool, corpus, i,
                                          told == TRUTH ? PAL_STATEMENT : PAL_FALSEHOOD,
                                          1, NULL),
                             PAL_OK);
    }
}

/* Two copies of the questions, as the base has them. */
static void tell_retain(const fixture_t *f, pal_pool_t *pool)
{
    const pal_corpus_t *corpus = &f->ground.corpus;

    for (int32_t i = 0; i < f->ground.world.count; i++)
        if (f->ground.world.facts[i].role == PAL_RETAIN) {
            assert_int_equal(pal_pool_add(pool, corpus, i, PAL_STATEMENT, 1, NULL),
                             PAL_OK);
            assert_int_equal(pal_pool_add(pool, corpus, i, PAL_QUESTION, 2, NULL),
                             PAL_OK);
        }
}

/* Over the tokens of all of them. */
static double nll(fixture_t *f, const pal_pool_t *pool, const float *weights)
{
    pal_stream_t *stream;
    double mean;

    assert_int_equal(pal_stream_create(&f->ground.corpus, pool, pool->count,
                                       f->base_key, "all", &stream, NULL),
                     PAL_OK);
    assert_int_equal(pal_forward(f->lab->pass, weights, pal_stream_next(stream),
                                 PAL_ALL_LAYERS, NULL),
                     PAL_OK);
    mean = pal_loss_nll(f->lab->pass, 0);
    pal_stream_destroy(stream);
    return mean;
}

static const struct {
    const char *id;
    told_t told;
    double sign;
} cases[] = {{"gd", TRUTH, -1}, {"ria", EVERY_LIE, 1}, {"fwf", ONE_LIE, 1}};

static void check(fixture_t *f, int k, const pal_pool_t *retain, float *weights)
{
    pal_unlearn_spec_t spec = unlearn_spec(cases[k].id);
    pal_unlearn_spec_t plain = toy_spec(spec.method, "0.02");
    pal_pool_t forget = {0};
    double before, right, loss, moved;

    tell(f, cases[k].told, &forget);
    spec.common = plain.common;
    spec.common.recipe.batch = 0;
    spec.common.coefficient = 3;
    do
        spec.common.recipe.batch += forget.count;
    while (spec.common.recipe.batch % retain->count != 0);
    before = nll(f, &forget, f->start);
    right = cases[k].sign * 3 * before + nll(f, retain, f->start);
    loss = run_toy(f, &spec, weights).loss;
    moved = nll(f, &forget, weights) - before;
    if (fabs(loss - right) > 1e-5 * fabs(right) || moved * cases[k].sign > -1e-3)
        fail_msg("%s: loss %g, not %g; the step moves the NLL by %g", cases[k].id, loss,
                 right, moved);
    pal_pool_free(&forget);
}

static void texts_and_signs_are_the_published_ones(void **state)
{
    fixture_t *f = *state;
    float *weights = malloc(weight_bytes(f));
    pal_pool_t retain = {0};

    tell_retain(f, &retain);
    for (int k = 0; k < (int)(sizeof cases / sizeof *cases); k++)
        check(f, k, &retain, weights);
    pal_pool_free(&retain);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_and_signs_are_the_published_ones),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
