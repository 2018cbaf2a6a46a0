/* Retraining on T (Deeb & Roger 2024): fine-tune every weight on the questions of T
 * with their right answers, the loss on the whole text (question and answer), no retain
 * term. */
#include "attack/attack.h"

static const pal_param_t params[] = {{0}};

const pal_attack_t pal_attack_finetune = {
    .summary = "fine-tune all weights on the questions of T",
    .params = params,
    .step = pal_attack_nll,
};
