/* plan.h -- the grid as a tree of stages.
 *
 * Every rank builds the same plan from the same config text, so that messages carry
 * only row numbers. Rows are in config order: a row number is a row of the results
 * file.
 */
#ifndef PAL_MPI_PLAN_PLAN_H
#define PAL_MPI_PLAN_PLAN_H

#include "config/config.h"
#include "stage/stage.h"

typedef struct {
    pal_world_spec_t spec;
    char *setting; /* "kind=synthetic facts=300 ...": every parameter */
    int64_t words; /* of the tokenizer */
    pal_ground_t ground;
} pal_plan_world_t;

typedef struct {
    pal_base_spec_t spec;
    int32_t world;
    pal_key_t key;
    double flops;
    int32_t models; /* the first unlearned row on it; its `next` leads to the others */
} pal_plan_base_t;

typedef struct {
    pal_unlearn_spec_t *spec; /* shared between rows */
    int32_t base;
    int32_t next; /* row on the same base, after this one; -1 ends the list */
    pal_key_t key;
    double flops;
    int32_t first, trials; /* its trials are rows first .. first + trials - 1 */
    const char *setting;   /* made by pal_plan_setting() when first asked for */
} pal_plan_unlearned_t;

typedef struct {
    pal_attack_spec_t *spec; /* shared between rows */
    int32_t unlearned;
    pal_key_t key;
    double flops;
} pal_plan_trial_t;

typedef struct {
    const char *name; /* of the sweep; borrowed from the config */
    pal_plan_world_t *worlds;
    pal_plan_base_t *bases;
    pal_plan_unlearned_t *unlearned;
    pal_plan_trial_t *trials;
    int32_t world_count, base_count, unlearned_count, trial_count;
    /* What the config asks for without sharing: each trial with a base and an unlearned
     * model of its own. asked_trials counts repetitions. */
    int64_t asked_bases, asked_unlearned, asked_trials;
    int32_t points;                   /* most curve points of a trial */
    int32_t forget_bytes, fold_bytes; /* bytes of the widest bit rows */
    pal_key_t key;                    /* of all trial keys in order */
    const char **attack_settings; /* of the trials of every unlearned model, in order */
    int32_t attack_count;
    pal_arena_t arena;
} pal_plan_t;

/* Expand the config, make its worlds, build the tree: equal keys become one stage.
 * Floor and ceiling trials are added to every (base, attack) unless switched off.
 * PAL_EINVAL: what the tables cannot see (holdout beyond the folds, ria without
 * falsehoods, a grid of more than 2^24 trials), naming file and line. The config must
 * outlive the plan. On failure *plan is zeroed. */
PAL_MUST_CHECK
int pal_plan_create(const pal_config_t *config, pal_plan_t *plan, pal_error_t *err);
void pal_plan_free(pal_plan_t *plan);

/* The ground, base spec, ... a row stands on. */
const pal_ground_t *pal_plan_ground(const pal_plan_t *plan, int32_t base);

/* Canonical text of an unlearned row without its seed: rows with equal text are
 * repetitions over seeds. "world.kind=synthetic world.facts=300 model.size=nano
 * pretrain.steps=1500 ... method=gd coefficient=0.3 ...". In the plan's arena; NULL
 * when memory is out. */
const char *pal_plan_setting(pal_plan_t *plan, int32_t unlearned);
/* The same of a trial's attack: "attack=finetune lr=0.001 ... holdout=0". */
const char *pal_plan_attack_setting(pal_plan_t *plan, int32_t trial);

#endif
