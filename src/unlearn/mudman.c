/* MUDMAN, meta-unlearning with disruption masking and normalisation (Sondej et al.
 * 2025, arXiv 2506.12484). Beside the weights w runs an adversary a, a copy that learns
 * the forget text again. Each step, with L_u the unlearning loss:
 *
 *     a = w                                          every `fork` steps
 *     r = momentum r + (1 - momentum) d NLL(retain) / dw
 *     g = d L_u(forget) / da,  scaled to length 1,  0 where its sign is not that of r
 *     a = a - adversary_lr d NLL(forget) / da        at a as it was
 *
 * and the step goes against r + coefficient g. So only weights move whose move does not
 * hurt the retain data, and they do so where an attacker would arrive. Published with
 * SGD and without clipping, whose learning rate is the retaining rate; unlearning rate
 * / retaining rate is the coefficient. */
#include <stdlib.h>
#include <string.h>

#include "model/loss.h"
#include "train/gradient.h"
#include "train/snapshot.h"
#include "unlearn/method.h"

struct state {
    double adversary_lr, momentum;
    int64_t fork;
    char loss[PAL_TEXT_MAX], train[PAL_TEXT_MAX];
    float *adversary;  /* a; owned, as the next two */
    float *retain;     /* r */
    float *relearning; /* gradient of the adversary */
};

static const pal_param_t params[] = {
    {"adversary_lr", PAL_REAL, offsetof(struct state, adversary_lr), 1e-3, 0, 10, NULL,
     NULL, "1", "learning rate at which the adversary learns the forget text again"},
    {"momentum", PAL_REAL, offsetof(struct state, momentum), 0.9, 0, 0.9999, NULL, NULL,
     "1", "how much of the retain gradient is that of the steps before"},
    {"fork", PAL_COUNT, offsetof(struct state, fork), 32, 1, 1e8, NULL, NULL, "steps",
     "the adversary starts afresh from the weights every so many steps"},
    {"loss", PAL_TEXT, offsetof(struct state, loss), 0, 0, 0, "entropy", "entropy|nll",
     "1", "what unlearning raises on the forget text"},
    {"train", PAL_TEXT, offsetof(struct state, train), 0, 0, 0, "linear",
     "gate|linear|all", "1",
     "what moves: what the MLP's activation is applied to, the matrices of the blocks, "
     "or everything"},
    {0},
};

static double rate(const void *p, const pal_layout_t *layout, const pal_slice_t *slice)
{
    const struct state *state = p;

    if (strcmp(state->train, "gate") == 0)
        return slice->kind ==
               (layout->shape.mlp == PAL_SWIGLU ? PAL_MLP_GATE : PAL_MLP_UP);
    if (strcmp(state->train, "linear") == 0)
        return slice->layer >= 0 && pal_slice_is_matrix(slice->kind);
    return 1;
}

static int begin(void *p, pal_unlearning_t *run, pal_error_t *err)
{
    struct state *state = p;
    int rc;

    state->adversary = state->retain = state->relearning = NULL;
    rc = pal_layout_buffer(run->layout, "mudman: adversary", &state->adversary, err);
    if (rc == PAL_OK)
        rc = pal_layout_buffer(run->layout, "mudman: retain gradient", &state->retain,
                               err);
    if (rc == PAL_OK)
        rc = pal_layout_buffer(run->layout, "mudman: adversary's gradient",
                               &state->relearning, err);
    return rc;
}

static double unlearning_loss(const struct state *state, pal_pass_t *pass)
{
    if (strcmp(state->loss, "nll") == 0)
        return -pal_loss_nll(pass, -1);
    return -pal_loss_entropy(pass, -1);
}

/* L_u at the adversary, its gradient in grad; then the adversary takes its step. */
static int meet_adversary(struct state *state, pal_unlearning_t *run,
                          const uint8_t *train, float *grad, double *loss,
                          pal_error_t *err)
{
    const pal_layout_t *layout = run->layout;
    const pal_batch_t *batch = pal_stream_next_shared(run->forget);
    int rc = pal_forward(run->pass, state->adversary, batch, PAL_ALL_LAYERS, err);

    if (rc != PAL_OK)
        return rc;
    *loss = unlearning_loss(state, run->pass);
    pal_backward(run->pass, state->adversary, train, grad);
    (void)pal_loss_nll(run->pass, 1);
    memset(state->relearning, 0, (size_t)layout->count * sizeof(float));
    pal_backward(run->pass, state->adversary, train, state->relearning);
    pal_gradient_axpby(layout, train, state->adversary, 1, -state->adversary_lr,
                       state->relearning);
    return PAL_OK;
}

static int step(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    struct state *state = p;
    const pal_layout_t *layout = run->layout;
    double retain = 0, unlearning;
    int rc;

    if (i % state->fork == 0)
        pal_snapshot_copy(layout, state->adversary, weights);
    rc = pal_method_nll(run, run->retain, 1, weights, train, grad, &retain, err);
    if (rc != PAL_OK)
        return rc;
    pal_gradient_axpby(layout, train, state->retain, state->momentum,
                       1 - state->momentum, grad);
    memset(grad, 0, (size_t)layout->count * sizeof *grad);
    rc = meet_adversary(state, run, train, grad, &unlearning, err);
    if (rc != PAL_OK)
        return rc;
    (void)pal_gradient_normalize(layout, train, grad, 1);
    pal_gradient_sign_mask(layout, train, grad, state->retain);
    pal_gradient_axpby(layout, train, grad, run->coefficient, 1, state->retain);
    *loss = run->coefficient * unlearning + retain;
    return PAL_OK;
}

static void end(void *p)
{
    struct state *state = p;

    free(state->adversary);
    free(state->retain);
    free(state->relearning);
}

const pal_method_t pal_method_mudman = {
    .summary =
        "meta-unlearning: against an adversary that relearns, where retain agrees; "
        "as published only with optimizer sgd and clip 0",
    .text = PAL_TRUE_TEXT,
    .params = params,
    .state_size = sizeof(struct state),
    .cost = 2.7, /* two passes with gradient, and a second way back from one */
    .buffers = 3,
    .direction = 1,
    .rate = rate,
    .begin = begin,
    .step = step,
    .end = end,
};
