#include <stdio.h>
#include <string.h>

#include "world/world.h"

#define PAL_WORLD(id) extern const pal_world_kind_t pal_world_##id;
#include "world/worlds.def"
#undef PAL_WORLD

/* The id is the token itself, so name and symbol cannot drift apart. */
static const struct {
    const char *id;
    const pal_world_kind_t *kind;
} table[] = {
#define PAL_WORLD(id) {#id, &pal_world_##id},
#include "world/worlds.def"
#undef PAL_WORLD
};

enum { KINDS = sizeof table / sizeof table[0] };

int pal_world_kinds(void)
{
    return KINDS;
}

const char *pal_world_kind_id(int i)
{
    return table[i].id;
}

const pal_world_kind_t *pal_world_kind_at(int i)
{
    return table[i].kind;
}

int pal_world_find(const char *id, const pal_world_kind_t **kind, pal_error_t *err)
{
    const char *names[KINDS], *nearest;
    char known[256] = "";

    for (int i = 0; i < KINDS; i++) {
        size_t used = strlen(known);

        if (strcmp(table[i].id, id) == 0) {
            *kind = table[i].kind;
            return PAL_OK;
        }
        names[i] = table[i].id;
        snprintf(known + used, sizeof known - used, " %s", table[i].id);
    }
    nearest = pal_nearest(id, names, KINDS);
    return pal_fail_(err, PAL_ENOENT, NULL, 0, "unknown world '%s'%s%s; known:%s", id,
                     nearest ? ", nearest is " : "", nearest ? nearest : "", known);
}
