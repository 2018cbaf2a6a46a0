#include "eval/generate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

struct pal_generator {
    int32_t capacity, context;
    int32_t *texts;  /* (capacity, context) */
    int32_t *length; /* (capacity) tokens of each text so far */
    int32_t *most;   /* (capacity) tokens it may have; fewer once it is done */
    int32_t *active; /* (capacity) texts that still grow */
    pal_rng_t *rng;  /* (capacity) */

    /* A batch of texts, laid end to end. */
    int32_t *tokens, *offsets; /* (capacity * context), (capacity + 1) */
    float *weights;            /* (capacity * context) */
    pal_batch_t batch;
};

int pal_generator_create(const pal_layout_t *layout, int32_t prompts,
                         pal_generator_t **out, pal_error_t *err)
{
    pal_generator_t *g = calloc(1, sizeof *g);
    const size_t n = (size_t)prompts, all = n * (size_t)layout->shape.context;

    if (!g)
        goto fail;
    g->capacity = prompts;
    g->context = layout->shape.context;
    g->texts = calloc(all, sizeof *g->texts);
    g->length = calloc(n, sizeof *g->length);
    g->most = calloc(n, sizeof *g->most);
    g->active = calloc(n, sizeof *g->active);
    g->rng = calloc(n, sizeof *g->rng);
    g->tokens = calloc(all, sizeof *g->tokens);
    g->offsets = calloc(n + 1, sizeof *g->offsets);
    g->weights = calloc(all, sizeof *g->weights);
    if (!g->texts || !g->length || !g->most || !g->active || !g->rng || !g->tokens ||
        !g->offsets || !g->weights)
        goto fail;
    g->batch = (pal_batch_t){
        .offsets = g->offsets, .tokens = g->tokens, .weights = g->weights};
    *out = g;
    return PAL_OK;
fail:
    pal_generator_destroy(g);
    return PAL_FAIL(err, PAL_ENOMEM, "%d texts of %d tokens", (int)prompts,
                    (int)layout->shape.context);
}

void pal_generator_destroy(pal_generator_t *g)
{
    if (!g)
        return;
    free(g->texts);
    free(g->length);
    free(g->most);
    free(g->active);
    free(g->rng);
    free(g->tokens);
    free(g->offsets);
    free(g->weights);
    free(g);
}

static int32_t prompt_length(const pal_batch_t *prompts, int32_t b)
{
    return prompts->offsets[b + 1] - prompts->offsets[b];
}

static int check(const pal_generator_t *g, const pal_batch_t *prompts, int32_t vocab,
                 const pal_generation_t *how, pal_error_t *err)
{
    if (prompts->sequences < 1 || prompts->sequences > g->capacity)
        return PAL_FAIL(err, PAL_EINVAL, "%d prompts; there is room for 1 to %d",
                        (int)prompts->sequences, (int)g->capacity);
    if (!(how->temperature >= 0.0 && how->temperature < HUGE_VAL) || how->most < 0)
        return PAL_FAIL(err, PAL_EINVAL,
                        "temperature %g and %d tokens; neither may be negative",
                        how->temperature, (int)how->most);
    for (int32_t b = 0; b < prompts->sequences; b++) {
        if (prompt_length(prompts, b) < 1 || prompt_length(prompts, b) > g->context)
            return PAL_FAIL(err, PAL_EINVAL,
                            "prompt %d has %d tokens; it must have 1 to %d", (int)b,
                            (int)prompt_length(prompts, b), (int)g->context);
        for (int32_t t = prompts->offsets[b]; t < prompts->offsets[b + 1]; t++)
            if (prompts->tokens[t] < 0 || prompts->tokens[t] >= vocab)
                return PAL_FAIL(err, PAL_EINVAL,
                                "prompt %d: token id %d is outside 0 to %d", (int)b,
                                (int)prompts->tokens[t], (int)vocab - 1);
    }
    return PAL_OK;
}

/* The texts are the prompts. Returns how many tokens they may have in the end. */
static int32_t start(pal_generator_t *g, const pal_batch_t *prompts,
                     const pal_generation_t *how)
{
    int32_t all = 0;

    for (int32_t b = 0; b < prompts->sequences; b++) {
        const int32_t length = prompt_length(prompts, b), room = g->context - length;
        char stream[32];

        memcpy(g->texts + (size_t)b * (size_t)g->context,
               prompts->tokens + prompts->offsets[b],
               (size_t)length * sizeof *g->texts);
        g->length[b] = length;
        g->most[b] = length + (how->most < room ? how->most : room);
        all += g->most[b];
        snprintf(stream, sizeof stream, "generate %d", (int)b);
        pal_rng_init(&g->rng[b], how->key, stream);
    }
    return all;
}

/* One more sequence: text b, its tokens from `from` on with weight 1. */
static void append(pal_generator_t *g, int32_t b, int32_t from)
{
    const int32_t *text = g->texts + (size_t)b * (size_t)g->context;
    int32_t at = g->offsets[g->batch.sequences++];

    for (int32_t t = 0; t < g->length[b]; t++, at++) {
        g->tokens[at] = text[t];
        g->weights[at] = t >= from ? 1.0f : 0.0f;
    }
    g->offsets[g->batch.sequences] = at;
}

/* Texts that still grow, each with a stand-in for its next token, which is all that is
 * predicted. */
static void lay_active(pal_generator_t *g, int32_t texts)
{
    g->batch.sequences = 0;
    for (int32_t b = 0; b < texts; b++) {
        if (g->length[b] >= g->most[b])
            continue;
        g->active[g->batch.sequences] = b;
        g->texts[(size_t)b * (size_t)g->context + (size_t)g->length[b]++] = 0;
        append(g, b, g->length[b] - 1);
    }
}

static int32_t likeliest(const float *z, int32_t vocab)
{
    int32_t best = 0;

    for (int32_t v = 1; v < vocab; v++)
        if (z[v] > z[best])
            best = v;
    return best;
}

/* Of the cumulative masses the first that exceeds a uniform share of the whole. */
static int32_t draw(const float *z, int32_t vocab, double temperature, pal_rng_t *rng)
{
    const double max = (double)z[likeliest(z, vocab)];
    double mass = 0.0, left;
    int32_t last = 0;

    for (int32_t v = 0; v < vocab; v++)
        mass += exp(((double)z[v] - max) / temperature);
    left = pal_rng_uniform(rng) * mass;
    for (int32_t v = 0; v < vocab; v++) {
        const double p = exp(((double)z[v] - max) / temperature);

        if (p > 0.0)
            last = v; /* rounding may leave a rest after the last one */
        left -= p;
        if (left < 0.0)
            break;
    }
    return last;
}

/* Replace the stand-in of each active text by the token that comes next. */
static int grow(pal_generator_t *g, const pal_pass_t *pass, const pal_generation_t *how,
                pal_error_t *err)
{
    const int32_t vocab = pal_pass_layout(pass)->shape.vocab;
    const float *z = pal_pass_logits(pass);

    for (int32_t i = 0; i < g->batch.sequences; i++, z += vocab) {
        const int32_t b = g->active[i];
        int32_t token;

        for (int32_t v = 0; v < vocab; v++)
            if (!isfinite(z[v]))
                return PAL_FAIL(err, PAL_EDIVERGE,
                                "text %d: the logit of token %d is %g", (int)b, (int)v,
                                (double)z[v]);
        token = how->temperature > 0.0 ? draw(z, vocab, how->temperature, &g->rng[b])
                                       : likeliest(z, vocab);
        g->texts[(size_t)b * (size_t)g->context + (size_t)g->length[b] - 1] = token;
        if (token == how->stop)
            g->most[b] = g->length[b];
    }
    return PAL_OK;
}

int pal_generator_run(pal_generator_t *g, pal_pass_t *pass, const float *weights,
                      const pal_batch_t *prompts, const pal_generation_t *how,
                      const pal_batch_t **texts, pal_error_t *err)
{
    const int32_t n = prompts->sequences;
    int rc = check(g, prompts, pal_pass_layout(pass)->shape.vocab, how, err);

    if (rc == PAL_OK)
        rc = pal_pass_reserve(pass, start(g, prompts, how), n, err);
    if (rc != PAL_OK)
        return rc;
    for (lay_active(g, n); g->batch.sequences > 0; lay_active(g, n)) {
        rc = pal_forward(pass, weights, &g->batch, PAL_ALL_LAYERS, err);
        if (rc == PAL_OK)
            rc = grow(g, pass, how, err);
        if (rc != PAL_OK)
            return pal_context(err, rc, "generate");
    }
    for (int32_t b = 0; b < n; b++)
        append(g, b, prompt_length(prompts, b));
    *texts = &g->batch;
    return PAL_OK;
}
