/* A linear probe (Alain & Bengio 2016, arXiv 1610.01644) on a model that stays as it
 * is: does the residual stream still know the answer that the model no longer gives?
 *
 * h is the residual stream after block `layer` where the answer to a question is due,
 * at the last token before it, less its mean over T; e_c is the mean row of the output
 * matrix over the tokens of choice c (their embedding, in a tied model); both are
 * scaled to a root mean square of about 1. With C the width,
 *
 *     s_c = e_c . M h / C,        L = mean over T of -log softmax(s)[answer],
 *
 * a logistic regression of true answers against foils, linear in h. M starts as the
 * identity, the logit lens, and learns what the later blocks would have done: a tuned
 * lens (Belrose et al. 2023, arXiv 2303.08112), tuned on T.
 *
 * The probe reads the question alone. One direction that tells true from false on
 * question and choice together finds next to nothing, in an untouched model too:
 * nothing in a model of a few blocks computes whether a choice it has just read is
 * right. */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "base/arena.h"
#include "kernel/cross_entropy.h"
#include "kernel/gemm.h"
#include "kernel/rows.h"
#include "kernel/vector.h"

enum { READ_SEQUENCES = 64 };

struct state {
    int64_t layer;       /* -1: the middle */
    pal_arena_t arena;   /* owns all arrays below */
    pal_layout_t own;    /* M (C, C) and nothing else */
    pal_slice_t slice;   /* of it */
    float *hidden;       /* (facts, C) h of every forget fact */
    double *mean;        /* (C) of h over T */
    const float *tokens; /* (V, C) the output matrix */
    double scale;        /* of e_c / C */
    float *image;        /* (C) M h of one fact, and d(loss)/d(M h) */
    float *image_seed;
    float *choices; /* (choices, C) its e_c / C */
    float *scores;  /* (choices) its s_c, and d(loss)/d(s_c) */
    float *score_seeds;
};

static const pal_param_t params[] = {
    {"layer", PAL_COUNT, offsetof(struct state, layer), -1, -1, 1000, NULL, NULL,
     "block",
     "residual stream after this block is read; -1 is half of the blocks, less one"},
    {0},
};

static int32_t read_layer(const struct state *s, const pal_shape_t *shape)
{
    if (s->layer < 0)
        return shape->layers >= 2 ? shape->layers / 2 - 1 : 0;
    return (int32_t)s->layer;
}

static int check(const void *p, const pal_shape_t *shape, pal_error_t *err)
{
    const struct state *s = p;

    if (s->layer >= shape->layers)
        return PAL_REJECT(err, "probe: layer %lld, but the model has blocks 0 to %d",
                          (long long)s->layer, (int)shape->layers - 1);
    return PAL_OK;
}

/* --- What it reads --- */

static float *hidden(const struct state *s, int32_t fact)
{
    return s->hidden + (size_t)fact * (size_t)s->slice.cols;
}

/* h where the answer to each question of the batch is due. */
static int read_batch(const struct state *s, const pal_attacking_t *run,
                      const pal_batch_t *batch, pal_error_t *err)
{
    const int32_t layer = read_layer(s, &run->layout->shape);
    const size_t width = (size_t)s->slice.cols;
    int rc = pal_forward(run->pass, run->start, batch, layer + 1, err);

    for (int32_t b = 0; rc == PAL_OK && b < batch->sequences; b++) {
        const pal_example_t *example = &run->corpus->examples[batch->ids[b]];
        const size_t at = (size_t)(batch->offsets[b] + example->prompt - 1);

        memcpy(hidden(s, example->fact),
               pal_pass_residual(run->pass, layer) + at * width, width * sizeof(float));
    }
    return rc;
}

/* h of every forget fact; what stands after the question does not reach it. */
static int read_facts(const struct state *s, const pal_attacking_t *run,
                      pal_error_t *err)
{
    const pal_world_t *world = run->corpus->world;
    pal_stream_t *stream = NULL;
    pal_pool_t pool = {0};
    int rc = PAL_OK;

    for (int32_t i = 0; i < world->count && rc == PAL_OK; i++)
        if (world->facts[i].role == PAL_FORGET)
            rc = pal_pool_push(&pool, pal_corpus_question(run->corpus, i, 0), err);
    if (rc == PAL_OK)
        rc = pal_stream_create(run->corpus, &pool, READ_SEQUENCES, run->key, "probe",
                               &stream, err);
    for (int32_t read = 0; read < pool.count && rc == PAL_OK; read += READ_SEQUENCES)
        rc = read_batch(s, run, pal_stream_next(stream), err);
    pal_stream_destroy(stream);
    pal_pool_free(&pool);
    return rc;
}

/* Centre h on its mean over T and divide it by its root mean square deviation there. */
static void centre(const struct state *s, const pal_attacking_t *run)
{
    const int32_t width = s->slice.cols, known = run->questions->count;
    double square = 0;
    float scale;

    for (int32_t i = 0; i < known; i++) {
        const int32_t example = run->questions->examples[i];
        const float *h = hidden(s, run->corpus->examples[example].fact);

        for (int32_t k = 0; k < width; k++)
            s->mean[k] += (double)h[k] / known;
        square += pal_norm_squared(h, width) / known;
    }
    for (int32_t k = 0; k < width; k++)
        square -= s->mean[k] * s->mean[k];
    scale = (float)(1 / sqrt(square / width));
    for (int32_t fact = 0; fact < run->corpus->world->count; fact++) {
        float *h = hidden(s, fact);

        for (int32_t k = 0; k < width; k++)
            h[k] = scale * (h[k] - (float)s->mean[k]);
    }
}

/* --- The probe --- */

/* Choice c of a fact into row c of s->choices. */
static void embed(const struct state *s, const pal_corpus_t *corpus, int32_t fact,
                  int32_t c)
{
    const size_t width = (size_t)s->slice.cols;
    const pal_example_t *example =
        &corpus->examples[pal_corpus_question(corpus, fact, c)];
    const int32_t *tokens = corpus->tokens + example->start;
    float *row = s->choices + (size_t)c * width;

    memset(row, 0, width * sizeof *row);
    for (int32_t t = example->prompt; t < example->length; t++)
        pal_add(row, s->tokens + (size_t)tokens[t] * width, (int64_t)width);
    pal_scale(row, (float)(s->scale / (example->length - example->prompt)),
              (int64_t)width);
}

/* s_c of every choice of a fact; returns how many there are. */
static int32_t score(const struct state *s, const pal_corpus_t *corpus, const float *m,
                     int32_t fact)
{
    const int32_t width = s->slice.cols;
    const int32_t choices = corpus->world->facts[fact].choice_count;

    for (int32_t c = 0; c < choices; c++)
        embed(s, corpus, fact, c);
    memset(s->image, 0, (size_t)width * sizeof *s->image);
    memset(s->scores, 0, (size_t)choices * sizeof *s->scores);
    pal_gemm_forward(NULL, s->image, hidden(s, fact), m, 1, width, width);
    pal_gemm_forward(NULL, s->scores, s->image, s->choices, 1, width, choices);
    return choices;
}

static int step(void *p, pal_attacking_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    const struct state *s = p;
    const pal_corpus_t *corpus = run->corpus;
    const pal_batch_t *batch = pal_stream_next(run->known);
    const int32_t width = s->slice.cols;
    double nll = 0;

    (void)i, (void)train, (void)err;
    for (int32_t b = 0; b < batch->sequences; b++) {
        const int32_t fact = corpus->examples[batch->ids[b]].fact;
        const int32_t choices = score(s, corpus, weights, fact);

        nll += pal_cross_entropy_seed(s->score_seeds, s->scores, choices,
                                      corpus->world->facts[fact].answer,
                                      1.0f / (float)batch->sequences);
        pal_gemm_inputs(NULL, s->image_seed, s->score_seeds, s->choices, 1, width,
                        choices);
        pal_gemm_weights(NULL, grad, s->image_seed, hidden(s, fact), 1, width, width);
    }
    *loss = nll / batch->sequences;
    return PAL_OK;
}

/* The choice with strictly the highest score; -1: a tie, or NaN. */
static int32_t highest(const float *scores, int32_t choices)
{
    int32_t best = 0, below = 0;

    for (int32_t c = 1; c < choices; c++)
        if (scores[c] > scores[best])
            best = c;
    for (int32_t c = 0; c < choices; c++)
        below += scores[c] < scores[best];
    return below == choices - 1 ? best : -1;
}

static int answer(void *p, pal_attacking_t *run, const float *weights,
                  const int32_t *facts, int32_t n, int32_t *choice, pal_error_t *err)
{
    const struct state *s = p;

    (void)err;
    for (int32_t i = 0; i < n; i++) {
        int32_t choices = score(s, run->corpus, weights, facts[i]);

        choice[i] = highest(s->scores, choices);
    }
    return PAL_OK;
}

/* --- Beginning and end --- */

static int allocate(struct state *s, pal_attacking_t *run, pal_error_t *err)
{
    const pal_world_t *world = run->corpus->world;
    const size_t width = (size_t)s->slice.cols, row = width * sizeof(float);
    size_t choices = 0;

    for (int32_t i = 0; i < world->count; i++)
        if ((size_t)world->facts[i].choice_count > choices)
            choices = (size_t)world->facts[i].choice_count;
    run->values = pal_arena_get(&s->arena, width * row);
    s->hidden = pal_arena_get(&s->arena, (size_t)world->count * row);
    s->mean = pal_arena_get(&s->arena, width * sizeof(double));
    s->image = pal_arena_get(&s->arena, row);
    s->image_seed = pal_arena_get(&s->arena, row);
    s->choices = pal_arena_get(&s->arena, choices * row);
    s->scores = pal_arena_get(&s->arena, choices * sizeof(float));
    s->score_seeds = pal_arena_get(&s->arena, choices * sizeof(float));
    if (!run->values || !s->hidden || !s->mean || !s->image || !s->image_seed ||
        !s->choices || !s->scores || !s->score_seeds)
        return PAL_FAIL(err, PAL_ENOMEM, "probe of width %zu, %d facts", width,
                        (int)world->count);
    return PAL_OK;
}

static int begin(void *p, pal_attacking_t *run, pal_error_t *err)
{
    struct state *s = p;
    const int32_t width = run->layout->shape.width;
    const pal_slice_t *table = pal_layout_output(run->layout);
    int rc;

    s->tokens = run->start + table->offset;
    s->scale =
        sqrt((double)table->size / pal_norm_squared(s->tokens, table->size)) / width;
    s->slice = *table; /* a matrix onto it */
    s->slice.rows = s->slice.cols = width;
    s->slice.size = (int64_t)width * width;
    s->slice.offset = 0;
    s->own = (pal_layout_t){.shape = run->layout->shape,
                            .slice_count = 1,
                            .slices = &s->slice,
                            .count = s->slice.size};
    rc = allocate(s, run, err);
    if (rc != PAL_OK)
        return rc;
    run->own = &s->own;
    for (int32_t k = 0; k < width; k++)
        run->values[(size_t)k * (size_t)(width + 1)] = 1;
    rc = read_facts(s, run, err);
    if (rc == PAL_OK)
        centre(s, run);
    return rc;
}

static void end(void *p)
{
    pal_arena_free(&((struct state *)p)->arena);
}

const pal_attack_t pal_attack_probe = {
    .summary = "linear probe: what the residual stream knows, read off a frozen model",
    .params = params,
    .state_size = sizeof(struct state),
    .cost = 0.01, /* C^2 a question, of features that are read once */
    .check = check,
    .begin = begin,
    .step = step,
    .answer = answer,
    .end = end,
};
