/* plan_text.h -- specs as "key=value ..." lines, in the plan's arena; NULL: out of
 * memory. */
#ifndef PAL_MPI_PLAN_PLAN_TEXT_H
#define PAL_MPI_PLAN_PLAN_TEXT_H

#include "plan/plan.h"

/* "kind=synthetic facts=300 ..." */
char *pal_plan_world_text(pal_plan_t *plan, const pal_world_spec_t *spec);
/* "attack=finetune lr=0.001 ..." */
char *pal_plan_attack_text(pal_plan_t *plan, const pal_attack_spec_t *spec);

#endif
