#include "model/reference.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/activation.h"
#include "kernel/attention.h"
#include "kernel/cross_entropy.h"
#include "kernel/embedding.h"
#include "kernel/gemm.h"
#include "kernel/norm.h"
#include "kernel/rotary.h"

int pal_reference_create(const pal_layout_t *layout, int32_t tokens,
                         pal_reference_t *reference, pal_error_t *err)
{
    const pal_shape_t *s = &layout->shape;
    const size_t n = (size_t)tokens, c = (size_t)s->width, layers = (size_t)s->layers;
    const size_t qkv = (size_t)pal_shape_qkv_size(s), f = (size_t)s->hidden;
    pal_reference_t made = {
        .residual = calloc((layers + 1) * n * c, sizeof(double)),
        .mlp = calloc(layers * n * c, sizeof(double)),
        .logits = calloc(n * (size_t)s->vocab, sizeof(double)),
        .scratch = calloc(n * (2 * c + qkv + 3 * f + 2), sizeof(double)),
        .tokens = tokens,
    };

    if (!made.residual || !made.mlp || !made.logits || !made.scratch) {
        pal_reference_destroy(&made);
        return PAL_FAIL(err, PAL_ENOMEM, "no memory for the reference of %d tokens",
                        (int)tokens);
    }
    *reference = made;
    return PAL_OK;
}

void pal_reference_destroy(pal_reference_t *reference)
{
    free(reference->residual);
    free(reference->mlp);
    free(reference->logits);
    free(reference->scratch);
    memset(reference, 0, sizeof *reference);
}

/* y = x W^T, + b if there is one. */
static void linear(double *y, const double *x, const pal_layout_t *layout,
                   const double *weights, pal_slice_kind_t kind, int32_t layer,
                   int32_t n)
{
    const pal_slice_t *w = pal_layout_slice(layout, kind, layer);
    const pal_slice_t *b = pal_layout_bias(layout, w);

    for (int32_t t = 0; t < n; t++)
        for (int32_t i = 0; i < w->rows; i++)
            y[(size_t)t * w->rows + i] = b ? weights[b->offset + i] : 0.0;
    pal_gemm_forward_ref(y, x, weights + w->offset, n, w->cols, w->rows);
}

static void norm(double *y, double *statistics, const double *x,
                 const pal_layout_t *layout, const double *weights,
                 pal_slice_kind_t kind, int32_t layer, int32_t n)
{
    const double *scale = weights + pal_layout_slice(layout, kind, layer)->offset;
    const double epsilon = layout->shape.norm_epsilon;
    const int32_t c = layout->shape.width;

    if (layout->shape.norm == PAL_RMSNORM)
        pal_rmsnorm_forward_ref(y, statistics, x, scale, epsilon, n, c);
    else
        pal_layernorm_forward_ref(y, statistics, statistics + n, x, scale, scale + c,
                                  epsilon, n, c);
}

static void add(double *y, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void attention(double *attended, double *qkv, const pal_shape_t *s,
                      const pal_batch_t *batch)
{
    const int32_t size = pal_shape_head_size(s), row = pal_shape_qkv_size(s);

    for (int32_t b = 0; b < batch->sequences; b++) {
        const int32_t start = batch->offsets[b], n = batch->offsets[b + 1] - start;
        double *own = qkv + (size_t)start * row;

        if (s->position == PAL_ROTARY)
            pal_rotary_forward_ref(own, row, 0, s->rope_base, n, s->heads + s->kv_heads,
                                   size);
        pal_attention_forward_ref(attended + (size_t)start * s->width, own, n, s->heads,
                                  s->kv_heads, size);
    }
}

static void block_forward(pal_reference_t *r, const pal_layout_t *layout,
                          const double *weights, const pal_batch_t *batch,
                          int32_t layer)
{
    const pal_shape_t *s = &layout->shape;
    const int32_t n = r->tokens;
    const size_t size = (size_t)n * (size_t)s->width, wide = (size_t)n * s->hidden;
    double *in = r->residual + (size_t)layer * size, *out = in + size;
    double *mlp = r->mlp + (size_t)layer * size;
    double *normed = r->scratch, *attended = normed + size;
    double *gate = attended + size, *up = gate + wide, *hidden = up + wide;
    double *statistics = hidden + wide, *qkv = statistics + 2 * (size_t)n;

    norm(normed, statistics, in, layout, weights, PAL_ATTENTION_NORM, layer, n);
    linear(qkv, normed, layout, weights, PAL_ATTENTION_QKV, layer, n);
    attention(attended, qkv, s, batch);
    linear(out, attended, layout, weights, PAL_ATTENTION_OUT, layer, n);
    add(out, in, size);
    norm(normed, statistics, out, layout, weights, PAL_MLP_NORM, layer, n);
    linear(up, normed, layout, weights, PAL_MLP_UP, layer, n);
    if (s->mlp == PAL_SWIGLU) {
        linear(gate, normed, layout, weights, PAL_MLP_GATE, layer, n);
        pal_swiglu_forward_ref(hidden, gate, up, (int64_t)wide);
    } else {
        pal_gelu_forward_ref(hidden, up, (int64_t)wide);
    }
    linear(mlp, hidden, layout, weights, PAL_MLP_DOWN, layer, n);
    add(out, mlp, size);
}

void pal_reference_forward(pal_reference_t *r, const pal_layout_t *layout,
                           const double *weights, const pal_batch_t *batch)
{
    const pal_shape_t *s = &layout->shape;
    const pal_slice_t *position = pal_layout_slice(layout, PAL_POSITION_EMBEDDING, -1);
    const pal_slice_t *token = pal_layout_slice(layout, PAL_TOKEN_EMBEDDING, -1);

    pal_embedding_forward_ref(r->residual, weights + token->offset,
                              position ? weights + position->offset : NULL,
                              batch->tokens, batch->offsets, batch->sequences,
                              s->width);
    for (int32_t layer = -1; layer < s->layers; layer++) {
        if (layer >= 0)
            block_forward(r, layout, weights, batch, layer);
        if (r->tap)
            r->tap(r->ctx,
                   r->residual + (size_t)(layer + 1) * r->tokens * (size_t)s->width,
                   layer);
    }
    pal_reference_lens(r, layout, weights, s->layers - 1);
}

void pal_reference_lens(pal_reference_t *r, const pal_layout_t *layout,
                        const double *weights, int32_t layer)
{
    const int32_t n = r->tokens, c = layout->shape.width, v = layout->shape.vocab;
    double *normed = r->scratch, *statistics = normed + (size_t)n * c;

    norm(normed, statistics, r->residual + (size_t)(layer + 1) * n * c, layout, weights,
         PAL_FINAL_NORM, -1, n);
    memset(r->logits, 0, (size_t)n * v * sizeof *r->logits);
    pal_gemm_forward_ref(r->logits, normed, weights + pal_layout_output(layout)->offset,
                         n, c, v);
}

double pal_reference_nll(const pal_reference_t *r, const pal_layout_t *layout,
                         const pal_batch_t *batch)
{
    const int32_t v = layout->shape.vocab;
    double sum = 0.0, weight = 0.0;

    for (int32_t t = 1; t < r->tokens; t++) {
        const double w = (double)batch->weights[t];

        if (w > 0.0)
            sum += w * pal_cross_entropy_ref(r->logits + (size_t)(t - 1) * v, v,
                                             batch->tokens[t]);
        weight += w;
    }
    return sum / weight;
}

double pal_reference_residual_mse(const pal_reference_t *r, const pal_layout_t *layout,
                                  const pal_batch_t *batch, int32_t layer,
                                  const double *target, int broadcast)
{
    const size_t c = (size_t)layout->shape.width;
    const double *h = r->residual + (size_t)(layer + 1) * (size_t)r->tokens * c;
    double sum = 0.0, count = 0.0;

    for (int32_t b = 0; b < batch->sequences; b++)
        for (int32_t t = batch->offsets[b] + 1; t < batch->offsets[b + 1]; t++)
            for (size_t i = 0; i < c; i++) {
                const double difference =
                    h[(size_t)t * c + i] - target[broadcast ? i : (size_t)t * c + i];

                sum += difference * difference;
                count += 1.0;
            }
    return sum / count;
}
