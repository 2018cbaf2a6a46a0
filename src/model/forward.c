#include <string.h>

#include "kernel/activation.h"
#include "kernel/attention.h"
#include "kernel/embedding.h"
#include "kernel/gemm.h"
#include "kernel/rotary.h"
#include "kernel/rows.h"
#include "kernel/threads.h"
#include "model/activations.h"
#include "model/norm.h"

/* A token is predicted where the one before it stands, which for the first of a branch
 * is in its stem. */
static int32_t place_before(const pal_batch_t *batch, int32_t b, int32_t t)
{
    if (b == batch->sequences)
        return batch->before[t - pal_batch_tokens(batch)];
    return t > batch->offsets[b] ? t - 1 : pal_batch_before(batch, b);
}

/* Call `note` with every token that is predicted and the place it is predicted at. */
static void for_each_target(pal_pass_t *pass,
                            void (*note)(pal_pass_t *pass, int32_t place, int32_t t))
{
    const pal_batch_t *batch = &pass->batch;
    const int32_t m = pal_batch_tokens(batch) + batch->ends;

    for (int32_t t = 0, b = 0; t < m; t++) {
        while (b < batch->sequences && t == batch->offsets[b + 1])
            b++;
        if (batch->weights[t] > 0.0f)
            note(pass, place_before(batch, b, t), t);
    }
}

static void count_target(pal_pass_t *pass, int32_t place, int32_t t)
{
    (void)t;
    pass->row_of[place]++;
}

static void list_target(pal_pass_t *pass, int32_t place, int32_t t)
{
    pass->targets[pass->first[pass->row_of[place] + 1]++] = t;
}

/* The places that predict something, in order, each with what it predicts. */
static void list_rows(pal_pass_t *pass)
{
    int32_t row = 0, targets = 0;

    memset(pass->row_of, 0, (size_t)pass->tokens * sizeof *pass->row_of);
    for_each_target(pass, count_target);
    pass->first[0] = 0;
    for (int32_t place = 0; place < pass->tokens; place++) {
        const int32_t count = pass->row_of[place];

        if (count == 0)
            continue;
        pass->positions[row] = place;
        pass->row_of[place] = row++;
        pass->first[row] = targets; /* until its targets are listed, their beginning */
        targets += count;
    }
    for_each_target(pass, list_target);
    pass->rows = row;
}

static void norm(const pal_pass_t *pass, const float *weights, pal_slice_kind_t kind,
                 int32_t layer, float *y, float *mean, float *rstd, const float *x,
                 int32_t n)
{
    pal_norm_forward(&pass->layout->shape, y, mean, rstd, x,
                     weights + pal_layout_slice(pass->layout, kind, layer)->offset, n);
}

/* y = residual + x W^T + bias over all tokens; residual NULL: without. */
static void linear(const pal_pass_t *pass, const float *weights, pal_slice_kind_t kind,
                   int32_t layer, float *y, const float *residual, const float *x)
{
    const pal_slice_t *w = pal_layout_slice(pass->layout, kind, layer);
    const pal_slice_t *b = pal_layout_bias(pass->layout, w);
    const float *bias = b ? weights + b->offset : NULL;
    const int32_t n = pass->tokens;
    const size_t bytes = (size_t)n * (size_t)w->rows * sizeof *y;

    if (residual && bias)
        pal_rows_add(y, residual, bias, n, w->rows);
    else if (residual)
        memcpy(y, residual, bytes);
    else if (bias)
        pal_rows_fill(y, bias, n, w->rows);
    else
        memset(y, 0, bytes);
    pal_gemm_forward(&pass->gemm, y, x, weights + w->offset, n, w->cols, w->rows);
}

static void forward_attention(pal_pass_t *pass, const float *weights, int32_t layer)
{
    const pal_activations_t *block = &pass->blocks[layer];
    const float *input = pass->residual[layer];

    norm(pass, weights, PAL_ATTENTION_NORM, layer, block->attention_norm,
         block->attention_mean, block->attention_rstd, input, pass->tokens);
    linear(pass, weights, PAL_ATTENTION_QKV, layer, block->qkv, NULL,
           block->attention_norm);
    pal_pass_turn(pass, block->qkv, pal_rotary_forward);
    PAL_PARALLEL
    for (int32_t b = 0; b < pass->batch.sequences; b++)
        pal_attention_forward(
            block->attended, block->log_sum, block->qkv, pal_pass_text(pass, b),
            pal_shape_heads(&pass->layout->shape), pal_pass_scratch(pass));
    linear(pass, weights, PAL_ATTENTION_OUT, layer, block->middle, input,
           block->attended);
}

static void forward_mlp(pal_pass_t *pass, const float *weights, int32_t layer)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const int64_t hidden = (int64_t)pass->tokens * shape->hidden;
    const int64_t size = (int64_t)pass->tokens * shape->width;
    const pal_activations_t *block = &pass->blocks[layer];
    float *output = pass->residual[layer + 1];

    norm(pass, weights, PAL_MLP_NORM, layer, block->mlp_norm, block->mlp_mean,
         block->mlp_rstd, block->middle, pass->tokens);
    linear(pass, weights, PAL_MLP_UP, layer, block->up, NULL, block->mlp_norm);
    if (shape->mlp == PAL_SWIGLU) {
        linear(pass, weights, PAL_MLP_GATE, layer, block->gate, NULL, block->mlp_norm);
        pal_swiglu_forward(block->hidden, block->gate, block->up, hidden);
    } else {
        pal_gelu_forward(block->hidden, block->up, hidden);
    }
    linear(pass, weights, PAL_MLP_DOWN, layer, block->mlp, NULL, block->hidden);
    memcpy(output, block->middle, (size_t)size * sizeof *output);
    pal_add(output, block->mlp, size);
}

/* The final norm is row by row, so it too runs over the R rows only. */
static void forward_head(pal_pass_t *pass, const float *weights)
{
    const pal_shape_t *shape = &pass->layout->shape;
    const int32_t r = pass->rows, c = shape->width;

    pal_rows_gather(pass->last, pass->residual[shape->layers], pass->positions, r, c);
    norm(pass, weights, PAL_FINAL_NORM, -1, pass->final_norm, pass->final_mean,
         pass->final_rstd, pass->last, r);
    memset(pass->logits, 0, (size_t)r * (size_t)shape->vocab * sizeof *pass->logits);
    pal_gemm_forward(&pass->gemm, pass->logits, pass->final_norm,
                     weights + pal_layout_output(pass->layout)->offset, r, c,
                     shape->vocab);
}

static void forward_embedding(pal_pass_t *pass, const float *weights)
{
    const pal_batch_t *batch = &pass->batch;
    const pal_slice_t *token = pal_layout_slice(pass->layout, PAL_TOKEN_EMBEDDING, -1);
    const pal_slice_t *position =
        pal_layout_slice(pass->layout, PAL_POSITION_EMBEDDING, -1);

    pal_embedding_forward(pass->residual[0], weights + token->offset,
                          position ? weights + position->offset : NULL, batch->tokens,
                          batch->offsets, batch->starts, batch->sequences, token->cols);
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
    int rc;

    if (!all && (upto < 0 || upto > shape->layers))
        return PAL_FAIL(err, PAL_EINVAL, "cannot stop after %d of %d blocks", (int)upto,
                        (int)shape->layers);
    rc = pal_batch_check(batch, shape, err);
    if (rc != PAL_OK)
        return rc;
    tokens = pal_batch_tokens(batch);
    rc = pal_edits_check(edits, count, shape, tokens, err);
    if (rc != PAL_OK)
        return rc;
    rows = all ? pal_batch_targets(batch) : 0;
    rc = pal_pass_reserve(pass, tokens, rows, err);
    if (rc != PAL_OK)
        return rc;
    pass->batch = *batch;
    pass->edits = edits;
    pass->edit_count = count;
    pass->tokens = tokens;
    pass->rows = 0;
    pass->blocks_run = all ? shape->layers : upto;
    pal_pass_clear_seeds(pass);
    forward_embedding(pass, weights);
    pal_edits_forward(pass, -1);
    for (int32_t layer = 0; layer < pass->blocks_run; layer++) {
        forward_attention(pass, weights, layer);
        forward_mlp(pass, weights, layer);
        pal_edits_forward(pass, layer);
    }
    if (all) {
        list_rows(pass);
        forward_head(pass, weights);
    }
    return PAL_OK;
}
