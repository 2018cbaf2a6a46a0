#include <assert.h>
#include <string.h>

#include "kernel/activation.h"
#include "kernel/attention.h"
#include "kernel/embedding.h"
#include "kernel/gemm.h"
#include "kernel/norm.h"
#include "kernel/rows.h"
#include "model/activations.h"

/* The way down. Slices lie in the buffer in the order in which the forward pass uses
 * them (the output matrix apart, which is the token embedding), so "does anything below
 * still train?" is a comparison with the lowest slice that trains. */
typedef struct {
    pal_pass_t *pass;
    const float *weights;
    const uint8_t *train;
    float *grad;
    int32_t lowest; /* index of a slice; slice_count if nothing trains. A delta that
                     * trains counts as the slice below the first one above it */
} descent_t;

static int trains(const descent_t *d, int32_t slice)
{
    return !d->train || d->train[slice];
}

static int32_t slice_index(const descent_t *d, pal_slice_kind_t kind, int32_t layer)
{
    const pal_layout_t *layout = d->pass->layout;

    return (int32_t)(pal_layout_slice(layout, kind, layer) - layout->slices);
}

/* What lies just above residual stream `layer` is the next block, or the final norm. */
static int32_t lowest_wanted(const descent_t *d)
{
    const pal_layout_t *layout = d->pass->layout;
    const int32_t layers = layout->shape.layers, delta = pal_edits_lowest(d->pass);
    const int32_t below = delta == layers ? layout->slice_count
                          : delta == layers - 1
                              ? slice_index(d, PAL_FINAL_NORM, -1) - 1
                              : slice_index(d, PAL_ATTENTION_NORM, delta + 1) - 1;
    int32_t slice = 0;

    while (slice < below && !trains(d, slice))
        slice++;
    return slice;
}

/* Each step down returns whether the descent goes on below it. */

/* y = x W^T + b, the bias being the slice after W: gradients of both, then dx. */
static int descend_linear(const descent_t *d, pal_slice_kind_t kind, int32_t layer,
                          float *dx, const float *dy, const float *x)
{
    const int32_t slice = slice_index(d, kind, layer), n = d->pass->tokens;
    const pal_slice_t *w = &d->pass->layout->slices[slice];

    if (trains(d, slice))
        pal_gemm_weights(&d->pass->gemm, d->grad + w->offset, dy, x, n, w->cols,
                         w->rows);
    if (trains(d, slice + 1))
        pal_rows_sum(d->grad + w[1].offset, dy, n, w->rows);
    if (d->lowest >= slice)
        return 0;
    pal_gemm_inputs(&d->pass->gemm, dx, dy, d->weights + w->offset, n, w->cols,
                    w->rows);
    return 1;
}

/* Adds to dx: a norm branches off the residual stream. */
static int descend_norm(const descent_t *d, pal_slice_kind_t kind, int32_t layer,
                        float *dx, const float *dy, const float *x, const float *mean,
                        const float *rstd, int32_t n)
{
    const int32_t slice = slice_index(d, kind, layer);
    const pal_slice_t *norm = &d->pass->layout->slices[slice];

    if (trains(d, slice)) {
        float *grad = d->grad + norm->offset;

        pal_norm_weights(grad, grad + norm->cols, dy, x, mean, rstd, n, norm->cols);
    }
    if (d->lowest >= slice)
        return 0;
    pal_norm_inputs(dx, dy, x, mean, rstd, d->weights + norm->offset, n, norm->cols);
    return 1;
}

static int descend_head(const descent_t *d)
{
    pal_pass_t *pass = d->pass;
    const int32_t slice = slice_index(d, PAL_TOKEN_EMBEDDING, -1);
    const int32_t r = pass->rows, c = pass->layout->shape.width;
    const int32_t v = pass->layout->shape.vocab;
    const int64_t offset = pass->layout->slices[slice].offset;
    float *dnorm = pass->narrow, *dlast = pass->wide;

    if (trains(d, slice))
        pal_gemm_weights(&d->pass->gemm, d->grad + offset, pass->seed_logits,
                         pass->final_norm, r, c, v);
    pal_gemm_inputs(&d->pass->gemm, dnorm, pass->seed_logits, d->weights + offset, r, c,
                    v);
    memset(dlast, 0, (size_t)r * (size_t)c * sizeof *dlast);
    if (!descend_norm(d, PAL_FINAL_NORM, -1, dlast, dnorm, pass->last, pass->final_mean,
                      pass->final_rstd, r))
        return 0;
    pal_rows_scatter(pass->dresidual, dlast, pass->positions, r, c);
    return 1;
}

static int descend_mlp(const descent_t *d, int32_t layer)
{
    pal_pass_t *pass = d->pass;
    const pal_shape_t *shape = &pass->layout->shape;
    const int32_t n = pass->tokens, c = shape->width;
    pal_activations_t *block = &pass->blocks[layer];
    const float *dmlp = pass->dresidual;

    if (block->mlp_seeded) {
        pal_add(block->seed_mlp, pass->dresidual, (int64_t)n * c);
        dmlp = block->seed_mlp;
    }
    if (!descend_linear(d, PAL_MLP_DOWN, layer, pass->wide, dmlp, block->hidden))
        return 0;
    pal_gelu_backward(pass->wide, block->up, (int64_t)n * shape->hidden);
    if (!descend_linear(d, PAL_MLP_UP, layer, pass->narrow, pass->wide,
                        block->mlp_norm))
        return 0;
    return descend_norm(d, PAL_MLP_NORM, layer, pass->dresidual, pass->narrow,
                        block->middle, block->mlp_mean, block->mlp_rstd, n);
}

static int descend_attention(const descent_t *d, int32_t layer)
{
    pal_pass_t *pass = d->pass;
    const pal_shape_t *shape = &pass->layout->shape;
    const int32_t n = pass->tokens, c = shape->width, *offsets = pass->batch.offsets;
    const pal_activations_t *block = &pass->blocks[layer];

    if (!descend_linear(d, PAL_ATTENTION_OUT, layer, pass->narrow, pass->dresidual,
                        block->attended))
        return 0;
    for (int32_t b = 0; b < pass->batch.sequences; b++) {
        const size_t at = (size_t)offsets[b];

        pal_attention_backward(
            pass->wide + at * 3 * c, pass->narrow + at * c, block->attended + at * c,
            block->log_sum + at * shape->heads, block->qkv + at * 3 * c,
            offsets[b + 1] - offsets[b], shape->heads, c / shape->heads, pass->scratch);
    }
    if (!descend_linear(d, PAL_ATTENTION_QKV, layer, pass->narrow, pass->wide,
                        block->attention_norm))
        return 0;
    return descend_norm(d, PAL_ATTENTION_NORM, layer, pass->dresidual, pass->narrow,
                        pass->residual[layer], block->attention_mean,
                        block->attention_rstd, n);
}

static void descend_embedding(const descent_t *d)
{
    const pal_pass_t *pass = d->pass;
    const pal_batch_t *batch = &pass->batch;
    const int32_t token = slice_index(d, PAL_TOKEN_EMBEDDING, -1);
    const int32_t position = slice_index(d, PAL_POSITION_EMBEDDING, -1);
    const pal_slice_t *slices = pass->layout->slices;

    pal_embedding_backward(
        trains(d, token) ? d->grad + slices[token].offset : NULL,
        trains(d, position) ? d->grad + slices[position].offset : NULL, pass->dresidual,
        batch->tokens, batch->offsets, batch->sequences, pass->layout->shape.width);
}

/* Index of the highest residual stream that has a gradient, 0 being the embeddings; -1
 * if nothing is seeded. */
static int32_t highest_seeded(const pal_pass_t *pass)
{
    int32_t top = pass->blocks_run;

    if (pass->logits_seeded)
        return top;
    while (top >= 0 && !pass->residual_seeded[top] &&
           !(top > 0 && pass->blocks[top - 1].mlp_seeded))
        top--;
    return top;
}

/* From residual stream `top`, whose gradient so far is in dresidual, to the embeddings.
 */
static void descend(const descent_t *d, int32_t top)
{
    pal_pass_t *pass = d->pass;
    const int64_t size = (int64_t)pass->tokens * pass->layout->shape.width;

    for (int32_t layer = top;; layer--) {
        if (pass->residual_seeded[layer])
            pal_add(pass->dresidual, pass->seed_residual[layer], size);
        pal_edits_backward(pass, layer - 1);
        if (layer == 0)
            break;
        if (d->lowest > slice_index(d, PAL_MLP_DOWN_BIAS, layer - 1) ||
            !descend_mlp(d, layer - 1) || !descend_attention(d, layer - 1))
            return;
    }
    descend_embedding(d);
}

void pal_backward(pal_pass_t *pass, const float *weights, const uint8_t *train,
                  float *grad)
{
    descent_t d = {pass, weights, train, grad, 0};
    const int32_t top = highest_seeded(pass);

    assert(!pass->batch.stems);
    d.lowest = lowest_wanted(&d);
    if (top >= 0 && d.lowest < pass->layout->slice_count) {
        memset(pass->dresidual, 0,
               (size_t)pass->tokens * (size_t)pass->layout->shape.width *
                   sizeof *pass->dresidual);
        if (!pass->logits_seeded || descend_head(&d))
            descend(&d, top);
    }
    pal_pass_clear_seeds(pass);
}
