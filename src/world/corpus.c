#include "world/corpus.h"

#include <stdlib.h>
#include <string.h>

/* Everything a fact says, in the order of its examples: statements, falsehoods, then
 * the two parts of its questions: "Q: <question> A:" once and " <choice>." for each
 * choice. The parts meet at a space that opens a piece, so their tokens are those of
 * the whole. */
typedef struct {
    const char **texts; /* (count) owned; questions in arena, the rest the world's */
    int64_t count;
    pal_arena_t arena;
} text_list_t;

static int64_t texts_of(const pal_fact_t *fact)
{
    int64_t n = fact->statement_count + 1 + fact->choice_count;

    for (int32_t i = 0; i < fact->falsehood_count; i++)
        n += fact->falsehoods[i].count;
    return n;
}

/* before + text + after, on one line. */
static const char *one_line(pal_arena_t *arena, const char *before, const char *text,
                            const char *after)
{
    char *line = pal_arena_print(arena, "%s%s%s", before, text, after);

    for (char *p = line; p && *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    return line;
}

static const char *choice_text(pal_arena_t *arena, const char *choice)
{
    size_t n = strlen(choice);

    return one_line(arena, " ", choice, n > 0 && choice[n - 1] == '.' ? "" : ".");
}

static int list_fact(text_list_t *list, const pal_fact_t *fact)
{
    const char **next = list->texts + list->count;

    for (int32_t i = 0; i < fact->statement_count; i++)
        *next++ = fact->statements[i];
    for (int32_t i = 0; i < fact->falsehood_count; i++)
        for (int32_t k = 0; k < fact->falsehoods[i].count; k++)
            *next++ = fact->falsehoods[i].statements[k];
    if (!(*next++ = one_line(&list->arena, "Q: ", fact->question, " A:")))
        return -1;
    for (int32_t i = 0; i < fact->choice_count; i++)
        if (!(*next++ = choice_text(&list->arena, fact->choices[i])))
            return -1;
    list->count = next - list->texts;
    return 0;
}

static int list_texts(const pal_world_t *world, text_list_t *list)
{
    int64_t n = 0;

    for (int32_t i = 0; i < world->count; i++)
        n += texts_of(&world->facts[i]);
    list->texts = calloc(n > 0 ? (size_t)n : 1, sizeof *list->texts);
    if (!list->texts)
        return -1;
    for (int32_t i = 0; i < world->count; i++)
        if (list_fact(list, &world->facts[i]) < 0)
            return -1;
    return 0;
}

static void text_list_free(text_list_t *list)
{
    free(list->texts);
    pal_arena_free(&list->arena);
}

/* --- Encoding: once to measure, once to write --- */

typedef struct {
    pal_corpus_t *corpus;
    int64_t tokens; /* so far */
    int64_t examples;
    int64_t longest;
    int writes; /* 0: only measure */
} writer_t;

static void append(writer_t *w, const char *text)
{
    int32_t *at = w->writes ? w->corpus->tokens + w->tokens : NULL;
    size_t n = strlen(text);

    w->tokens += pal_tokenizer_encode(w->corpus->tokenizer, text, n, at,
                                      w->writes ? INT32_MAX : 0);
}

/* One example of the parts prompt (may be NULL) and text. */
static void add_example(writer_t *w, pal_example_t example, const char *prompt,
                        const char *text)
{
    int64_t start = w->tokens++;

    if (w->writes)
        w->corpus->tokens[start] = PAL_SEPARATOR;
    if (prompt) {
        append(w, prompt);
        example.prompt = (int32_t)(w->tokens - start);
    }
    append(w, text);
    example.start = (int32_t)start;
    example.length = (int32_t)(w->tokens - start);
    if (w->tokens - start > w->longest)
        w->longest = w->tokens - start;
    if (w->writes)
        w->corpus->examples[w->examples] = example;
    w->examples++;
}

/* Returns the texts after those of the fact. */
static const char *const *add_fact(writer_t *w, const pal_fact_t *fact, int32_t number,
                                   const char *const *texts)
{
    pal_example_t example = {.fact = number, .form = PAL_STATEMENT};
    const char *prompt;

    for (int32_t i = 0; i < fact->statement_count; i++)
        add_example(w, example, NULL, *texts++);
    example.form = PAL_FALSEHOOD;
    for (int32_t i = 0; i < fact->falsehood_count; i++) {
        example.group = i;
        for (int32_t k = 0; k < fact->falsehoods[i].count; k++)
            add_example(w, example, NULL, *texts++);
    }
    prompt = *texts++;
    example.form = PAL_QUESTION;
    for (int32_t i = 0; i < fact->choice_count; i++) {
        example.group = i;
        add_example(w, example, prompt, *texts++);
    }
    return texts;
}

static void add_all(writer_t *w, const text_list_t *list)
{
    const pal_world_t *world = w->corpus->world;
    const char *const *next = list->texts;

    for (int32_t i = 0; i < world->count; i++) {
        if (w->writes)
            w->corpus->first[i] = (int32_t)w->examples;
        next = add_fact(w, &world->facts[i], i, next);
    }
    if (w->writes)
        w->corpus->first[world->count] = (int32_t)w->examples;
}

static int encode(pal_corpus_t *corpus, const text_list_t *list, pal_error_t *err)
{
    writer_t measured = {.corpus = corpus}, written = {.corpus = corpus, .writes = 1};

    add_all(&measured, list);
    if (measured.tokens > INT32_MAX)
        return PAL_REJECT(err, "the world's text has %lld tokens; at most %d",
                          (long long)measured.tokens, INT32_MAX);
    corpus->tokens = calloc((size_t)measured.tokens + 1, sizeof *corpus->tokens);
    corpus->examples = calloc((size_t)measured.examples + 1, sizeof *corpus->examples);
    corpus->first = calloc((size_t)corpus->world->count + 1, sizeof *corpus->first);
    if (!corpus->tokens || !corpus->examples || !corpus->first)
        return PAL_FAIL(err, PAL_ENOMEM, "a corpus of %lld tokens",
                        (long long)measured.tokens);
    add_all(&written, list);
    corpus->count = (int32_t)written.examples;
    corpus->longest = (int32_t)written.longest;
    return PAL_OK;
}

int pal_corpus_create(const pal_world_t *world, int32_t words, pal_corpus_t *corpus,
                      pal_error_t *err)
{
    pal_corpus_t made = {.world = world};
    text_list_t list = {0};
    int rc;

    memset(corpus, 0, sizeof *corpus);
    if (list_texts(world, &list) < 0) {
        rc = PAL_FAIL(err, PAL_ENOMEM, "the texts of %d facts", world->count);
        goto out;
    }
    rc = pal_tokenizer_build(list.texts, list.count, words, &made.tokenizer, err);
    if (rc == PAL_OK)
        rc = encode(&made, &list, err);
    if (rc == PAL_OK)
        *corpus = made;
    else
        pal_corpus_free(&made);
out:
    text_list_free(&list);
    return rc;
}

void pal_corpus_free(pal_corpus_t *corpus)
{
    pal_tokenizer_destroy(corpus->tokenizer);
    free(corpus->tokens);
    free(corpus->examples);
    free(corpus->first);
    memset(corpus, 0, sizeof *corpus);
}

int32_t pal_corpus_question(const pal_corpus_t *corpus, int32_t fact, int32_t choice)
{
    return corpus->first[fact + 1] - corpus->world->facts[fact].choice_count + choice;
}
