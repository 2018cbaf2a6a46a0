#include "attack/attack.h"

#include "model/loss.h"

int pal_attack_nll(void *state, pal_attacking_t *run, int64_t step,
                   const float *weights, const uint8_t *train, float *grad,
                   double *loss, pal_error_t *err)
{
    int rc = pal_forward(run->pass, weights, pal_stream_next_shared(run->known),
                         PAL_ALL_LAYERS, err);

    (void)state, (void)step;
    if (rc != PAL_OK)
        return rc;
    *loss = pal_loss_nll(run->pass, 1);
    pal_backward(run->pass, weights, train, grad);
    return PAL_OK;
}
