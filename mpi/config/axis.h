/* axis.h -- the values of one key: a scalar, a list or {log: [lo, hi, n]}.
 *
 * Values are kept as canonical text (pal_param_print), so that 1e-3 and 0.001 are one
 * value. A value written twice is refused.
 */
#ifndef PAL_MPI_CONFIG_AXIS_H
#define PAL_MPI_CONFIG_AXIS_H

#include "base/arena.h"
#include "config/config.h"
#include "config/document.h"

/* What the functions that read a config share. */
typedef struct {
    pal_document_t *document;
    pal_arena_t *arena; /* of the config: whatever is kept goes there */
    pal_error_t *err;
} pal_reader_t;

enum { PAL_LOG_POINTS = 10000 };

/* Read the values of `param` from node into *axis. A log axis has its two ends as
 * written and, between them, a geometric progression rounded to six significant digits
 * (whole numbers for a count): short texts that every C library computes alike. */
PAL_MUST_CHECK
int pal_axis_read(pal_reader_t *reader, const pal_param_t *param, int32_t line,
                  yaml_node_t *node, pal_axis_t *axis);

/* The only value of an axis that must not vary, as text without a check: `sweep`,
 * `kind`. */
PAL_MUST_CHECK
int pal_scalar_read(pal_reader_t *reader, const char *key, yaml_node_t *node,
                    const char **text);

#endif
