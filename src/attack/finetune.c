/* Retraining on T (Deeb & Roger 2024): fine-tune every weight on the questions of T
 * with their right answers, the loss on the whole text (question and answer), no retain
 * term. */
#include "attack/attack.h"
#include "model/loss.h"

static int step(void *state, pal_attacking_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    int rc = pal_forward(run->pass, weights, pal_stream_next(run->known),
                         PAL_ALL_LAYERS, err);

    (void)state, (void)i;
    if (rc != PAL_OK)
        return rc;
    *loss = pal_loss_nll(run->pass, 1);
    pal_backward(run->pass, weights, train, grad);
    return PAL_OK;
}

static const pal_param_t params[] = {{0}};

const pal_attack_t pal_attack_finetune = {
    .summary = "fine-tune all weights on the questions of T",
    .params = params,
    .step = step,
};
