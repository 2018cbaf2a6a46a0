#include "bench/choice.h"

#include <stdlib.h>

#include "eval/choice.h"
#include "model/loss.h"

enum { WHOLE_TOKENS = 2048, WHOLE_SEQUENCES = 1024 }; /* of a batch */

typedef struct {
    const pal_ground_t *ground;
    pal_pass_t *pass;
    pal_scorer_t *scorer;
    float *weights;
    int32_t *facts; /* 0, 1, ...: all */

    int32_t offsets[WHOLE_SEQUENCES + 1]; /* a batch of whole sequences */
    int32_t tokens[WHOLE_TOKENS];
    float counted[WHOLE_TOKENS];
    double nll[WHOLE_SEQUENCES];
    pal_batch_t batch;

    int rc; /* of the first call that failed */
    pal_error_t *err;
} choice_t;

static void score_branched(void *ctx)
{
    choice_t *c = ctx;
    double accuracy;

    if (c->rc == PAL_OK)
        c->rc = pal_scorer_run(c->scorer, c->pass, c->weights, c->facts,
                               c->ground->world.count, NULL, &accuracy, c->err);
}

static void score_batch(choice_t *c)
{
    if (c->rc == PAL_OK && c->batch.sequences > 0)
        c->rc = pal_forward(c->pass, c->weights, &c->batch, PAL_ALL_LAYERS, c->err);
    if (c->rc == PAL_OK && c->batch.sequences > 0)
        pal_loss_nll_sequences(c->pass, c->nll, NULL);
    c->batch.sequences = 0;
}

/* One more question with one choice; only the choice counts. */
static void append(choice_t *c, const pal_example_t *example)
{
    int32_t *offset = &c->offsets[c->batch.sequences];

    if (*offset + example->length > WHOLE_TOKENS ||
        c->batch.sequences == WHOLE_SEQUENCES) {
        score_batch(c);
        offset = c->offsets;
    }
    for (int32_t t = 0; t < example->length; t++) {
        c->tokens[*offset + t] = c->ground->corpus.tokens[example->start + t];
        c->counted[*offset + t] = t >= example->prompt;
    }
    offset[1] = *offset + example->length;
    c->batch.sequences++;
}

static void score_whole(void *ctx)
{
    choice_t *c = ctx;
    const pal_corpus_t *corpus = &c->ground->corpus;

    c->batch = (pal_batch_t){
        .offsets = c->offsets, .tokens = c->tokens, .weights = c->counted};
    for (int32_t fact = 0; fact < c->ground->world.count; fact++)
        for (int32_t i = 0; i < c->ground->world.facts[fact].choice_count; i++)
            append(c, &corpus->examples[pal_corpus_question(corpus, fact, i)]);
    score_batch(c);
}

static pal_timing_t per_fact(pal_timing_t timing, int32_t facts)
{
    return (pal_timing_t){timing.median / facts, timing.least / facts,
                          timing.most / facts, timing.repeats};
}

int pal_choice_time(const pal_ground_t *ground, const pal_layout_t *layout,
                    double seconds, pal_choice_result_t *result, pal_error_t *err)
{
    const int32_t facts = ground->world.count;
    choice_t *c = calloc(1, sizeof *c);
    int rc = PAL_OK;

    if (c) {
        c->ground = ground;
        c->err = err;
        c->weights = malloc((size_t)layout->count * sizeof *c->weights);
        c->facts = malloc((size_t)facts * sizeof *c->facts);
    }
    if (!c || !c->weights || !c->facts) {
        rc = PAL_FAIL(err, PAL_ENOMEM, "%lld weights", (long long)layout->count);
        goto out;
    }
    for (int32_t fact = 0; fact < facts; fact++)
        c->facts[fact] = fact;
    pal_layout_init(layout, (pal_key_t){{0}}, c->weights);
    rc = pal_pass_create(layout, &c->pass, err);
    if (rc == PAL_OK)
        rc = pal_scorer_create(&ground->corpus, &c->scorer, err);
    if (rc != PAL_OK)
        goto out;
    result->whole = per_fact(pal_timing_take(score_whole, c, seconds), facts);
    result->branched = per_fact(pal_timing_take(score_branched, c, seconds), facts);
    rc = c->rc;
out:
    if (c) {
        pal_scorer_destroy(c->scorer);
        pal_pass_destroy(c->pass);
        free(c->weights);
        free(c->facts);
    }
    free(c);
    return rc;
}
