#include "bench/products.h"

#include <stdlib.h>

#include "kernel/gemm.h"

typedef struct {
    const pal_layout_t *layout;
    int32_t tokens, rows;
    float *weights, *grad; /* as the layout says */
    float *x, *y, *dx;     /* of a layer; none feeds another, so nothing grows fast */
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

int pal_products_time(const pal_workload_t *workload, const pal_batch_t *batch,
                      double seconds, pal_timing_t *timing, pal_error_t *err)
{
    const size_t count = (size_t)workload->layout->count;
    products_t p = {.layout = workload->layout,
                    .tokens = pal_batch_tokens(batch),
                    .how = {.precision = workload->precision}};
    size_t floats;

    p.rows = p.tokens - batch->sequences;
    floats = (size_t)p.tokens * widest_layer(&p);
    p.weights = calloc(2 * count, sizeof(float));
    p.x = calloc(3 * floats + largest_room(&p), sizeof(float));
    if (!p.weights || !p.x) {
        free(p.weights);
        free(p.x);
        return PAL_FAIL(err, PAL_ENOMEM, "matrix products of %zu weights", count);
    }
    pal_bench_fill(p.weights, count, 2e-4f);
    pal_bench_fill(p.x, floats, 1e-2f);
    p.grad = p.weights + count;
    p.y = p.x + floats;
    p.dx = p.y + floats;
    p.how.room = p.dx + floats;
    *timing = pal_timing_take(multiply, &p, seconds);
    free(p.weights);
    free(p.x);
    return PAL_OK;
}
