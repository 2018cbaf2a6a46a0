/* block.h -- blocks of keys: `model: {...}`, `unlearn: [{method: gd, ...}, ...]`. */
#ifndef PAL_MPI_CONFIG_BLOCK_H
#define PAL_MPI_CONFIG_BLOCK_H

#include "config/axis.h"

/* A top-level key whose blocks name an entry of a .def list. */
typedef struct {
    const char *name;     /* "unlearn" */
    const char *selector; /* "method": the key that names the entry */
    const pal_param_t *common;
    int (*find)(const char *id, const pal_param_t **own, pal_error_t *err);
} pal_section_t;

extern const pal_section_t pal_world_section, pal_unlearn_section, pal_attack_section;

/* Read a block or a list of blocks. A block whose selector is a list of names stands
 * for one block each. The blocks live in the reader's arena. */
PAL_MUST_CHECK
int pal_section_read(pal_reader_t *reader, const pal_section_t *section,
                     yaml_node_t *node, const pal_block_t **blocks, int32_t *count);

/* Append the axes of the block `name:` with that table to axes[*count ...], which has
 * room for every entry of the table. */
PAL_MUST_CHECK
int pal_block_append(pal_reader_t *reader, const char *name, const pal_param_t *table,
                     yaml_node_t *node, pal_axis_t *axes, int32_t *count);

#endif
