#include "kernel/mmd.h"

#include <math.h>
#include <stddef.h>

#include "kernel/clones.h"
#include "kernel/exponential.h"
#include "kernel/lanes.h"

enum { WIDTHS = 5 };

PAL_INLINE float squared_distance(const float *a, const float *b, int32_t n)
{
    float lane[PAL_LANES] = {0};
    int32_t i = 0;

    for (; i + PAL_LANES <= n; i += PAL_LANES)
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += (a[i + j] - b[i + j]) * (a[i + j] - b[i + j]);
    for (int j = 0; i < n; i++, j++)
        lane[j] += (a[i] - b[i]) * (a[i] - b[i]);
    return pal_lanes_total(lane);
}

/* k and its derivative by the squared distance. Each Gaussian is the square of the one
 * twice as wide, so one exponential is enough. */
PAL_INLINE float gaussians(const float *a, const float *b, int32_t cols,
                           float bandwidth, float *slope)
{
    float width = 16.0f * bandwidth, sum = 0.0f;
    float e = pal_expf(-squared_distance(a, b, cols) / width);

    *slope = 0.0f;
    for (int i = 0; i < WIDTHS; i++, width *= 0.5f, e *= e) {
        sum += e;
        *slope -= e / width;
    }
    return sum;
}

/* da += step (a - b), and db the opposite unless it is NULL. */
PAL_INLINE void pull(float *da, float *db, const float *a, const float *b, int32_t n,
                     float step)
{
    for (int32_t i = 0; i < n; i++)
        da[i] += step * (a[i] - b[i]);
    for (int32_t i = 0; db && i < n; i++)
        db[i] -= step * (a[i] - b[i]);
}

/* Pairs within a sample are met once and count twice. */
PAL_CLONES
double pal_mmd(float *dx, const float *x, const float *y, int32_t n, int32_t cols,
               double bandwidth, double scale)
{
    const size_t row = (size_t)cols;
    const float width = (float)bandwidth;
    const float step = (float)(4.0 * scale / ((double)n * n));
    double within = (double)WIDTHS * n, between = 0.0;

    for (size_t a = 0; a < (size_t)n; a++) {
        const float *xa = x + a * row;
        float slope;

        for (size_t b = 0; b < a; b++) {
            within += gaussians(y + a * row, y + b * row, cols, width, &slope);
            within += gaussians(xa, x + b * row, cols, width, &slope);
            if (dx)
                pull(dx + a * row, dx + b * row, xa, x + b * row, cols, step * slope);
        }
        for (size_t b = 0; b < (size_t)n; b++) {
            between += gaussians(xa, y + b * row, cols, width, &slope);
            if (dx)
                pull(dx + a * row, NULL, xa, y + b * row, cols, -step * slope);
        }
    }
    return 2.0 * (within - between) / ((double)n * n);
}

PAL_CLONES
double pal_mmd_bandwidth(const float *x, const float *y, int32_t n, int32_t cols)
{
    const size_t row = (size_t)cols;
    double sum = 0.0;

    for (size_t a = 0; a < (size_t)n; a++) {
        for (size_t b = 0; b < a; b++)
            sum += squared_distance(x + a * row, x + b * row, cols) +
                   squared_distance(y + a * row, y + b * row, cols);
        for (size_t b = 0; b < (size_t)n; b++)
            sum += squared_distance(x + a * row, y + b * row, cols);
    }
    return sum / ((double)n * (2.0 * n - 1.0)) / 4.0;
}

static double squared_distance_ref(const double *a, const double *b, int32_t cols)
{
    double sum = 0.0;

    for (int32_t c = 0; c < cols; c++)
        sum += (a[c] - b[c]) * (a[c] - b[c]);
    return sum;
}

/* k(a, b), and weight times its gradient by a added to da. */
static double gaussians_ref(double *da, const double *a, const double *b, int32_t cols,
                            double bandwidth, double weight)
{
    const double distance = squared_distance_ref(a, b, cols);
    double sum = 0.0;

    for (int i = 0; i < WIDTHS; i++) {
        const double width = bandwidth * (1 << i), e = exp(-distance / width);

        for (int32_t c = 0; da && c < cols; c++)
            da[c] -= weight * e * 2.0 * (a[c] - b[c]) / width;
        sum += e;
    }
    return sum;
}

double pal_mmd_ref(double *dx, const double *x, const double *y, int32_t n,
                   int32_t cols, double bandwidth, double scale)
{
    const double pairs = (double)n * n;
    double sum = 0.0;

    for (size_t a = 0; a < (size_t)n; a++)
        for (size_t b = 0; b < (size_t)n; b++) {
            const double *xa = x + a * cols, *ya = y + a * cols;
            double *da = dx ? dx + a * cols : NULL;

            /* Each x stands on both sides of k(x, x'). */
            sum +=
                gaussians_ref(da, xa, x + b * cols, cols, bandwidth, 2 * scale / pairs);
            sum += gaussians_ref(NULL, ya, y + b * cols, cols, bandwidth, 0);
            sum -= 2 * gaussians_ref(da, xa, y + b * cols, cols, bandwidth,
                                     -2 * scale / pairs);
        }
    return sum / pairs;
}

double pal_mmd_bandwidth_ref(const double *x, const double *y, int32_t n, int32_t cols)
{
    double sum = 0.0;

    for (size_t a = 0; a < 2 * (size_t)n; a++)
        for (size_t b = 0; b < 2 * (size_t)n; b++) {
            const double *va = a < (size_t)n ? x + a * cols : y + (a - n) * cols;
            const double *vb = b < (size_t)n ? x + b * cols : y + (b - n) * cols;

            sum += squared_distance_ref(va, vb, cols);
        }
    return sum / (2.0 * n * (2.0 * n - 1.0)) / 4.0;
}
