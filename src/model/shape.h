/* shape.h -- the shape of a model: its sizes and its style.
 *
 * A decoder of pre-norm blocks with causal attention. The fields give, among others,
 *   GPT-2 (Radford et al. 2019): layernorm, learned positions, gelu, all biases, tied;
 *   Llama 2 (Touvron et al. 2023): rmsnorm, rotary, swiglu, no biases, not tied;
 *   Llama 3: the same with kv_heads < heads and rope_base 500000;
 *   Qwen2: as Llama 3 with biases of queries, keys and values, norm_epsilon 1e-6.
 *
 * Letters: V vocabulary, S context, C width, L layers, H heads, K kv_heads, D = C/H,
 * F hidden.
 */
#ifndef PAL_MODEL_SHAPE_H
#define PAL_MODEL_SHAPE_H

#include <stdint.h>

#include "base/error.h"
#include "kernel/attention.h"

typedef enum { PAL_LAYERNORM, PAL_RMSNORM, PAL_NORMS } pal_norm_t;
typedef enum { PAL_LEARNED, PAL_ROTARY, PAL_POSITIONS } pal_position_t;
typedef enum { PAL_GELU, PAL_SWIGLU, PAL_MLPS } pal_mlp_t;
/* Which products of a block have a bias. */
typedef enum { PAL_BIAS_NONE, PAL_BIAS_QKV, PAL_BIAS_ALL, PAL_BIASES } pal_bias_t;

/* The names a checkpoint and a message use, by value: "rmsnorm", "rotary", ... */
extern const char *const pal_norm_names[PAL_NORMS];
extern const char *const pal_position_names[PAL_POSITIONS];
extern const char *const pal_mlp_names[PAL_MLPS];
extern const char *const pal_bias_names[PAL_BIASES];

/* Without padding: shapes are equal if their bytes are. */
typedef struct {
    int32_t vocab;    /* V */
    int32_t context;  /* S, tokens */
    int32_t width;    /* C, a multiple of heads */
    int32_t layers;   /* L */
    int32_t heads;    /* H, of queries; a multiple of kv_heads */
    int32_t kv_heads; /* K, of keys and values: H / K query heads share one */
    int32_t hidden;   /* F, of the MLP */
    int32_t tied;     /* 1: the output matrix is the token embedding; 0: its own */
    pal_norm_t norm;
    pal_position_t position;
    pal_mlp_t mlp;
    pal_bias_t bias;
    double norm_epsilon; /* > 0, below 1 */
    double rope_base;    /* rotary: >= 1; learned: 0 */
} pal_shape_t;

/* PAL_EINVAL names the first field that is wrong, its value and what it must be: sizes
 * of at least 1, multiples as above, an even D under rotary positions. */
PAL_MUST_CHECK
int pal_shape_check(const pal_shape_t *shape, pal_error_t *err);

int32_t pal_shape_head_size(const pal_shape_t *shape); /* D */
pal_heads_t pal_shape_heads(const pal_shape_t *shape);
/* (H + 2K) D, floats of a token's queries, keys and values. */
int32_t pal_shape_qkv_size(const pal_shape_t *shape);

/* Floating-point operations of a forward pass over one token of a sequence of `length`
 * tokens, a multiply-add counted as two; with_logits adds the output matrix. A training
 * step costs three times that. */
double pal_shape_flops(const pal_shape_t *shape, double length, int with_logits);

/* Named shapes: GPT-2 style "nano" to "xl", smallest first, then Llama style
 * "llama-nano" to "llama-xl". */
int pal_preset_count(void);
const char *pal_preset_name(int i);

/* Everything but vocab and context, which are left 0. PAL_ENOENT lists the names. */
PAL_MUST_CHECK
int pal_preset_find(const char *name, pal_shape_t *shape, pal_error_t *err);

#endif
