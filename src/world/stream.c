#include <stdlib.h>
#include <string.h>

#include "model/share.h"
#include "world/corpus.h"

/* --- Pools --- */

int pal_pool_push(pal_pool_t *pool, int32_t example, pal_error_t *err)
{
    if (pool->count == pool->capacity) {
        int32_t capacity = pool->capacity ? pool->capacity : 32;
        int32_t *grown = NULL;

        if (capacity <= INT32_MAX / 2)
            grown = realloc(pool->examples, 2 * (size_t)capacity * sizeof *grown);
        if (!grown)
            return PAL_FAIL(err, PAL_ENOMEM, "a pool of more than %d examples",
                            capacity);
        pool->examples = grown;
        pool->capacity = 2 * capacity;
    }
    pool->examples[pool->count++] = example;
    return PAL_OK;
}

static int belongs(const pal_corpus_t *corpus, int32_t example, pal_form_t form)
{
    const pal_example_t *e = &corpus->examples[example];

    return e->form == form &&
           (form != PAL_QUESTION || e->group == corpus->world->facts[e->fact].answer);
}

int pal_pool_add(pal_pool_t *pool, const pal_corpus_t *corpus, int32_t fact,
                 pal_form_t form, int32_t copies, pal_error_t *err)
{
    int32_t kept = pool->count;

    for (int32_t i = corpus->first[fact]; i < corpus->first[fact + 1]; i++) {
        if (!belongs(corpus, i, form))
            continue;
        for (int32_t copy = 0; copy < copies; copy++) {
            int rc = pal_pool_push(pool, i, err);

            if (rc != PAL_OK) {
                pool->count = kept;
                return rc;
            }
        }
    }
    return PAL_OK;
}

int pal_pool_add_group(pal_pool_t *pool, const pal_corpus_t *corpus, int32_t fact,
                       int32_t group, pal_error_t *err)
{
    int32_t kept = pool->count;

    for (int32_t i = corpus->first[fact]; i < corpus->first[fact + 1]; i++) {
        int rc;

        if (!belongs(corpus, i, PAL_FALSEHOOD) || corpus->examples[i].group != group)
            continue;
        rc = pal_pool_push(pool, i, err);
        if (rc != PAL_OK) {
            pool->count = kept;
            return rc;
        }
    }
    return PAL_OK;
}

void pal_pool_free(pal_pool_t *pool)
{
    free(pool->examples);
    memset(pool, 0, sizeof *pool);
}

double pal_pool_mean_length(const pal_pool_t *pool, const pal_corpus_t *corpus)
{
    double sum = 0.0;

    for (int32_t i = 0; i < pool->count; i++)
        sum += corpus->examples[pool->examples[i]].length;
    return pool->count ? sum / pool->count : 0.0;
}

/* --- Streams --- */

struct pal_stream {
    const pal_corpus_t *corpus;
    pal_rng_t rng;
    int32_t *examples; /* (count) the pool */
    int32_t *from;     /* (count) first token of each that is predicted */
    int32_t *order;    /* (count) places in the pool, in this epoch's order */
    int32_t count, next;
    int32_t most; /* tokens of the largest possible batch */
    int32_t *offsets, *tokens;
    float *weights;
    int64_t *ids;
    pal_batch_t batch;
    pal_share_t *share;
};

static int by_falling_length(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x < y) - (x > y);
}

/* A batch is a window of permutations laid end to end. It touches at most (batch - 2) /
 * count + 2 of them, so no example is in it more often; the largest one holds the
 * longest examples that often. -1: out of memory. */
static int64_t most_tokens(const pal_corpus_t *corpus, const pal_pool_t *pool,
                           int32_t batch)
{
    int32_t times = batch == 1 ? 1 : (batch - 2) / pool->count + 2;
    int32_t *length = malloc((size_t)pool->count * sizeof *length);
    int64_t most = 0;

    if (!length)
        return -1;
    for (int32_t i = 0; i < pool->count; i++)
        length[i] = corpus->examples[pool->examples[i]].length;
    qsort(length, (size_t)pool->count, sizeof *length, by_falling_length);
    for (int32_t i = 0; batch > 0; i++) {
        int32_t taken = times < batch ? times : batch;

        most += (int64_t)taken * length[i];
        batch -= taken;
    }
    free(length);
    return most;
}

static int allocate(pal_stream_t *stream, int32_t batch)
{
    size_t most = (size_t)stream->most;

    stream->examples = malloc((size_t)stream->count * sizeof *stream->examples);
    stream->from = malloc((size_t)stream->count * sizeof *stream->from);
    stream->order = malloc((size_t)stream->count * sizeof *stream->order);
    stream->offsets = calloc((size_t)batch + 1, sizeof *stream->offsets);
    stream->ids = calloc((size_t)batch, sizeof *stream->ids);
    stream->tokens = calloc(most, sizeof *stream->tokens);
    stream->weights = calloc(most, sizeof *stream->weights);
    return stream->examples && stream->from && stream->order && stream->offsets &&
                   stream->ids && stream->tokens && stream->weights
               ? 0
               : -1;
}

int pal_stream_create(const pal_corpus_t *corpus, const pal_pool_t *pool, int32_t batch,
                      pal_key_t key, const char *name, pal_stream_t **out,
                      pal_error_t *err)
{
    pal_stream_t *stream;
    int64_t most;

    if (pool->count < 1)
        return PAL_REJECT(err, "stream '%s': there is no text to draw from", name);
    if (batch < 1)
        return PAL_REJECT(err, "stream '%s': batch of %d; at least 1", name, batch);
    most = most_tokens(corpus, pool, batch);
    if (most > INT32_MAX)
        return PAL_REJECT(err,
                          "stream '%s': a batch of %d may have %lld tokens; at most %d",
                          name, batch, (long long)most, INT32_MAX);
    stream = most < 0 ? NULL : calloc(1, sizeof *stream);
    if (stream) {
        stream->corpus = corpus;
        stream->count = stream->next = pool->count;
        stream->most = (int32_t)most;
    }
    if (!stream || allocate(stream, batch) < 0 ||
        pal_share_create((int32_t)most, batch, &stream->share, NULL) != PAL_OK) {
        pal_stream_destroy(stream);
        return PAL_FAIL(err, PAL_ENOMEM, "stream '%s'", name);
    }
    pal_rng_init(&stream->rng, key, name);
    for (int32_t i = 0; i < pool->count; i++) {
        stream->examples[i] = pool->examples[i];
        stream->from[i] = 1;
        stream->order[i] = i;
    }
    stream->batch = (pal_batch_t){.sequences = batch,
                                  .offsets = stream->offsets,
                                  .tokens = stream->tokens,
                                  .weights = stream->weights,
                                  .ids = stream->ids};
    *out = stream;
    return PAL_OK;
}

void pal_stream_destroy(pal_stream_t *stream)
{
    if (!stream)
        return;
    free(stream->examples);
    free(stream->from);
    free(stream->order);
    free(stream->offsets);
    free(stream->tokens);
    free(stream->weights);
    free(stream->ids);
    pal_share_destroy(stream->share);
    free(stream);
}

void pal_stream_predict_from(pal_stream_t *stream, int32_t entry, int32_t from)
{
    stream->from[entry] = from;
}

static int32_t draw(pal_stream_t *stream)
{
    if (stream->next == stream->count) {
        pal_rng_shuffle(&stream->rng, stream->order, stream->count);
        stream->next = 0;
    }
    return stream->order[stream->next++];
}

const pal_batch_t *pal_stream_next(pal_stream_t *stream)
{
    int32_t used = 0;

    for (int32_t i = 0; i < stream->batch.sequences; i++) {
        const int32_t place = draw(stream), number = stream->examples[place];
        const pal_example_t *example = &stream->corpus->examples[number];

        memcpy(stream->tokens + used, stream->corpus->tokens + example->start,
               (size_t)example->length * sizeof *stream->tokens);
        for (int32_t k = 0; k < example->length; k++)
            stream->weights[used + k] = k >= stream->from[place] ? 1.0f : 0.0f;
        stream->ids[i] = number;
        used += example->length;
        stream->offsets[i + 1] = used;
    }
    return &stream->batch;
}

const pal_batch_t *pal_stream_next_shared(pal_stream_t *stream)
{
    return pal_share_batch(stream->share, pal_stream_next(stream));
}

int32_t pal_stream_sequences(const pal_stream_t *stream)
{
    return stream->batch.sequences;
}

int32_t pal_stream_most_tokens(const pal_stream_t *stream)
{
    return stream->most;
}

int pal_stream_reserve(const pal_stream_t *stream, pal_pass_t *pass, int with_logits,
                       pal_error_t *err)
{
    const int32_t sequences = stream->batch.sequences;

    return pal_pass_reserve(pass, stream->most,
                            with_logits ? stream->most - sequences : 0, err);
}

const pal_corpus_t *pal_stream_corpus(const pal_stream_t *stream)
{
    return stream->corpus;
}
