/* snapshot.h -- arithmetic on whole models.
 *
 * A snapshot is a float[layout->count], made with pal_layout_buffer(); restoring one is
 * copying it back. Noise comes from a stream that the caller keys by stage and use
 * (base/rng.h): pal_rng_init(&rng, run->key, "undo noise"). `train` has one flag per
 * slice (NULL: all): a frozen slice neither changes nor draws.
 */
#ifndef PAL_TRAIN_SNAPSHOT_H
#define PAL_TRAIN_SNAPSHOT_H

#include "base/rng.h"
#include "model/layout.h"

void pal_snapshot_copy(const pal_layout_t *layout, float *to, const float *from);

/* out = sum_k c[k] thetas[k] for k < n, summed in double precision in that order: task
 * vectors, averages, model-state arithmetic (arXiv 2506.20941). out may be one of them.
 */
void pal_snapshot_combine(const pal_layout_t *layout, float *out, int n,
                          const double *c, const float *const *thetas);

typedef enum {
    PAL_NOISE_ABSOLUTE, /* sigma itself */
    PAL_NOISE_RELATIVE  /* sigma times the root mean square of the slice */
} pal_noise_t;

/* weights += normal noise of standard deviation sigma >= 0. */
void pal_snapshot_noise(const pal_layout_t *layout, const uint8_t *train,
                        float *weights, double sigma, pal_noise_t scale,
                        pal_rng_t *rng);

/* Shrink and perturb in UNDO's form (Lee et al. 2025, arXiv 2506.06278):
 *     weights = (1 - alpha) weights + alpha beta N
 * N is Xavier-uniform in matrices, U(-a, a) with a = sqrt(6 / (rows + cols)), and zero
 * in norms and biases, which so only shrink. rows is the fan-out of the slice: that of
 * the fused qkv is q, k and v together, so its noise is smaller than in three matrices.
 */
void pal_snapshot_shrink_perturb(const pal_layout_t *layout, const uint8_t *train,
                                 float *weights, double alpha, double beta,
                                 pal_rng_t *rng);

#endif
