/* surgery.h -- a model of another shape, made from the weights of one.
 *
 * Its layout and weights are new and owned by the caller (pal_layout_destroy() and
 * free()); on failure neither is there. PAL_EINVAL names what does not fit.
 */
#ifndef PAL_MODEL_SURGERY_H
#define PAL_MODEL_SURGERY_H

#include "model/layout.h"

/* The blocks whose flag in keep (L) is set, in their order; at least one. */
PAL_MUST_CHECK
int pal_surgery_layers(const pal_layout_t *layout, const float *weights,
                       const uint8_t *keep, pal_layout_t **out, float **out_weights,
                       pal_error_t *err);

/* MLPs of `hidden` neurons. neurons (L, hidden) says for each block which of the old
 * neurons each new one is, or -1: a fresh one, whose weights from the residual stream
 * are drawn from stream "neurons" of key and whose weights to it are 0, so that it
 * changes nothing until it is trained. NULL: neuron j is the old neuron j, those
 * beyond the old ones are fresh, those beyond `hidden` are gone. */
PAL_MUST_CHECK
int pal_surgery_neurons(const pal_layout_t *layout, const float *weights,
                        const int32_t *neurons, int32_t hidden, pal_key_t key,
                        pal_layout_t **out, float **out_weights, pal_error_t *err);

#endif
