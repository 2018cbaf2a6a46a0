#include "model/pass.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/rotary.h"
#include "kernel/threads.h"
#include "model/activations.h"

enum { CACHE_LINE = 64, LINE_FLOATS = CACHE_LINE / sizeof(float) };

static const size_t most_floats = SIZE_MAX / 16;

/* Cuts arrays from one allocation; with base NULL it only counts. */
typedef struct {
    float *base;
    size_t used; /* floats; beyond most_floats the count no longer means anything */
} cutter_t;

static float *cut(cutter_t *cutter, size_t rows, size_t cols)
{
    float *array = cutter->base ? cutter->base + cutter->used : NULL;

    if (cutter->used <= most_floats)
        cutter->used += (rows * cols + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
    return array;
}

static void cut_block(pal_activations_t *block, cutter_t *cutter, size_t n,
                      const pal_shape_t *shape)
{
    const size_t c = (size_t)shape->width, f = (size_t)shape->hidden;

    block->attention_norm = cut(cutter, n, c);
    block->attention_mean = cut(cutter, n, 1);
    block->attention_rstd = cut(cutter, n, 1);
    block->qkv = cut(cutter, n, (size_t)pal_shape_qkv_size(shape));
    block->attended = cut(cutter, n, c);
    block->log_sum = cut(cutter, n, (size_t)shape->heads);
    block->middle = cut(cutter, n, c);
    block->mlp_norm = cut(cutter, n, c);
    block->mlp_mean = cut(cutter, n, 1);
    block->mlp_rstd = cut(cutter, n, 1);
    if (shape->mlp == PAL_SWIGLU)
        block->gate = cut(cutter, n, f);
    block->up = cut(cutter, n, f);
    block->hidden = cut(cutter, n, f);
    block->mlp = cut(cutter, n, c);
    block->seed_mlp = cut(cutter, n, c);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Room for the products of every layer of the model. */
static size_t product_room(pal_precision_t precision, const pal_shape_t *shape,
                           size_t n, size_t r)
{
    const int32_t c = shape->width, tokens = (int32_t)n;

    return larger(larger(pal_gemm_room(precision, tokens, c, pal_shape_qkv_size(shape)),
                         pal_gemm_room(precision, tokens, c, shape->hidden)),
                  pal_gemm_room(precision, (int32_t)r, c, shape->vocab));
}

static size_t attention_scratch(const pal_shape_t *shape)
{
    return pal_attention_scratch(shape->context, pal_shape_head_size(shape));
}

float *pal_pass_scratch(const pal_pass_t *pass)
{
    return pass->scratch +
           (size_t)pal_thread() * attention_scratch(&pass->layout->shape);
}

pal_text_t pal_pass_text(const pal_pass_t *pass, int32_t b)
{
    int32_t *places =
        pass->texts + (size_t)pal_thread() * (size_t)pass->layout->shape.context;
    const int32_t length = pal_batch_text(&pass->batch, b, places);

    return (pal_text_t){places, pal_batch_start(&pass->batch, b), length};
}

void pal_pass_turn(const pal_pass_t *pass, float *qkv, pal_turn_t *turn)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const int32_t *offsets = pass->batch.offsets, size = pal_shape_head_size(shape);
    const int32_t row = pal_shape_qkv_size(shape);

    if (shape->position != PAL_ROTARY)
        return;
    PAL_PARALLEL
    for (int32_t b = 0; b < pass->batch.sequences; b++)
        turn(qkv + (size_t)offsets[b] * row, row,
             pass->rotary + (size_t)pal_batch_start(&pass->batch, b) * size,
             offsets[b + 1] - offsets[b], shape->heads + shape->kv_heads, size);
}

/* What does not belong to a block. */
static void cut_rest(pal_pass_t *pass, cutter_t *cutter, size_t n, size_t r,
                     const pal_shape_t *shape)
{
    const size_t c = (size_t)shape->width, f = (size_t)shape->hidden;
    const size_t v = (size_t)shape->vocab, qkv = (size_t)pal_shape_qkv_size(shape);

    pass->positions = (int32_t *)cut(cutter, r, 1);
    pass->targets = (int32_t *)cut(cutter, r, 1);
    pass->first = (int32_t *)cut(cutter, r + 1, 1);
    pass->row_of = (int32_t *)cut(cutter, n, 1);
    pass->last = cut(cutter, r, c);
    pass->final_norm = cut(cutter, r, c);
    pass->final_mean = cut(cutter, r, 1);
    pass->final_rstd = cut(cutter, r, 1);
    pass->logits = cut(cutter, r, v);
    pass->seed_logits = cut(cutter, r, v);
    pass->logit_row = cut(cutter, v, 1);
    pass->dresidual = cut(cutter, n, c);
    pass->narrow = cut(cutter, n, c);
    pass->wide = cut(cutter, n, larger(qkv, f));
    if (shape->mlp == PAL_SWIGLU)
        pass->dgate = cut(cutter, n, f);
    pass->scratch = cut(cutter, (size_t)pass->threads, attention_scratch(shape));
    pass->texts = (int32_t *)cut(cutter, (size_t)pass->threads, (size_t)shape->context);
    pass->gemm.room = cut(cutter, product_room(pass->gemm.precision, shape, n, r), 1);
}

/* Point all arrays into base, for n tokens and r rows with logits; returns the floats
 * it takes. */
static size_t cut_all(pal_pass_t *pass, float *base, size_t n, size_t r)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const size_t c = (size_t)shape->width;
    cutter_t cutter = {base, 0};

    for (int32_t l = 0; l < shape->layers; l++)
        cut_block(&pass->blocks[l], &cutter, n, shape);
    for (int32_t l = 0; l <= shape->layers; l++) {
        pass->residual[l] = cut(&cutter, n, c);
        pass->seed_residual[l] = cut(&cutter, n, c);
    }
    cut_rest(pass, &cutter, n, r, shape);
    return cutter.used;
}

double pal_pass_bytes(const pal_shape_t *shape, pal_precision_t precision,
                      int64_t tokens, int64_t rows)
{
    const size_t n = (size_t)tokens, c = (size_t)shape->width;
    cutter_t block = {0}, stream = {0}, rest = {0};
    pal_activations_t unused_block;
    pal_pass_t unused = {.gemm.precision = precision, .threads = pal_threads()};

    cut_block(&unused_block, &block, n, shape);
    (void)cut(&stream, n, c);
    cut_rest(&unused, &rest, n, (size_t)rows, shape);
    return ((double)block.used * shape->layers +
            (double)stream.used * 2 * (shape->layers + 1) + (double)rest.used) *
           sizeof(float);
}

/* The table is the same for every pass of a layout; it is small. */
static int make_rotary(pal_pass_t *pass)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const int32_t size = pal_shape_head_size(shape);

    if (shape->position != PAL_ROTARY)
        return 1;
    pass->rotary = calloc((size_t)shape->context * size, sizeof *pass->rotary);
    if (pass->rotary)
        pal_rotary_table(pass->rotary, shape->context, size, shape->rope_base);
    return pass->rotary != NULL;
}

int pal_pass_create(const pal_layout_t *layout, pal_pass_t **out, pal_error_t *err)
{
    const size_t layers = (size_t)layout->shape.layers;
    pal_pass_t *pass = calloc(1, sizeof *pass);

    if (!pass)
        return PAL_FAIL(err, PAL_ENOMEM, "no memory for a pass");
    pass->layout = layout;
    pass->blocks = calloc(layers, sizeof *pass->blocks);
    pass->residual = calloc(layers + 1, sizeof *pass->residual);
    pass->seed_residual = calloc(layers + 1, sizeof *pass->seed_residual);
    pass->residual_seeded = calloc(layers + 1, sizeof *pass->residual_seeded);
    if (!pass->blocks || !pass->residual || !pass->seed_residual ||
        !pass->residual_seeded || !make_rotary(pass)) {
        pal_pass_destroy(pass);
        return PAL_FAIL(err, PAL_ENOMEM, "no memory for a pass of %zu layers", layers);
    }
    *out = pass;
    return PAL_OK;
}

void pal_pass_destroy(pal_pass_t *pass)
{
    if (!pass)
        return;
    free(pass->memory);
    free(pass->rotary);
    free(pass->blocks);
    free(pass->residual);
    free(pass->seed_residual);
    free(pass->residual_seeded);
    free(pass);
}

void pal_pass_set_precision(pal_pass_t *pass, pal_precision_t precision)
{
    if (precision == pass->gemm.precision)
        return;
    pass->gemm.precision = precision;
    free(pass->memory);
    pass->memory = NULL;
    pass->token_capacity = pass->row_capacity = 0;
    pass->batch.sequences = 0;
    pass->tokens = pass->rows = pass->blocks_run = 0;
}

const pal_gemm_t *pal_pass_gemm(const pal_pass_t *pass)
{
    return &pass->gemm;
}

int pal_pass_reserve(pal_pass_t *pass, int32_t tokens, int32_t rows, pal_error_t *err)
{
    const int threads = pass->threads;
    float *memory = NULL;
    size_t floats;

    if (tokens < pass->token_capacity)
        tokens = pass->token_capacity;
    if (rows < pass->row_capacity)
        rows = pass->row_capacity;
    if (tokens == pass->token_capacity && rows == pass->row_capacity &&
        threads >= pal_threads())
        return PAL_OK;
    pass->threads = pal_threads() > threads ? pal_threads() : threads;
    floats = cut_all(pass, NULL, (size_t)tokens, (size_t)rows);
    if (floats <= most_floats)
        memory = aligned_alloc(CACHE_LINE, floats * sizeof *memory);
    if (!memory) {
        pass->threads = threads;
        cut_all(pass, pass->memory, (size_t)pass->token_capacity,
                (size_t)pass->row_capacity);
        return PAL_FAIL(err, PAL_ENOMEM,
                        "no memory for %.3g bytes of activations (%d tokens)",
                        (double)floats * sizeof *memory, (int)tokens);
    }
    free(pass->memory);
    pass->memory = memory;
    pass->token_capacity = tokens;
    pass->row_capacity = rows;
    pass->batch.sequences = 0;
    pass->tokens = pass->rows = pass->blocks_run = 0;
    cut_all(pass, memory, (size_t)tokens, (size_t)rows);
    return PAL_OK;
}

const pal_layout_t *pal_pass_layout(const pal_pass_t *pass)
{
    return pass->layout;
}

const pal_batch_t *pal_pass_batch(const pal_pass_t *pass)
{
    return &pass->batch;
}

int32_t pal_pass_tokens(const pal_pass_t *pass)
{
    return pass->tokens;
}

const float *pal_pass_residual(const pal_pass_t *pass, int32_t layer)
{
    return pass->residual[layer + 1];
}

const float *pal_pass_mlp(const pal_pass_t *pass, int32_t layer)
{
    return pass->blocks[layer].mlp;
}

int32_t pal_pass_rows(const pal_pass_t *pass)
{
    return pass->rows;
}

const int32_t *pal_pass_positions(const pal_pass_t *pass)
{
    return pass->positions;
}

const int32_t *pal_pass_first(const pal_pass_t *pass)
{
    return pass->first;
}

const int32_t *pal_pass_targets(const pal_pass_t *pass)
{
    return pass->targets;
}

const float *pal_pass_logits(const pal_pass_t *pass)
{
    return pass->logits;
}

/* Zero the seed (rows, cols) on its first use. */
static float *seed(float *array, int32_t rows, int32_t cols, int *seeded)
{
    if (!*seeded)
        memset(array, 0, (size_t)rows * (size_t)cols * sizeof *array);
    *seeded = 1;
    return array;
}

float *pal_pass_seed_residual(pal_pass_t *pass, int32_t layer)
{
    return seed(pass->seed_residual[layer + 1], pass->tokens, pass->layout->shape.width,
                &pass->residual_seeded[layer + 1]);
}

float *pal_pass_seed_mlp(pal_pass_t *pass, int32_t layer)
{
    return seed(pass->blocks[layer].seed_mlp, pass->tokens, pass->layout->shape.width,
                &pass->blocks[layer].mlp_seeded);
}

float *pal_pass_seed_logits(pal_pass_t *pass)
{
    return seed(pass->seed_logits, pass->rows, pass->layout->shape.vocab,
                &pass->logits_seeded);
}

float *pal_pass_seed_logit_rows(pal_pass_t *pass, float **row)
{
    *row = pass->logits_seeded ? pass->logit_row : NULL;
    pass->logits_seeded = 1;
    return pass->seed_logits;
}

void pal_pass_clear_seeds(pal_pass_t *pass)
{
    for (int32_t l = 0; l < pass->layout->shape.layers; l++)
        pass->blocks[l].mlp_seeded = 0;
    for (int32_t l = 0; l <= pass->layout->shape.layers; l++)
        pass->residual_seeded[l] = 0;
    pass->logits_seeded = 0;
}
