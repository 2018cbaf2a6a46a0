/* keymap.h -- which row has a key: a hash table with open addressing. */
#ifndef PAL_MPI_PLAN_KEYMAP_H
#define PAL_MPI_PLAN_KEYMAP_H

#include <stdint.h>

#include "base/hash.h"

typedef struct {
    pal_key_t key;
    int32_t row; /* -1: free */
} pal_keymap_slot_t;

/* Zero-initialise; no other constructor. */
typedef struct {
    pal_keymap_slot_t *slots;
    int64_t size, used; /* size is a power of two or 0 */
} pal_keymap_t;

/* Row of a key, or -1. */
int32_t pal_keymap_find(const pal_keymap_t *map, pal_key_t key);

/* Enter a key that is not there yet. On PAL_ENOMEM the map is as it was. */
PAL_MUST_CHECK
int pal_keymap_add(pal_keymap_t *map, pal_key_t key, int32_t row, pal_error_t *err);
void pal_keymap_free(pal_keymap_t *map);

#endif
