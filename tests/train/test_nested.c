/* A run within a step, as tamper-resistant training has it (TAR, arXiv 2408.00761): an
 * attacker fine-tunes a copy of the weights on batches of its own; at every second of
 * its steps the defender's gradient at the attacker's weights is gathered; the sum is
 * the gradient of the outer step. */
#include "buffers.h"
#include "model/loss.h"
#include "train/snapshot.h"
#include "train/train.h"

enum { INNER = 6, EVERY = 2, OUTER = 2, LENGTH = 3, BATCHES = 8 };

static const double inner_lr = 0.5, outer_lr = 0.1;

typedef struct {
    pal_layout_t *layout;
    pal_pass_t *pass;
    pal_trainer_t *attacker;
    float *attacked; /* the attacker's weights */
    float *gathered; /* the outer step's gradient */
    double loss;     /* the defender's, summed over the looks */
    int64_t next;    /* the attacker's next batch */
    int32_t tokens[BATCHES][LENGTH];
} tar_t;

/* The gradient of one sequence. The last one defends, the others attack in turn. */
static void gradient_at(tar_t *tar, int64_t batch, const float *weights, float *grad,
                        double *loss)
{
    static const int32_t offsets[2] = {0, LENGTH};
    static const float token_weights[LENGTH] = {0, 1, 1};
    pal_batch_t b = {.sequences = 1,
                     .offsets = offsets,
                     .tokens = tar->tokens[batch],
                     .weights = token_weights};

    assert_int_equal(pal_forward(tar->pass, weights, &b, PAL_ALL_LAYERS, NULL), PAL_OK);
    *loss += pal_loss_nll(tar->pass, 1);
    pal_backward(tar->pass, weights, NULL, grad);
}

static int attack(void *ctx, int64_t i, const float *weights, float *grad, double *loss,
                  pal_error_t *err)
{
    tar_t *tar = ctx;

    (void)i, (void)err;
    *loss = 0;
    gradient_at(tar, tar->next++ % (BATCHES - 1), weights, grad, loss);
    return PAL_OK;
}

static int defend(void *ctx, int64_t done, const float *weights, double loss,
                  pal_error_t *err)
{
    tar_t *tar = ctx;

    (void)loss, (void)err;
    assert_int_equal(done % EVERY, 0);
    gradient_at(tar, BATCHES - 1, weights, tar->gathered, &tar->loss);
    return PAL_OK;
}

static int outer(void *ctx, int64_t i, const float *weights, float *grad, double *loss,
                 pal_error_t *err)
{
    tar_t *tar = ctx;
    const pal_recipe_t recipe = {
        .steps = INNER, .lr = inner_lr, .schedule = "constant", .optimizer = "sgd"};
    const pal_training_t training = {.recipe = &recipe,
                                     .step = attack,
                                     .watch = defend,
                                     .watches = INNER / EVERY,
                                     .ctx = tar};
    double inner_loss;
    int rc;

    (void)i;
    tar->gathered = grad;
    tar->loss = 0;
    pal_snapshot_copy(tar->layout, tar->attacked, weights);
    rc = pal_train(tar->attacker, &training, tar->attacked, &inner_loss, err);
    *loss = tar->loss;
    return rc;
}

/* The same two outer steps with plain loops. */
static void by_hand(tar_t *tar, float *weights, double *loss)
{
    float *w = copy_buffer(tar->layout, weights), *g = copy_buffer(tar->layout, w);
    float *sum = copy_buffer(tar->layout, w);
    double ignored = 0;
    int64_t next = 0;

    for (int step = 0; step < OUTER; step++) {
        memcpy(w, weights, buffer_bytes(tar->layout));
        memset(sum, 0, buffer_bytes(tar->layout));
        *loss = 0;
        for (int k = 1; k <= INNER; k++) {
            memset(g, 0, buffer_bytes(tar->layout));
            gradient_at(tar, next++ % (BATCHES - 1), w, g, &ignored);
            for (int64_t i = 0; i < tar->layout->count; i++)
                w[i] -= (float)inner_lr * g[i];
            if (k % EVERY == 0)
                gradient_at(tar, BATCHES - 1, w, sum, loss);
        }
        for (int64_t i = 0; i < tar->layout->count; i++)
            weights[i] -= (float)outer_lr * sum[i];
    }
    free(w), free(g), free(sum);
}

static void outer_gradient_is_the_sum_of_inner_points(void **unused)
{
    tar_t tar = {.layout = small_layout()};
    float *weights = random_buffer(tar.layout, "weights");
    float *start = copy_buffer(tar.layout, weights);
    float *right = copy_buffer(tar.layout, weights);
    pal_trainer_t *trainer;
    const pal_recipe_t recipe = {
        .steps = OUTER, .lr = outer_lr, .schedule = "constant", .optimizer = "sgd"};
    const pal_training_t training = {.recipe = &recipe, .step = outer, .ctx = &tar};
    double loss, right_loss, moved = 0;

    (void)unused;
    for (int b = 0; b < BATCHES; b++)
        for (int t = 0; t < LENGTH; t++)
            tar.tokens[b][t] = (b + t * t + b * t) % 5;
    assert_int_equal(pal_pass_create(tar.layout, &tar.pass, NULL), PAL_OK);
    assert_int_equal(pal_trainer_create(tar.layout, &tar.attacker, NULL), PAL_OK);
    assert_int_equal(pal_trainer_create(tar.layout, &trainer, NULL), PAL_OK);
    tar.attacked = copy_buffer(tar.layout, weights);

    by_hand(&tar, right, &right_loss);
    assert_int_equal(pal_train(trainer, &training, weights, &loss, NULL), PAL_OK);
    assert_int_equal(tar.next, OUTER * INNER);
    assert_true(fabs(loss - right_loss) < 1e-5);
    for (int64_t i = 0; i < tar.layout->count; i++) {
        assert_true(fabs((double)weights[i] - right[i]) < 1e-5);
        moved += fabs((double)right[i] - start[i]);
    }
    assert_true(moved > 0.1);

    pal_trainer_destroy(trainer);
    pal_trainer_destroy(tar.attacker);
    pal_pass_destroy(tar.pass);
    free(tar.attacked), free(weights), free(start), free(right);
    pal_layout_destroy(tar.layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outer_gradient_is_the_sum_of_inner_points),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
