/* Edits of the residual stream: the whole model with edits against the reference, its
 * gradients and those of the deltas against finite differences.
 *
 * What a gate lets through is told from what it stops by a reference that mixes the
 * stream with the one at the starting weights, m h + (1 - m) h0: its slope at the start
 * is the gated gradient. */
#include "difference.h"
#include "kernel/rows.h"
#include "model/edit.h"
#include "model/reference.h"

enum { WIDTH = 12, STREAM = SAMPLE_TOKENS * WIDTH, MOST_EDITS = 5 };

typedef struct {
    sample_t *s;
    pal_reference_t r;
    const pal_edit_t *edits;
    int32_t count;
    double held[MOST_EDITS][STREAM]; /* what each gate saw at the start */
    int holding;
    double exact_target[STREAM];
    float target[STREAM];
    float row[WIDTH], rows[STREAM], direction[WIDTH], other[WIDTH];
    float gate[SAMPLE_TOKENS];
    float row_grad[WIDTH], rows_grad[STREAM];
} edited_t;

static double wave(size_t i)
{
    return sin(1.7 * (double)i + 0.3);
}

static void make_unit(float *d, size_t from)
{
    double square = 0.0;

    for (size_t i = 0; i < WIDTH; i++)
        square += wave(from + i) * wave(from + i);
    for (size_t i = 0; i < WIDTH; i++)
        d[i] = (float)(wave(from + i) / sqrt(square));
}

static void naive_edit(edited_t *e, int32_t i, double *h)
{
    const pal_edit_t *edit = &e->edits[i];
    double d[WIDTH];

    for (int32_t c = 0; edit->kind == PAL_EDIT_PROJECT && c < WIDTH; c++)
        d[c] = (double)edit->values[c];
    if (edit->kind == PAL_EDIT_PROJECT)
        pal_rows_project_ref(h, d, SAMPLE_TOKENS, WIDTH);
    for (int32_t j = 0; j < STREAM; j++) {
        if (edit->kind == PAL_EDIT_ADD)
            h[j] += (double)edit->values[edit->rows == 1 ? j % WIDTH : j];
        if (edit->kind == PAL_EDIT_GATE) {
            const double m = (double)edit->values[j / WIDTH];

            if (e->holding)
                e->held[i][j] = h[j];
            h[j] = m * h[j] + (1.0 - m) * e->held[i][j];
        }
    }
}

static void naive_edits(void *ctx, double *h, int32_t layer)
{
    edited_t *e = ctx;

    for (int32_t i = 0; i < e->count; i++)
        if (e->edits[i].layer == layer)
            naive_edit(e, i, h);
}

/* 0.5 NLL + 1.5 MSE of the stream after block 1. */
static double exact_value(void *ctx, const double *weights)
{
    edited_t *e = ctx;
    const pal_layout_t *layout = e->s->layout;

    pal_reference_forward(&e->r, layout, weights, &e->s->batch);
    return 0.5 * pal_reference_nll(&e->r, layout, &e->s->batch) +
           1.5 * pal_reference_residual_mse(&e->r, layout, &e->s->batch, 1,
                                            e->exact_target, 0);
}

static double fast_value(edited_t *e)
{
    return 0.5 * pal_loss_nll(e->s->pass, 0.5) +
           1.5 * pal_loss_residual_mse(e->s->pass, 1, e->target, 0, 1.5);
}

static void forward(edited_t *e, int32_t upto)
{
    sample_t *s = e->s;

    assert_int_equal(pal_forward_edited(s->pass, s->weights, &s->batch, upto, e->edits,
                                        e->count, &s->err),
                     PAL_OK);
}

static void backward(edited_t *e, const uint8_t *train)
{
    memset(e->s->grad, 0, e->s->count * sizeof *e->s->grad);
    memset(e->row_grad, 0, sizeof e->row_grad);
    memset(e->rows_grad, 0, sizeof e->rows_grad);
    pal_backward(e->s->pass, e->s->weights, train, e->s->grad);
}

static int edited_create(void **state)
{
    edited_t *e = calloc(1, sizeof *e);

    assert_non_null(e);
    e->s = *state;
    assert_int_equal(sample_create((void **)&e->s), 0);
    assert_int_equal(e->s->layout->shape.width, WIDTH);
    assert_int_equal(
        pal_reference_create(e->s->layout, SAMPLE_TOKENS, &e->r, &e->s->err), PAL_OK);
    e->r.tap = naive_edits;
    e->r.ctx = e;
    for (size_t i = 0; i < STREAM; i++) {
        e->target[i] = (float)wave(i);
        e->exact_target[i] = (double)e->target[i];
        e->rows[i] = 0.5f * (float)wave(i + 100);
        e->row[i % WIDTH] = 0.5f * (float)wave(i % WIDTH + 400);
        e->gate[i / WIDTH] = (float)wave(i / WIDTH + 500);
    }
    make_unit(e->direction, 600);
    make_unit(e->other, 700);
    *state = e;
    return 0;
}

static int edited_destroy(void **state)
{
    edited_t *e = *state;

    pal_reference_destroy(&e->r);
    assert_int_equal(sample_destroy((void **)&e->s), 0);
    free(e);
    return 0;
}

/* Steps of a float: the one really taken is what the difference is divided by. */
static void check_delta(edited_t *e, double *weights, const char *name, float *delta,
                        const float *grad, size_t n)
{
    double most = 0.0;

    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)grad[i]));
    assert_true(most > 0.0);
    for (size_t i = 0; i < n; i += 5) {
        const float kept = delta[i], above = kept + 0x1p-11f, below = kept - 0x1p-11f;
        double up, down, exact;

        delta[i] = above;
        up = exact_value(e, weights);
        delta[i] = below;
        down = exact_value(e, weights);
        delta[i] = kept;
        exact = (up - down) / ((double)above - (double)below);
        if (!(fabs((double)grad[i] - exact) <= 2e-5 * most + 1e-7))
            fail_msg("%s: delta[%zu] is %g, not %g", name, i, (double)grad[i], exact);
    }
}

/* Terms of a sum round in proportion to themselves, not to what is left of them. */
static void check_stream(const float *fast, const double *exact)
{
    double most = 0.0;

    for (size_t i = 0; i < STREAM; i++)
        most = fmax(most, fabs(exact[i]));
    for (size_t i = 0; i < STREAM; i++)
        assert_true(fabs((double)fast[i] - exact[i]) <= 1e-5 * most);
}

static void check_all(edited_t *e, const char *name, const pal_edit_t *edits,
                      int32_t count)
{
    sample_t *s = e->s;
    double *weights = sample_exact(s), exact, value;

    e->edits = edits;
    e->count = count;
    e->holding = 1;
    exact = exact_value(e, weights);
    e->holding = 0;
    forward(e, PAL_ALL_LAYERS);
    for (int32_t l = -1; l < s->layout->shape.layers; l++)
        check_stream(pal_pass_residual(s->pass, l),
                     e->r.residual + (size_t)(l + 1) * STREAM);
    value = fast_value(e);
    assert_true(fabs(value - exact) <= 1e-5 * (1.0 + fabs(exact)));
    backward(e, NULL);
    assert_differences(s, name, exact_value, e);
    for (int32_t i = 0; i < count; i++)
        if (edits[i].grad == e->row_grad)
            check_delta(e, weights, name, e->row, e->row_grad, WIDTH);
        else if (edits[i].grad == e->rows_grad)
            check_delta(e, weights, name, e->rows, e->rows_grad, STREAM);
    free(weights);
}

#define ADD_ROW(l)                                                                     \
    {                                                                                  \
        PAL_EDIT_ADD, l, 1, e->row, e->row_grad                                        \
    }
#define ADD_ROWS(l)                                                                    \
    {                                                                                  \
        PAL_EDIT_ADD, l, SAMPLE_TOKENS, e->rows, e->rows_grad                          \
    }
#define PROJECT(l, d)                                                                  \
    {                                                                                  \
        PAL_EDIT_PROJECT, l, 0, d, NULL                                                \
    }
#define GATE(l)                                                                        \
    {                                                                                  \
        PAL_EDIT_GATE, l, 0, e->gate, NULL                                             \
    }

static void each_kind_at_each_layer(void **state)
{
    edited_t *e = *state;

    for (int32_t l = -1; l < e->s->layout->shape.layers; l++) {
        const pal_edit_t add_row = ADD_ROW(l), add_rows = ADD_ROWS(l);
        const pal_edit_t project = PROJECT(l, e->direction), gate = GATE(l);

        check_all(e, "add a row", &add_row, 1);
        check_all(e, "add rows", &add_rows, 1);
        check_all(e, "project", &project, 1);
        check_all(e, "gate", &gate, 1);
    }
}

/* At one tap, in both orders, and with another at another layer. */
static void several_act_in_order(void **state)
{
    edited_t *e = *state;
    const pal_edit_t one_way[] = {ADD_ROW(1), PROJECT(1, e->direction), GATE(1),
                                  PROJECT(1, e->other), ADD_ROWS(-1)};
    const pal_edit_t other_way[] = {PROJECT(1, e->other), GATE(1), GATE(0),
                                    PROJECT(1, e->direction), ADD_ROW(1)};

    check_all(e, "one way", one_way, 5);
    check_all(e, "the other way", other_way, 5);
}

/* Projected out means gone. */
static void a_direction_is_gone(void **state)
{
    edited_t *e = *state;
    const pal_edit_t edit = PROJECT(1, e->direction);

    e->edits = &edit;
    e->count = 1;
    forward(e, 2);
    for (int32_t t = 0; t < SAMPLE_TOKENS; t++) {
        const float *h = pal_pass_residual(e->s->pass, 1) + t * WIDTH;
        double along = 0.0;

        for (int32_t c = 0; c < WIDTH; c++)
            along += (double)h[c] * (double)e->direction[c];
        assert_true(fabs(along) < 1e-5);
    }
}

/* Open, a gate is not there, bit for bit; closed, nothing passes; neither shows in the
 * forward pass. */
static void gates_open_and_closed(void **state)
{
    edited_t *e = *state;
    sample_t *s = e->s;
    const int32_t vocab = s->layout->shape.vocab;
    const pal_edit_t gate = GATE(1);
    float *full, *logits;

    e->count = 0;
    forward(e, PAL_ALL_LAYERS);
    (void)fast_value(e);
    backward(e, NULL);
    full = sample_copy(s->grad, s->count);
    logits = sample_copy(pal_pass_logits(s->pass), (size_t)SAMPLE_ROWS * (size_t)vocab);
    e->edits = &gate;
    e->count = 1;
    for (int open = 1; open >= 0; open--) {
        for (int32_t t = 0; t < SAMPLE_TOKENS; t++)
            e->gate[t] = (float)open;
        forward(e, PAL_ALL_LAYERS);
        assert_memory_equal(pal_pass_logits(s->pass), logits,
                            (size_t)SAMPLE_ROWS * (size_t)vocab * sizeof *logits);
        (void)fast_value(e);
        backward(e, NULL);
        for (int32_t k = 0; k < s->layout->slice_count; k++) {
            const pal_slice_t *slice = &s->layout->slices[k];

            for (int64_t i = slice->offset; i < slice->offset + slice->size; i++)
                if (open || slice->layer > 1 || slice->kind >= PAL_FINAL_NORM)
                    assert_true(s->grad[i] == full[i]);
                else if (slice->kind != PAL_TOKEN_EMBEDDING) /* also the output */
                    assert_true(s->grad[i] == 0.0f);
        }
    }
    free(full);
    free(logits);
}

/* Without a slice that trains, and without a gradient buffer, a delta gets the bits it
 * gets with all of them. */
static void a_delta_trains_alone(void **state)
{
    edited_t *e = *state;
    uint8_t *none = calloc((size_t)e->s->layout->slice_count, 1);

    assert_non_null(none);
    for (int32_t l = -1; l < e->s->layout->shape.layers; l++) {
        const pal_edit_t edits[] = {ADD_ROW(l), GATE(1), ADD_ROWS(l)};
        float row[WIDTH], rows[STREAM];

        e->edits = edits;
        e->count = 3;
        forward(e, PAL_ALL_LAYERS);
        (void)fast_value(e);
        backward(e, NULL);
        memcpy(row, e->row_grad, sizeof row);
        memcpy(rows, e->rows_grad, sizeof rows);
        memset(e->row_grad, 0, sizeof e->row_grad);
        memset(e->rows_grad, 0, sizeof e->rows_grad);
        forward(e, PAL_ALL_LAYERS);
        (void)fast_value(e);
        pal_backward(e->s->pass, e->s->weights, none, NULL);
        assert_memory_equal(row, e->row_grad, sizeof row);
        assert_memory_equal(rows, e->rows_grad, sizeof rows);
    }
    free(none);
}

/* A seed where the delta is: no weight is needed, and a descent that went on would read
 * through NULL. */
static void the_descent_ends_at_the_lowest_delta(void **state)
{
    edited_t *e = *state;
    uint8_t *none = calloc((size_t)e->s->layout->slice_count, 1);

    assert_non_null(none);
    for (int32_t l = -1; l < e->s->layout->shape.layers; l++) {
        const pal_edit_t edit = ADD_ROW(l);
        double sum = 0.0;

        e->edits = &edit;
        e->count = 1;
        forward(e, l + 1);
        (void)pal_loss_residual_mse(e->s->pass, l, e->target, 0, 1.0);
        memset(e->row_grad, 0, sizeof e->row_grad);
        pal_backward(e->s->pass, NULL, none, NULL);
        for (int32_t c = 0; c < WIDTH; c++)
            sum += fabs((double)e->row_grad[c]);
        assert_true(sum > 0.0);
    }
    free(none);
}

/* Truncated forward: what lies above does not act, nor does it train. */
static void edits_above_the_top_wait(void **state)
{
    edited_t *e = *state;
    const pal_edit_t edits[] = {ADD_ROW(1), ADD_ROWS(2)};
    float *before;

    e->count = 0;
    forward(e, 1);
    before = sample_copy(pal_pass_residual(e->s->pass, 0), STREAM);
    e->edits = edits;
    e->count = 2;
    forward(e, 1);
    assert_memory_equal(before, pal_pass_residual(e->s->pass, 0),
                        STREAM * sizeof *before);
    (void)pal_loss_residual_mse(e->s->pass, 0, e->target, 0, 1.0);
    backward(e, NULL);
    for (int32_t i = 0; i < STREAM; i++)
        assert_true(e->rows_grad[i] == 0.0f && e->row_grad[i % WIDTH] == 0.0f);
    free(before);
}

static void edits_end_with_their_pass(void **state)
{
    edited_t *e = *state;
    const pal_edit_t edit = ADD_ROW(0);
    float *before;

    sample_forward(e->s);
    before = sample_copy(pal_pass_residual(e->s->pass, 2), STREAM);
    e->edits = &edit;
    e->count = 1;
    forward(e, PAL_ALL_LAYERS);
    assert_memory_not_equal(before, pal_pass_residual(e->s->pass, 2),
                            STREAM * sizeof *before);
    sample_forward(e->s);
    assert_memory_equal(before, pal_pass_residual(e->s->pass, 2),
                        STREAM * sizeof *before);
    free(before);
}

static void bad_edits_are_refused(void **state)
{
    edited_t *e = *state;
    sample_t *s = e->s;
    const struct {
        pal_edit_t edit;
        const char *message;
    } bad[] = {
        {ADD_ROW(3), "edit 1: "},
        {ADD_ROW(3), "layer 3; it must be -1 to 2"},
        {ADD_ROW(-2), "layer -2; it must be -1 to 2"},
        {{PAL_EDIT_ADD, 0, 7, e->rows, NULL}, "delta of 7 rows; it must have 1"},
        {{PAL_EDIT_ADD, 0, 0, e->rows, NULL}, "delta of 0 rows; it must have 1"},
        {{PAL_EDIT_PROJECT, 0, 0, e->row, NULL}, "a direction of length 1."},
        {{PAL_EDIT_PROJECT, 0, 0, e->rows_grad, NULL}, "a direction of length 0;"},
        {{PAL_EDIT_PROJECT, 0, 0, e->other, NULL}, "a direction of length nan;"},
        {{PAL_EDIT_GATE, 0, 0, e->gate, NULL}, "a gate that is inf at token 3"},
        {{PAL_EDIT_ADD, 0, 1, NULL, NULL}, "no values"},
        {{(pal_edit_kind_t)3, 0, 1, e->row, NULL}, "no edit is of kind 3"},
    };
    float *before;

    e->other[2] = NAN;
    e->gate[3] = INFINITY;
    sample_forward(s);
    before = sample_copy(pal_pass_residual(s->pass, 2), STREAM);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const pal_edit_t edits[] = {ADD_ROW(0), bad[i].edit};

        assert_int_equal(pal_forward_edited(s->pass, s->weights, &s->batch,
                                            PAL_ALL_LAYERS, edits, 2, &s->err),
                         PAL_EINVAL);
        if (!strstr(s->err.text, bad[i].message))
            fail_msg("'%s' does not say '%s'", s->err.text, bad[i].message);
    }
    assert_memory_equal(before, pal_pass_residual(s->pass, 2), STREAM * sizeof *before);
    free(before);
}

/* A NaN in a delta is a diverged run: it shows in the loss. */
static void a_nan_delta_gives_a_nan_loss(void **state)
{
    edited_t *e = *state;
    const pal_edit_t edit = ADD_ROW(0);

    e->row[4] = NAN;
    e->edits = &edit;
    e->count = 1;
    forward(e, PAL_ALL_LAYERS);
    assert_true(isnan(fast_value(e)));
    backward(e, NULL);
    assert_true(isnan(e->row_grad[0]));
}

#define OF(f, style)                                                                   \
    {                                                                                  \
#f ", " #style, f, edited_create, edited_destroy, (void *)&sample_##style      \
    }
#define TEST(f) OF(f, gpt2), OF(f, llama)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_kind_at_each_layer),  TEST(several_act_in_order),
        TEST(a_direction_is_gone),      TEST(gates_open_and_closed),
        TEST(a_delta_trains_alone),     TEST(the_descent_ends_at_the_lowest_delta),
        TEST(edits_above_the_top_wait), TEST(edits_end_with_their_pass),
        TEST(bad_edits_are_refused),    TEST(a_nan_delta_gives_a_nan_loss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
