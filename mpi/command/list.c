#include <stdio.h>
#include <string.h>

#include "command/cli.h"
#include "config/config.h"
#include "model/pass.h"

/* --- One parameter --- */

static void print_range(const pal_param_t *param, char *text, size_t n)
{
    if (param->type == PAL_TEXT)
        snprintf(text, n, "%s", param->choices ? param->choices : "text");
    else
        snprintf(text, n, "%s, %g to %g", param->type == PAL_COUNT ? "whole" : "number",
                 param->min, param->max);
}

static void print_params(const pal_param_t *table)
{
    for (const pal_param_t *p = table; p->key; p++) {
        _Alignas(16) char slot[PAL_TEXT_MAX];
        pal_param_t alone[2] = {*p, {0}};
        char preset[PAL_TEXT_MAX], range[128];
        int unit = p->unit && strcmp(p->unit, "1") != 0 && p->type != PAL_TEXT;

        alone[0].offset = 0;
        pal_param_defaults(alone, slot);
        pal_param_print(alone, slot, preset, sizeof preset);
        print_range(p, range, sizeof range);
        if (p->type == PAL_TEXT && !p->text)
            snprintf(preset, sizeof preset, "required");
        printf("    %-12s %-9s %-28s %s%s%s%s\n", p->key, preset, range, p->help,
               unit ? " [" : "", unit ? p->unit : "", unit ? "]" : "");
    }
}

static void print_entry(const char *id, const char *summary, const pal_param_t *params)
{
    printf("\n  %s: %s\n", id, summary);
    print_params(params);
}

/* --- The lists --- */

static void list_config(void)
{
    puts("config (YAML): what a sweep is made of\n\n"
         "  sweep: example                       # name; results/example.h5\n"
         "  world: {kind: synthetic, facts: 60}  # what there is to know: list worlds\n"
         "  model: {size: nano}                  # list models, as pretrain is\n"
         "  seed: [0, 1, 2]                      # of a base model; default 0\n"
         "  pretrain: {steps: 1200, taught: 1}\n"
         "  unlearn:                             # list methods\n"
         "    - {method: gd, coefficient: {log: [0.03, 3, 5]}, lr: [5e-4, 1e-3]}\n"
         "    - {method: [ria, fwf], coefficient: 10}\n"
         "  attack:                              # list attacks\n"
         "    - {kind: finetune, lr: [3e-4, 1e-3], holdout: [0, 1]}\n"
         "  controls: true                       # the default\n"
         "\n"
         "  Needed: sweep, world, attack. These eight keys, in any order, are all.\n"
         "  Values: any may be a list, or {log: [lo, hi, n]}: n of them from lo to hi, "
         "evenly in\n"
         "  the logarithm. Several in a block, and in blocks of different keys, make a "
         "product:\n"
         "  every combination is run.\n"
         "  Blocks: unlearn and attack take one or a list of them, a union; every "
         "attack is run\n"
         "  on every unlearned model. A list of names (method: [ria, fwf]) is a block "
         "for each.\n"
         "  world is one block.\n"
         "  Keys left out have their defaults. In unlearn and attack, lr, steps, batch "
         "and the\n"
         "  other keys \"of all\" stand beside a method's or an attack's own.\n"
         "  controls adds to every base model and attack the original model (none: the "
         "ceiling)\n"
         "  and one that was never taught the forget facts (filtered: the floor). They "
         "do "
         "not\n"
         "  train: in unlearn they stand in a block, or a list of names, without other "
         "keys.");
}

static void list_methods(void)
{
    puts(
        "methods (unlearn: {method: ...}); name, default, range, meaning\n\n  of all:");
    print_params(pal_unlearn_params);
    for (int i = 0; i < pal_method_count(); i++)
        print_entry(pal_method_id(i), pal_method_at(i)->summary,
                    pal_method_at(i)->params);
}

static void list_attacks(void)
{
    puts("attacks (attack: {kind: ...}); name, default, range, meaning\n\n  of all:");
    print_params(pal_attack_params);
    for (int i = 0; i < pal_attack_count(); i++)
        print_entry(pal_attack_id(i), pal_attack_at(i)->summary,
                    pal_attack_at(i)->params);
}

static void list_worlds(void)
{
    puts("worlds (world: {kind: ...}); name, default, range, meaning");
    for (int i = 0; i < pal_world_kinds(); i++)
        print_entry(pal_world_kind_id(i), pal_world_kind_at(i)->summary,
                    pal_world_kind_at(i)->params);
}

enum { LISTED_VOCABULARY = 4096, LISTED_CONTEXT = 64, LISTED_TOKENS = 1000 };

/* One line of the table of sizes. */
static void print_size(const char *name, const pal_shape_t *shape)
{
    pal_layout_t *layout;
    int64_t in_blocks = 0;
    char heads[32];

    if (pal_layout_create(shape, &layout, NULL) != PAL_OK)
        return;
    for (int32_t i = 0; i < layout->slice_count; i++)
        if (layout->slices[i].layer >= 0)
            in_blocks += layout->slices[i].size;
    snprintf(heads, sizeof heads, shape->kv_heads == shape->heads ? "%d" : "%d/%d",
             (int)shape->heads, (int)shape->kv_heads);
    printf("  %-13s %5d %6d %6s %6d %9.2f %9.2f %9.2f %8.0f %8.0f\n", name,
           (int)shape->width, (int)shape->layers, heads, (int)shape->hidden,
           (double)in_blocks / 1e6, (double)layout->count / 1e6,
           3 * pal_shape_flops(shape, LISTED_CONTEXT, 1) / 1e6,
           4.0 * sizeof(float) * (double)layout->count / 1e6,
           pal_pass_bytes(shape, PAL_FP32, LISTED_TOKENS, LISTED_TOKENS) / 1e6);
    pal_layout_destroy(layout);
}

static void print_sizes(void)
{
    puts("  size          width layers  heads hidden    blocks parameters    MFLOP "
         "      MB   MB for\n"
         "                             (keys)              (M)       (M)    /token "
         "  models 1,000 tok.");
    for (int i = 0; i < pal_preset_count(); i++) {
        pal_shape_t shape;

        if (pal_preset_find(pal_preset_name(i), &shape, NULL) != PAL_OK)
            continue;
        shape.vocab = LISTED_VOCABULARY;
        shape.context = LISTED_CONTEXT;
        print_size(pal_preset_name(i), &shape);
    }
    printf(
        "\n  GPT-2 style (LayerNorm, learned positions, GELU, tied) and Llama style "
        "(RMSNorm, rotary,\n  SwiGLU, grouped heads, not tied). Parameters: in blocks, "
        "and in all with a vocabulary of %d\n  and a context of %d. MFLOP: of a "
        "training step. MB models: weights, gradient and two moments,\n  all that a "
        "rank "
        "holds unless a method or attack needs the model as it was beside them;\n  MB "
        "for "
        "1,000 tokens: activations of a training step.\n",
        LISTED_VOCABULARY, LISTED_CONTEXT);
}

static void list_models(void)
{
    puts("models (model: {size: ...}); name, default, range, meaning\n");
    print_sizes();
    puts("\n  model:");
    print_params(pal_model_params);
    puts("\n  pretrain:");
    print_params(pal_pretrain_params);
    puts("\n  beside them:");
    print_params(pal_seed_params);
}

static const char *const names[] = {"config", "methods", "attacks", "worlds", "models"};
static void (*const lists[])(void) = {list_config, list_methods, list_attacks,
                                      list_worlds, list_models};
enum { LISTS = sizeof names / sizeof *names };

static int run(const char *const operands[], const char *const values[])
{
    const char *nearest;

    (void)values;
    for (int i = 0; i < LISTS; i++) {
        if (operands[0] && strcmp(names[i], operands[0]) != 0)
            continue;
        lists[i]();
        if (operands[0])
            return pal_cli_flush();
        if (i < LISTS - 1)
            puts("");
    }
    if (!operands[0])
        return pal_cli_flush();
    nearest = pal_nearest(operands[0], names, LISTS);
    pal_cli_say("list: unknown list '%s'%s%s; known: config methods attacks worlds "
                "models",
                operands[0], nearest ? ", nearest is " : "", nearest ? nearest : "");
    return PAL_EXIT_INPUT;
}

const pal_command_t pal_cmd_list = {
    .command = "list",
    .operands = "[config|methods|attacks|worlds|models]",
    .most = 1,
    .summary = "Say how a config is written and what it can name, with every parameter",
    .text = "",
    .run = run,
};
