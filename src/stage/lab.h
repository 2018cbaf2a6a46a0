/* lab.h -- the working set behind pal_lab_t; for src/stage/ only. */
#ifndef PAL_STAGE_LAB_H
#define PAL_STAGE_LAB_H

#include "base/shelf.h"
#include "eval/choice.h"
#include "stage/stage.h"
#include "train/adapter.h"
#include "train/train.h"

/* Unlearning within a budget: steps between two looks at retain text. */
enum { PAL_LOOK_EVERY = 5 };

struct pal_lab {
    const atomic_int *stop;
    const pal_ground_t
        *ground; /* that everything below was made for, and its world's key */
    pal_key_t world;
    pal_layout_t *layout;
    pal_pass_t *pass, *frozen;
    pal_trainer_t *trainer;
    pal_scorer_t *scorer;
    float *start; /* copy of the model a run starts from; NULL, see pal_lab_begin() */
    pal_shelf_t best; /* the weights that a run may end with */
    double *rate;     /* learning-rate multiplier per slice, and whether it is not 0 */
    uint8_t *train;
    int32_t *facts;   /* one per fact of the world */
    int32_t *choices; /* same: what an attack answered */
    uint8_t *right;   /* same */
};

/* Make or keep the working set for this ground and model. On failure the lab is empty.
 */
PAL_MUST_CHECK
int pal_lab_prepare(pal_lab_t *lab, const pal_ground_t *ground,
                    const pal_base_spec_t *spec, pal_error_t *err);

/* weights = start; if `frozen` is needed, what stays of it until pal_lab_end(): `start`
 * itself, or a copy if that is the same buffer as weights. Not needed: NULL.
 * PAL_ENOMEM.
 */
PAL_MUST_CHECK
int pal_lab_begin(pal_lab_t *lab, const float *start, int needed, float *weights,
                  const float **frozen, pal_error_t *err);
void pal_lab_end(pal_lab_t *lab);

/* Set weights aside as those a run may end with, and take them back. */
PAL_MUST_CHECK
int pal_lab_keep(pal_lab_t *lab, const float *weights, pal_error_t *err);
PAL_MUST_CHECK
int pal_lab_return(const pal_lab_t *lab, float *weights, pal_error_t *err);

/* The learning-rate multiplier of a slice, as in method.h and attack.h. */
typedef double (*pal_rate_t)(const void *state, const pal_layout_t *layout,
                             const pal_slice_t *slice);

/* Set lab->rate and lab->train; NULL: 1 for every slice. */
void pal_lab_select(pal_lab_t *lab, pal_rate_t rate, const void *state);

/* The adapter of an entry, as in method.h and attack.h. */
typedef void (*pal_adapting_t)(const void *state, pal_adapter_spec_t *spec);

/* pal_train() on weights, through that adapter unless it is NULL: `start`, another
 * buffer, is then its W0, and lab->train what it adapts. Errors of pal_train() and
 * pal_adapter_create(). */
PAL_MUST_CHECK
int pal_lab_train(pal_lab_t *lab, pal_adapting_t adapter, const void *state,
                  const float *start, pal_key_t key, pal_training_t *training,
                  float *weights, double *loss, pal_error_t *err);

/* Score the facts of a role and fold (fold < 0: all) with these weights; bits (may be
 * NULL) gets one packed bit per fact. */
PAL_MUST_CHECK
int pal_lab_score(pal_lab_t *lab, const pal_ground_t *ground, const float *weights,
                  pal_role_t role, int32_t fold, uint8_t *bits, double *accuracy,
                  pal_error_t *err);

/* Mark what was answered: lab->choices[0..n) to the questions lab->facts[0..n). Returns
 * the fraction that is right (NaN if n = 0); bits as above. */
double pal_lab_mark(pal_lab_t *lab, int32_t n, uint8_t *bits);

/* Both accuracies and the forget bits of a model. */
PAL_MUST_CHECK
int pal_lab_judge(pal_lab_t *lab, const pal_ground_t *ground, const float *weights,
                  pal_model_result_t *result, pal_error_t *err);

/* As pal_base_layout(), without the table. */
PAL_MUST_CHECK
int pal_base_shape(const pal_ground_t *ground, const pal_base_spec_t *spec,
                   pal_shape_t *shape, pal_error_t *err);

#endif
