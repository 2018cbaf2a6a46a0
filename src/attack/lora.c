/* Retraining on T through a low-rank adapter (Hu et al. 2021): as finetune, but only A
 * and B of the targeted matrices move. It reaches what a small change of the weights
 * can reach, which some defences are not hardened against (methods trained to resist
 * full fine-tuning have fallen to it), and it damages less of the rest. */
#include "attack/attack.h"

typedef pal_adapter_spec_t state_t;

static const pal_param_t params[] = {
    {"rank", PAL_COUNT, offsetof(state_t, rank), 8, 1, 65536, NULL, NULL, "1",
     "rank of the change of each matrix"},
    {"alpha", PAL_REAL, offsetof(state_t, alpha), 16, 1e-3, 1e6, NULL, NULL, "1",
     "the change is alpha / rank times B A"},
    {"targets", PAL_TEXT, offsetof(state_t, targets), 0, 0, 0, "all",
     "attention|mlp|all", "1", "matrices of the blocks that get an adapter"},
    {0},
};

static int check(const void *state, const pal_shape_t *shape, pal_error_t *err)
{
    int rc = pal_adapter_check(state, shape, err);

    return rc == PAL_OK ? rc : pal_context(err, rc, "lora");
}

static void adapter(const void *state, pal_adapter_spec_t *spec)
{
    *spec = *(const state_t *)state;
}

const pal_attack_t pal_attack_lora = {
    .summary = "fine-tune low-rank adapters on the questions of T",
    .params = params,
    .state_size = sizeof(state_t),
    .check = check,
    .adapter = adapter,
    .step = pal_attack_nll,
};
