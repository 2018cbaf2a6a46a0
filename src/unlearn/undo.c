/* Unlearn, noise, distill (UNDO; Lee et al. 2025, arXiv 2506.06278). Suppression leaves
 * the facts in the weights but not in what the model says, so what it says is taught to
 * a damaged copy of itself:
 *
 *     suppress   L = -coefficient * NLL(true statements) + NLL(retain)
 *     noise      theta_student = (1 - alpha) theta + alpha beta N
 *     distill    L = mean KL(p_teacher || p_student) over the tokens of retain text
 *
 * The teacher is the model as suppression leaves it. alpha says how much of the weights
 * is given up: 0 keeps the suppressed model, near 1 is training from scratch on its
 * answers. Both phases share one recipe: a warm-up longer than suppression keeps that
 * gentle, and a retain budget is refused: it would end the run at the noise. The
 * paper's code ends the distillation once the student's retain loss is within 0.05 nats
 * of the teacher's; here it takes the steps that it is given. */
#include <math.h>
#include <stdlib.h>

#include "model/loss.h"
#include "train/snapshot.h"
#include "unlearn/method.h"

struct state {
    double suppress, alpha, beta;
    float *teacher; /* owned */
};

static const pal_param_t params[] = {
    {"suppress", PAL_REAL, offsetof(struct state, suppress), 0.2, 0, 1, NULL, NULL, "1",
     "share of the steps that suppress; the others distill"},
    {"alpha", PAL_REAL, offsetof(struct state, alpha), 0.6, 0, 1, NULL, NULL, "1",
     "share of the suppressed weights that is replaced by noise"},
    {"beta", PAL_REAL, offsetof(struct state, beta), 0.1, 0, 100, NULL, NULL, "1",
     "size of the noise, in Xavier-uniform matrices"},
    {0},
};

/* The first step of distillation. */
static int64_t turn(const struct state *state, int64_t steps)
{
    return llround(state->suppress * (double)steps);
}

static int check(const void *p, const pal_shape_t *shape, int64_t steps, double budget,
                 pal_error_t *err)
{
    const struct state *state = p;

    (void)shape;
    if (budget > 0)
        return PAL_REJECT(
            err, "undo: budget %g would end the run at the noise; it must be 0",
            budget);
    if (state->suppress > 0 && turn(state, steps) == 0)
        return PAL_REJECT(
            err,
            "undo: suppress %g of %lld steps is no step; it must be 0, or "
            "steps at least %.0f",
            state->suppress, (long long)steps, ceil(0.5 / state->suppress));
    if (turn(state, steps) == steps)
        return PAL_REJECT(err,
                          "undo: suppress %g of %lld steps leaves none to distill, and "
                          "alpha and beta without effect; it must be less",
                          state->suppress, (long long)steps);
    return PAL_OK;
}

static int begin(void *p, pal_unlearning_t *run, pal_error_t *err)
{
    struct state *state = p;
    int rc = pal_layout_buffer(run->layout, "teacher", &state->teacher, err);

    return rc == PAL_OK ? pal_stream_reserve(run->retain, run->frozen, 1, err) : rc;
}

static int edit(void *p, pal_unlearning_t *run, int64_t i, const uint8_t *train,
                float *weights, pal_error_t *err)
{
    struct state *state = p;
    pal_rng_t rng;

    (void)err;
    if (i != turn(state, run->steps))
        return PAL_OK;
    pal_snapshot_copy(run->layout, state->teacher, weights);
    pal_rng_init(&rng, run->key, "undo noise");
    pal_snapshot_shrink_perturb(run->layout, train, weights, state->alpha, state->beta,
                                &rng);
    return PAL_OK;
}

static int distill(const struct state *state, pal_unlearning_t *run,
                   const float *weights, const uint8_t *train, float *grad,
                   double *loss, pal_error_t *err)
{
    const pal_batch_t *batch = pal_stream_next_shared(run->retain);
    int rc = pal_forward(run->frozen, state->teacher, batch, PAL_ALL_LAYERS, err);

    if (rc == PAL_OK)
        rc = pal_forward(run->pass, weights, batch, PAL_ALL_LAYERS, err);
    if (rc != PAL_OK)
        return rc;
    *loss = pal_loss_kl(run->pass, pal_pass_logits(run->frozen), 1);
    pal_backward(run->pass, weights, train, grad);
    return PAL_OK;
}

static int step(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    struct state *state = p;

    if (i >= turn(state, run->steps))
        return distill(state, run, weights, train, grad, loss, err);
    return pal_method_nll_pair(run, -run->coefficient, weights, train, grad, loss, err);
}

static void end(void *p)
{
    free(((struct state *)p)->teacher);
}

const pal_method_t pal_method_undo = {
    .summary = "suppress, noise the weights, distill from the suppressed model",
    .text = PAL_TRUE_TEXT,
    .params = params,
    .state_size = sizeof(struct state),
    .buffers = 1,
    .reference = 1,
    .cost = 1.5, /* a fifth of the steps at 2, the others at 1 1/3 */
    .check = check,
    .begin = begin,
    .edit = edit,
    .step = step,
    .end = end,
};
