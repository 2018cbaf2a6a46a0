/* pools.h -- which examples each stage draws from.
 *
 * pal_pool_*() append to a zeroed pool that the caller frees, also on failure, and
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

/* What a method is given about the forget facts: all of them, V and T alike; of a
 * PAL_PAIRED method the false twins. */
PAL_MUST_CHECK
int pal_pool_forget(const pal_ground_t *ground, const pal_unlearn_spec_t *spec,
                    pal_key_t key, pal_pool_t *pool, pal_error_t *err);

/* The same as streams, owned by the caller; *twin is NULL unless the method is
 * PAL_PAIRED. PAL_ENOMEM, PAL_EINVAL; then neither is made. */
PAL_MUST_CHECK
int pal_forget_streams(const pal_ground_t *ground, const pal_unlearn_spec_t *spec,
                       pal_key_t key, pal_stream_t **forget, pal_stream_t **twin,
                       pal_error_t *err);

/* What the attacker trains on: questions of T, the dev fold left out. */
PAL_MUST_CHECK
int pal_pool_known(const pal_ground_t *ground, const pal_attack_spec_t *spec,
                   pal_pool_t *pool, pal_error_t *err);

#endif
