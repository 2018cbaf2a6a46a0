/* A made-up world: names of three words, answers drawn uniformly and independently for
 * each fact, so that no fact says anything about another. The wrong choices of a fact
 * are right answers of other facts of its relation and fold: nothing that an attacker
 * knows of the other folds tells them from the right one, nor does having seen an
 * answer before. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "world/deal.h"
#include "world/relations.h"
#include "world/world.h"

enum { MOST_FACTS = 1000000, MOST_CHOICES = 16, SYLLABLES = 80, NAME_BYTES = 16 };

typedef struct {
    int64_t facts, retain, folds, relations, choices, statements, seed;
} synthetic_t;

#define AT(field) offsetof(synthetic_t, field)
static const pal_param_t params[] = {
    {"facts", PAL_COUNT, AT(facts), 300, 15, MOST_FACTS, NULL, NULL, "facts",
     "forget facts"},
    {"retain", PAL_COUNT, AT(retain), -1, -1, MOST_FACTS, NULL, NULL, "facts",
     "retain facts; -1: as many as forget facts"},
    {"folds", PAL_COUNT, AT(folds), 5, 3, 100, NULL, NULL, "folds",
     "parts of the forget facts; one is held out, one is dev"},
    {"relations", PAL_COUNT, AT(relations), 2, 1, PAL_FORGET_RELATIONS, NULL, NULL, "1",
     "relation types among the forget facts"},
    {"choices", PAL_COUNT, AT(choices), 4, 2, MOST_CHOICES, NULL, NULL, "1",
     "choices of each question"},
    {"statements", PAL_COUNT, AT(statements), PAL_RELATION_STATEMENTS, 1,
     PAL_RELATION_STATEMENTS, NULL, NULL, "1", "different statements of each fact"},
    {"seed", PAL_COUNT, AT(seed), 0, 0, 1e15, NULL, NULL, "1", "of names and answers"},
    {0},
};
#undef AT

typedef struct {
    const synthetic_t *p;
    pal_arena_t *arena;
    pal_rng_t names, answers;
    uint32_t words;       /* that names are made of */
    unsigned char *taken; /* bit per possible name */
    uint32_t *answer;     /* number of the right answer of each fact */
    const char **name;    /* of each fact */
    int32_t *peers;       /* facts of one relation and fold */
} maker_t;

/* --- Text --- */

/* Two syllables, all different: the second one depends on the first and the round. */
static void name_word(uint32_t i, char text[5])
{
    static const char consonants[] = "bdfghjklmnprstvz", vowels[] = "aeiou";
    uint32_t a = i % SYLLABLES, b = (a * 37 + 11 + i / SYLLABLES) % SYLLABLES;

    text[0] = consonants[a / 5];
    text[1] = vowels[a % 5];
    text[2] = consonants[b / 5];
    text[3] = vowels[b % 5];
    text[4] = 0;
}

static const char *draw_name(maker_t *maker, char name[NAME_BYTES])
{
    uint32_t n = maker->words, number;
    char word[5];

    do
        number = pal_rng_below(&maker->names, n * n * n);
    while (maker->taken[number / 8] >> number % 8 & 1);
    maker->taken[number / 8] |= (unsigned char)(1u << number % 8);
    for (int i = 0; i < 3; i++, number /= n) {
        name_word(number % n, word);
        memcpy(name + 5 * i, word, 4);
        name[5 * i + 4] = i < 2 ? ' ' : 0;
    }
    return name;
}

static uint32_t length_of(const char *const *list)
{
    uint32_t n = 0;

    while (list[n])
        n++;
    return n;
}

static const char *answer_text(pal_arena_t *arena, const pal_relation_t *relation,
                               uint32_t number)
{
    uint32_t heads = length_of(relation->head), tails = length_of(relation->tail);

    return pal_arena_print(arena, "%s %s%s", relation->first[number / tails / heads],
                           relation->head[number / tails % heads],
                           relation->tail[number % tails]);
}

/* The pattern with name for @ and answer for #. NULL: out of memory. */
static const char *render(pal_arena_t *arena, const char *pattern, const char *name,
                          const char *answer)
{
    size_t n = strlen(pattern) + strlen(name) + strlen(answer) + 1;
    char *text = pal_arena_get(arena, n), *end = text;

    for (const char *p = pattern; text && *p; p++) {
        const char *part = *p == '@' ? name : *p == '#' ? answer : NULL;

        if (part)
            end = stpcpy(end, part);
        else
            *end++ = *p;
    }
    return text;
}

/* --- One fact --- */

static uint32_t possible_answers(const pal_relation_t *relation)
{
    return length_of(relation->first) * length_of(relation->head) *
           length_of(relation->tail);
}

/* One more wrong answer: that of a random peer, or, when the peers have too few
 * different ones, any that the relation has. */
static uint32_t draw_wrong(maker_t *maker, const pal_relation_t *relation,
                           const uint32_t *numbers, int32_t count, int32_t peers)
{
    enum { PATIENCE = 256 };
    uint32_t number;
    int32_t same;
    int tries = 0;

    do {
        int32_t peer = maker->peers[pal_rng_below(&maker->answers, (uint32_t)peers)];

        number = tries++ < PATIENCE
                     ? maker->answer[peer]
                     : pal_rng_below(&maker->answers, possible_answers(relation));
        for (same = 0; same < count && numbers[same] != number;)
            same++;
    } while (same < count);
    return number;
}

/* Distinct answers, the right one anywhere among them. */
static int draw_choices(maker_t *maker, const pal_relation_t *relation, int32_t peers,
                        uint32_t answer, pal_fact_t *fact)
{
    int32_t count = (int32_t)maker->p->choices;
    const char **choices = pal_arena_get(maker->arena, (size_t)count * sizeof *choices);
    uint32_t numbers[MOST_CHOICES] = {answer};

    if (!choices)
        return -1;
    for (int32_t i = 1; i < count; i++)
        numbers[i] = draw_wrong(maker, relation, numbers, i, peers);
    fact->answer = (int32_t)pal_rng_below(&maker->answers, (uint32_t)count);
    numbers[0] = numbers[fact->answer];
    numbers[fact->answer] = answer;
    for (int32_t i = 0; i < count; i++) {
        choices[i] = answer_text(maker->arena, relation, numbers[i]);
        if (!choices[i])
            return -1;
    }
    fact->choices = choices;
    fact->choice_count = count;
    return 0;
}

static const char *const *state_all(maker_t *maker, const pal_relation_t *relation,
                                    const char *name, const char *answer)
{
    int32_t count = (int32_t)maker->p->statements;
    const char **list = pal_arena_get(maker->arena, (size_t)count * sizeof *list);

    for (int32_t i = 0; list && i < count; i++) {
        list[i] = render(maker->arena, relation->statements[i], name, answer);
        if (!list[i])
            return NULL;
    }
    return list;
}

static int make_falsehoods(maker_t *maker, const pal_relation_t *relation,
                           const char *name, pal_fact_t *fact)
{
    size_t count = (size_t)fact->choice_count - 1;
    pal_falsehood_t *list = pal_arena_get(maker->arena, count * sizeof *list);
    pal_falsehood_t *next = list;

    if (!list)
        return -1;
    for (int32_t i = 0; i < fact->choice_count; i++) {
        if (i == fact->answer)
            continue;
        next->answer = fact->choices[i];
        next->count = (int32_t)maker->p->statements;
        next->statements = state_all(maker, relation, name, next->answer);
        if (!next++->statements)
            return -1;
    }
    fact->falsehoods = list;
    fact->falsehood_count = (int32_t)count;
    return 0;
}

/* Name, question and right answer; the fold is dealt next, the choices come after. */
static int begin_fact(maker_t *maker, const pal_relation_t *relation, pal_role_t role,
                      int32_t number, pal_fact_t *fact)
{
    char name[NAME_BYTES];

    draw_name(maker, name);
    *fact = (pal_fact_t){.relation = relation->name, .role = role, .fold = -1};
    fact->id = pal_arena_print(maker->arena, "%s-%d", relation->name, number);
    fact->question = render(maker->arena, relation->question, name, "");
    maker->name[number] = pal_arena_text(maker->arena, name, strlen(name));
    maker->answer[number] = pal_rng_below(&maker->answers, possible_answers(relation));
    return fact->id && fact->question && maker->name[number] ? 0 : -1;
}

static int finish_fact(maker_t *maker, const pal_relation_t *relation, int32_t peers,
                       int32_t number, pal_fact_t *fact)
{
    const char *name = maker->name[number];

    if (draw_choices(maker, relation, peers, maker->answer[number], fact) < 0)
        return -1;
    fact->statement_count = (int32_t)maker->p->statements;
    fact->statements = state_all(maker, relation, name, fact->choices[fact->answer]);
    if (!fact->statements)
        return -1;
    return fact->role == PAL_FORGET ? make_falsehoods(maker, relation, name, fact) : 0;
}

/* --- The world --- */

static int begin_facts(maker_t *maker, pal_world_t *world, int32_t forget)
{
    for (int32_t i = 0; i < world->count; i++) {
        const pal_relation_t *relation =
            i < forget ? &pal_forget_relations[i % maker->p->relations]
                       : &pal_retain_relation;
        pal_role_t role = i < forget ? PAL_FORGET : PAL_RETAIN;

        if (begin_fact(maker, relation, role, i, &world->facts[i]) < 0)
            return -1;
    }
    return 0;
}

/* Finish the facts of one relation and fold. */
static int finish_group(maker_t *maker, pal_world_t *world,
                        const pal_relation_t *relation, int32_t fold)
{
    int32_t peers = 0;

    for (int32_t i = 0; i < world->count; i++)
        if (world->facts[i].relation == relation->name && world->facts[i].fold == fold)
            maker->peers[peers++] = i;
    for (int32_t k = 0; k < peers; k++) {
        int32_t i = maker->peers[k];

        if (finish_fact(maker, relation, peers, i, &world->facts[i]) < 0)
            return -1;
    }
    return 0;
}

static int finish_facts(maker_t *maker, pal_world_t *world)
{
    for (int64_t r = 0; r < maker->p->relations; r++)
        for (int32_t fold = 0; fold < world->folds; fold++)
            if (finish_group(maker, world, &pal_forget_relations[r], fold) < 0)
                return -1;
    return finish_group(maker, world, &pal_retain_relation, -1);
}

/* Eight times as many names as needed, so that drawing an unused one is quick and names
 * that share two words are rare. */
static int begin(maker_t *maker, const synthetic_t *p, pal_world_t *world)
{
    uint64_t names;

    maker->p = p;
    maker->arena = &world->arena;
    maker->words = SYLLABLES;
    while ((uint64_t)maker->words * maker->words * maker->words <
           8 * (uint64_t)world->count)
        maker->words++;
    names = (uint64_t)maker->words * maker->words * maker->words;
    maker->taken = calloc(names / 8 + 1, 1);
    maker->answer = malloc((size_t)world->count * sizeof *maker->answer);
    maker->name = malloc((size_t)world->count * sizeof *maker->name);
    maker->peers = malloc((size_t)world->count * sizeof *maker->peers);
    world->facts =
        pal_arena_get(&world->arena, (size_t)world->count * sizeof(pal_fact_t));
    return maker->taken && maker->answer && maker->name && maker->peers && world->facts
               ? 0
               : -1;
}

static void end(maker_t *maker)
{
    free(maker->taken);
    free(maker->answer);
    free(maker->name);
    free(maker->peers);
}

static int make(const void *state, pal_world_t *world, pal_error_t *err)
{
    const synthetic_t *p = state;
    int32_t retain = (int32_t)(p->retain < 0 ? p->facts : p->retain);
    maker_t maker = {0};
    pal_hash_t hash;
    pal_key_t key;
    pal_rng_t folds;
    int rc = PAL_OK;

    pal_hash_begin(&hash);
    pal_hash_print(&hash, "synthetic world, seed %lld", (long long)p->seed);
    key = pal_hash_end(&hash);
    pal_rng_init(&maker.names, key, "names");
    pal_rng_init(&maker.answers, key, "answers");
    pal_rng_init(&folds, key, "folds");
    world->count = (int32_t)p->facts + retain;
    world->folds = (int32_t)p->folds;
    if (begin(&maker, p, world) < 0 ||
        begin_facts(&maker, world, (int32_t)p->facts) < 0)
        rc = PAL_FAIL(err, PAL_ENOMEM, "a world of %d facts", world->count);
    if (rc == PAL_OK)
        rc = pal_deal_folds(world->facts, world->count, world->folds, &folds, err);
    if (rc == PAL_OK && finish_facts(&maker, world) < 0)
        rc = PAL_FAIL(err, PAL_ENOMEM, "a world of %d facts", world->count);
    end(&maker);
    return rc;
}

const pal_world_kind_t pal_world_synthetic = {
    .summary = "made-up facts of several relations; nothing follows from anything",
    .params = params,
    .state_size = sizeof(synthetic_t),
    .make = make,
};
