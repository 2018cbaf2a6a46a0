#include "model/surgery.h"

#include <stddef.h>

#include "base/rng.h"

/* Where the weights of the new model come from. */
typedef struct {
    const pal_layout_t *layout;
    const float *weights;
    const uint8_t *keep;    /* as in pal_surgery_layers(), or NULL: all */
    const int32_t *neurons; /* as in pal_surgery_neurons(), or NULL */
    int32_t hidden;
} source_t;

/* -1, outside the blocks, stays. */
static int32_t old_layer(const source_t *source, int32_t layer)
{
    int32_t old = -1;

    for (int32_t l = 0; l <= layer; l++)
        do
            old++;
        while (source->keep && !source->keep[old]);
    return old;
}

static int32_t old_neuron(const source_t *source, int32_t layer, int32_t neuron)
{
    if (source->neurons)
        return source->neurons[(size_t)layer * (size_t)source->hidden + (size_t)neuron];
    return neuron < source->layout->shape.hidden ? neuron : -1;
}

/* Slices of which a row, or a column, is a neuron. */
static int neuron_rows(pal_slice_kind_t kind)
{
    return kind == PAL_MLP_UP || kind == PAL_MLP_GATE;
}

static int neuron_cols(pal_slice_kind_t kind)
{
    return kind == PAL_MLP_DOWN || kind == PAL_MLP_UP_BIAS || kind == PAL_MLP_GATE_BIAS;
}

/* What has no old neuron is left as it is. */
static void copy_slice(const source_t *source, const pal_slice_t *to, float *weights)
{
    const int32_t layer = old_layer(source, to->layer);
    const pal_slice_t *from = pal_layout_slice(source->layout, to->kind, layer);

    for (int32_t r = 0; r < to->rows; r++) {
        const int32_t i = neuron_rows(to->kind) ? old_neuron(source, to->layer, r) : r;

        for (int32_t c = 0; i >= 0 && c < to->cols; c++) {
            const int32_t j =
                neuron_cols(to->kind) ? old_neuron(source, to->layer, c) : c;

            if (j >= 0)
                weights[to->offset + (int64_t)r * to->cols + c] =
                    source->weights[from->offset + (int64_t)i * from->cols + j];
        }
    }
}

/* As pal_layout_init() draws them. */
static void draw_fresh(const source_t *source, const pal_slice_t *to, pal_rng_t *rng,
                       float *weights)
{
    for (int32_t r = 0; neuron_rows(to->kind) && r < to->rows; r++)
        for (int32_t c = 0; old_neuron(source, to->layer, r) < 0 && c < to->cols; c++)
            weights[to->offset + (int64_t)r * to->cols + c] =
                (float)(0.02 * pal_rng_normal(rng));
}

static int make(const source_t *source, const pal_shape_t *shape, pal_key_t key,
                pal_layout_t **out, float **out_weights, pal_error_t *err)
{
    pal_layout_t *layout;
    float *weights;
    pal_rng_t rng;
    int rc = pal_layout_create(shape, &layout, err);

    if (rc != PAL_OK)
        return rc;
    rc = pal_layout_buffer(layout, "weights", &weights, err);
    if (rc != PAL_OK) {
        pal_layout_destroy(layout);
        return rc;
    }
    pal_rng_init(&rng, key, "neurons");
    for (int32_t i = 0; i < layout->slice_count; i++) {
        draw_fresh(source, &layout->slices[i], &rng, weights);
        copy_slice(source, &layout->slices[i], weights);
    }
    *out = layout;
    *out_weights = weights;
    return PAL_OK;
}

int pal_surgery_layers(const pal_layout_t *layout, const float *weights,
                       const uint8_t *keep, pal_layout_t **out, float **out_weights,
                       pal_error_t *err)
{
    const source_t source = {.layout = layout, .weights = weights, .keep = keep};
    pal_shape_t shape = layout->shape;

    shape.layers = 0;
    for (int32_t l = 0; l < layout->shape.layers; l++)
        shape.layers += keep[l] != 0;
    return make(&source, &shape, (pal_key_t){{0}}, out, out_weights, err);
}

int pal_surgery_neurons(const pal_layout_t *layout, const float *weights,
                        const int32_t *neurons, int32_t hidden, pal_key_t key,
                        pal_layout_t **out, float **out_weights, pal_error_t *err)
{
    const source_t source = {
        .layout = layout, .weights = weights, .neurons = neurons, .hidden = hidden};
    pal_shape_t shape = layout->shape;

    shape.hidden = hidden;
    for (int32_t l = 0; neurons && l < shape.layers; l++)
        for (int32_t j = 0; j < hidden; j++) {
            const int32_t old = neurons[(size_t)l * (size_t)hidden + (size_t)j];

            if (old < -1 || old >= layout->shape.hidden)
                return PAL_FAIL(err, PAL_EINVAL,
                                "block %d: there is no neuron %d; they are 0 to %d",
                                (int)l, (int)old, (int)layout->shape.hidden - 1);
        }
    return make(&source, &shape, key, out, out_weights, err);
}
