#include "plan/keymap.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 64 };

/* The slot that has the key, or the free one where it belongs. Keys are hashes. */
static pal_keymap_slot_t *probe(const pal_keymap_t *map, pal_key_t key)
{
    uint64_t at;

    memcpy(&at, key.bytes, sizeof at);
    for (;; at++) {
        pal_keymap_slot_t *slot = &map->slots[at & (uint64_t)(map->size - 1)];

        if (slot->row < 0 || pal_key_equal(slot->key, key))
            return slot;
    }
}

int32_t pal_keymap_find(const pal_keymap_t *map, pal_key_t key)
{
    return map->size ? probe(map, key)->row : -1;
}

static int grow(pal_keymap_t *map, pal_error_t *err)
{
    pal_keymap_t grown = {.size = map->size ? 2 * map->size : SMALLEST,
                          .used = map->used};

    grown.slots = malloc((size_t)grown.size * sizeof *grown.slots);
    if (!grown.slots)
        return PAL_FAIL(err, PAL_ENOMEM, "%lld keys", (long long)grown.size);
    for (int64_t i = 0; i < grown.size; i++)
        grown.slots[i].row = -1;
    for (int64_t i = 0; i < map->size; i++)
        if (map->slots[i].row >= 0)
            *probe(&grown, map->slots[i].key) = map->slots[i];
    free(map->slots);
    *map = grown;
    return PAL_OK;
}

int pal_keymap_add(pal_keymap_t *map, pal_key_t key, int32_t row, pal_error_t *err)
{
    int rc = 2 * map->used >= map->size ? grow(map, err) : PAL_OK;

    if (rc == PAL_OK) {
        *probe(map, key) = (pal_keymap_slot_t){key, row};
        map->used++;
    }
    return rc;
}

void pal_keymap_free(pal_keymap_t *map)
{
    free(map->slots);
    memset(map, 0, sizeof *map);
}
