#include "model/edit.h"

#include <math.h>

#include "kernel/rows.h"
#include "kernel/vector.h"
#include "model/activations.h"

static int check_delta(const pal_edit_t *edit, int32_t tokens, pal_error_t *err)
{
    if (edit->rows != 1 && edit->rows != tokens)
        return PAL_FAIL(err, PAL_EINVAL,
                        "a delta of %d rows; it must have 1, or one for each of the "
                        "%d tokens",
                        (int)edit->rows, (int)tokens);
    return PAL_OK;
}

static int check_direction(const pal_edit_t *edit, int32_t width, pal_error_t *err)
{
    const double length = sqrt(pal_norm_squared(edit->values, width));

    if (!(fabs(length - 1.0) <= 1e-4))
        return PAL_FAIL(err, PAL_EINVAL, "a direction of length %g; it must be 1",
                        length);
    return PAL_OK;
}

static int check_gate(const pal_edit_t *edit, int32_t tokens, pal_error_t *err)
{
    for (int32_t t = 0; t < tokens; t++)
        if (!isfinite(edit->values[t]))
            return PAL_FAIL(err, PAL_EINVAL,
                            "a gate that is %g at token %d; it must be finite",
                            (double)edit->values[t], (int)t);
    return PAL_OK;
}

static int check_edit(const pal_edit_t *edit, const pal_shape_t *shape, int32_t tokens,
                      pal_error_t *err)
{
    if (edit->layer < -1 || edit->layer >= shape->layers)
        return PAL_FAIL(err, PAL_EINVAL, "layer %d; it must be -1 to %d",
                        (int)edit->layer, (int)shape->layers - 1);
    if (!edit->values)
        return PAL_FAIL(err, PAL_EINVAL, "no values");
    switch (edit->kind) {
    case PAL_EDIT_ADD:
        return check_delta(edit, tokens, err);
    case PAL_EDIT_PROJECT:
        return check_direction(edit, shape->width, err);
    case PAL_EDIT_GATE:
        return check_gate(edit, tokens, err);
    }
    return PAL_FAIL(err, PAL_EINVAL, "no edit is of kind %d", (int)edit->kind);
}

int pal_edits_check(const pal_edit_t *edits, int32_t count, const pal_shape_t *shape,
                    int32_t tokens, pal_error_t *err)
{
    for (int32_t i = 0; i < count; i++) {
        int rc = check_edit(&edits[i], shape, tokens, err);

        if (rc != PAL_OK)
            return pal_context(err, rc, "edit %d", (int)i);
    }
    return PAL_OK;
}

void pal_edits_forward(pal_pass_t *pass, int32_t layer)
{
    const int32_t n = pass->tokens, c = pass->layout->shape.width;
    float *h = pass->residual[layer + 1];

    for (int32_t i = 0; i < pass->edit_count; i++) {
        const pal_edit_t *edit = &pass->edits[i];

        if (edit->layer != layer)
            continue;
        if (edit->kind == PAL_EDIT_PROJECT)
            pal_rows_project(h, edit->values, n, c);
        else if (edit->kind == PAL_EDIT_ADD && edit->rows == n)
            pal_add(h, edit->values, (int64_t)n * c);
        else if (edit->kind == PAL_EDIT_ADD)
            pal_rows_increase(h, edit->values, n, c);
    }
}

void pal_edits_backward(pal_pass_t *pass, int32_t layer)
{
    const int32_t n = pass->tokens, c = pass->layout->shape.width;
    float *dh = pass->dresidual;

    for (int32_t i = pass->edit_count - 1; i >= 0; i--) {
        const pal_edit_t *edit = &pass->edits[i];

        if (edit->layer != layer)
            continue;
        if (edit->kind == PAL_EDIT_PROJECT) /* which is symmetric */
            pal_rows_project(dh, edit->values, n, c);
        else if (edit->kind == PAL_EDIT_GATE)
            pal_rows_scale(dh, edit->values, n, c);
        else if (edit->grad && edit->rows == n)
            pal_add(edit->grad, dh, (int64_t)n * c);
        else if (edit->grad)
            pal_rows_sum(edit->grad, dh, n, c);
    }
}

int32_t pal_edits_lowest(const pal_pass_t *pass)
{
    int32_t lowest = pass->layout->shape.layers;

    for (int32_t i = 0; i < pass->edit_count; i++) {
        const pal_edit_t *edit = &pass->edits[i];

        if (edit->kind == PAL_EDIT_ADD && edit->grad && edit->layer < lowest)
            lowest = edit->layer;
    }
    return lowest;
}
