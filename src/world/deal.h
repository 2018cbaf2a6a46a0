/* deal.h -- which facts are retain facts, and which fold each forget fact lies in. */
#ifndef PAL_WORLD_DEAL_H
#define PAL_WORLD_DEAL_H

#include "base/rng.h"
#include "world/world.h"

/* Make that fraction (rounded down) of the forget facts whose role was not given retain
 * facts (fold -1), spread evenly over relations and the folds they have. fraction in
 * [0, 1]. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_deal_retain(pal_fact_t *facts, int32_t count, double fraction, pal_rng_t *rng,
                    pal_error_t *err);

/* Give every forget fact with fold -1 a fold in [0, folds). The numbers dealt to each
 * fold differ by at most one, in all and within each relation. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_deal_folds(pal_fact_t *facts, int32_t count, int32_t folds, pal_rng_t *rng,
                   pal_error_t *err);

#endif
