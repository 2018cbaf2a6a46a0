#include "model/norm.h"

#include "kernel/norm.h"

void pal_norm_forward(const pal_shape_t *shape, float *y, float *mean, float *rstd,
                      const float *x, const float *w, int32_t n)
{
    const int32_t c = shape->width;

    if (shape->norm == PAL_RMSNORM)
        pal_rmsnorm_forward(y, rstd, x, w, shape->norm_epsilon, n, c);
    else
        pal_layernorm_forward(y, mean, rstd, x, w, w + c, shape->norm_epsilon, n, c);
}

void pal_norm_inputs(const pal_shape_t *shape, float *dx, const float *dy,
                     const float *x, const float *mean, const float *rstd,
                     const float *w, int32_t n)
{
    if (shape->norm == PAL_RMSNORM)
        pal_rmsnorm_inputs(dx, dy, x, rstd, w, n, shape->width);
    else
        pal_layernorm_inputs(dx, dy, x, mean, rstd, w, n, shape->width);
}

void pal_norm_weights(const pal_shape_t *shape, float *dw, const float *dy,
                      const float *x, const float *mean, const float *rstd, int32_t n)
{
    const int32_t c = shape->width;

    if (shape->norm == PAL_RMSNORM)
        pal_rmsnorm_weights(dw, dy, x, rstd, n, c);
    else
        pal_layernorm_weights(dw, dw + c, dy, x, mean, rstd, n, c);
}
