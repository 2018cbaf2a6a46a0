/* adapter.h -- low-rank adapters (LoRA: Hu et al. 2021, section 4.1), merged.
 *
 * A targeted matrix is W = W0 + (alpha / rank) B A, with W0 (out, in) frozen, A (rank,
 * in) and B (out, rank). The passes know nothing of it: they run on weights into which
 * B A is merged, their backward gives dW, and from that
 *
 *     dA = (alpha / rank) B^T dW        dB = (alpha / rank) dW A^T.
 *
 * The projections to q, k and v are one matrix (attention's `qkv`), so that they share
 * one A; separate adapters would have three.
 *
 * So every method and every attack can train through an adapter
 * (pal_training_t.adapter).
 */
#ifndef PAL_TRAIN_ADAPTER_H
#define PAL_TRAIN_ADAPTER_H

#include "base/param.h"
#include "model/layout.h"

typedef struct {
    int64_t rank; /* 1 .. the smaller side of each targeted matrix */
    double alpha; /* > 0 */
    double noise; /* standard deviation of B at the start, >= 0 */
    char
        targets[PAL_TEXT_MAX]; /* "attention", "mlp" or "all": matrices of the blocks */
} pal_adapter_spec_t;

typedef struct pal_adapter {
    const pal_layout_t *layout; /* of the model; borrowed */
    const float *base;          /* layout->count floats with every W0; borrowed */
    double scale;               /* alpha / rank */
    int32_t count;              /* adapted matrices, in the order of the layout */
    int32_t *matrices;          /* (count) index of each one's slice in the layout */
    /* Where A and B lie: slice 2 i is A of matrix i, called "<its name>.a", slice 2 i +
     * 1 is B, "<its name>.b"; both have its kind and layer. The shape is the model's.
     */
    pal_layout_t factors;
    float *values; /* factors.count floats: every A and B */
} pal_adapter_t;

/* Whether a model of this shape can have the adapter. PAL_EINVAL names the entry, its
 * value and what is possible. */
PAL_MUST_CHECK
int pal_adapter_check(const pal_adapter_spec_t *spec, const pal_shape_t *shape,
                      pal_error_t *err);

/* An adapter of the targeted matrices that `train` (one flag per slice; NULL: all) lets
 * train. A is normal with standard deviation 1 / sqrt(in), B is 0 or, with noise,
 * normal: losses that compare with the frozen model are stationary at B = 0
 * (representation rerouting). Both come from stream "adapter" of key. Layout and base
 * must outlive it. *out is owned by the caller. As pal_adapter_check(), and PAL_EINVAL
 * if no matrix is left. */
PAL_MUST_CHECK
int pal_adapter_create(const pal_layout_t *layout, const pal_adapter_spec_t *spec,
                       const uint8_t *train, const float *base, pal_key_t key,
                       pal_adapter_t **out, pal_error_t *err);
void pal_adapter_destroy(pal_adapter_t *adapter);

/* train (one flag per slice of the layout) = 1 for the adapted matrices, 0 for the
 * rest: what a backward pass has to give the gradient of. */
void pal_adapter_select(const pal_adapter_t *adapter, uint8_t *train);

/* Adapted matrices of weights = W0 + (alpha / rank) B A; the rest is left as it is.
 * With B = 0 they equal W0. */
void pal_adapter_merge(const pal_adapter_t *adapter, float *weights);

/* Adapted matrices of weights = W0; the rest is left as it is. */
void pal_adapter_disable(const pal_adapter_t *adapter, float *weights);

/* delta (out, in) = (alpha / rank) B A of adapted matrix i. */
void pal_adapter_extract(const pal_adapter_t *adapter, int32_t i, float *delta);

/* grad (factors.count, written) = d(loss)/d(A and B), from d(loss)/d(weights) at the
 * merged weights; of that only the adapted matrices are read. */
void pal_adapter_gradient(const pal_adapter_t *adapter, const float *weights_grad,
                          float *grad);

#endif
