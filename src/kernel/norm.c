#include "kernel/norm.h"

#include <math.h>
#include <stddef.h>

#include "kernel/clones.h"
#include "kernel/lanes.h"
#include "kernel/threads.h"

/* Two passes: the mean first, so that a large mean does not eat the variance. */
PAL_INLINE float row_variance(const float *x, float mean, int32_t n)
{
    float lane[PAL_LANES] = {0};
    int32_t i = 0;

    for (; i + PAL_LANES <= n; i += PAL_LANES)
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += (x[i + j] - mean) * (x[i + j] - mean);
#pragma omp simd
    for (int j = 0; j < PAL_LANES; j++)
        if (i + j < n)
            lane[j] += (x[i + j] - mean) * (x[i + j] - mean);
    return pal_lanes_total(lane) / (float)n;
}

PAL_CLONES
static void layernorm_forward(float *restrict y, float *restrict mean,
                              float *restrict rstd, const float *restrict x,
                              const float *restrict scale, const float *restrict shift,
                              double epsilon, int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, x += cols, y += cols) {
        float m = pal_lanes_sum(x, cols) / (float)cols;
        float r = 1.0f / sqrtf(row_variance(x, m, cols) + (float)epsilon);

        for (int32_t c = 0; c < cols; c++)
            y[c] = scale[c] * ((x[c] - m) * r) + shift[c];
        mean[i] = m;
        rstd[i] = r;
    }
}

void pal_layernorm_forward(float *y, float *mean, float *rstd, const float *x,
                           const float *scale, const float *shift, double epsilon,
                           int32_t n, int32_t cols)
{
    PAL_PARALLEL
    for (int32_t i = 0; i < n; i += PAL_PIECE_ROWS)
        layernorm_forward(y + (size_t)i * cols, mean + i, rstd + i,
                          x + (size_t)i * cols, scale, shift, epsilon,
                          pal_piece(i, n, PAL_PIECE_ROWS), cols);
}

/* With g = scale dy and h = (x - mean) rstd:
 * dx = rstd (g - mean(g) - h mean(g h)). */
PAL_CLONES
static void layernorm_inputs(float *restrict dx, const float *restrict dy,
                             const float *restrict x, const float *restrict mean,
                             const float *restrict rstd, const float *restrict scale,
                             int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, dx += cols, dy += cols, x += cols) {
        float sum[PAL_LANES] = {0}, dot[PAL_LANES] = {0};
        float m = mean[i], r = rstd[i], g, gh;
        int32_t c = 0;

        for (; c + PAL_LANES <= cols; c += PAL_LANES)
#pragma omp simd
            for (int j = 0; j < PAL_LANES; j++) {
                sum[j] += scale[c + j] * dy[c + j];
                dot[j] += scale[c + j] * dy[c + j] * (x[c + j] - m);
            }
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            if (c + j < cols) {
                sum[j] += scale[c + j] * dy[c + j];
                dot[j] += scale[c + j] * dy[c + j] * (x[c + j] - m);
            }
        g = pal_lanes_total(sum) / (float)cols;
        gh = pal_lanes_total(dot) * r * r / (float)cols;
        for (c = 0; c < cols; c++)
            dx[c] += r * (scale[c] * dy[c] - g - (x[c] - m) * gh);
    }
}

void pal_layernorm_inputs(float *dx, const float *dy, const float *x, const float *mean,
                          const float *rstd, const float *scale, int32_t n,
                          int32_t cols)
{
    PAL_PARALLEL
    for (int32_t i = 0; i < n; i += PAL_PIECE_ROWS)
        layernorm_inputs(dx + (size_t)i * cols, dy + (size_t)i * cols,
                         x + (size_t)i * cols, mean + i, rstd + i, scale,
                         pal_piece(i, n, PAL_PIECE_ROWS), cols);
}

PAL_CLONES
void pal_layernorm_weights(float *restrict dscale, float *restrict dshift,
                           const float *restrict dy, const float *restrict x,
                           const float *restrict mean, const float *restrict rstd,
                           int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, dy += cols, x += cols)
        for (int32_t c = 0; c < cols; c++) {
            dscale[c] += dy[c] * ((x[c] - mean[i]) * rstd[i]);
            dshift[c] += dy[c];
        }
}

PAL_CLONES
static void rmsnorm_forward(float *restrict y, float *restrict rstd,
                            const float *restrict x, const float *restrict scale,
                            double epsilon, int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, x += cols, y += cols) {
        float r =
            1.0f / sqrtf(pal_lanes_dot(x, x, cols) / (float)cols + (float)epsilon);

        for (int32_t c = 0; c < cols; c++)
            y[c] = scale[c] * (x[c] * r);
        rstd[i] = r;
    }
}

void pal_rmsnorm_forward(float *y, float *rstd, const float *x, const float *scale,
                         double epsilon, int32_t n, int32_t cols)
{
    PAL_PARALLEL
    for (int32_t i = 0; i < n; i += PAL_PIECE_ROWS)
        rmsnorm_forward(y + (size_t)i * cols, rstd + i, x + (size_t)i * cols, scale,
                        epsilon, pal_piece(i, n, PAL_PIECE_ROWS), cols);
}

/* With g = scale dy and h = x rstd: dx = rstd (g - h mean(g h)). */
PAL_CLONES
static void rmsnorm_inputs(float *restrict dx, const float *restrict dy,
                           const float *restrict x, const float *restrict rstd,
                           const float *restrict scale, int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, dx += cols, dy += cols, x += cols) {
        float dot[PAL_LANES] = {0}, r = rstd[i], gh;
        int32_t c = 0;

        for (; c + PAL_LANES <= cols; c += PAL_LANES)
#pragma omp simd
            for (int j = 0; j < PAL_LANES; j++)
                dot[j] += scale[c + j] * dy[c + j] * x[c + j];
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            if (c + j < cols)
                dot[j] += scale[c + j] * dy[c + j] * x[c + j];
        gh = pal_lanes_total(dot) * r * r / (float)cols;
        for (c = 0; c < cols; c++)
            dx[c] += r * (scale[c] * dy[c] - x[c] * gh);
    }
}

void pal_rmsnorm_inputs(float *dx, const float *dy, const float *x, const float *rstd,
                        const float *scale, int32_t n, int32_t cols)
{
    PAL_PARALLEL
    for (int32_t i = 0; i < n; i += PAL_PIECE_ROWS)
        rmsnorm_inputs(dx + (size_t)i * cols, dy + (size_t)i * cols,
                       x + (size_t)i * cols, rstd + i, scale,
                       pal_piece(i, n, PAL_PIECE_ROWS), cols);
}

PAL_CLONES
void pal_rmsnorm_weights(float *restrict dscale, const float *restrict dy,
                         const float *restrict x, const float *restrict rstd, int32_t n,
                         int32_t cols)
{
    for (int32_t i = 0; i < n; i++, dy += cols, x += cols)
        for (int32_t c = 0; c < cols; c++)
            dscale[c] += dy[c] * (x[c] * rstd[i]);
}

void pal_layernorm_forward_ref(double *y, double *mean, double *rstd, const double *x,
                               const double *scale, const double *shift, double epsilon,
                               int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, x += cols, y += cols) {
        double m = 0.0, variance = 0.0;

        for (int32_t c = 0; c < cols; c++)
            m += x[c] / cols;
        for (int32_t c = 0; c < cols; c++)
            variance += (x[c] - m) * (x[c] - m) / cols;
        mean[i] = m;
        rstd[i] = 1.0 / sqrt(variance + epsilon);
        for (int32_t c = 0; c < cols; c++)
            y[c] = scale[c] * (x[c] - m) * rstd[i] + shift[c];
    }
}

void pal_layernorm_inputs_ref(double *dx, const double *dy, const double *x,
                              const double *mean, const double *rstd,
                              const double *scale, int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, dx += cols, dy += cols, x += cols) {
        double g = 0.0, gh = 0.0;

        for (int32_t c = 0; c < cols; c++) {
            g += scale[c] * dy[c] / cols;
            gh += scale[c] * dy[c] * (x[c] - mean[i]) * rstd[i] / cols;
        }
        for (int32_t c = 0; c < cols; c++)
            dx[c] += rstd[i] * (scale[c] * dy[c] - g - (x[c] - mean[i]) * rstd[i] * gh);
    }
}

void pal_layernorm_weights_ref(double *dscale, double *dshift, const double *dy,
                               const double *x, const double *mean, const double *rstd,
                               int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, dy += cols, x += cols)
        for (int32_t c = 0; c < cols; c++) {
            dscale[c] += dy[c] * (x[c] - mean[i]) * rstd[i];
            dshift[c] += dy[c];
        }
}

void pal_rmsnorm_forward_ref(double *y, double *rstd, const double *x,
                             const double *scale, double epsilon, int32_t n,
                             int32_t cols)
{
    for (int32_t i = 0; i < n; i++, x += cols, y += cols) {
        double square = 0.0;

        for (int32_t c = 0; c < cols; c++)
            square += x[c] * x[c] / cols;
        rstd[i] = 1.0 / sqrt(square + epsilon);
        for (int32_t c = 0; c < cols; c++)
            y[c] = scale[c] * x[c] * rstd[i];
    }
}

void pal_rmsnorm_inputs_ref(double *dx, const double *dy, const double *x,
                            const double *rstd, const double *scale, int32_t n,
                            int32_t cols)
{
    for (int32_t i = 0; i < n; i++, dx += cols, dy += cols, x += cols) {
        double gh = 0.0;

        for (int32_t c = 0; c < cols; c++)
            gh += scale[c] * dy[c] * x[c] * rstd[i] / cols;
        for (int32_t c = 0; c < cols; c++)
            dx[c] += rstd[i] * (scale[c] * dy[c] - x[c] * rstd[i] * gh);
    }
}

void pal_rmsnorm_weights_ref(double *dscale, const double *dy, const double *x,
                             const double *rstd, int32_t n, int32_t cols)
{
    for (int32_t i = 0; i < n; i++, dy += cols, x += cols)
        for (int32_t c = 0; c < cols; c++)
            dscale[c] += dy[c] * x[c] * rstd[i];
}
