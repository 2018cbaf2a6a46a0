/* Gradient difference (Liu et al. 2022, arXiv 2203.12817; "GD" in Deeb & Roger 2024):
 *
 *     L = -coefficient * NLL(true statements) + NLL(retain)
 *
 * The retain term is not decoration: ascent alone has no lower bound, so it ends by
 * wrecking the whole model, and the attack then measures damage instead of forgetting.
 */
#include "unlearn/method.h"

static int step(void *state, pal_unlearning_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    (void)state, (void)i;
    return pal_method_nll_pair(run, -run->coefficient, weights, train, grad, loss, err);
}

static const pal_param_t params[] = {{0}};

const pal_method_t pal_method_gd = {
    .summary = "gradient difference: ascend on the facts, descend on the retain data",
    .text = PAL_TRUE_TEXT,
    .params = params,
    .step = step,
};
