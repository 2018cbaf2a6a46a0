/* method.h -- the contract an unlearning method fulfils.
 *
 * A method is one file, src/unlearn/<id>.c, with one symbol `const pal_method_t
 * pal_method_<id>`, and one line in methods.def. It computes a loss and gradients from
 * plain text about the forget facts and a sample of the retain data. It never owns the
 * loop, the optimizer or the clock (train.h).
 *
 * The loss is coefficient * L_forget + L_retain: `coefficient` is the weight of the
 * unlearning term, the retain term having weight 1.
 */
#ifndef PAL_UNLEARN_METHOD_H
#define PAL_UNLEARN_METHOD_H

#include <stdatomic.h>

#include "base/param.h"
#include "model/pass.h"
#include "train/adapter.h"
#include "world/corpus.h"

/* What the forget stream carries. */
typedef enum {
    PAL_TRUE_TEXT,    /* statements of every forget fact */
    PAL_RANDOM_FALSE, /* statements of every wrong answer of every forget fact */
    PAL_FIXED_FALSE,  /* statements of one wrong answer per forget fact, drawn once */
    /* True statements, and in the twin stream the same with a wrong answer, each wrong
     * answer in its turn; predicted is only what follows the parting (world/pair.h). */
    PAL_PAIRED
} pal_forget_text_t;

/* A method that trains nothing is a control. */
typedef enum {
    PAL_UNLEARNS,
    PAL_CEILING, /* the base model as it is */
    PAL_FLOOR    /* a base model that was never taught the forget facts */
} pal_method_role_t;

/* What its steps compute of a batch; `plan` counts with it. */
typedef enum {
    PAL_LOGITS,       /* logits, of texts whose common beginnings are shared */
    PAL_WHOLE_LOGITS, /* logits of some whole texts (pal_stream_next()) */
    PAL_WHOLE_TAPS    /* whole texts up to a tap, no logits */
} pal_method_pass_t;

/* What the engine lends to a method for one run. */
typedef struct {
    const pal_layout_t *layout;
    /* Weights before unlearning, the frozen reference. In begin() always; later NULL
     * unless the method asks for them (`frozen` below). */
    const float *start;
    /* For the weights being trained, and used between steps as well; has room for every
     * batch of the streams. */
    pal_pass_t *pass;
    /* For the reference, its activations live beside pass's; begin() makes room for
     * what will run on it (pal_stream_reserve()), because no step may allocate. */
    pal_pass_t *frozen;
    pal_stream_t *forget; /* as .text asks */
    pal_stream_t *twin;   /* PAL_PAIRED, else NULL: row b is the twin of forget's; they
                           * are drawn from in turn */
    pal_stream_t *retain; /* statements and questions of the retain facts */
    double coefficient;
    int64_t steps;
    pal_key_t key;          /* of this stage, for random streams */
    const atomic_int *stop; /* for runs within a step (train.h); may be NULL */
} pal_unlearning_t;

typedef struct {
    const char *summary; /* one line; cite the paper */
    pal_method_role_t role;
    pal_forget_text_t text;
    const pal_param_t *params; /* beside the common ones (stage/spec.h) */
    size_t state_size;         /* bytes, parameters included, <= PAL_STATE_MAX */
    double cost; /* of a step, in training steps on one batch; 0 means 2 */
    /* Further operations for each pair of forget tokens, block and width: of a loss
     * that compares all with all. */
    double pair_cost;
    pal_method_pass_t computes;
    int buffers;   /* of the weights' size that begin() makes */
    int reference; /* 1 if it runs run->frozen */

    /* 1 if edit() or step() read run->start: it is then kept beside the weights. */
    int frozen;

    /* 1 if what step() leaves in grad is a direction to go against and not the gradient
     * of *loss: masked, normalised, taken at other weights, weighted by constants that
     * depend on the weights (WGA). The contract suite then does not compare them, so
     * that what is exact about it needs a test of its own. */
    int direction;

    /* Optional. PAL_EINVAL if the parameters do not fit a model of this shape, or these
     * common ones (stage/spec.h): the message says which, its value and what was
     * expected. */
    int (*check)(const void *state, const pal_shape_t *shape, int64_t steps,
                 double budget, pal_error_t *err);

    /* Optional. Multiplier of the learning rate for this slice: 0 freezes it, a
     * negative one ascends. Default: 1 for every slice. */
    double (*rate)(const void *state, const pal_layout_t *layout,
                   const pal_slice_t *slice);

    /* Optional. The adapter that is trained in place of the weights, of a method that
     * cannot do without one: a config asks for one of any other (`adapter`,
     * stage/spec.h). The engine makes it, merges it before every step and every look,
     * and passes its gradient on; step() sees merged weights, and the result is merged.
     * Not together with edit(): PAL_EINVAL. */
    void (*adapter)(const void *state, pal_adapter_spec_t *spec);

    /* Optional. Allocate scratch, measure the frozen model. The streams stand at their
     * beginning. */
    int (*begin)(void *state, pal_unlearning_t *run, pal_error_t *err);

    /* Optional. Change the weights outright before step `step`, e.g. to a noised
     * teacher before step 0 (train/snapshot.h). `train` has one flag per slice. */
    int (*edit)(void *state, pal_unlearning_t *run, int64_t step, const uint8_t *train,
                float *weights, pal_error_t *err);

    /* Required unless a control. Add the gradient of the loss at `weights` to grad,
     * which is zeroed, and store the loss (nats per token or as the method defines).
     * `train` is to be handed to pal_backward(). Deterministic. */
    int (*step)(void *state, pal_unlearning_t *run, int64_t step, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err);

    /* Optional. Release what begin() took; called once if begin() was, also after a
     * failure. */
    void (*end)(void *state);
} pal_method_t;

/* By methods.def name. PAL_ENOENT lists the known names and the nearest. Static. */
PAL_MUST_CHECK
int pal_method_find(const char *id, const pal_method_t **method, pal_error_t *err);
int pal_method_count(void);
const char *pal_method_id(int i);
const pal_method_t *pal_method_at(int i);

/* The pass most methods are made of: next batch of the stream, token-mean NLL, weight
 * times its gradient added to grad, weight times its value added to *loss. */
PAL_MUST_CHECK
int pal_method_nll(pal_unlearning_t *run, pal_stream_t *stream, double weight,
                   const float *weights, const uint8_t *train, float *grad,
                   double *loss, pal_error_t *err);

/* *loss = forget_weight * NLL(forget) + NLL(retain), two passes of the above. */
PAL_MUST_CHECK
int pal_method_nll_pair(pal_unlearning_t *run, double forget_weight,
                        const float *weights, const uint8_t *train, float *grad,
                        double *loss, pal_error_t *err);

#endif
