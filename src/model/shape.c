#include "model/shape.h"

#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(pal_shape_t) == 12 * sizeof(int32_t) + 2 * sizeof(double),
               "a shape has no padding");

const char *const pal_norm_names[PAL_NORMS] = {"layernorm", "rmsnorm"};
const char *const pal_position_names[PAL_POSITIONS] = {"learned", "rotary"};
const char *const pal_mlp_names[PAL_MLPS] = {"gelu", "swiglu"};
const char *const pal_bias_names[PAL_BIASES] = {"none", "qkv", "all"};

static int check_sizes(const pal_shape_t *s, pal_error_t *err)
{
    const struct {
        const char *name;
        int32_t value;
    } sizes[] = {
        {"vocab", s->vocab},   {"context", s->context}, {"width", s->width},
        {"layers", s->layers}, {"heads", s->heads},     {"kv_heads", s->kv_heads},
        {"hidden", s->hidden},
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1)
            return PAL_REJECT(err, "model: %s is %d; it must be at least 1",
                              sizes[i].name, (int)sizes[i].value);
    if (s->width % s->heads != 0)
        return PAL_REJECT(err, "model: width %d is not a multiple of heads %d",
                          (int)s->width, (int)s->heads);
    if (s->heads % s->kv_heads != 0)
        return PAL_REJECT(err, "model: heads %d is not a multiple of kv_heads %d",
                          (int)s->heads, (int)s->kv_heads);
    return PAL_OK;
}

static int check_style(const pal_shape_t *s, pal_error_t *err)
{
    const struct {
        const char *name;
        int64_t value, count;
    } choices[] = {
        {"tied", s->tied, 2},
        {"norm", (int64_t)s->norm, PAL_NORMS},
        {"position", (int64_t)s->position, PAL_POSITIONS},
        {"mlp", (int64_t)s->mlp, PAL_MLPS},
        {"bias", (int64_t)s->bias, PAL_BIASES},
    };

    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (choices[i].value < 0 || choices[i].value >= choices[i].count)
            return PAL_REJECT(err, "model: %s is %lld; it must be 0 to %lld",
                              choices[i].name, (long long)choices[i].value,
                              (long long)choices[i].count - 1);
    if (!(s->norm_epsilon > 0 && s->norm_epsilon < 1))
        return PAL_REJECT(err, "model: norm_epsilon is %g; it must be above 0, below 1",
                          s->norm_epsilon);
    return PAL_OK;
}

static int check_position(const pal_shape_t *s, pal_error_t *err)
{
    if (s->position == PAL_LEARNED && s->rope_base != 0)
        return PAL_REJECT(err,
                          "model: rope_base is %g; it must be 0 for learned positions",
                          s->rope_base);
    if (s->position == PAL_LEARNED)
        return PAL_OK;
    if (!(s->rope_base >= 1 && s->rope_base <= 1e12))
        return PAL_REJECT(err, "model: rope_base is %g; it must be 1 to 1e12",
                          s->rope_base);
    if (pal_shape_head_size(s) % 2 != 0)
        return PAL_REJECT(err,
                          "model: head size %d (width %d, heads %d) is odd; rotary "
                          "positions turn pairs",
                          (int)pal_shape_head_size(s), (int)s->width, (int)s->heads);
    return PAL_OK;
}

int pal_shape_check(const pal_shape_t *shape, pal_error_t *err)
{
    int rc = check_sizes(shape, err);

    if (rc == PAL_OK)
        rc = check_style(shape, err);
    if (rc == PAL_OK)
        rc = check_position(shape, err);
    return rc;
}

int32_t pal_shape_head_size(const pal_shape_t *s)
{
    return s->width / s->heads;
}

pal_heads_t pal_shape_heads(const pal_shape_t *s)
{
    return (pal_heads_t){s->heads, s->kv_heads, pal_shape_head_size(s)};
}

int32_t pal_shape_qkv_size(const pal_shape_t *s)
{
    return (s->heads + 2 * s->kv_heads) * pal_shape_head_size(s);
}

double pal_shape_flops(const pal_shape_t *s, double length, int with_logits)
{
    const double c = s->width, mlp_matrices = s->mlp == PAL_SWIGLU ? 3 : 2;
    const double matrices =
        2 * c * (pal_shape_qkv_size(s) + c + mlp_matrices * s->hidden);
    /* scores and values, half of a square */
    const double attention = 2 * c * (length + 1);

    return s->layers * (matrices + attention) + (with_logits ? 2 * c * s->vocab : 0);
}

#define GPT2(c, l, h)                                                                  \
    {                                                                                  \
        .width = c, .layers = l, .heads = h, .kv_heads = h, .hidden = 4 * (c),         \
        .tied = 1, .norm = PAL_LAYERNORM, .position = PAL_LEARNED, .mlp = PAL_GELU,    \
        .bias = PAL_BIAS_ALL, .norm_epsilon = 1e-5                                     \
    }
/* hidden is 8/3 of the width, rounded up to 16. */
#define LLAMA(c, l, h, k)                                                              \
    {                                                                                  \
        .width = c, .layers = l, .heads = h, .kv_heads = k,                            \
        .hidden = ((c)*8 / 3 + 15) / 16 * 16, .tied = 0, .norm = PAL_RMSNORM,          \
        .position = PAL_ROTARY, .mlp = PAL_SWIGLU, .bias = PAL_BIAS_NONE,              \
        .norm_epsilon = 1e-5, .rope_base = 1e4                                         \
    }

/* Without vocab and context. */
static const struct {
    const char *name;
    pal_shape_t shape;
} presets[] = {
    {"nano", GPT2(64, 2, 4)},
    {"micro", GPT2(128, 4, 4)},
    {"small", GPT2(256, 6, 8)},
    {"medium", GPT2(512, 8, 8)},
    {"large", GPT2(768, 12, 12)}, /* GPT-2's smallest */
    {"xl", GPT2(1024, 12, 16)},
    {"llama-nano", LLAMA(64, 2, 4, 2)},
    {"llama-micro", LLAMA(128, 4, 4, 2)},
    {"llama-small", LLAMA(256, 6, 8, 4)},
    {"llama-medium", LLAMA(512, 8, 8, 4)},
    {"llama-large", LLAMA(768, 12, 12, 4)},
    {"llama-xl", LLAMA(1024, 14, 16, 4)},
};

enum { PRESETS = sizeof presets / sizeof *presets };

int pal_preset_count(void)
{
    return PRESETS;
}

const char *pal_preset_name(int i)
{
    return presets[i].name;
}

int pal_preset_find(const char *name, pal_shape_t *shape, pal_error_t *err)
{
    char names[256] = "";
    int used = 0;

    for (int i = 0; i < PRESETS; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            *shape = presets[i].shape;
            return PAL_OK;
        }
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%s",
                         i ? ", " : "", presets[i].name);
    }
    pal_fail_(err, PAL_ENOENT, 0, 0, "no model size '%s'; there are %s", name, names);
    return PAL_ENOENT;
}
