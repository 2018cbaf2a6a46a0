#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "plan/expand.h"
#include "plan/keymap.h"
#include "plan/plan_text.h"

/* What stages cost on a world with one size of model; the same for every seed. */
typedef struct {
    int32_t world;
    const pal_model_spec_t *model;
    double *unlearn, *attack; /* flops by entry of the grid */
} cost_class_t;

typedef struct {
    const pal_config_t *config;
    pal_plan_t *plan;
    pal_grid_t grid;
    pal_keymap_t bases, unlearned;
    int64_t base_room, unlearned_room;
    cost_class_t *classes;
    int32_t class_count;
    int64_t class_room;
    pal_error_t *err;
} builder_t;

/* Make room for one more item: *items is malloc'ed. */
static int reserve(void **items, size_t size, int64_t count, int64_t *room,
                   pal_error_t *err)
{
    int64_t wanted = *room ? 2 * *room : 64;
    void *grown;

    if (count < *room)
        return PAL_OK;
    grown = realloc(*items, (size_t)wanted * size);
    if (!grown)
        return PAL_FAIL(err, PAL_ENOMEM, "%lld rows of a plan", (long long)wanted);
    *items = grown;
    *room = wanted;
    return PAL_OK;
}

/* --- Worlds --- */

/* The specs are good on this ground, or a message says where in the config they are
 * not. */
static int check_ground(const builder_t *builder, const pal_ground_t *ground)
{
    const pal_grid_t *grid = &builder->grid;

    for (int32_t i = 0; i < grid->unlearn_count; i++) {
        int rc = pal_unlearn_check(ground, &grid->unlearn[i].spec, builder->err);

        if (rc != PAL_OK)
            return pal_context(builder->err, rc, "%s:%d", builder->config->path,
                               grid->unlearn[i].line);
    }
    for (int32_t i = 0; i < grid->attack_count; i++) {
        int rc = pal_attack_check(ground, &grid->attacks[i].spec, builder->err);

        if (rc != PAL_OK)
            return pal_context(builder->err, rc, "%s:%d", builder->config->path,
                               grid->attacks[i].line);
    }
    return PAL_OK;
}

static int add_world(builder_t *builder, const pal_world_spec_t *spec, int64_t words)
{
    pal_plan_t *plan = builder->plan;
    pal_plan_world_t *world = &plan->worlds[plan->world_count];
    pal_error_t why = {""};
    int rc = pal_ground_create(spec, words, &world->ground, &why);

    if (rc != PAL_OK)
        return pal_fail_(
            builder->err, rc, NULL, 0, "%s:%d: %s%s", builder->config->path,
            builder->config->world.line, why.text,
            rc == PAL_ENOENT
                ? " (make it with palimpsest facts import-rtt, or check the path)"
                : "");
    plan->world_count++;
    world->spec = *spec;
    world->words = words;
    world->setting = pal_plan_world_text(plan, spec);
    if (!world->setting)
        return PAL_FAIL(builder->err, PAL_ENOMEM, "setting of a world");
    return check_ground(builder, &world->ground);
}

/* 1 if `words` gives the vocabulary that the world has: it had fewer than it might. */
static int has_words(const pal_plan_world_t *world, int64_t words)
{
    const int32_t size = pal_tokenizer_size(world->ground.corpus.tokenizer);
    const int32_t found = size - PAL_FIRST_WORD;

    return world->words == words || (found < world->words && found <= words);
}

/* Make the world of a spec with that vocabulary unless it was made for another base.
 * Worlds of one spec stand together at the end. */
static int find_world(builder_t *builder, const pal_world_spec_t *spec, int32_t first,
                      int64_t words, int32_t *row)
{
    const pal_plan_t *plan = builder->plan;

    for (*row = first; *row < plan->world_count; ++*row)
        if (has_words(&plan->worlds[*row], words))
            return PAL_OK;
    return add_world(builder, spec, words);
}

/* Room for every world, so that none ever moves: stages keep pointers into them. */
static int make_world_room(builder_t *builder)
{
    const pal_block_t *base = &builder->config->base;
    int64_t room = builder->grid.world_count;

    for (int32_t i = 0; i < base->count; i++)
        if (strcmp(base->axes[i].key, "words") == 0)
            room *= base->axes[i].count;
    builder->plan->worlds =
        pal_arena_get(&builder->plan->arena, (size_t)room * sizeof(pal_plan_world_t));
    if (!builder->plan->worlds)
        return PAL_FAIL(builder->err, PAL_ENOMEM, "%lld worlds", (long long)room);
    return PAL_OK;
}

/* --- Costs --- */

static int check_layout(const builder_t *builder, const pal_ground_t *ground,
                        const pal_base_spec_t *spec)
{
    pal_layout_t *layout = NULL;
    int rc = pal_base_layout(ground, spec, &layout, builder->err);

    pal_layout_destroy(layout);
    if (rc == PAL_OK)
        return PAL_OK;
    return pal_context(builder->err, rc == PAL_ENOENT ? PAL_EINVAL : rc, "%s:%d",
                       builder->config->path,
                       pal_block_line(&builder->config->base, "size"));
}

/* Each attack fits a model of this size. */
static int check_attacks(const builder_t *builder, const pal_ground_t *ground,
                         const pal_base_spec_t *spec)
{
    const pal_grid_t *grid = &builder->grid;

    for (int32_t i = 0; i < grid->attack_count; i++) {
        const pal_grid_attack_t *attack = &grid->attacks[i];
        int rc = pal_attack_fits(ground, spec, &attack->spec, builder->err);

        if (rc != PAL_OK)
            return pal_context(builder->err, rc, "%s:%d", builder->config->path,
                               attack->line);
    }
    return PAL_OK;
}

static int add_class(builder_t *builder, int32_t world, const pal_base_spec_t *spec)
{
    const pal_grid_t *grid = &builder->grid;
    const pal_ground_t *ground = &builder->plan->worlds[world].ground;
    cost_class_t made = {.world = world, .model = &spec->model};
    int rc = check_layout(builder, ground, spec);

    if (rc == PAL_OK)
        rc = check_attacks(builder, ground, spec);
    if (rc == PAL_OK)
        rc = reserve((void **)&builder->classes, sizeof made, builder->class_count,
                     &builder->class_room, builder->err);
    if (rc != PAL_OK)
        return rc;
    made.unlearn =
        malloc((size_t)(grid->unlearn_count + grid->attack_count) * sizeof(double));
    if (!made.unlearn)
        return PAL_FAIL(builder->err, PAL_ENOMEM, "costs of a plan");
    made.attack = made.unlearn + grid->unlearn_count;
    for (int32_t i = 0; i < grid->unlearn_count; i++)
        made.unlearn[i] = pal_unlearn_flops(ground, spec, &grid->unlearn[i].spec);
    for (int32_t i = 0; i < grid->attack_count; i++)
        made.attack[i] = pal_trial_flops(ground, spec, &grid->attacks[i].spec);
    builder->classes[builder->class_count++] = made;
    return PAL_OK;
}

/* Index of the class of a base spec (as lasting as the builder); < 0: an error. */
static int32_t find_class(builder_t *builder, int32_t world,
                          const pal_base_spec_t *spec)
{
    int rc;

    for (int32_t i = builder->class_count - 1; i >= 0; i--) {
        const cost_class_t *class = &builder->classes[i];

        if (class->world == world && class->model->words == spec->model.words &&
            strcmp(class->model->size, spec->model.size) == 0)
            return i;
    }
    rc = add_class(builder, world, spec);
    return rc == PAL_OK ? builder->class_count - 1 : rc;
}

/* --- Rows --- */

static int add_base(builder_t *builder, int32_t world, const pal_base_spec_t *spec,
                    int32_t *row)
{
    pal_plan_t *plan = builder->plan;
    const pal_ground_t *ground = &plan->worlds[world].ground;
    pal_plan_base_t base = {.spec = *spec, .world = world};
    int rc;

    base.key = pal_base_key(ground->world.key,
                            pal_tokenizer_size(ground->corpus.tokenizer), spec);
    *row = pal_keymap_find(&builder->bases, base.key);
    if (*row >= 0)
        return PAL_OK;
    base.flops = pal_base_flops(ground, spec);
    rc = reserve((void **)&plan->bases, sizeof base, plan->base_count,
                 &builder->base_room, builder->err);
    if (rc == PAL_OK)
        rc = pal_keymap_add(&builder->bases, base.key, plan->base_count, builder->err);
    if (rc != PAL_OK)
        return rc;
    *row = plan->base_count;
    plan->bases[plan->base_count++] = base;
    return PAL_OK;
}

static int add_unlearned(builder_t *builder, int32_t base, int32_t entry,
                         const cost_class_t *class)
{
    pal_plan_t *plan = builder->plan;
    pal_unlearn_spec_t *spec = &builder->grid.unlearn[entry].spec;
    pal_plan_unlearned_t row = {
        .spec = spec, .base = base, .flops = class->unlearn[entry]};
    int rc;

    rc = pal_unlearn_fits(pal_plan_ground(plan, base), &plan->bases[base].spec, spec,
                          builder->err);
    if (rc != PAL_OK)
        return pal_context(builder->err, rc, "%s:%d", builder->config->path,
                           builder->grid.unlearn[entry].line);
    row.key = pal_unlearn_key(plan->bases[base].key, spec);
    if (pal_keymap_find(&builder->unlearned, row.key) >= 0)
        return PAL_OK;
    row.trials = builder->grid.attack_count;
    row.first = plan->unlearned_count * row.trials;
    rc = reserve((void **)&plan->unlearned, sizeof row, plan->unlearned_count,
                 &builder->unlearned_room, builder->err);
    if (rc == PAL_OK)
        rc = pal_keymap_add(&builder->unlearned, row.key, plan->unlearned_count,
                            builder->err);
    if (rc != PAL_OK)
        return rc;
    plan->unlearned[plan->unlearned_count++] = row;
    return PAL_OK;
}

/* All unlearned models of one base the config asks for. A control may stand on another
 * base: the floor's was taught nothing. */
static int add_models(builder_t *builder, int32_t world, const pal_base_spec_t *asked)
{
    int32_t class = find_class(builder, world, asked), own = -1, row;
    int rc = class < 0 ? class : PAL_OK;

    for (int32_t i = 0; rc == PAL_OK && i < builder->grid.unlearn_count; i++) {
        pal_base_spec_t base = *asked;
        int same;

        pal_spec_normalize(&base, &builder->grid.unlearn[i].spec);
        same = memcmp(&base, asked, sizeof base) == 0;
        row = own;
        if (!same || own < 0)
            rc = add_base(builder, world, &base, &row);
        if (same)
            own = row;
        if (rc == PAL_OK)
            rc = add_unlearned(builder, row, i, &builder->classes[class]);
    }
    return rc;
}

/* Rows on one base need not be neighbours: floors stand on the base taught nothing. */
static void link_models(pal_plan_t *plan)
{
    for (int32_t b = 0; b < plan->base_count; b++)
        plan->bases[b].models = -1;
    for (int32_t u = plan->unlearned_count - 1; u >= 0; u--) {
        pal_plan_base_t *base = &plan->bases[plan->unlearned[u].base];

        plan->unlearned[u].next = base->models;
        base->models = u;
    }
}

static int add_trials(builder_t *builder)
{
    pal_plan_t *plan = builder->plan;
    const pal_grid_t *grid = &builder->grid;
    pal_hash_t hash;

    plan->trials = malloc((size_t)plan->unlearned_count * (size_t)grid->attack_count *
                          sizeof *plan->trials);
    if (!plan->trials)
        return PAL_FAIL(builder->err, PAL_ENOMEM, "trials of %d unlearned models",
                        plan->unlearned_count);
    pal_hash_begin(&hash);
    for (int32_t u = 0; u < plan->unlearned_count; u++) {
        const pal_plan_unlearned_t *unlearned = &plan->unlearned[u];
        const pal_plan_base_t *base = &plan->bases[unlearned->base];
        int32_t class = find_class(builder, base->world, &base->spec);

        for (int32_t a = 0; a < grid->attack_count; a++) {
            pal_plan_trial_t *trial = &plan->trials[plan->trial_count++];

            trial->spec = &grid->attacks[a].spec;
            trial->unlearned = u;
            trial->key = pal_trial_key(unlearned->key, trial->spec);
            trial->flops = builder->classes[class].attack[a];
            pal_hash_key(&hash, trial->key);
        }
    }
    plan->key = pal_hash_end(&hash);
    return PAL_OK;
}

/* --- The plan --- */

static int add_all(builder_t *builder)
{
    const pal_grid_t *grid = &builder->grid;
    int rc = make_world_room(builder);

    for (int32_t w = 0; rc == PAL_OK && w < grid->world_count; w++) {
        int32_t first = builder->plan->world_count, world;

        for (int32_t b = 0; rc == PAL_OK && b < grid->base_count; b++) {
            rc = find_world(builder, &grid->worlds[w], first,
                            grid->bases[b].model.words, &world);
            if (rc == PAL_OK)
                rc = add_models(builder, world, &grid->bases[b]);
        }
    }
    if (rc != PAL_OK)
        return rc;
    link_models(builder->plan);
    return add_trials(builder);
}

static int set_attack_settings(builder_t *builder)
{
    pal_plan_t *plan = builder->plan;

    plan->attack_count = builder->grid.attack_count;
    plan->attack_settings =
        pal_arena_get(&plan->arena, (size_t)plan->attack_count * sizeof(char *));
    if (!plan->attack_settings)
        return PAL_FAIL(builder->err, PAL_ENOMEM, "settings of attacks");
    for (int32_t a = 0; a < plan->attack_count; a++) {
        plan->attack_settings[a] =
            pal_plan_attack_text(plan, &builder->grid.attacks[a].spec);
        if (!plan->attack_settings[a])
            return PAL_FAIL(builder->err, PAL_ENOMEM, "settings of attacks");
    }
    return PAL_OK;
}

static void set_widths(pal_plan_t *plan, const pal_grid_t *grid)
{
    for (int32_t a = 0; a < grid->attack_count; a++) {
        int32_t points = 1 + (int32_t)grid->attacks[a].spec.common.evaluations;

        if (points > plan->points)
            plan->points = points;
    }
    for (int32_t w = 0; w < plan->world_count; w++) {
        const pal_ground_t *ground = &plan->worlds[w].ground;
        int32_t forget = (ground->forget + 7) / 8,
                fold = (ground->largest_fold + 7) / 8;

        if (forget > plan->forget_bytes)
            plan->forget_bytes = forget;
        if (fold > plan->fold_bytes)
            plan->fold_bytes = fold;
    }
}

int pal_plan_create(const pal_config_t *config, pal_plan_t *plan, pal_error_t *err)
{
    builder_t builder = {.config = config, .plan = plan, .err = err};
    int rc;

    memset(plan, 0, sizeof *plan);
    plan->name = config->name;
    rc = pal_grid_create(config, &plan->arena, &builder.grid, err);
    if (rc == PAL_OK)
        rc = add_all(&builder);
    if (rc == PAL_OK)
        rc = set_attack_settings(&builder);
    plan->asked_bases = plan->asked_unlearned = plan->asked_trials = builder.grid.asked;
    set_widths(plan, &builder.grid);
    pal_keymap_free(&builder.bases);
    pal_keymap_free(&builder.unlearned);
    for (int32_t i = 0; i < builder.class_count; i++)
        free(builder.classes[i].unlearn);
    free(builder.classes);
    if (rc != PAL_OK)
        pal_plan_free(plan);
    return rc;
}

void pal_plan_free(pal_plan_t *plan)
{
    for (int32_t w = 0; w < plan->world_count; w++)
        pal_ground_free(&plan->worlds[w].ground);
    free(plan->bases);
    free(plan->unlearned);
    free(plan->trials);
    pal_arena_free(&plan->arena);
    memset(plan, 0, sizeof *plan);
}

const pal_ground_t *pal_plan_ground(const pal_plan_t *plan, int32_t base)
{
    return &plan->worlds[plan->bases[base].world].ground;
}
