/* stage.h -- base, unlearn and trial as functions from weights to weights and numbers.
 *
 * A lab is one compute thread's working set: the pass, scorer and trainer of the corpus
 * it works on, made when first needed and reused. Results are plain data that the
 * caller owns.
 *
 * Memory, in models (layout->count floats): every stage has the caller's weights, a
 * gradient and what its optimizer keeps (train.h): 4 with adamw. Unlearning and trials
 * have one more if the entry reads the model as it was (`frozen`) or trains an adapter,
 * and what a method makes itself (`buffers`); if `start` is the buffer of the weights,
 * nothing else. What a budget or a trial may return to lies on a shelf.
 */
#ifndef PAL_STAGE_STAGE_H
#define PAL_STAGE_STAGE_H

#include <stdatomic.h>

#include "kernel/gemm.h"
#include "stage/spec.h"

enum { PAL_CURVE_MAX = 65 };      /* evaluations at most 64, and the start */
enum { PAL_HELD_SEQUENCES = 64 }; /* of retain text that a budget is judged by */

/* A world with its corpus; immutable, shared by all stages of a process. */
typedef struct {
    pal_world_t world;
    pal_corpus_t corpus;
    int32_t forget, retain; /* facts of each role */
    int32_t largest_fold;   /* facts */

    double statement_length; /* mean tokens of a statement */
    /* Mean tokens that batches of 32 different texts compute of one (model/share.h): of
     * a statement, of a question with its right choice, of a question with all of its
     * choices. Larger batches compute less. */
    double statement_tokens, question_tokens, asked_tokens;
    double asked_rows;   /* mean places that predict the choices of a question */
    double asked_length; /* the same, each with the question before it */
} pal_ground_t;

/* Make the world and tokenise it. On failure *ground is zeroed. */
PAL_MUST_CHECK
int pal_ground_create(const pal_world_spec_t *world, int64_t words,
                      pal_ground_t *ground, pal_error_t *err);
void pal_ground_free(pal_ground_t *ground);

/* The layout of a base spec on a ground: preset size, the tokenizer's vocabulary, a
 * context that holds the longest example. *out is owned. */
PAL_MUST_CHECK
int pal_base_layout(const pal_ground_t *ground, const pal_base_spec_t *spec,
                    pal_layout_t **out, pal_error_t *err);

/* In which its stages compute: bases that differ in nothing else differ in their keys.
 */
pal_precision_t pal_base_precision(const pal_base_spec_t *spec);

/* Check what tables cannot: holdout < folds, falsehoods where a method needs them.
 * PAL_EINVAL says what and why. */
PAL_MUST_CHECK
int pal_unlearn_check(const pal_ground_t *ground, const pal_unlearn_spec_t *spec,
                      pal_error_t *err);
/* The same for what depends on the model: the method's own check. */
PAL_MUST_CHECK
int pal_unlearn_fits(const pal_ground_t *ground, const pal_base_spec_t *base,
                     const pal_unlearn_spec_t *spec, pal_error_t *err);
PAL_MUST_CHECK
int pal_attack_check(const pal_ground_t *ground, const pal_attack_spec_t *spec,
                     pal_error_t *err);
PAL_MUST_CHECK
int pal_attack_fits(const pal_ground_t *ground, const pal_base_spec_t *base,
                    const pal_attack_spec_t *spec, pal_error_t *err);

typedef struct pal_lab pal_lab_t;

/* stop (NULL: never): nonzero makes a running stage return PAL_ESTOP soon. folder
 * (NULL: memory): where the weights that a run may end with are set aside
 * (base/shelf.h); both are borrowed. Takes what products need (kernel/gemm.h):
 * PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_lab_create(const atomic_int *stop, const char *folder, pal_lab_t **out,
                   pal_error_t *err);
void pal_lab_destroy(pal_lab_t *lab);

/* Bits are packed, least significant first: bit i of bits[i / 8] >> (i % 8). */
typedef struct {
    double loss;       /* nats per token, last of `steps`; NaN if there is none */
    double steps;      /* whose weights these are: fewer than asked for if the budget
                        * ended the run */
    double v_accuracy; /* forget facts right, all folds */
    double retain_accuracy;
    uint8_t *bits; /* one per forget fact in world order; caller's, (forget+7)/8 */
} pal_model_result_t;

/* As above; bits = right at the chosen point, one per fact of V in world order. */
typedef struct {
    int32_t points;             /* evaluations made, the start included; fewer than
                                 * asked for if the attack diverged after the first */
    double step[PAL_CURVE_MAX]; /* steps done at each */
    double loss[PAL_CURVE_MAX]; /* nats per token; NaN at the start */
    double v[PAL_CURVE_MAX], dev[PAL_CURVE_MAX];
    int32_t chosen;       /* point with the best dev; the earliest of equals */
    int32_t best;         /* point with the best v: the paper's choice */
                          /* Both may be the start, but not if the attack answers itself
                           * (attack.h): the start is always asked by likelihood. */
    double retain_after;  /* at the chosen point */
    uint8_t *bits;        /* caller's, (largest_fold+7)/8 */
    uint8_t *bits_before; /* at the start; caller's, same size */
} pal_trial_result_t;

/* Which forget facts pretraining teaches: taught[i] = 1 or 0 per fact of the world (1
 * for every retain fact). In each fold the first round(taught * facts) of a shuffle
 * that depends on world and seed alone: a larger fraction teaches the same facts and
 * more. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_base_taught(const pal_ground_t *ground, const pal_base_spec_t *spec,
                    uint8_t *taught, pal_error_t *err);

/* Train a base model. weights: layout->count floats, written. */
PAL_MUST_CHECK
int pal_stage_base(pal_lab_t *lab, const pal_ground_t *ground,
                   const pal_base_spec_t *spec, pal_key_t key, float *weights,
                   pal_model_result_t *result, pal_error_t *err);

/* Unlearn: from start to weights, which may be the same buffer. */
PAL_MUST_CHECK
int pal_stage_unlearn(pal_lab_t *lab, const pal_ground_t *ground,
                      const pal_base_spec_t *base, const pal_unlearn_spec_t *spec,
                      pal_key_t key, const float *start, float *weights,
                      pal_model_result_t *result, pal_error_t *err);

/* Attack the model `start` and score it: weights (written) are under attack, and in the
 * end those of the chosen point. They may be the same buffer. An attack that diverges
 * ends with the points it has; PAL_EDIVERGE: it has none beside the start. */
PAL_MUST_CHECK
int pal_stage_trial(pal_lab_t *lab, const pal_ground_t *ground,
                    const pal_base_spec_t *base, const pal_attack_spec_t *spec,
                    pal_key_t key, const float *start, float *weights,
                    pal_trial_result_t *result, pal_error_t *err);

/* Models (layout->count floats) that a stage has in memory, as said above. */
int pal_base_models(const pal_base_spec_t *spec);
int pal_unlearn_models(const pal_unlearn_spec_t *spec);
int pal_trial_models(const pal_attack_spec_t *spec);

/* Expected floating-point operations of a stage: its steps and its evaluations. */
double pal_base_flops(const pal_ground_t *ground, const pal_base_spec_t *spec);
double pal_unlearn_flops(const pal_ground_t *ground, const pal_base_spec_t *base,
                         const pal_unlearn_spec_t *spec);
double pal_trial_flops(const pal_ground_t *ground, const pal_base_spec_t *base,
                       const pal_attack_spec_t *spec);

#endif
