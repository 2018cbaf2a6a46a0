/* facts_file.h -- the JSON Lines file a person writes facts in.
 *
 * One object a line: id, question, choices, answer (0-based index), statements;
 * optional relation, role ("forget" | "retain"), fold, false_statements
 * ([{"answer": "...", "statements": ["...", ...]}, ...]). Unknown keys are errors.
 */
#ifndef PAL_WORLD_FACTS_FILE_H
#define PAL_WORLD_FACTS_FILE_H

#include "world/world.h"

enum { PAL_FOLD_MAX = 100 }; /* folds in a file are 0 .. PAL_FOLD_MAX - 1 */

/* Read into facts (strings in arena). Facts without a fold or role get fold -1 and role
 * PAL_FORGET; the caller assigns. Refuses malformed JSON, non-UTF-8, unknown or missing
 * keys, wrong types, fewer than 2 choices, an answer out of range, repeated choices, a
 * duplicate id, the same question twice (conflicting answers said as such):
 * "<path>:<line>: ...". PAL_ENOENT: no such file; PAL_EIO: it cannot be read. */
PAL_MUST_CHECK
int pal_facts_read(const char *path, pal_arena_t *arena, pal_fact_t **facts,
                   int32_t *count, pal_error_t *err);

/* 1 if two choices are the same tokens: a question ends with "<choice>.", where a choice
 * brings no period of its own, and a line break is a space (corpus.c). */
int pal_choices_alike(const char *a, const char *b);

enum { PAL_FLAWS_MOST = 20 };

/* What is wrong with a file. */
typedef struct {
    const char *texts[PAL_FLAWS_MOST]; /* the first of them: "<path>:<line>: ..." */
    int32_t count;                     /* all */
} pal_flaws_t;

/* What pal_facts_read() refuses the file for, all at once: the first flaw of each line,
 * then the facts that repeat another (texts in arena). Nothing is PAL_OK with count 0.
 * PAL_EINVAL: no facts file, for it is a folder, empty or without any JSON object. */
PAL_MUST_CHECK
int pal_facts_flaws(const char *path, pal_arena_t *arena, pal_flaws_t *flaws,
                    pal_error_t *err);

/* A guess floor further above chance than this gets a warning. */
#define PAL_FLOOR_MARGIN 0.10

/* What `palimpsest facts check` says of a file beyond what reading refuses. Floors are
 * fractions of forget facts right when always taking ... "Right elsewhere" counts the
 * forget facts of other folds: what one who knows T sees of a fact in V. For a fact
 * without a fold in the file, elsewhere is every other forget fact. */
typedef struct {
    int32_t facts, forget, retain, relations;
    int32_t folds;            /* that the file names */
    double chance;            /* mean of 1 / choices */
    double longest_choice;    /* ... the longest choice (ties count 1 / tied) */
    double majority_position; /* ... the most frequent position of the answer */
    double majority_answer;   /* ... the choice most often right elsewhere (ties count
                                 1 / tied) */
    double rarest_answer;     /* ... the one least often right elsewhere: high if wrong
                                 choices are mostly right answers of other folds */
    int32_t open; /* of forget: without a role, where a world retains a part of them */
    int32_t warnings;
    int usable;          /* 0: no parameters make a world of the file */
    pal_error_t refusal; /* what a world with the default parameters says, or "" */
} pal_facts_report_t;

/* Each warning is passed to say(ctx, line number, text): a question that contains its
 * answer, a statement without the answer's text (no false version can be derived), a
 * fact of a single statement, statements repeated between facts; of the whole file
 * (line 0): a world needs other parameters than the defaults, a guess floor that
 * exceeds chance by more than PAL_FLOOR_MARGIN. */
typedef void (*pal_facts_say_t)(void *ctx, int32_t line, const char *text);
PAL_MUST_CHECK
int pal_facts_check(const char *path, pal_facts_say_t say, void *ctx,
                    pal_facts_report_t *report, pal_error_t *err);

/* Turn an official RTT folder (Years, MMLU, WMDP or Random Birthdays layout, recognised
 * by its files) into a facts file at out (temporary name, fsync, rename). What was
 * joined and what was dropped and why goes to say(ctx, 0, text). */
PAL_MUST_CHECK
int pal_facts_import_rtt(const char *folder, const char *out, pal_facts_say_t say,
                         void *ctx, pal_error_t *err);

#endif
