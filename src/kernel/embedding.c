#include "kernel/embedding.h"

#include <stddef.h>

#include "kernel/rows.h"

void pal_embedding_forward(float *x, const float *token, const float *position,
                           const int32_t *tokens, const int32_t *offsets,
                           const int32_t *starts, int32_t sequences, int32_t cols)
{
    if (!position) {
        pal_rows_gather(x, token, tokens, offsets[sequences], cols);
        return;
    }
    for (int32_t b = 0; b < sequences; b++) {
        const int32_t first = starts ? starts[b] : 0;

        for (int32_t t = offsets[b]; t < offsets[b + 1]; t++)
            pal_rows_add(x + (size_t)t * cols, token + (size_t)tokens[t] * cols,
                         position + (size_t)(first + t - offsets[b]) * cols, 1, cols);
    }
}

void pal_embedding_backward(float *dtoken, float *dposition, const float *dx,
                            const int32_t *tokens, const int32_t *offsets,
                            const int32_t *starts, int32_t sequences, int32_t cols)
{
    for (int32_t b = 0; b < sequences; b++) {
        const int32_t start = offsets[b], length = offsets[b + 1] - start;
        const int32_t first = starts ? starts[b] : 0;
        const float *rows = dx + (size_t)start * cols;

        if (dtoken)
            pal_rows_scatter(dtoken, rows, tokens + start, length, cols);
        if (dposition)
            pal_add(dposition + (size_t)first * cols, rows, (int64_t)length * cols);
    }
}

void pal_embedding_forward_ref(double *x, const double *token, const double *position,
                               const int32_t *tokens, const int32_t *offsets,
                               int32_t sequences, int32_t cols)
{
    for (int32_t b = 0; b < sequences; b++)
        for (int32_t t = offsets[b]; t < offsets[b + 1]; t++)
            for (int32_t c = 0; c < cols; c++)
                x[(size_t)t * cols + c] =
                    token[(size_t)tokens[t] * cols + c] +
                    (position ? position[(size_t)(t - offsets[b]) * cols + c] : 0.0);
}
