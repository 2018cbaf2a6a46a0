#include "unlearn/frozen_nll.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/loss.h"

int pal_frozen_nll_init(pal_frozen_nll_t *cache, const pal_stream_t *stream,
                        pal_error_t *err)
{
    pal_frozen_nll_t made = {.examples = pal_stream_corpus(stream)->count,
                             .sequences = pal_stream_sequences(stream)};

    made.known = malloc((size_t)made.examples * sizeof *made.known);
    made.n = malloc((size_t)made.sequences * sizeof *made.n);
    if (!made.known || !made.n) {
        pal_frozen_nll_free(&made);
        return PAL_FAIL(err, PAL_ENOMEM, "a number for each of %d examples",
                        made.examples);
    }
    for (int32_t i = 0; i < made.examples; i++)
        made.known[i] = NAN;
    *cache = made;
    return PAL_OK;
}

void pal_frozen_nll_free(pal_frozen_nll_t *cache)
{
    free(cache->known);
    free(cache->n);
    memset(cache, 0, sizeof *cache);
}

static int all_known(const pal_frozen_nll_t *cache, const pal_batch_t *batch)
{
    for (int32_t b = 0; b < batch->sequences; b++)
        if (isnan(cache->known[batch->ids[b]]))
            return 0;
    return 1;
}

int pal_frozen_nll(pal_frozen_nll_t *cache, const pal_unlearning_t *run,
                   const pal_batch_t *batch, const double **n, pal_error_t *err)
{
    if (!batch->ids)
        return PAL_FAIL(err, PAL_EINVAL, "a batch without ids has no cached NLL");
    if (!all_known(cache, batch)) {
        int rc = pal_forward(run->frozen, run->start, batch, PAL_ALL_LAYERS, err);

        if (rc != PAL_OK)
            return rc;
        pal_loss_nll_sequences(run->frozen, cache->n, NULL);
        for (int32_t b = 0; b < batch->sequences; b++)
            if (isnan(cache->known[batch->ids[b]]))
                cache->known[batch->ids[b]] = cache->n[b];
    }
    for (int32_t b = 0; b < batch->sequences; b++)
        cache->n[b] = cache->known[batch->ids[b]];
    *n = cache->n;
    return PAL_OK;
}
