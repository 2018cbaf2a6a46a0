#include "plan/plan_text.h"

#include <stdio.h>
#include <stdlib.h>

static void print_table(FILE *out, const char *prefix, const pal_param_t *table,
                        const void *state)
{
    char value[PAL_TEXT_MAX];

    for (; table->key; table++) {
        pal_param_print(table, state, value, sizeof value);
        fprintf(out, " %s%s=%s", prefix, table->key, value);
    }
}

static void print_world(FILE *out, const char *prefix, const pal_world_spec_t *spec)
{
    fprintf(out, "%skind=%s", prefix, spec->id);
    print_table(out, prefix, spec->kind->params, spec->state);
}

static void print_unlearned(FILE *out, const pal_plan_t *plan, int32_t row)
{
    const pal_unlearn_spec_t *spec = plan->unlearned[row].spec;
    const pal_plan_base_t *base = &plan->bases[plan->unlearned[row].base];

    print_world(out, "world.", &plan->worlds[base->world].spec);
    print_table(out, "model.", pal_model_params, &base->spec.model);
    print_table(out, "pretrain.", pal_pretrain_params, &base->spec.pretrain);
    fprintf(out, " method=%s", spec->id);
    print_table(out, "", pal_unlearn_params, &spec->common);
    print_table(out, "", spec->method->params, spec->state);
}

static void print_attack(FILE *out, const pal_attack_spec_t *spec)
{
    fprintf(out, "attack=%s", spec->id);
    print_table(out, "", pal_attack_params, &spec->common);
    print_table(out, "", spec->attack->params, spec->state);
}

/* Close the stream that wrote *text and move the text into the arena. */
static char *keep(pal_plan_t *plan, FILE *out, char **text, size_t *length)
{
    int failed = ferror(out);
    char *kept;

    failed |= fclose(out) != 0;
    kept = failed ? NULL : pal_arena_text(&plan->arena, *text, *length);
    free(*text);
    return kept;
}

char *pal_plan_world_text(pal_plan_t *plan, const pal_world_spec_t *spec)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (!out)
        return NULL;
    print_world(out, "", spec);
    return keep(plan, out, &text, &length);
}

char *pal_plan_attack_text(pal_plan_t *plan, const pal_attack_spec_t *spec)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (!out)
        return NULL;
    print_attack(out, spec);
    return keep(plan, out, &text, &length);
}

const char *pal_plan_setting(pal_plan_t *plan, int32_t row)
{
    pal_plan_unlearned_t *unlearned = &plan->unlearned[row];
    char *text = NULL;
    size_t length;
    FILE *out;

    if (unlearned->setting)
        return unlearned->setting;
    out = open_memstream(&text, &length);
    if (!out)
        return NULL;
    print_unlearned(out, plan, row);
    unlearned->setting = keep(plan, out, &text, &length);
    return unlearned->setting;
}

const char *pal_plan_attack_setting(pal_plan_t *plan, int32_t trial)
{
    const pal_plan_unlearned_t *unlearned =
        &plan->unlearned[plan->trials[trial].unlearned];

    return plan->attack_settings[trial - unlearned->first];
}
