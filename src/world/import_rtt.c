/* The question sets published with "Do Unlearning Methods Remove Information from
 * Language Model Weights?" (Deeb & Roger, arXiv 2410.08827): Years, MMLU, WMDP and
 * Random Birthdays.
 *
 * A set is a file of questions <set>.jsonl, with three true texts a question in
 * corpus_<set>, texts of changing wrong answers in whp_corpus_<set>, and texts of one
 * fixed wrong answer in fwf_corpus_<set>.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "world/import.h"
#include "world/jsonl.h"

enum { TEXTS_EACH = 3, SET_NAME = 64 };

/* The right choice of a question row as text (owned); NULL if there is none. */
static json_t *right_choice(const json_t *row)
{
    const json_t *choices = json_object_get(row, "choices");
    json_int_t i = json_integer_value(json_object_get(row, "answer"));

    return i < 0 ? NULL : pal_import_answer(json_array_get(choices, (size_t)i));
}

/* Append to `out` the rows that belong to question k of their set: those that name the
 * question and its answer or, where rows name none, rows 3k to 3k + 2. */
static int collect(json_t *out, const json_t *rows, const char *question,
                   const json_t *right, size_t k)
{
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        const char *named =
            json_string_value(json_object_get(row, "original_question"));
        json_t *answer;
        int mine = i / TEXTS_EACH == k;

        if (named) {
            answer = pal_import_answer(json_object_get(row, "correct_answer"));
            mine = strcmp(named, question) == 0 && json_equal(answer, right);
            json_decref(answer);
        }
        if (mine && json_array_append(out, row) < 0)
            return -1;
    }
    return 0;
}

/* --- Years: questions and texts are split differently, joined by the event --- */

/* What both spellings of a question have in common: the event, its lower-case letters,
 * digits and spaces. Owned. */
static json_t *event_key(const char *question)
{
    const char *line = strchr(question, '\n');
    char *key = strdup(line ? line + 1 : question);
    size_t n = 0;
    json_t *out;

    for (const char *p = key; p && *p; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;

        if (c == ' ' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            key[n++] = c;
    }
    out = key ? json_stringn(key, n) : NULL;
    free(key);
    return out;
}

/* {answer, texts, lies} of row k of a tf_ file (owned). NULL: out of memory or no
 * answer. */
static json_t *read_event(json_t *const rows[4], size_t k)
{
    const json_t *row = json_array_get(rows[0], k);
    json_t *answer = pal_import_answer(json_object_get(row, "correct_answer"));
    json_t *texts = json_array(), *lies = json_array();
    int bad = !answer || collect(texts, rows[1], "", NULL, k) < 0 ||
              collect(lies, rows[2], "", NULL, k) < 0 ||
              collect(lies, rows[3], "", NULL, k) < 0;
    json_t *event =
        json_pack("{s:o,s:o,s:o}", "answer", answer, "texts", texts, "lies", lies);

    if (!bad)
        return event;
    json_decref(event);
    return NULL;
}

/* Adds the events of a text split to map: key -> event. */
static int read_events(pal_import_t *import, const char *set, json_t *map)
{
    static const char *const prefixes[] = {"tf_", "corpus_", "whp_corpus_",
                                           "fwf_corpus_"};
    json_t *rows[4] = {NULL}, *row;
    size_t k;
    int rc = PAL_OK;

    for (int i = 0; i < 4 && rc == PAL_OK; i++)
        rc = pal_import_rows(import, prefixes[i], set, i > 1, &rows[i]);
    json_array_foreach(rows[0], k, row)
    {
        const char *question;
        json_t *key, *event;

        if (rc == PAL_OK)
            rc = pal_import_text(import, row, "question", &question);
        if (rc != PAL_OK)
            break;
        key = event_key(question);
        event = read_event(rows, k);
        if (!event)
            rc = PAL_REJECT(import->err, "%s: key 'correct_answer': expected an answer",
                            pal_import_place(row));
        else if (!json_object_get(map, json_string_value(key)))
            json_object_set(map, json_string_value(key), event);
        json_decref(event);
        json_decref(key);
    }
    for (int i = 0; i < 4; i++)
        json_decref(rows[i]);
    return rc;
}

static int join_question(pal_import_t *import, pal_draft_t *draft, json_t *map)
{
    const char *question;
    json_t *key, *event, *right;
    int rc = pal_import_text(import, draft->question, "question", &question);

    if (rc != PAL_OK)
        return rc;
    key = event_key(question);
    event = json_object_get(map, json_string_value(key));
    right = right_choice(draft->question);
    if (event && right && !json_equal(right, json_object_get(event, "answer"))) {
        import->dropped[PAL_DROP_DISAGREE]++;
    } else {
        draft->texts = json_object_get(event, "texts");
        draft->lies = json_object_get(event, "lies");
        rc = pal_import_add(import, draft);
    }
    if (event)
        json_object_set_new(event, "asked", json_true());
    json_decref(key);
    json_decref(right);
    return rc;
}

static int ask_split(pal_import_t *import, int fold, json_t *map)
{
    char set[SET_NAME];
    json_t *rows = NULL, *row;
    size_t k;
    int rc;

    snprintf(set, sizeof set, "split_%d", fold);
    rc = pal_import_rows(import, "", set, 1, &rows);
    json_array_foreach(rows, k, row)
    {
        pal_draft_t draft = {.set = set,
                             .row = k,
                             .relation = "event-year",
                             .fold = fold,
                             .question = row,
                             .must_say_answer = 1};

        if (rc == PAL_OK)
            rc = join_question(import, &draft, map);
    }
    json_decref(rows);
    return rc;
}

static int import_years(pal_import_t *import)
{
    json_t *map = json_object(), *event;
    char set[SET_NAME];
    const char *key;
    int rc = map ? PAL_OK : PAL_FAIL(import->err, PAL_ENOMEM, "the events");

    for (int i = 0; rc == PAL_OK && i < PAL_FOLD_MAX; i++) {
        snprintf(set, sizeof set, "split_%d", i);
        if (pal_import_has(import, "tf_", set))
            rc = read_events(import, set, map);
    }
    for (int i = 0; rc == PAL_OK && i < PAL_FOLD_MAX; i++)
        rc = ask_split(import, i, map);
    json_object_foreach (map, key, event) {
        import->dropped[PAL_DROP_UNASKED] += !json_object_get(event, "asked");
    }
    json_decref(map);
    return rc;
}

/* --- The others: texts stand in the order of the questions or name them --- */

typedef struct {
    const char *set, *relation, *role;
    int fold;
    int dated; /* answers are years: a true text says its answer */
} part_t;

static int import_part(pal_import_t *import, const part_t *part)
{
    static const char *const prefixes[] = {"", "corpus_", "whp_corpus_", "fwf_corpus_"};
    json_t *rows[4] = {NULL}, *row;
    size_t k;
    int rc = PAL_OK;

    for (int i = 0; i < 4 && rc == PAL_OK; i++)
        rc = pal_import_rows(import, prefixes[i], part->set, i > 1, &rows[i]);
    json_array_foreach(rows[0], k, row)
    {
        json_t *texts = json_array(), *lies = json_array(), *right = right_choice(row);
        pal_draft_t draft = {part->set, k,     part->relation, part->role, part->fold,
                             row,       texts, lies,           part->dated};
        const char *question;

        if (rc == PAL_OK)
            rc = pal_import_text(import, row, "question", &question);
        if (rc == PAL_OK && (collect(texts, rows[1], question, right, k) < 0 ||
                             collect(lies, rows[2], question, right, k) < 0 ||
                             collect(lies, rows[3], question, right, k) < 0))
            rc = PAL_FAIL(import->err, PAL_ENOMEM, "the texts of %s", part->set);
        if (rc == PAL_OK)
            rc = pal_import_add(import, &draft);
        json_decref(texts);
        json_decref(lies);
        json_decref(right);
    }
    for (int i = 0; i < 4; i++)
        json_decref(rows[i]);
    return rc;
}

/* The paper's split: five categories to forget, each a fold, and five to retain. */
static const part_t mmlu_parts[] = {
    {"mmlu_STEM", "STEM", "forget", 0, 0},
    {"mmlu_business", "business", "forget", 1, 0},
    {"mmlu_chemistry", "chemistry", "forget", 2, 0},
    {"mmlu_culture", "culture", "forget", 3, 0},
    {"mmlu_geography", "geography", "forget", 4, 0},
    {"mmlu_health", "health", "retain", -1, 0},
    {"mmlu_history", "history", "retain", -1, 0},
    {"mmlu_law", "law", "retain", -1, 0},
    {"mmlu_philosophy", "philosophy", "retain", -1, 0},
    {"mmlu_social_sciences", "social sciences", "retain", -1, 0},
    {"mmlu_social sciences", "social sciences", "retain", -1, 0},
};

enum { MMLU_PARTS = sizeof mmlu_parts / sizeof mmlu_parts[0] };

static int has_mmlu(const pal_import_t *import)
{
    int found = 0;

    for (int i = 0; i < MMLU_PARTS; i++)
        found += pal_import_has(import, "", mmlu_parts[i].set);
    return found > 0;
}

static int import_mmlu(pal_import_t *import)
{
    int rc = PAL_OK;

    for (int i = 0; rc == PAL_OK && i < MMLU_PARTS; i++)
        if (pal_import_has(import, "", mmlu_parts[i].set))
            rc = import_part(import, &mmlu_parts[i]);
    return rc;
}

/* Random Birthdays has years as numbers and keeps splits 5 to 9 as retain facts; the
 * WMDP layout has texts and leaves the roles open. */
static int has_numbers(pal_import_t *import, int *numbers)
{
    json_t *rows = NULL;
    const json_t *choices;
    int rc = pal_import_rows(import, "", "split_0", 0, &rows);

    choices = json_object_get(json_array_get(rows, 0), "choices");
    *numbers = json_is_integer(json_array_get(choices, 0));
    json_decref(rows);
    return rc;
}

static int import_splits(pal_import_t *import, const char **layout)
{
    char set[SET_NAME];
    int birthdays, rc = has_numbers(import, &birthdays);

    *layout = birthdays ? "Random Birthdays" : "WMDP";
    for (int i = 0; rc == PAL_OK && i < PAL_FOLD_MAX; i++) {
        part_t part = {set, NULL, NULL, i, birthdays};

        snprintf(set, sizeof set, "split_%d", i);
        if (birthdays) {
            part.relation = "person-birth";
            part.role = i < 5 ? "forget" : "retain";
            part.fold = i < 5 ? i : -1;
        }
        if (pal_import_has(import, "", set))
            rc = import_part(import, &part);
    }
    return rc;
}

/* --- All layouts --- */

static int import_folder(pal_import_t *import, const char **layout)
{
    struct stat about;

    if (stat(import->folder, &about) != 0)
        return pal_fail_(import->err, PAL_ENOENT, NULL, 0, "%s: no such folder",
                         import->folder);
    if (!S_ISDIR(about.st_mode))
        return PAL_REJECT(import->err, "%s: not a folder but a file", import->folder);
    *layout = "Years";
    if (pal_import_has(import, "tf_", "split_0"))
        return import_years(import);
    *layout = "MMLU";
    if (has_mmlu(import))
        return import_mmlu(import);
    if (pal_import_has(import, "", "split_0"))
        return import_splits(import, layout);
    return PAL_REJECT(
        import->err,
        "%s: no known layout; expected tf_split_0.jsonl (Years), "
        "mmlu_STEM.jsonl (MMLU) or split_0.jsonl (WMDP, Random Birthdays)",
        import->folder);
}

static void tell(const pal_import_t *import, const char *layout, pal_facts_say_t say,
                 void *ctx)
{
    static const char *const what[] = {
#define X(name, text) text,
        PAL_DROPS(X)
#undef X
    };
    char text[256];

    if (!say)
        return;
    snprintf(text, sizeof text, "%s layout: %zu facts", layout,
             json_array_size(import->facts));
    say(ctx, 0, text);
    for (int i = 0; i < PAL_DROP_KINDS; i++) {
        if (import->dropped[i] == 0)
            continue;
        snprintf(text, sizeof text, "dropped %d %s", import->dropped[i], what[i]);
        say(ctx, 0, text);
    }
}

static int is_readable(const char *path, pal_error_t *err)
{
    pal_facts_report_t report;

    return pal_facts_check(path, NULL, NULL, &report, err);
}

int pal_facts_import_rtt(const char *folder, const char *out, pal_facts_say_t say,
                         void *ctx, pal_error_t *err)
{
    pal_import_t import = {.folder = folder,
                           .facts = json_array(),
                           .questions = json_object(),
                           .err = err};
    const char *layout = NULL;
    int rc = import_folder(&import, &layout);

    if (rc == PAL_OK && json_array_size(import.facts) == 0)
        rc = PAL_REJECT(err, "%s: no question could be used", folder);
    if (rc == PAL_OK)
        rc = pal_jsonl_write(out, import.facts, is_readable, err);
    if (rc == PAL_OK)
        tell(&import, layout, say, ctx);
    json_decref(import.facts);
    json_decref(import.questions);
    return rc;
}
