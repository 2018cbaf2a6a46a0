/* embedding.h -- token and position embeddings of ragged sequences.
 *
 * Sequence b is tokens[offsets[b] .. offsets[b+1]); positions count in each from
 * starts[b], or from 0 if starts is NULL. Tables are (V, cols) and (S, cols), x is (N,
 * cols).
 */
#ifndef PAL_KERNEL_EMBEDDING_H
#define PAL_KERNEL_EMBEDDING_H

#include <stdint.h>

/* x[t] = token[tokens[t]] + position[that of t]; position may be NULL, then without it.
 */
void pal_embedding_forward(float *x, const float *token, const float *position,
                           const int32_t *tokens, const int32_t *offsets,
                           const int32_t *starts, int32_t sequences, int32_t cols);
void pal_embedding_forward_ref(double *x, const double *token, const double *position,
                               const int32_t *tokens, const int32_t *offsets,
                               int32_t sequences, int32_t cols);

/* Add dx to the rows it came from, token by token in order. Either table may be NULL.
 */
void pal_embedding_backward(float *dtoken, float *dposition, const float *dx,
                            const int32_t *tokens, const int32_t *offsets,
                            const int32_t *starts, int32_t sequences, int32_t cols);

#endif
