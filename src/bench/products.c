#include "bench/products.h"

#include <stdlib.h>

#include "kernel/attention.h"
#include "kernel/gemm.h"

typedef struct {
    const pal_layout_t *layout;
    const pal_batch_t *batch;
    int32_t tokens, rows;
    float *weights, *grad; /* as the layout says */
    float *x, *y, *dx;     /* of a layer; none feeds another, so nothing grows fast */
    float *log_sum, *scratch; /* of attention */
    int32_t *places;          /* (S) of a text */
    pal_gemm_t how;
} products_t;

/* Rows that go through the matrix of a slice; 0 if it is none. */
static int32_t rows_through(const products_t *p, const pal_slice_t *slice)
{
    if (slice == pal_layout_output(p->layout))
        return p->rows;
    return slice->layer >= 0 && pal_slice_is_matrix(slice->kind) ? p->tokens : 0;
}

static void multiply(void *ctx)
{
    const products_t *p = ctx;

    for (int32_t i = 0; i < p->layout->slice_count; i++) {
        const pal_slice_t *slice = &p->layout->slices[i];
        const int32_t n = rows_through(p, slice);
        const float *w = p->weights + slice->offset;

        pal_gemm_forward(&p->how, p->y, p->x, w, n, slice->cols, slice->rows);
        pal_gemm_weights(&p->how, p->grad + slice->offset, p->y, p->x, n, slice->cols,
                         slice->rows);
        pal_gemm_inputs(&p->how, p->dx, p->y, w, n, slice->cols, slice->rows);
    }
}

/* Of x as queries, keys and values; every block the same. */
static void attend(void *ctx)
{
    const products_t *p = ctx;
    const pal_heads_t heads = pal_shape_heads(&p->layout->shape);

    for (int32_t i = 0; i < p->layout->shape.layers * p->batch->sequences; i++) {
        const int32_t b = i % p->batch->sequences;
        const pal_text_t text = {.rows = p->places,
                                 .from = pal_batch_start(p->batch, b),
                                 .length = pal_batch_text(p->batch, b, p->places)};

        pal_attention_forward(p->y, p->log_sum, p->x, text, heads, p->scratch);
        for (int32_t group = 0; group < heads.kv_heads; group++)
            pal_attention_backward(p->dx, p->y, p->y, p->log_sum, p->x, group, text,
                                   heads, p->scratch);
    }
}

/* Floats of a token in the widest layer. */
static size_t widest_layer(const products_t *p)
{
    size_t widest = 1;

    for (int32_t i = 0; i < p->layout->slice_count; i++) {
        const pal_slice_t *slice = &p->layout->slices[i];
        const int32_t most = slice->rows > slice->cols ? slice->rows : slice->cols;

        if (rows_through(p, slice) && (size_t)most > widest)
            widest = (size_t)most;
    }
    return widest;
}

static size_t largest_room(const products_t *p)
{
    size_t largest = 0;

    for (int32_t i = 0; i < p->layout->slice_count; i++) {
        const pal_slice_t *slice = &p->layout->slices[i];
        const int32_t n = rows_through(p, slice);
        const size_t room =
            n ? pal_gemm_room(p->how.precision, n, slice->cols, slice->rows) : 0;

        largest = room > largest ? room : largest;
    }
    return largest;
}

static int allocate(products_t *p, pal_error_t *err)
{
    const pal_shape_t *s = &p->layout->shape;
    const size_t count = (size_t)p->layout->count;
    const size_t floats = (size_t)p->tokens * widest_layer(p);
    const size_t sums = (size_t)p->tokens * (size_t)s->heads;
    const size_t scratch = pal_attention_scratch(s->context, pal_shape_head_size(s));

    p->places = calloc((size_t)s->context, sizeof *p->places);
    p->weights = calloc(2 * count, sizeof(float));
    p->x = calloc(3 * floats + sums + scratch + largest_room(p), sizeof(float));
    if (!p->places || !p->weights || !p->x)
        return PAL_FAIL(err, PAL_ENOMEM, "matrix products of %zu weights", count);
    pal_bench_fill(p->weights, count, 2e-4f);
    pal_bench_fill(p->x, floats, 1e-2f);
    p->grad = p->weights + count;
    p->y = p->x + floats;
    p->dx = p->y + floats;
    p->log_sum = p->dx + floats;
    p->scratch = p->log_sum + sums;
    p->how.room = p->scratch + scratch;
    return PAL_OK;
}

int pal_products_time(const pal_workload_t *workload, const pal_batch_t *batch,
                      int32_t rows, double seconds, pal_products_t *products,
                      pal_error_t *err)
{
    products_t p = {.layout = workload->layout,
                    .batch = batch,
                    .tokens = pal_batch_tokens(batch),
                    .rows = rows,
                    .how = {.precision = workload->precision}};
    int rc = allocate(&p, err);

    if (rc == PAL_OK) {
        products->layers = pal_timing_take(multiply, &p, seconds);
        products->attention = pal_timing_take(attend, &p, seconds);
    }
    free(p.places);
    free(p.weights);
    free(p.x);
    return rc;
}
