/* world.h -- facts, and the contract a kind of world fulfils.
 *
 * A fact is a question with choices and one right answer, plus statements in plain text
 * that teach it. Forget facts lie in folds; retain facts must survive. A kind of world
 * is one file, src/world/<id>.c, with one symbol `const pal_world_kind_t
 * pal_world_<id>`, and one line in worlds.def.
 */
#ifndef PAL_WORLD_WORLD_H
#define PAL_WORLD_WORLD_H

#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/param.h"

typedef enum { PAL_FORGET, PAL_RETAIN } pal_role_t;

/* Statements that assert one and the same wrong answer. */
typedef struct {
    const char *answer;
    const char *const *statements;
    int32_t count; /* >= 1 */
} pal_falsehood_t;

typedef struct {
    const char *id;
    const char *relation; /* "" if none was given */
    pal_role_t role;
    int role_given; /* 1: by the file; then no fraction changes it */
    int32_t fold;   /* 0 .. folds-1; -1 for a retain fact */
    const char *question;
    const char *const *choices;
    int32_t choice_count; /* >= 2 */
    int32_t answer;       /* index into choices */
    const char *const *statements;
    int32_t statement_count; /* >= 1 */
    /* One per wrong answer: given by the file, or for a forget fact made by putting a
     * wrong choice in the place of the answer in each statement. Empty if neither is
     * possible. */
    const pal_falsehood_t *falsehoods;
    int32_t falsehood_count;
    int32_t line; /* in the facts file; 0 if generated */
} pal_fact_t;

typedef struct pal_world {
    pal_fact_t *facts; /* file or generation order */
    int32_t count;
    int32_t folds;      /* folds of the forget facts, >= 3 */
    pal_arena_t arena;  /* owns every string and table */
    pal_key_t key;      /* hash of everything above: text, order, roles, folds */
    const char *source; /* facts file, for messages; NULL if generated */
} pal_world_t;

typedef struct {
    const char *summary; /* one line */
    const pal_param_t *params;
    size_t state_size; /* bytes, <= PAL_STATE_MAX */

    /* Required. Fill *world but its key (zeroed by the caller, who frees it in any
     * case). Deterministic. `state` holds the parameters. PAL_EINVAL: the message names
     * file, line, key, what was expected; PAL_ENOENT: no such file. */
    int (*make)(const void *state, pal_world_t *world, pal_error_t *err);
} pal_world_kind_t;

/* By worlds.def name. PAL_ENOENT lists the known names and the nearest. Static
 * lifetime. */
PAL_MUST_CHECK
int pal_world_find(const char *id, const pal_world_kind_t **kind, pal_error_t *err);
int pal_world_kinds(void);
const char *pal_world_kind_id(int i);
const pal_world_kind_t *pal_world_kind_at(int i);

/* make(), then check (>= 2 facts in each of >= 3 folds, >= 1 retain fact) and seal
 * (key). On failure *world is zeroed and holds nothing. */
PAL_MUST_CHECK
int pal_world_make(const pal_world_kind_t *kind, const void *state, pal_world_t *world,
                   pal_error_t *err);
void pal_world_free(pal_world_t *world); /* a zeroed world is allowed */

/* Mean over forget facts of 1 / choices. */
double pal_world_chance(const pal_world_t *world);

/* Facts of a role (and of a fold if fold >= 0) into indices[0..count); returns how
 * many. */
int32_t pal_world_select(const pal_world_t *world, pal_role_t role, int32_t fold,
                         int32_t *indices);

#endif
