#include "model/layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { BLOCK_SLICES = PAL_FINAL_NORM - PAL_ATTENTION_NORM };

static const char *const slice_name[PAL_SLICE_KINDS] = {
    [PAL_TOKEN_EMBEDDING] = "token_embedding",
    [PAL_POSITION_EMBEDDING] = "position_embedding",
    [PAL_ATTENTION_NORM] = "attention.norm",
    [PAL_ATTENTION_QKV] = "attention.qkv",
    [PAL_ATTENTION_QKV_BIAS] = "attention.qkv_bias",
    [PAL_ATTENTION_OUT] = "attention.out",
    [PAL_ATTENTION_OUT_BIAS] = "attention.out_bias",
    [PAL_MLP_NORM] = "mlp.norm",
    [PAL_MLP_UP] = "mlp.up",
    [PAL_MLP_UP_BIAS] = "mlp.up_bias",
    [PAL_MLP_DOWN] = "mlp.down",
    [PAL_MLP_DOWN_BIAS] = "mlp.down_bias",
    [PAL_FINAL_NORM] = "final_norm",
};

static int check_shape(const pal_shape_t *s, pal_error_t *err)
{
    const struct {
        const char *name;
        int32_t value;
    } sizes[] = {
        {"vocab", s->vocab},   {"context", s->context}, {"width", s->width},
        {"layers", s->layers}, {"heads", s->heads},     {"hidden", s->hidden},
    };
    double c = s->width, count;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1)
            return PAL_REJECT(err, "model: %s is %d; it must be at least 1",
                              sizes[i].name, (int)sizes[i].value);
    if (s->width % s->heads != 0)
        return PAL_REJECT(err, "model: width %d is not a multiple of heads %d",
                          (int)s->width, (int)s->heads);
    count = c * ((double)s->vocab + s->context + 2.0) +
            s->layers * (4.0 * c * c + 2.0 * c * s->hidden + 9.0 * c + s->hidden);
    if (count >= 0x1p31)
        return PAL_REJECT(err, "model: %.0f weights; at most 2^31 - 1 are possible",
                          count);
    return PAL_OK;
}

static void slice_size(const pal_shape_t *s, pal_slice_kind_t kind, int32_t *rows,
                       int32_t *cols)
{
    const int32_t c = s->width;
    const int32_t size[PAL_SLICE_KINDS][2] = {
        [PAL_TOKEN_EMBEDDING] = {s->vocab, c},
        [PAL_POSITION_EMBEDDING] = {s->context, c},
        [PAL_ATTENTION_NORM] = {2, c},
        [PAL_ATTENTION_QKV] = {3 * c, c},
        [PAL_ATTENTION_QKV_BIAS] = {1, 3 * c},
        [PAL_ATTENTION_OUT] = {c, c},
        [PAL_ATTENTION_OUT_BIAS] = {1, c},
        [PAL_MLP_NORM] = {2, c},
        [PAL_MLP_UP] = {s->hidden, c},
        [PAL_MLP_UP_BIAS] = {1, s->hidden},
        [PAL_MLP_DOWN] = {c, s->hidden},
        [PAL_MLP_DOWN_BIAS] = {1, c},
        [PAL_FINAL_NORM] = {2, c},
    };

    *rows = size[kind][0];
    *cols = size[kind][1];
}

static void add_slice(pal_layout_t *layout, pal_slice_kind_t kind, int32_t layer)
{
    pal_slice_t *slice = &layout->slices[layout->slice_count++];

    if (layer < 0)
        snprintf(slice->name, sizeof slice->name, "%s", slice_name[kind]);
    else
        snprintf(slice->name, sizeof slice->name, "block.%d.%s", (int)layer,
                 slice_name[kind]);
    slice->kind = kind;
    slice->layer = layer;
    slice_size(&layout->shape, kind, &slice->rows, &slice->cols);
    slice->offset = layout->count;
    slice->size = (int64_t)slice->rows * slice->cols;
    layout->count += slice->size;
}

int pal_layout_create(const pal_shape_t *shape, pal_layout_t **out, pal_error_t *err)
{
    pal_layout_t *layout;
    size_t slices;
    int rc = check_shape(shape, err);

    if (rc != PAL_OK)
        return rc;
    slices = PAL_SLICE_KINDS + (size_t)BLOCK_SLICES * ((size_t)shape->layers - 1);
    layout = calloc(1, sizeof *layout);
    if (layout)
        layout->slices = calloc(slices, sizeof *layout->slices);
    if (!layout || !layout->slices) {
        pal_layout_destroy(layout);
        return PAL_FAIL(err, PAL_ENOMEM, "no memory for a table of %zu slices", slices);
    }
    layout->shape = *shape;
    add_slice(layout, PAL_TOKEN_EMBEDDING, -1);
    add_slice(layout, PAL_POSITION_EMBEDDING, -1);
    for (int32_t layer = 0; layer < shape->layers; layer++)
        for (int kind = PAL_ATTENTION_NORM; kind < PAL_FINAL_NORM; kind++)
            add_slice(layout, (pal_slice_kind_t)kind, layer);
    add_slice(layout, PAL_FINAL_NORM, -1);
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
    if (kind < PAL_ATTENTION_NORM)
        return &layout->slices[kind];
    if (kind == PAL_FINAL_NORM)
        return &layout->slices[layout->slice_count - 1];
    return &layout->slices[kind + layer * BLOCK_SLICES];
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

int pal_slice_is_matrix(pal_slice_kind_t kind)
{
    switch (kind) {
    case PAL_TOKEN_EMBEDDING:
    case PAL_POSITION_EMBEDDING:
    case PAL_ATTENTION_QKV:
    case PAL_ATTENTION_OUT:
    case PAL_MLP_UP:
    case PAL_MLP_DOWN:
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

double pal_layout_flops(const pal_layout_t *layout, double length, int with_logits)
{
    const pal_shape_t *s = &layout->shape;
    double c = s->width;
    double matrices = 2.0 * (4.0 * c * c + 2.0 * c * s->hidden);
    double attention =
        2.0 * c * (length + 1.0); /* scores and values, half of a square */

    return s->layers * (matrices + attention) +
           (with_logits ? 2.0 * c * s->vocab : 0.0);
}

static const struct {
    const char *name;
    int32_t width, layers, heads;
} presets[] = {
    {"nano", 64, 2, 4},
    {"micro", 128, 4, 4},
    {"small", 256, 6, 8},
    {"medium", 512, 8, 8},
};

enum { PRESETS = sizeof presets / sizeof *presets };

int pal_preset_count(void)
{
    return PRESETS;
}

const char *pal_preset_name(int i)
{
    return presets[i].name;
}

int pal_preset_find(const char *name, pal_shape_t *shape, pal_error_t *err)
{
    char names[128] = "";
    int used = 0;

    for (int i = 0; i < PRESETS; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            shape->width = presets[i].width;
            shape->layers = presets[i].layers;
            shape->heads = presets[i].heads;
            shape->hidden = 4 * presets[i].width;
            return PAL_OK;
        }
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%s",
                         i ? ", " : "", presets[i].name);
    }
    pal_fail_(err, PAL_ENOENT, 0, 0, "no model size '%s'; there are %s", name, names);
    return PAL_ENOENT;
}
