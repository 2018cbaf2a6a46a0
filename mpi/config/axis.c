#include "config/axis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory(pal_reader_t *reader)
{
    return PAL_FAIL(reader->err, PAL_ENOMEM, "%s: values of an axis",
                    reader->document->path);
}

int pal_scalar_read(pal_reader_t *reader, const char *key, yaml_node_t *node,
                    const char **text)
{
    const char *path = reader->document->path;

    if (node->type != YAML_SCALAR_NODE)
        return PAL_REJECT(reader->err, "%s:%d: key '%s' takes one value, not %s", path,
                          pal_node_line(node), key, pal_node_kind(node));
    if (node->data.scalar.length == 0)
        return PAL_REJECT(reader->err, "%s:%d: key '%s' has no value", path,
                          pal_node_line(node), key);
    if (node->data.scalar.length >= PAL_TEXT_MAX)
        return PAL_REJECT(
            reader->err, "%s:%d: key '%s': a value of %zu bytes; at most %d", path,
            pal_node_line(node), key, node->data.scalar.length, PAL_TEXT_MAX - 1);
    *text = pal_node_text(node);
    return PAL_OK;
}

/* Check text against the table and keep its canonical form. */
static int keep_value(pal_reader_t *reader, const pal_param_t *param, const char *text,
                      int32_t line, const char **kept)
{
    _Alignas(16) char slot[PAL_TEXT_MAX];
    char canonical[PAL_TEXT_MAX];
    pal_param_t alone = *param;
    int rc;

    alone.offset = 0;
    rc = pal_param_set(&alone, slot, text, reader->err);
    if (rc != PAL_OK)
        return pal_context(reader->err, rc, "%s:%d", reader->document->path, line);
    pal_param_print(&alone, slot, canonical, sizeof canonical);
    *kept = pal_arena_text(reader->arena, canonical, strlen(canonical));
    return *kept ? PAL_OK : out_of_memory(reader);
}

static int keep_node(pal_reader_t *reader, const pal_param_t *param, yaml_node_t *node,
                     const char **kept)
{
    const char *text = NULL;
    int rc;

    if (node->type != YAML_SCALAR_NODE)
        return PAL_REJECT(reader->err,
                          "%s:%d: key '%s': expected a value, a list of values or "
                          "{log: [lo, hi, n]}, not %s",
                          reader->document->path, pal_node_line(node), param->key,
                          pal_node_kind(node));
    rc = pal_scalar_read(reader, param->key, node, &text);
    return rc == PAL_OK ? keep_value(reader, param, text, pal_node_line(node), kept)
                        : rc;
}

static const char **make_values(pal_reader_t *reader, pal_axis_t *axis, int32_t count)
{
    const char **values = pal_arena_get(reader->arena, (size_t)count * sizeof *values);

    axis->values = values;
    axis->count = count;
    return values;
}

static int read_list(pal_reader_t *reader, const pal_param_t *param, yaml_node_t *node,
                     pal_axis_t *axis)
{
    int32_t count = pal_node_items(node);
    const char **values = make_values(reader, axis, count);
    int rc = values ? PAL_OK : out_of_memory(reader);

    if (rc == PAL_OK && count == 0)
        rc = PAL_REJECT(reader->err, "%s:%d: key '%s': an empty list",
                        reader->document->path, pal_node_line(node), param->key);
    for (int32_t i = 0; rc == PAL_OK && i < count; i++)
        rc = keep_node(reader, param, pal_node_item(reader->document, node, i),
                       &values[i]);
    return rc;
}

/* --- {log: [lo, hi, n]} --- */

enum { WHY_TEXT = 160 };

static int reject_log(pal_reader_t *reader, const pal_param_t *param, yaml_node_t *node,
                      const char *why)
{
    return PAL_REJECT(
        reader->err,
        "%s:%d: key '%s': %s; expected {log: [lo, hi, n]} with 0 < lo < hi "
        "and n from 2 to %d",
        reader->document->path, pal_node_line(node), param->key, why, PAL_LOG_POINTS);
}

/* The list [lo, hi, n], or NULL if the node is no such thing. */
static yaml_node_t *log_list(pal_reader_t *reader, yaml_node_t *node)
{
    yaml_node_t *list;

    if (pal_node_pairs(node) != 1 ||
        strcmp(pal_node_key(reader->document, node, 0), "log") != 0)
        return NULL;
    list = pal_node_value(reader->document, node, 0);
    if (list->type != YAML_SEQUENCE_NODE || pal_node_items(list) != 3)
        return NULL;
    for (int32_t i = 0; i < 3; i++)
        if (pal_node_item(reader->document, list, i)->type != YAML_SCALAR_NODE)
            return NULL;
    return list;
}

static int read_points(pal_reader_t *reader, const pal_param_t *param,
                       yaml_node_t *node, int32_t *points)
{
    static const pal_param_t count = {"n",  PAL_COUNT, 0,   2,       2, PAL_LOG_POINTS,
                                      NULL, NULL,      "1", "values"};
    char why[WHY_TEXT];
    int64_t n;

    if (pal_param_set(&count, &n, pal_node_text(node), NULL) != PAL_OK) {
        snprintf(why, sizeof why, "n is '%.60s'", pal_node_text(node));
        return reject_log(reader, param, node, why);
    }
    *points = (int32_t)n;
    return PAL_OK;
}

static int fill_between(pal_reader_t *reader, const pal_param_t *param,
                        yaml_node_t *node, const char **values, int32_t count)
{
    double lo = strtod(values[0], NULL), hi = strtod(values[count - 1], NULL);
    char why[WHY_TEXT];
    int rc = PAL_OK;

    if (!(lo > 0 && lo < hi)) {
        snprintf(why, sizeof why, "lo is %.60s and hi %.60s", values[0],
                 values[count - 1]);
        return reject_log(reader, param, node, why);
    }
    for (int32_t i = 1; rc == PAL_OK && i < count - 1; i++) {
        double value = lo * pow(hi / lo, i / (double)(count - 1));
        char text[32];

        snprintf(text, sizeof text, param->type == PAL_COUNT ? "%.0f" : "%.6g", value);
        rc = keep_value(reader, param, text, pal_node_line(node), &values[i]);
    }
    return rc;
}

static int read_log(pal_reader_t *reader, const pal_param_t *param, yaml_node_t *node,
                    pal_axis_t *axis)
{
    yaml_node_t *list = log_list(reader, node);
    const char **values;
    int32_t count = 0;
    int rc;

    if (!list)
        return reject_log(reader, param, node, "a block of other keys");
    if (param->type == PAL_TEXT)
        return reject_log(reader, param, node, "the key takes text, not numbers");
    rc = read_points(reader, param, pal_node_item(reader->document, list, 2), &count);
    if (rc != PAL_OK)
        return rc;
    values = make_values(reader, axis, count);
    if (!values)
        return out_of_memory(reader);
    for (int32_t i = 0; rc == PAL_OK && i < 2; i++)
        rc = keep_node(reader, param, pal_node_item(reader->document, list, i),
                       &values[i * (count - 1)]);
    return rc == PAL_OK ? fill_between(reader, param, node, values, count) : rc;
}

/* --- Repetition --- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A value that stands twice would be computed once and surprise whoever counts rows. */
static int check_distinct(pal_reader_t *reader, const pal_axis_t *axis)
{
    const char **sorted = malloc((size_t)axis->count * sizeof *sorted);
    int rc = PAL_OK;

    if (!sorted)
        return out_of_memory(reader);
    memcpy(sorted, axis->values, (size_t)axis->count * sizeof *sorted);
    qsort(sorted, (size_t)axis->count, sizeof *sorted, compare_texts);
    for (int32_t i = 1; rc == PAL_OK && i < axis->count; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            rc = PAL_REJECT(reader->err, "%s:%d: key '%s' has the value '%s' twice",
                            reader->document->path, axis->line, axis->key, sorted[i]);
    free(sorted);
    return rc;
}

int pal_axis_read(pal_reader_t *reader, const pal_param_t *param, int32_t line,
                  yaml_node_t *node, pal_axis_t *axis)
{
    int rc;

    axis->key = param->key;
    axis->line = line;
    if (node->type == YAML_SEQUENCE_NODE) {
        rc = read_list(reader, param, node, axis);
    } else if (node->type == YAML_MAPPING_NODE) {
        rc = read_log(reader, param, node, axis);
    } else {
        const char **value = make_values(reader, axis, 1);

        rc = value ? keep_node(reader, param, node, value) : out_of_memory(reader);
    }
    return rc == PAL_OK ? check_distinct(reader, axis) : rc;
}
