#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "config/block.h"

const pal_param_t pal_seed_params[] = {
    {"seed", PAL_COUNT, offsetof(pal_base_spec_t, seed), 0, 0, 0x1p53, NULL, NULL, "1",
     "of the base model: initial weights and order of the data"},
    {0},
};

static int out_of_memory(pal_reader_t *reader)
{
    return PAL_FAIL(reader->err, PAL_ENOMEM, "%s: config", reader->document->path);
}

/* --- Top-level keys --- */

/* A config under construction: its base block collects the keys of model, pretrain,
 * seed. */
typedef struct {
    pal_reader_t reader;
    pal_config_t *config;
    pal_axis_t *base_axes;
} builder_t;

static int read_sweep(builder_t *builder, yaml_node_t *node, int32_t line)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    pal_config_t *config = builder->config;
    const char *name;
    int rc = pal_scalar_read(&builder->reader, "sweep", node, &name);

    if (rc != PAL_OK)
        return rc;
    if (strlen(name) > 64 || name[strspn(name, allowed)] || name[0] == '-')
        return PAL_REJECT(
            builder->reader.err,
            "%s:%d: key 'sweep': '%.80s' is no name of a file; expected at "
            "most 64 letters, digits, '-' and '_', '-' not first",
            config->path, line, name);
    config->name = pal_arena_text(&config->arena, name, strlen(name));
    return config->name ? PAL_OK : out_of_memory(&builder->reader);
}

static int read_controls(builder_t *builder, yaml_node_t *node, int32_t line)
{
    const char *text;
    int rc = pal_scalar_read(&builder->reader, "controls", node, &text);

    if (rc != PAL_OK)
        return rc;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return PAL_REJECT(builder->reader.err,
                          "%s:%d: key 'controls': '%.60s' is neither true nor false",
                          builder->config->path, line, text);
    builder->config->controls = strcmp(text, "true") == 0;
    return PAL_OK;
}

static int read_world(builder_t *builder, yaml_node_t *node, int32_t line)
{
    const pal_block_t *blocks;
    int32_t count;
    int rc =
        pal_section_read(&builder->reader, &pal_world_section, node, &blocks, &count);

    if (rc != PAL_OK)
        return rc;
    if (count != 1)
        return PAL_REJECT(builder->reader.err,
                          "%s:%d: 'world' is one block of one kind, not %d of them",
                          builder->config->path, line, count);
    builder->config->world = blocks[0];
    return PAL_OK;
}

static int read_model(builder_t *builder, yaml_node_t *node, int32_t line)
{
    (void)line;
    return pal_block_append(&builder->reader, "model", pal_model_params, node,
                            builder->base_axes, &builder->config->base.count);
}

static int read_pretrain(builder_t *builder, yaml_node_t *node, int32_t line)
{
    (void)line;
    return pal_block_append(&builder->reader, "pretrain", pal_pretrain_params, node,
                            builder->base_axes, &builder->config->base.count);
}

static int read_seed(builder_t *builder, yaml_node_t *node, int32_t line)
{
    int32_t *count = &builder->config->base.count;
    int rc = pal_axis_read(&builder->reader, pal_seed_params, line, node,
                           &builder->base_axes[*count]);

    *count += rc == PAL_OK;
    return rc;
}

/* A control does not train: pal_spec_normalize() would throw its keys away. */
static int check_control(builder_t *builder, const pal_block_t *block)
{
    const pal_reader_t *reader = &builder->reader;
    const pal_method_t *method;
    int rc = pal_method_find(block->id, &method, reader->err);

    if (rc != PAL_OK || method->role == PAL_UNLEARNS || block->count == 0)
        return rc;
    return PAL_REJECT(
        reader->err, "%s:%d: method '%s' does not train: key '%s' has no effect",
        reader->document->path, block->axes[0].line, block->id, block->axes[0].key);
}

static int read_unlearn(builder_t *builder, yaml_node_t *node, int32_t line)
{
    pal_config_t *config = builder->config;
    int rc = pal_section_read(&builder->reader, &pal_unlearn_section, node,
                              &config->unlearn, &config->unlearn_count);

    (void)line;
    for (int32_t i = 0; rc == PAL_OK && i < config->unlearn_count; i++)
        rc = check_control(builder, &config->unlearn[i]);
    return rc;
}

static int read_attack(builder_t *builder, yaml_node_t *node, int32_t line)
{
    (void)line;
    return pal_section_read(&builder->reader, &pal_attack_section, node,
                            &builder->config->attack, &builder->config->attack_count);
}

static const char *const names[] = {"sweep",    "world",   "model",  "seed",
                                    "pretrain", "unlearn", "attack", "controls"};
static int (*const readers[])(builder_t *, yaml_node_t *, int32_t) = {
    read_sweep,    read_world,   read_model,  read_seed,
    read_pretrain, read_unlearn, read_attack, read_controls};
enum { NAMES = sizeof names / sizeof *names };

static int read_key(builder_t *builder, const char *key, int32_t line,
                    yaml_node_t *value)
{
    const char *nearest = pal_nearest(key, names, NAMES);

    for (int i = 0; i < NAMES; i++)
        if (strcmp(names[i], key) == 0)
            return readers[i](builder, value, line);
    return PAL_REJECT(builder->reader.err,
                      "%s:%d: unknown key '%.60s'%s%s%s; known: sweep world model seed "
                      "pretrain unlearn attack controls",
                      builder->config->path, line, key, nearest ? "; nearest is '" : "",
                      nearest ? nearest : "", nearest ? "'" : "");
}

static int read_root(builder_t *builder)
{
    pal_document_t *document = builder->reader.document;
    yaml_node_t *root = pal_document_root(document);
    int rc = PAL_OK;

    for (int32_t i = 0; rc == PAL_OK && i < pal_node_pairs(root); i++)
        rc = read_key(builder, pal_node_key(document, root, i),
                      pal_node_key_line(document, root, i),
                      pal_node_value(document, root, i));
    return rc;
}

static int check_present(const pal_config_t *config, pal_error_t *err)
{
    if (!config->name)
        return PAL_REJECT(err, "%s:1: key 'sweep' is missing, as in 'sweep: my-sweep'",
                          config->path);
    if (!config->world.id)
        return PAL_REJECT(
            err, "%s:1: key 'world' is missing, as in 'world: {kind: synthetic}'",
            config->path);
    if (!config->attack_count)
        return PAL_REJECT(
            err, "%s:1: key 'attack' is missing, as in 'attack: {kind: finetune}'",
            config->path);
    if (!config->unlearn_count && !config->controls)
        return PAL_REJECT(
            err,
            "%s:1: key 'unlearn' is missing and 'controls' is false: nothing "
            "to attack",
            config->path);
    return PAL_OK;
}

/* --- The file --- */

static size_t table_length(const pal_param_t *table)
{
    size_t n = 0;

    while (table[n].key)
        n++;
    return n;
}

static int begin(builder_t *builder, const char *path, const char *text, size_t length)
{
    pal_config_t *config = builder->config;
    size_t room = table_length(pal_model_params) + table_length(pal_pretrain_params) +
                  table_length(pal_seed_params);

    config->controls = 1;
    config->path = pal_arena_text(&config->arena, path, strlen(path));
    config->text = pal_arena_text(&config->arena, text, length);
    config->base.id = "";
    builder->base_axes = pal_arena_get(&config->arena, room * sizeof(pal_axis_t));
    config->base.axes = builder->base_axes;
    return config->path && config->text && builder->base_axes
               ? PAL_OK
               : out_of_memory(&builder->reader);
}

int pal_config_parse(const char *path, const char *text, size_t length,
                     pal_config_t *config, pal_error_t *err)
{
    pal_document_t document;
    builder_t builder = {{&document, &config->arena, err}, config, NULL};
    int rc;

    memset(config, 0, sizeof *config);
    rc = pal_document_load(path, text, length, &document, err);
    if (rc != PAL_OK)
        return rc;
    rc = begin(&builder, path, text, length);
    if (rc == PAL_OK)
        rc = read_root(&builder);
    if (rc == PAL_OK)
        rc = check_present(config, err);
    if (rc != PAL_OK)
        pal_config_free(config);
    pal_document_free(&document);
    return rc;
}

void pal_config_free(pal_config_t *config)
{
    pal_arena_free(&config->arena);
    memset(config, 0, sizeof *config);
}

int pal_file_read(const char *path, char **text, size_t *length, pal_error_t *err)
{
    FILE *file;
    char *bytes = NULL;
    size_t n = 0;
    int rc = pal_file_open(path, &file, err);

    if (rc != PAL_OK)
        return rc;
    bytes = malloc(PAL_CONFIG_MAX + 2);
    if (bytes)
        n = fread(bytes, 1, PAL_CONFIG_MAX + 1, file);
    if (!bytes)
        rc = PAL_FAIL(err, PAL_ENOMEM, "%s: no room to read it", path);
    else if (ferror(file))
        rc = pal_fail_(err, PAL_EIO, NULL, 0, "%s: %s", path, strerror(errno));
    else if (n > PAL_CONFIG_MAX)
        rc = PAL_REJECT(err, "%s:1: a config has at most %d bytes", path,
                        PAL_CONFIG_MAX);
    fclose(file);
    if (rc != PAL_OK) {
        free(bytes);
        return rc;
    }
    bytes[n] = 0;
    *text = bytes;
    *length = n;
    return PAL_OK;
}
