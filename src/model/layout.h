/* layout.h -- the shape of a model and where each of its tensors lies in one buffer.
 *
 * All weights of a model are one `float[layout->count]`; gradients, moments, snapshots
 * and task vectors have the same layout, so that each of them is a single pass over one
 * array. A layout is immutable and shared; the buffers belong to whoever made them.
 *
 * GPT-2 style (Radford et al. 2019): learned positions, pre-LayerNorm, biases, GELU
 * (tanh form), causal attention, output tied to the token embedding.
 *
 * Letters: V vocabulary, S context, C width, L layers, H heads, D = C/H, F hidden.
 */
#ifndef PAL_MODEL_LAYOUT_H
#define PAL_MODEL_LAYOUT_H

#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

typedef struct {
    int32_t vocab;   /* V */
    int32_t context; /* S, tokens */
    int32_t width;   /* C, a multiple of heads */
    int32_t layers;  /* L */
    int32_t heads;   /* H */
    int32_t hidden;  /* F, usually 4 C */
} pal_shape_t;

typedef enum {
    PAL_TOKEN_EMBEDDING,    /* (V, C); also the output matrix */
    PAL_POSITION_EMBEDDING, /* (S, C) */
    PAL_ATTENTION_NORM,     /* (2, C): scale, then shift */
    PAL_ATTENTION_QKV,      /* (3C, C): y = x W^T, as every matrix here */
    PAL_ATTENTION_QKV_BIAS, /* (3C) */
    PAL_ATTENTION_OUT,      /* (C, C) */
    PAL_ATTENTION_OUT_BIAS, /* (C) */
    PAL_MLP_NORM,           /* (2, C) */
    PAL_MLP_UP,             /* (F, C) */
    PAL_MLP_UP_BIAS,        /* (F) */
    PAL_MLP_DOWN,           /* (C, F) */
    PAL_MLP_DOWN_BIAS,      /* (C) */
    PAL_FINAL_NORM,         /* (2, C) */
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
    pal_slice_t *slices; /* in buffer order, without gaps */
    int64_t count;       /* floats in all */
} pal_layout_t;

/* Check the shape (every size >= 1, heads divides width, count below 2^31) and build
 * the table. *out is owned by the caller. PAL_EINVAL names the size and its value. */
PAL_MUST_CHECK
int pal_layout_create(const pal_shape_t *shape, pal_layout_t **out, pal_error_t *err);
void pal_layout_destroy(pal_layout_t *layout);

/* The slice of that kind in that layer (-1 outside the blocks); never NULL for a pair
 * that exists in the shape. */
const pal_slice_t *pal_layout_slice(const pal_layout_t *layout, pal_slice_kind_t kind,
                                    int32_t layer);

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

/* Floating-point operations of a forward pass over one token of a sequence of `length`
 * tokens, a multiply-add counted as two; with_logits adds the output matrix. A training
 * step costs three times that. */
double pal_layout_flops(const pal_layout_t *layout, double length, int with_logits);

/* Named sizes, smallest first: "nano" (64 wide, 2 layers, 4 heads), "micro" (128, 4,
 * 4), "small" (256, 6, 8), "medium" (512, 8, 8). vocab and context are left for the
 * caller. */
int pal_preset_count(void);
const char *pal_preset_name(int i);

/* Fill width, layers, heads, hidden. PAL_ENOENT lists the names. */
PAL_MUST_CHECK
int pal_preset_find(const char *name, pal_shape_t *shape, pal_error_t *err);

#endif
