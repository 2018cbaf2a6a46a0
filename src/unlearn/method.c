#include "unlearn/method.h"

#include "model/loss.h"

int pal_method_nll(pal_unlearning_t *run, pal_stream_t *stream, double weight,
                   const float *weights, const uint8_t *train, float *grad,
                   double *loss, pal_error_t *err)
{
    const pal_batch_t *batch = pal_stream_next_shared(stream);
    int rc = pal_forward(run->pass, weights, batch, PAL_ALL_LAYERS, err);

    if (rc != PAL_OK)
        return rc;
    *loss += weight * pal_loss_nll(run->pass, weight);
    pal_backward(run->pass, weights, train, grad);
    return PAL_OK;
}

int pal_method_nll_pair(pal_unlearning_t *run, double forget_weight,
                        const float *weights, const uint8_t *train, float *grad,
                        double *loss, pal_error_t *err)
{
    int rc;

    *loss = 0;
    rc = pal_method_nll(run, run->forget, forget_weight, weights, train, grad, loss,
                        err);
    if (rc == PAL_OK)
        rc = pal_method_nll(run, run->retain, 1, weights, train, grad, loss, err);
    return rc;
}
