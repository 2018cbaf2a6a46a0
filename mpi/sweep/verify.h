/* verify.h -- compute rows of a results file again and compare the bits.
 *
 * On the same kind of machine they must be equal: what a row says does not depend on
 * the number of ranks, on the order of the work or on kills.
 */
#ifndef PAL_SWEEP_VERIFY_H
#define PAL_SWEEP_VERIFY_H

#include "store/store.h"

typedef struct {
    int32_t rows;      /* rows of /base, /unlearned and /trials computed again */
    int32_t different; /* of them */
} pal_verify_t;

/* Called for each row after it was compared: "trial 17 (method=gd ...): the same" or
 * "...: v_after differs". */
typedef void (*pal_verify_say_t)(void *ctx, const char *text);

/* Choose `trials` done trials at random (stream "verify" of the plan's key and seed;
 * all if there are fewer), compute them and the models they stand on from the config in
 * the file, compare. PAL_EINVAL: a row is damaged, the file has no done trial, or its
 * config no longer gives its plan (a facts file that changed). Otherwise as
 * pal_store_view(), pal_plan_create() and the stages. */
PAL_MUST_CHECK
int pal_verify(const char *path, int32_t trials, int64_t seed, pal_verify_say_t say,
               void *ctx, pal_verify_t *result, pal_error_t *err);

#endif
