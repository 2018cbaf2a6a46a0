/* rows.h -- what happens to the rows of a matrix (n, cols) one by one. */
#ifndef PAL_KERNEL_ROWS_H
#define PAL_KERNEL_ROWS_H

#include <stdint.h>

/* Every row of y = bias (cols). */
void pal_rows_fill(float *y, const float *bias, int32_t n, int32_t cols);

/* y = x + bias, row by row. */
void pal_rows_add(float *y, const float *x, const float *bias, int32_t n, int32_t cols);

/* y += row (cols), for every row of y. */
void pal_rows_increase(float *y, const float *row, int32_t n, int32_t cols);

/* x[i] *= factor[i] (n), and x[i] -= (x[i] . d) d with d (cols) of length 1. */
void pal_rows_scale(float *x, const float *factor, int32_t n, int32_t cols);
void pal_rows_project(float *x, const float *d, int32_t n, int32_t cols);
void pal_rows_project_ref(double *x, const double *d, int32_t n, int32_t cols);

/* sum[c] += sum over rows of x[., c]; rows in order. */
void pal_rows_sum(float *sum, const float *x, int32_t n, int32_t cols);
void pal_rows_sum_ref(double *sum, const double *x, int32_t n, int32_t cols);

/* y[i] = x[index[i]] and x[index[i]] += y[i] for the n rows of y, in order. */
void pal_rows_gather(float *y, const float *x, const int32_t *index, int32_t n,
                     int32_t cols);
void pal_rows_scatter(float *x, const float *y, const int32_t *index, int32_t n,
                      int32_t cols);

/* y += x, n elements. */
void pal_add(float *y, const float *x, int64_t n);

#endif
