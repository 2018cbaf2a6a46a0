/* param.h -- tables of tunables.
 *
 * A method, an attack, a world, pretraining: each describes its tunables in one table.
 * The config parser, the range check, `palimpsest list`, the stage keys and the columns
 * of the results file read that table and nothing else.
 */
#ifndef PAL_BASE_PARAM_H
#define PAL_BASE_PARAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

typedef enum {
    PAL_REAL,  /* double, finite; decimal */
    PAL_COUNT, /* int64_t; decimal digits; its range is within +-2^53 */
    PAL_TEXT   /* char[PAL_TEXT_MAX] */
} pal_type_t;

enum { PAL_TEXT_MAX = 256, PAL_STATE_MAX = 1024 };

/* One tunable; a table ends at key == NULL. */
typedef struct {
    const char *key;
    pal_type_t type;
    size_t offset;    /* into the owner's state struct, at most PAL_STATE_MAX bytes */
    double preset;    /* default of a number */
    double min, max;  /* inclusive range of a number */
    const char *text; /* default of a text; NULL: a value must be given */
    const char *choices; /* texts: "cosine|constant"; NULL: any */
    const char *unit;    /* "1" is dimensionless */
    const char *help;    /* one line */
} pal_param_t;

/* Fill state with the table's defaults (required texts become ""). */
void pal_param_defaults(const pal_param_t *table, void *state);

/* The entry called key, or NULL. */
const pal_param_t *pal_param_find(const pal_param_t *table, const char *key);

/* Parse text into state. On failure err says "key 'lr': '1e-3x' is not a number" or
 * names value and range; state is untouched. Returns PAL_OK or PAL_EINVAL. */
PAL_MUST_CHECK
int pal_param_set(const pal_param_t *param, void *state, const char *text,
                  pal_error_t *err);

/* Canonical text of a value ("0.001", "250", "cosine"): parses back to the same bits.
 * Writes at most n bytes with terminator. */
void pal_param_print(const pal_param_t *param, const void *state, char *text, size_t n);

/* Add "key=value" of every entry, in table order. */
void pal_param_hash(const pal_param_t *table, const void *state, pal_hash_t *hash);

#endif
