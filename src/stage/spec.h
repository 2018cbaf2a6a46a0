/* spec.h -- what defines a stage: kinds, parameters, keys.
 *
 * base -> unlearned -> trial. A stage's key hashes everything that can change its
 * result: kind, parameters, parent key, world content, code schema. Equal keys are one
 * stage. The random numbers of a stage come from its key. The config parser fills these
 * structs through the tables below.
 */
#ifndef PAL_STAGE_SPEC_H
#define PAL_STAGE_SPEC_H

#include "attack/attack.h"
#include "train/train.h"
#include "unlearn/method.h"
#include "world/world.h"

/* Raise it whenever the same config gives other numbers: old rows then do not match. */
enum { PAL_CODE_SCHEMA = 4 };

typedef struct {
    const pal_world_kind_t *kind;
    const char *id; /* worlds.def name, static */
    _Alignas(16) unsigned char state[PAL_STATE_MAX];
} pal_world_spec_t;

typedef struct {
    char size[PAL_TEXT_MAX];      /* preset, layout.h */
    int64_t words;                /* largest vocabulary of the tokenizer */
    char precision[PAL_TEXT_MAX]; /* of the matrix products, gemm.h: "fp32" or "bf16" */
} pal_model_spec_t;

typedef struct {
    pal_recipe_t recipe;
    double taught;     /* fraction of the forget facts that pretraining teaches */
    int64_t questions; /* copies of each retain question beside its statements */
} pal_pretrain_t;

/* A base model: seed and pretraining. */
typedef struct {
    pal_model_spec_t model;
    int64_t seed;
    pal_pretrain_t pretrain;
} pal_base_spec_t;

typedef struct {
    pal_recipe_t recipe;
    double coefficient;
    char format[PAL_TEXT_MAX]; /* "statement" or "question": form of the forget text */
    double budget; /* nats per token by which the NLL of retain text may rise; 0: any */
    int64_t adapter; /* rank of what is trained in place of the weights; 0: the weights
                      */
} pal_unlearn_common_t;

typedef struct {
    const pal_method_t *method;
    const char *id; /* methods.def name, static */
    pal_unlearn_common_t common;
    _Alignas(16) unsigned char state[PAL_STATE_MAX]; /* parameters of the method */
} pal_unlearn_spec_t;

typedef struct {
    pal_recipe_t recipe;
    int64_t holdout;     /* fold that is V */
    int64_t evaluations; /* points of the curve after the start */
} pal_attack_common_t;

typedef struct {
    const pal_attack_t *attack;
    const char *id; /* attacks.def name, static */
    pal_attack_common_t common;
    _Alignas(16) unsigned char state[PAL_STATE_MAX];
} pal_attack_spec_t;

/* The tables the config parser reads. World, method and attack entries have their own
 * beside these (kind->params, method->params, attack->params). */
extern const pal_param_t pal_model_params[];    /* into pal_model_spec_t */
extern const pal_param_t pal_pretrain_params[]; /* into pal_pretrain_t */
extern const pal_param_t pal_unlearn_params[];  /* into pal_unlearn_common_t */
extern const pal_param_t pal_attack_params[];   /* into pal_attack_common_t */

/* Set the parameters that cannot matter to a fixed value, so that equal work has an
 * equal key: a control has no coefficient and trains for 0 steps; the floor's base is
 * taught nothing. */
void pal_spec_normalize(pal_base_spec_t *base, pal_unlearn_spec_t *unlearn);

/* 1 if the coefficient means something for the method (not for a control). */
int pal_unlearn_has_coefficient(const pal_unlearn_spec_t *spec);

/* The adapter that `adapter` asks for: of every matrix of the blocks that the method
 * trains, alpha twice the rank. */
pal_adapter_spec_t pal_unlearn_adapter(const pal_unlearn_common_t *common);

/* vocab is the vocabulary that came out: `words` beyond it changes nothing. */
pal_key_t pal_base_key(pal_key_t world, int32_t vocab, const pal_base_spec_t *spec);
pal_key_t pal_unlearn_key(pal_key_t base, const pal_unlearn_spec_t *spec);
pal_key_t pal_trial_key(pal_key_t unlearned, const pal_attack_spec_t *spec);

/* The dev fold: the attacker picks its learning rate and stopping point there, never on
 * V. (holdout + 1) mod folds. */
int32_t pal_dev_fold(const pal_attack_spec_t *spec, int32_t folds);

#endif
