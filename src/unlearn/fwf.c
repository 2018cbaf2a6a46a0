/* Fixed wrong fact (Deeb & Roger 2024), the simplest form of teaching false facts:
 *
 *     L = coefficient * NLL(statements of one wrong answer) + NLL(retain)
 *
 * with the wrong answer of each fact drawn once and for all. */
#include "unlearn/method.h"

static int step(void *state, pal_unlearning_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    (void)state, (void)i;
    return pal_method_nll_pair(run, run->coefficient, weights, train, grad, loss, err);
}

static const pal_param_t params[] = {{0}};

const pal_method_t pal_method_fwf = {
    .summary = "fixed wrong fact: teach one and the same wrong answer of each fact",
    .text = PAL_FIXED_FALSE,
    .params = params,
    .step = step,
};
