/* styles.h -- what makes a shape one of a style, beside its sizes. */
#ifndef TESTS_MODEL_STYLES_H
#define TESTS_MODEL_STYLES_H

#include "model/shape.h"

#define GPT2_STYLE                                                                     \
    .tied = 1, .norm = PAL_LAYERNORM, .position = PAL_LEARNED, .mlp = PAL_GELU,        \
    .bias = PAL_BIAS_ALL, .norm_epsilon = 1e-5
/* With biases of queries, keys and values. */
#define LLAMA_STYLE                                                                    \
    .tied = 0, .norm = PAL_RMSNORM, .position = PAL_ROTARY, .mlp = PAL_SWIGLU,         \
    .bias = PAL_BIAS_QKV, .norm_epsilon = 1e-5

#endif
