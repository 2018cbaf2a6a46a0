/* Each fast kernel against its naive twin in double precision, over shapes that do and
 * do not fill whole lanes. Inputs are rounded to float first, so that the twins start
 * equal. */
#include "kernel/activation.h"
#include "kernel/attention.h"
#include "kernel/cross_entropy.h"
#include "kernel/embedding.h"
#include "kernel/exponential.h"
#include "kernel/norm.h"
#include "kernel/optimizer.h"
#include "kernel/rotary.h"
#include "kernel/rows.h"
#include "kernel/vector.h"
#include "twin.h"

#define EPSILON 1e-5 /* of the norms */

static void exponential_is_accurate(void **unused)
{
    double worst = 0.0;

    (void)unused;
    for (int i = -870000; i <= 880000; i++) {
        float x = (float)i * 1e-4f;
        double exact = exp((double)x);

        worst = fmax(worst, fabs((double)pal_expf(x) - exact) / exact);
    }
    assert_true(worst < 2e-7);
    assert_true(pal_expf(0.0f) == 1.0f);
    assert_true(isnan(pal_expf(NAN)));
    assert_true(pal_expf(-INFINITY) > 0.0f && pal_expf(-INFINITY) < 2e-38f);
    assert_true(isfinite(pal_expf(INFINITY)) && pal_expf(INFINITY) > 1e38f);
}

/* Not one column: its variance is 0, and rstd = 316 times the rounding of 0 is no test.
 */
static void layernorm_matches(void **unused)
{
    const int32_t shapes[][2] = {{1, 2}, {4, 16}, {3, 7}, {9, 33}, {20, 64}, {2, 513}};

    (void)unused;
    for (size_t s = 0; s < COUNT(shapes); s++) {
        int32_t n = shapes[s][0], c = shapes[s][1];
        twin_t x = twin((size_t)n * c, 2.0), y = twin((size_t)n * c, 1.0);
        twin_t dx = twin((size_t)n * c, 1.0), scale = twin((size_t)c, 1.0);
        twin_t shift = twin((size_t)c, 1.0), mean = twin((size_t)n, 0.0);
        twin_t rstd = twin((size_t)n, 0.0);

        pal_layernorm_forward(y.fast, mean.fast, rstd.fast, x.fast, scale.fast,
                              shift.fast, EPSILON, n, c);
        pal_layernorm_forward_ref(y.naive, mean.naive, rstd.naive, x.naive, scale.naive,
                                  shift.naive, EPSILON, n, c);
        assert_close(y, CLOSE);
        pal_layernorm_inputs(dx.fast, y.fast, x.fast, mean.fast, rstd.fast, scale.fast,
                             n, c);
        pal_layernorm_inputs_ref(dx.naive, y.naive, x.naive, mean.naive, rstd.naive,
                                 scale.naive, n, c);
        assert_close(dx, 2 * CLOSE);
        pal_layernorm_weights(scale.fast, shift.fast, y.fast, x.fast, mean.fast,
                              rstd.fast, n, c);
        pal_layernorm_weights_ref(scale.naive, shift.naive, y.naive, x.naive,
                                  mean.naive, rstd.naive, n, c);
        assert_close(scale, 2 * CLOSE);
        assert_close(shift, 2 * CLOSE);
        drop(x), drop(y), drop(dx), drop(scale), drop(shift), drop(mean), drop(rstd);
    }
}

static void rmsnorm_matches(void **unused)
{
    const int32_t shapes[][2] = {{1, 1}, {4, 16}, {3, 7}, {9, 33}, {20, 64}, {2, 513}};

    (void)unused;
    for (size_t s = 0; s < COUNT(shapes); s++) {
        int32_t n = shapes[s][0], c = shapes[s][1];
        twin_t x = twin((size_t)n * c, 2.0), y = twin((size_t)n * c, 1.0);
        twin_t dx = twin((size_t)n * c, 1.0), scale = twin((size_t)c, 1.0);
        twin_t rstd = twin((size_t)n, 0.0);

        pal_rmsnorm_forward(y.fast, rstd.fast, x.fast, scale.fast, EPSILON, n, c);
        pal_rmsnorm_forward_ref(y.naive, rstd.naive, x.naive, scale.naive, EPSILON, n,
                                c);
        assert_close(y, CLOSE);
        pal_rmsnorm_inputs(dx.fast, y.fast, x.fast, rstd.fast, scale.fast, n, c);
        pal_rmsnorm_inputs_ref(dx.naive, y.naive, x.naive, rstd.naive, scale.naive, n,
                               c);
        assert_close(dx, 2 * CLOSE);
        pal_rmsnorm_weights(scale.fast, y.fast, x.fast, rstd.fast, n, c);
        pal_rmsnorm_weights_ref(scale.naive, y.naive, x.naive, rstd.naive, n, c);
        assert_close(scale, 2 * CLOSE);
        drop(x), drop(y), drop(dx), drop(scale), drop(rstd);
    }
}

/* A residual stream may have a large common offset; the variance must survive it. */
static void norm_of_a_large_mean(void **unused)
{
    twin_t x = twin(64, 1.0), y = twin(64, 0.0), one = twin(64, 0.0),
           zero = twin(64, 0.0);
    twin_t mean = twin(1, 0.0), rstd = twin(1, 0.0);

    (void)unused;
    for (int i = 0; i < 64; i++) {
        x.fast[i] += 1000.0f;
        x.naive[i] = (double)x.fast[i];
        one.naive[i] = one.fast[i] = 1.0f;
    }
    pal_layernorm_forward(y.fast, mean.fast, rstd.fast, x.fast, one.fast, zero.fast,
                          EPSILON, 1, 64);
    pal_layernorm_forward_ref(y.naive, mean.naive, rstd.naive, x.naive, one.naive,
                              zero.naive, EPSILON, 1, 64);
    assert_close(y, 2e-4); /* an ulp of 1000 is 6e-5 */
    drop(x), drop(y), drop(one), drop(zero), drop(mean), drop(rstd);
}

/* A text that lies in order. */
static pal_text_t in_order(int32_t length)
{
    static int32_t rows[256];

    assert_true(length <= 256);
    for (int32_t i = 0; i < length; i++)
        rows[i] = i;
    return (pal_text_t){rows, 0, length};
}

static void attention_matches(void **unused)
{
    const int32_t shapes[][4] = {/* T, H, K, D */
                                 {1, 1, 1, 1},   {1, 4, 4, 16},  {12, 4, 4, 16},
                                 {16, 2, 2, 16}, {17, 3, 3, 5},  {20, 1, 1, 64},
                                 {33, 2, 2, 24}, {70, 1, 1, 17}, {1, 2, 1, 4},
                                 {12, 4, 2, 16}, {17, 6, 2, 5},  {35, 3, 1, 24},
                                 {18, 2, 1, 32}, {97, 4, 2, 64}, {130, 1, 1, 16}};

    (void)unused;
    for (size_t s = 0; s < COUNT(shapes); s++) {
        int32_t t = shapes[s][0], h = shapes[s][1], k = shapes[s][2], d = shapes[s][3];
        size_t n = (size_t)t * h * d, wide = (size_t)t * (h + 2 * k) * d;
        twin_t qkv = twin(wide, 1.5), out = twin(n, 1.0), dout = twin(n, 1.0);
        twin_t dqkv = twin(wide, 1.0), log_sum = twin((size_t)t * h, 0.0);
        float *scratch = malloc(pal_attention_scratch(t, d) * sizeof *scratch);

        assert_non_null(scratch);
        pal_attention_forward(out.fast, log_sum.fast, qkv.fast, in_order(t),
                              (pal_heads_t){h, k, d}, scratch);
        pal_attention_forward_ref(out.naive, qkv.naive, t, h, k, d);
        assert_close(out, CLOSE);
        for (int32_t group = 0; group < k; group++)
            pal_attention_backward(dqkv.fast, dout.fast, out.fast, log_sum.fast,
                                   qkv.fast, group, in_order(t), (pal_heads_t){h, k, d},
                                   scratch);
        pal_attention_backward_ref(dqkv.naive, dout.naive, qkv.naive, t, h, k, d);
        assert_close(dqkv, 2 * CLOSE);
        free(scratch);
        drop(qkv), drop(out), drop(dout), drop(dqkv), drop(log_sum);
    }
}

/* Scores in the hundreds: the softmax must not overflow. */
static void attention_of_large_scores(void **unused)
{
    const int32_t t = 19, h = 2, d = 16;
    size_t n = (size_t)t * h * d;
    twin_t qkv = twin(3 * n, 15.0), out = twin(n, 0.0),
           log_sum = twin((size_t)t * h, 0.0);
    float *scratch = malloc(pal_attention_scratch(t, d) * sizeof *scratch);

    (void)unused;
    assert_non_null(scratch);
    pal_attention_forward(out.fast, log_sum.fast, qkv.fast, in_order(t),
                          (pal_heads_t){h, h, d}, scratch);
    pal_attention_forward_ref(out.naive, qkv.naive, t, h, h, d);
    assert_close(out, 2e-4); /* an ulp of a score of 500 is 3e-5 */
    free(scratch);
    drop(qkv), drop(out), drop(log_sum);
}

/* A text whose rows lie anywhere, the tokens from FROM on a branch of the others: what
 * it attends to, what flows back into it and what is added to its stem are those of the
 * whole text; no other row is touched. */
static void attention_of_a_branch(void **unused)
{
    enum { T = 41, FROM = 13, H = 4, K = 2, D = 6, N = 60, ROW = (H + 2 * K) * D };
    const pal_heads_t heads = {H, K, D};
    twin_t qkv = twin(T * ROW, 1.0), out = twin(T * H * D, 0.0);
    twin_t dout = twin(T * H * D, 1.0), dqkv = twin(T * ROW, 0.0);
    float *scattered = calloc(N * ROW, sizeof *scattered);
    float *branch = calloc(N * H * D, sizeof *branch), log_sum[N * H] = {0};
    float *dbranch = calloc(N * H * D, sizeof *dbranch);
    float *back = malloc(N * ROW * sizeof *back);
    float *scratch = malloc(pal_attention_scratch(T, D) * sizeof *scratch);
    int32_t rows[T], owner[N];
    const pal_text_t stem = {rows, 0, FROM}, text = {rows, FROM, T};

    (void)unused;
    assert_true(scattered && branch && dbranch && back && scratch);
    for (int32_t i = 0; i < N; i++)
        owner[i] = -1;
    for (int32_t t = 0; t < T; t++) {
        rows[t] = (t * 37 + 11) % N;
        owner[rows[t]] = t;
        memcpy(scattered + rows[t] * ROW, qkv.fast + t * ROW, ROW * sizeof *scattered);
        memcpy(dbranch + rows[t] * H * D, dout.fast + t * H * D,
               H * D * sizeof *dbranch);
    }
    for (int32_t i = 0; i < N * ROW; i++)
        back[i] = 7.0f;
    pal_attention_forward(branch, log_sum, scattered, stem, heads, scratch);
    pal_attention_forward(branch, log_sum, scattered, text, heads, scratch);
    for (int32_t group = 0; group < K; group++) {
        pal_attention_backward(back, dbranch, branch, log_sum, scattered, group, stem,
                               heads, scratch);
        pal_attention_backward(back, dbranch, branch, log_sum, scattered, group, text,
                               heads, scratch);
    }
    pal_attention_forward_ref(out.naive, qkv.naive, T, H, K, D);
    pal_attention_backward_ref(dqkv.naive, dout.naive, qkv.naive, T, H, K, D);
    for (int32_t i = 0; i < N; i++)
        for (int32_t j = 0; j < ROW; j++)
            if (owner[i] < 0)
                assert_true(back[i * ROW + j] == 7.0f);
            else
                dqkv.fast[owner[i] * ROW + j] = back[i * ROW + j];
    for (int32_t t = 0; t < T; t++)
        memcpy(out.fast + t * H * D, branch + rows[t] * H * D, H * D * sizeof *branch);
    assert_close(out, CLOSE);
    assert_close(dqkv, 2 * CLOSE);
    free(scattered), free(branch), free(dbranch), free(back), free(scratch);
    drop(qkv), drop(out), drop(dout), drop(dqkv);
}

static void rotary_matches(void **unused)
{
    const int32_t shapes[][5] = {/* n, first position, heads, D, columns beside them */
                                 {1, 0, 1, 2, 0},
                                 {5, 0, 3, 4, 0},
                                 {7, 11, 2, 16, 5},
                                 {3, 200, 1, 34, 1},
                                 {12, 3, 6, 64, 64}};

    (void)unused;
    for (size_t s = 0; s < COUNT(shapes); s++) {
        int32_t n = shapes[s][0], first = shapes[s][1], h = shapes[s][2];
        int32_t d = shapes[s][3], stride = h * d + shapes[s][4];
        twin_t x = twin((size_t)n * stride, 1.0), start = twin(x.n, 0.0);
        float *table = malloc((size_t)(first + n) * d * sizeof *table);

        assert_non_null(table);
        memcpy(start.naive, x.naive, x.n * sizeof *x.naive);
        pal_rotary_table(table, first + n, d, 1e4);
        pal_rotary_forward(x.fast, stride, table + (size_t)first * d, n, h, d);
        pal_rotary_forward_ref(x.naive, stride, first, 1e4, n, h, d);
        assert_close(x, CLOSE);
        pal_rotary_backward(x.fast, stride, table + (size_t)first * d, n, h, d);
        memcpy(start.fast, x.fast, x.n * sizeof *x.fast);
        assert_close(start, CLOSE);
        pal_rotary_backward_ref(x.naive, stride, first, 1e4, n, h, d);
        assert_close(x, CLOSE);
        free(table);
        drop(x), drop(start);
    }
}

/* The angles by hand: components d and d + D/2 by p base^(-2d/D). */
static void rotary_by_hand(void **unused)
{
    const double slow = 3.0 * pow(100.0, -0.5), fast = 3.0;
    double x[4] = {1.0, 0.0, 0.0, 1.0};

    (void)unused;
    pal_rotary_forward_ref(x, 4, 3, 100.0, 1, 1, 4);
    assert_true(fabs(x[0] - cos(fast)) < 1e-12 && fabs(x[2] - sin(fast)) < 1e-12);
    assert_true(fabs(x[1] + sin(slow)) < 1e-12 && fabs(x[3] - cos(slow)) < 1e-12);
}

static void swiglu_matches(void **unused)
{
    const size_t sizes[] = {1, 15, 16, 1000};

    (void)unused;
    for (size_t s = 0; s < COUNT(sizes); s++) {
        twin_t gate = twin(sizes[s], 3.0), up = twin(sizes[s], 1.0);
        twin_t y = twin(sizes[s], 1.0), dgate = twin(sizes[s], 1.0);

        pal_swiglu_forward(y.fast, gate.fast, up.fast, (int64_t)sizes[s]);
        pal_swiglu_forward_ref(y.naive, gate.naive, up.naive, (int64_t)sizes[s]);
        assert_close(y, CLOSE);
        pal_swiglu_backward(y.fast, dgate.fast, gate.fast, up.fast, (int64_t)sizes[s]);
        pal_swiglu_backward_ref(y.naive, dgate.naive, gate.naive, up.naive,
                                (int64_t)sizes[s]);
        assert_close(y, 2 * CLOSE);
        assert_close(dgate, 2 * CLOSE);
        drop(gate), drop(up), drop(y), drop(dgate);
    }
}

static void swiglu_at_the_ends(void **unused)
{
    const float gate[] = {-1e10f, -100.0f, 0.0f, 50.0f, 1e10f}, up[] = {1, 1, 1, 2, 1};
    float y[COUNT(gate)], d[COUNT(gate)] = {1, 1, 1, 1, 1}, dgate[COUNT(gate)];

    (void)unused;
    pal_swiglu_forward(y, gate, up, COUNT(gate));
    pal_swiglu_backward(d, dgate, gate, up, COUNT(gate));
    assert_true(fabsf(y[0]) < 1e-27f && fabsf(y[1]) < 1e-35f);
    assert_true(y[2] == 0.0f && y[3] == 100.0f && y[4] == 1e10f);
    assert_true(fabsf(dgate[1]) < 1e-30f && dgate[2] == 0.5f && dgate[3] == 2.0f);
    assert_true(d[3] == 50.0f && dgate[4] == 1.0f);
}

static void gelu_matches(void **unused)
{
    const size_t sizes[] = {1, 15, 16, 1000};

    (void)unused;
    for (size_t s = 0; s < COUNT(sizes); s++) {
        twin_t x = twin(sizes[s], 3.0), y = twin(sizes[s], 1.0),
               d = twin(sizes[s], 1.0);

        pal_gelu_forward(y.fast, x.fast, (int64_t)sizes[s]);
        pal_gelu_forward_ref(y.naive, x.naive, (int64_t)sizes[s]);
        assert_close(y, CLOSE);
        pal_gelu_backward(d.fast, x.fast, (int64_t)sizes[s]);
        pal_gelu_backward_ref(d.naive, x.naive, (int64_t)sizes[s]);
        assert_close(d, CLOSE);
        drop(x), drop(y), drop(d);
    }
}

static void gelu_at_the_ends(void **unused)
{
    const float x[] = {-1e30f, -50.0f, 0.0f, 50.0f, 1e10f};
    float y[COUNT(x)], d[COUNT(x)] = {1, 1, 1, 1, 1};

    (void)unused;
    pal_gelu_forward(y, x, COUNT(x));
    pal_gelu_backward(d, x, COUNT(x));
    assert_true(fabsf(y[1]) < 1e-30f && y[2] == 0.0f && y[3] == 50.0f && y[4] == 1e10f);
    assert_true(fabsf(d[1]) < 1e-30f && d[2] == 0.5f && d[3] == 1.0f);
}

static void cross_entropy_matches(void **unused)
{
    const int32_t sizes[] = {1, 2, 16, 17, 550};

    (void)unused;
    for (size_t s = 0; s < COUNT(sizes); s++) {
        int32_t v = sizes[s], target = v / 2;
        twin_t z = twin((size_t)v, 4.0), dz = twin((size_t)v, 1.0);
        double exact = pal_cross_entropy_ref(z.naive, v, target);

        assert_true(fabs(pal_cross_entropy(z.fast, v, target) - exact) < CLOSE * 16);
        assert_true(fabs(pal_cross_entropy_seed(dz.fast, z.fast, v, target, 0.5f) -
                         exact) < CLOSE * 16);
        pal_cross_entropy_seed_ref(dz.naive, z.naive, v, target, 0.5);
        assert_within(dz, 0.5 * CLOSE); /* p - 1 may cancel down to nothing */
        drop(z), drop(dz);
    }
}

static void cross_entropy_of_large_logits(void **unused)
{
    const float z[3] = {1e4f, -1e4f, 0.0f};

    (void)unused;
    assert_true(fabs(pal_cross_entropy(z, 3, 0)) < 1e-6);
    assert_true(fabs(pal_cross_entropy(z, 3, 1) - 2e4) < 1e-2);
}

static void rows_and_embedding_match(void **unused)
{
    const int32_t tokens[] = {3, 0, 3, 1, 4, 3}, offsets[] = {0, 2, 6};
    const int32_t c = 19;
    twin_t table = twin(5 * 19, 1.0), place = twin(4 * 19, 1.0), x = twin(6 * 19, 0.0);
    twin_t sum = twin(19, 1.0), back = twin(5 * 19, 0.0), spot = twin(4 * 19, 0.0);
    twin_t y = twin(6 * 19, 0.0);

    (void)unused;
    pal_embedding_forward(x.fast, table.fast, place.fast, tokens, offsets, NULL, 2, c);
    pal_embedding_forward_ref(x.naive, table.naive, place.naive, tokens, offsets, 2, c);
    assert_close(x, CLOSE);
    pal_embedding_forward(y.fast, table.fast, NULL, tokens, offsets, NULL, 2, c);
    pal_embedding_forward_ref(y.naive, table.naive, NULL, tokens, offsets, 2, c);
    assert_close(y, CLOSE);
    pal_rows_sum(sum.fast, x.fast, 6, c);
    pal_rows_sum_ref(sum.naive, x.naive, 6, c);
    assert_close(sum, CLOSE);
    pal_embedding_backward(back.fast, spot.fast, x.fast, tokens, offsets, NULL, 2, c);
    for (int32_t t = 0; t < 6; t++)
        for (int32_t i = 0; i < c; i++) {
            back.naive[tokens[t] * c + i] += x.naive[t * c + i];
            spot.naive[(t < 2 ? t : t - 2) * c + i] += x.naive[t * c + i];
        }
    assert_close(back, CLOSE);
    assert_close(spot, CLOSE);
    drop(table), drop(place), drop(x), drop(sum), drop(back), drop(spot), drop(y);
}

static void rows_change_in_place(void **unused)
{
    const int32_t n = 7, c = 19;
    twin_t x = twin(7 * 19, 1.0), d = twin(19, 1.0), factor = twin(7, 1.0);
    double length = 0.0;

    (void)unused;
    for (int32_t i = 0; i < c; i++)
        length += d.naive[i] * d.naive[i];
    for (int32_t i = 0; i < c; i++)
        d.naive[i] = (double)(d.fast[i] = (float)(d.naive[i] / sqrt(length)));
    pal_rows_project(x.fast, d.fast, n, c);
    pal_rows_project_ref(x.naive, d.naive, n, c);
    assert_close(x, CLOSE);
    pal_rows_scale(x.fast, factor.fast, n, c);
    pal_rows_increase(x.fast, d.fast, n, c);
    for (int32_t i = 0; i < n * c; i++)
        x.naive[i] = x.naive[i] * factor.naive[i / c] + d.naive[i % c];
    assert_close(x, CLOSE);
    drop(x), drop(d), drop(factor);
}

typedef void (*update_t)(float *w, const float *g, float *m, float *v, int64_t n,
                         const pal_update_t *h);
typedef void (*update_ref_t)(double *w, const double *g, double *m, double *v,
                             int64_t n, const pal_update_t *h);

/* Gradients keep their sign for a few steps: Lion looks at nothing else, and where its
 * mean is near zero the twins may rightly differ. */
static void optimizer_matches(update_t update, update_ref_t update_ref)
{
    enum { N = 1003 };
    pal_update_t h = {
        .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .decay = 0.1, .grad_scale = 0.25};
    twin_t w = twin(N, 1.0), m = twin(N, 0.0), v = twin(N, 0.0);

    for (int64_t step = 1; step <= 20; step++) {
        twin_t g = twin(N, 1e-3);

        for (size_t i = 0; i < N; i++) {
            g.fast[i] = fabsf(g.fast[i]) * (i % 2 ? 1.0f : -1.0f);
            g.naive[i] = (double)g.fast[i];
        }
        h.step = step;
        h.lr = step % 5 ? 1e-2 : -1e-2; /* ascends at times */
        update(w.fast, g.fast, m.fast, v.fast, N, &h);
        update_ref(w.naive, g.naive, m.naive, v.naive, N, &h);
        drop(g);
    }
    assert_close(w, CLOSE);
    assert_close(m, CLOSE);
    assert_close(v, CLOSE);
    drop(w), drop(m), drop(v);
}

static void optimizers_match(void **unused)
{
    (void)unused;
    optimizer_matches(pal_sgd, pal_sgd_ref);
    optimizer_matches(pal_momentum, pal_momentum_ref);
    optimizer_matches(pal_adamw, pal_adamw_ref);
    optimizer_matches(pal_lion, pal_lion_ref);
}

/* Two steps worked out by hand: gradients 2 and -4, halved, lr 0.5, no decay. */
static void optimizers_step_as_published(void **unused)
{
    pal_update_t h = {.lr = 0.5, .beta1 = 0.75, .beta2 = 0.5, .grad_scale = 0.5};
    float sgd = 3.0f, momentum = 3.0f, lion = 3.0f, m = 0.0f, k = 0.0f;
    const float g[2] = {2.0f, -4.0f};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        pal_sgd(&sgd, &g[i], NULL, NULL, 1, &h);
        pal_momentum(&momentum, &g[i], &m, NULL, 1, &h);
        pal_lion(&lion, &g[i], &k, NULL, 1, &h);
    }
    assert_true(sgd == 3.0f - 0.5f + 1.0f);
    assert_true(m == 0.75f - 2.0f && momentum == 3.0f - 0.5f + 0.625f);
    /* m = 0.5, then 0.75 * 0.5 + 0.25 * -2 < 0: once down, once up. */
    assert_true(lion == 3.0f && k == 0.25f - 1.0f);
    h.lr = -0.5;
    h.decay = 0.5;
    pal_sgd(&sgd, &g[0], NULL, NULL, 1, &h); /* ascends, and the decay still shrinks */
    assert_true(sgd == 0.75f * 3.5f + 0.5f);
}

/* The first step has size lr whatever the gradient's scale; decay acts on w alone. */
static void adamw_first_step(void **unused)
{
    const pal_update_t h = {.lr = 0.5,
                            .beta1 = 0.9,
                            .beta2 = 0.999,
                            .epsilon = 1e-12,
                            .decay = 0.5,
                            .grad_scale = 1.0,
                            .step = 1};
    float w[3] = {4.0f, 4.0f, 4.0f}, m[3] = {0}, v[3] = {0};
    const float g[3] = {100.0f, -1e-3f, 0.0f};

    (void)unused;
    pal_adamw(w, g, m, v, 3, &h);
    assert_true(fabsf(w[0] - 2.5f) < 1e-5f);
    assert_true(fabsf(w[1] - 3.5f) < 1e-5f);
    assert_true(fabsf(w[2] - 3.0f) < 1e-6f);
}

static void vectors_match(void **unused)
{
    static const int64_t sizes[] = {0, 1, 15, 16, 33, 1003};

    (void)unused;
    for (size_t k = 0; k < COUNT(sizes); k++) {
        int64_t n = sizes[k];
        twin_t x = twin((size_t)n, 1.0), y = twin((size_t)n, 2.0);
        double dot = pal_dot_ref(x.naive, y.naive, n);

        assert_true(fabs(pal_dot(x.fast, y.fast, n) - dot) <= 1e-12 * (double)n);
        assert_true(fabs(pal_norm_squared(x.fast, n) -
                         pal_norm_squared_ref(x.naive, n)) <= 1e-12 * (double)n);
        pal_axpby(y.fast, -0.5f, 3.0f, x.fast, n);
        pal_axpby_ref(y.naive, -0.5, 3.0, x.naive, n);
        assert_close(y, CLOSE);
        pal_scale(y.fast, 0.3f, n);
        pal_scale_ref(y.naive, (double)0.3f, n);
        assert_close(y, CLOSE);
        if (n > 2)
            y.fast[2] = 0.0f, y.naive[2] = 0.0;
        pal_sign_mask(x.fast, y.fast, n);
        pal_sign_mask_ref(x.naive, y.naive, n);
        assert_close(x, 0.0);
        pal_axpby(y.fast, 0.0f, 2.0f, x.fast, n);
        pal_axpby_ref(y.naive, 0.0, 2.0, x.naive, n);
        assert_close(y, 0.0);
        drop(x), drop(y);
    }
}

/* Signs that differ, zeros included, clear; NaN is neither kept out nor lost. */
static void sign_mask_by_hand(void **unused)
{
    float x[] = {1, 1, 1, -1, -1, -1, 0, NAN, 1e-40f};
    const float y[] = {2, -2, 0, -2, 2, 0, 2, -1, 1e-40f};
    const float kept[] = {1, 0, 0, -1, 0, 0, 0, 0, 1e-40f};

    (void)unused;
    pal_sign_mask(x, y, COUNT(x));
    for (size_t i = 0; i < COUNT(x); i++)
        if (i == 7)
            assert_true(isnan(x[i]));
        else
            assert_true(x[i] == kept[i]);
}

/* y that is overwritten may hold anything. */
static void axpby_overwrites(void **unused)
{
    float y = NAN;
    const float x = 3.0f;

    (void)unused;
    pal_axpby(&y, 0.0f, 2.0f, &x, 1);
    assert_true(y == 6.0f);
}

/* A NaN anywhere in the input reaches what depends on it. */
static void nan_propagates(void **unused)
{
    enum { T = 18, H = 1, D = 16, N = T * H * D };
    twin_t qkv = twin(3 * N, 1.0), out = twin(N, 1.0), log_sum = twin(T, 0.0);
    twin_t dqkv = twin(3 * N, 0.0), dout = twin(N, 1.0);
    float *scratch = malloc(pal_attention_scratch(T, D) * sizeof *scratch);
    float z[40] = {0}, dz[40], y[40], mean, rstd;

    (void)unused;
    assert_non_null(scratch);
    qkv.fast[5 * 3 * D + D] = NAN; /* a key of token 5: seen by tokens 5 .. T-1 */
    pal_attention_forward(out.fast, log_sum.fast, qkv.fast, in_order(T),
                          (pal_heads_t){H, H, D}, scratch);
    for (int t = 0; t < T; t++)
        assert_int_equal(!isnan(out.fast[t * D]), t < 5);
    pal_attention_backward(dqkv.fast, dout.fast, out.fast, log_sum.fast, qkv.fast, 0,
                           in_order(T), (pal_heads_t){H, H, D}, scratch);
    assert_true(isnan(dqkv.fast[6 * 3 * D]));
    for (int i = 0; i < 40; i++) {
        z[i] = NAN;
        assert_true(isnan(pal_cross_entropy(z, 40, 3)));
        assert_true(isnan(pal_cross_entropy_seed(dz, z, 40, 3, 1.0f)));
        assert_true(isnan(dz[(i + 1) % 40]));
        pal_layernorm_forward(y, &mean, &rstd, z, z, z, EPSILON, 1, 40);
        assert_true(isnan(y[(i + 1) % 40]));
        pal_rmsnorm_forward(y, &rstd, z, z, EPSILON, 1, 40);
        assert_true(isnan(y[(i + 1) % 40]));
        pal_gelu_forward(y, z, 40);
        assert_true(isnan(y[i]));
        pal_swiglu_forward(y, z, dz, 40);
        assert_true(isnan(y[i]));
        assert_true(isnan(pal_norm_squared(z, 40)));
        assert_true(isnan(pal_dot(z, y, 40)));
        z[i] = 0.0f;
    }
    free(scratch);
    drop(qkv), drop(out), drop(log_sum), drop(dqkv), drop(dout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential_is_accurate),
        cmocka_unit_test(layernorm_matches),
        cmocka_unit_test(rmsnorm_matches),
        cmocka_unit_test(norm_of_a_large_mean),
        cmocka_unit_test(attention_matches),
        cmocka_unit_test(attention_of_large_scores),
        cmocka_unit_test(attention_of_a_branch),
        cmocka_unit_test(rotary_matches),
        cmocka_unit_test(rotary_by_hand),
        cmocka_unit_test(swiglu_matches),
        cmocka_unit_test(swiglu_at_the_ends),
        cmocka_unit_test(gelu_matches),
        cmocka_unit_test(gelu_at_the_ends),
        cmocka_unit_test(cross_entropy_matches),
        cmocka_unit_test(cross_entropy_of_large_logits),
        cmocka_unit_test(rows_and_embedding_match),
        cmocka_unit_test(rows_change_in_place),
        cmocka_unit_test(vectors_match),
        cmocka_unit_test(sign_mask_by_hand),
        cmocka_unit_test(axpby_overwrites),
        cmocka_unit_test(optimizers_match),
        cmocka_unit_test(optimizers_step_as_published),
        cmocka_unit_test(adamw_first_step),
        cmocka_unit_test(nan_propagates),
    };

    return cmocka_run_group_tests(tests, start_random, NULL);
}
