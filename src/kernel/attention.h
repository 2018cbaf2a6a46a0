/* attention.h -- causal softmax attention of one sequence.
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

/* Floats of scratch that both passes need for sequences of up to `length` tokens. */
size_t pal_attention_scratch(int32_t length, int32_t head_size);

/* Of a sequence of `length` tokens the rows `from` .. length-1: out (length - from, H
 * D); log_sum (length - from, H) is kept for the backward pass. */
void pal_attention_forward(float *out, float *log_sum, const float *qkv, int32_t from,
                           int32_t length, int32_t heads, int32_t kv_heads,
                           int32_t head_size, float *scratch);
void pal_attention_forward_ref(double *out, const double *qkv, int32_t length,
                               int32_t heads, int32_t kv_heads, int32_t head_size);

/* dqkv (T, (H + 2K) D), every entry written, from dout (T, H D) and what the forward
 * pass left. */
void pal_attention_backward(float *dqkv, const float *dout, const float *out,
                            const float *log_sum, const float *qkv, int32_t length,
                            int32_t heads, int32_t kv_heads, int32_t head_size,
                            float *scratch);
void pal_attention_backward_ref(double *dqkv, const double *dout, const double *qkv,
                                int32_t length, int32_t heads, int32_t kv_heads,
                                int32_t head_size);

#endif
