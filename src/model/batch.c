#include "model/batch.h"

#include <math.h>

int32_t pal_batch_stem(const pal_batch_t *batch, int32_t b)
{
    const int32_t stem = batch->stems ? batch->stems[b] : -1;

    return stem < 0 ? 0 : batch->offsets[stem + 1] - batch->offsets[stem];
}

static int check_sequence(const pal_shape_t *shape, const pal_batch_t *batch, int32_t b,
                          pal_error_t *err)
{
    const int32_t start = batch->offsets[b], end = batch->offsets[b + 1];
    int32_t stem;

    if (batch->stems && batch->stems[b] >= 0 &&
        (batch->stems[b] >= b || batch->stems[batch->stems[b]] >= 0))
        return PAL_FAIL(err, PAL_EINVAL, "sequence %d: sequence %d cannot be its stem",
                        (int)b, (int)batch->stems[b]);
    stem = pal_batch_stem(batch, b);
    if (end <= start)
        return PAL_FAIL(err, PAL_EINVAL, "sequence %d is empty (offsets %d to %d)",
                        (int)b, (int)start, (int)end);
    if (stem + end - start > shape->context)
        return PAL_FAIL(err, PAL_EINVAL,
                        "sequence %d has %d tokens; the model's context is %d", (int)b,
                        (int)(stem + end - start), (int)shape->context);
    if (stem == 0 && batch->weights[start] != 0.0f)
        return PAL_FAIL(err, PAL_EINVAL,
                        "sequence %d: its first token has weight %g; nothing predicts "
                        "it, so it must be 0",
                        (int)b, (double)batch->weights[start]);
    for (int32_t t = start; t < end; t++) {
        if (batch->tokens[t] < 0 || batch->tokens[t] >= shape->vocab)
            return PAL_FAIL(err, PAL_EINVAL,
                            "sequence %d: token id %d is outside 0 to %d", (int)b,
                            (int)batch->tokens[t], (int)shape->vocab - 1);
        if (!(batch->weights[t] >= 0.0f && batch->weights[t] < HUGE_VALF))
            return PAL_FAIL(err, PAL_EINVAL,
                            "sequence %d: a weight is %g; it must be finite and >= 0",
                            (int)b, (double)batch->weights[t]);
    }
    return PAL_OK;
}

int pal_batch_check(const pal_batch_t *batch, const pal_shape_t *shape,
                    pal_error_t *err)
{
    if (batch->sequences < 1)
        return PAL_FAIL(err, PAL_EINVAL, "empty batch (%d sequences)",
                        (int)batch->sequences);
    if (batch->offsets[0] != 0)
        return PAL_FAIL(err, PAL_EINVAL, "the batch starts at offset %d, not at 0",
                        (int)batch->offsets[0]);
    for (int32_t b = 0; b < batch->sequences; b++) {
        int rc = check_sequence(shape, batch, b, err);

        if (rc != PAL_OK)
            return rc;
    }
    return PAL_OK;
}

int32_t pal_batch_rows(const pal_batch_t *batch)
{
    int32_t rows = 0;

    for (int32_t t = 0; t < batch->offsets[batch->sequences]; t++)
        rows += batch->weights[t] > 0.0f;
    return rows;
}
