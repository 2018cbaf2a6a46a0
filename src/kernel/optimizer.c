#include "kernel/optimizer.h"

#include <math.h>

#include "kernel/clones.h"
#include "kernel/lanes.h"

PAL_CLONES
void pal_adamw(float *restrict w, const float *restrict g, float *restrict m,
               float *restrict v, int64_t n, const pal_adamw_t *h)
{
    const float scale = (float)h->grad_scale, epsilon = (float)h->epsilon;
    const float b1 = (float)h->beta1, c1 = (float)(1.0 - h->beta1);
    const float b2 = (float)h->beta2, c2 = (float)(1.0 - h->beta2);
    const float keep = (float)(1.0 - h->lr * h->decay);
    const float step = (float)(h->lr / (1.0 - pow(h->beta1, (double)h->step)));
    const float root = (float)(1.0 / sqrt(1.0 - pow(h->beta2, (double)h->step)));

    for (int64_t i = 0; i < n; i++) {
        float d = scale * g[i];

        m[i] = b1 * m[i] + c1 * d;
        v[i] = b2 * v[i] + c2 * d * d;
        w[i] = keep * w[i] - step * m[i] / (sqrtf(v[i]) * root + epsilon);
    }
}

void pal_adamw_ref(double *w, const double *g, double *m, double *v, int64_t n,
                   const pal_adamw_t *h)
{
    for (int64_t i = 0; i < n; i++) {
        double d = h->grad_scale * g[i];
        double mean, square;

        m[i] = h->beta1 * m[i] + (1.0 - h->beta1) * d;
        v[i] = h->beta2 * v[i] + (1.0 - h->beta2) * d * d;
        mean = m[i] / (1.0 - pow(h->beta1, (double)h->step));
        square = v[i] / (1.0 - pow(h->beta2, (double)h->step));
        w[i] -= h->lr * h->decay * w[i];
        w[i] -= h->lr * mean / (sqrt(square) + h->epsilon);
    }
}

PAL_CLONES
double pal_norm_squared(const float *x, int64_t n)
{
    double lane[PAL_LANES] = {0}, sum = 0.0;
    int64_t i = 0;

    for (; i + PAL_LANES <= n; i += PAL_LANES)
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += (double)x[i + j] * x[i + j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += (double)x[i] * x[i];
    for (int j = 0; j < PAL_LANES; j++)
        sum += lane[j];
    return sum;
}

double pal_norm_squared_ref(const double *x, int64_t n)
{
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

PAL_CLONES
void pal_scale(float *x, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= a;
}
