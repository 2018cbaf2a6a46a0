#include "stage/lab.h"

/* Floating-point operations of one sequence of `length` tokens: forward with or without
 * the output matrix at every token. 0 for a size that does not exist. */
static double sequence_flops(const pal_ground_t *ground, const pal_base_spec_t *spec,
                             double length, int with_logits)
{
    pal_shape_t shape;

    if (pal_base_shape(ground, spec, &shape, NULL) != PAL_OK)
        return 0;
    return length * pal_shape_flops(&shape, length, with_logits);
}

static double training_flops(const pal_ground_t *ground, const pal_base_spec_t *spec,
                             const pal_recipe_t *recipe, double length)
{
    return 3 * (double)recipe->steps * (double)recipe->batch *
           sequence_flops(ground, spec, length, 1);
}

/* Scoring asks every choice; logits only at the choice, which is neglected. */
static double scoring_flops(const pal_ground_t *ground, const pal_base_spec_t *spec,
                            double facts)
{
    return facts * sequence_flops(ground, spec, ground->asked_tokens, 0);
}

/* The weights, and what trains them; an adapter's moments are small. */
static int training_models(const pal_recipe_t *recipe, int frozen, int adapter)
{
    return 2 + (adapter ? 0 : pal_optimizer_moments(recipe->optimizer)) +
           (frozen || adapter);
}

int pal_base_models(const pal_base_spec_t *spec)
{
    return training_models(&spec->pretrain.recipe, 0, 0);
}

int pal_unlearn_models(const pal_unlearn_spec_t *spec)
{
    const pal_method_t *method = spec->method;

    if (method->role != PAL_UNLEARNS)
        return 1;
    return training_models(&spec->common.recipe, method->frozen,
                           method->adapter || spec->common.adapter) +
           method->buffers;
}

int pal_trial_models(const pal_attack_spec_t *spec)
{
    return training_models(&spec->common.recipe, spec->attack->frozen,
                           spec->attack->adapter != NULL);
}

double pal_base_flops(const pal_ground_t *ground, const pal_base_spec_t *spec)
{
    return training_flops(ground, spec, &spec->pretrain.recipe,
                          ground->statement_tokens) +
           scoring_flops(ground, spec, ground->world.count);
}

/* Of all with all of the tokens of the forget batches. */
static double pair_flops(const pal_ground_t *ground, const pal_base_spec_t *base,
                         const pal_unlearn_spec_t *spec)
{
    const pal_recipe_t *recipe = &spec->common.recipe;
    const double tokens = (double)recipe->batch * ground->statement_length;
    pal_shape_t shape;

    if (pal_base_shape(ground, base, &shape, NULL) != PAL_OK)
        return 0;
    return (double)recipe->steps * spec->method->pair_cost * tokens * tokens *
           shape.layers * shape.width;
}

double pal_unlearn_flops(const pal_ground_t *ground, const pal_base_spec_t *base,
                         const pal_unlearn_spec_t *spec)
{
    double cost = spec->method->cost > 0 ? spec->method->cost : 2;
    double flops = scoring_flops(ground, base, ground->world.count);

    if (spec->common.budget > 0)
        flops += (double)spec->common.recipe.steps / PAL_LOOK_EVERY *
                 PAL_HELD_SEQUENCES *
                 sequence_flops(ground, base, ground->statement_tokens, 1);
    if (spec->method->role == PAL_UNLEARNS)
        flops += cost * training_flops(ground, base, &spec->common.recipe,
                                       spec->method->computes == PAL_LOGITS
                                           ? ground->statement_tokens
                                           : ground->statement_length) +
                 pair_flops(ground, base, spec);
    return flops;
}

double pal_trial_flops(const pal_ground_t *ground, const pal_base_spec_t *base,
                       const pal_attack_spec_t *spec)
{
    const pal_attack_t *attack = spec->attack;
    double cost = attack->cost > 0 ? attack->cost : 1;
    double looks = attack->answer ? 0 : (double)spec->common.evaluations;
    double facts = (1 + looks) * 2 * ground->largest_fold + ground->retain;

    return cost * training_flops(ground, base, &spec->common.recipe,
                                 ground->question_tokens) +
           scoring_flops(ground, base, facts);
}
