/* attack.h -- the contract an attack fulfils.
 *
 * An attack is what someone with the weights does to get the facts back, knowing some
 * of them (T) and judged on the others (V). One file, src/attack/<id>.c, one symbol
 * `const pal_attack_t pal_attack_<id>`, one line in attacks.def. It sees the questions
 * of T without the dev fold; the engine stops and scores it (stage/trial.c).
 *
 * What it trains is one of three: the weights (finetune.c), an adapter of them, asked
 * for by one slot (lora.c), or parameters of its own beside a model that stays as it
 * is, whose answers it then gives itself (probe.c).
 */
#ifndef PAL_ATTACK_ATTACK_H
#define PAL_ATTACK_ATTACK_H

#include "base/param.h"
#include "model/pass.h"
#include "train/adapter.h"
#include "world/corpus.h"

/* What the engine lends to an attack for one run. */
typedef struct {
    const pal_layout_t *layout;
    /* The weights under attack, before it. In begin() always, and later if it trains
     * values of its own; else then NULL unless the attack asks (`frozen` below). */
    const float *start;
    pal_pass_t *pass; /* has room for every batch of `known` */
    const pal_corpus_t *corpus;
    const pal_pool_t *questions; /* of T with the right answer, the dev fold left out */
    pal_stream_t *known;         /* batches of them */
    int64_t steps;
    pal_key_t key; /* of this trial, for random streams */

    /* NULL, unless begin() says here what it trains in place of the weights: a table of
     * slices and their values (own->count). `weights` and `grad` of step() are then
     * theirs; the model stays `start`. Borrowed until end(). */
    const pal_layout_t *own;
    float *values;
} pal_attacking_t;

typedef struct {
    const char *summary;
    const pal_param_t *params; /* beside the common ones (stage/spec.h) */
    size_t state_size;         /* bytes, <= PAL_STATE_MAX */
    double cost; /* of a step, in training steps on one batch; 0 means 1 */
    int frozen;  /* 1 if edit(), step() or answer() read run->start, as in method.h */

    /* Optional. PAL_EINVAL if the parameters do not fit a model of this shape. */
    int (*check)(const void *state, const pal_shape_t *shape, pal_error_t *err);

    /* Optional. As in method.h. */
    double (*rate)(const void *state, const pal_layout_t *layout,
                   const pal_slice_t *slice);

    /* Optional. As in method.h; what scores the model sees no difference either. */
    void (*adapter)(const void *state, pal_adapter_spec_t *spec);

    int (*begin)(void *state, pal_attacking_t *run, pal_error_t *err); /* optional */

    /* Optional. As in method.h: what rounds, prunes or noises the model before it is
     * trained, or in place of it at learning rate 0. Not
     * together with an adapter or with values of its own: PAL_EINVAL. */
    int (*edit)(void *state, pal_attacking_t *run, int64_t step, const uint8_t *train,
                float *weights, pal_error_t *err);

    /* Required. As in method.h. */
    int (*step)(void *state, pal_attacking_t *run, int64_t step, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err);

    /* Optional. Answer facts[0..n) of the corpus from their questions: choice[i] is the
     * index of a choice, or -1 for no answer. Asked in place of the likelihood of the
     * choices (eval/choice.h) at every look after the start, of the dev fold and of V;
     * `weights` as for step(). */
    int (*answer)(void *state, pal_attacking_t *run, const float *weights,
                  const int32_t *facts, int32_t n, int32_t *choice, pal_error_t *err);
    void (*end)(void *state); /* optional */
} pal_attack_t;

/* A step of fine-tuning: the loss on the next batch of `known`, question and answer, in
 * nats per token. */
PAL_MUST_CHECK
int pal_attack_nll(void *state, pal_attacking_t *run, int64_t step,
                   const float *weights, const uint8_t *train, float *grad,
                   double *loss, pal_error_t *err);

/* By attacks.def name. PAL_ENOENT lists the known names and the nearest. Static. */
PAL_MUST_CHECK
int pal_attack_find(const char *id, const pal_attack_t **attack, pal_error_t *err);
int pal_attack_count(void);
const char *pal_attack_id(int i);
const pal_attack_t *pal_attack_at(int i);

#endif
