#include <assert.h>
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

/* The way down. Slices lie in the buffer in the order in which the forward pass uses
 * them (an output matrix that is the token embedding apart), so "does anything below
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

static int32_t slice_index(const descent_t *d, const pal_slice_t *slice)
{
    return (int32_t)(slice - d->pass->layout->slices);
}

/* Index of the first slice above residual stream `layer`: of the next block, or the
 * final norm. */
static int32_t first_above(const descent_t *d, int32_t layer)
{
    const pal_layout_t *layout = d->pass->layout;
    const int last = layer == layout->shape.layers - 1;

    return slice_index(d, pal_layout_slice(layout,
                                           last ? PAL_FINAL_NORM : PAL_ATTENTION_NORM,
                                           last ? -1 : layer + 1));
}

static int32_t lowest_wanted(const descent_t *d)
{
    const pal_layout_t *layout = d->pass->layout;
    const int32_t delta = pal_edits_lowest(d->pass);
    const int32_t below =
        delta == layout->shape.layers ? layout->slice_count : first_above(d, delta) - 1;
    int32_t slice = 0;

    while (slice < below && !trains(d, slice))
        slice++;
    return slice;
}

/* Each step down returns whether the descent goes on below it. */

/* y = x W^T + b: gradients of W and b, then dx. */
static int descend_linear(const descent_t *d, pal_slice_kind_t kind, int32_t layer,
                          float *dx, const float *dy, const float *x)
{
    const pal_layout_t *layout = d->pass->layout;
    const pal_slice_t *w = pal_layout_slice(layout, kind, layer);
    const pal_slice_t *b = pal_layout_bias(layout, w);
    const int32_t n = d->pass->tokens;

    if (trains(d, slice_index(d, w)))
        pal_gemm_weights(&d->pass->gemm, d->grad + w->offset, dy, x, n, w->cols,
                         w->rows);
    if (b && trains(d, slice_index(d, b)))
        pal_rows_sum(d->grad + b->offset, dy, n, w->rows);
    if (d->lowest >= slice_index(d, w))
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
    const pal_shape_t *shape = &d->pass->layout->shape;
    const pal_slice_t *slice = pal_layout_slice(d->pass->layout, kind, layer);
    const int32_t index = slice_index(d, slice);

    if (trains(d, index))
        pal_norm_weights(shape, d->grad + slice->offset, dy, x, mean, rstd, n);
    if (d->lowest >= index)
        return 0;
    pal_norm_inputs(shape, dx, dy, x, mean, rstd, d->weights + slice->offset, n);
    return 1;
}

static int descend_head(const descent_t *d)
{
    pal_pass_t *pass = d->pass;
    const pal_shape_t *shape = &pass->layout->shape;
    const pal_slice_t *output = pal_layout_output(pass->layout);
    const int32_t r = pass->rows, c = shape->width, v = shape->vocab;
    float *dnorm = pass->narrow, *dlast = pass->wide;

    if (trains(d, slice_index(d, output)))
        pal_gemm_weights(&d->pass->gemm, d->grad + output->offset, pass->seed_logits,
                         pass->final_norm, r, c, v);
    if (!shape->tied && d->lowest >= slice_index(d, output))
        return 0;
    pal_gemm_inputs(&pass->gemm, dnorm, pass->seed_logits, d->weights + output->offset,
                    r, c, v);
    memset(dlast, 0, (size_t)r * (size_t)c * sizeof *dlast);
    if (!descend_norm(d, PAL_FINAL_NORM, -1, dlast, dnorm, pass->last, pass->final_mean,
                      pass->final_rstd, r))
        return 0;
    pal_rows_scatter(pass->dresidual, dlast, pass->positions, r, c);
    return 1;
}

/* From d(loss)/d(hidden) in pass->wide to that of what goes into the MLP, in
 * pass->narrow. */
static int descend_swiglu(const descent_t *d, int32_t layer)
{
    pal_pass_t *pass = d->pass;
    const pal_shape_t *shape = &pass->layout->shape;
    const int64_t n = pass->tokens;
    const pal_activations_t *block = &pass->blocks[layer];
    float *dup = pass->wide;

    pal_swiglu_backward(dup, pass->dgate, block->gate, block->up, n * shape->hidden);
    if (!descend_linear(d, PAL_MLP_UP, layer, pass->narrow, dup, block->mlp_norm) ||
        !descend_linear(d, PAL_MLP_GATE, layer, pass->wide, pass->dgate,
                        block->mlp_norm))
        return 0;
    pal_add(pass->narrow, pass->wide, n * shape->width);
    return 1;
}

static int descend_gelu(const descent_t *d, int32_t layer)
{
    pal_pass_t *pass = d->pass;
    const pal_activations_t *block = &pass->blocks[layer];

    pal_gelu_backward(pass->wide, block->up,
                      (int64_t)pass->tokens * pass->layout->shape.hidden);
    return descend_linear(d, PAL_MLP_UP, layer, pass->narrow, pass->wide,
                          block->mlp_norm);
}

static int descend_mlp(const descent_t *d, int32_t layer)
{
    pal_pass_t *pass = d->pass;
    const pal_shape_t *shape = &pass->layout->shape;
    pal_activations_t *block = &pass->blocks[layer];
    const float *dmlp = pass->dresidual;

    if (block->mlp_seeded) {
        pal_add(block->seed_mlp, pass->dresidual, (int64_t)pass->tokens * shape->width);
        dmlp = block->seed_mlp;
    }
    if (!descend_linear(d, PAL_MLP_DOWN, layer, pass->wide, dmlp, block->hidden) ||
        !(shape->mlp == PAL_SWIGLU ? descend_swiglu : descend_gelu)(d, layer))
        return 0;
    return descend_norm(d, PAL_MLP_NORM, layer, pass->dresidual, pass->narrow,
                        block->middle, block->mlp_mean, block->mlp_rstd, pass->tokens);
}

/* d(loss)/d(qkv) in pass->wide, from that of what was attended to in pass->narrow. A
 * branch adds to rows of its stem, and whatever adds to the same columns goes in the
 * order of the batch: with stems, a piece of work is a group of heads, and otherwise a
 * group of one sequence. */
static void attend_backward(const pal_pass_t *pass, const pal_activations_t *block)
{
    const pal_heads_t heads = pal_shape_heads(&pass->layout->shape);
    const int32_t pieces = pass->batch.stems ? 1 : pass->batch.sequences;
    const int32_t sequences = pass->batch.sequences / pieces;

    PAL_PARALLEL
    for (int32_t i = 0; i < pieces * heads.kv_heads; i++)
        for (int32_t k = 0; k < sequences; k++)
            pal_attention_backward(pass->wide, pass->narrow, block->attended,
                                   block->log_sum, block->qkv, i % heads.kv_heads,
                                   pal_pass_text(pass, i / heads.kv_heads + k), heads,
                                   pal_pass_scratch(pass));
}

static int descend_attention(const descent_t *d, int32_t layer)
{
    pal_pass_t *pass = d->pass;
    const pal_activations_t *block = &pass->blocks[layer];

    if (!descend_linear(d, PAL_ATTENTION_OUT, layer, pass->narrow, pass->dresidual,
                        block->attended))
        return 0;
    attend_backward(pass, block);
    pal_pass_turn(pass, pass->wide, pal_rotary_backward);
    if (!descend_linear(d, PAL_ATTENTION_QKV, layer, pass->narrow, pass->wide,
                        block->attention_norm))
        return 0;
    return descend_norm(d, PAL_ATTENTION_NORM, layer, pass->dresidual, pass->narrow,
                        pass->residual[layer], block->attention_mean,
                        block->attention_rstd, pass->tokens);
}

/* Where the rows of a slice's gradient go; NULL if there is none to compute. */
static float *gradient_of(const descent_t *d, pal_slice_kind_t kind)
{
    const pal_slice_t *slice = pal_layout_slice(d->pass->layout, kind, -1);

    return slice && trains(d, slice_index(d, slice)) ? d->grad + slice->offset : NULL;
}

static void descend_embedding(const descent_t *d)
{
    const pal_pass_t *pass = d->pass;
    const pal_batch_t *batch = &pass->batch;

    pal_embedding_backward(gradient_of(d, PAL_TOKEN_EMBEDDING),
                           gradient_of(d, PAL_POSITION_EMBEDDING), pass->dresidual,
                           batch->tokens, batch->offsets, batch->starts,
                           batch->sequences, pass->layout->shape.width);
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
        if (d->lowest >= first_above(d, layer - 1) || !descend_mlp(d, layer - 1) ||
            !descend_attention(d, layer - 1))
            return;
    }
    descend_embedding(d);
}

void pal_backward(pal_pass_t *pass, const float *weights, const uint8_t *train,
                  float *grad)
{
    descent_t d = {pass, weights, train, grad, 0};
    const int32_t top = highest_seeded(pass);

    assert(pass->threads >= pal_threads());
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
