#include "config/block.h"

#include <stdio.h>
#include <string.h>

static const pal_param_t no_params[] = {{0}};

static int find_world(const char *id, const pal_param_t **own, pal_error_t *err)
{
    const pal_world_kind_t *kind;
    int rc = pal_world_find(id, &kind, err);

    if (rc == PAL_OK)
        *own = kind->params;
    return rc;
}

static int find_method(const char *id, const pal_param_t **own, pal_error_t *err)
{
    const pal_method_t *method;
    int rc = pal_method_find(id, &method, err);

    if (rc == PAL_OK)
        *own = method->params;
    return rc;
}

static int find_attack(const char *id, const pal_param_t **own, pal_error_t *err)
{
    const pal_attack_t *attack;
    int rc = pal_attack_find(id, &attack, err);

    if (rc == PAL_OK)
        *own = attack->params;
    return rc;
}

const pal_section_t pal_world_section = {"world", "kind", no_params, find_world};
const pal_section_t pal_unlearn_section = {"unlearn", "method", pal_unlearn_params,
                                           find_method};
const pal_section_t pal_attack_section = {"attack", "kind", pal_attack_params,
                                          find_attack};

static int out_of_memory(pal_reader_t *reader)
{
    return PAL_FAIL(reader->err, PAL_ENOMEM, "%s: blocks", reader->document->path);
}

/* --- The keys of one block --- */

/* The keys that may stand in a block, and what messages call it. */
typedef struct {
    char title[PAL_TEXT_MAX + 32]; /* "unlearn block 'gd'" */
    const char *selector;          /* NULL: none */
    const pal_param_t *tables[2];
} scope_t;

static const pal_param_t *find_key(const scope_t *scope, const char *key)
{
    const pal_param_t *param = pal_param_find(scope->tables[0], key);

    return param ? param : pal_param_find(scope->tables[1], key);
}

static int reject_key(pal_reader_t *reader, const scope_t *scope, const char *key,
                      int32_t line)
{
    enum { MOST = 64 };
    const char *names[MOST], *nearest;
    char list[300] = "";
    int n = 0;

    if (scope->selector)
        names[n++] = scope->selector;
    for (int t = 0; t < 2; t++)
        for (const pal_param_t *p = scope->tables[t]; p->key && n < MOST; p++)
            names[n++] = p->key;
    nearest = pal_nearest(key, names, n);
    if (nearest)
        return PAL_REJECT(reader->err,
                          "%s:%d: unknown key '%.60s' in %s; nearest is '%s'",
                          reader->document->path, line, key, scope->title, nearest);
    for (int i = 0; i < n; i++) {
        size_t used = strlen(list);

        snprintf(list + used, sizeof list - used, " %s", names[i]);
    }
    return PAL_REJECT(reader->err, "%s:%d: unknown key '%.60s' in %s; known:%s",
                      reader->document->path, line, key, scope->title, list);
}

static int read_axes(pal_reader_t *reader, const scope_t *scope, yaml_node_t *mapping,
                     pal_axis_t *axes, int32_t *count)
{
    int32_t pairs = pal_node_pairs(mapping);
    int rc = PAL_OK;

    for (int32_t i = 0; rc == PAL_OK && i < pairs; i++) {
        const char *key = pal_node_key(reader->document, mapping, i);
        int32_t line = pal_node_key_line(reader->document, mapping, i);
        const pal_param_t *param = find_key(scope, key);

        if (scope->selector && strcmp(key, scope->selector) == 0)
            continue;
        if (!param)
            return reject_key(reader, scope, key, line);
        rc = pal_axis_read(reader, param, line,
                           pal_node_value(reader->document, mapping, i), &axes[*count]);
        *count += rc == PAL_OK;
    }
    return rc;
}

static int expect_mapping(pal_reader_t *reader, const char *name,
                          const yaml_node_t *node)
{
    if (node->type == YAML_MAPPING_NODE)
        return PAL_OK;
    return PAL_REJECT(reader->err, "%s:%d: '%s' takes a block of keys, not %s",
                      reader->document->path, pal_node_line(node), name,
                      pal_node_kind(node));
}

int pal_block_append(pal_reader_t *reader, const char *name, const pal_param_t *table,
                     yaml_node_t *node, pal_axis_t *axes, int32_t *count)
{
    scope_t scope = {.tables = {table, no_params}};
    int rc = expect_mapping(reader, name, node);

    if (rc != PAL_OK)
        return rc;
    snprintf(scope.title, sizeof scope.title, "'%s'", name);
    return read_axes(reader, &scope, node, axes, count);
}

/* --- A block that names an entry --- */

/* Texts without a default must be given. */
static int check_required(pal_reader_t *reader, const scope_t *scope,
                          const pal_block_t *block)
{
    for (int t = 0; t < 2; t++)
        for (const pal_param_t *p = scope->tables[t]; p->key; p++) {
            int given = p->type != PAL_TEXT || p->text;

            for (int32_t i = 0; i < block->count && !given; i++)
                given = strcmp(block->axes[i].key, p->key) == 0;
            if (!given)
                return PAL_REJECT(reader->err, "%s:%d: %s needs the key '%s' (%s)",
                                  reader->document->path, block->line, scope->title,
                                  p->key, p->help);
        }
    return PAL_OK;
}

static int read_block(pal_reader_t *reader, const pal_section_t *section,
                      const char *id, int32_t line, yaml_node_t *mapping,
                      pal_block_t *block)
{
    size_t pairs = (size_t)pal_node_pairs(mapping);
    pal_axis_t *axes = pal_arena_get(reader->arena, pairs * sizeof *axes);
    scope_t scope = {.selector = section->selector, .tables = {section->common, NULL}};
    int rc = section->find(id, &scope.tables[1], reader->err);

    if (rc != PAL_OK)
        return pal_context(reader->err, PAL_EINVAL, "%s:%d", reader->document->path,
                           line);
    snprintf(scope.title, sizeof scope.title, "%s block '%s'", section->name, id);
    block->id = pal_arena_text(reader->arena, id, strlen(id));
    block->axes = axes;
    block->line = line;
    if (!block->id || !axes)
        return out_of_memory(reader);
    rc = read_axes(reader, &scope, mapping, axes, &block->count);
    return rc == PAL_OK ? check_required(reader, &scope, block) : rc;
}

/* --- Blocks of a section --- */

/* A node that is one item or a list of items. */
static int32_t item_count(const yaml_node_t *node)
{
    return node->type == YAML_SEQUENCE_NODE ? pal_node_items(node) : 1;
}

static yaml_node_t *item_at(pal_reader_t *reader, yaml_node_t *node, int32_t i)
{
    return node->type == YAML_SEQUENCE_NODE ? pal_node_item(reader->document, node, i)
                                            : node;
}

/* The value of the selector: a name or a list of names. */
static int find_names(pal_reader_t *reader, const pal_section_t *section,
                      yaml_node_t *mapping, yaml_node_t **names)
{
    int rc = expect_mapping(reader, section->name, mapping);

    for (int32_t i = 0; rc == PAL_OK && i < pal_node_pairs(mapping); i++) {
        if (strcmp(pal_node_key(reader->document, mapping, i), section->selector) != 0)
            continue;
        *names = pal_node_value(reader->document, mapping, i);
        if (item_count(*names) == 0)
            return PAL_REJECT(reader->err, "%s:%d: key '%s': an empty list",
                              reader->document->path, pal_node_line(*names),
                              section->selector);
        return PAL_OK;
    }
    if (rc != PAL_OK)
        return rc;
    return PAL_REJECT(reader->err, "%s:%d: %s block without the key '%s'",
                      reader->document->path, pal_node_line(mapping), section->name,
                      section->selector);
}

static int read_named(pal_reader_t *reader, const pal_section_t *section,
                      yaml_node_t *mapping, yaml_node_t *names, pal_block_t *blocks)
{
    int rc = PAL_OK;

    for (int32_t i = 0; rc == PAL_OK && i < item_count(names); i++) {
        yaml_node_t *name = item_at(reader, names, i);
        const char *id;

        rc = pal_scalar_read(reader, section->selector, name, &id);
        for (int32_t j = 0; rc == PAL_OK && j < i; j++)
            if (strcmp(blocks[j].id, id) == 0)
                rc = PAL_REJECT(reader->err, "%s:%d: key '%s' has the value '%s' twice",
                                reader->document->path, pal_node_line(name),
                                section->selector, id);
        if (rc == PAL_OK)
            rc = read_block(reader, section, id, pal_node_line(name), mapping,
                            &blocks[i]);
    }
    return rc;
}

int pal_section_read(pal_reader_t *reader, const pal_section_t *section,
                     yaml_node_t *node, const pal_block_t **out, int32_t *out_count)
{
    int32_t items = item_count(node), count = 0;
    pal_block_t *blocks, *next;
    yaml_node_t *names;
    int rc = PAL_OK;

    if (items == 0)
        return PAL_REJECT(reader->err, "%s:%d: '%s' is an empty list",
                          reader->document->path, pal_node_line(node), section->name);
    for (int32_t i = 0; i < items; i++) {
        rc = find_names(reader, section, item_at(reader, node, i), &names);
        if (rc != PAL_OK)
            return rc;
        count += item_count(names);
    }
    next = blocks = pal_arena_get(reader->arena, (size_t)count * sizeof *blocks);
    if (!blocks)
        return out_of_memory(reader);
    for (int32_t i = 0; rc == PAL_OK && i < items; i++) {
        yaml_node_t *mapping = item_at(reader, node, i);

        rc = find_names(reader, section, mapping, &names);
        if (rc == PAL_OK)
            rc = read_named(reader, section, mapping, names, next);
        next += item_count(names);
    }
    *out = blocks;
    *out_count = count;
    return rc;
}
