/* attention.h -- causal softmax attention of one text.
 *
 * T tokens, H query heads and K key and value heads of size D, K dividing H: query head
 * h attends with key and value head h / (H / K) (grouped-query attention, Ainslie et
 * al. 2023; K = H is the plain form). A row of qkv (T, (H + 2K) D) is the queries (H,
 * D), keys (K, D) and values (K, D) of a token. Token i attends to tokens 0 .. i with
 * weights p_ij = softmax_j(q_i . k_j / sqrt(D)); out_i = sum_j p_ij v_j.
 *
 * The weights are not kept: the backward pass recomputes them from the log of each
 * row's softmax denominator (Dao et al. 2022), so that memory grows with T and not with
 * T^2.
 */
#ifndef PAL_KERNEL_ATTENTION_H
#define PAL_KERNEL_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

/* T = length tokens; token i has row rows[i] of every array below. Those before `from`
 * belong to a stem that this text is one branch of. */
typedef struct {
    const int32_t *rows; /* borrowed */
    int32_t from, length;
} pal_text_t;

typedef struct {
    int32_t heads, kv_heads, size; /* H, K, D */
} pal_heads_t;

/* Floats of scratch that both passes need for texts of up to `length` tokens. */
size_t pal_attention_scratch(int32_t length, int32_t head_size);

/* Of the tokens from `from` on: out (rows of H D); log_sum (rows of H) is kept for the
 * backward pass. */
void pal_attention_forward(float *out, float *log_sum, const float *qkv,
                           pal_text_t text, pal_heads_t heads, float *scratch);
void pal_attention_forward_ref(double *out, const double *qkv, int32_t length,
                               int32_t heads, int32_t kv_heads, int32_t head_size);

/* One key and value head and its query heads: their columns of dqkv (rows of (H + 2K)
 * D), from dout (rows of H D) of the tokens from `from` on and what the forward pass
 * left. The rows of these tokens are written; those of the stem are added to, so a stem
 * comes before its branches. */
void pal_attention_backward(float *dqkv, const float *dout, const float *out,
                            const float *log_sum, const float *qkv, int32_t group,
                            pal_text_t text, pal_heads_t heads, float *scratch);
void pal_attention_backward_ref(double *dqkv, const double *dout, const double *qkv,
                                int32_t length, int32_t heads, int32_t kv_heads,
                                int32_t head_size);

#endif
