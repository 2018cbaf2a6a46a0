/* pools.h -- which examples each stage draws from.
 *
 * All functions append to a zeroed pool that the caller frees, also on failure; all
 * return PAL_OK or PAL_ENOMEM.
 */
#ifndef PAL_STAGE_POOLS_H
#define PAL_STAGE_POOLS_H

#include "stage/stage.h"

/* Pretraining: statements of what is taught, questions of the retain facts. */
PAL_MUST_CHECK
int pal_pool_pretrain(const pal_ground_t *ground, const pal_base_spec_t *spec,
                      pal_pool_t *pool, pal_error_t *err);

/* Statements and questions of the retain facts, in pretraining's proportion. */
PAL_MUST_CHECK
int pal_pool_retain(const pal_ground_t *ground, const pal_base_spec_t *spec,
                    pal_pool_t *pool, pal_error_t *err);

/* What a method is given about the forget facts: all of them, V and T alike. */
PAL_MUST_CHECK
int pal_pool_forget(const pal_ground_t *ground, const pal_unlearn_spec_t *spec,
                    pal_key_t key, pal_pool_t *pool, pal_error_t *err);

/* What the attacker trains on: questions of T, the dev fold left out. */
PAL_MUST_CHECK
int pal_pool_known(const pal_ground_t *ground, const pal_attack_spec_t *spec,
                   pal_pool_t *pool, pal_error_t *err);

#endif
