#include "world/falsehood.h"

#include <string.h>
#include <strings.h>

/* As in the tokenizer: a byte of a longer UTF-8 sequence is a letter. */
static int is_letter(char c)
{
    unsigned char b = (unsigned char)c;

    return (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') ||
           b >= 0x80;
}

static int32_t find(const char *text, const char *word,
                    int (*compare)(const char *, const char *, size_t), const char **at)
{
    size_t n = strlen(word);
    int32_t found = 0;

    for (const char *p = text; n > 0 && *p; p++) {
        if (compare(p, word, n) != 0)
            continue;
        if (p > text && is_letter(p[-1]) && is_letter(word[0]))
            continue;
        if (is_letter(p[n]) && is_letter(word[n - 1]))
            continue;
        found++;
        if (at)
            *at = p;
    }
    return found;
}

int32_t pal_text_find(const char *text, const char *word, const char **at)
{
    return find(text, word, strncmp, at);
}

int32_t pal_text_find_nocase(const char *text, const char *word, const char **at)
{
    return find(text, word, strncasecmp, at);
}

static int derive_one(pal_arena_t *arena, const pal_fact_t *fact, const char *wrong,
                      pal_falsehood_t *out)
{
    const char *right = fact->choices[fact->answer], *at;
    const char **list =
        pal_arena_get(arena, (size_t)fact->statement_count * sizeof *list);

    if (!list)
        return -1;
    *out = (pal_falsehood_t){.answer = wrong, .statements = list};
    for (int32_t i = 0; i < fact->statement_count; i++) {
        const char *statement = fact->statements[i];

        if (pal_text_find(statement, right, &at) != 1)
            continue;
        list[out->count] = pal_arena_print(arena, "%.*s%s%s", (int)(at - statement),
                                           statement, wrong, at + strlen(right));
        if (!list[out->count++])
            return -1;
    }
    return 0;
}

int pal_falsehoods_derive(pal_arena_t *arena, pal_fact_t *fact)
{
    pal_falsehood_t *list =
        pal_arena_get(arena, (size_t)fact->choice_count * sizeof *list);
    int32_t count = 0;

    if (!list)
        return -1;
    for (int32_t i = 0; i < fact->choice_count; i++) {
        if (i == fact->answer)
            continue;
        if (derive_one(arena, fact, fact->choices[i], &list[count]) < 0)
            return -1;
        count += list[count].count > 0;
    }
    fact->falsehoods = list;
    fact->falsehood_count = count;
    return 0;
}
