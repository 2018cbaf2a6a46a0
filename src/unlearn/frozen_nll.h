/* frozen_nll.h -- the summed NLL of every example under the frozen model, computed
 * once.
 *
 * NPO and its kin compare a sequence with itself before unlearning: n_b(theta) with
 * n_b(theta_0). The latter never changes, so it is kept by example number: from the
 * second epoch on the frozen model costs nothing.
 */
#ifndef PAL_UNLEARN_FROZEN_NLL_H
#define PAL_UNLEARN_FROZEN_NLL_H

#include "unlearn/method.h"

typedef struct {
    int32_t examples, sequences;
    double *known; /* (examples) summed NLL in nats; NaN: not seen yet */
    double *n;     /* (sequences) of one batch */
} pal_frozen_nll_t;

/* For batches of this stream, or of another of the same corpus and at most as many
 * sequences. An example must come with the same weights every time. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_frozen_nll_init(pal_frozen_nll_t *cache, const pal_stream_t *stream,
                        pal_error_t *err);
void pal_frozen_nll_free(pal_frozen_nll_t *cache); /* a zeroed one is fine */

/* *n is (B), one per sequence of the batch, valid until the next call. One forward of
 * run->frozen with run->start if the batch has an example not seen before, none
 * otherwise. Returns what that forward returned. No allocation. */
PAL_MUST_CHECK
int pal_frozen_nll(pal_frozen_nll_t *cache, const pal_unlearning_t *run,
                   const pal_batch_t *batch, const double **n, pal_error_t *err);

#endif
