/* A layout's buffer serves as plain numbers here. */
#include "buffers.h"
#include "train/train.h"

static pal_recipe_t recipe(int64_t steps, double lr, int64_t warmup,
                           const char *schedule)
{
    pal_recipe_t r = {
        .steps = steps, .batch = 1, .lr = lr, .warmup = warmup, .clip = 1};

    strcpy(r.schedule, schedule);
    strcpy(r.optimizer, "adamw");
    return r;
}

struct probe {
    const pal_layout_t *layout;
    int64_t steps, looks, last_look;
    double explode_at; /* step whose loss is NaN; -1: none */
    atomic_int stop;
};

/* loss = |w|^2 / 2 pulls every weight to zero. */
static int quadratic(void *ctx, int64_t step, const float *weights, float *grad,
                     double *loss, pal_error_t *err)
{
    struct probe *probe = ctx;

    (void)err;
    *loss = 0;
    for (int64_t i = 0; i < probe->layout->count; i++) {
        assert_true(grad[i] == 0); /* the loop has cleared it */
        grad[i] = weights[i];
        *loss += 0.5 * weights[i] * weights[i];
    }
    if ((double)step == probe->explode_at)
        *loss = NAN;
    probe->steps++;
    return PAL_OK;
}

static int enough_after_three(void *ctx, int64_t done, const float *weights,
                              double loss, pal_error_t *err)
{
    (void)ctx, (void)weights, (void)loss, (void)err;
    return done == 3 ? PAL_ENOUGH : PAL_OK;
}

static int look(void *ctx, int64_t done, const float *weights, double loss,
                pal_error_t *err)
{
    struct probe *probe = ctx;

    (void)weights, (void)loss, (void)err;
    assert_true(done > probe->last_look);
    probe->last_look = done;
    probe->looks++;
    return PAL_OK;
}

static int run(struct probe *probe, const pal_recipe_t *r, const double *rate,
               int64_t watches, float *weights, double *loss, pal_error_t *err)
{
    pal_training_t training = {.recipe = r,
                               .rate = rate,
                               .stop = &probe->stop,
                               .step = quadratic,
                               .watch = look,
                               .watches = watches,
                               .ctx = probe};
    pal_trainer_t *trainer;
    int rc;

    assert_int_equal(pal_trainer_create(probe->layout, &trainer, NULL), PAL_OK);
    rc = pal_train(trainer, &training, weights, loss, err);
    pal_trainer_destroy(trainer);
    return rc;
}

static void schedules(void **unused)
{
    pal_recipe_t constant = recipe(100, 2, 10, "constant");
    pal_recipe_t cosine = recipe(100, 2, 0, "cosine");
    pal_recipe_t linear = recipe(100, 2, 10, "linear");

    (void)unused;
    assert_true(fabs(pal_recipe_lr(&constant, 0) - 0.2) < 1e-12);
    assert_true(fabs(pal_recipe_lr(&constant, 9) - 2) < 1e-12);
    assert_true(fabs(pal_recipe_lr(&constant, 99) - 2) < 1e-12);
    assert_true(fabs(pal_recipe_lr(&cosine, 0) - 2) < 1e-12);
    assert_true(fabs(pal_recipe_lr(&cosine, 50) - 1) < 1e-12);
    assert_true(pal_recipe_lr(&cosine, 99) < 0.001);
    assert_true(fabs(pal_recipe_lr(&linear, 4) - 2 * 0.5 * 0.96) < 1e-12);
    assert_true(fabs(pal_recipe_lr(&linear, 50) - 1) < 1e-12);
    assert_true(fabs(pal_recipe_lr(&linear, 99) - 0.02) < 1e-12);
}

static void descends_and_looks(void **unused)
{
    static const struct {
        int64_t steps, watches, looks;
    } cases[] = {{200, 8, 8}, {5, 8, 5}, {120, 7, 7}, {1, 1, 1}, {0, 8, 0}};
    pal_layout_t *layout = small_layout();
    float *weights = test_malloc((size_t)layout->count * sizeof(float));

    (void)unused;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct probe probe = {.layout = layout, .explode_at = -1};
        pal_recipe_t r = recipe(cases[c].steps, 0.05, 0, "cosine");
        double loss;

        for (int64_t i = 0; i < layout->count; i++)
            weights[i] = 1;
        assert_int_equal(run(&probe, &r, NULL, cases[c].watches, weights, &loss, NULL),
                         PAL_OK);
        assert_int_equal(probe.steps, cases[c].steps);
        assert_int_equal(probe.looks, cases[c].looks);
        if (cases[c].steps)
            assert_int_equal(probe.last_look, cases[c].steps);
        if (cases[c].steps == 200)
            for (int64_t i = 0; i < layout->count; i++)
                assert_true(fabsf(weights[i]) < 0.05f);
    }
    test_free(weights);
    pal_layout_destroy(layout);
}

/* One step of each optimizer on w = 1 has its own size; what it keeps starts at 0 again
 * in the next run of the same trainer. */
static void every_optimizer_steps(void **unused)
{
    static const struct {
        const char *name;
        double first, second; /* weight after each of two steps of lr 0.1 */
    } cases[] = {{"sgd", 0.9, 0.81},
                 {"momentum", 0.9, 0.9 - 0.1 * (0.9 + 0.9)},
                 /* 0.9 - 0.1 (0.18 / 0.19) / sqrt(0.018 / 0.0199) */
                 {"adamw", 0.9, 0.8003886},
                 {"lion", 0.9, 0.8}};
    pal_layout_t *layout = small_layout();
    float *weights = test_malloc((size_t)layout->count * sizeof(float));
    pal_trainer_t *trainer;

    (void)unused;
    assert_int_equal(pal_trainer_create(layout, &trainer, NULL), PAL_OK);
    for (size_t c = 0; c < 2 * sizeof cases / sizeof *cases; c++) {
        size_t k = c % (sizeof cases / sizeof *cases);
        struct probe probe = {.layout = layout, .explode_at = -1};
        pal_recipe_t r = recipe(2, 0.1, 0, "constant");
        pal_training_t training = {.recipe = &r, .step = quadratic, .ctx = &probe};
        double loss;

        strcpy(r.optimizer, cases[k].name);
        r.clip = 0;
        for (int64_t i = 0; i < layout->count; i++)
            weights[i] = 1;
        assert_int_equal(pal_train(trainer, &training, weights, &loss, NULL), PAL_OK);
        assert_true(fabs(loss / (0.5 * cases[k].first * cases[k].first *
                                 (double)layout->count) -
                         1) < 1e-5);
        for (int64_t i = 0; i < layout->count; i++)
            if (fabs(weights[i] - cases[k].second) > 1e-5)
                fail_msg("%s: %g, not %g", cases[k].name, weights[i], cases[k].second);
    }
    pal_trainer_destroy(trainer);
    test_free(weights);
    pal_layout_destroy(layout);
}

static void unknown_optimizers_are_refused(void **unused)
{
    pal_layout_t *layout = small_layout();
    pal_trainer_t *trainer;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_trainer_create(layout, &trainer, NULL), PAL_OK);
    assert_int_equal(pal_trainer_reserve(trainer, "adam", &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "'adam'"));
    assert_non_null(strstr(err.text, "adamw"));
    assert_int_equal(pal_optimizer_moments("adam"), -1);
    assert_int_equal(pal_optimizer_moments("sgd"), 0);
    assert_int_equal(pal_optimizer_moments("lion"), 1);
    assert_int_equal(pal_optimizer_moments("adamw"), 2);
    pal_trainer_destroy(trainer);
    pal_layout_destroy(layout);
}

/* Frozen, half as fast, and away from the minimum. */
static void slices_have_rates_of_their_own(void **unused)
{
    pal_layout_t *layout = small_layout();
    float *weights = test_malloc((size_t)layout->count * sizeof(float));
    double rate[64] = {0};
    const pal_slice_t *down = pal_layout_slice(layout, PAL_MLP_DOWN, 0);
    const pal_slice_t *up = pal_layout_slice(layout, PAL_MLP_UP, 0);
    struct probe probe = {.layout = layout, .explode_at = -1};
    pal_recipe_t r = recipe(1, 0.1, 0, "constant");
    double loss;

    (void)unused;
    r.clip = 0;
    r.decay = 0.1;
    strcpy(r.optimizer, "sgd");
    rate[down - layout->slices] = 0.5;
    rate[up - layout->slices] = -1;
    for (int64_t i = 0; i < layout->count; i++)
        weights[i] = 1;
    assert_int_equal(run(&probe, &r, rate, 1, weights, &loss, NULL), PAL_OK);
    for (int64_t i = 0; i < layout->count; i++) {
        int in_down = i >= down->offset && i < down->offset + down->size;
        int in_up = i >= up->offset && i < up->offset + up->size;
        double right = in_down ? 1 - 0.05 * 0.1 - 0.05
                       : in_up ? 1 - 0.1 * 0.1 + 0.1
                               : 1;

        assert_true(fabs(weights[i] - right) < 1e-6);
    }
    test_free(weights);
    pal_layout_destroy(layout);
}

static void divergence_and_stop_are_told(void **unused)
{
    pal_layout_t *layout = small_layout();
    float *weights = test_calloc((size_t)layout->count, sizeof(float));
    struct probe bad = {.layout = layout, .explode_at = 3};
    struct probe stopped = {.layout = layout, .explode_at = -1, .stop = 1};
    pal_recipe_t r = recipe(10, 0.1, 0, "constant");
    pal_error_t err;
    double loss;

    (void)unused;
    assert_int_equal(run(&bad, &r, NULL, 1, weights, &loss, &err), PAL_EDIVERGE);
    assert_non_null(strstr(err.text, "step 3"));
    assert_int_equal(bad.steps, 4);
    for (int64_t i = 0; i < layout->count; i++)
        assert_true(isfinite(weights[i]));
    assert_int_equal(run(&stopped, &r, NULL, 1, weights, &loss, &err), PAL_ESTOP);
    assert_int_equal(stopped.steps, 0);
    test_free(weights);
    pal_layout_destroy(layout);
}

/* A step may throw weights off while its own loss and gradient are numbers. */
static void what_is_not_finite_is_not_looked_at(void **unused)
{
    pal_layout_t *layout = small_layout();
    float *weights = test_malloc((size_t)layout->count * sizeof(float));
    struct probe probe = {.layout = layout, .explode_at = -1};
    pal_recipe_t r = recipe(4, 1e39, 0, "constant");
    pal_error_t err;
    double loss;

    (void)unused;
    for (int64_t i = 0; i < layout->count; i++)
        weights[i] = 1;
    assert_int_equal(run(&probe, &r, NULL, 4, weights, &loss, &err), PAL_EDIVERGE);
    assert_non_null(strstr(err.text, "not finite after 1 steps"));
    assert_int_equal(probe.looks, 0);
    test_free(weights);
    pal_layout_destroy(layout);
}

static void a_watch_ends_the_run(void **unused)
{
    pal_layout_t *layout = small_layout();
    float *weights = test_calloc((size_t)layout->count, sizeof(float));
    struct probe probe = {.layout = layout, .explode_at = -1};
    pal_recipe_t r = recipe(10, 0.1, 0, "constant");
    pal_training_t training = {.recipe = &r,
                               .step = quadratic,
                               .watch = enough_after_three,
                               .watches = 10,
                               .ctx = &probe};
    pal_trainer_t *trainer;
    double loss;

    (void)unused;
    assert_int_equal(pal_trainer_create(layout, &trainer, NULL), PAL_OK);
    assert_int_equal(pal_train(trainer, &training, weights, &loss, NULL), PAL_OK);
    assert_int_equal(probe.steps, 3);
    pal_trainer_destroy(trainer);
    test_free(weights);
    pal_layout_destroy(layout);
}

/* A large gradient moves the first step no further than a small one: the norm is
 * clipped, and Adam divides by it anyway; what is seen is that the clipped run equals
 * the run on the scaled gradient. */
static void clipping_bounds_the_norm(void **unused)
{
    pal_layout_t *layout = small_layout();
    float *weights = test_malloc((size_t)layout->count * sizeof(float));
    struct probe probe = {.layout = layout, .explode_at = -1};
    pal_recipe_t r = recipe(1, 0.1, 0, "constant");
    double loss;

    (void)unused;
    for (int64_t i = 0; i < layout->count; i++)
        weights[i] = 1e6f;
    r.clip = 1e-9; /* far below Adam's epsilon: the step must become tiny */
    assert_int_equal(run(&probe, &r, NULL, 1, weights, &loss, NULL), PAL_OK);
    for (int64_t i = 0; i < layout->count; i++)
        assert_true(fabsf(weights[i] - 1e6f) < 0.1f);
    test_free(weights);
    pal_layout_destroy(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules),
        cmocka_unit_test(descends_and_looks),
        cmocka_unit_test(every_optimizer_steps),
        cmocka_unit_test(unknown_optimizers_are_refused),
        cmocka_unit_test(slices_have_rates_of_their_own),
        cmocka_unit_test(what_is_not_finite_is_not_looked_at),
        cmocka_unit_test(a_watch_ends_the_run),
        cmocka_unit_test(divergence_and_stop_are_told),
        cmocka_unit_test(clipping_bounds_the_norm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
