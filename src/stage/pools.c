#include "stage/pools.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "world/pair.h"

/* The shuffle of one fold; facts[0..n) are its fact numbers. */
static void teach_fold(const pal_base_spec_t *spec, pal_rng_t *rng, int32_t *facts,
                       int32_t n, uint8_t *taught)
{
    int32_t known = (int32_t)lround(spec->pretrain.taught * n);

    pal_rng_shuffle(rng, facts, n);
    for (int32_t i = 0; i < n; i++)
        taught[facts[i]] = i < known;
}

int pal_base_taught(const pal_ground_t *ground, const pal_base_spec_t *spec,
                    uint8_t *taught, pal_error_t *err)
{
    const pal_world_t *world = &ground->world;
    int32_t *facts = malloc((size_t)world->count * sizeof *facts);
    pal_hash_t hash;
    pal_rng_t rng;

    if (!facts)
        return PAL_FAIL(err, PAL_ENOMEM, "%d facts", world->count);
    pal_hash_begin(&hash);
    pal_hash_key(&hash, world->key);
    pal_hash_print(&hash, "seed=%lld", (long long)spec->seed);
    pal_rng_init(&rng, pal_hash_end(&hash), "taught");
    for (int32_t i = 0; i < world->count; i++)
        taught[i] = world->facts[i].role == PAL_RETAIN;
    for (int32_t fold = 0; fold < world->folds; fold++) {
        int32_t n = pal_world_select(world, PAL_FORGET, fold, facts);

        teach_fold(spec, &rng, facts, n, taught);
    }
    free(facts);
    return PAL_OK;
}

int pal_pool_retain(const pal_ground_t *ground, const pal_base_spec_t *spec,
                    pal_pool_t *pool, pal_error_t *err)
{
    const pal_corpus_t *corpus = &ground->corpus;
    int rc = PAL_OK;

    for (int32_t i = 0; i < ground->world.count && rc == PAL_OK; i++) {
        if (ground->world.facts[i].role != PAL_RETAIN)
            continue;
        rc = pal_pool_add(pool, corpus, i, PAL_STATEMENT, 1, err);
        if (rc == PAL_OK)
            rc = pal_pool_add(pool, corpus, i, PAL_QUESTION,
                              (int32_t)spec->pretrain.questions, err);
    }
    return rc;
}

int pal_pool_pretrain(const pal_ground_t *ground, const pal_base_spec_t *spec,
                      pal_pool_t *pool, pal_error_t *err)
{
    uint8_t *taught = malloc((size_t)ground->world.count);
    int rc;

    if (!taught)
        return PAL_FAIL(err, PAL_ENOMEM, "%d facts", ground->world.count);
    rc = pal_base_taught(ground, spec, taught, err);
    if (rc == PAL_OK)
        rc = pal_pool_retain(ground, spec, pool, err);
    for (int32_t i = 0; i < ground->world.count && rc == PAL_OK; i++)
        if (ground->world.facts[i].role == PAL_FORGET && taught[i])
            rc = pal_pool_add(pool, &ground->corpus, i, PAL_STATEMENT, 1, err);
    free(taught);
    return rc;
}

/* The question with every wrong choice, or with the wrong choice number `only`. */
static int add_wrong_questions(const pal_corpus_t *corpus, int32_t fact, int32_t only,
                               pal_pool_t *pool, pal_error_t *err)
{
    const pal_fact_t *f = &corpus->world->facts[fact];
    int rc = PAL_OK;

    for (int32_t c = 0, wrong = 0; c < f->choice_count && rc == PAL_OK; c++) {
        if (c == f->answer)
            continue;
        if (only < 0 || wrong == only)
            rc = pal_pool_push(pool, pal_corpus_question(corpus, fact, c), err);
        wrong++;
    }
    return rc;
}

/* Statements of every wrong answer, or of the one numbered `only`. */
static int add_falsehoods(const pal_corpus_t *corpus, int32_t fact, int32_t only,
                          pal_pool_t *pool, pal_error_t *err)
{
    int rc = PAL_OK;

    if (only >= 0)
        return pal_pool_add_group(pool, corpus, fact, only, err);
    for (int32_t g = 0; g < corpus->world->facts[fact].falsehood_count && rc == PAL_OK;
         g++)
        rc = pal_pool_add_group(pool, corpus, fact, g, err);
    return rc;
}

int pal_pool_forget(const pal_ground_t *ground, const pal_unlearn_spec_t *spec,
                    pal_key_t key, pal_pool_t *pool, pal_error_t *err)
{
    const pal_corpus_t *corpus = &ground->corpus;
    int question = strcmp(spec->common.format, "question") == 0;
    pal_forget_text_t text = spec->method->text;
    pal_rng_t rng;
    int rc = PAL_OK;

    pal_rng_init(&rng, key, "fixed wrong answer");
    for (int32_t i = 0; i < ground->world.count && rc == PAL_OK; i++) {
        const pal_fact_t *fact = &ground->world.facts[i];
        int32_t wrong = question ? fact->choice_count - 1 : fact->falsehood_count;
        int32_t only = -1;

        if (fact->role != PAL_FORGET)
            continue;
        if (text == PAL_FIXED_FALSE)
            only = (int32_t)pal_rng_below(&rng, (uint32_t)wrong);
        if (text == PAL_TRUE_TEXT)
            rc = pal_pool_add(pool, corpus, i, question ? PAL_QUESTION : PAL_STATEMENT,
                              1, err);
        else if (question)
            rc = add_wrong_questions(corpus, i, only, pool, err);
        else
            rc = add_falsehoods(corpus, i, only, pool, err);
    }
    return rc;
}

/* What is true instead of each entry of twins. */
static int add_truths(const pal_corpus_t *corpus, const pal_pool_t *twins,
                      pal_pool_t *pool, pal_error_t *err)
{
    int rc = PAL_OK;

    for (int32_t i = 0; i < twins->count && rc == PAL_OK; i++)
        rc = pal_pool_push(pool, pal_pair_truth(corpus, twins->examples[i]), err);
    return rc;
}

int pal_forget_streams(const pal_ground_t *ground, const pal_unlearn_spec_t *spec,
                       pal_key_t key, pal_stream_t **forget, pal_stream_t **twin,
                       pal_error_t *err)
{
    static const char name[] = "forget";
    const pal_corpus_t *corpus = &ground->corpus;
    const int32_t batch = (int32_t)spec->common.recipe.batch;
    pal_pool_t pool = {0}, truths = {0};
    int rc = pal_pool_forget(ground, spec, key, &pool, err);

    *twin = NULL;
    if (rc == PAL_OK && spec->method->text == PAL_PAIRED) {
        rc = add_truths(corpus, &pool, &truths, err);
        if (rc == PAL_OK)
            rc = pal_pair_streams(corpus, &truths, &pool, batch, key, name, forget,
                                  twin, err);
    } else if (rc == PAL_OK) {
        rc = pal_stream_create(corpus, &pool, batch, key, name, forget, err);
    }
    pal_pool_free(&pool);
    pal_pool_free(&truths);
    return rc;
}

int pal_pool_known(const pal_ground_t *ground, const pal_attack_spec_t *spec,
                   pal_pool_t *pool, pal_error_t *err)
{
    int32_t dev = pal_dev_fold(spec, ground->world.folds);
    int rc = PAL_OK;

    for (int32_t i = 0; i < ground->world.count && rc == PAL_OK; i++) {
        const pal_fact_t *fact = &ground->world.facts[i];

        if (fact->role == PAL_FORGET && fact->fold != spec->common.holdout &&
            fact->fold != dev)
            rc = pal_pool_add(pool, &ground->corpus, i, PAL_QUESTION, 1, err);
    }
    return rc;
}
