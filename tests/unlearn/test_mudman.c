/* The step of MUDMAN against its formulas, written out entry by entry: the adversary
 * and the retain gradient are followed over steps that fork, go on and fork again. */
#include "fixture.h"

extern const pal_method_t pal_method_mudman;

enum { FORK = 2, STEPS = 4 };

static const double momentum = 0.75, adversary_lr = 0.5;

static void begin(fixture_t *f, const char *loss)
{
    const pal_method_t *mudman = &pal_method_mudman;

    pal_param_defaults(mudman->params, f->state);
    set(mudman->params, f->state, "fork", FORK);
    set(mudman->params, f->state, "momentum", momentum);
    set(mudman->params, f->state, "adversary_lr", adversary_lr);
    assert_int_equal(
        pal_param_set(pal_param_find(mudman->params, "loss"), f->state, loss, NULL),
        PAL_OK);
    assert_int_equal(mudman->begin(f->state, &f->run, &f->err), PAL_OK);
}

typedef double (*loss_t)(pal_pass_t *pass, double scale);

/* The gradient of scale * loss, from a forward pass of its own; scale * loss. */
static double gradient(fixture_t *f, const float *weights, const pal_batch_t *batch,
                       loss_t loss, double scale, float *grad)
{
    double value;

    memset(grad, 0, weight_bytes(f));
    assert_int_equal(
        pal_forward(f->run.frozen, weights, batch, PAL_ALL_LAYERS, &f->err), PAL_OK);
    value = scale * loss(f->run.frozen, scale);
    pal_backward(f->run.frozen, weights, NULL, grad);
    return value;
}

typedef struct {
    float *adversary, *retain, *grad;
    pal_stream_t *forget_text, *retain_text;
} hand_t;

/* f->right, the adversary's next weights; the loss. */
static double by_hand(fixture_t *f, hand_t *h, int64_t step, const float *weights,
                      loss_t unlearning)
{
    const pal_batch_t *forget = pal_stream_next(h->forget_text);
    double square = 0, loss;

    if (step % FORK == 0)
        memcpy(h->adversary, weights, weight_bytes(f));
    loss =
        gradient(f, weights, pal_stream_next(h->retain_text), pal_loss_nll, 1, h->grad);
    for (int64_t i = 0; i < f->layout->count; i++)
        h->retain[i] = (float)(momentum * h->retain[i] + (1 - momentum) * h->grad[i]);
    loss +=
        f->run.coefficient * gradient(f, h->adversary, forget, unlearning, -1, h->grad);
    for (int64_t i = 0; i < f->layout->count; i++)
        square += (double)h->grad[i] * h->grad[i];
    for (int64_t i = 0; i < f->layout->count; i++) {
        double unit = h->grad[i] / sqrt(square), r = h->retain[i];

        f->right[i] = (float)(r + (unit * r > 0 ? f->run.coefficient * unit : 0));
    }
    (void)gradient(f, h->adversary, forget, pal_loss_nll, 1, h->grad);
    for (int64_t i = 0; i < f->layout->count; i++)
        h->adversary[i] -= (float)adversary_lr * h->grad[i];
    return loss;
}

static void check(fixture_t *f, const char *name, loss_t unlearning)
{
    hand_t h = {buffer(f), buffer(f), buffer(f), NULL, NULL};

    open_streams(f, 4);
    h.forget_text = f->run.forget;
    h.retain_text = f->run.retain;
    f->run.forget = f->run.retain = NULL;
    open_streams(f, 4);
    begin(f, name);
    for (int64_t step = 0; step < STEPS; step++) {
        const float *weights = step % 2 ? f->start : f->weights;
        double right = by_hand(f, &h, step, weights, unlearning);
        double loss = method_step(f, &pal_method_mudman, step, weights);

        if (fabs(loss - right) > 1e-5 * fabs(right) || grad_error(f) > 1e-4)
            fail_msg("%s, step %d: loss %g, not %g; gradient off by %g", name,
                     (int)step, loss, right, grad_error(f));
    }
    pal_method_mudman.end(f->state);
    pal_stream_destroy(h.forget_text);
    pal_stream_destroy(h.retain_text);
    free(h.adversary);
    free(h.retain);
    free(h.grad);
}

static void steps_are_the_published_ones(void **state)
{
    fixture_t *f = *state;

    f->run.coefficient = 3;
    check(f, "entropy", pal_loss_entropy);
    check(f, "nll", pal_loss_nll);
}

static void slices_are_chosen_by_name(void **state)
{
    static const struct {
        const char *name;
        int matrices_of_a_block; /* of two, and nothing else but with all */
    } cases[] = {{"gate", 1}, {"linear", 4}};
    const pal_method_t *mudman = &pal_method_mudman;
    fixture_t *f = *state;

    pal_param_defaults(mudman->params, f->state);
    for (int k = 0; k < 2; k++) {
        int trained = 0;

        assert_int_equal(pal_param_set(pal_param_find(mudman->params, "train"),
                                       f->state, cases[k].name, NULL),
                         PAL_OK);
        for (int32_t s = 0; s < f->layout->slice_count; s++) {
            const pal_slice_t *slice = &f->layout->slices[s];
            double rate = mudman->rate(f->state, f->layout, slice);

            assert_true(rate == 0 || (rate == 1 && slice->layer >= 0 &&
                                      pal_slice_is_matrix(slice->kind)));
            trained += rate == 1;
        }
        assert_int_equal(trained, 2 * cases[k].matrices_of_a_block);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_the_published_ones),
        cmocka_unit_test(slices_are_chosen_by_name),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
