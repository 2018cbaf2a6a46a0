#include "kernel/rows.h"

#include <stddef.h>
#include <string.h>

#include "kernel/clones.h"
#include "kernel/lanes.h"
#include "kernel/threads.h"

PAL_CLONES
static void add(float *restrict y, const float *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

void pal_add(float *y, const float *x, int64_t n)
{
    if (n <= PAL_PIECE) {
        add(y, x, n);
        return;
    }
    PAL_PARALLEL
    for (int64_t i = 0; i < n; i += PAL_PIECE)
        add(y + i, x + i, pal_piece(i, n, PAL_PIECE));
}

void pal_rows_fill(float *y, const float *bias, int32_t n, int32_t cols)
{
    PAL_PARALLEL
    for (int32_t i = 0; i < n; i++)
        memcpy(y + (size_t)i * cols, bias, (size_t)cols * sizeof *y);
}

PAL_CLONES
static void rows_add(float *restrict y, const float *restrict x,
                     const float *restrict bias, int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, y += cols, x += cols)
        for (int32_t c = 0; c < cols; c++)
            y[c] = x[c] + bias[c];
}

void pal_rows_add(float *y, const float *x, const float *bias, int32_t n, int32_t cols)
{
    if (n <= PAL_PIECE_ROWS) {
        rows_add(y, x, bias, n, cols);
        return;
    }
    PAL_PARALLEL
    for (int32_t i = 0; i < n; i += PAL_PIECE_ROWS)
        rows_add(y + (size_t)i * cols, x + (size_t)i * cols, bias,
                 pal_piece(i, n, PAL_PIECE_ROWS), cols);
}

void pal_rows_increase(float *y, const float *row, int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++)
        add(y + (size_t)i * cols, row, cols);
}

PAL_CLONES
void pal_rows_scale(float *restrict x, const float *restrict factor, int32_t n,
                    int32_t cols)
{
    for (int32_t i = 0; i < n; i++, x += cols)
        for (int32_t c = 0; c < cols; c++)
            x[c] *= factor[i];
}

PAL_CLONES
void pal_rows_project(float *restrict x, const float *restrict d, int32_t n,
                      int32_t cols)
{
    for (int32_t i = 0; i < n; i++, x += cols) {
        const float along = pal_lanes_dot(x, d, cols);

        for (int32_t c = 0; c < cols; c++)
            x[c] -= along * d[c];
    }
}

void pal_rows_project_ref(double *x, const double *d, int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, x += cols) {
        double along = 0.0;

        for (int32_t c = 0; c < cols; c++)
            along += x[c] * d[c];
        for (int32_t c = 0; c < cols; c++)
            x[c] -= along * d[c];
    }
}

/* Of `part` columns. */
PAL_CLONES
static void columns_sum(float *restrict sum, const float *restrict x, int32_t n,
                        int32_t cols, int32_t part)
{
    for (int32_t i = 0; i < n; i++, x += cols)
        for (int32_t c = 0; c < part; c++)
            sum[c] += x[c];
}

void pal_rows_sum(float *sum, const float *x, int32_t n, int32_t cols)
{
    enum { PART = 256 };

    PAL_PARALLEL
    for (int32_t c = 0; c < cols; c += PART)
        columns_sum(sum + c, x + c, n, cols, pal_piece(c, cols, PART));
}

void pal_rows_sum_ref(double *sum, const double *x, int32_t n, int32_t cols)
{
    for (int32_t c = 0; c < cols; c++)
        for (int32_t i = 0; i < n; i++)
            sum[c] += x[(size_t)i * cols + c];
}

void pal_rows_gather(float *y, const float *x, const int32_t *index, int32_t n,
                     int32_t cols)
{
    for (int32_t i = 0; i < n; i++)
        memcpy(y + (size_t)i * cols, x + (size_t)index[i] * cols,
               (size_t)cols * sizeof *y);
}

void pal_rows_scatter(float *x, const float *y, const int32_t *index, int32_t n,
                      int32_t cols)
{
    for (int32_t i = 0; i < n; i++)
        add(x + (size_t)index[i] * cols, y + (size_t)i * cols, cols);
}
