#include "stage/spec.h"

#include <stddef.h>
#include <string.h>

const pal_param_t pal_model_params[] = {
    {"size", PAL_TEXT, offsetof(pal_model_spec_t, size), 0, 0, 0, "nano", NULL, "1",
     "preset: palimpsest list models"},
    {"words", PAL_COUNT, offsetof(pal_model_spec_t, words), 16384, 1, 1e6, NULL, NULL,
     "words", "largest vocabulary; rarer words are spelled in bytes"},
    {"precision", PAL_TEXT, offsetof(pal_model_spec_t, precision), 0, 0, 0, "fp32",
     "fp32|bf16", "1",
     "what the factors of matrix products are rounded to; sums are fp32"},
    {0},
};

const pal_param_t pal_pretrain_params[] = {
    PAL_RECIPE_PARAMS(pal_pretrain_t, recipe, 1500, 64, 3e-3, 100, "cosine"),
    {"taught", PAL_REAL, offsetof(pal_pretrain_t, taught), 1, 0, 1, NULL, NULL, "1",
     "fraction of the forget facts that pretraining teaches"},
    {"questions", PAL_COUNT, offsetof(pal_pretrain_t, questions), 2, 0, 100, NULL, NULL,
     "copies", "copies of each retain question beside its statements"},
    {0},
};

const pal_param_t pal_unlearn_params[] = {
    PAL_RECIPE_PARAMS(pal_unlearn_common_t, recipe, 250, 32, 1e-3, 10, "cosine"),
    {"coefficient", PAL_REAL, offsetof(pal_unlearn_common_t, coefficient), 1, 0, 1e9,
     NULL, NULL, "1", "weight of the unlearning term; the retain term has weight 1"},
    {"format", PAL_TEXT, offsetof(pal_unlearn_common_t, format), 0, 0, 0, "statement",
     "statement|question", "1", "form of the forget text"},
    {"budget", PAL_REAL, offsetof(pal_unlearn_common_t, budget), 0, 0, 1e9, NULL, NULL,
     "nats per token",
     "how far the NLL of retain text may rise: the run ends before; 0 sets no limit"},
    {"adapter", PAL_COUNT, offsetof(pal_unlearn_common_t, adapter), 0, 0, 65536, NULL,
     NULL, "1",
     "rank of adapters (LoRA, alpha twice that) trained in place of the weights; 0: "
     "none"},
    {0},
};

const pal_param_t pal_attack_params[] = {
    PAL_RECIPE_PARAMS(pal_attack_common_t, recipe, 120, 32, 1e-3, 5, "constant"),
    {"holdout", PAL_COUNT, offsetof(pal_attack_common_t, holdout), 0, 0, 99, NULL, NULL,
     "fold", "forget facts of this fold are V, the others T"},
    {"evaluations", PAL_COUNT, offsetof(pal_attack_common_t, evaluations), 8, 1, 64,
     NULL, NULL, "points", "points of the curve after the start"},
    {0},
};

void pal_spec_normalize(pal_base_spec_t *base, pal_unlearn_spec_t *unlearn)
{
    if (unlearn->method->role == PAL_UNLEARNS)
        return;
    pal_param_defaults(pal_unlearn_params, &unlearn->common);
    unlearn->common.coefficient = 0;
    unlearn->common.recipe.steps = 0;
    unlearn->common.recipe.lr = 0;
    if (unlearn->method->role == PAL_FLOOR)
        base->pretrain.taught = 0;
}

pal_adapter_spec_t pal_unlearn_adapter(const pal_unlearn_common_t *common)
{
    return (pal_adapter_spec_t){.rank = common->adapter,
                                .alpha = 2 * (double)common->adapter,
                                .targets = "all"};
}

int pal_unlearn_has_coefficient(const pal_unlearn_spec_t *spec)
{
    return spec->method->role == PAL_UNLEARNS;
}

static void begin_key(pal_hash_t *hash, const char *stage, pal_key_t parent)
{
    pal_hash_begin(hash);
    pal_hash_print(hash, "%s, code schema %d", stage, PAL_CODE_SCHEMA);
    pal_hash_key(hash, parent);
}

pal_key_t pal_base_key(pal_key_t world, int32_t vocab, const pal_base_spec_t *spec)
{
    pal_model_spec_t model = spec->model;
    pal_hash_t hash;

    model.words = vocab;
    begin_key(&hash, "base", world);
    pal_hash_print(&hash, "seed=%lld", (long long)spec->seed);
    pal_param_hash(pal_model_params, &model, &hash);
    pal_param_hash(pal_pretrain_params, &spec->pretrain, &hash);
    return pal_hash_end(&hash);
}

pal_key_t pal_unlearn_key(pal_key_t base, const pal_unlearn_spec_t *spec)
{
    pal_hash_t hash;

    begin_key(&hash, "unlearned", base);
    pal_hash_print(&hash, "method=%s", spec->id);
    pal_param_hash(pal_unlearn_params, &spec->common, &hash);
    pal_param_hash(spec->method->params, spec->state, &hash);
    return pal_hash_end(&hash);
}

pal_key_t pal_trial_key(pal_key_t unlearned, const pal_attack_spec_t *spec)
{
    pal_hash_t hash;

    begin_key(&hash, "trial", unlearned);
    pal_hash_print(&hash, "attack=%s", spec->id);
    pal_param_hash(pal_attack_params, &spec->common, &hash);
    pal_param_hash(spec->attack->params, spec->state, &hash);
    return pal_hash_end(&hash);
}

int32_t pal_dev_fold(const pal_attack_spec_t *spec, int32_t folds)
{
    return (int32_t)((spec->common.holdout + 1) % folds);
}
