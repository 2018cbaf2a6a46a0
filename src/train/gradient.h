/* gradient.h -- arithmetic on gradients that a method keeps.
 *
 * A gradient is a float[layout->count], as pal_backward() fills it; a method makes its
 * own in begin(), with pal_layout_buffer(), and frees them in end(). `train` has one
 * flag per slice of the layout (NULL: all), as for pal_backward(): a frozen slice is
 * neither read nor written. Sums run in double precision in a fixed order, and a NaN
 * comes through.
 */
#ifndef PAL_TRAIN_GRADIENT_H
#define PAL_TRAIN_GRADIENT_H

#include "model/layout.h"

/* y = a y + b x; with a = 0 what y was is not read. */
void pal_gradient_axpby(const pal_layout_t *layout, const uint8_t *train, float *y,
                        double a, double b, const float *x);

double pal_gradient_dot(const pal_layout_t *layout, const uint8_t *train,
                        const float *x, const float *y);

/* Euclidean norm, over all slices or of each: norms[slice_count], 0 if frozen. */
double pal_gradient_norm(const pal_layout_t *layout, const uint8_t *train,
                         const float *x);
void pal_gradient_norms(const pal_layout_t *layout, const uint8_t *train,
                        const float *x, double *norms);

/* Give x this norm over all slices; returns the norm it had. A zero x stays as it is.
 */
double pal_gradient_normalize(const pal_layout_t *layout, const uint8_t *train,
                              float *x, double length);

/* Zero the entries of x whose sign is not that of y (zero has a sign of its own). */
void pal_gradient_sign_mask(const pal_layout_t *layout, const uint8_t *train, float *x,
                            const float *y);

/* Take out of x what points along y: x -= (x.y / y.y) y; returns x.y as it was. PCGrad
 * (Yu et al. 2020, arXiv 2001.06782) does so where x.y < 0. A zero y changes nothing.
 */
double pal_gradient_project(const pal_layout_t *layout, const uint8_t *train, float *x,
                            const float *y);

#endif
