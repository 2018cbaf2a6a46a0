#include "bench/workload.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[PAL_WORKLOADS] = {"full length", "sentences"};

int pal_bench_ground(pal_ground_t *ground, pal_error_t *err)
{
    enum { WORDS = 16384 };
    pal_world_spec_t world = {.id = "synthetic"};
    int rc;

    memset(ground, 0, sizeof *ground);
    rc = pal_world_find(world.id, &world.kind, err);
    if (rc != PAL_OK)
        return rc;
    pal_param_defaults(world.kind->params, world.state);
    rc = pal_param_set(pal_param_find(world.kind->params, "facts"), world.state, "300",
                       err);
    if (rc == PAL_OK)
        rc = pal_param_set(pal_param_find(world.kind->params, "retain"), world.state,
                           "200", err);
    return rc == PAL_OK ? pal_ground_create(&world, WORDS, ground, err) : rc;
}

/* Every statement of the world, and the questions with their answers. */
static int fill_pool(const pal_ground_t *ground, pal_pool_t *pool, pal_error_t *err)
{
    int rc = PAL_OK;

    for (int32_t fact = 0; fact < ground->world.count && rc == PAL_OK; fact++) {
        rc = pal_pool_add(pool, &ground->corpus, fact, PAL_STATEMENT, 1, err);
        if (rc == PAL_OK)
            rc = pal_pool_add(pool, &ground->corpus, fact, PAL_QUESTION, 1, err);
    }
    return rc;
}

/* The preset's layout with the vocabulary of the world, for sequences of `context`
 * tokens, or, if that is 0, for its sentences. */
static int make_layout(const pal_ground_t *ground, const char *preset, int32_t context,
                       pal_layout_t **out, pal_error_t *err)
{
    pal_base_spec_t spec = {0};
    pal_layout_t *fitting = NULL;
    pal_shape_t shape;
    int rc;

    pal_param_defaults(pal_model_params, &spec.model);
    strncat(strcpy(spec.model.size, ""), preset, sizeof spec.model.size - 1);
    rc = pal_base_layout(ground, &spec, &fitting, err);
    if (rc != PAL_OK || context == 0) {
        *out = fitting;
        return rc;
    }
    shape = fitting->shape;
    shape.context = context;
    pal_layout_destroy(fitting);
    return pal_layout_create(&shape, out, err);
}

/* One batch of sentences into offsets, tokens and weights. */
static void copy_sentences(const pal_batch_t *drawn, int32_t *offsets, int32_t *tokens,
                           float *weights)
{
    const size_t n = (size_t)pal_batch_tokens(drawn);

    memcpy(offsets, drawn->offsets, (PAL_BENCH_SENTENCES + 1) * sizeof *offsets);
    memcpy(tokens, drawn->tokens, n * sizeof *tokens);
    memcpy(weights, drawn->weights, n * sizeof *weights);
}

/* One batch of full-length sequences. */
static void join_sentences(pal_stream_t *stream, int32_t *offsets, int32_t *tokens,
                           float *weights)
{
    const int32_t n = PAL_BENCH_LONG * PAL_BENCH_CONTEXT;

    for (int32_t used = 0, more; used < n; used += more) {
        const pal_batch_t *drawn = pal_stream_next(stream);

        more = pal_batch_tokens(drawn) < n - used ? pal_batch_tokens(drawn) : n - used;
        memcpy(tokens + used, drawn->tokens, (size_t)more * sizeof *tokens);
    }
    for (int32_t t = 0; t < n; t++)
        weights[t] = t % PAL_BENCH_CONTEXT != 0;
    for (int32_t b = 0; b <= PAL_BENCH_LONG; b++)
        offsets[b] = b * PAL_BENCH_CONTEXT;
}

static int draw(pal_workload_t *workload, pal_workload_kind_t kind,
                pal_stream_t *stream, pal_error_t *err)
{
    const size_t most = kind == PAL_FULL_LENGTH
                            ? PAL_BENCH_LONG * PAL_BENCH_CONTEXT
                            : (size_t)pal_stream_most_tokens(stream);

    workload->most_tokens = (int32_t)most;
    workload->offsets = malloc((size_t)PAL_BENCH_BATCHES * (PAL_BENCH_SENTENCES + 1) *
                               sizeof *workload->offsets);
    workload->tokens = malloc(PAL_BENCH_BATCHES * most * sizeof *workload->tokens);
    workload->weights = malloc(PAL_BENCH_BATCHES * most * sizeof *workload->weights);
    if (!workload->offsets || !workload->tokens || !workload->weights)
        return PAL_FAIL(err, PAL_ENOMEM, "batches of %zu tokens", most);
    for (size_t i = 0; i < PAL_BENCH_BATCHES; i++) {
        int32_t *offsets = workload->offsets + i * (PAL_BENCH_SENTENCES + 1);
        int32_t *tokens = workload->tokens + i * most;
        float *weights = workload->weights + i * most;

        if (kind == PAL_FULL_LENGTH)
            join_sentences(stream, offsets, tokens, weights);
        else
            copy_sentences(pal_stream_next(stream), offsets, tokens, weights);
        workload->batches[i] = (pal_batch_t){
            .sequences = kind == PAL_FULL_LENGTH ? PAL_BENCH_LONG : PAL_BENCH_SENTENCES,
            .offsets = offsets,
            .tokens = tokens,
            .weights = weights};
    }
    return PAL_OK;
}

int pal_workload_create(const pal_ground_t *ground, const char *preset,
                        pal_workload_kind_t kind, pal_workload_t *workload,
                        pal_error_t *err)
{
    const int32_t context = kind == PAL_FULL_LENGTH ? PAL_BENCH_CONTEXT : 0;
    pal_stream_t *stream = NULL;
    pal_pool_t pool = {0};
    int rc;

    memset(workload, 0, sizeof *workload);
    workload->name = names[kind];
    rc = make_layout(ground, preset, context, &workload->layout, err);
    if (rc == PAL_OK)
        rc = fill_pool(ground, &pool, err);
    if (rc == PAL_OK)
        rc = pal_stream_create(&ground->corpus, &pool, PAL_BENCH_SENTENCES,
                               ground->world.key, "bench", &stream, err);
    if (rc == PAL_OK)
        rc = draw(workload, kind, stream, err);
    if (rc != PAL_OK)
        pal_workload_free(workload);
    pal_stream_destroy(stream);
    pal_pool_free(&pool);
    return rc;
}

void pal_workload_free(pal_workload_t *workload)
{
    pal_layout_destroy(workload->layout);
    free(workload->offsets);
    free(workload->tokens);
    free(workload->weights);
    memset(workload, 0, sizeof *workload);
}

const pal_batch_t *pal_workload_batch(const pal_workload_t *workload, int64_t i)
{
    return &workload->batches[i % PAL_BENCH_BATCHES];
}

double pal_workload_flops(const pal_workload_t *workload, const pal_batch_t *batch,
                          int32_t rows)
{
    const pal_shape_t *shape = &workload->layout->shape;
    double flops = rows * (pal_shape_flops(shape, 1, 1) - pal_shape_flops(shape, 1, 0));

    for (int32_t b = 0; b < batch->sequences; b++) {
        const double start = pal_batch_start(batch, b);
        const double length = start + batch->offsets[b + 1] - batch->offsets[b];

        flops += length * pal_shape_flops(shape, length, 0) -
                 start * pal_shape_flops(shape, start, 0);
    }
    return 3 * flops;
}

void pal_bench_fill(float *x, size_t n, float size)
{
    for (size_t i = 0; i < n; i++)
        x[i] = size * (float)((int)(i * 7919 % 201) - 100);
}
