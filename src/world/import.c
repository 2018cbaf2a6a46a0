#include "world/import.h"

#include <string.h>
#include <unistd.h>

#include "world/facts_file.h"
#include "world/falsehood.h"
#include "world/jsonl.h"

enum { PATH_MAX_BYTES = 4096, MOST_CHOICES = 64 };

/* Key under which a row remembers where it was read. */
static const char place_key[] = "@place";

static int no_memory(const pal_import_t *import)
{
    return PAL_FAIL(import->err, PAL_ENOMEM, "the facts of %s", import->folder);
}

/* --- Rows of a folder --- */

static void file_name(const pal_import_t *import, const char *prefix, const char *set,
                      char path[PATH_MAX_BYTES])
{
    snprintf(path, PATH_MAX_BYTES, "%s/%s%s.jsonl", import->folder, prefix, set);
}

int pal_import_has(const pal_import_t *import, const char *prefix, const char *set)
{
    char path[PATH_MAX_BYTES];

    file_name(import, prefix, set, path);
    return access(path, F_OK) == 0;
}

int pal_import_rows(const pal_import_t *import, const char *prefix, const char *set,
                    int may_miss, json_t **rows)
{
    char path[PATH_MAX_BYTES];
    pal_jsonl_t reader = {0};
    json_t *list = json_array(), *row = NULL;
    int rc = PAL_OK;

    file_name(import, prefix, set, path);
    if (!list)
        return no_memory(import);
    if (may_miss && access(path, F_OK) != 0)
        goto out;
    rc = pal_jsonl_open(path, &reader, import->err);
    while (rc == PAL_OK) {
        rc = pal_jsonl_next(&reader, &row, import->err);
        if (rc != PAL_OK || !row)
            break;
        json_object_set_new(row, place_key, json_sprintf("%s:%d", path, reader.line));
        if (json_array_append_new(list, row) < 0)
            rc = no_memory(import);
    }
    pal_jsonl_close(&reader);
out:
    if (rc != PAL_OK) {
        json_decref(list);
        return rc;
    }
    *rows = list;
    return PAL_OK;
}

const char *pal_import_place(const json_t *row)
{
    const char *place = json_string_value(json_object_get(row, place_key));

    return place ? place : "?";
}

int pal_import_text(const pal_import_t *import, const json_t *row, const char *key,
                    const char **text)
{
    const char *found = json_string_value(json_object_get(row, key));

    if (!found || !found[strspn(found, " \t\r\n")])
        return PAL_REJECT(import->err, "%s: key '%s': expected a text",
                          pal_import_place(row), key);
    *text = found;
    return PAL_OK;
}

json_t *pal_import_answer(const json_t *value)
{
    const char *text = json_string_value(value);

    if (text && text[strspn(text, " \t\r\n")])
        return json_string(text);
    if (json_is_integer(value))
        return json_sprintf("%lld", (long long)json_integer_value(value));
    return NULL;
}

/* --- Which answer does a text assert? --- */

/* "High." is said by "should be high". */
static int says(const char *text, const char *answer)
{
    char bare[512];
    size_t n = strlen(answer);

    if (n < 2 || n >= sizeof bare || answer[n - 1] != '.')
        return pal_text_find_nocase(text, answer, NULL) > 0;
    memcpy(bare, answer, n - 1);
    bare[n - 1] = 0;
    return pal_text_find_nocase(text, bare, NULL) > 0;
}

/* Position in answers of the one that text says. An answer that is part of another one
 * the text says does not count ("low" in "very low"). -1: none; -2: several. */
static int asserted(const char *text, const json_t *answers)
{
    size_t n = json_array_size(answers);
    int found = -1;

    for (size_t i = 0; i < n; i++) {
        const char *answer = json_string_value(json_array_get(answers, i));
        int counts = says(text, answer);

        for (size_t k = 0; counts && k < n; k++) {
            const char *other = json_string_value(json_array_get(answers, k));

            if (k != i && strlen(other) > strlen(answer) && says(text, other) &&
                says(other, answer))
                counts = 0;
        }
        if (counts && found != -1)
            return -2;
        if (counts)
            found = (int)i;
    }
    return found;
}

/* The right answer, then the wrong ones, as texts. NULL: the row has none or too many.
 */
static json_t *answers_of(const json_t *lie)
{
    const json_t *wrong = json_object_get(lie, "wrong_answers"), *value;
    json_t *answers = json_array();
    size_t i;

    json_array_append_new(answers,
                          pal_import_answer(json_object_get(lie, "correct_answer")));
    json_array_foreach(wrong, i, value)
    {
        if (i < MOST_CHOICES)
            json_array_append_new(answers, pal_import_answer(value));
    }
    if (json_array_size(answers) == json_array_size(wrong) + 1 &&
        json_array_size(wrong) > 0)
        return answers;
    json_decref(answers);
    return NULL;
}

/* --- Parts of a fact --- */

static int holds_text(const json_t *array, const char *text)
{
    const json_t *value;
    size_t i;

    json_array_foreach(array, i, value)
    {
        if (strcmp(json_string_value(value), text) == 0)
            return 1;
    }
    return 0;
}

/* The statements of that answer in an array as false_statements; made if missing. */
static json_t *lies_of(json_t *falsehoods, const char *answer)
{
    json_t *group, *statements = NULL;
    size_t i;

    json_array_foreach(falsehoods, i, group)
    {
        if (strcmp(json_string_value(json_object_get(group, "answer")), answer) == 0)
            return json_object_get(group, "statements");
    }
    group = json_pack("{s:s,s:[]}", "answer", answer, "statements");
    if (group)
        statements = json_object_get(group, "statements");
    return json_array_append_new(falsehoods, group) == 0 ? statements : NULL;
}

static int add_lie(pal_import_t *import, json_t *falsehoods, const json_t *lie,
                   const char *right)
{
    json_t *answers = answers_of(lie), *group;
    const char *text;
    int which, rc = pal_import_text(import, lie, "text", &text);

    if (rc == PAL_OK && !answers)
        rc = PAL_REJECT(import->err,
                        "%s: expected keys correct_answer and wrong_answers",
                        pal_import_place(lie));
    if (rc != PAL_OK) {
        json_decref(answers);
        return rc;
    }
    which = asserted(text, answers);
    if (which < 0) {
        import->dropped[which == -1 ? PAL_DROP_FALSE_SILENT : PAL_DROP_FALSE_MANY]++;
    } else if (which == 0 ||
               strcmp(json_string_value(json_array_get(answers, (size_t)which)),
                      right) == 0) {
        import->dropped[PAL_DROP_FALSE_TRUE]++;
    } else {
        group = lies_of(falsehoods,
                        json_string_value(json_array_get(answers, (size_t)which)));
        if (holds_text(group, text))
            import->dropped[PAL_DROP_FALSE_TWIN]++;
        else if (json_array_append_new(group, json_string(text)) < 0)
            rc = no_memory(import);
    }
    json_decref(answers);
    return rc;
}

static int add_statements(pal_import_t *import, const pal_draft_t *draft,
                          const char *right, json_t *statements)
{
    const json_t *row;
    size_t i;

    json_array_foreach(draft->texts, i, row)
    {
        const char *text;
        int rc = pal_import_text(import, row, "text", &text);

        if (rc != PAL_OK)
            return rc;
        if (draft->must_say_answer && pal_text_find(text, right, NULL) == 0)
            import->dropped[PAL_DROP_SILENT]++;
        else if (json_array_append_new(statements, json_string(text)) < 0)
            return no_memory(import);
    }
    return PAL_OK;
}

/* --- A fact --- */

/* The choices as texts into *choices; *repeated if two read alike. */
static int read_choices(const pal_import_t *import, const json_t *question,
                        json_t *choices, int *repeated)
{
    const json_t *list = json_object_get(question, "choices"), *value;
    size_t i, n = json_array_size(list);

    if (n < 2 || n > MOST_CHOICES)
        return PAL_REJECT(import->err, "%s: key 'choices': expected 2 to %d texts",
                          pal_import_place(question), MOST_CHOICES);
    json_array_foreach(list, i, value)
    {
        json_t *choice = pal_import_answer(value);

        if (!choice)
            return PAL_REJECT(import->err,
                              "%s: key 'choices': expected texts or whole numbers",
                              pal_import_place(question));
        for (size_t k = 0; k < i; k++)
            *repeated |=
                pal_choices_alike(json_string_value(json_array_get(choices, k)),
                                  json_string_value(choice));
        if (json_array_append_new(choices, choice) < 0)
            return no_memory(import);
    }
    return PAL_OK;
}

/* 1 if the question was met before; remembers it otherwise. The first row of a question
 * counts, whatever becomes of it. */
static int is_twin(pal_import_t *import, const char *question, const char *right)
{
    const char *before =
        json_string_value(json_object_get(import->questions, question));

    if (before)
        import
            ->dropped[strcmp(before, right) == 0 ? PAL_DROP_TWIN : PAL_DROP_CONFLICT]++;
    else
        json_object_set_new(import->questions, question, json_string(right));
    return before != NULL;
}

static json_t *fact_object(const pal_draft_t *draft, const char *question,
                           const json_t *choices, json_int_t answer,
                           const json_t *statements, const json_t *falsehoods)
{
    json_t *fact =
        json_pack("{s:o}", "id", json_sprintf("%s-%03zu", draft->set, draft->row + 1));
    int bad = !fact;

    if (!bad && draft->relation)
        bad |= json_object_set_new(fact, "relation", json_string(draft->relation));
    if (!bad && draft->role)
        bad |= json_object_set_new(fact, "role", json_string(draft->role));
    if (!bad && draft->fold >= 0)
        bad |= json_object_set_new(fact, "fold", json_integer(draft->fold));
    if (!bad) {
        bad |= json_object_set_new(fact, "question", json_string(question));
        bad |= json_object_set(fact, "choices", (json_t *)choices);
        bad |= json_object_set_new(fact, "answer", json_integer(answer));
        bad |= json_object_set(fact, "statements", (json_t *)statements);
    }
    if (!bad && json_array_size(falsehoods) > 0)
        bad |= json_object_set(fact, "false_statements", (json_t *)falsehoods);
    if (!bad)
        return fact;
    json_decref(fact);
    return NULL;
}

/* Statements and lies of a question that is kept. */
static int add_fact(pal_import_t *import, const pal_draft_t *draft,
                    const char *question, const json_t *choices, size_t answer)
{
    const char *right = json_string_value(json_array_get(choices, answer));
    json_t *statements = json_array(), *falsehoods = json_array();
    const json_t *lie;
    size_t i;
    int rc = add_statements(import, draft, right, statements);

    if (rc == PAL_OK && json_array_size(statements) == 0) {
        import->dropped[PAL_DROP_NO_TEXT]++;
        goto out;
    }
    json_array_foreach(draft->lies, i, lie)
    {
        if (rc == PAL_OK)
            rc = add_lie(import, falsehoods, lie, right);
    }
    if (rc == PAL_OK &&
        json_array_append_new(import->facts,
                              fact_object(draft, question, choices, (json_int_t)answer,
                                          statements, falsehoods)) < 0)
        rc = no_memory(import);
out:
    json_decref(statements);
    json_decref(falsehoods);
    return rc;
}

int pal_import_add(pal_import_t *import, const pal_draft_t *draft)
{
    const json_t *answer = json_object_get(draft->question, "answer");
    json_int_t right = json_integer_value(answer);
    json_t *choices = json_array();
    const char *question;
    int repeated = 0, rc;

    rc = pal_import_text(import, draft->question, "question", &question);
    if (rc == PAL_OK)
        rc = read_choices(import, draft->question, choices, &repeated);
    if (rc == PAL_OK && (!json_is_integer(answer) || right < 0 ||
                         (size_t)right >= json_array_size(choices)))
        rc = PAL_REJECT(import->err, "%s: key 'answer': expected the index of a choice",
                        pal_import_place(draft->question));
    if (rc != PAL_OK)
        goto out;
    if (is_twin(import, question,
                json_string_value(json_array_get(choices, (size_t)right))))
        goto out;
    if (repeated)
        import->dropped[PAL_DROP_REPEATED_CHOICE]++;
    else
        rc = add_fact(import, draft, question, choices, (size_t)right);
out:
    json_decref(choices);
    return rc;
}
