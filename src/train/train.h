/* train.h -- the one training loop: pretraining, unlearning and attacks all run in it.
 *
 * SGD, momentum, AdamW or Lion in FP32 (kernel/optimizer.h) with gradient clipping by
 * global norm. The caller's step function computes a loss and its gradient; it never
 * owns the loop, the optimizer or the clock, so that every method and attack is run and
 * stopped alike.
 */
#ifndef PAL_TRAIN_TRAIN_H
#define PAL_TRAIN_TRAIN_H

#include <stdatomic.h>

#include "base/param.h"
#include "model/layout.h"

/* The tunables of a training run; every stage has one. */
typedef struct {
    int64_t steps;                /* optimizer steps */
    int64_t batch;                /* sequences per stream and step */
    double lr;                    /* peak learning rate */
    int64_t warmup;               /* steps of linear warm-up */
    double clip;                  /* largest global gradient norm; 0: no clipping */
    double decay;                 /* decoupled weight decay, matrices only */
    char schedule[PAL_TEXT_MAX];  /* "constant", or "linear" or "cosine" to zero after
                                     the last step */
    char optimizer[PAL_TEXT_MAX]; /* "adamw", "sgd", "momentum", "lion" */
} pal_recipe_t;

/* The table rows of a recipe that is member `m` of struct `s`. */
#define PAL_RECIPE_PARAMS(s, m, steps_, batch_, lr_, warmup_, schedule_)               \
    {"steps", PAL_COUNT, offsetof(s, m.steps), steps_, 0, 1e8, NULL,                   \
     NULL,    "steps",   "optimizer steps"},                                           \
        {"batch", PAL_COUNT,   offsetof(s, m.batch),           batch_, 1, 65536, NULL, \
         NULL,    "sequences", "sequences per stream and step"},                       \
        {"lr", PAL_REAL, offsetof(s, m.lr),   lr_, 0, 10, NULL,                        \
         NULL, "1",      "peak learning rate"},                                        \
        {"warmup", PAL_COUNT, offsetof(s, m.warmup),    warmup_, 0, 1e8, NULL,         \
         NULL,     "steps",   "steps of linear warm-up"},                              \
        {"clip",                                                                       \
         PAL_REAL,                                                                     \
         offsetof(s, m.clip),                                                          \
         1.0,                                                                          \
         0,                                                                            \
         1e9,                                                                          \
         NULL,                                                                         \
         NULL,                                                                         \
         "1",                                                                          \
         "largest global gradient norm; 0 switches clipping off"},                     \
        {"decay",                                                                      \
         PAL_REAL,                                                                     \
         offsetof(s, m.decay),                                                         \
         0.0,                                                                          \
         0,                                                                            \
         10,                                                                           \
         NULL,                                                                         \
         NULL,                                                                         \
         "1",                                                                          \
         "decoupled weight decay of the matrices"},                                    \
        {"schedule",                                                                   \
         PAL_TEXT,                                                                     \
         offsetof(s, m.schedule),                                                      \
         0,                                                                            \
         0,                                                                            \
         0,                                                                            \
         schedule_,                                                                    \
         "cosine|linear|constant",                                                     \
         "1",                                                                          \
         "learning rate after warm-up"},                                               \
    {                                                                                  \
        "optimizer", PAL_TEXT, offsetof(s, m.optimizer), 0, 0, 0, "adamw",             \
            "adamw|sgd|momentum|lion", "1",                                            \
            "how a gradient becomes a change of weights"                               \
    }

/* Learning rate of step i, 0 <= i < steps: lr * min(1, (i + 1) / warmup), times
 * 1 - i / steps if linear, (1 + cos(pi i / steps)) / 2 if cosine. */
double pal_recipe_lr(const pal_recipe_t *recipe, int64_t step);

/* Gradient and what the optimizer keeps (nothing for sgd, one buffer for momentum and
 * lion, two for adamw) of layout->count floats each, reused from run to run; what the
 * next run does not need is released when it begins. */
typedef struct pal_trainer pal_trainer_t;

PAL_MUST_CHECK
int pal_trainer_create(const pal_layout_t *layout, pal_trainer_t **out,
                       pal_error_t *err);
void pal_trainer_destroy(pal_trainer_t *trainer);

/* Make room for an optimizer, and release what only another needs. pal_train() does it
 * itself; who must not allocate later does it before. PAL_EINVAL: no such optimizer;
 * PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_trainer_reserve(pal_trainer_t *trainer, const char *optimizer,
                        pal_error_t *err);

/* Models of memory that an optimizer keeps; -1: no such optimizer. */
int pal_optimizer_moments(const char *optimizer);

/* Returned by a watch: end the run here, which is no error. */
enum { PAL_ENOUGH = 1 };

typedef struct {
    const pal_recipe_t *recipe;
    /* One multiplier of the learning rate per slice: 0 freezes it, a negative one
     * ascends. NULL: 1 everywhere. */
    const double *rate;
    const atomic_int *stop; /* nonzero ends the run with PAL_ESTOP; NULL: never */

    /* Optional. Change the weights outright before step `step`: noise, a merge, a
     * return to a snapshot. The optimizer's moments stay. */
    int (*edit)(void *ctx, int64_t step, float *weights, pal_error_t *err);

    /* Required. Add d(loss)/d(weights) to grad (zeroed) and store the loss in *loss.
     * Returns PAL_OK or the reason to give up. */
    int (*step)(void *ctx, int64_t step, const float *weights, float *grad,
                double *loss, pal_error_t *err);

    /* Optional. Called `watches` times, evenly spaced, the last time after the last
     * step: `done` steps are done, loss is that of the last one. PAL_OK goes on. */
    int (*watch)(void *ctx, int64_t done, const float *weights, double loss,
                 pal_error_t *err);
    int64_t watches;
    void *ctx; /* given to all */

    /* NULL: none. Otherwise its A and B are trained in place of the weights, at the
     * rate of their matrix. step and watch see the merged weights, and grad is that of
     * the weights: it goes on through the adapter. What is not adapted stays as it is.
     * Not together with edit, which the next merge would undo: PAL_EINVAL. */
    struct pal_adapter *adapter; /* adapter.h */
} pal_training_t;

/* Train weights in place; *loss is the last step's. PAL_EDIVERGE as soon as a loss or
 * the gradient norm is not finite (weights are then those before that step), or a
 * weight at a look or in the end; PAL_ESTOP
 * on request, otherwise what edit, step or watch returned.
 *
 * Runs nest: a step may call pal_train() on a second trainer and a copy of its weights,
 * with a recipe and streams of its own, and gather gradients into its own `grad` from
 * the inner run's watch. That is first-order meta-learning (TAR, arXiv 2408.00761): the
 * outer weights are never touched, so there is nothing to restore. */
PAL_MUST_CHECK
int pal_train(pal_trainer_t *trainer, const pal_training_t *training, float *weights,
              double *loss, pal_error_t *err);

#endif
