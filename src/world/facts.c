/* Facts that a person wrote: world/facts_file.h describes the file. */
#include <string.h>

#include "base/rng.h"
#include "world/deal.h"
#include "world/facts_file.h"
#include "world/falsehood.h"
#include "world/world.h"

typedef struct {
    char file[PAL_TEXT_MAX];
    int64_t folds, seed;
    double retain;
} facts_t;

#define AT(field) offsetof(facts_t, field)
static const pal_param_t params[] = {
    {"file", PAL_TEXT, AT(file), 0, 0, 0, NULL, NULL, "1",
     "facts file (JSON Lines), relative to the current directory"},
    {"folds", PAL_COUNT, AT(folds), 5, 3, 100, NULL, NULL, "folds",
     "parts of the forget facts that have no fold in the file"},
    {"retain", PAL_REAL, AT(retain), 0.2, 0, 1, NULL, NULL, "1",
     "fraction to retain of the facts without a role, if the file retains none"},
    {"seed", PAL_COUNT, AT(seed), 0, 0, 1e15, NULL, NULL, "1",
     "of retain facts and folds that the file leaves open"},
    {0},
};
#undef AT

/* A world needs both. open: facts to which the file gives no role. */
static int check_roles(const pal_world_t *world, double fraction, int32_t open,
                       pal_error_t *err)
{
    static const char *const names[] = {"forget", "retain"};
    int32_t retain = pal_world_select(world, PAL_RETAIN, -1, NULL);
    int all = retain > 0; /* the role they have in common */

    if (retain > 0 && retain < world->count)
        return PAL_OK;
    if (open == 0)
        return PAL_REJECT(err,
                          "%s: every fact has the role \"%s\"; expected %s facts too, "
                          "or facts without a role, of which a fraction is retained",
                          world->source, names[all], names[!all]);
    return PAL_REJECT(err,
                      "%s: retain %g of the %d facts without a role is %d: no fact is "
                      "left to %s; give some the role \"%s\" or change retain",
                      world->source, fraction, open, retain, names[!all], names[!all]);
}

static int deal(const facts_t *p, pal_world_t *world, pal_error_t *err)
{
    int open = 0, rc = PAL_OK;
    int32_t folds = 0, roles = 0;
    pal_hash_t hash;
    pal_key_t key;
    pal_rng_t rng;

    pal_hash_begin(&hash);
    pal_hash_print(&hash, "facts world, seed %lld", (long long)p->seed);
    key = pal_hash_end(&hash);
    pal_rng_init(&rng, key, "retain");
    if (pal_world_select(world, PAL_RETAIN, -1, NULL) == 0)
        rc = pal_deal_retain(world->facts, world->count, p->retain, &rng, err);
    for (int32_t i = 0; i < world->count; i++)
        roles += world->facts[i].role_given;
    if (rc == PAL_OK)
        rc = check_roles(world, p->retain, world->count - roles, err);
    if (rc != PAL_OK)
        return rc;
    for (int32_t i = 0; i < world->count; i++) {
        open |= world->facts[i].role == PAL_FORGET && world->facts[i].fold < 0;
        if (world->facts[i].fold >= folds)
            folds = world->facts[i].fold + 1;
    }
    world->folds = open && p->folds > folds ? (int32_t)p->folds : folds;
    pal_rng_init(&rng, key, "folds");
    return pal_deal_folds(world->facts, world->count, world->folds, &rng, err);
}

static int make(const void *state, pal_world_t *world, pal_error_t *err)
{
    const facts_t *p = state;
    int rc;

    if (!p->file[0])
        return PAL_REJECT(err,
                          "key 'file' is missing: a world of kind facts needs one");
    world->source = pal_arena_text(&world->arena, p->file, strlen(p->file));
    rc = pal_facts_read(p->file, &world->arena, &world->facts, &world->count, err);
    if (rc == PAL_OK)
        rc = deal(p, world, err);
    for (int32_t i = 0; rc == PAL_OK && i < world->count; i++) {
        pal_fact_t *fact = &world->facts[i];

        if (fact->role == PAL_FORGET && fact->falsehood_count == 0 &&
            pal_falsehoods_derive(&world->arena, fact) < 0)
            rc = PAL_FAIL(err, PAL_ENOMEM, "false statements of %s", p->file);
    }
    return rc;
}

const pal_world_kind_t pal_world_facts = {
    .summary = "the facts of a file",
    .params = params,
    .state_size = sizeof(facts_t),
    .make = make,
};
