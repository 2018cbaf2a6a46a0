#include "bench/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/activation.h"
#include "kernel/attention.h"
#include "kernel/cross_entropy.h"
#include "kernel/gemm.h"
#include "kernel/norm.h"
#include "kernel/optimizer.h"
#include "kernel/vector.h"

/* What the kernels work on. x, y and z have room for the widest layer of every token;
 * what is added to is not read by the same kernel, so that no number grows fast. */
typedef struct {
    const pal_shape_t *shape;
    const pal_batch_t *batch;
    int32_t tokens, in, out; /* rows; sizes of the layer that is multiplied by */
    int64_t count;           /* weights */
    float *x, *y, *z;
    pal_gemm_t how;
    float *weights, *grad, *moment, *square; /* count each */
    float *mean, *rstd, *log_sum, *scratch;
    int32_t *places; /* of a text */
} operands_t;

static void gemm_forward(void *ctx)
{
    const operands_t *o = ctx;

    pal_gemm_forward(&o->how, o->y, o->x, o->weights, o->tokens, o->in, o->out);
}

static void gemm_inputs(void *ctx)
{
    const operands_t *o = ctx;

    pal_gemm_inputs(&o->how, o->y, o->x, o->weights, o->tokens, o->in, o->out);
}

static void gemm_weights(void *ctx)
{
    const operands_t *o = ctx;

    pal_gemm_weights(&o->how, o->grad, o->z, o->x, o->tokens, o->in, o->out);
}

static pal_text_t text_of(const operands_t *o, int32_t b)
{
    return (pal_text_t){o->places, 0, pal_batch_text(o->batch, b, o->places)};
}

/* Of x as queries, keys and values, into y. */
static void attention_forward(void *ctx)
{
    const operands_t *o = ctx;

    for (int32_t b = 0; b < o->batch->sequences; b++)
        pal_attention_forward(o->y, o->log_sum, o->x, text_of(o, b),
                              pal_shape_heads(o->shape), o->scratch);
}

/* Of what the forward pass left in y, into z. */
static void attention_backward(void *ctx)
{
    const operands_t *o = ctx;
    const pal_heads_t heads = pal_shape_heads(o->shape);

    for (int32_t b = 0; b < o->batch->sequences; b++)
        for (int32_t group = 0; group < heads.kv_heads; group++)
            pal_attention_backward(o->z, o->y, o->y, o->log_sum, o->x, group,
                                   text_of(o, b), heads, o->scratch);
}

static void norm_forward(void *ctx)
{
    const operands_t *o = ctx;
    const int32_t c = o->shape->width;

    if (o->shape->norm == PAL_RMSNORM)
        pal_rmsnorm_forward(o->y, o->rstd, o->x, o->weights, o->shape->norm_epsilon,
                            o->tokens, c);
    else
        pal_layernorm_forward(o->y, o->mean, o->rstd, o->x, o->weights, o->weights + c,
                              o->shape->norm_epsilon, o->tokens, c);
}

static void norm_inputs(void *ctx)
{
    const operands_t *o = ctx;
    const int32_t c = o->shape->width;

    if (o->shape->norm == PAL_RMSNORM)
        pal_rmsnorm_inputs(o->z, o->y, o->x, o->rstd, o->weights, o->tokens, c);
    else
        pal_layernorm_inputs(o->z, o->y, o->x, o->mean, o->rstd, o->weights, o->tokens,
                             c);
}

static void norm_weights(void *ctx)
{
    const operands_t *o = ctx;
    const int32_t c = o->shape->width;

    if (o->shape->norm == PAL_RMSNORM)
        pal_rmsnorm_weights(o->grad, o->y, o->x, o->rstd, o->tokens, c);
    else
        pal_layernorm_weights(o->grad, o->grad + c, o->y, o->x, o->mean, o->rstd,
                              o->tokens, c);
}

static void activation_forward(void *ctx)
{
    const operands_t *o = ctx;
    const int64_t n = (int64_t)o->tokens * o->shape->hidden;

    if (o->shape->mlp == PAL_SWIGLU)
        pal_swiglu_forward(o->y, o->x, o->z, n);
    else
        pal_gelu_forward(o->y, o->x, n);
}

/* z is where the derivative of y is 1: y stays what it is, call after call. */
static void activation_backward(void *ctx)
{
    const operands_t *o = ctx;
    const int64_t n = (int64_t)o->tokens * o->shape->hidden;

    if (o->shape->mlp == PAL_SWIGLU)
        pal_swiglu_backward(o->y, o->x, o->z, o->z, n);
    else
        pal_gelu_backward(o->y, o->z, n);
}

static void cross_entropy(void *ctx)
{
    const operands_t *o = ctx;
    const int32_t vocab = o->shape->vocab;

    for (int32_t t = 0; t < o->tokens; t++)
        (void)pal_cross_entropy_seed(o->y + (size_t)t * vocab, o->x + (size_t)t * vocab,
                                     vocab, t % vocab, 1e-3f);
}

static void adamw(void *ctx)
{
    const operands_t *o = ctx;
    const pal_update_t h = {.lr = 1e-6,
                            .beta1 = 0.9,
                            .beta2 = 0.99,
                            .epsilon = 1e-8,
                            .grad_scale = 1,
                            .step = 100};

    pal_adamw(o->weights, o->grad, o->moment, o->square, o->count, &h);
}

static void squared_norm(void *ctx)
{
    operands_t *o = ctx;

    o->mean[0] = (float)pal_norm_squared(o->grad, o->count);
}

/* --- The list --- */

typedef struct {
    const operands_t *operands;
    double seconds;
    void (*found)(void *ctx, const pal_kernel_result_t *result);
    void *ctx;
} report_t;

/* floats: how many are read and written. */
static void take(const report_t *report, const char *kernel, void (*work)(void *),
                 const char *size, double flops, double floats)
{
    pal_kernel_result_t result = {
        .kernel = kernel, .flops = flops, .bytes = floats * (double)sizeof(float)};

    snprintf(result.size, sizeof result.size, "%s", size);
    result.timing = pal_timing_take(work, (void *)report->operands, report->seconds);
    report->found(report->ctx, &result);
}

static void take_layer(const report_t *report, operands_t *o, const char *name,
                       int32_t in, int32_t out)
{
    const double n = o->tokens, flops = 2 * n * in * out;
    const double floats = n * in + n * out + (double)in * out;
    char size[48];

    o->in = in;
    o->out = out;
    snprintf(size, sizeof size, "%s %d x %d x %d", name, o->tokens, in, out);
    take(report, "gemm forward", gemm_forward, size, flops, floats + n * out);
    take(report, "gemm inputs", gemm_inputs, size, flops, floats);
    take(report, "gemm weights", gemm_weights, size, flops, floats + (double)in * out);
}

static void take_layers(const report_t *report, operands_t *o)
{
    const int32_t c = o->shape->width;

    take_layer(report, o, "qkv", c, pal_shape_qkv_size(o->shape));
    take_layer(report, o, "out", c, c);
    take_layer(report, o, "up", c, o->shape->hidden);
    take_layer(report, o, "down", o->shape->hidden, c);
    take_layer(report, o, "head", c, o->shape->vocab);
}

/* Pairs of a token and one that it attends to: two products forward; backward five, one
 * of them that of the forward pass again. */
static void take_attention(const report_t *report, const operands_t *o)
{
    const double c = o->shape->width, n = o->tokens;
    double pairs = 0;
    char size[48];

    for (int32_t b = 0; b < o->batch->sequences; b++) {
        const double length = o->batch->offsets[b + 1] - o->batch->offsets[b];

        pairs += length * (length + 1) / 2;
    }
    snprintf(size, sizeof size, "%d heads of %d, %.0f tokens", o->shape->heads,
             o->shape->width / o->shape->heads, n / o->batch->sequences);
    take(report, "attention forward", attention_forward, size, 4 * pairs * c,
         4 * n * c);
    take(report, "attention backward", attention_backward, size, 10 * pairs * c,
         8 * n * c);
}

static void take_rows(const report_t *report, const operands_t *o)
{
    const double n = o->tokens, c = o->shape->width, f = o->shape->hidden;
    const double v = o->shape->vocab, count = (double)o->count;
    const int gated = o->shape->mlp == PAL_SWIGLU;
    char narrow[48], wide[48], logits[48], all[48];

    snprintf(narrow, sizeof narrow, "%d x %d", o->tokens, o->shape->width);
    snprintf(wide, sizeof wide, "%d x %d", o->tokens, o->shape->hidden);
    snprintf(logits, sizeof logits, "%d x %d", o->tokens, o->shape->vocab);
    snprintf(all, sizeof all, "%lld", (long long)o->count);
    take(report, "norm forward", norm_forward, narrow, 0, 2 * n * c);
    take(report, "norm inputs", norm_inputs, narrow, 0, 4 * n * c);
    take(report, "norm weights", norm_weights, narrow, 0, 2 * n * c);
    take(report, gated ? "swiglu forward" : "gelu forward", activation_forward, wide, 0,
         (gated ? 3 : 2) * n * f);
    for (size_t i = 0; i < (size_t)(n * f); i++)
        o->z[i] = gated ? 1.27846454f : 8.0f; /* silu = 1, gelu' = 1 */
    take(report, gated ? "swiglu backward" : "gelu backward", activation_backward, wide,
         0, (gated ? 5 : 3) * n * f);
    take(report, "cross-entropy", cross_entropy, logits, 0, 2 * n * v);
    take(report, "adamw", adamw, all, 0, 7 * count);
    take(report, "squared norm", squared_norm, all, 0, count);
}

/* --- Memory --- */

static size_t floats_of_token(const pal_shape_t *s)
{
    const int32_t sizes[] = {pal_shape_qkv_size(s), s->hidden, s->vocab};
    int32_t most = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        most = sizes[i] > most ? sizes[i] : most;
    return (size_t)most;
}

/* One allocation, operands->x. */
static int allocate(operands_t *o, pal_error_t *err)
{
    const size_t n = (size_t)o->tokens, room = n * floats_of_token(o->shape);
    const size_t count = (size_t)o->count, heads = (size_t)o->shape->heads;
    const size_t scratch =
        pal_attention_scratch(o->shape->context, o->shape->width / o->shape->heads);
    const size_t packed = o->how.precision == PAL_BF16 ? room + count : 0;
    const size_t floats = 3 * room + 4 * count + n * (3 + heads) + scratch + packed;

    o->x = calloc(floats, sizeof(float));
    if (!o->x)
        return PAL_FAIL(err, PAL_ENOMEM, "operands of %zu floats", floats);
    o->y = o->x + room;
    o->z = o->y + room;
    o->weights = o->z + room;
    o->grad = o->weights + count;
    o->moment = o->grad + count;
    o->square = o->moment + count;
    o->mean = o->square + count;
    o->rstd = o->mean + n;
    o->log_sum = o->rstd + n;
    o->places = (int32_t *)(o->log_sum + n * heads);
    o->scratch = o->log_sum + n * (heads + 1);
    o->how.room = o->scratch + scratch;
    pal_bench_fill(o->x, 3 * room, 1e-2f);
    pal_bench_fill(o->weights, count, 2e-4f);
    return PAL_OK;
}

int pal_kernels_time(const pal_workload_t *workload, double seconds,
                     void (*found)(void *ctx, const pal_kernel_result_t *result),
                     void *ctx, pal_error_t *err)
{
    const pal_batch_t *batch = pal_workload_batch(workload, 0);
    operands_t o = {.shape = &workload->layout->shape,
                    .batch = batch,
                    .tokens = pal_batch_tokens(batch),
                    .count = workload->layout->count,
                    .how = {.precision = workload->precision}};
    const report_t report = {&o, seconds, found, ctx};
    int rc = allocate(&o, err);

    if (rc != PAL_OK)
        return rc;
    take_attention(&report, &o);
    take_rows(&report, &o);
    take_layers(&report, &o);
    free(o.x);
    return PAL_OK;
}
