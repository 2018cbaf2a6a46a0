/* The ceiling: the base model, untouched. What the attack brings out of it is all that
 * could be recovered. */
#include "unlearn/method.h"

static const pal_param_t params[] = {{0}};

const pal_method_t pal_method_none = {
    .summary = "ceiling: the base model as it is",
    .role = PAL_CEILING,
    .params = params,
};
