#include "world/pair.h"

static const int32_t *tokens_of(const pal_corpus_t *corpus, int32_t example)
{
    return corpus->tokens + corpus->examples[example].start;
}

static int32_t shorter_length(const pal_corpus_t *corpus, int32_t a, int32_t b)
{
    const pal_example_t *x = &corpus->examples[a], *y = &corpus->examples[b];

    return x->length < y->length ? x->length : y->length;
}

static int32_t common_beginning(const pal_corpus_t *corpus, int32_t a, int32_t b)
{
    const int32_t *x = tokens_of(corpus, a), *y = tokens_of(corpus, b);
    const int32_t most = shorter_length(corpus, a, b);
    int32_t n = 0;

    while (n < most && x[n] == y[n])
        n++;
    return n;
}

/* Tokens in common at both ends, none counted twice. */
static int32_t common_tokens(const pal_corpus_t *corpus, int32_t a, int32_t b)
{
    const int32_t *x = tokens_of(corpus, a) + corpus->examples[a].length - 1;
    const int32_t *y = tokens_of(corpus, b) + corpus->examples[b].length - 1;
    const int32_t beginning = common_beginning(corpus, a, b);
    const int32_t most = shorter_length(corpus, a, b) - beginning;
    int32_t n = 0;

    while (n < most && x[-n] == y[-n])
        n++;
    return beginning + n;
}

int32_t pal_pair_truth(const pal_corpus_t *corpus, int32_t example)
{
    const pal_example_t *e = &corpus->examples[example];
    const pal_fact_t *fact = &corpus->world->facts[e->fact];
    const int32_t first = corpus->first[e->fact];
    int32_t best = first, most = -1;

    if (e->form == PAL_QUESTION)
        return pal_corpus_question(corpus, e->fact, fact->answer);
    for (int32_t i = first; i < first + fact->statement_count; i++) {
        int32_t common = common_tokens(corpus, example, i);

        if (common > most) {
            most = common;
            best = i;
        }
    }
    return best;
}

int32_t pal_pair_parting(const pal_corpus_t *corpus, int32_t a, int32_t b)
{
    const int32_t last = shorter_length(corpus, a, b) - 1;
    const int32_t common = common_beginning(corpus, a, b);
    const int32_t parting = common < last ? common : last;

    return parting > 1 ? parting : 1;
}

/* The order of a stream depends on key, name and the number of entries alone. */
int pal_pair_streams(const pal_corpus_t *corpus, const pal_pool_t *pool,
                     const pal_pool_t *twins, int32_t batch, pal_key_t key,
                     const char *name, pal_stream_t **out, pal_stream_t **twin,
                     pal_error_t *err)
{
    pal_stream_t *made = NULL, *other = NULL;
    int rc = pal_stream_create(corpus, pool, batch, key, name, &made, err);

    if (rc == PAL_OK)
        rc = pal_stream_create(corpus, twins, batch, key, name, &other, err);
    if (rc != PAL_OK) {
        pal_stream_destroy(made);
        return rc;
    }
    for (int32_t i = 0; i < pool->count; i++) {
        int32_t at = pal_pair_parting(corpus, pool->examples[i], twins->examples[i]);

        pal_stream_predict_from(made, i, at);
        pal_stream_predict_from(other, i, at);
    }
    *out = made;
    *twin = other;
    return PAL_OK;
}
