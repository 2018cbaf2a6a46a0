/* config.h -- the YAML file a person writes, as blocks of axes.
 *
 * Any scalar may be a list or {log: [lo, hi, n]} and is then an axis; a list of blocks
 * under `unlearn:` or `attack:` is a union, inside a block it is a product. Keys are
 * checked against the parameter tables of src/; every refusal is "<file>:<line>: ..."
 * with the key or value, what was expected and the nearest valid name. `method: [gd,
 * ria]` is a union of two blocks with the same keys, all of which every method of the
 * list must take; a control (none, filtered) takes none.
 */
#ifndef PAL_MPI_CONFIG_CONFIG_H
#define PAL_MPI_CONFIG_CONFIG_H

#include "base/arena.h"
#include "stage/spec.h"

/* One key with its values, in the order written. */
typedef struct {
    const char *key;
    const char *const *values;
    int32_t count; /* >= 1; 1 if it is not an axis */
    int32_t line;
} pal_axis_t;

/* Table of `seed`, into pal_base_spec_t; the others are in stage/spec.h. */
extern const pal_param_t pal_seed_params[];

/* One block: what `kind`, `method` or `size` names, and its axes. */
typedef struct {
    const char *id; /* "gd"; "" where a block has none */
    const pal_axis_t *axes;
    int32_t count;
    int32_t line;
} pal_block_t;

typedef struct {
    const char *path;
    const char *name;  /* `sweep:`; letters, digits, '-', '_' */
    int controls;      /* `controls:`, default 1: add none and filtered */
    pal_block_t world; /* id = kind */
    pal_block_t base;  /* keys of model, pretrain and seed together */
    const pal_block_t *unlearn;
    int32_t unlearn_count;
    const pal_block_t *attack;
    int32_t attack_count;
    const char *text; /* the file as it is */
    pal_arena_t arena;
} pal_config_t;

/* Parse text (the content of path; path is only for messages and may be kept).
 * Top-level keys: sweep, world, model, seed, pretrain, unlearn, attack, controls.
 * Checks every key and every value. On failure *config is zeroed. */
PAL_MUST_CHECK
int pal_config_parse(const char *path, const char *text, size_t length,
                     pal_config_t *config, pal_error_t *err);
void pal_config_free(pal_config_t *config);

/* Read a whole config file into malloc'ed memory with a terminator. PAL_ENOENT,
 * PAL_EIO, PAL_EINVAL if it is a folder or larger than any config. */
PAL_MUST_CHECK
int pal_file_read(const char *path, char **text, size_t *length, pal_error_t *err);

#endif
