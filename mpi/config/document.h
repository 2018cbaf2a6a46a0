/* document.h -- one YAML document, checked for what every config must obey.
 *
 * The root is a mapping and no second document follows; mappings have scalar keys
 * without repetition; scalars are UTF-8 without control characters; nothing has a tag
 * or is an alias. What reads a config (axis.c, block.c, config.c) need not look again.
 */
#ifndef PAL_MPI_CONFIG_DOCUMENT_H
#define PAL_MPI_CONFIG_DOCUMENT_H

#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "base/error.h"

enum { PAL_CONFIG_MAX = 4 << 20 }; /* bytes of a config file */

typedef struct {
    const char *path; /* for messages; borrowed */
    yaml_document_t yaml;
} pal_document_t;

/* Parse text. On failure nothing is kept and err says "<path>:<line>: ...". */
PAL_MUST_CHECK
int pal_document_load(const char *path, const char *text, size_t length,
                      pal_document_t *document, pal_error_t *err);
void pal_document_free(pal_document_t *document);

/* The root mapping. */
yaml_node_t *pal_document_root(pal_document_t *document);

/* Pairs of a mapping: how many, key text (and its line) and value node of pair i. */
int32_t pal_node_pairs(const yaml_node_t *mapping);
const char *pal_node_key(pal_document_t *document, const yaml_node_t *mapping,
                         int32_t i);
int32_t pal_node_key_line(pal_document_t *document, const yaml_node_t *mapping,
                          int32_t i);
yaml_node_t *pal_node_value(pal_document_t *document, const yaml_node_t *mapping,
                            int32_t i);

/* Items of a sequence. */
int32_t pal_node_items(const yaml_node_t *sequence);
yaml_node_t *pal_node_item(pal_document_t *document, const yaml_node_t *sequence,
                           int32_t i);

/* Text of a scalar. */
const char *pal_node_text(const yaml_node_t *scalar);
int32_t pal_node_line(const yaml_node_t *node); /* from 1 */

/* "a text", "a list", ...: for messages. */
const char *pal_node_kind(const yaml_node_t *node);

#endif
