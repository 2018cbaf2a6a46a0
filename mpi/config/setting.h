/* setting.h -- "key=value key=value ..." texts of the results file.
 *
 * Settings say what rows have in common. Showing a table asks which rows share all but
 * some keys, and which keys differ at all. A value may hold spaces: a word without '='
 * belongs to the value before it.
 */
#ifndef PAL_MPI_CONFIG_SETTING_H
#define PAL_MPI_CONFIG_SETTING_H

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

typedef struct {
    const char *key, *value;
} pal_field_t;

typedef struct {
    pal_field_t *fields;
    int32_t count;
} pal_setting_t;

/* Append text's fields to *setting (zeroed before the first), each key with prefix in
 * front. Keys and values live in the arena. PAL_ENOMEM leaves *setting as it was. */
PAL_MUST_CHECK
int pal_setting_add(pal_setting_t *setting, const char *prefix, const char *text,
                    pal_arena_t *arena, pal_error_t *err);

/* Value of a key, or NULL. */
const char *pal_setting_get(const pal_setting_t *setting, const char *key);

/* 1 if there is a field of that key, with or without a value. */
int pal_setting_has(const pal_setting_t *setting, const char *key);

/* text without the fields whose short key is in drop[0..n), in the arena; NULL when
 * memory is out. */
char *pal_setting_without(const char *text, const char *const drop[], int32_t n,
                          pal_arena_t *arena);

/* The keys whose value is not the same in all of all[0..count) that have them, in the
 * order they turn up (values are NULL). In the arena. */
PAL_MUST_CHECK
int pal_setting_differing(const pal_setting_t *all, int32_t count, pal_arena_t *arena,
                          pal_setting_t *out, pal_error_t *err);

/* "size=nano, taught=0.5": the fields whose keys are among those. Keys are short unless
 * two of them would read the same. "" if there are none; in the arena; NULL when memory
 * is out. */
char *pal_setting_label(const pal_setting_t *setting, const pal_setting_t *differing,
                        pal_arena_t *arena);

#endif
