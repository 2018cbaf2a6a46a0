/* compress.h -- rounding and pruning of weights in place.
 *
 * What is stored in fewer bits or zeros is still computed with in floats: only the
 * values change. Both act on matrices alone, those whose flag in `slices` (one per
 * slice of the layout) is set, or all if it is NULL.
 */
#ifndef PAL_MODEL_COMPRESS_H
#define PAL_MODEL_COMPRESS_H

#include "model/layout.h"

/* Round to the nearest of 2^bits - 1 evenly spaced values, row by row (each row makes
 * one output): w = s round(w / s) with s = max |row| / (2^(bits - 1) - 1), so that no
 * weight moves by more than s / 2. A weight that is not finite stays so, an infinite
 * one spoils its row. PAL_EINVAL if bits is neither 8 nor 4. */
PAL_MUST_CHECK
int pal_quantize(const pal_layout_t *layout, const uint8_t *slices, int bits,
                 float *weights, pal_error_t *err);

/* Set floor(fraction * size) weights of each matrix to 0: those of the smallest
 * magnitude, of equals the first (Han et al. 2015). NaN counts as large. PAL_EINVAL if
 * fraction is not in [0, 1]. */
PAL_MUST_CHECK
int pal_prune(const pal_layout_t *layout, const uint8_t *slices, double fraction,
              float *weights, pal_error_t *err);

#endif
