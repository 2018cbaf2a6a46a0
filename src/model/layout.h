/* layout.h -- where each tensor of a model lies in one buffer.
 *
 * All weights of a model are one `float[layout->count]`; gradients, moments, snapshots
 * and task vectors have the same layout, so that each of them is a single pass over one
 * array. A layout is immutable and shared; the buffers belong to whoever made them.
 * Letters as in shape.h.
 */
#ifndef PAL_MODEL_LAYOUT_H
#define PAL_MODEL_LAYOUT_H

#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "model/shape.h"

/* In the order in which a forward pass uses them, which is that of the buffer. A shape
 * has the slices it needs: see the notes. A bias follows its matrix. */
typedef enum {
    PAL_TOKEN_EMBEDDING,    /* (V, C); also the output matrix if tied */
    PAL_POSITION_EMBEDDING, /* (S, C); learned positions */
    PAL_ATTENTION_NORM,     /* (2, C): scale, then shift; RMSNorm (C): scale */
    PAL_ATTENTION_QKV,      /* ((H + 2K) D, C): y = x W^T, as every matrix here */
    PAL_ATTENTION_QKV_BIAS, /* ((H + 2K) D); bias qkv or all */
    PAL_ATTENTION_OUT,      /* (C, C) */
    PAL_ATTENTION_OUT_BIAS, /* (C); bias all, as the biases below */
    PAL_MLP_NORM,           /* as PAL_ATTENTION_NORM */
    PAL_MLP_GATE,           /* (F, C); SwiGLU */
    PAL_MLP_GATE_BIAS,      /* (F); SwiGLU */
    PAL_MLP_UP,             /* (F, C) */
    PAL_MLP_UP_BIAS,        /* (F) */
    PAL_MLP_DOWN,           /* (C, F) */
    PAL_MLP_DOWN_BIAS,      /* (C) */
    PAL_FINAL_NORM,         /* as PAL_ATTENTION_NORM */
    PAL_OUTPUT,             /* (V, C); not tied */
    PAL_SLICE_KINDS
} pal_slice_kind_t;

typedef struct {
    char name[48]; /* "block.0.mlp.down"; the tensor's name in a checkpoint */
    pal_slice_kind_t kind;
    int32_t layer;      /* 0 .. L-1, or -1 outside the blocks */
    int32_t rows, cols; /* a vector has rows = 1 */
    int64_t offset;     /* floats from the start of the buffer */
    int64_t size;       /* rows * cols */
} pal_slice_t;

typedef struct {
    pal_shape_t shape;
    int32_t slice_count;
    pal_slice_t *slices;            /* in buffer order, without gaps */
    int32_t first[PAL_SLICE_KINDS]; /* index of a kind's first slice; -1: not there */
    int32_t block_slices;           /* of one block */
    int64_t count;                  /* floats in all */
} pal_layout_t;

/* Check the shape (pal_shape_check(), count below 2^31) and build the table. *out is
 * owned by the caller. PAL_EINVAL names the field and its value. */
PAL_MUST_CHECK
int pal_layout_create(const pal_shape_t *shape, pal_layout_t **out, pal_error_t *err);
void pal_layout_destroy(pal_layout_t *layout);

/* The slice of that kind in that layer (-1 outside the blocks); NULL if the shape has
 * none. */
const pal_slice_t *pal_layout_slice(const pal_layout_t *layout, pal_slice_kind_t kind,
                                    int32_t layer);

/* The bias of a matrix of a block; NULL if it has none. */
const pal_slice_t *pal_layout_bias(const pal_layout_t *layout,
                                   const pal_slice_t *matrix);

/* The output matrix (V, C): PAL_OUTPUT, or the token embedding if tied. */
const pal_slice_t *pal_layout_output(const pal_layout_t *layout);

/* 1 for what multiplies or embeds, 0 for scales, shifts and biases. */
int pal_slice_is_matrix(pal_slice_kind_t kind);

/* A zeroed buffer of layout->count floats for gradients or weights, to be released with
 * free(); `name` is for the message of PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_layout_buffer(const pal_layout_t *layout, const char *name, float **out,
                      pal_error_t *err);

/* Draw initial weights from stream "init" of key: matrices normal with standard
 * deviation 0.02 (residual outputs 0.02 / sqrt(2 L)), scales 1, shifts and biases 0. */
void pal_layout_init(const pal_layout_t *layout, pal_key_t key, float *weights);

#endif
