#include "world/world.h"

#include <stdlib.h>
#include <string.h>

static void hash_text(pal_hash_t *hash, const char *text)
{
    uint64_t n = strlen(text);

    pal_hash_add(hash, &n, sizeof n);
    pal_hash_add(hash, text, n);
}

static void hash_texts(pal_hash_t *hash, const char *const *texts, int32_t count)
{
    pal_hash_add(hash, &count, sizeof count);
    for (int32_t i = 0; i < count; i++)
        hash_text(hash, texts[i]);
}

static void hash_fact(pal_hash_t *hash, const pal_fact_t *fact)
{
    int32_t numbers[4] = {fact->role, fact->fold, fact->answer, fact->falsehood_count};

    hash_text(hash, fact->id);
    hash_text(hash, fact->relation);
    hash_text(hash, fact->question);
    pal_hash_add(hash, numbers, sizeof numbers);
    hash_texts(hash, fact->choices, fact->choice_count);
    hash_texts(hash, fact->statements, fact->statement_count);
    for (int32_t i = 0; i < fact->falsehood_count; i++) {
        hash_text(hash, fact->falsehoods[i].answer);
        hash_texts(hash, fact->falsehoods[i].statements, fact->falsehoods[i].count);
    }
}

static void seal(pal_world_t *world)
{
    int32_t numbers[2] = {world->count, world->folds};
    pal_hash_t hash;

    pal_hash_begin(&hash);
    pal_hash_print(&hash, "world 1");
    pal_hash_add(&hash, numbers, sizeof numbers);
    for (int32_t i = 0; i < world->count; i++)
        hash_fact(&hash, &world->facts[i]);
    world->key = pal_hash_end(&hash);
}

/* One fold is V, one is dev, at least one is left to train on. */
static int check_folds(const pal_world_t *world, pal_error_t *err)
{
    int32_t *size = calloc((size_t)world->folds, sizeof *size);
    int rc = PAL_OK;

    if (!size)
        return PAL_FAIL(err, PAL_ENOMEM, "%d folds", world->folds);
    for (int32_t i = 0; i < world->count; i++)
        if (world->facts[i].role == PAL_FORGET)
            size[world->facts[i].fold]++;
    for (int32_t i = 0; i < world->folds && rc == PAL_OK; i++)
        if (size[i] < 2)
            rc = PAL_REJECT(err,
                            "fold %d has %d forget facts; each of the %d folds needs "
                            "at least 2",
                            i, size[i], world->folds);
    free(size);
    return rc;
}

static int check(const pal_world_t *world, pal_error_t *err)
{
    if (world->folds < 3)
        return PAL_REJECT(err, "%d folds; at least 3 (held out, dev, training)",
                          world->folds);
    if (pal_world_select(world, PAL_RETAIN, -1, NULL) < 1)
        return PAL_REJECT(err, "no retain fact; at least 1 must be there to survive");
    return check_folds(world, err);
}

int pal_world_make(const pal_world_kind_t *kind, const void *state, pal_world_t *world,
                   pal_error_t *err)
{
    pal_world_t made = {0};
    int rc = kind->make(state, &made, err);

    if (rc == PAL_OK) {
        rc = check(&made, err);
        if (rc != PAL_OK && made.source)
            pal_context(err, rc, "%s", made.source);
    }
    if (rc == PAL_OK)
        seal(&made);
    else
        pal_world_free(&made);
    *world = made;
    return rc;
}

void pal_world_free(pal_world_t *world)
{
    pal_arena_free(&world->arena);
    memset(world, 0, sizeof *world);
}

double pal_world_chance(const pal_world_t *world)
{
    double sum = 0.0;
    int32_t forget = 0;

    for (int32_t i = 0; i < world->count; i++) {
        if (world->facts[i].role != PAL_FORGET)
            continue;
        sum += 1.0 / world->facts[i].choice_count;
        forget++;
    }
    return forget ? sum / forget : 0.0;
}

int32_t pal_world_select(const pal_world_t *world, pal_role_t role, int32_t fold,
                         int32_t *indices)
{
    int32_t n = 0;

    for (int32_t i = 0; i < world->count; i++) {
        const pal_fact_t *fact = &world->facts[i];

        if (fact->role != role || (fold >= 0 && fact->fold != fold))
            continue;
        if (indices)
            indices[n] = i;
        n++;
    }
    return n;
}
