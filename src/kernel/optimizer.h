/* optimizer.h -- one update of a flat range of weights by its gradient.
 *
 * All have one signature: w[0..n) weights, g gradient, m and v what the optimizer keeps
 * from step to step, 0 before the first; who keeps less is given NULL. With
 *
 *     d = grad_scale g
 *
 * every one of them first shrinks the weights, w -= |lr| decay w (decoupled, Loshchilov
 * & Hutter 2019), then goes against d; with a negative lr it goes along d.
 */
#ifndef PAL_KERNEL_OPTIMIZER_H
#define PAL_KERNEL_OPTIMIZER_H

#include <stdint.h>

typedef struct {
    double lr;
    double beta1, beta2; /* decay of m and v, [0, 1) */
    double epsilon;      /* > 0, added to the root of the second moment */
    double decay;        /* decoupled weight decay, >= 0 */
    double grad_scale;   /* the factor of gradient clipping, or 1 */
    int64_t step;        /* 1 for the first update: bias correction */
} pal_update_t;

/* w -= lr d */
void pal_sgd(float *w, const float *g, float *m, float *v, int64_t n,
             const pal_update_t *h);
void pal_sgd_ref(double *w, const double *g, double *m, double *v, int64_t n,
                 const pal_update_t *h);

/* Heavy ball (Polyak 1964): m = beta1 m + d, w -= lr m. */
void pal_momentum(float *w, const float *g, float *m, float *v, int64_t n,
                  const pal_update_t *h);
void pal_momentum_ref(double *w, const double *g, double *m, double *v, int64_t n,
                      const pal_update_t *h);

/* AdamW (Loshchilov & Hutter 2019, algorithm 2):
 *     m  = beta1 m + (1 - beta1) d          v = beta2 v + (1 - beta2) d^2
 *     w -= lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon) */
void pal_adamw(float *w, const float *g, float *m, float *v, int64_t n,
               const pal_update_t *h);
void pal_adamw_ref(double *w, const double *g, double *m, double *v, int64_t n,
                   const pal_update_t *h);

/* Lion (Chen et al. 2023, arXiv 2302.06675, algorithm 2):
 *     w -= lr sign(beta1 m + (1 - beta1) d)     m = beta2 m + (1 - beta2) d */
void pal_lion(float *w, const float *g, float *m, float *v, int64_t n,
              const pal_update_t *h);
void pal_lion_ref(double *w, const double *g, double *m, double *v, int64_t n,
                  const pal_update_t *h);

#endif
