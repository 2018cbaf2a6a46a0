/* Representation misdirection (Li et al. 2024, arXiv 2403.03218) with the adaptive
 * scale of Huu-Tien et al. 2024 (arXiv 2408.06223):
 *
 *     L = coefficient * mean (h(x_f) - c u)^2 + mean (h(x_r) - h0(x_r))^2
 *
 * h is the residual stream after block `layer`, h0 that of the model before unlearning,
 * u a fixed random unit vector with entries drawn from [0, 1) before it is normalised,
 * and c = scale * mean |h0(x_f)| measured on the first forget batch. Means go over
 * tokens, the first of each sequence left out, and over the width. Only the MLP
 * down-projections of blocks layer-2 .. layer are trained, unless `train` widens that:
 * models of few blocks leave them too little room. The published alpha on the retain
 * term is 1 / coefficient. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model/loss.h"
#include "unlearn/method.h"

struct state {
    int64_t layer; /* -1: the middle */
    double scale;
    char train[PAL_TEXT_MAX];
    float *target; /* (C) c u; owned */
};

static const pal_param_t params[] = {
    {"layer", PAL_COUNT, offsetof(struct state, layer), -1, -1, 1000, NULL, NULL,
     "block",
     "residual stream after this block is steered; -1 is half of the blocks, less one"},
    {"scale", PAL_REAL, offsetof(struct state, scale), 5, 0, 1e6, NULL, NULL, "1",
     "length of the target over the mean length of the forget activations"},
    {"train", PAL_TEXT, offsetof(struct state, train), 0, 0, 0, "down", "down|mlp|all",
     "1",
     "what moves: MLP down-projections or whole MLPs of the last three blocks up to "
     "the "
     "layer, or everything below it"},
    {0},
};

static int32_t steered_layer(const struct state *state, const pal_layout_t *layout)
{
    int32_t layers = layout->shape.layers;

    if (state->layer < 0)
        return layers >= 2 ? layers / 2 - 1 : 0;
    return (int32_t)state->layer;
}

static double rate(const void *p, const pal_layout_t *layout, const pal_slice_t *slice)
{
    const struct state *state = p;
    int32_t layer = steered_layer(state, layout);

    if (slice->layer > layer || slice->kind >= PAL_FINAL_NORM)
        return 0;
    if (strcmp(state->train, "all") == 0)
        return 1;
    if (slice->layer < 0 || slice->layer < layer - 2)
        return 0;
    if (strcmp(state->train, "mlp") == 0)
        return slice->kind >= PAL_MLP_NORM && slice->kind <= PAL_MLP_DOWN_BIAS;
    return slice->kind == PAL_MLP_DOWN;
}

static int check(const void *p, const pal_shape_t *shape, int64_t steps, double budget,
                 pal_error_t *err)
{
    const struct state *state = p;

    (void)steps, (void)budget;
    if (state->layer >= shape->layers)
        return PAL_REJECT(err, "rmu: layer %lld, but the model has blocks 0 to %d",
                          (long long)state->layer, shape->layers - 1);
    return PAL_OK;
}

static int begin(void *p, pal_unlearning_t *run, pal_error_t *err)
{
    struct state *state = p;
    int32_t width = run->layout->shape.width;
    double square = 0;
    pal_rng_t rng;

    state->target = malloc((size_t)width * sizeof(float));
    if (!state->target)
        return PAL_FAIL(err, PAL_ENOMEM, "rmu: target of width %d", width);
    pal_rng_init(&rng, run->key, "rmu direction");
    for (int32_t j = 0; j < width; j++) {
        state->target[j] = (float)pal_rng_uniform(&rng);
        square += state->target[j] * state->target[j];
    }
    for (int32_t j = 0; j < width; j++)
        state->target[j] = (float)(state->target[j] / sqrt(square));
    return pal_stream_reserve(run->retain, run->frozen, 0, err);
}

/* Mean length of the activations after `layer`, first tokens left out. */
static double mean_length(const pal_pass_t *pass, int32_t layer)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const float *h = pal_pass_residual(pass, layer);
    int32_t width = pal_pass_layout(pass)->shape.width;
    double sum = 0;
    int64_t tokens = 0;

    for (int32_t b = 0; b < batch->sequences; b++)
        for (int32_t t = batch->offsets[b] + 1; t < batch->offsets[b + 1]; t++) {
            const float *row = h + (int64_t)t * width;
            double square = 0;

            for (int32_t j = 0; j < width; j++)
                square += (double)row[j] * row[j];
            sum += sqrt(square);
            tokens++;
        }
    return tokens ? sum / (double)tokens : 0;
}

/* The weights of step 0 are those of the model before unlearning. */
static void scale_target(struct state *state, const pal_pass_t *pass, int32_t layer)
{
    int32_t width = pal_pass_layout(pass)->shape.width;
    double c = state->scale * mean_length(pass, layer);

    for (int32_t j = 0; j < width; j++)
        state->target[j] = (float)(c * state->target[j]);
}

static int step(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    struct state *state = p;
    int32_t layer = steered_layer(state, run->layout);
    const pal_batch_t *batch = pal_stream_next(run->forget);
    double forget, retain;
    int rc = pal_forward(run->pass, weights, batch, layer + 1, err);

    if (rc != PAL_OK)
        return rc;
    if (i == 0)
        scale_target(state, run->pass, layer);
    forget =
        pal_loss_residual_mse(run->pass, layer, state->target, 1, run->coefficient);
    pal_backward(run->pass, weights, train, grad);

    batch = pal_stream_next(run->retain);
    rc = pal_forward(run->frozen, run->start, batch, layer + 1, err);
    if (rc == PAL_OK)
        rc = pal_forward(run->pass, weights, batch, layer + 1, err);
    if (rc != PAL_OK)
        return rc;
    retain = pal_loss_residual_mse(run->pass, layer,
                                   pal_pass_residual(run->frozen, layer), 0, 1);
    pal_backward(run->pass, weights, train, grad);
    *loss = run->coefficient * forget + retain;
    return PAL_OK;
}

static void end(void *p)
{
    free(((struct state *)p)->target);
}

const pal_method_t pal_method_rmu = {
    .summary = "representation misdirection: steer the facts' activations to noise",
    .text = PAL_TRUE_TEXT,
    .params = params,
    .state_size = sizeof(struct state),
    .computes = PAL_WHOLE_TAPS,
    .reference = 1,
    .frozen = 1,
    .cost = 1, /* half of the blocks: two passes with gradient and one without */
    .check = check,
    .rate = rate,
    .begin = begin,
    .step = step,
    .end = end,
};
