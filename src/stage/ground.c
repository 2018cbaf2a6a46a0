#include <string.h>

#include "stage/stage.h"

enum { SMALLEST_CONTEXT = 32 };

static void measure_folds(pal_ground_t *ground)
{
    const pal_world_t *world = &ground->world;

    for (int32_t fold = 0; fold < world->folds; fold++) {
        int32_t facts = 0;

        for (int32_t i = 0; i < world->count; i++)
            facts += world->facts[i].role == PAL_FORGET && world->facts[i].fold == fold;
        ground->forget += facts;
        if (facts > ground->largest_fold)
            ground->largest_fold = facts;
    }
    ground->retain = world->count - ground->forget;
}

/* Mean tokens of a text of that form, and of them those that a batch computes: what
 * texts begin with in common counts once (model/share.h). 0 if there are none; length
 * may be NULL. */
static int measure_form(const pal_ground_t *ground, pal_form_t form, double *length,
                        double *tokens, pal_error_t *err)
{
    enum { MOST_TEXTS = 32, BATCHES = 8 };
    const pal_corpus_t *corpus = &ground->corpus;
    pal_stream_t *stream = NULL;
    pal_pool_t pool = {0};
    int32_t texts = MOST_TEXTS;
    int64_t computed = 0;
    int rc = PAL_OK;

    for (int32_t fact = 0; fact < ground->world.count && rc == PAL_OK; fact++)
        rc = pal_pool_add(&pool, corpus, fact, form, 1, err);
    if (pool.count < texts) /* or equal ones would be shared */
        texts = pool.count;
    if (rc == PAL_OK && texts > 0)
        rc = pal_stream_create(corpus, &pool, texts, ground->world.key, "measure",
                               &stream, err);
    for (int i = 0; i < BATCHES && rc == PAL_OK && stream; i++)
        computed += pal_batch_tokens(pal_stream_next_shared(stream));
    *tokens = texts > 0 ? (double)computed / texts / BATCHES : 0;
    if (length)
        *length = pal_pool_mean_length(&pool, corpus);
    pal_stream_destroy(stream);
    pal_pool_free(&pool);
    return rc;
}

/* What the facts are asked with (eval/choice.h). The right choice of every question is
 * among question_tokens; nothing is computed for the last token of a choice. */
static void measure_choices(pal_ground_t *ground)
{
    const pal_corpus_t *corpus = &ground->corpus;
    const double facts = ground->world.count;
    int64_t tokens = 0, choices = 0, others = 0;

    for (int32_t fact = 0; fact < ground->world.count; fact++) {
        const pal_fact_t *asked = &ground->world.facts[fact];

        for (int32_t c = 0; c < asked->choice_count; c++) {
            const pal_example_t *example =
                &corpus->examples[pal_corpus_question(corpus, fact, c)];
            const int32_t own = example->length - example->prompt;

            tokens += example->length;
            choices += own - (c > 0); /* the first tokens have one place before them */
            others += c == asked->answer ? 0 : own - 1;
        }
    }
    ground->asked_length = (double)tokens / facts;
    ground->asked_rows = (double)choices / facts;
    ground->asked_tokens = ground->question_tokens + (double)others / facts;
}

int pal_ground_create(const pal_world_spec_t *world, int64_t words,
                      pal_ground_t *ground, pal_error_t *err)
{
    int rc;

    memset(ground, 0, sizeof *ground);
    rc = pal_world_make(world->kind, world->state, &ground->world, err);
    if (rc == PAL_OK)
        rc = pal_corpus_create(&ground->world, (int32_t)words, &ground->corpus, err);
    if (rc == PAL_OK)
        rc = measure_form(ground, PAL_STATEMENT, &ground->statement_length,
                          &ground->statement_tokens, err);
    if (rc == PAL_OK)
        rc = measure_form(ground, PAL_QUESTION, NULL, &ground->question_tokens, err);
    if (rc != PAL_OK) {
        pal_ground_free(ground);
        return rc;
    }
    measure_folds(ground);
    measure_choices(ground);
    return PAL_OK;
}

void pal_ground_free(pal_ground_t *ground)
{
    pal_corpus_free(&ground->corpus);
    pal_world_free(&ground->world);
    memset(ground, 0, sizeof *ground);
}

int pal_base_shape(const pal_ground_t *ground, const pal_base_spec_t *spec,
                   pal_shape_t *shape, pal_error_t *err)
{
    int rc = pal_preset_find(spec->model.size, shape, err);

    if (rc != PAL_OK)
        return rc;
    shape->vocab = pal_tokenizer_size(ground->corpus.tokenizer);
    shape->context = ground->corpus.longest > SMALLEST_CONTEXT ? ground->corpus.longest
                                                               : SMALLEST_CONTEXT;
    return PAL_OK;
}

int pal_base_layout(const pal_ground_t *ground, const pal_base_spec_t *spec,
                    pal_layout_t **out, pal_error_t *err)
{
    pal_shape_t shape;
    int rc = pal_base_shape(ground, spec, &shape, err);

    return rc == PAL_OK ? pal_layout_create(&shape, out, err) : rc;
}

pal_precision_t pal_base_precision(const pal_base_spec_t *spec)
{
    return strcmp(spec->model.precision, pal_precision_names[PAL_BF16]) == 0 ? PAL_BF16
                                                                             : PAL_FP32;
}

int pal_unlearn_check(const pal_ground_t *ground, const pal_unlearn_spec_t *spec,
                      pal_error_t *err)
{
    if (spec->method->text == PAL_TRUE_TEXT ||
        strcmp(spec->common.format, "question") == 0)
        return PAL_OK;
    for (int32_t i = 0; i < ground->world.count; i++) {
        const pal_fact_t *fact = &ground->world.facts[i];

        if (fact->role == PAL_FORGET && fact->falsehood_count == 0)
            return PAL_REJECT(
                err,
                "method '%s' teaches wrong answers, but fact '%s' "
                "(line %d) has no false_statements and its answer stands in "
                "none of its statements",
                spec->id, fact->id, fact->line);
    }
    return PAL_OK;
}

static int check_adapter(const pal_unlearn_spec_t *spec, const pal_shape_t *shape,
                         pal_error_t *err)
{
    const pal_adapter_spec_t adapter = pal_unlearn_adapter(&spec->common);

    if (spec->method->edit || spec->method->adapter)
        return PAL_REJECT(err, "method '%s' %s: adapter %lld; it must be 0", spec->id,
                          spec->method->edit ? "changes the weights outright"
                                             : "has an adapter of its own",
                          (long long)spec->common.adapter);
    return pal_adapter_check(&adapter, shape, err);
}

int pal_unlearn_fits(const pal_ground_t *ground, const pal_base_spec_t *base,
                     const pal_unlearn_spec_t *spec, pal_error_t *err)
{
    const pal_unlearn_common_t *common = &spec->common;
    pal_shape_t shape;
    int rc = pal_base_shape(ground, base, &shape, err);

    if (rc == PAL_OK && common->adapter)
        rc = check_adapter(spec, &shape, err);
    if (rc == PAL_OK && spec->method->check)
        rc = spec->method->check(spec->state, &shape, common->recipe.steps,
                                 common->budget, err);
    return rc;
}

int pal_attack_check(const pal_ground_t *ground, const pal_attack_spec_t *spec,
                     pal_error_t *err)
{
    if (spec->common.holdout >= ground->world.folds)
        return PAL_REJECT(err, "holdout %lld, but the world has folds 0 to %d",
                          (long long)spec->common.holdout, ground->world.folds - 1);
    if (spec->attack->answer && spec->common.recipe.steps == 0)
        return PAL_REJECT(err,
                          "attack '%s' with steps 0 answers nothing: it needs at "
                          "least 1",
                          spec->id);
    return PAL_OK;
}

int pal_attack_fits(const pal_ground_t *ground, const pal_base_spec_t *base,
                    const pal_attack_spec_t *spec, pal_error_t *err)
{
    pal_shape_t shape;
    int rc;

    if (!spec->attack->check)
        return PAL_OK;
    rc = pal_base_shape(ground, base, &shape, err);
    return rc == PAL_OK ? spec->attack->check(spec->state, &shape, err) : rc;
}
