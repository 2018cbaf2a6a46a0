#include "kernel/attention.h"

#include <math.h>
#include <string.h>

#include "kernel/clones.h"
#include "kernel/exponential.h"
#include "kernel/lanes.h"

/* One head at a time is copied into scratch, where rows are padded to whole lanes and
 * keys and values also lie transposed: then every inner loop below runs over whole
 * lanes, either over the tokens attended to or over the components of a head. */

PAL_INLINE size_t whole_lanes(int32_t n)
{
    return ((size_t)n + PAL_LANES - 1) / PAL_LANES * PAL_LANES;
}

size_t pal_attention_scratch(int32_t length, int32_t head_size)
{
    size_t tokens = whole_lanes(length), size = whole_lanes(head_size);

    return 2 * size * tokens + 6 * tokens * size + 2 * tokens;
}

/* to (T, padded) = rows of one head, the padding zero. */
PAL_INLINE void pack(float *restrict to, size_t padded, const float *restrict from,
                     size_t stride, int32_t length, int32_t size)
{
    for (int32_t t = 0; t < length; t++, to += padded, from += stride) {
        for (int32_t d = 0; d < size; d++)
            to[d] = from[d];
        for (size_t d = (size_t)size; d < padded; d++)
            to[d] = 0.0f;
    }
}

PAL_INLINE void unpack(float *restrict to, size_t stride, const float *restrict from,
                       size_t padded, int32_t length, int32_t size)
{
    for (int32_t t = 0; t < length; t++, to += stride, from += padded)
        for (int32_t d = 0; d < size; d++)
            to[d] = from[d];
}

/* to (D, tokens) = the transpose, tokens beyond the sequence zero. */
PAL_INLINE void transpose(float *restrict to, size_t tokens, const float *restrict from,
                          size_t stride, int32_t length, int32_t size)
{
    for (int32_t d = 0; d < size; d++, to += tokens) {
        for (int32_t t = 0; t < length; t++)
            to[t] = from[(size_t)t * stride + d];
        for (size_t t = (size_t)length; t < tokens; t++)
            to[t] = 0.0f;
    }
}

/* y[0..n) = sum over the `rows` rows of x of a[row] x[row], n whole lanes. */
PAL_INLINE void combine(float *restrict y, size_t n, const float *restrict a,
                        const float *restrict x, size_t stride, int32_t rows)
{
    for (size_t i = 0; i < n; i += PAL_LANES) {
        float lane[PAL_LANES] = {0};

        for (int32_t row = 0; row < rows; row++)
            for (int j = 0; j < PAL_LANES; j++)
                lane[j] += a[row] * x[(size_t)row * stride + i + j];
        for (int j = 0; j < PAL_LANES; j++)
            y[i + j] = lane[j];
    }
}

/* x[row] += a[row] y for rows of n whole lanes. */
PAL_INLINE void spread(float *restrict x, size_t n, const float *restrict a,
                       const float *restrict y, int32_t rows)
{
    for (int32_t row = 0; row < rows; row++, x += n)
        for (size_t i = 0; i < n; i++)
            x[i] += a[row] * y[i];
}

/* Softmax of scores[0 .. i] times `scale` in place, 0 up to n whole lanes; returns the
 * log of the denominator. */
PAL_INLINE float softmax_row(float *restrict scores, int32_t i, size_t n, float scale)
{
    float max = pal_lanes_max(scores, i + 1), sum;

    for (size_t j = 0; j < n; j++)
        scores[j] = pal_expf((scores[j] - max) * scale);
    for (size_t j = (size_t)i + 1; j < n; j++)
        scores[j] = 0.0f;
    sum = pal_lanes_sum(scores, (int32_t)n);
    for (size_t j = 0; j < n; j++)
        scores[j] *= 1.0f / sum;
    return max * scale + logf(sum);
}

PAL_CLONES
static void head_forward(float *out, float *log_sum, const float *qkv, int32_t from,
                         int32_t length, int32_t heads, int32_t size, float *scratch)
{
    const size_t width = (size_t)heads * (size_t)size;
    const size_t tokens = whole_lanes(length), padded = whole_lanes(size);
    const float scale = 1.0f / sqrtf((float)size);
    float *keys = scratch, *values = keys + padded * tokens;
    float *weights = values + tokens * padded, *row = weights + tokens;

    transpose(keys, tokens, qkv + width, 3 * width, length, size);
    pack(values, padded, qkv + 2 * width, 3 * width, length, size);
    for (int32_t i = from; i < length; i++) {
        const size_t n = whole_lanes(i + 1), at = (size_t)(i - from);

        combine(weights, n, qkv + (size_t)i * 3 * width, keys, tokens, size);
        log_sum[at * heads] = softmax_row(weights, i, n, scale);
        combine(row, padded, weights, values, padded, i + 1);
        memcpy(out + at * width, row, (size_t)size * sizeof *out);
    }
}

void pal_attention_forward(float *out, float *log_sum, const float *qkv, int32_t from,
                           int32_t length, int32_t heads, int32_t head_size,
                           float *scratch)
{
    for (int32_t h = 0; h < heads; h++)
        head_forward(out + (size_t)h * head_size, log_sum + h,
                     qkv + (size_t)h * head_size, from, length, heads, head_size,
                     scratch);
}

/* weights = p_i and dscores = d(loss)/d(q_i . k_j) of one row, 0 beyond i. */
PAL_INLINE void row_backward(float *restrict weights, float *restrict dscores,
                             int32_t i, size_t n, float log_sum, float delta,
                             float scale)
{
    for (size_t j = 0; j < n; j++) {
        weights[j] = pal_expf(weights[j] * scale - log_sum);
        dscores[j] = weights[j] * (dscores[j] - delta) * scale;
    }
    for (size_t j = (size_t)i + 1; j < n; j++)
        weights[j] = dscores[j] = 0.0f;
}

PAL_CLONES
static void head_backward(float *dqkv, const float *dout, const float *out,
                          const float *log_sum, const float *qkv, int32_t length,
                          int32_t heads, int32_t size, float *scratch)
{
    const size_t width = (size_t)heads * (size_t)size;
    const size_t tokens = whole_lanes(length), padded = whole_lanes(size);
    const size_t block = tokens * padded;
    const float scale = 1.0f / sqrtf((float)size);
    float *keys_t = scratch, *values_t = keys_t + block;
    float *queries = values_t + block, *keys = queries + block, *douts = keys + block;
    float *dqueries = douts + block, *dkeys = dqueries + block,
          *dvalues = dkeys + block;
    float *weights = dvalues + block, *dscores = weights + tokens;

    transpose(keys_t, tokens, qkv + width, 3 * width, length, size);
    transpose(values_t, tokens, qkv + 2 * width, 3 * width, length, size);
    pack(queries, padded, qkv, 3 * width, length, size);
    pack(keys, padded, qkv + width, 3 * width, length, size);
    pack(douts, padded, dout, width, length, size);
    memset(dkeys, 0, 2 * block * sizeof *dkeys);
    for (int32_t i = 0; i < length; i++) {
        const float *q = queries + (size_t)i * padded, *d = douts + (size_t)i * padded;
        const size_t n = whole_lanes(i + 1);
        const float delta = pal_lanes_dot(d, out + (size_t)i * width, size);

        combine(weights, n, q, keys_t, tokens, size);
        combine(dscores, n, d, values_t, tokens, size);
        row_backward(weights, dscores, i, n, log_sum[(size_t)i * heads], delta, scale);
        combine(dqueries + (size_t)i * padded, padded, dscores, keys, padded, i + 1);
        spread(dkeys, padded, dscores, q, i + 1);
        spread(dvalues, padded, weights, d, i + 1);
    }
    unpack(dqkv, 3 * width, dqueries, padded, length, size);
    unpack(dqkv + width, 3 * width, dkeys, padded, length, size);
    unpack(dqkv + 2 * width, 3 * width, dvalues, padded, length, size);
}

void pal_attention_backward(float *dqkv, const float *dout, const float *out,
                            const float *log_sum, const float *qkv, int32_t length,
                            int32_t heads, int32_t head_size, float *scratch)
{
    for (int32_t h = 0; h < heads; h++) {
        size_t at = (size_t)h * head_size;

        head_backward(dqkv + at, dout + at, out + at, log_sum + h, qkv + at, length,
                      heads, head_size, scratch);
    }
}

/* The naive twin works on one head and computes each p_ij from the start. */
typedef struct {
    const double *qkv; /* of the head */
    size_t width;
    int32_t size;
} head_ref_t;

static double dot_ref(const double *a, const double *b, int32_t n)
{
    double sum = 0.0;

    for (int32_t d = 0; d < n; d++)
        sum += a[d] * b[d];
    return sum;
}

static const double *row_ref(const head_ref_t *head, int32_t t, int part)
{
    return head->qkv + ((size_t)t * 3 + (size_t)part) * head->width;
}

static double weight_ref(const head_ref_t *head, int32_t i, int32_t j)
{
    const double *q = row_ref(head, i, 0);
    double scale = 1.0 / sqrt(head->size), sum = 0.0;
    double score = dot_ref(q, row_ref(head, j, 1), head->size);

    for (int32_t k = 0; k <= i; k++)
        sum += exp((dot_ref(q, row_ref(head, k, 1), head->size) - score) * scale);
    return 1.0 / sum;
}

void pal_attention_forward_ref(double *out, const double *qkv, int32_t length,
                               int32_t heads, int32_t head_size)
{
    size_t width = (size_t)heads * (size_t)head_size;

    memset(out, 0, (size_t)length * width * sizeof *out);
    for (int32_t h = 0; h < heads; h++) {
        size_t at = (size_t)h * head_size;
        head_ref_t head = {qkv + at, width, head_size};

        for (int32_t i = 0; i < length; i++)
            for (int32_t j = 0; j <= i; j++) {
                double p = weight_ref(&head, i, j);

                for (int32_t d = 0; d < head_size; d++)
                    out[(size_t)i * width + at + d] += p * row_ref(&head, j, 2)[d];
            }
    }
}

static void row_backward_ref(double *dqkv, const double *dout, const head_ref_t *head,
                             int32_t i)
{
    size_t width = head->width;
    double scale = 1.0 / sqrt(head->size), delta = 0.0;

    for (int32_t j = 0; j <= i; j++)
        delta +=
            weight_ref(head, i, j) * dot_ref(dout, row_ref(head, j, 2), head->size);
    for (int32_t j = 0; j <= i; j++) {
        double p = weight_ref(head, i, j);
        double ds =
            p * (dot_ref(dout, row_ref(head, j, 2), head->size) - delta) * scale;

        for (int32_t d = 0; d < head->size; d++) {
            dqkv[(size_t)i * 3 * width + d] += ds * row_ref(head, j, 1)[d];
            dqkv[((size_t)j * 3 + 1) * width + d] += ds * row_ref(head, i, 0)[d];
            dqkv[((size_t)j * 3 + 2) * width + d] += p * dout[d];
        }
    }
}

void pal_attention_backward_ref(double *dqkv, const double *dout, const double *qkv,
                                int32_t length, int32_t heads, int32_t head_size)
{
    size_t width = (size_t)heads * (size_t)head_size;

    memset(dqkv, 0, (size_t)length * 3 * width * sizeof *dqkv);
    for (int32_t h = 0; h < heads; h++) {
        size_t at = (size_t)h * head_size;
        head_ref_t head = {qkv + at, width, head_size};

        for (int32_t i = 0; i < length; i++)
            row_backward_ref(dqkv + at, dout + (size_t)i * width + at, &head, i);
    }
}
