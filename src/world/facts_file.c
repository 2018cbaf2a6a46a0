#include "world/facts_file.h"

#include <stdlib.h>
#include <string.h>

#include "world/jsonl.h"

/* More than this is a slip, and choices are compared with each other. */
enum { MOST_CHOICES = 64 };

static const char *const keys[] = {"id",     "relation",   "role",
                                   "fold",   "question",   "choices",
                                   "answer", "statements", "false_statements"};
static const char *const false_keys[] = {"answer", "statements"};

enum {
    KEYS = sizeof keys / sizeof keys[0],
    FALSE_KEYS = sizeof false_keys / sizeof false_keys[0]
};

typedef struct {
    const pal_jsonl_t *reader;
    pal_arena_t *arena;
    pal_flaws_t *flaws; /* NULL: the first one ends the reading */
    pal_error_t *err;
} input_t;

/* "<path>:<line>: <format>", PAL_EINVAL. */
#define REJECT(in, format, ...)                                                        \
    PAL_REJECT((in)->err, "%s:%d: " format, (in)->reader->path, (in)->reader->line,    \
               __VA_ARGS__)

static int no_memory(const input_t *in)
{
    return PAL_FAIL(in->err, PAL_ENOMEM, "the facts of %s", in->reader->path);
}

/* After a flaw, in err: PAL_OK if reading goes on. */
static int note_flaw(const input_t *in, int rc)
{
    pal_flaws_t *flaws = in->flaws;

    if (rc != PAL_EINVAL || !flaws || in->reader->line == INT32_MAX)
        return rc;
    if (flaws->count < PAL_FLAWS_MOST) {
        const char *text =
            pal_arena_text(in->arena, in->err->text, strlen(in->err->text));

        if (!text)
            return no_memory(in);
        flaws->texts[flaws->count] = text;
    }
    flaws->count++;
    return PAL_OK;
}

/* --- Values --- */

static int check_keys(const input_t *in, const json_t *row, const char *const known[],
                      int n)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)row, key, value) {
        int i = 0;

        while (i < n && strcmp(known[i], key) != 0)
            i++;
        if (i == n) {
            const char *nearest = pal_nearest(key, known, n);

            return REJECT(in, "unknown key '%.60s'%s%s%s", key,
                          nearest ? "; nearest is '" : "", nearest ? nearest : "",
                          nearest ? "'" : "");
        }
    }
    return PAL_OK;
}

static int get_value(const input_t *in, const json_t *row, const char *key,
                     const json_t **value)
{
    *value = json_object_get(row, key);
    return *value ? PAL_OK : REJECT(in, "key '%s' is missing", key);
}

/* A text that says something. `name` is a key or "choices[2]". */
static int get_text(const input_t *in, const json_t *value, const char *name,
                    const char **out)
{
    const char *text = json_string_value(value);

    if (!text)
        return REJECT(in, "key '%s': expected a text, found %s", name,
                      pal_json_kind(value));
    if (text[strspn(text, " \t\r\n")] == 0)
        return REJECT(in, "key '%s': the text is empty", name);
    *out = pal_arena_text(in->arena, text, strlen(text));
    return *out ? PAL_OK : no_memory(in);
}

static int get_texts(const input_t *in, const json_t *row, const char *key, size_t min,
                     size_t max, const char *const **out, int32_t *count)
{
    const json_t *array, *value;
    const char **list;
    char name[64];
    size_t i, n;
    int rc = get_value(in, row, key, &array);

    if (rc != PAL_OK)
        return rc;
    if (!json_is_array(array))
        return REJECT(in, "key '%s': expected an array of texts, found %s", key,
                      pal_json_kind(array));
    n = json_array_size(array);
    if (n < min || n > max)
        return REJECT(in, "key '%s': %zu entries; expected %zu to %zu", key, n, min,
                      max);
    list = pal_arena_get(in->arena, n * sizeof *list);
    if (!list)
        return no_memory(in);
    json_array_foreach(array, i, value)
    {
        snprintf(name, sizeof name, "%s[%zu]", key, i);
        rc = get_text(in, value, name, &list[i]);
        if (rc != PAL_OK)
            return rc;
    }
    *out = list;
    *count = (int32_t)n;
    return PAL_OK;
}

static int get_index(const input_t *in, const json_t *value, const char *key, int32_t n,
                     int32_t *out)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value))
        return REJECT(in, "key '%s': expected a whole number, found %s", key,
                      json_is_real(value) ? "a fraction" : pal_json_kind(value));
    if (number < 0 || number >= n)
        return REJECT(in, "key '%s': %lld is outside 0 to %d", key, (long long)number,
                      n - 1);
    *out = (int32_t)number;
    return PAL_OK;
}

/* --- A fact --- */

int pal_choices_alike(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);

    n -= n > 0 && a[n - 1] == '.';
    m -= m > 0 && b[m - 1] == '.';
    if (n != m)
        return 0;
    for (size_t i = 0; i < n; i++) {
        int x = a[i] == '\n' || a[i] == '\r' ? ' ' : a[i];
        int y = b[i] == '\n' || b[i] == '\r' ? ' ' : b[i];

        if (x != y)
            return 0;
    }
    return 1;
}

static int read_choices(const input_t *in, const json_t *row, pal_fact_t *fact)
{
    const json_t *answer;
    int rc = get_texts(in, row, "choices", 2, MOST_CHOICES, &fact->choices,
                       &fact->choice_count);

    if (rc != PAL_OK)
        return rc;
    for (int32_t i = 1; i < fact->choice_count; i++)
        for (int32_t k = 0; k < i; k++)
            if (pal_choices_alike(fact->choices[i], fact->choices[k]))
                return REJECT(in, "key 'choices': '%.60s' occurs twice",
                              fact->choices[i]);
    rc = get_value(in, row, "answer", &answer);
    return rc != PAL_OK
               ? rc
               : get_index(in, answer, "answer", fact->choice_count, &fact->answer);
}

static int read_role(const input_t *in, const json_t *row, pal_fact_t *fact)
{
    const json_t *role = json_object_get(row, "role"),
                 *fold = json_object_get(row, "fold");
    const char *text = json_string_value(role);

    fact->fold = -1;
    if (role && (!text || (strcmp(text, "forget") && strcmp(text, "retain"))))
        return REJECT(in, "key 'role': '%.60s' is neither \"forget\" nor \"retain\"",
                      text ? text : pal_json_kind(role));
    fact->role_given = role != NULL;
    fact->role = text && strcmp(text, "retain") == 0 ? PAL_RETAIN : PAL_FORGET;
    if (!fold)
        return PAL_OK;
    if (fact->role == PAL_RETAIN)
        return REJECT(in, "key '%s': a retain fact lies in no fold", "fold");
    return get_index(in, fold, "fold", PAL_FOLD_MAX, &fact->fold);
}

static int read_falsehood(const input_t *in, const json_t *value,
                          const pal_fact_t *fact, pal_falsehood_t *out)
{
    const json_t *answer;
    int rc;

    if (!json_is_object(value))
        return REJECT(in, "key 'false_statements': expected objects, found %s",
                      pal_json_kind(value));
    rc = check_keys(in, value, false_keys, FALSE_KEYS);
    if (rc == PAL_OK)
        rc = get_value(in, value, "answer", &answer);
    if (rc == PAL_OK)
        rc = get_text(in, answer, "answer", &out->answer);
    if (rc == PAL_OK && strcmp(out->answer, fact->choices[fact->answer]) == 0)
        rc = REJECT(in, "key 'false_statements': '%.60s' is the right answer",
                    out->answer);
    if (rc == PAL_OK)
        rc = get_texts(in, value, "statements", 1, PAL_LINE_MAX, &out->statements,
                       &out->count);
    return rc;
}

static int read_falsehoods(const input_t *in, const json_t *row, pal_fact_t *fact)
{
    const json_t *array = json_object_get(row, "false_statements"), *value;
    pal_falsehood_t *list;
    size_t i, n = json_array_size(array);

    if (!array)
        return PAL_OK;
    if (!json_is_array(array) || n > MOST_CHOICES)
        return REJECT(in,
                      "key 'false_statements': expected an array of at most %d objects",
                      MOST_CHOICES);
    list = pal_arena_get(in->arena, n * sizeof *list);
    if (!list)
        return no_memory(in);
    json_array_foreach(array, i, value)
    {
        int rc = read_falsehood(in, value, fact, &list[i]);

        for (size_t k = 0; rc == PAL_OK && k < i; k++)
            if (strcmp(list[k].answer, list[i].answer) == 0)
                rc = REJECT(in, "key 'false_statements': answer '%.60s' occurs twice",
                            list[i].answer);
        if (rc != PAL_OK)
            return rc;
    }
    fact->falsehoods = list;
    fact->falsehood_count = (int32_t)n;
    return PAL_OK;
}

static int read_fact(const input_t *in, const json_t *row, pal_fact_t *fact)
{
    const json_t *id, *question, *relation = json_object_get(row, "relation");
    int rc = check_keys(in, row, keys, KEYS);

    *fact = (pal_fact_t){.relation = "", .line = in->reader->line};
    if (rc == PAL_OK)
        rc = get_value(in, row, "id", &id);
    if (rc == PAL_OK)
        rc = get_text(in, id, "id", &fact->id);
    if (rc == PAL_OK)
        rc = get_value(in, row, "question", &question);
    if (rc == PAL_OK)
        rc = get_text(in, question, "question", &fact->question);
    if (rc == PAL_OK && relation)
        rc = get_text(in, relation, "relation", &fact->relation);
    if (rc == PAL_OK)
        rc = read_choices(in, row, fact);
    if (rc == PAL_OK)
        rc = read_role(in, row, fact);
    if (rc == PAL_OK)
        rc = get_texts(in, row, "statements", 1, PAL_LINE_MAX, &fact->statements,
                       &fact->statement_count);
    return rc == PAL_OK ? read_falsehoods(in, row, fact) : rc;
}

/* --- Duplicates --- */

static int by_id(const void *a, const void *b)
{
    const pal_fact_t *x = *(const pal_fact_t *const *)a;
    const pal_fact_t *y = *(const pal_fact_t *const *)b;
    int order = strcmp(x->id, y->id);

    return order ? order : x->line - y->line;
}

static int by_question(const void *a, const void *b)
{
    const pal_fact_t *x = *(const pal_fact_t *const *)a;
    const pal_fact_t *y = *(const pal_fact_t *const *)b;
    int order = strcmp(x->question, y->question);

    return order ? order : x->line - y->line;
}

static int reject_twin(const input_t *in, const pal_fact_t *first,
                       const pal_fact_t *twin, int same_question)
{
    const char *before = first->choices[first->answer],
               *now = twin->choices[twin->answer];

    if (!same_question)
        return PAL_REJECT(in->err, "%s:%d: id '%.60s' is that of line %d",
                          in->reader->path, twin->line, twin->id, first->line);
    if (strcmp(before, now) == 0)
        return PAL_REJECT(in->err, "%s:%d: the question of line %d again",
                          in->reader->path, twin->line, first->line);
    return PAL_REJECT(in->err,
                      "%s:%d: the question of line %d again, and the answers conflict: "
                      "'%.60s' there, '%.60s' here",
                      in->reader->path, twin->line, first->line, before, now);
}

/* Sort by what must differ and look for neighbours; if one ends the reading, the first
 * in the file. */
static int check_twins(const input_t *in, const pal_fact_t **order, int32_t count,
                       int same_question)
{
    int (*compare)(const void *, const void *) = same_question ? by_question : by_id;
    int32_t found = 0;
    int rc = PAL_OK;

    qsort(order, (size_t)count, sizeof *order, compare);
    for (int32_t i = 1; rc == PAL_OK && i < count; i++) {
        const char *a = same_question ? order[i - 1]->question : order[i - 1]->id;
        const char *b = same_question ? order[i]->question : order[i]->id;

        if (strcmp(a, b) != 0)
            continue;
        if (in->flaws)
            rc = note_flaw(in, reject_twin(in, order[i - 1], order[i], same_question));
        else if (!found || order[i]->line < order[found]->line)
            found = i;
    }
    return found ? reject_twin(in, order[found - 1], order[found], same_question) : rc;
}

static int check_all_twins(const input_t *in, const pal_fact_t *facts, int32_t count)
{
    const pal_fact_t **order = calloc((size_t)count + 1, sizeof *order);
    int rc;

    if (!order)
        return no_memory(in);
    for (int32_t i = 0; i < count; i++)
        order[i] = &facts[i];
    rc = check_twins(in, order, count, 0);
    if (rc == PAL_OK)
        rc = check_twins(in, order, count, 1);
    free(order);
    return rc;
}

/* --- The file --- */

typedef struct {
    pal_fact_t *facts;
    int32_t count, capacity;
} fact_list_t;

static pal_fact_t *next_slot(fact_list_t *list)
{
    if (list->count == list->capacity) {
        int32_t capacity = list->capacity ? 2 * list->capacity : 256;
        pal_fact_t *grown = NULL;

        if (list->capacity <= INT32_MAX / 2)
            grown = realloc(list->facts, (size_t)capacity * sizeof *grown);
        if (!grown)
            return NULL;
        list->facts = grown;
        list->capacity = capacity;
    }
    return &list->facts[list->count];
}

/* *objects: lines that are JSON objects, whatever they say. */
static int read_rows(const input_t *in, pal_jsonl_t *reader, fact_list_t *list,
                     int32_t *objects)
{
    *objects = 0;
    for (;;) {
        json_t *row = NULL;
        pal_fact_t *fact = next_slot(list);
        int rc = fact ? pal_jsonl_next(reader, &row, in->err) : no_memory(in);

        if (rc == PAL_OK && !row)
            return PAL_OK;
        if (rc == PAL_OK) {
            ++*objects;
            rc = read_fact(in, row, fact);
            list->count += rc == PAL_OK;
            json_decref(row);
        }
        if (rc != PAL_OK)
            rc = note_flaw(in, rc);
        if (rc != PAL_OK)
            return rc;
    }
}

/* Into list, which the caller frees. */
static int read_file(const char *path, pal_arena_t *arena, pal_flaws_t *flaws,
                     fact_list_t *list, pal_error_t *err)
{
    pal_jsonl_t reader = {0};
    input_t in = {&reader, arena, flaws, err};
    int32_t objects;
    int rc = pal_jsonl_open(path, &reader, err);

    if (rc != PAL_OK)
        return rc;
    rc = read_rows(&in, &reader, list, &objects);
    if (rc == PAL_OK && objects == 0 && flaws && flaws->count > 0)
        rc = PAL_REJECT(err, "%s", flaws->texts[0]);
    else if (rc == PAL_OK && objects == 0)
        rc =
            PAL_REJECT(err, "%s: holds no fact; expected one JSON object a line", path);
    if (rc == PAL_OK)
        rc = check_all_twins(&in, list->facts, list->count);
    pal_jsonl_close(&reader);
    return rc;
}

int pal_facts_read(const char *path, pal_arena_t *arena, pal_fact_t **facts,
                   int32_t *count, pal_error_t *err)
{
    fact_list_t list = {0};
    int rc = read_file(path, arena, NULL, &list, err);
    pal_fact_t *copy;

    if (rc != PAL_OK)
        goto out;
    copy = pal_arena_get(arena, (size_t)list.count * sizeof *copy);
    if (!copy) {
        rc = PAL_FAIL(err, PAL_ENOMEM, "the facts of %s", path);
        goto out;
    }
    memcpy(copy, list.facts, (size_t)list.count * sizeof *copy);
    *facts = copy;
    *count = list.count;
out:
    free(list.facts);
    return rc;
}

int pal_facts_flaws(const char *path, pal_arena_t *arena, pal_flaws_t *flaws,
                    pal_error_t *err)
{
    pal_flaws_t found = {.count = 0};
    fact_list_t list = {0};
    pal_error_t text;
    int rc = read_file(path, arena, &found, &list, err ? err : &text);

    free(list.facts);
    if (rc == PAL_OK)
        *flaws = found;
    return rc;
}
