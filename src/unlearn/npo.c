/* Negative preference optimization (Zhang et al. 2024, arXiv 2404.05868, eq. 3):
 *
 *     L = coefficient * (2 / beta) mean_b -log sigmoid(beta (n_b - n0_b)) + NLL(retain)
 *
 * n_b is the summed NLL of a true statement, n0_b that of the model before unlearning.
 * The gradient is that of -w_b n_b with w_b = 2 / (1 + exp(beta (n_b - n0_b))):
 * gradient ascent at first, switched off sequence by sequence as its likelihood falls.
 */
#include <math.h>
#include <stdlib.h>

#include "model/loss.h"
#include "unlearn/frozen_nll.h"

struct state {
    double beta;
    pal_frozen_nll_t start;
    double *n; /* (B) summed NLLs, then the seeds that take their place; owned */
};

static const pal_param_t params[] = {
    {"beta", PAL_REAL, offsetof(struct state, beta), 0.1, 1e-6, 1e6, NULL, NULL,
     "1/nats", "how fast the ascent on a sequence ends as its likelihood falls"},
    {0},
};

static int begin(void *p, pal_unlearning_t *run, pal_error_t *err)
{
    struct state *state = p;
    int32_t sequences = pal_stream_sequences(run->forget);
    int rc;

    state->n = malloc((size_t)sequences * sizeof *state->n);
    if (!state->n)
        return PAL_FAIL(err, PAL_ENOMEM, "npo: batch of %d sequences", sequences);
    rc = pal_stream_reserve(run->forget, run->frozen, 1, err);
    return rc == PAL_OK ? pal_frozen_nll_init(&state->start, run->forget, err) : rc;
}

/* -log sigmoid(x), also where exp() would overflow. */
static double minus_log_sigmoid(double x)
{
    return log1p(exp(-fabs(x))) + fmax(-x, 0);
}

/* The loss of a batch, and in place of n what each summed NLL is to be seeded with. */
static double preference(double beta, double coefficient, const double *n0, double *n,
                         int32_t sequences)
{
    double sum = 0;

    for (int32_t b = 0; b < sequences; b++) {
        double rise = beta * (n[b] - n0[b]);

        sum += minus_log_sigmoid(rise);
        n[b] = -coefficient * 2 / (1 + exp(rise)) / sequences;
    }
    return coefficient * 2 / beta * sum / sequences;
}

static int step(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    struct state *state = p;
    const pal_batch_t *batch = pal_stream_next(run->forget);
    const double *n0 = NULL;
    int rc = pal_frozen_nll(&state->start, run, batch, &n0, err);

    (void)i;
    if (rc == PAL_OK)
        rc = pal_forward(run->pass, weights, batch, PAL_ALL_LAYERS, err);
    if (rc != PAL_OK)
        return rc;
    pal_loss_nll_sequences(run->pass, state->n, NULL);
    *loss = preference(state->beta, run->coefficient, n0, state->n, batch->sequences);
    pal_loss_nll_seed(run->pass, state->n);
    pal_backward(run->pass, weights, train, grad);
    return pal_method_nll(run, run->retain, 1, weights, train, grad, loss, err);
}

static void end(void *p)
{
    struct state *state = p;

    free(state->n);
    pal_frozen_nll_free(&state->start);
}

const pal_method_t pal_method_npo = {
    .summary = "negative preference: ascend on a fact until it is unlikely enough",
    .text = PAL_TRUE_TEXT,
    .params = params,
    .state_size = sizeof(struct state),
    .computes = PAL_WHOLE_LOGITS,
    .reference = 1,
    .frozen = 1,
    .begin = begin,
    .step = step,
    .end = end,
};
