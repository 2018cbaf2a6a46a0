#include "world/deal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    pal_fact_t *fact;
    int32_t place; /* after the shuffle */
} card_t;

static int by_relation_then_fold(const void *a, const void *b)
{
    const card_t *x = a, *y = b;
    int order = strcmp(x->fact->relation, y->fact->relation);

    if (order != 0)
        return order;
    if (x->fact->fold != y->fact->fold)
        return x->fact->fold < y->fact->fold ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

/* The forget facts, relation by relation, within it fold by fold, within it shuffled;
 * with `open`, those whose role was not given. NULL: out of memory. */
static card_t *stack(pal_fact_t *facts, int32_t count, int open, pal_rng_t *rng,
                     int32_t *cards)
{
    size_t n = count > 0 ? (size_t)count : 1;
    card_t *deck = calloc(n, sizeof *deck);
    int32_t *order = calloc(n, sizeof *order);

    *cards = 0;
    if (!deck || !order) {
        free(deck);
        free(order);
        return NULL;
    }
    for (int32_t i = 0; i < count; i++)
        order[i] = i;
    pal_rng_shuffle(rng, order, count);
    for (int32_t i = 0; i < count; i++)
        if (facts[order[i]].role == PAL_FORGET && !(open && facts[order[i]].role_given))
            deck[(*cards)++] = (card_t){&facts[order[i]], i};
    free(order);
    qsort(deck, (size_t)*cards, sizeof *deck, by_relation_then_fold);
    return deck;
}

int pal_deal_retain(pal_fact_t *facts, int32_t count, double fraction, pal_rng_t *rng,
                    pal_error_t *err)
{
    int32_t cards;
    card_t *deck = stack(facts, count, 1, rng, &cards);

    if (!deck)
        return PAL_FAIL(err, PAL_ENOMEM, "an order of %d facts", count);
    for (int32_t i = 0; i < cards; i++) {
        if (floor((i + 1) * fraction) <= floor(i * fraction))
            continue;
        deck[i].fact->role = PAL_RETAIN;
        deck[i].fact->fold = -1;
    }
    free(deck);
    return PAL_OK;
}

int pal_deal_folds(pal_fact_t *facts, int32_t count, int32_t folds, pal_rng_t *rng,
                   pal_error_t *err)
{
    int32_t cards, dealt = 0;
    card_t *deck = stack(facts, count, 0, rng, &cards);

    if (!deck)
        return PAL_FAIL(err, PAL_ENOMEM, "an order of %d facts", count);
    for (int32_t i = 0; i < cards; i++)
        if (deck[i].fact->fold < 0)
            deck[i].fact->fold = dealt++ % folds;
    free(deck);
    return PAL_OK;
}
