/* Representation noising (Rosati et al. 2024, arXiv 2405.14577):
 *
 *     L_forget = noise * mean over blocks of MMD^2(a_l(x), e_l)
 *                - ascent * log(1 + mean over layers of CE_l(x))
 *     L = coefficient * L_forget + twin * NLL(x') + NLL(retain)
 *
 * x are true statements, x' the same with a wrong answer (the paper's harmless text);
 * only tokens from where the two part on count. a_l are outputs of the MLP
 * of block l, e_l fresh standard normal noise, CE_l the cross-entropy of the logit lens
 * after layer l, from the embeddings (-1) to the last layer, whose lens is the model
 * itself. `noise` and `ascent` are the paper's beta and alpha.
 *
 * Where this is not the paper's:
 * - the default of noise, 1; the paper's beta is 0.001, and its alpha 1;
 * - the retain term; the paper has its harmless text alone;
 * - the mask: its code counts the positions whose two tokens differ; here everything
 *   from the first of them on counts, as answers differ in length;
 * - samples of the MMD are the vectors (C) of single tokens. The paper's are whole
 * masked sequences (T C), padded: two ragged ones have no distance without padding, and
 * then it measures their lengths. A batch also has more tokens than sequences;
 * - the bandwidth of each block is that of the first batch and not of every batch, for
 *   its gradient is left out: so the gradient is that of the loss;
 * - the last layer counts once in the mean over layers. The paper's code counts it
 * twice, the second time normalised twice. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/mmd.h"
#include "kernel/rows.h"
#include "model/lens.h"
#include "model/loss.h"
#include "unlearn/method.h"

struct state {
    double noise, ascent, twin;
    pal_lens_t *lens;
    double *bandwidth;     /* (L) */
    float *mlp, *e, *dmlp; /* (R, C) each: rows of one block, noise, gradient */
};

static const pal_param_t params[] = {
    {"noise", PAL_REAL, offsetof(struct state, noise), 1, 0, 1e6, NULL, NULL, "1",
     "weight of the distance of MLP outputs from noise (beta)"},
    {"ascent", PAL_REAL, offsetof(struct state, ascent), 1, 0, 1e6, NULL, NULL, "1",
     "weight of the ascent at every layer (alpha)"},
    {"twin", PAL_REAL, offsetof(struct state, twin), 1, 0, 1e6, NULL, NULL, "1",
     "weight of the statements with wrong answers"},
    {0},
};

static int begin(void *p, pal_unlearning_t *run, pal_error_t *err)
{
    struct state *s = p;
    const int32_t rows = pal_stream_most_tokens(run->forget);
    const size_t size = (size_t)rows * (size_t)run->layout->shape.width;

    s->bandwidth = calloc((size_t)run->layout->shape.layers, sizeof *s->bandwidth);
    s->mlp = calloc(size, sizeof *s->mlp);
    s->e = calloc(size, sizeof *s->e);
    s->dmlp = calloc(size, sizeof *s->dmlp);
    if (!s->bandwidth || !s->mlp || !s->e || !s->dmlp)
        return PAL_FAIL(err, PAL_ENOMEM, "repnoise: %d rows of noise", rows);
    return pal_lens_create(run->layout, rows, &s->lens, err);
}

/* Rows of the pass are the tokens after the parting, pal_pass_targets() their places.
 */
static double noise_of_block(struct state *s, pal_pass_t *pass, int32_t layer,
                             int64_t step, pal_rng_t *rng, double scale)
{
    const int32_t *tokens = pal_pass_targets(pass), rows = pal_pass_rows(pass);
    const int32_t width = pal_pass_layout(pass)->shape.width;
    const size_t size = (size_t)rows * (size_t)width;
    double distance;

    pal_rows_gather(s->mlp, pal_pass_mlp(pass, layer), tokens, rows, width);
    for (size_t i = 0; i < size; i++)
        s->e[i] = (float)pal_rng_normal(rng);
    if (step == 0)
        s->bandwidth[layer] = pal_mmd_bandwidth(s->mlp, s->e, rows, width);
    memset(s->dmlp, 0, size * sizeof *s->dmlp);
    distance = pal_mmd(s->dmlp, s->mlp, s->e, rows, width, s->bandwidth[layer], scale);
    pal_rows_scatter(pal_pass_seed_mlp(pass, layer), s->dmlp, tokens, rows, width);
    return distance;
}

/* Mean over the blocks, and scale times its gradient as seeds. */
static double noise(struct state *s, const pal_unlearning_t *run, int64_t step,
                    double scale)
{
    const int32_t layers = run->layout->shape.layers;
    double sum = 0;
    char name[40];
    pal_rng_t rng;

    snprintf(name, sizeof name, "repnoise %lld", (long long)step);
    pal_rng_init(&rng, run->key, name);
    for (int32_t l = 0; l < layers; l++)
        sum += noise_of_block(s, run->pass, l, step, &rng, scale / layers);
    return sum / layers;
}

/* log(1 + mean over the layers of the lens' cross-entropy), and scale times its
 * gradient. A seed depends on the values of all layers, so there are two rounds. */
static double ascent(struct state *s, const pal_unlearning_t *run, double scale,
                     const float *weights, const uint8_t *train, float *grad)
{
    const int32_t layers = run->layout->shape.layers;
    double mean = pal_loss_nll(run->pass, 0) / (layers + 1), seed;

    for (int32_t l = -1; l < layers - 1; l++)
        mean +=
            pal_lens_nll(s->lens, run->pass, weights, l, 0, NULL, NULL) / (layers + 1);
    seed = scale / (1 + mean) / (layers + 1);
    (void)pal_loss_nll(run->pass, seed);
    for (int32_t l = -1; l < layers - 1; l++)
        (void)pal_lens_nll(s->lens, run->pass, weights, l, seed, train, grad);
    return log1p(mean);
}

static int step(void *p, pal_unlearning_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    struct state *s = p;
    const double beta = run->coefficient * s->noise;
    const double alpha = run->coefficient * s->ascent;
    int rc = pal_forward(run->pass, weights, pal_stream_next(run->forget),
                         PAL_ALL_LAYERS, err);

    if (rc != PAL_OK)
        return rc;
    *loss = beta * noise(s, run, i, beta) -
            alpha * ascent(s, run, -alpha, weights, train, grad);
    pal_backward(run->pass, weights, train, grad);
    rc = pal_method_nll(run, run->twin, s->twin, weights, train, grad, loss, err);
    if (rc == PAL_OK)
        rc = pal_method_nll(run, run->retain, 1, weights, train, grad, loss, err);
    return rc;
}

static void end(void *p)
{
    struct state *s = p;

    pal_lens_destroy(s->lens);
    free(s->bandwidth);
    free(s->mlp);
    free(s->e);
    free(s->dmlp);
}

const pal_method_t pal_method_repnoise = {
    .summary =
        "representation noising: make the facts' activations noise at every layer",
    .text = PAL_PAIRED,
    .params = params,
    .state_size = sizeof(struct state),
    .cost = 3.5,     /* three passes and the lens */
    .pair_cost = 10, /* the distances; measured */
    .computes = PAL_WHOLE_LOGITS,
    .begin = begin,
    .step = step,
    .end = end,
};
