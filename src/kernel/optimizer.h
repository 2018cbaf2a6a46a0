/* optimizer.h -- passes over a flat range of weights, gradients and moments. */
#ifndef PAL_KERNEL_OPTIMIZER_H
#define PAL_KERNEL_OPTIMIZER_H

#include <stdint.h>

typedef struct {
    double lr;
    double beta1, beta2; /* decay of the moments, [0, 1) */
    double epsilon;      /* > 0, added to the root of the second moment */
    double decay;        /* decoupled weight decay, >= 0 */
    double grad_scale;   /* multiplies g first: the factor of gradient clipping, or 1 */
    int64_t step;        /* 1 for the first update: bias correction */
} pal_adamw_t;

/* One AdamW update (Loshchilov & Hutter 2019, algorithm 2) of w[0..n), with first and
 * second moments m and v, both 0 before the first step:
 *     w -= lr decay w
 *     m  = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
 *     w -= lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon) */
void pal_adamw(float *w, const float *g, float *m, float *v, int64_t n,
               const pal_adamw_t *h);
void pal_adamw_ref(double *w, const double *g, double *m, double *v, int64_t n,
                   const pal_adamw_t *h);

/* Sum of squares, accumulated in double in a fixed order. */
double pal_norm_squared(const float *x, int64_t n);
double pal_norm_squared_ref(const double *x, int64_t n);

/* x *= a. */
void pal_scale(float *x, float a, int64_t n);

#endif
