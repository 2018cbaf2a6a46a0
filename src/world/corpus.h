/* corpus.h -- a world as token sequences, and streams of batches drawn from it.
 *
 * Every text of a world is tokenised once. An example is one sequence: the separator,
 * then a statement, or "Q: <question> A: <choice>." with a choice. Stages choose
 * examples by number and share the corpus, which is immutable.
 */
#ifndef PAL_WORLD_CORPUS_H
#define PAL_WORLD_CORPUS_H

#include "base/rng.h"
#include "model/pass.h"
#include "model/tokenizer.h"
#include "world/world.h"

typedef enum {
    PAL_STATEMENT, /* true, plain text */
    PAL_FALSEHOOD, /* wrong, plain text; group = index of the wrong answer */
    PAL_QUESTION   /* question form with choice number `group` */
} pal_form_t;

typedef struct {
    int32_t fact;
    pal_form_t form;
    int32_t group;
    int32_t start, length; /* tokens in corpus->tokens, separator included */
    int32_t prompt;        /* tokens before the choice of a question; 0 otherwise */
} pal_example_t;

typedef struct {
    const pal_world_t *world;   /* borrowed */
    pal_tokenizer_t *tokenizer; /* owned */
    int32_t *tokens;
    pal_example_t *examples; /* by fact, then statements, falsehoods, questions */
    int32_t count;
    int32_t *first;  /* (facts + 1) first example of each fact */
    int32_t longest; /* tokens of the longest example */
} pal_corpus_t;

/* Build the tokenizer from the world's true and false texts (at most `words` words) and
 * tokenise. On failure *corpus is zeroed. */
PAL_MUST_CHECK
int pal_corpus_create(const pal_world_t *world, int32_t words, pal_corpus_t *corpus,
                      pal_error_t *err);
void pal_corpus_free(pal_corpus_t *corpus);

/* The example that asks the fact with that choice. */
int32_t pal_corpus_question(const pal_corpus_t *corpus, int32_t fact, int32_t choice);

/* --- Pools: lists of examples a stream draws from --- */

typedef struct {
    int32_t *examples; /* owned; one entry may occur several times (weight) */
    int32_t count, capacity;
} pal_pool_t;

/* Append `copies` times every example of that form of the fact. Questions: only the one
 * with the right answer. */
PAL_MUST_CHECK
int pal_pool_add(pal_pool_t *pool, const pal_corpus_t *corpus, int32_t fact,
                 pal_form_t form, int32_t copies, pal_error_t *err);
/* As above for one group of falsehoods. */
PAL_MUST_CHECK
int pal_pool_add_group(pal_pool_t *pool, const pal_corpus_t *corpus, int32_t fact,
                       int32_t group, pal_error_t *err);
/* Append one example. PAL_ENOMEM; the pool is then as it was. */
PAL_MUST_CHECK
int pal_pool_push(pal_pool_t *pool, int32_t example, pal_error_t *err);
void pal_pool_free(pal_pool_t *pool);
double pal_pool_mean_length(const pal_pool_t *pool,
                            const pal_corpus_t *corpus); /* tokens */

/* --- Streams: batches without end --- */

/* Draws `batch` examples at a time from a pool, every epoch a fresh permutation. */
typedef struct pal_stream pal_stream_t;

/* The corpus is borrowed, the pool copied; the order comes from rng stream `name` of
 * key. PAL_EINVAL if the pool is empty (named by `name`). */
PAL_MUST_CHECK
int pal_stream_create(const pal_corpus_t *corpus, const pal_pool_t *pool, int32_t batch,
                      pal_key_t key, const char *name, pal_stream_t **out,
                      pal_error_t *err);
void pal_stream_destroy(pal_stream_t *stream);

/* Leave the tokens before number `from` (>= 1, in its example) of the pool's entry
 * `entry` out of what is predicted. */
void pal_stream_predict_from(pal_stream_t *stream, int32_t entry, int32_t from);

/* The next batch; borrowed until the next call. All tokens but the first of each
 * sequence (or those before pal_stream_predict_from()) have weight 1. ids are example
 * numbers. No allocation. */
const pal_batch_t *pal_stream_next(pal_stream_t *stream);

/* Likewise, with what its texts begin with in common held once (share.h), without ids.
 * Faster, for losses that are sums over tokens. */
const pal_batch_t *pal_stream_next_shared(pal_stream_t *stream);

/* Sequences of every batch, and the most tokens one can have. */
int32_t pal_stream_sequences(const pal_stream_t *stream);
int32_t pal_stream_most_tokens(const pal_stream_t *stream);

/* Make room in a pass for any batch of the stream, so that no later forward allocates;
 * with_logits = 0 if none goes up to the logits. */
PAL_MUST_CHECK
int pal_stream_reserve(const pal_stream_t *stream, pal_pass_t *pass, int with_logits,
                       pal_error_t *err);

/* That the stream draws from: ids are in [0, corpus->count). */
const pal_corpus_t *pal_stream_corpus(const pal_stream_t *stream);

#endif
