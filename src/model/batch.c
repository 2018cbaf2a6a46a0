#include "model/batch.h"

#include <math.h>

int32_t pal_batch_tokens(const pal_batch_t *batch)
{
    return batch->offsets[batch->sequences];
}

int pal_batch_whole(const pal_batch_t *batch)
{
    return !batch->stems && batch->ends == 0;
}

int32_t pal_batch_start(const pal_batch_t *batch, int32_t b)
{
    return batch->starts ? batch->starts[b] : 0;
}

static int32_t text_length(const pal_batch_t *batch, int32_t b)
{
    return pal_batch_start(batch, b) + batch->offsets[b + 1] - batch->offsets[b];
}

int32_t pal_batch_text(const pal_batch_t *batch, int32_t b, int32_t *places)
{
    const int32_t length = text_length(batch, b);

    for (int32_t end = length;; b = batch->stems[b]) {
        const int32_t start = pal_batch_start(batch, b);

        for (int32_t i = start; i < end; i++)
            places[i] = batch->offsets[b] + i - start;
        if (start == 0)
            return length;
        end = start < end ? start : end;
    }
}

int32_t pal_batch_before(const pal_batch_t *batch, int32_t b)
{
    const int32_t last = batch->starts[b] - 1;

    do
        b = batch->stems[b];
    while (batch->starts[b] > last);
    return batch->offsets[b] + last - batch->starts[b];
}

static int check_stem(const pal_batch_t *batch, int32_t b, pal_error_t *err)
{
    const int32_t stem = batch->stems ? batch->stems[b] : -1;

    if (stem == -1 && pal_batch_start(batch, b) == 0)
        return PAL_OK;
    if (stem < 0 || stem >= b)
        return PAL_FAIL(err, PAL_EINVAL, "sequence %d: sequence %d cannot be its stem",
                        (int)b, (int)stem);
    if (batch->starts[b] < 1 || batch->starts[b] > text_length(batch, stem))
        return PAL_FAIL(err, PAL_EINVAL,
                        "sequence %d begins with %d tokens of sequence %d, which has 1 "
                        "to %d",
                        (int)b, (int)batch->starts[b], (int)stem,
                        (int)text_length(batch, stem));
    return PAL_OK;
}

/* `what` and number say whose token it is. */
static int check_token(const pal_shape_t *shape, const pal_batch_t *batch, int32_t t,
                       const char *what, int32_t number, pal_error_t *err)
{
    if (batch->tokens[t] < 0 || batch->tokens[t] >= shape->vocab)
        return PAL_FAIL(err, PAL_EINVAL, "%s %d: token id %d is outside 0 to %d", what,
                        (int)number, (int)batch->tokens[t], (int)shape->vocab - 1);
    if (!(batch->weights[t] >= 0.0f && batch->weights[t] < HUGE_VALF))
        return PAL_FAIL(err, PAL_EINVAL,
                        "%s %d: a weight is %g; it must be finite and >= 0", what,
                        (int)number, (double)batch->weights[t]);
    return PAL_OK;
}

static int check_sequence(const pal_shape_t *shape, const pal_batch_t *batch, int32_t b,
                          pal_error_t *err)
{
    const int32_t start = batch->offsets[b], end = batch->offsets[b + 1];
    int rc = check_stem(batch, b, err);

    if (rc != PAL_OK)
        return rc;
    if (end <= start)
        return PAL_FAIL(err, PAL_EINVAL, "sequence %d is empty (offsets %d to %d)",
                        (int)b, (int)start, (int)end);
    if (text_length(batch, b) > shape->context)
        return PAL_FAIL(err, PAL_EINVAL,
                        "sequence %d has %d tokens; the model's context is %d", (int)b,
                        (int)text_length(batch, b), (int)shape->context);
    if (pal_batch_start(batch, b) == 0 && batch->weights[start] != 0.0f)
        return PAL_FAIL(err, PAL_EINVAL,
                        "sequence %d: its first token has weight %g; nothing predicts "
                        "it, so it must be 0",
                        (int)b, (double)batch->weights[start]);
    for (int32_t t = start; t < end && rc == PAL_OK; t++)
        rc = check_token(shape, batch, t, "sequence", b, err);
    return rc;
}

static int check_ends(const pal_shape_t *shape, const pal_batch_t *batch,
                      pal_error_t *err)
{
    const int32_t n = pal_batch_tokens(batch);
    int rc = PAL_OK;

    for (int32_t e = 0; e < batch->ends && rc == PAL_OK; e++) {
        rc = check_token(shape, batch, n + e, "end", e, err);
        if (rc == PAL_OK && (batch->before[e] < 0 || batch->before[e] >= n))
            rc = PAL_FAIL(err, PAL_EINVAL,
                          "end %d comes after place %d; the batch has 0 to %d", (int)e,
                          (int)batch->before[e], (int)n - 1);
    }
    return rc;
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
    return check_ends(shape, batch, err);
}

int32_t pal_batch_targets(const pal_batch_t *batch)
{
    int32_t targets = 0;

    for (int32_t t = 0; t < pal_batch_tokens(batch) + batch->ends; t++)
        targets += batch->weights[t] > 0.0f;
    return targets;
}
