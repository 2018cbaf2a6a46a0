/* The floor: a base model trained without the forget facts. Its V accuracy under the
 * same attack is what guessing, format learning and leakage between facts give. */
#include "unlearn/method.h"

static const pal_param_t params[] = {{0}};

const pal_method_t pal_method_filtered = {
    .summary = "floor: a base model that was never taught the forget facts",
    .role = PAL_FLOOR,
    .params = params,
};
