#include "model/reference.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/activation.h"
#include "kernel/attention.h"
#include "kernel/cross_entropy.h"
#include "kernel/embedding.h"
#include "kernel/gemm.h"
#include "kernel/norm.h"

int pal_reference_create(const pal_layout_t *layout, int32_t tokens,
                         pal_reference_t *reference, pal_error_t *err)
{
    const pal_shape_t *s = &layout->shape;
    const size_t n = (size_t)tokens, c = (size_t)s->width, layers = (size_t)s->layers;
    pal_reference_t made = {
        .residual = calloc((layers + 1) * n * c, sizeof(double)),
        .mlp = calloc(layers * n * c, sizeof(double)),
        .logits = calloc(n * (size_t)s->vocab, sizeof(double)),
        .scratch = calloc(n * (5 * c + 2 * (size_t)s->hidden + 2), sizeof(double)),
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

static const double *slice(const pal_layout_t *layout, const double *weights,
                           pal_slice_kind_t kind, int32_t layer)
{
    return weights + pal_layout_slice(layout, kind, layer)->offset;
}

/* y = x W^T + b, W and b being neighbours. */
static void linear(double *y, const double *x, const pal_layout_t *layout,
                   const double *weights, pal_slice_kind_t kind, int32_t layer,
                   int32_t n)
{
    const pal_slice_t *w = pal_layout_slice(layout, kind, layer);

    for (int32_t t = 0; t < n; t++)
        memcpy(y + (size_t)t * w->rows, weights + w[1].offset,
               (size_t)w->rows * sizeof *y);
    pal_gemm_forward_ref(y, x, weights + w->offset, n, w->cols, w->rows);
}

static void norm(double *y, double *statistics, const double *x,
                 const pal_layout_t *layout, const double *weights,
                 pal_slice_kind_t kind, int32_t layer, int32_t n)
{
    const double *w = slice(layout, weights, kind, layer);
    const int32_t c = layout->shape.width;

    pal_norm_forward_ref(y, statistics, statistics + n, x, w, w + c, n, c);
}

static void add(double *y, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void block_forward(pal_reference_t *r, const pal_layout_t *layout,
                          const double *weights, const pal_batch_t *batch,
                          int32_t layer)
{
    const pal_shape_t *s = &layout->shape;
    const int32_t n = r->tokens, c = s->width, f = s->hidden, *at = batch->offsets;
    const size_t size = (size_t)n * (size_t)c;
    double *in = r->residual + (size_t)layer * size, *out = in + size;
    double *mlp = r->mlp + (size_t)layer * size;
    double *normed = r->scratch, *qkv = normed + size, *attended = qkv + 3 * size;
    double *up = attended + size, *hidden = up + (size_t)n * f;
    double *statistics = hidden + (size_t)n * f;

    norm(normed, statistics, in, layout, weights, PAL_ATTENTION_NORM, layer, n);
    linear(qkv, normed, layout, weights, PAL_ATTENTION_QKV, layer, n);
    for (int32_t b = 0; b < batch->sequences; b++)
        pal_attention_forward_ref(attended + (size_t)at[b] * c,
                                  qkv + (size_t)at[b] * 3 * c, at[b + 1] - at[b],
                                  s->heads, c / s->heads);
    linear(out, attended, layout, weights, PAL_ATTENTION_OUT, layer, n);
    add(out, in, size);
    norm(normed, statistics, out, layout, weights, PAL_MLP_NORM, layer, n);
    linear(up, normed, layout, weights, PAL_MLP_UP, layer, n);
    pal_gelu_forward_ref(hidden, up, (int64_t)n * f);
    linear(mlp, hidden, layout, weights, PAL_MLP_DOWN, layer, n);
    add(out, mlp, size);
}

void pal_reference_forward(pal_reference_t *r, const pal_layout_t *layout,
                           const double *weights, const pal_batch_t *batch)
{
    const pal_shape_t *s = &layout->shape;

    pal_embedding_forward_ref(
        r->residual, slice(layout, weights, PAL_TOKEN_EMBEDDING, -1),
        slice(layout, weights, PAL_POSITION_EMBEDDING, -1), batch->tokens,
        batch->offsets, batch->sequences, s->width);
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
    pal_gemm_forward_ref(r->logits, normed,
                         slice(layout, weights, PAL_TOKEN_EMBEDDING, -1), n, c, v);
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
