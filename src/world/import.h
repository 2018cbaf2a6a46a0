/* import.h -- what the readers of foreign question sets share: rows of a folder, drafts
 * of facts, a tally of what was dropped.
 */
#ifndef PAL_WORLD_IMPORT_H
#define PAL_WORLD_IMPORT_H

#include <jansson.h>

#include "world/facts_file.h"

/* Why something was left out, and what it is called in the report. */
#define PAL_DROPS(X)                                                                   \
    X(PAL_DROP_TWIN, "questions that occurred before with the same answer")            \
    X(PAL_DROP_CONFLICT, "questions that occurred before with another answer")         \
    X(PAL_DROP_REPEATED_CHOICE, "questions with a repeated choice")                    \
    X(PAL_DROP_NO_TEXT, "questions without a text")                                    \
    X(PAL_DROP_DISAGREE, "questions whose text gives another answer")                  \
    X(PAL_DROP_UNASKED, "texts of events without a question")                          \
    X(PAL_DROP_SILENT, "texts that do not say the answer")                             \
    X(PAL_DROP_FALSE_SILENT, "false texts that say none of the answers")               \
    X(PAL_DROP_FALSE_TRUE, "false texts that say the right answer")                    \
    X(PAL_DROP_FALSE_MANY, "false texts that say several answers")                     \
    X(PAL_DROP_FALSE_TWIN, "false texts that were there before")

enum pal_drop {
#define X(name, text) name,
    PAL_DROPS(X)
#undef X
        PAL_DROP_KINDS
};

typedef struct {
    const char *folder;
    json_t *facts;     /* owned array of facts as in facts_file.h */
    json_t *questions; /* owned set of the questions met: text -> right answer */
    int32_t dropped[PAL_DROP_KINDS];
    pal_error_t *err;
} pal_import_t;

/* Where a fact comes from. Borrowed for one call. */
typedef struct {
    const char *set;        /* file of the question, "split_0" */
    size_t row;             /* of the question in it, from 0 */
    const char *relation;   /* NULL: none */
    const char *role;       /* NULL: left open */
    int fold;               /* -1: left open or none */
    const json_t *question; /* row with question, choices, answer */
    const json_t *texts;    /* array of true texts, rows with text */
    const json_t *lies;     /* array of rows with text, correct_answer, wrong_answers */
    int must_say_answer;    /* drop true texts that do not */
} pal_draft_t;

/* 1 if folder holds <prefix><set>.jsonl. */
int pal_import_has(const pal_import_t *import, const char *prefix, const char *set);

/* All rows of <prefix><set>.jsonl (owned array). If the file is missing and may be, an
 * empty array. PAL_EINVAL names file and line. */
PAL_MUST_CHECK
int pal_import_rows(const pal_import_t *import, const char *prefix, const char *set,
                    int may_miss, json_t **rows);

/* "<path>:<line>" of a row that pal_import_rows() read. Borrowed. */
const char *pal_import_place(const json_t *row);

/* The text of a row's key. PAL_EINVAL names file, line and key. */
PAL_MUST_CHECK
int pal_import_text(const pal_import_t *import, const json_t *row, const char *key,
                    const char **text);

/* An answer as text: a string itself, a whole number written out. NULL: neither, or out
 * of memory. Owned by the caller. */
json_t *pal_import_answer(const json_t *value);

/* Make a fact of the draft, or note why not. */
PAL_MUST_CHECK
int pal_import_add(pal_import_t *import, const pal_draft_t *draft);

#endif
