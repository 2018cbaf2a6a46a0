#include <math.h>
#include <string.h>

#include "stage/lab.h"
#include "stage/pools.h"

struct attacking {
    pal_lab_t *lab;
    const pal_ground_t *ground;
    const pal_attack_spec_t *spec;
    void *state;
    float *weights;      /* of the model, at the start and then under attack */
    const float *frozen; /* as it was; NULL: not needed */
    pal_attacking_t lent;
    pal_trial_result_t *result;
};

static int step(void *ctx, int64_t i, const float *weights, float *grad, double *loss,
                pal_error_t *err)
{
    struct attacking *run = ctx;

    return run->spec->attack->step(run->state, &run->lent, i, weights, run->lab->train,
                                   grad, loss, err);
}

static int edit(void *ctx, int64_t i, float *weights, pal_error_t *err)
{
    struct attacking *run = ctx;

    return run->spec->attack->edit(run->state, &run->lent, i, run->lab->train, weights,
                                   err);
}

/* Ask a fold: the model by likelihood, or an attack that answers itself once it has
 * begun. `weights` are those that are trained. */
static int ask(struct attacking *run, int32_t point, const float *weights, int32_t fold,
               uint8_t *bits, double *accuracy, pal_error_t *err)
{
    const pal_attack_t *attack = run->spec->attack;
    pal_lab_t *lab = run->lab;
    int32_t n;
    int rc;

    if (point == 0 || !attack->answer)
        return pal_lab_score(lab, run->ground, run->weights, PAL_FORGET, fold, bits,
                             accuracy, err);
    n = pal_world_select(&run->ground->world, PAL_FORGET, fold, lab->facts);
    rc = attack->answer(run->state, &run->lent, weights, lab->facts, n, lab->choices,
                        err);
    if (rc == PAL_OK)
        *accuracy = pal_lab_mark(lab, n, bits);
    return rc;
}

/* Score one point of the curve; a point better on dev than all before is the new
 * choice, and its weights are kept. The start is a point to stop at as well, but not
 * for an attack that answers itself: there it is another one's answer. */
static int watch(void *ctx, int64_t done, const float *weights, double loss,
                 pal_error_t *err)
{
    struct attacking *run = ctx;
    pal_trial_result_t *r = run->result;
    int32_t dev_fold = pal_dev_fold(run->spec, run->ground->world.folds);
    int32_t v_fold = (int32_t)run->spec->common.holdout, point = r->points;
    int32_t first = run->spec->attack->answer ? 1 : 0;
    uint8_t *bits = point == 0 ? r->bits_before : NULL;
    int chosen, rc;

    rc = ask(run, point, weights, dev_fold, NULL, &r->dev[point], err);
    if (rc != PAL_OK)
        return rc;
    chosen = point <= first || r->dev[point] > r->dev[r->chosen];
    rc = ask(run, point, weights, v_fold, chosen && point > 0 ? r->bits : bits,
             &r->v[point], err);
    if (rc != PAL_OK)
        return rc;
    if (point == 0)
        memcpy(r->bits, r->bits_before, ((size_t)run->ground->largest_fold + 7) / 8);
    if (chosen) {
        rc = pal_lab_keep(run->lab, run->weights, err);
        if (rc != PAL_OK)
            return rc;
        r->chosen = point;
    }
    if (point <= first || r->v[point] > r->v[r->best])
        r->best = point;
    r->step[point] = (double)done;
    r->loss[point] = loss;
    r->points++;
    return PAL_OK;
}

static int train_own(struct attacking *run, pal_training_t *training, double *loss,
                     pal_error_t *err)
{
    pal_trainer_t *trainer = NULL;
    int rc;

    if (training->edit)
        return PAL_FAIL(err, PAL_EINVAL,
                        "an edit of the weights beside values of its own");
    rc = pal_trainer_create(run->lent.own, &trainer, err);
    training->rate = NULL;
    if (rc == PAL_OK)
        rc = pal_train(trainer, training, run->lent.values, loss, err);
    pal_trainer_destroy(trainer);
    return rc;
}

static int train(struct attacking *run, pal_training_t *training, pal_error_t *err)
{
    double loss;

    if (run->lent.own)
        return train_own(run, training, &loss, err);
    run->lent.start = run->frozen;
    return pal_lab_train(run->lab, run->spec->attack->adapter, run->state, run->frozen,
                         run->lent.key, training, run->weights, &loss, err);
}

static int run_attack(struct attacking *run, pal_error_t *err)
{
    const pal_attack_t *attack = run->spec->attack;
    pal_lab_t *lab = run->lab;
    pal_training_t training = {.recipe = &run->spec->common.recipe,
                               .rate = lab->rate,
                               .stop = lab->stop,
                               .edit = attack->edit ? edit : NULL,
                               .step = step,
                               .watch = watch,
                               .watches = run->spec->common.evaluations,
                               .ctx = run};
    int rc = watch(run, 0, run->weights, NAN, err);

    if (rc != PAL_OK)
        return rc;
    pal_lab_select(lab, attack->rate, run->state);
    if (attack->begin)
        rc = attack->begin(run->state, &run->lent, err);
    if (rc == PAL_OK)
        rc = train(run, &training, err);
    if (attack->end)
        attack->end(run->state);
    /* The attacker has what it had before; the first look tells nothing of its own. */
    if (rc == PAL_EDIVERGE && run->result->points > 1)
        return PAL_OK;
    return rc == PAL_OK ? rc : pal_context(err, rc, "attack %s", run->spec->id);
}

int pal_stage_trial(pal_lab_t *lab, const pal_ground_t *ground,
                    const pal_base_spec_t *base, const pal_attack_spec_t *spec,
                    pal_key_t key, const float *start, float *weights,
                    pal_trial_result_t *result, pal_error_t *err)
{
    _Alignas(16) unsigned char state[PAL_STATE_MAX];
    struct attacking run = {.lab = lab,
                            .ground = ground,
                            .spec = spec,
                            .state = state,
                            .weights = weights,
                            .result = result};
    pal_pool_t known = {0};
    int rc = pal_lab_prepare(lab, ground, base, err);

    if (rc != PAL_OK)
        return rc;
    memcpy(state, spec->state, sizeof state);
    result->points = result->chosen = result->best = 0;
    run.lent = (pal_attacking_t){.layout = lab->layout,
                                 .start = weights,
                                 .pass = lab->pass,
                                 .corpus = &ground->corpus,
                                 .questions = &known,
                                 .key = key,
                                 .steps = spec->common.recipe.steps};
    rc = pal_lab_begin(lab, start, spec->attack->frozen || spec->attack->adapter,
                       weights, &run.frozen, err);
    if (run.frozen)
        run.lent.start = run.frozen;
    if (rc == PAL_OK)
        rc = pal_pool_known(ground, spec, &known, err);
    if (rc == PAL_OK)
        rc = pal_stream_create(&ground->corpus, &known,
                               (int32_t)spec->common.recipe.batch, key, "known",
                               &run.lent.known, err);
    if (rc == PAL_OK)
        rc = pal_stream_reserve(run.lent.known, lab->pass, 1, err);
    if (rc == PAL_OK)
        rc = run_attack(&run, err);
    if (rc == PAL_OK)
        rc = pal_lab_return(lab, weights, err);
    if (rc == PAL_OK)
        rc = pal_lab_score(lab, ground, weights, PAL_RETAIN, -1, NULL,
                           &result->retain_after, err);
    pal_lab_end(lab);
    pal_stream_destroy(run.lent.known);
    pal_pool_free(&known);
    return rc;
}
