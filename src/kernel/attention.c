#include "kernel/attention.h"

#include <math.h>
#include <string.h>

#include "kernel/clones.h"
#include "kernel/exponential.h"
#include "kernel/lanes.h"
#include "kernel/tile.h"

PAL_INLINE size_t whole_lanes(int32_t n)
{
    return ((size_t)n + PAL_LANES - 1) / PAL_LANES * PAL_LANES;
}

/* Rows of a packed head: an odd number of cache lines, so that the rows of its
 * transpose do not fall on the same few sets of a cache. */
PAL_INLINE size_t packed_rows(int32_t length)
{
    return (whole_lanes(length) / PAL_LANES | 1) * PAL_LANES;
}

/* Rows that the tiles of a sequence's keys read. */
PAL_INLINE size_t whole_tiles(int32_t n)
{
    return ((size_t)n + PAL_TILE - 1) / PAL_TILE * PAL_TILE;
}

size_t pal_attention_scratch(int32_t length, int32_t head_size)
{
    size_t rows = packed_rows(length) + PAL_TILE, size = whole_lanes(head_size);

    return 9 * rows * size + (2 * PAL_TILE + 2) * rows;
}

/* Where the parts of a head lie in a row of qkv (`row` floats) and of out (`width`),
 * and how large it is when packed. */
typedef struct {
    const int32_t *at; /* (length) the rows of the text */
    int32_t from, length, heads, size;
    size_t row, width;
    size_t key, value; /* of the group */
    size_t rows;       /* that the keys take */
    size_t queries;    /* rows that the queries take */
    size_t padded;     /* columns */
} place_t;

PAL_INLINE place_t find_group(int32_t group, pal_text_t text, pal_heads_t heads)
{
    const size_t size = (size_t)heads.size, groups = (size_t)heads.kv_heads;
    const size_t key = ((size_t)heads.heads + (size_t)group) * size;

    return (place_t){.at = text.rows,
                     .from = text.from,
                     .length = text.length,
                     .heads = heads.heads,
                     .size = heads.size,
                     .row = ((size_t)heads.heads + 2 * groups) * size,
                     .width = (size_t)heads.heads * size,
                     .key = key,
                     .value = key + groups * size,
                     .rows = packed_rows(text.length),
                     .queries = packed_rows(text.length - text.from),
                     .padded = whole_lanes(heads.size)};
}

/* to[0..n) = factor from[0..n). */
PAL_INLINE void copy_row(float *restrict to, const float *restrict from, float factor,
                         size_t n)
{
    size_t d = 0;

    for (; d + PAL_LANES <= n; d += PAL_LANES)
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            to[d + (size_t)j] = factor * from[d + (size_t)j];
    for (; d < n; d++)
        to[d] = factor * from[d];
}

/* to (rows, padded) = factor times the rows at[0 .. used) of a head, zero beyond them.
 */
PAL_INLINE void pack(float *restrict to, size_t rows, const float *restrict from,
                     size_t stride, const int32_t *at, size_t used, float factor,
                     const place_t *p)
{
    const size_t size = (size_t)p->size;

    if (p->padded > size)
        memset(to, 0, used * p->padded * sizeof *to);
    for (size_t t = 0; t < used; t++)
        copy_row(to + t * p->padded, from + (size_t)at[t] * stride, factor, size);
    if (rows > used)
        memset(to + used * p->padded, 0, (rows - used) * p->padded * sizeof *to);
}

/* The rows of the text from `first` on, back into rows of dqkv. */
PAL_INLINE void unpack(float *restrict to, const float *restrict from, int32_t first,
                       float factor, const place_t *p)
{
    for (int32_t t = first; t < p->length; t++, from += p->padded)
        copy_row(to + (size_t)p->at[t] * p->row, from, factor, (size_t)p->size);
}

/* As above for keys or values, but add to the rows before `from`: others have been
 * there. */
PAL_INLINE void unpack_keys(float *restrict to, const float *restrict from,
                            const place_t *p)
{
    for (int32_t t = 0; t < p->from; t++)
        for (int32_t d = 0; d < p->size; d++)
            to[(size_t)p->at[t] * p->row + (size_t)d] +=
                from[(size_t)t * p->padded + (size_t)d];
    unpack(to, from + (size_t)p->from * p->padded, p->from, 1.0f, p);
}

/* to = the transpose of PAL_LANES x PAL_LANES floats. Their 8-bit index is row and
 * column, and each shuffle rotates it by a bit. */
PAL_INLINE void transpose_block(float *restrict to, size_t to_stride,
                                const float *restrict from, size_t stride)
{
    enum { HALF = PAL_LANES * PAL_LANES / 2 };
    float x[2 * HALF], y[2 * HALF];

    for (size_t r = 0; r < PAL_LANES; r++)
        memcpy(x + r * PAL_LANES, from + r * stride, PAL_LANES * sizeof *x);
    for (int bit = 0; bit < 2; bit++) {
        for (int i = 0; i < HALF; i++) {
            y[2 * i] = x[i];
            y[2 * i + 1] = x[i + HALF];
        }
        for (int i = 0; i < HALF; i++) {
            x[2 * i] = y[i];
            x[2 * i + 1] = y[i + HALF];
        }
    }
    for (size_t r = 0; r < PAL_LANES; r++)
        memcpy(to + r * to_stride, x + r * PAL_LANES, PAL_LANES * sizeof *x);
}

/* to (padded, rows) = the transpose of a packed head. */
PAL_INLINE void transpose(float *restrict to, const float *restrict from, size_t rows,
                          size_t padded)
{
    for (size_t t = 0; t < rows; t += PAL_LANES)
        for (size_t d = 0; d < padded; d += PAL_LANES)
            transpose_block(to + d * rows + t, rows, from + t * padded + d, padded);
}

/* --- Forward --- */

/* Scores of the tokens 0 .. n-1 for the queries of a tile from i on, -INFINITY where a
 * token comes later, and the largest of each row. */
PAL_INLINE void score_tile(float *restrict scores, float largest[PAL_TILE],
                           const float *queries, int32_t i, size_t n,
                           const float *keys_t, const place_t *p)
{
    pal_tile_t tile, most;

    for (int r = 0; r < PAL_TILE; r++)
        for (int j = 0; j < PAL_LANES; j++)
            most[r][j] = -INFINITY;
    for (size_t k = 0; k < n; k += PAL_LANES) {
        pal_tile_product(tile, queries, p->padded, keys_t + k, p->rows,
                         (size_t)p->size);
        for (int r = 0; r < PAL_TILE; r++)
#pragma omp simd
            for (int j = 0; j < PAL_LANES; j++) {
                const float score = (int32_t)k + j <= i + r ? tile[r][j] : -INFINITY;

                scores[(size_t)r * p->rows + k + (size_t)j] = score;
                most[r][j] = pal_lanes_larger(score, most[r][j]);
            }
    }
    for (int r = 0; r < PAL_TILE; r++)
        largest[r] = pal_lanes_max(most[r], PAL_LANES);
}

/* exp(scores - largest) in place; returns the sum. */
PAL_INLINE float exponentiate(float *restrict scores, size_t n, float largest)
{
    float lane[PAL_LANES] = {0};

    for (size_t k = 0; k < n; k += PAL_LANES)
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++) {
            const float score = scores[k + (size_t)j];
            const float e = score == -INFINITY ? 0.0f : pal_expf(score - largest);

            scores[k + (size_t)j] = e;
            lane[j] += e;
        }
    return pal_lanes_total(lane);
}

/* Tokens i .. i + PAL_TILE - 1 of one head, those there are. */
PAL_INLINE void tile_forward(float *out, float *log_sum, const float *queries,
                             int32_t i, const float *keys_t, const float *values,
                             float *scratch, const place_t *p)
{
    const int32_t rows = p->length - i < PAL_TILE ? p->length - i : PAL_TILE;
    const size_t n = whole_lanes(i + rows);
    float *scores = scratch, *packed = scratch + PAL_TILE * p->rows;
    const float scale = 1.0f / sqrtf((float)p->size);
    float largest[PAL_TILE], inverse[PAL_TILE];
    pal_tile_t tile;

    pack(packed, PAL_TILE, queries, p->row, p->at + i, (size_t)rows, scale, p);
    score_tile(scores, largest, packed, i, n, keys_t, p);
    for (int32_t r = 0; r < rows; r++) {
        const float sum = exponentiate(scores + (size_t)r * p->rows, n, largest[r]);

        log_sum[(size_t)p->at[i + r] * (size_t)p->heads] = largest[r] + logf(sum);
        inverse[r] = 1.0f / sum;
    }
    for (size_t d = 0; d < p->padded; d += PAL_LANES) {
        const size_t left = (size_t)p->size - d;

        pal_tile_product(tile, scores, p->rows, values + d, p->padded,
                         (size_t)(i + rows));
        for (int32_t r = 0; r < rows; r++)
            copy_row(out + (size_t)p->at[i + r] * p->width + d, tile[r], inverse[r],
                     left < PAL_LANES ? left : PAL_LANES);
    }
}

PAL_CLONES
static void group_forward(float *out, float *log_sum, const float *qkv, int32_t group,
                          pal_text_t text, pal_heads_t heads, float *scratch)
{
    const place_t p = find_group(group, text, heads);
    const size_t length = (size_t)text.length;
    const int32_t share = heads.heads / heads.kv_heads;
    float *keys_t = scratch, *values = keys_t + p.rows * p.padded;
    float *keys = values + p.rows * p.padded, *rest = keys + p.rows * p.padded;

    pack(keys, p.rows, qkv + p.key, p.row, p.at, length, 1.0f, &p);
    transpose(keys_t, keys, p.rows, p.padded);
    pack(values, p.rows, qkv + p.value, p.row, p.at, length, 1.0f, &p);
    for (int32_t h = group * share; h < (group + 1) * share; h++)
        for (int32_t i = text.from; i < text.length; i += PAL_TILE)
            tile_forward(out + (size_t)h * (size_t)p.size, log_sum + h,
                         qkv + (size_t)h * (size_t)p.size, i, keys_t, values, rest, &p);
}

void pal_attention_forward(float *out, float *log_sum, const float *qkv,
                           pal_text_t text, pal_heads_t heads, float *scratch)
{
    for (int32_t group = 0; group < heads.kv_heads; group++)
        group_forward(out, log_sum, qkv, group, text, heads, scratch);
}

/* --- Backward --- */

/* The group's keys and values and their gradients so far; of one query head what the
 * products need; of one tile of keys the weights and the gradients of the scores,
 * (PAL_TILE, queries). Query q is token from + q of the text. */
typedef struct {
    float *keys, *values, *dkeys, *dvalues;
    float *queries, *queries_t, *douts, *douts_t, *dqueries;
    float *weights, *dscores, *log_sum, *delta;
} group_t;

PAL_INLINE group_t cut_group(float *scratch, const place_t *p)
{
    const size_t block = (p->rows + PAL_TILE) * p->padded;
    float *rest = scratch + 9 * block;

    return (group_t){.keys = scratch,
                     .values = scratch + block,
                     .dkeys = scratch + 2 * block,
                     .dvalues = scratch + 3 * block,
                     .queries = scratch + 4 * block,
                     .queries_t = scratch + 5 * block,
                     .douts = scratch + 6 * block,
                     .douts_t = scratch + 7 * block,
                     .dqueries = scratch + 8 * block,
                     .weights = rest,
                     .dscores = rest + PAL_TILE * p->rows,
                     .log_sum = rest + 2 * PAL_TILE * p->rows,
                     .delta = rest + (2 * PAL_TILE + 1) * p->rows};
}

/* Weights of PAL_LANES queries from q for the keys of a tile, and d(loss)/d(score) of
 * them, in place of scores and d(loss)/d(weight); 0 where the key, the first of them
 * beside query k, comes later. */
PAL_INLINE void weigh(pal_tile_t scores, pal_tile_t dscores, const float *log_sum,
                      const float *delta, int32_t q, int32_t k)
{
    for (int r = 0; r < PAL_TILE; r++)
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++) {
            const float weight = pal_expf(scores[r][j] - log_sum[q + j]);
            const float p = q + j >= k + r ? weight : 0.0f;

            scores[r][j] = p;
            dscores[r][j] = p * (dscores[r][j] - delta[q + j]);
        }
}

/* y[r] += tile[r] for rows `stride` floats apart. */
PAL_INLINE void add_tile(float *restrict y, size_t stride, pal_tile_t tile)
{
    for (int r = 0; r < PAL_TILE; r++)
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            y[(size_t)r * stride + (size_t)j] += tile[r][j];
}

/* y[q] += sum over r of a[r][q] x[r], for n rows of y. */
PAL_INLINE void spread(float *restrict y, size_t stride, const float *restrict a,
                       size_t a_stride, const float *restrict x, size_t n)
{
    float rows[PAL_TILE][PAL_LANES];

    for (int r = 0; r < PAL_TILE; r++)
        for (int j = 0; j < PAL_LANES; j++)
            rows[r][j] = x[(size_t)r * stride + (size_t)j];
    for (size_t q = 0; q < n; q++, y += stride) {
        float sum[PAL_LANES];

#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            sum[j] = y[j];
        for (int r = 0; r < PAL_TILE; r++) {
            const float factor = a[(size_t)r * a_stride + q];

#pragma omp simd
            for (int j = 0; j < PAL_LANES; j++)
                sum[j] += factor * rows[r][j];
        }
#pragma omp simd
        for (int j = 0; j < PAL_LANES; j++)
            y[j] = sum[j];
    }
}

/* What the keys k .. k + PAL_TILE - 1 do to the queries from k on, and these to them.
 */
PAL_INLINE void tile_backward(const group_t *g, int32_t k, const place_t *p)
{
    const int32_t beside = k - p->from, own = p->length - p->from;
    const size_t first = beside > 0 ? (size_t)(beside / PAL_LANES * PAL_LANES) : 0;
    const size_t n = whole_lanes(own), left = (size_t)own - first;
    const size_t row = (size_t)k * p->padded, size = (size_t)p->size;
    pal_tile_t scores, dscores, tile;

    for (size_t q = first; q < n; q += PAL_LANES) {
        pal_tile_product(scores, g->keys + row, p->padded, g->queries_t + q, p->queries,
                         size);
        pal_tile_product(dscores, g->values + row, p->padded, g->douts_t + q,
                         p->queries, size);
        weigh(scores, dscores, g->log_sum, g->delta, (int32_t)q, beside);
        for (int r = 0; r < PAL_TILE; r++) {
            const size_t at = (size_t)r * p->queries + q;

            memcpy(g->weights + at, scores[r], sizeof scores[r]);
            memcpy(g->dscores + at, dscores[r], sizeof dscores[r]);
        }
    }
    for (size_t d = 0; d < p->padded; d += PAL_LANES) {
        pal_tile_product(tile, g->weights + first, p->queries,
                         g->douts + first * p->padded + d, p->padded, left);
        add_tile(g->dvalues + row + d, p->padded, tile);
        pal_tile_product(tile, g->dscores + first, p->queries,
                         g->queries + first * p->padded + d, p->padded, left);
        add_tile(g->dkeys + row + d, p->padded, tile);
        spread(g->dqueries + first * p->padded + d, p->padded, g->dscores + first,
               p->queries, g->keys + row + d, left);
    }
}

/* One query head: writes its dqueries, adds to the group's dkeys and dvalues. */
PAL_INLINE void head_backward(float *dqueries, const float *dout, const float *out,
                              const float *log_sum, const float *queries,
                              const group_t *g, const place_t *p)
{
    const float scale = 1.0f / sqrtf((float)p->size);
    const int32_t *at = p->at + p->from;
    const size_t own = (size_t)(p->length - p->from);

    pack(g->queries, p->queries, queries, p->row, at, own, scale, p);
    transpose(g->queries_t, g->queries, p->queries, p->padded);
    pack(g->douts, p->queries, dout, p->width, at, own, 1.0f, p);
    transpose(g->douts_t, g->douts, p->queries, p->padded);
    memset(g->log_sum, 0, p->queries * sizeof *g->log_sum);
    memset(g->delta, 0, p->queries * sizeof *g->delta);
    for (size_t q = 0; q < own; q++) {
        g->log_sum[q] = log_sum[(size_t)at[q] * (size_t)p->heads];
        g->delta[q] = pal_lanes_dot(g->douts + q * p->padded,
                                    out + (size_t)at[q] * p->width, p->size);
    }
    memset(g->dqueries, 0, p->queries * p->padded * sizeof *g->dqueries);
    for (int32_t k = 0; k < p->length; k += PAL_TILE)
        tile_backward(g, k, p);
    unpack(dqueries, g->dqueries, p->from, scale, p);
}

PAL_CLONES
void pal_attention_backward(float *dqkv, const float *dout, const float *out,
                            const float *log_sum, const float *qkv, int32_t group,
                            pal_text_t text, pal_heads_t heads, float *scratch)
{
    const place_t p = find_group(group, text, heads);
    const group_t g = cut_group(scratch, &p);
    const size_t tiles = whole_tiles(text.length), length = (size_t)text.length;
    const int32_t share = heads.heads / heads.kv_heads;

    pack(g.keys, tiles, qkv + p.key, p.row, p.at, length, 1.0f, &p);
    pack(g.values, tiles, qkv + p.value, p.row, p.at, length, 1.0f, &p);
    memset(g.dkeys, 0, tiles * p.padded * sizeof *g.dkeys);
    memset(g.dvalues, 0, tiles * p.padded * sizeof *g.dvalues);
    for (int32_t h = group * share; h < (group + 1) * share; h++) {
        const size_t at = (size_t)h * (size_t)p.size;

        head_backward(dqkv + at, dout + at, out + at, log_sum + h, qkv + at, &g, &p);
    }
    unpack_keys(dqkv + p.key, g.dkeys, &p);
    unpack_keys(dqkv + p.value, g.dvalues, &p);
}

/* The naive twin works on one query head and computes each p_ij from the start. */
typedef struct {
    size_t query, key, value; /* in a row of qkv */
    size_t row, out, width;   /* row of qkv; place in a row of out, and that row */
    int32_t size;
} head_ref_t;

static head_ref_t find_head_ref(int32_t h, int32_t heads, int32_t kv_heads,
                                int32_t size)
{
    const size_t d = (size_t)size, group = (size_t)(h / (heads / kv_heads));

    return (head_ref_t){.query = (size_t)h * d,
                        .key = ((size_t)heads + group) * d,
                        .value = ((size_t)heads + (size_t)kv_heads + group) * d,
                        .row = ((size_t)heads + 2 * (size_t)kv_heads) * d,
                        .out = (size_t)h * d,
                        .width = (size_t)heads * d,
                        .size = size};
}

static double dot_ref(const double *a, const double *b, int32_t n)
{
    double sum = 0.0;

    for (int32_t d = 0; d < n; d++)
        sum += a[d] * b[d];
    return sum;
}

static double weight_ref(const head_ref_t *head, const double *qkv, int32_t i,
                         int32_t j)
{
    const double *q = qkv + (size_t)i * head->row + head->query, *k = qkv + head->key;
    double scale = 1.0 / sqrt(head->size), sum = 0.0;
    double score = dot_ref(q, k + (size_t)j * head->row, head->size);

    for (int32_t t = 0; t <= i; t++)
        sum += exp((dot_ref(q, k + (size_t)t * head->row, head->size) - score) * scale);
    return 1.0 / sum;
}

void pal_attention_forward_ref(double *out, const double *qkv, int32_t length,
                               int32_t heads, int32_t kv_heads, int32_t head_size)
{
    memset(out, 0, (size_t)length * heads * head_size * sizeof *out);
    for (int32_t h = 0; h < heads; h++) {
        const head_ref_t head = find_head_ref(h, heads, kv_heads, head_size);

        for (int32_t i = 0; i < length; i++)
            for (int32_t j = 0; j <= i; j++) {
                const double p = weight_ref(&head, qkv, i, j);
                const double *v = qkv + (size_t)j * head.row + head.value;

                for (int32_t d = 0; d < head_size; d++)
                    out[(size_t)i * head.width + head.out + d] += p * v[d];
            }
    }
}

static void row_backward_ref(double *dqkv, const double *dout, const double *qkv,
                             const head_ref_t *head, int32_t i)
{
    const double *d_i = dout + (size_t)i * head->width + head->out;
    const double scale = 1.0 / sqrt(head->size);
    double delta = 0.0;

    for (int32_t j = 0; j <= i; j++)
        delta += weight_ref(head, qkv, i, j) *
                 dot_ref(d_i, qkv + (size_t)j * head->row + head->value, head->size);
    for (int32_t j = 0; j <= i; j++) {
        const size_t at_i = (size_t)i * head->row, at_j = (size_t)j * head->row;
        const double p = weight_ref(head, qkv, i, j);
        const double dp = dot_ref(d_i, qkv + at_j + head->value, head->size);
        const double ds = p * (dp - delta) * scale;

        for (int32_t d = 0; d < head->size; d++) {
            dqkv[at_i + head->query + d] += ds * qkv[at_j + head->key + d];
            dqkv[at_j + head->key + d] += ds * qkv[at_i + head->query + d];
            dqkv[at_j + head->value + d] += p * d_i[d];
        }
    }
}

void pal_attention_backward_ref(double *dqkv, const double *dout, const double *qkv,
                                int32_t length, int32_t heads, int32_t kv_heads,
                                int32_t head_size)
{
    const head_ref_t any = find_head_ref(0, heads, kv_heads, head_size);

    memset(dqkv, 0, (size_t)length * any.row * sizeof *dqkv);
    for (int32_t h = 0; h < heads; h++) {
        const head_ref_t head = find_head_ref(h, heads, kv_heads, head_size);

        for (int32_t i = 0; i < length; i++)
            row_backward_ref(dqkv, dout, qkv, &head, i);
    }
}
