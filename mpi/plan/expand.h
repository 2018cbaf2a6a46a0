/* expand.h -- blocks of axes multiplied out into specs. */
#ifndef PAL_MPI_PLAN_EXPAND_H
#define PAL_MPI_PLAN_EXPAND_H

#include "config/config.h"

enum { PAL_GRID_MAX = 1 << 24 }; /* trials of a sweep */

/* A spec and where the config asks for it. */
typedef struct {
    pal_unlearn_spec_t spec;
    int32_t line;
} pal_grid_unlearn_t;

typedef struct {
    pal_attack_spec_t spec;
    int32_t line; /* of `holdout` if it is given */
} pal_grid_attack_t;

/* Every combination in config order: blocks in order, in a block the last key fastest.
 * The controls come first. A trial is asked for by one of each list. */
typedef struct {
    pal_world_spec_t *worlds;
    pal_base_spec_t *bases;
    pal_grid_unlearn_t *unlearn;
    pal_grid_attack_t *attacks; /* without repetition */
    int32_t world_count, base_count, unlearn_count, attack_count;
    int64_t asked; /* trials, repetitions included */
} pal_grid_t;

/* All in the arena. PAL_EINVAL: more than PAL_GRID_MAX trials. */
PAL_MUST_CHECK
int pal_grid_create(const pal_config_t *config, pal_arena_t *arena, pal_grid_t *grid,
                    pal_error_t *err);

/* Line of a block's key, or of the block if it is not given. */
int32_t pal_block_line(const pal_block_t *block, const char *key);

#endif
