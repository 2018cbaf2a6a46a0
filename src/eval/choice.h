/* choice.h -- multiple choice by likelihood.
 *
 * A fact counts as right if the right choice has strictly the lowest summed NLL after
 * the question among all choices; a tie or a NaN is wrong.
 */
#ifndef PAL_EVAL_CHOICE_H
#define PAL_EVAL_CHOICE_H

#include "model/edit.h"
#include "world/corpus.h"

/* Tokens of a batch for scoring, each choice with its question: what is left of them
 * when what they begin with is shared makes large matrix products and yet stays in
 * cache. Only a fact that is longer makes a longer one. */
enum { PAL_SCORED_TOKENS = 4096 };

/* Batches for scoring, built once per corpus and reused. */
typedef struct pal_scorer pal_scorer_t;

PAL_MUST_CHECK
int pal_scorer_create(const pal_corpus_t *corpus, pal_scorer_t **out, pal_error_t *err);
void pal_scorer_destroy(pal_scorer_t *scorer);

/* Score facts[0..n): right[i] = 1 or 0 (NULL allowed) and the fraction in *accuracy
 * (NaN if n = 0). Overwrites the pass's activations. */
PAL_MUST_CHECK
int pal_scorer_run(pal_scorer_t *scorer, pal_pass_t *pass, const float *weights,
                   const int32_t *facts, int32_t n, uint8_t *right, double *accuracy,
                   pal_error_t *err);

/* The same of a model with these edits: does it still answer without this direction?
 * They have to be the same at every token: PAL_EINVAL for a delta of several rows, and
 * for a gate, which no answer notices. */
PAL_MUST_CHECK
int pal_scorer_run_edited(pal_scorer_t *scorer, pal_pass_t *pass, const float *weights,
                          const pal_edit_t *edits, int32_t count, const int32_t *facts,
                          int32_t n, uint8_t *right, double *accuracy,
                          pal_error_t *err);

#endif
