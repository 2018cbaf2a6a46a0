/* norm.h -- the norm of a shape over n rows: LayerNorm or RMSNorm (kernel/norm.h).
 *
 * w is the slice of a norm, scale and shift (2, C) or scale (C); x and y are (n, C).
 * mean and rstd (n) go from the forward to the backward pass; RMSNorm leaves mean as it
 * is.
 */
#ifndef PAL_MODEL_NORM_H
#define PAL_MODEL_NORM_H

#include "model/shape.h"

void pal_norm_forward(const pal_shape_t *shape, float *y, float *mean, float *rstd,
                      const float *x, const float *w, int32_t n);

/* Add to dx the gradient of x. */
void pal_norm_inputs(const pal_shape_t *shape, float *dx, const float *dy,
                     const float *x, const float *mean, const float *rstd,
                     const float *w, int32_t n);

/* Add to dw the gradient of w. */
void pal_norm_weights(const pal_shape_t *shape, float *dw, const float *dy,
                      const float *x, const float *mean, const float *rstd, int32_t n);

#endif
