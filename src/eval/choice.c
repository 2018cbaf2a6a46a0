#include "eval/choice.h"

#include <math.h>
#include <stdlib.h>

#include "model/loss.h"
#include "model/share.h"

struct pal_scorer {
    const pal_corpus_t *corpus;
    int32_t *tokens, *offsets; /* a text for each choice of each fact of a batch */
    float *weights;
    pal_batch_t batch;
    pal_share_t *share;
    double *l;       /* NLL of each token of what is shared */
    int32_t *places; /* of a text among them */
    double *nll;     /* (texts) of the choice */
};

static int32_t choices_of(const pal_corpus_t *corpus, int32_t fact)
{
    return corpus->world->facts[fact].choice_count;
}

static const pal_example_t *question(const pal_corpus_t *corpus, int32_t fact,
                                     int32_t c)
{
    return &corpus->examples[pal_corpus_question(corpus, fact, c)];
}

static int32_t fact_tokens(const pal_corpus_t *corpus, int32_t fact)
{
    int32_t tokens = 0;

    for (int32_t c = 0; c < choices_of(corpus, fact); c++)
        tokens += question(corpus, fact, c)->length;
    return tokens;
}

int pal_scorer_create(const pal_corpus_t *corpus, pal_scorer_t **out, pal_error_t *err)
{
    pal_scorer_t *scorer = calloc(1, sizeof *scorer);
    int32_t most = PAL_SCORED_TOKENS;
    int rc;

    if (!scorer)
        return PAL_FAIL(err, PAL_ENOMEM, "no memory for a scorer");
    for (int32_t fact = 0; fact < corpus->world->count; fact++)
        if (fact_tokens(corpus, fact) > most)
            most = fact_tokens(corpus, fact);
    scorer->corpus = corpus;
    scorer->tokens = malloc((size_t)most * sizeof *scorer->tokens);
    scorer->offsets = malloc(((size_t)most + 1) * sizeof *scorer->offsets);
    scorer->weights = malloc((size_t)most * sizeof *scorer->weights);
    scorer->l = malloc((size_t)most * sizeof *scorer->l);
    scorer->places = malloc((size_t)corpus->longest * sizeof *scorer->places);
    scorer->nll = malloc((size_t)most * sizeof *scorer->nll);
    if (!scorer->tokens || !scorer->offsets || !scorer->weights || !scorer->l ||
        !scorer->places || !scorer->nll)
        rc = PAL_FAIL(err, PAL_ENOMEM, "scoring batch of %d tokens", most);
    else
        rc = pal_share_create(most, most, &scorer->share, err);
    if (rc != PAL_OK) {
        pal_scorer_destroy(scorer);
        return rc;
    }
    *out = scorer;
    return PAL_OK;
}

void pal_scorer_destroy(pal_scorer_t *scorer)
{
    if (!scorer)
        return;
    free(scorer->tokens);
    free(scorer->offsets);
    free(scorer->weights);
    free(scorer->l);
    free(scorer->places);
    free(scorer->nll);
    pal_share_destroy(scorer->share);
    free(scorer);
}

/* The question with each of its choices; only these count. */
static void append_fact(pal_scorer_t *scorer, int32_t fact)
{
    const pal_corpus_t *corpus = scorer->corpus;

    for (int32_t c = 0; c < choices_of(corpus, fact); c++) {
        const pal_example_t *example = question(corpus, fact, c);
        const int32_t b = scorer->batch.sequences++, at = scorer->offsets[b];

        for (int32_t t = 0; t < example->length; t++) {
            scorer->tokens[at + t] = corpus->tokens[example->start + t];
            scorer->weights[at + t] = t >= example->prompt;
        }
        scorer->offsets[b + 1] = at + example->length;
    }
}

/* Facts first .. until-1 that fit into one batch; at least one. */
static int32_t fill(pal_scorer_t *scorer, const int32_t *facts, int32_t first,
                    int32_t n)
{
    int32_t next = first, tokens = 0;

    scorer->batch = (pal_batch_t){.offsets = scorer->offsets,
                                  .tokens = scorer->tokens,
                                  .weights = scorer->weights};
    scorer->offsets[0] = 0;
    do {
        append_fact(scorer, facts[next]);
        tokens += fact_tokens(scorer->corpus, facts[next++]);
    } while (next < n &&
             tokens + fact_tokens(scorer->corpus, facts[next]) <= PAL_SCORED_TOKENS);
    return next;
}

/* scorer->nll of the texts that have just been through the pass. */
static void sum_choices(pal_scorer_t *scorer, pal_pass_t *pass)
{
    pal_loss_nll_tokens(pass, scorer->l);
    for (int32_t b = 0; b < scorer->batch.sequences; b++) {
        const int32_t start = scorer->offsets[b];
        const int32_t length = scorer->offsets[b + 1] - start;

        pal_share_text(scorer->share, b, scorer->places);
        scorer->nll[b] = 0.0;
        for (int32_t t = 0; t < length; t++)
            if (scorer->weights[start + t] > 0.0f)
                scorer->nll[b] += scorer->l[scorer->places[t]];
    }
}

static int is_right(const double *nll, int32_t choices, int32_t answer)
{
    for (int32_t c = 0; c < choices; c++)
        if (c != answer && !(nll[answer] < nll[c])) /* also when NaN */
            return 0;
    return 1;
}

static int check_edits(const pal_edit_t *edits, int32_t count, pal_error_t *err)
{
    for (int32_t i = 0; i < count; i++) {
        if (edits[i].kind == PAL_EDIT_GATE)
            return PAL_REJECT(err, "edit %d: a gate, which no answer notices", (int)i);
        if (edits[i].kind == PAL_EDIT_ADD && edits[i].rows != 1)
            return PAL_REJECT(
                err, "edit %d: a delta of %d rows; expected 1, the same at every token",
                (int)i, (int)edits[i].rows);
    }
    return PAL_OK;
}

int pal_scorer_run(pal_scorer_t *scorer, pal_pass_t *pass, const float *weights,
                   const int32_t *facts, int32_t n, uint8_t *right, double *accuracy,
                   pal_error_t *err)
{
    return pal_scorer_run_edited(scorer, pass, weights, NULL, 0, facts, n, right,
                                 accuracy, err);
}

int pal_scorer_run_edited(pal_scorer_t *scorer, pal_pass_t *pass, const float *weights,
                          const pal_edit_t *edits, int32_t count, const int32_t *facts,
                          int32_t n, uint8_t *right, double *accuracy, pal_error_t *err)
{
    const pal_world_t *world = scorer->corpus->world;
    int64_t yeses = 0;
    int rc = check_edits(edits, count, err);

    if (rc != PAL_OK)
        return rc;
    for (int32_t first = 0, until; first < n; first = until) {
        const double *nll = scorer->nll;

        until = fill(scorer, facts, first, n);
        rc = pal_forward_edited(pass, weights,
                                pal_share_batch(scorer->share, &scorer->batch),
                                PAL_ALL_LAYERS, edits, count, err);
        if (rc != PAL_OK)
            return rc;
        sum_choices(scorer, pass);
        for (int32_t i = first; i < until; i++) {
            const pal_fact_t *fact = &world->facts[facts[i]];
            int yes = is_right(nll, fact->choice_count, fact->answer);

            if (right)
                right[i] = (uint8_t)yes;
            yeses += yes;
            nll += fact->choice_count;
        }
    }
    *accuracy = n ? (double)yeses / n : NAN;
    return PAL_OK;
}
