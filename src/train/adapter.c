#include "train/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "kernel/rows.h"
#include "kernel/vector.h"

static int is_target(const pal_adapter_spec_t *spec, pal_slice_kind_t kind)
{
    const int attention = kind == PAL_ATTENTION_QKV || kind == PAL_ATTENTION_OUT;
    const int mlp = kind == PAL_MLP_GATE || kind == PAL_MLP_UP || kind == PAL_MLP_DOWN;

    return (attention && strcmp(spec->targets, "mlp") != 0) ||
           (mlp && strcmp(spec->targets, "attention") != 0);
}

static int check_spec(const pal_adapter_spec_t *spec, pal_error_t *err)
{
    if (spec->rank < 1)
        return PAL_REJECT(err, "adapter: rank %lld; it must be at least 1",
                          (long long)spec->rank);
    if (!(spec->alpha > 0 && isfinite(spec->alpha)))
        return PAL_REJECT(err, "adapter: alpha %g; it must be above 0", spec->alpha);
    if (!(spec->noise >= 0 && isfinite(spec->noise)))
        return PAL_REJECT(err, "adapter: noise %g; it must be at least 0", spec->noise);
    if (strcmp(spec->targets, "attention") != 0 && strcmp(spec->targets, "mlp") != 0 &&
        strcmp(spec->targets, "all") != 0)
        return PAL_REJECT(err, "adapter: targets '%s' is none of attention|mlp|all",
                          spec->targets);
    return PAL_OK;
}

/* A larger rank than a matrix can have adds parameters and nothing else. */
static int check_layout(const pal_adapter_spec_t *spec, const pal_layout_t *layout,
                        pal_error_t *err)
{
    int rc = check_spec(spec, err);

    for (int32_t i = 0; i < layout->slice_count && rc == PAL_OK; i++) {
        const pal_slice_t *w = &layout->slices[i];
        const int32_t most = w->rows < w->cols ? w->rows : w->cols;

        if (is_target(spec, w->kind) && spec->rank > most)
            rc = PAL_REJECT(err, "adapter: rank %lld, but %s is %d x %d: at most %d",
                            (long long)spec->rank, w->name, (int)w->rows, (int)w->cols,
                            (int)most);
    }
    return rc;
}

int pal_adapter_check(const pal_adapter_spec_t *spec, const pal_shape_t *shape,
                      pal_error_t *err)
{
    pal_layout_t *layout = NULL;
    int rc = pal_layout_create(shape, &layout, err);

    if (rc == PAL_OK)
        rc = check_layout(spec, layout, err);
    pal_layout_destroy(layout);
    return rc;
}

static void add_factor(pal_layout_t *factors, const pal_slice_t *matrix, char letter,
                       int32_t rows, int32_t cols)
{
    pal_slice_t *slice = &factors->slices[factors->slice_count++];

    *slice = *matrix;
    snprintf(slice->name, sizeof slice->name, "%.*s.%c", (int)(sizeof slice->name - 3),
             matrix->name, letter);
    slice->rows = rows;
    slice->cols = cols;
    slice->offset = factors->count;
    slice->size = (int64_t)rows * cols;
    factors->count += slice->size;
}

/* The tables; 0, or -1 if memory is out. */
static int list_matrices(pal_adapter_t *adapter, const pal_adapter_spec_t *spec,
                         const uint8_t *train)
{
    const pal_layout_t *layout = adapter->layout;
    const size_t most = (size_t)layout->slice_count;

    adapter->matrices = calloc(most, sizeof *adapter->matrices);
    adapter->factors.slices = calloc(2 * most, sizeof *adapter->factors.slices);
    if (!adapter->matrices || !adapter->factors.slices)
        return -1;
    adapter->factors.shape = layout->shape;
    for (int32_t i = 0; i < layout->slice_count; i++) {
        const pal_slice_t *w = &layout->slices[i];

        if (!is_target(spec, w->kind) || (train && !train[i]))
            continue;
        adapter->matrices[adapter->count++] = i;
        add_factor(&adapter->factors, w, 'a', (int32_t)spec->rank, w->cols);
        add_factor(&adapter->factors, w, 'b', w->rows, (int32_t)spec->rank);
    }
    return 0;
}

static void draw(pal_adapter_t *adapter, double noise, pal_key_t key)
{
    pal_rng_t rng;

    pal_rng_init(&rng, key, "adapter");
    for (int32_t i = 0; i < adapter->factors.slice_count; i++) {
        const pal_slice_t *slice = &adapter->factors.slices[i];
        const double deviation = i % 2 == 0 ? 1 / sqrt(slice->cols) : noise;

        for (int64_t j = 0; j < slice->size && deviation > 0; j++)
            adapter->values[slice->offset + j] =
                (float)(deviation * pal_rng_normal(&rng));
    }
}

int pal_adapter_create(const pal_layout_t *layout, const pal_adapter_spec_t *spec,
                       const uint8_t *train, const float *base, pal_key_t key,
                       pal_adapter_t **out, pal_error_t *err)
{
    pal_adapter_t *adapter = NULL;
    int rc = check_layout(spec, layout, err);

    if (rc != PAL_OK)
        return rc;
    rc = PAL_ENOMEM;
    adapter = calloc(1, sizeof *adapter);
    if (!adapter)
        goto fail;
    adapter->layout = layout;
    adapter->base = base;
    adapter->scale = spec->alpha / (double)spec->rank;
    if (list_matrices(adapter, spec, train) < 0)
        goto fail;
    if (adapter->count == 0) {
        rc = PAL_REJECT(err, "adapter: of its targets, '%s', nothing is to be trained",
                        spec->targets);
        goto fail;
    }
    adapter->values = calloc((size_t)adapter->factors.count, sizeof(float));
    if (!adapter->values)
        goto fail;
    draw(adapter, spec->noise, key);
    *out = adapter;
    return PAL_OK;
fail:
    pal_adapter_destroy(adapter);
    return rc == PAL_ENOMEM
               ? PAL_FAIL(err, rc, "adapter of rank %lld", (long long)spec->rank)
               : rc;
}

void pal_adapter_destroy(pal_adapter_t *adapter)
{
    if (!adapter)
        return;
    free(adapter->matrices);
    free(adapter->factors.slices);
    free(adapter->values);
    free(adapter);
}

void pal_adapter_select(const pal_adapter_t *adapter, uint8_t *train)
{
    memset(train, 0, (size_t)adapter->layout->slice_count);
    for (int32_t i = 0; i < adapter->count; i++)
        train[adapter->matrices[i]] = 1;
}

static const pal_slice_t *matrix(const pal_adapter_t *adapter, int32_t i)
{
    return &adapter->layout->slices[adapter->matrices[i]];
}

static const float *factor_a(const pal_adapter_t *adapter, int32_t i)
{
    return adapter->values + adapter->factors.slices[2 * i].offset;
}

static const float *factor_b(const pal_adapter_t *adapter, int32_t i)
{
    return adapter->values + adapter->factors.slices[2 * i + 1].offset;
}

void pal_adapter_extract(const pal_adapter_t *adapter, int32_t i, float *delta)
{
    const pal_slice_t *w = matrix(adapter, i);
    const int32_t rank = adapter->factors.slices[2 * i].rows;

    pal_gemm_inputs(NULL, delta, factor_b(adapter, i), factor_a(adapter, i), w->rows,
                    w->cols, rank);
    pal_scale(delta, (float)adapter->scale, w->size);
}

void pal_adapter_merge(const pal_adapter_t *adapter, float *weights)
{
    for (int32_t i = 0; i < adapter->count; i++) {
        const pal_slice_t *w = matrix(adapter, i);

        pal_adapter_extract(adapter, i, weights + w->offset);
        pal_add(weights + w->offset, adapter->base + w->offset, w->size);
    }
}

void pal_adapter_disable(const pal_adapter_t *adapter, float *weights)
{
    for (int32_t i = 0; i < adapter->count; i++) {
        const pal_slice_t *w = matrix(adapter, i);

        memcpy(weights + w->offset, adapter->base + w->offset,
               (size_t)w->size * sizeof *weights);
    }
}

void pal_adapter_gradient(const pal_adapter_t *adapter, const float *weights_grad,
                          float *grad)
{
    memset(grad, 0, (size_t)adapter->factors.count * sizeof *grad);
    for (int32_t i = 0; i < adapter->count; i++) {
        const pal_slice_t *w = matrix(adapter, i), *a = &adapter->factors.slices[2 * i];
        const float *dw = weights_grad + w->offset;

        pal_gemm_weights(NULL, grad + a[0].offset, factor_b(adapter, i), dw, w->rows,
                         w->cols, a->rows);
        pal_gemm_forward(NULL, grad + a[1].offset, dw, factor_a(adapter, i), w->rows,
                         w->cols, a->rows);
    }
    pal_scale(grad, (float)adapter->scale, adapter->factors.count);
}
