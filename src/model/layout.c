#include "model/layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static const char *const slice_name[PAL_SLICE_KINDS] = {
    [PAL_TOKEN_EMBEDDING] = "token_embedding",
    [PAL_POSITION_EMBEDDING] = "position_embedding",
    [PAL_ATTENTION_NORM] = "attention.norm",
    [PAL_ATTENTION_QKV] = "attention.qkv",
    [PAL_ATTENTION_QKV_BIAS] = "attention.qkv_bias",
    [PAL_ATTENTION_OUT] = "attention.out",
    [PAL_ATTENTION_OUT_BIAS] = "attention.out_bias",
    [PAL_MLP_NORM] = "mlp.norm",
    [PAL_MLP_GATE] = "mlp.gate",
    [PAL_MLP_GATE_BIAS] = "mlp.gate_bias",
    [PAL_MLP_UP] = "mlp.up",
    [PAL_MLP_UP_BIAS] = "mlp.up_bias",
    [PAL_MLP_DOWN] = "mlp.down",
    [PAL_MLP_DOWN_BIAS] = "mlp.down_bias",
    [PAL_FINAL_NORM] = "final_norm",
    [PAL_OUTPUT] = "output",
};

typedef struct {
    int64_t rows, cols;
} size_2d_t;

/* rows = 0: the shape has no such slice. Wide enough for sizes that are too large. */
static size_2d_t slice_size(const pal_shape_t *s, pal_slice_kind_t kind)
{
    const int64_t c = s->width, f = s->hidden;
    const int64_t qkv = c + 2 * (c / s->heads) * s->kv_heads;
    const int64_t norm = s->norm == PAL_LAYERNORM ? 2 : 1;
    const int64_t qkv_bias = s->bias != PAL_BIAS_NONE, bias = s->bias == PAL_BIAS_ALL;
    const int64_t gate = s->mlp == PAL_SWIGLU;
    const size_2d_t sizes[PAL_SLICE_KINDS] = {
        [PAL_TOKEN_EMBEDDING] = {s->vocab, c},
        [PAL_POSITION_EMBEDDING] = {s->position == PAL_LEARNED ? s->context : 0, c},
        [PAL_ATTENTION_NORM] = {norm, c},
        [PAL_ATTENTION_QKV] = {qkv, c},
        [PAL_ATTENTION_QKV_BIAS] = {qkv_bias, qkv},
        [PAL_ATTENTION_OUT] = {c, c},
        [PAL_ATTENTION_OUT_BIAS] = {bias, c},
        [PAL_MLP_NORM] = {norm, c},
        [PAL_MLP_GATE] = {gate * f, c},
        [PAL_MLP_GATE_BIAS] = {gate * bias, f},
        [PAL_MLP_UP] = {f, c},
        [PAL_MLP_UP_BIAS] = {bias, f},
        [PAL_MLP_DOWN] = {c, f},
        [PAL_MLP_DOWN_BIAS] = {bias, c},
        [PAL_FINAL_NORM] = {norm, c},
        [PAL_OUTPUT] = {s->tied ? 0 : s->vocab, c},
    };

    return sizes[kind];
}

static int in_block(pal_slice_kind_t kind)
{
    return kind >= PAL_ATTENTION_NORM && kind < PAL_FINAL_NORM;
}

static int check_count(const pal_shape_t *shape, pal_error_t *err)
{
    double count = 0;

    for (int kind = 0; kind < PAL_SLICE_KINDS; kind++) {
        const size_2d_t size = slice_size(shape, (pal_slice_kind_t)kind);

        count += (double)size.rows * (double)size.cols *
                 (in_block((pal_slice_kind_t)kind) ? shape->layers : 1);
    }
    if (count >= 0x1p31)
        return PAL_REJECT(err, "model: %.0f weights; at most 2^31 - 1 are possible",
                          count);
    return PAL_OK;
}

static void add_slice(pal_layout_t *layout, pal_slice_kind_t kind, int32_t layer)
{
    const size_2d_t size = slice_size(&layout->shape, kind);
    pal_slice_t *slice = &layout->slices[layout->slice_count];

    if (size.rows == 0)
        return;
    if (layer < 0)
        snprintf(slice->name, sizeof slice->name, "%s", slice_name[kind]);
    else
        snprintf(slice->name, sizeof slice->name, "block.%d.%s", (int)layer,
                 slice_name[kind]);
    slice->kind = kind;
    slice->layer = layer;
    slice->rows = (int32_t)size.rows;
    slice->cols = (int32_t)size.cols;
    slice->offset = layout->count;
    slice->size = size.rows * size.cols;
    if (layout->first[kind] < 0)
        layout->first[kind] = layout->slice_count;
    layout->block_slices += layer == 0;
    layout->count += slice->size;
    layout->slice_count++;
}

static void add_slices(pal_layout_t *layout)
{
    for (int kind = 0; kind < PAL_SLICE_KINDS; kind++)
        layout->first[kind] = -1;
    for (int kind = 0; kind < PAL_ATTENTION_NORM; kind++)
        add_slice(layout, (pal_slice_kind_t)kind, -1);
    for (int32_t layer = 0; layer < layout->shape.layers; layer++)
        for (int kind = PAL_ATTENTION_NORM; kind < PAL_FINAL_NORM; kind++)
            add_slice(layout, (pal_slice_kind_t)kind, layer);
    for (int kind = PAL_FINAL_NORM; kind < PAL_SLICE_KINDS; kind++)
        add_slice(layout, (pal_slice_kind_t)kind, -1);
}

int pal_layout_create(const pal_shape_t *shape, pal_layout_t **out, pal_error_t *err)
{
    pal_layout_t *layout;
    size_t most;
    int rc = pal_shape_check(shape, err);

    if (rc == PAL_OK)
        rc = check_count(shape, err);
    if (rc != PAL_OK)
        return rc;
    most = PAL_SLICE_KINDS * (size_t)shape->layers;
    layout = calloc(1, sizeof *layout);
    if (layout)
        layout->slices = calloc(most, sizeof *layout->slices);
    if (!layout || !layout->slices) {
        pal_layout_destroy(layout);
        return PAL_FAIL(err, PAL_ENOMEM, "no memory for a table of %zu slices", most);
    }
    layout->shape = *shape;
    add_slices(layout);
    *out = layout;
    return PAL_OK;
}

void pal_layout_destroy(pal_layout_t *layout)
{
    if (!layout)
        return;
    free(layout->slices);
    free(layout);
}

const pal_slice_t *pal_layout_slice(const pal_layout_t *layout, pal_slice_kind_t kind,
                                    int32_t layer)
{
    const int32_t first = layout->first[kind];

    if (first < 0)
        return NULL;
    return &layout->slices[layer < 0 ? first : first + layer * layout->block_slices];
}

int pal_layout_buffer(const pal_layout_t *layout, const char *name, float **out,
                      pal_error_t *err)
{
    float *buffer = calloc((size_t)layout->count, sizeof *buffer);

    if (!buffer)
        return PAL_FAIL(err, PAL_ENOMEM, "%s of %lld parameters", name,
                        (long long)layout->count);
    *out = buffer;
    return PAL_OK;
}

const pal_slice_t *pal_layout_bias(const pal_layout_t *layout,
                                   const pal_slice_t *matrix)
{
    return pal_layout_slice(layout, (pal_slice_kind_t)(matrix->kind + 1),
                            matrix->layer);
}

const pal_slice_t *pal_layout_output(const pal_layout_t *layout)
{
    return pal_layout_slice(layout,
                            layout->shape.tied ? PAL_TOKEN_EMBEDDING : PAL_OUTPUT, -1);
}

int pal_slice_is_matrix(pal_slice_kind_t kind)
{
    switch (kind) {
    case PAL_TOKEN_EMBEDDING:
    case PAL_POSITION_EMBEDDING:
    case PAL_ATTENTION_QKV:
    case PAL_ATTENTION_OUT:
    case PAL_MLP_GATE:
    case PAL_MLP_UP:
    case PAL_MLP_DOWN:
    case PAL_OUTPUT:
        return 1;
    default:
        return 0;
    }
}

static int is_norm(pal_slice_kind_t kind)
{
    return kind == PAL_ATTENTION_NORM || kind == PAL_MLP_NORM || kind == PAL_FINAL_NORM;
}

void pal_layout_init(const pal_layout_t *layout, pal_key_t key, float *weights)
{
    pal_rng_t rng;

    pal_rng_init(&rng, key, "init");
    memset(weights, 0, (size_t)layout->count * sizeof *weights);
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *slice = &layout->slices[i];
        float *w = weights + slice->offset;
        double deviation = 0.02;

        if (slice->kind == PAL_ATTENTION_OUT || slice->kind == PAL_MLP_DOWN)
            deviation /= sqrt(2.0 * layout->shape.layers);
        if (pal_slice_is_matrix(slice->kind))
            for (int64_t j = 0; j < slice->size; j++)
                w[j] = (float)(deviation * pal_rng_normal(&rng));
        if (is_norm(slice->kind))
            for (int32_t j = 0; j < slice->cols; j++)
                w[j] = 1.0f;
    }
}
