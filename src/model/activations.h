/* activations.h -- what a pass keeps; shared by pass.c, forward.c, backward.c and
 * edit.c only.
 *
 * All arrays are cut from one allocation, each at a cache line.
 */
#ifndef PAL_MODEL_ACTIVATIONS_H
#define PAL_MODEL_ACTIVATIONS_H

#include <stddef.h>

#include "kernel/attention.h"
#include "kernel/gemm.h"
#include "model/edit.h"

/* One block, in the order it computes:
 *     middle = input + attention(norm(input)), output = middle + mlp(norm(middle)). */
typedef struct {
    float *attention_norm;                  /* (N, C) */
    float *attention_mean, *attention_rstd; /* (N) */
    float *qkv;                             /* (N, (H + 2K) D), turned if rotary */
    float *attended;                        /* (N, C) */
    float *log_sum;                         /* (N, H) */
    float *middle;                          /* (N, C) */
    float *mlp_norm;                        /* (N, C) */
    float *mlp_mean, *mlp_rstd;             /* (N) */
    float *gate, *up;                       /* (N, F); gate only with SwiGLU */
    float *hidden;                          /* (N, F) gelu(up) or silu(gate) up */
    float *mlp;                             /* (N, C) */
    float *seed_mlp;                        /* (N, C) */
    int mlp_seeded;
} pal_activations_t;

struct pal_pass {
    const pal_layout_t *layout; /* borrowed */
    float *rotary;              /* (S, D) pal_rotary_table(), owned; NULL if learned */
    pal_batch_t batch;          /* borrowed arrays; sequences = 0 before a forward */
    const pal_edit_t *edits;    /* (edit_count), borrowed */
    int32_t edit_count;
    int32_t blocks_run;   /* residual streams -1 .. blocks_run - 1 are valid */
    int32_t tokens, rows; /* N and R of this batch */

    float *memory; /* owned; everything below points into it */
    int32_t token_capacity, row_capacity;

    pal_activations_t *blocks; /* (L), owned */
    float **residual;          /* (L + 1), owned: input of block l, last the output */
    float **seed_residual;     /* (L + 1), owned; likewise */
    int *residual_seeded;      /* (L + 1), owned */
    int logits_seeded;

    int32_t *positions, *first; /* (R), (R + 1) */
    int32_t *targets;           /* (P) */
    int32_t *row_of;            /* (N) row at that place, only while rows are made */
    float *last;                /* (R, C) residual stream of the rows with logits */
    float *final_norm;          /* (R, C) */
    float *final_mean, *final_rstd; /* (R) */
    float *logits, *seed_logits;    /* (R, V) */
    float *logit_row;               /* (V) */

    float *dresidual; /* (N, C) gradient that descends along the residual stream */
    float *narrow;    /* (N, C) */
    float *wide;      /* (N, the larger of a row of qkv and F) */
    float *dgate;     /* (N, F); only with SwiGLU */
    int threads;      /* T, that there is room for in: */
    float *scratch;   /* (T, pal_attention_scratch()) */
    int32_t *texts;   /* (T, S) places of a text's tokens */
    pal_gemm_t gemm;  /* the precision, and room for it */
};

/* The calling thread's part of scratch. */
float *pal_pass_scratch(const pal_pass_t *pass);

/* The text of sequence b; borrowed until the calling thread's next call. */
pal_text_t pal_pass_text(const pal_pass_t *pass, int32_t b);

/* Turn the queries and keys of all sequences to their positions, or their gradients
 * back, if the shape's positions are rotary: pal_rotary_forward() or _backward(). */
typedef void pal_turn_t(float *x, int32_t stride, const float *table, int32_t n,
                        int32_t heads, int32_t size);
void pal_pass_turn(const pal_pass_t *pass, float *qkv, pal_turn_t *turn);

void pal_pass_clear_seeds(pal_pass_t *pass);

/* Edits of a pass, `layer` as in pal_edit_t: on the residual stream of that layer,
 * which has just been computed, and back on dresidual, which is its gradient. */
int pal_edits_check(const pal_edit_t *edits, int32_t count, const pal_shape_t *shape,
                    int32_t tokens, pal_error_t *err);
void pal_edits_forward(pal_pass_t *pass, int32_t layer);
void pal_edits_backward(pal_pass_t *pass, int32_t layer);

/* Lowest layer whose gradient an edit wants; L if there is none. */
int32_t pal_edits_lowest(const pal_pass_t *pass);

#endif
