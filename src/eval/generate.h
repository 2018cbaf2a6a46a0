/* generate.h -- continuations of prompts, greedy or sampled.
 *
 * Every token costs a forward pass over the texts that still grow; nothing is cached
 * from one to the next.
 */
#ifndef PAL_EVAL_GENERATE_H
#define PAL_EVAL_GENERATE_H

#include "model/pass.h"

typedef struct {
    int32_t most;       /* tokens added to a prompt at most, >= 0 */
    int32_t stop;       /* the token that ends a text, as its last one; -1: none */
    double temperature; /* > 0: drawn from softmax(logits / temperature); 0: the token
                         * with the largest logit, of equals the first */
    pal_key_t key;      /* of the draws; each prompt has a stream of its own */
} pal_generation_t;

/* Room for texts, made once and reused. */
typedef struct pal_generator pal_generator_t;

/* For up to `prompts` texts of up to a context of tokens. */
PAL_MUST_CHECK
int pal_generator_create(const pal_layout_t *layout, int32_t prompts,
                         pal_generator_t **out, pal_error_t *err);
void pal_generator_destroy(pal_generator_t *generator);

/* Continue every sequence of prompts (its weights, ids and stems are not read) until
 * the stop token, `most` tokens or the end of the context. *texts is borrowed until the
 * next run: prompts with their continuations, weight 1 on what was added and 0 on the
 * rest. Overwrites the pass's activations.
 *
 * PAL_EINVAL: more prompts than there is room for, an empty one or one that exceeds the
 * context, a token id or a temperature out of range; the message has the value.
 * PAL_EDIVERGE: a logit is not finite. */
PAL_MUST_CHECK
int pal_generator_run(pal_generator_t *generator, pal_pass_t *pass,
                      const float *weights, const pal_batch_t *prompts,
                      const pal_generation_t *how, const pal_batch_t **texts,
                      pal_error_t *err);

#endif
