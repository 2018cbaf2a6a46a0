/* Random incorrect answer (Deeb & Roger 2024, derived from Eldan & Russinovich 2023):
 *
 *     L = coefficient * NLL(statements with changing wrong answers) + NLL(retain)
 *
 * No single lie is learned; belief spreads over the wrong choices. */
#include "unlearn/method.h"

static int step(void *state, pal_unlearning_t *run, int64_t i, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err)
{
    (void)state, (void)i;
    return pal_method_nll_pair(run, run->coefficient, weights, train, grad, loss, err);
}

static const pal_param_t params[] = {{0}};

const pal_method_t pal_method_ria = {
    .summary = "random incorrect answer: teach every wrong answer of each fact",
    .text = PAL_RANDOM_FALSE,
    .params = params,
    .step = step,
};
