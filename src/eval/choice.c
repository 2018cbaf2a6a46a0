#include "eval/choice.h"

#include <math.h>
#include <stdlib.h>

#include "model/loss.h"

struct pal_scorer {
    const pal_corpus_t *corpus;
    int32_t token_capacity, sequence_capacity;
    int32_t *tokens, *offsets, *stems;
    float *weights;
    double *nll;       /* one per sequence */
    pal_batch_t batch; /* what is filled so far */
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

/* Tokens of a fact: the question once, and all choices. */
static int32_t fact_tokens(const pal_corpus_t *corpus, int32_t fact)
{
    int32_t tokens = question(corpus, fact, 0)->prompt;

    for (int32_t c = 0; c < choices_of(corpus, fact); c++)
        tokens += question(corpus, fact, c)->length - question(corpus, fact, c)->prompt;
    return tokens;
}

int pal_scorer_create(const pal_corpus_t *corpus, pal_scorer_t **out, pal_error_t *err)
{
    pal_scorer_t *scorer = calloc(1, sizeof *scorer);
    int32_t most = PAL_SCORED_TOKENS;

    if (!scorer)
        goto fail;
    for (int32_t fact = 0; fact < corpus->world->count; fact++)
        if (fact_tokens(corpus, fact) > most)
            most = fact_tokens(corpus, fact);
    scorer->corpus = corpus;
    scorer->token_capacity = scorer->sequence_capacity = most;
    scorer->tokens = malloc((size_t)most * sizeof *scorer->tokens);
    scorer->offsets = malloc(((size_t)most + 1) * sizeof *scorer->offsets);
    scorer->stems = malloc((size_t)most * sizeof *scorer->stems);
    scorer->weights = malloc((size_t)most * sizeof *scorer->weights);
    scorer->nll = malloc((size_t)most * sizeof *scorer->nll);
    if (!scorer->tokens || !scorer->offsets || !scorer->stems || !scorer->weights ||
        !scorer->nll)
        goto fail;
    *out = scorer;
    return PAL_OK;
fail:
    pal_scorer_destroy(scorer);
    return PAL_FAIL(err, PAL_ENOMEM, "scoring batch of %d tokens", most);
}

void pal_scorer_destroy(pal_scorer_t *scorer)
{
    if (!scorer)
        return;
    free(scorer->tokens);
    free(scorer->offsets);
    free(scorer->stems);
    free(scorer->weights);
    free(scorer->nll);
    free(scorer);
}

/* One more sequence: tokens [from, to) of an example, all of one weight. */
static void append(pal_scorer_t *scorer, const pal_example_t *example, int32_t from,
                   int32_t to, int32_t stem, float weight)
{
    int32_t b = scorer->batch.sequences++, at = scorer->offsets[b];

    for (int32_t t = from; t < to; t++, at++) {
        scorer->tokens[at] = scorer->corpus->tokens[example->start + t];
        scorer->weights[at] = weight;
    }
    scorer->stems[b] = stem;
    scorer->offsets[b + 1] = at;
}

/* The question once, then each choice as a branch of it; only the choices count. */
static void append_fact(pal_scorer_t *scorer, int32_t fact)
{
    const pal_example_t *first = question(scorer->corpus, fact, 0);
    int32_t stem = scorer->batch.sequences;

    append(scorer, first, 0, first->prompt, -1, 0);
    for (int32_t c = 0; c < choices_of(scorer->corpus, fact); c++) {
        const pal_example_t *example = question(scorer->corpus, fact, c);

        append(scorer, example, example->prompt, example->length, stem, 1);
    }
}

/* Facts first .. until-1 that fit into one batch; at least one. */
static int32_t fill(pal_scorer_t *scorer, const int32_t *facts, int32_t first,
                    int32_t n)
{
    int32_t next = first, tokens = 0;

    scorer->batch = (pal_batch_t){.offsets = scorer->offsets,
                                  .tokens = scorer->tokens,
                                  .stems = scorer->stems,
                                  .weights = scorer->weights};
    scorer->offsets[0] = 0;
    while (next < n) {
        int32_t more = fact_tokens(scorer->corpus, facts[next]);

        if (next > first && tokens + more > PAL_SCORED_TOKENS)
            break;
        append_fact(scorer, facts[next++]);
        tokens += more;
    }
    return next;
}

static int is_right(const double *nll, int32_t choices, int32_t answer)
{
    for (int32_t c = 0; c < choices; c++)
        if (c != answer && !(nll[answer] < nll[c])) /* also when NaN */
            return 0;
    return 1;
}

int pal_scorer_run(pal_scorer_t *scorer, pal_pass_t *pass, const float *weights,
                   const int32_t *facts, int32_t n, uint8_t *right, double *accuracy,
                   pal_error_t *err)
{
    const pal_world_t *world = scorer->corpus->world;
    int64_t count = 0;

    for (int32_t first = 0, until; first < n; first = until) {
        const double *nll = scorer->nll;
        int rc;

        until = fill(scorer, facts, first, n);
        rc = pal_forward(pass, weights, &scorer->batch, PAL_ALL_LAYERS, err);
        if (rc != PAL_OK)
            return rc;
        pal_loss_nll_sequences(pass, scorer->nll, NULL);
        for (int32_t i = first; i < until; i++) {
            const pal_fact_t *fact = &world->facts[facts[i]];
            int yes = is_right(nll + 1, fact->choice_count, fact->answer);

            if (right)
                right[i] = (uint8_t)yes;
            count += yes;
            nll += 1 + fact->choice_count;
        }
    }
    *accuracy = n ? (double)count / n : NAN;
    return PAL_OK;
}
