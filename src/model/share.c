#include "model/share.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const int32_t *tokens;
    const float *weights;
    int32_t length;
    int32_t number; /* in the batch as it came */
} text_t;

/* Where a text is: its tokens but the last are the first of the text of a sequence. */
typedef struct {
    int32_t sequence, length;
    int32_t last; /* place of the last token; ~e, until all are there: end e */
} home_t;

struct pal_share {
    text_t *texts; /* sorted by tokens: what begins alike stands together */
    home_t *homes; /* of the texts, by number */
    int32_t *path; /* places of the tokens of the text at hand; ~e: end e */
    int32_t *offsets, *tokens, *stems, *starts, *before, *end_tokens;
    float *weights, *end_weights;
    pal_batch_t batch;
    int32_t used; /* tokens that are computed, so far */
};

int pal_share_create(int32_t tokens, int32_t sequences, pal_share_t **out,
                     pal_error_t *err)
{
    const size_t n = (size_t)tokens, b = (size_t)sequences;
    pal_share_t *share = calloc(1, sizeof *share);

    if (!share)
        return PAL_FAIL(err, PAL_ENOMEM, "no memory to share %d tokens", (int)tokens);
    share->texts = malloc(b * sizeof *share->texts);
    share->path = malloc(n * sizeof *share->path);
    share->homes = malloc(b * sizeof *share->homes);
    share->offsets = malloc((b + 1) * sizeof *share->offsets);
    share->tokens = malloc(n * sizeof *share->tokens);
    share->stems = malloc(b * sizeof *share->stems);
    share->starts = malloc(b * sizeof *share->starts);
    share->before = malloc(b * sizeof *share->before);
    share->end_tokens = malloc(b * sizeof *share->end_tokens);
    share->weights = malloc(n * sizeof *share->weights);
    share->end_weights = malloc(b * sizeof *share->end_weights);
    if (!share->texts || !share->path || !share->homes || !share->offsets ||
        !share->tokens || !share->stems || !share->starts || !share->before ||
        !share->end_tokens || !share->weights || !share->end_weights) {
        pal_share_destroy(share);
        return PAL_FAIL(err, PAL_ENOMEM, "no memory to share %d tokens", (int)tokens);
    }
    share->batch = (pal_batch_t){.offsets = share->offsets,
                                 .tokens = share->tokens,
                                 .weights = share->weights,
                                 .before = share->before};
    *out = share;
    return PAL_OK;
}

void pal_share_destroy(pal_share_t *share)
{
    if (!share)
        return;
    free(share->texts);
    free(share->path);
    free(share->homes);
    free(share->offsets);
    free(share->tokens);
    free(share->stems);
    free(share->starts);
    free(share->before);
    free(share->end_tokens);
    free(share->weights);
    free(share->end_weights);
    free(share);
}

/* How many tokens two texts begin with in common. */
static int32_t common(const text_t *a, const text_t *b)
{
    const int32_t most = a->length < b->length ? a->length : b->length;
    int32_t n = 0;

    while (n < most && a->tokens[n] == b->tokens[n])
        n++;
    return n;
}

/* By tokens, a text before those that go on from it; equal ones by number. */
static int compare(const void *p, const void *q)
{
    const text_t *a = p, *b = q;
    const int32_t n = common(a, b);

    if (n < a->length && n < b->length)
        return a->tokens[n] < b->tokens[n] ? -1 : 1;
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

static void sort_texts(pal_share_t *share, const pal_batch_t *batch)
{
    for (int32_t b = 0; b < batch->sequences; b++) {
        const int32_t start = batch->offsets[b];

        share->texts[b] = (text_t){.tokens = batch->tokens + start,
                                   .weights = batch->weights + start,
                                   .length = batch->offsets[b + 1] - start,
                                   .number = b};
    }
    qsort(share->texts, (size_t)batch->sequences, sizeof *share->texts, compare);
}

/* A sequence of the tokens from .. to-1 of a text, whose first `from` are those of the
 * text before it. */
static void add_sequence(pal_share_t *share, const text_t *text, int32_t from,
                         int32_t to)
{
    pal_batch_t *batch = &share->batch;
    const int32_t b = batch->sequences++;
    int32_t stem = from > 0 ? b - 1 : -1;

    while (stem >= 0 && share->starts[stem] >= from)
        stem = share->stems[stem];
    share->stems[b] = stem;
    share->starts[b] = from;
    for (int32_t i = from; i < to; i++) {
        share->path[i] = share->used;
        share->tokens[share->used] = text->tokens[i];
        share->weights[share->used++] = 0.0f;
    }
    share->offsets[b + 1] = share->used;
}

/* The last token of a text that no other goes on from. */
static void add_end(pal_share_t *share, const text_t *text)
{
    const int32_t last = text->length - 1, e = share->batch.ends++;

    share->before[e] = share->path[last - 1];
    share->end_tokens[e] = text->tokens[last];
    share->end_weights[e] = 0.0f;
    share->path[last] = ~e;
}

/* What a text that lies on the path wants predicted. */
static void add_weights(pal_share_t *share, const text_t *text)
{
    for (int32_t i = 0; i < text->length; i++) {
        const int32_t place = share->path[i];

        *(place < 0 ? &share->end_weights[~place] : &share->weights[place]) +=
            text->weights[i];
    }
    share->homes[text->number] = (home_t){.sequence = share->batch.sequences - 1,
                                          .length = text->length,
                                          .last = share->path[text->length - 1]};
}

/* Ends come after all tokens that are computed. */
static void append_ends(pal_share_t *share, int32_t texts)
{
    const size_t ends = (size_t)share->batch.ends;

    memcpy(share->tokens + share->used, share->end_tokens,
           ends * sizeof *share->tokens);
    memcpy(share->weights + share->used, share->end_weights,
           ends * sizeof *share->weights);
    for (int32_t b = 0; b < texts; b++)
        if (share->homes[b].last < 0)
            share->homes[b].last = share->used + ~share->homes[b].last;
}

/* None at all if every sequence is a whole text. */
static void set_stems(pal_share_t *share)
{
    int32_t b = 0;

    while (b < share->batch.sequences && share->stems[b] < 0)
        b++;
    share->batch.stems = b < share->batch.sequences ? share->stems : NULL;
    share->batch.starts = share->batch.stems ? share->starts : NULL;
}

/* The first text after those that equal `text`, and how many tokens it shares. */
static const text_t *skip_equal(const text_t *text, const text_t *after,
                                int32_t *shared)
{
    const text_t *next = text + 1;

    for (; next < after; next++) {
        *shared = common(text, next);
        if (*shared < text->length || next->length > text->length)
            return next;
    }
    *shared = 0;
    return next;
}

const pal_batch_t *pal_share_batch(pal_share_t *share, const pal_batch_t *batch)
{
    const text_t *text = share->texts, *after = text + batch->sequences;
    int32_t from = 0; /* tokens of `text` that the one before it has too */

    sort_texts(share, batch);
    share->used = share->batch.sequences = share->batch.ends = 0;
    share->offsets[0] = 0;
    while (text < after) {
        int32_t shared;
        const text_t *next = skip_equal(text, after, &shared);
        const int whole = shared == text->length || text->length == 1;
        const int32_t to = whole ? text->length : text->length - 1;

        if (to > from)
            add_sequence(share, text, from, to);
        if (!whole)
            add_end(share, text);
        for (; text < next; text++)
            add_weights(share, text);
        from = shared;
    }
    append_ends(share, batch->sequences);
    set_stems(share);
    return &share->batch;
}

void pal_share_text(const pal_share_t *share, int32_t b, int32_t *places)
{
    const home_t *home = &share->homes[b];

    (void)pal_batch_text(&share->batch, home->sequence, places);
    places[home->length - 1] = home->last;
}
