#include <math.h>
#include <string.h>

#include "kernel/activation.h"
#include "kernel/attention.h"
#include "kernel/embedding.h"
#include "kernel/gemm.h"
#include "kernel/norm.h"
#include "kernel/rows.h"
#include "model/activations.h"

/* Tokens of the stem sequence b goes on from; 0 if it has none. */
static int32_t stem_length(const pal_batch_t *batch, int32_t b)
{
    const int32_t stem = batch->stems ? batch->stems[b] : -1;

    return stem < 0 ? 0 : batch->offsets[stem + 1] - batch->offsets[stem];
}

static int check_sequence(const pal_shape_t *shape, const pal_batch_t *batch, int32_t b,
                          pal_error_t *err)
{
    const int32_t start = batch->offsets[b], end = batch->offsets[b + 1];
    int32_t stem;

    if (batch->stems && batch->stems[b] >= 0 &&
        (batch->stems[b] >= b || batch->stems[batch->stems[b]] >= 0))
        return PAL_FAIL(err, PAL_EINVAL, "sequence %d: sequence %d cannot be its stem",
                        (int)b, (int)batch->stems[b]);
    stem = stem_length(batch, b);
    if (end <= start)
        return PAL_FAIL(err, PAL_EINVAL, "sequence %d is empty (offsets %d to %d)",
                        (int)b, (int)start, (int)end);
    if (stem + end - start > shape->context)
        return PAL_FAIL(err, PAL_EINVAL,
                        "sequence %d has %d tokens; the model's context is %d", (int)b,
                        (int)(stem + end - start), (int)shape->context);
    if (stem == 0 && batch->weights[start] != 0.0f)
        return PAL_FAIL(err, PAL_EINVAL,
                        "sequence %d: its first token has weight %g; nothing predicts "
                        "it, so it must be 0",
                        (int)b, (double)batch->weights[start]);
    for (int32_t t = start; t < end; t++) {
        if (batch->tokens[t] < 0 || batch->tokens[t] >= shape->vocab)
            return PAL_FAIL(err, PAL_EINVAL,
                            "sequence %d: token id %d is outside 0 to %d", (int)b,
                            (int)batch->tokens[t], (int)shape->vocab - 1);
        if (!(batch->weights[t] >= 0.0f && batch->weights[t] < HUGE_VALF))
            return PAL_FAIL(err, PAL_EINVAL,
                            "sequence %d: a weight is %g; it must be finite and >= 0",
                            (int)b, (double)batch->weights[t]);
    }
    return PAL_OK;
}

static int check_batch(const pal_shape_t *shape, const pal_batch_t *batch, int32_t upto,
                       pal_error_t *err)
{
    if (upto != PAL_ALL_LAYERS && (upto < 0 || upto > shape->layers))
        return PAL_FAIL(err, PAL_EINVAL, "cannot stop after %d of %d blocks", (int)upto,
                        (int)shape->layers);
    if (batch->sequences < 1)
        return PAL_FAIL(err, PAL_EINVAL, "empty batch (%d sequences)",
                        (int)batch->sequences);
    if (batch->offsets[0] != 0)
        return PAL_FAIL(err, PAL_EINVAL, "the batch starts at offset %d, not at 0",
                        (int)batch->offsets[0]);
    for (int32_t b = 0; b < batch->sequences; b++) {
        int rc = check_sequence(shape, batch, b, err);

        if (rc != PAL_OK)
            return rc;
    }
    return PAL_OK;
}

/* Rows that predict something: one for every token with a weight. */
static int32_t count_rows(const pal_batch_t *batch, int32_t tokens)
{
    int32_t rows = 0;

    for (int32_t t = 0; t < tokens; t++)
        rows += batch->weights[t] > 0.0f;
    return rows;
}

/* A token is predicted where the one before it stands: for the first of a branch, at
 * the end of its stem. */
static void list_rows(pal_pass_t *pass)
{
    const pal_batch_t *batch = &pass->batch;
    int32_t row = 0;

    for (int32_t b = 0; b < batch->sequences; b++)
        for (int32_t t = batch->offsets[b]; t < batch->offsets[b + 1]; t++) {
            if (!(batch->weights[t] > 0.0f))
                continue;
            pass->targets[row] = t;
            pass->positions[row++] =
                (t > batch->offsets[b] ? t : batch->offsets[batch->stems[b] + 1]) - 1;
        }
}

static const float *slice(const pal_pass_t *pass, const float *weights,
                          pal_slice_kind_t kind, int32_t layer)
{
    return weights + pal_layout_slice(pass->layout, kind, layer)->offset;
}

/* Attention of one sequence; a branch is joined to its stem first. */
static void attend(pal_pass_t *pass, const pal_activations_t *block, int32_t b)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const int32_t *offsets = pass->batch.offsets, c = shape->width;
    const int32_t own = offsets[b + 1] - offsets[b];
    const int32_t stem = stem_length(&pass->batch, b);
    const size_t at = (size_t)offsets[b], row = 3 * (size_t)c;
    const float *qkv = block->qkv + at * row;

    if (stem > 0) {
        memcpy(pass->joined, block->qkv + (size_t)offsets[pass->batch.stems[b]] * row,
               (size_t)stem * row * sizeof *qkv);
        memcpy(pass->joined + (size_t)stem * row, qkv, (size_t)own * row * sizeof *qkv);
        qkv = pass->joined;
    }
    pal_attention_forward(block->attended + at * c, block->log_sum + at * shape->heads,
                          qkv, stem, stem + own, shape->heads, c / shape->heads,
                          pass->scratch);
}

static void forward_attention(pal_pass_t *pass, const float *weights, int32_t layer)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const int32_t n = pass->tokens, c = shape->width;
    const float *norm = slice(pass, weights, PAL_ATTENTION_NORM, layer);
    const pal_activations_t *block = &pass->blocks[layer];

    pal_norm_forward(block->attention_norm, block->attention_mean,
                     block->attention_rstd, pass->residual[layer], norm, norm + c, n,
                     c);
    pal_rows_fill(block->qkv, slice(pass, weights, PAL_ATTENTION_QKV_BIAS, layer), n,
                  3 * c);
    pal_gemm_forward(&pass->gemm, block->qkv, block->attention_norm,
                     slice(pass, weights, PAL_ATTENTION_QKV, layer), n, c, 3 * c);
    for (int32_t b = 0; b < pass->batch.sequences; b++)
        attend(pass, block, b);
    pal_rows_add(block->middle, pass->residual[layer],
                 slice(pass, weights, PAL_ATTENTION_OUT_BIAS, layer), n, c);
    pal_gemm_forward(&pass->gemm, block->middle, block->attended,
                     slice(pass, weights, PAL_ATTENTION_OUT, layer), n, c, c);
}

static void forward_mlp(pal_pass_t *pass, const float *weights, int32_t layer)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const int32_t n = pass->tokens, c = shape->width, f = shape->hidden;
    const float *norm = slice(pass, weights, PAL_MLP_NORM, layer);
    const pal_activations_t *block = &pass->blocks[layer];
    float *output = pass->residual[layer + 1];

    pal_norm_forward(block->mlp_norm, block->mlp_mean, block->mlp_rstd, block->middle,
                     norm, norm + c, n, c);
    pal_rows_fill(block->up, slice(pass, weights, PAL_MLP_UP_BIAS, layer), n, f);
    pal_gemm_forward(&pass->gemm, block->up, block->mlp_norm,
                     slice(pass, weights, PAL_MLP_UP, layer), n, c, f);
    pal_gelu_forward(block->hidden, block->up, (int64_t)n * f);
    pal_rows_fill(block->mlp, slice(pass, weights, PAL_MLP_DOWN_BIAS, layer), n, c);
    pal_gemm_forward(&pass->gemm, block->mlp, block->hidden,
                     slice(pass, weights, PAL_MLP_DOWN, layer), n, f, c);
    memcpy(output, block->middle, (size_t)n * (size_t)c * sizeof *output);
    pal_add(output, block->mlp, (int64_t)n * c);
}

/* The final norm is row by row, so it too runs over the R rows only. */
static void forward_head(pal_pass_t *pass, const float *weights)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const int32_t r = pass->rows, c = shape->width;
    const float *norm = slice(pass, weights, PAL_FINAL_NORM, -1);

    list_rows(pass);
    pal_rows_gather(pass->last, pass->residual[shape->layers], pass->positions, r, c);
    pal_norm_forward(pass->final_norm, pass->final_mean, pass->final_rstd, pass->last,
                     norm, norm + c, r, c);
    memset(pass->logits, 0, (size_t)r * (size_t)shape->vocab * sizeof *pass->logits);
    pal_gemm_forward(&pass->gemm, pass->logits, pass->final_norm,
                     slice(pass, weights, PAL_TOKEN_EMBEDDING, -1), r, c, shape->vocab);
}

int pal_forward(pal_pass_t *pass, const float *weights, const pal_batch_t *batch,
                int32_t upto, pal_error_t *err)
{
    return pal_forward_edited(pass, weights, batch, upto, NULL, 0, err);
}

int pal_forward_edited(pal_pass_t *pass, const float *weights, const pal_batch_t *batch,
                       int32_t upto, const pal_edit_t *edits, int32_t count,
                       pal_error_t *err)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const int all = upto == PAL_ALL_LAYERS;
    int32_t tokens, rows;
    int rc = check_batch(shape, batch, upto, err);

    if (rc != PAL_OK)
        return rc;
    tokens = batch->offsets[batch->sequences];
    rc = pal_edits_check(edits, count, shape, tokens, err);
    if (rc != PAL_OK)
        return rc;
    rows = all ? count_rows(batch, tokens) : 0;
    rc = pal_pass_reserve(pass, tokens, batch->sequences, rows, err);
    if (rc != PAL_OK)
        return rc;
    pass->batch = *batch;
    pass->edits = edits;
    pass->edit_count = count;
    pass->tokens = tokens;
    pass->rows = rows;
    pass->blocks_run = all ? shape->layers : upto;
    pal_pass_clear_seeds(pass);
    pal_embedding_forward(
        pass->residual[0], slice(pass, weights, PAL_TOKEN_EMBEDDING, -1),
        slice(pass, weights, PAL_POSITION_EMBEDDING, -1), batch->tokens, batch->offsets,
        batch->stems, batch->sequences, shape->width);
    pal_edits_forward(pass, -1);
    for (int32_t layer = 0; layer < pass->blocks_run; layer++) {
        forward_attention(pass, weights, layer);
        forward_mlp(pass, weights, layer);
        pal_edits_forward(pass, layer);
    }
    if (all)
        forward_head(pass, weights);
    return PAL_OK;
}
