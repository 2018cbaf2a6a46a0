#include "plan/expand.h"

#include <string.h>

#include "plan/keymap.h"

int32_t pal_block_line(const pal_block_t *block, const char *key)
{
    for (int32_t i = 0; i < block->count; i++)
        if (strcmp(block->axes[i].key, key) == 0)
            return block->axes[i].line;
    return block->line;
}

/* --- Combinations of one block --- */

/* Number of combinations, or PAL_GRID_MAX + 1 if there are more. */
static int64_t block_size(const pal_block_t *block)
{
    int64_t size = 1;

    for (int32_t i = 0; i < block->count && size <= PAL_GRID_MAX; i++)
        size *= block->axes[i].count;
    return size <= PAL_GRID_MAX ? size : PAL_GRID_MAX + 1;
}

/* A table and the struct it describes. */
typedef struct {
    const pal_param_t *table;
    void *state;
} target_t;

/* Set both targets to their defaults and to combination i of the block, the last key
 * being the fastest digit of i. */
static int fill(const pal_block_t *block, int64_t i, const target_t *targets, int n,
                pal_error_t *err)
{
    int rc = PAL_OK;

    for (int t = 0; t < n; t++)
        pal_param_defaults(targets[t].table, targets[t].state);
    for (int32_t a = block->count - 1; rc == PAL_OK && a >= 0; a--) {
        const pal_axis_t *axis = &block->axes[a];
        const pal_param_t *param = NULL;
        int t = 0;

        while (t < n && !(param = pal_param_find(targets[t].table, axis->key)))
            t++;
        if (!param)
            return PAL_FAIL(err, PAL_EINVAL, "key '%s' is in no table", axis->key);
        rc = pal_param_set(param, targets[t].state, axis->values[i % axis->count], err);
        i /= axis->count;
    }
    return rc;
}

static int fill_world(const pal_block_t *block, int64_t i, pal_world_spec_t *spec,
                      pal_error_t *err)
{
    int rc = pal_world_find(block->id, &spec->kind, err);

    if (rc != PAL_OK)
        return rc;
    for (int k = 0; k < pal_world_kinds(); k++)
        if (pal_world_kind_at(k) == spec->kind)
            spec->id = pal_world_kind_id(k);
    return fill(block, i, &(target_t){spec->kind->params, spec->state}, 1, err);
}

static int fill_base(const pal_block_t *block, int64_t i, pal_base_spec_t *spec,
                     pal_error_t *err)
{
    const target_t targets[] = {{pal_model_params, &spec->model},
                                {pal_pretrain_params, &spec->pretrain},
                                {pal_seed_params, spec}};

    return fill(block, i, targets, 3, err);
}

static int fill_unlearn(const pal_block_t *block, int64_t i, pal_unlearn_spec_t *spec,
                        pal_error_t *err)
{
    int rc = pal_method_find(block->id, &spec->method, err);

    if (rc != PAL_OK)
        return rc;
    for (int m = 0; m < pal_method_count(); m++)
        if (pal_method_at(m) == spec->method)
            spec->id = pal_method_id(m);
    return fill(block, i,
                (const target_t[]){{pal_unlearn_params, &spec->common},
                                   {spec->method->params, spec->state}},
                2, err);
}

static int fill_attack(const pal_block_t *block, int64_t i, pal_attack_spec_t *spec,
                       pal_error_t *err)
{
    int rc = pal_attack_find(block->id, &spec->attack, err);

    if (rc != PAL_OK)
        return rc;
    for (int a = 0; a < pal_attack_count(); a++)
        if (pal_attack_at(a) == spec->attack)
            spec->id = pal_attack_id(a);
    return fill(block, i,
                (const target_t[]){{pal_attack_params, &spec->common},
                                   {spec->attack->params, spec->state}},
                2, err);
}

/* --- Lists of specs --- */

static int make_worlds(const pal_config_t *config, pal_arena_t *arena, pal_grid_t *grid,
                       pal_error_t *err)
{
    int rc = PAL_OK;

    grid->worlds =
        pal_arena_get(arena, (size_t)grid->world_count * sizeof *grid->worlds);
    if (!grid->worlds)
        return PAL_FAIL(err, PAL_ENOMEM, "%d worlds", grid->world_count);
    for (int32_t i = 0; rc == PAL_OK && i < grid->world_count; i++)
        rc = fill_world(&config->world, i, &grid->worlds[i], err);
    return rc;
}

static int make_bases(const pal_config_t *config, pal_arena_t *arena, pal_grid_t *grid,
                      pal_error_t *err)
{
    int rc = PAL_OK;

    grid->bases = pal_arena_get(arena, (size_t)grid->base_count * sizeof *grid->bases);
    if (!grid->bases)
        return PAL_FAIL(err, PAL_ENOMEM, "%d base models", grid->base_count);
    for (int32_t i = 0; rc == PAL_OK && i < grid->base_count; i++)
        rc = fill_base(&config->base, i, &grid->bases[i], err);
    return rc;
}

/* 1 if the sweep gets this method without asking: the first control of its role, if no
 * block has one of that role. */
static int is_added_control(const pal_config_t *config, int method)
{
    pal_method_role_t role = pal_method_at(method)->role;
    const pal_method_t *listed;

    if (!config->controls || role == PAL_UNLEARNS)
        return 0;
    for (int m = 0; m < method; m++)
        if (pal_method_at(m)->role == role)
            return 0;
    for (int32_t i = 0; i < config->unlearn_count; i++)
        if (pal_method_find(config->unlearn[i].id, &listed, NULL) == PAL_OK &&
            listed->role == role)
            return 0;
    return 1;
}

static int make_unlearn(const pal_config_t *config, pal_arena_t *arena,
                        pal_grid_t *grid, pal_error_t *err)
{
    int32_t n = 0;
    int rc = PAL_OK;

    grid->unlearn =
        pal_arena_get(arena, (size_t)grid->unlearn_count * sizeof *grid->unlearn);
    if (!grid->unlearn)
        return PAL_FAIL(err, PAL_ENOMEM, "%d unlearned models", grid->unlearn_count);
    for (int m = 0; rc == PAL_OK && m < pal_method_count(); m++)
        if (is_added_control(config, m))
            rc = fill_unlearn(&(pal_block_t){.id = pal_method_id(m)}, 0,
                              &grid->unlearn[n++].spec, err);
    for (int32_t b = 0; b < config->unlearn_count; b++) {
        const pal_block_t *block = &config->unlearn[b];
        int64_t size = block_size(block);

        for (int64_t i = 0; rc == PAL_OK && i < size; i++, n++) {
            grid->unlearn[n].line = block->line;
            rc = fill_unlearn(block, i, &grid->unlearn[n].spec, err);
        }
    }
    return rc;
}

/* Blocks may ask for the same attack; it is kept once. */
static int make_attacks(const pal_config_t *config, pal_arena_t *arena,
                        pal_grid_t *grid, pal_error_t *err)
{
    static const pal_key_t no_parent;
    pal_keymap_t known = {0};
    int32_t n = 0;
    int rc = PAL_OK;

    grid->attacks =
        pal_arena_get(arena, (size_t)grid->attack_count * sizeof *grid->attacks);
    if (!grid->attacks)
        return PAL_FAIL(err, PAL_ENOMEM, "%d attacks", grid->attack_count);
    for (int32_t b = 0; b < config->attack_count; b++) {
        const pal_block_t *block = &config->attack[b];
        int64_t size = block_size(block);

        for (int64_t i = 0; rc == PAL_OK && i < size; i++) {
            pal_grid_attack_t *attack = &grid->attacks[n];
            pal_key_t key;

            attack->line = pal_block_line(block, "holdout");
            rc = fill_attack(block, i, &attack->spec, err);
            if (rc != PAL_OK)
                break;
            key = pal_trial_key(no_parent, &attack->spec);
            if (pal_keymap_find(&known, key) < 0)
                rc = pal_keymap_add(&known, key, n++, err);
        }
    }
    grid->attack_count = n;
    pal_keymap_free(&known);
    return rc;
}

/* --- The grid --- */

static int64_t total_size(const pal_block_t *blocks, int32_t count)
{
    int64_t size = 0;

    for (int32_t i = 0; i < count; i++)
        size += block_size(&blocks[i]);
    return size;
}

/* Sizes before anything is made of them. */
static int measure(const pal_config_t *config, pal_grid_t *grid, pal_error_t *err)
{
    int64_t sizes[4] = {block_size(&config->world), block_size(&config->base),
                        total_size(config->unlearn, config->unlearn_count),
                        total_size(config->attack, config->attack_count)};
    double asked = 1;

    for (int m = 0; m < pal_method_count(); m++)
        sizes[2] += is_added_control(config, m);
    for (int i = 0; i < 4; i++)
        asked *= (double)sizes[i];
    if (asked > PAL_GRID_MAX)
        return PAL_REJECT(err,
                          "%s:%d: %.0f trials (%lld worlds x %lld base models x %lld "
                          "unlearned x %lld attacks); a sweep has at most %d",
                          config->path, config->attack[0].line, asked,
                          (long long)sizes[0], (long long)sizes[1], (long long)sizes[2],
                          (long long)sizes[3], PAL_GRID_MAX);
    grid->world_count = (int32_t)sizes[0];
    grid->base_count = (int32_t)sizes[1];
    grid->unlearn_count = (int32_t)sizes[2];
    grid->attack_count = (int32_t)sizes[3];
    grid->asked = (int64_t)asked;
    return PAL_OK;
}

int pal_grid_create(const pal_config_t *config, pal_arena_t *arena, pal_grid_t *grid,
                    pal_error_t *err)
{
    int rc;

    memset(grid, 0, sizeof *grid);
    rc = measure(config, grid, err);
    if (rc == PAL_OK)
        rc = make_worlds(config, arena, grid, err);
    if (rc == PAL_OK)
        rc = make_bases(config, arena, grid, err);
    if (rc == PAL_OK)
        rc = make_unlearn(config, arena, grid, err);
    return rc == PAL_OK ? make_attacks(config, arena, grid, err) : rc;
}
