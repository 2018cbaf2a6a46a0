#include "kernel/optimizer.h"

#include <math.h>

#include "kernel/clones.h"

/* What the decay leaves of a weight. */
static double kept(const pal_update_t *h)
{
    return 1.0 - fabs(h->lr) * h->decay;
}

PAL_CLONES
void pal_sgd(float *restrict w, const float *restrict g, float *m, float *v, int64_t n,
             const pal_update_t *h)
{
    const float keep = (float)kept(h), step = (float)(h->lr * h->grad_scale);

    (void)m, (void)v;
    for (int64_t i = 0; i < n; i++)
        w[i] = keep * w[i] - step * g[i];
}

void pal_sgd_ref(double *w, const double *g, double *m, double *v, int64_t n,
                 const pal_update_t *h)
{
    (void)m, (void)v;
    for (int64_t i = 0; i < n; i++)
        w[i] = kept(h) * w[i] - h->lr * h->grad_scale * g[i];
}

PAL_CLONES
void pal_momentum(float *restrict w, const float *restrict g, float *restrict m,
                  float *v, int64_t n, const pal_update_t *h)
{
    const float scale = (float)h->grad_scale, b1 = (float)h->beta1;
    const float keep = (float)kept(h), step = (float)h->lr;

    (void)v;
    for (int64_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + scale * g[i];
        w[i] = keep * w[i] - step * m[i];
    }
}

void pal_momentum_ref(double *w, const double *g, double *m, double *v, int64_t n,
                      const pal_update_t *h)
{
    (void)v;
    for (int64_t i = 0; i < n; i++) {
        m[i] = h->beta1 * m[i] + h->grad_scale * g[i];
        w[i] = kept(h) * w[i] - h->lr * m[i];
    }
}

PAL_CLONES
void pal_adamw(float *restrict w, const float *restrict g, float *restrict m,
               float *restrict v, int64_t n, const pal_update_t *h)
{
    const float scale = (float)h->grad_scale, epsilon = (float)h->epsilon;
    const float b1 = (float)h->beta1, c1 = (float)(1.0 - h->beta1);
    const float b2 = (float)h->beta2, c2 = (float)(1.0 - h->beta2);
    const float keep = (float)kept(h);
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
                   const pal_update_t *h)
{
    for (int64_t i = 0; i < n; i++) {
        double d = h->grad_scale * g[i];
        double mean, square;

        m[i] = h->beta1 * m[i] + (1.0 - h->beta1) * d;
        v[i] = h->beta2 * v[i] + (1.0 - h->beta2) * d * d;
        mean = m[i] / (1.0 - pow(h->beta1, (double)h->step));
        square = v[i] / (1.0 - pow(h->beta2, (double)h->step));
        w[i] = kept(h) * w[i] - h->lr * mean / (sqrt(square) + h->epsilon);
    }
}

PAL_CLONES
void pal_lion(float *restrict w, const float *restrict g, float *restrict m, float *v,
              int64_t n, const pal_update_t *h)
{
    const float scale = (float)h->grad_scale;
    const float b1 = (float)h->beta1, c1 = (float)(1.0 - h->beta1);
    const float b2 = (float)h->beta2, c2 = (float)(1.0 - h->beta2);
    const float keep = (float)kept(h), step = (float)h->lr;

    (void)v;
    for (int64_t i = 0; i < n; i++) {
        float d = scale * g[i], c = b1 * m[i] + c1 * d;

        /* c itself where it has no sign: zero, or NaN, which must not get lost. */
        w[i] = keep * w[i] - (c > 0 ? step : c < 0 ? -step : c);
        m[i] = b2 * m[i] + c2 * d;
    }
}

void pal_lion_ref(double *w, const double *g, double *m, double *v, int64_t n,
                  const pal_update_t *h)
{
    (void)v;
    for (int64_t i = 0; i < n; i++) {
        double d = h->grad_scale * g[i];
        double c = h->beta1 * m[i] + (1.0 - h->beta1) * d;

        w[i] = kept(h) * w[i] - h->lr * (c > 0 ? 1 : c < 0 ? -1 : c);
        m[i] = h->beta2 * m[i] + (1.0 - h->beta2) * d;
    }
}
