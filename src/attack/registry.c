#include <string.h>

#include "attack/attack.h"

#define PAL_ATTACK(id) extern const pal_attack_t pal_attack_##id;
#include "attack/attacks.def"
#undef PAL_ATTACK

/* The id is the token itself, so name and symbol cannot drift apart. */
static const char *const ids[] = {
#define PAL_ATTACK(id) #id,
#include "attack/attacks.def"
#undef PAL_ATTACK
};

static const pal_attack_t *const attacks[] = {
#define PAL_ATTACK(id) &pal_attack_##id,
#include "attack/attacks.def"
#undef PAL_ATTACK
};

int pal_attack_count(void)
{
    return (int)(sizeof ids / sizeof *ids);
}

const char *pal_attack_id(int i)
{
    return ids[i];
}

const pal_attack_t *pal_attack_at(int i)
{
    return attacks[i];
}

int pal_attack_find(const char *id, const pal_attack_t **attack, pal_error_t *err)
{
    int i = pal_name_find("attack", id, ids, pal_attack_count(), err);

    if (i < 0)
        return PAL_ENOENT;
    *attack = attacks[i];
    return PAL_OK;
}
