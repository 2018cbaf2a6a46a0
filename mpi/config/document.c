#include "config/document.h"

#include <string.h>

/* --- Nodes --- */

int32_t pal_node_pairs(const yaml_node_t *mapping)
{
    return (int32_t)(mapping->data.mapping.pairs.top -
                     mapping->data.mapping.pairs.start);
}

static yaml_node_t *node_at(pal_document_t *document, int index)
{
    return yaml_document_get_node(&document->yaml, index);
}

const char *pal_node_key(pal_document_t *document, const yaml_node_t *mapping,
                         int32_t i)
{
    return pal_node_text(node_at(document, mapping->data.mapping.pairs.start[i].key));
}

int32_t pal_node_key_line(pal_document_t *document, const yaml_node_t *mapping,
                          int32_t i)
{
    return pal_node_line(node_at(document, mapping->data.mapping.pairs.start[i].key));
}

yaml_node_t *pal_node_value(pal_document_t *document, const yaml_node_t *mapping,
                            int32_t i)
{
    return node_at(document, mapping->data.mapping.pairs.start[i].value);
}

int32_t pal_node_items(const yaml_node_t *sequence)
{
    return (int32_t)(sequence->data.sequence.items.top -
                     sequence->data.sequence.items.start);
}

yaml_node_t *pal_node_item(pal_document_t *document, const yaml_node_t *sequence,
                           int32_t i)
{
    return node_at(document, sequence->data.sequence.items.start[i]);
}

const char *pal_node_text(const yaml_node_t *scalar)
{
    return (const char *)scalar->data.scalar.value;
}

int32_t pal_node_line(const yaml_node_t *node)
{
    return (int32_t)node->start_mark.line + 1;
}

const char *pal_node_kind(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_MAPPING_NODE:
        return "a block of keys";
    default:
        return node->data.scalar.length > 0 ? "a text" : "an empty value";
    }
}

/* --- Syntax: a first pass over the events --- */

enum { DEEPEST = 16 };

static int32_t line_at(const char *text, size_t length, size_t offset)
{
    int32_t line = 1;

    for (size_t i = 0; i < length && i < offset; i++)
        line += text[i] == '\n';
    return line;
}

static int reject_syntax(const char *path, const yaml_parser_t *parser,
                         const char *text, size_t length, pal_error_t *err)
{
    const char *problem = parser->problem ? parser->problem : "not YAML";

    if (parser->error == YAML_MEMORY_ERROR)
        return PAL_FAIL(err, PAL_ENOMEM, "%s: out of memory", path);
    if (parser->error == YAML_READER_ERROR)
        return PAL_REJECT(err, "%s:%d: %s (byte %zu); the file must be UTF-8 text",
                          path, line_at(text, length, parser->problem_offset), problem,
                          parser->problem_offset);
    return PAL_REJECT(err, "%s:%zu: %s%s%s", path, parser->problem_mark.line + 1,
                      problem, parser->context ? ", " : "",
                      parser->context ? parser->context : "");
}

/* What the first pass has seen. */
typedef struct {
    const char *path;
    int documents, depth;
} scan_t;

static int check_node(const scan_t *scan, const yaml_event_t *event, const void *anchor,
                      const void *tag, pal_error_t *err)
{
    size_t line = event->start_mark.line + 1;

    if (scan->documents > 1)
        return PAL_REJECT(err, "%s:%zu: a second document; a config is one", scan->path,
                          line);
    if (scan->depth > DEEPEST)
        return PAL_REJECT(err, "%s:%zu: nested deeper than any config", scan->path,
                          line);
    if (anchor)
        return PAL_REJECT(err,
                          "%s:%zu: '%s%.60s': anchors and aliases are not supported; "
                          "write the value out",
                          scan->path, line, event->type == YAML_ALIAS_EVENT ? "*" : "&",
                          (const char *)anchor);
    if (tag)
        return PAL_REJECT(err, "%s:%zu: tag '%.60s' has no meaning here; leave it out",
                          scan->path, line, (const char *)tag);
    return PAL_OK;
}

static int check_event(scan_t *scan, const yaml_event_t *event, pal_error_t *err)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        scan->documents++;
        return PAL_OK;
    case YAML_SEQUENCE_START_EVENT:
        scan->depth++;
        return check_node(scan, event, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag, err);
    case YAML_MAPPING_START_EVENT:
        scan->depth++;
        return check_node(scan, event, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        scan->depth--;
        return PAL_OK;
    case YAML_SCALAR_EVENT:
        return check_node(scan, event, event->data.scalar.anchor,
                          event->data.scalar.tag, err);
    case YAML_ALIAS_EVENT:
        return check_node(scan, event, event->data.alias.anchor, NULL, err);
    default:
        return PAL_OK;
    }
}

static int begin_parser(yaml_parser_t *parser, const char *path, const char *text,
                        size_t length, pal_error_t *err)
{
    if (!yaml_parser_initialize(parser))
        return PAL_FAIL(err, PAL_ENOMEM, "%s: YAML parser", path);
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, length);
    return PAL_OK;
}

/* Loading takes time and memory that grow without bound in the depth, the anchors and
 * the aliases of a file; so these are looked at first. */
static int check_syntax(const char *path, const char *text, size_t length,
                        pal_error_t *err)
{
    scan_t scan = {.path = path};
    yaml_parser_t parser;
    int end = 0, rc = begin_parser(&parser, path, text, length, err);

    if (rc != PAL_OK)
        return rc;
    while (rc == PAL_OK && !end) {
        yaml_event_t event;

        if (!yaml_parser_parse(&parser, &event)) {
            rc = reject_syntax(path, &parser, text, length, err);
            break;
        }
        rc = check_event(&scan, &event, err);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (rc == PAL_OK && scan.documents == 0)
        rc = PAL_REJECT(
            err, "%s:1: the file is empty; a config starts with 'sweep: NAME'", path);
    return rc;
}

/* --- Nodes: a second pass over the document --- */

static int check_scalar(pal_document_t *document, const yaml_node_t *node,
                        pal_error_t *err)
{
    const unsigned char *bytes = node->data.scalar.value;

    for (size_t i = 0; i < node->data.scalar.length; i++)
        if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            return PAL_REJECT(err,
                              "%s:%d: a text with a line break or control character "
                              "(byte 0x%02x)",
                              document->path, pal_node_line(node), bytes[i]);
    return PAL_OK;
}

static int check_keys(pal_document_t *document, const yaml_node_t *node,
                      pal_error_t *err)
{
    int32_t pairs = pal_node_pairs(node);

    if (pairs > 1000)
        return PAL_REJECT(err, "%s:%d: a block of %d keys; at most 1000",
                          document->path, pal_node_line(node), pairs);
    for (int32_t i = 0; i < pairs; i++) {
        yaml_node_t *key = node_at(document, node->data.mapping.pairs.start[i].key);

        if (key->type != YAML_SCALAR_NODE)
            return PAL_REJECT(err, "%s:%d: a key must be a text, not %s",
                              document->path, pal_node_line(key), pal_node_kind(key));
        for (int32_t j = 0; j < i; j++)
            if (strcmp(pal_node_key(document, node, j), pal_node_text(key)) == 0)
                return PAL_REJECT(err, "%s:%d: key '%.60s' is given twice",
                                  document->path, pal_node_line(key),
                                  pal_node_text(key));
    }
    return PAL_OK;
}

/* Scalars before keys: comparing keys as C strings needs them free of zero bytes. */
static int check_nodes(pal_document_t *document, pal_error_t *err)
{
    yaml_node_t *node = pal_document_root(document);
    int rc = PAL_OK;

    if (node->type != YAML_MAPPING_NODE)
        return PAL_REJECT(err, "%s:%d: expected 'key: value' lines, not %s",
                          document->path, pal_node_line(node), pal_node_kind(node));
    for (int i = 1; rc == PAL_OK && (node = node_at(document, i)); i++)
        if (node->type == YAML_SCALAR_NODE)
            rc = check_scalar(document, node, err);
    for (int i = 1; rc == PAL_OK && (node = node_at(document, i)); i++)
        if (node->type == YAML_MAPPING_NODE)
            rc = check_keys(document, node, err);
    return rc;
}

int pal_document_load(const char *path, const char *text, size_t length,
                      pal_document_t *document, pal_error_t *err)
{
    yaml_parser_t parser;
    int rc;

    if (length > PAL_CONFIG_MAX)
        return PAL_REJECT(err, "%s:1: %zu bytes; a config has at most %d", path, length,
                          PAL_CONFIG_MAX);
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* byte order mark */
        text += 3;
        length -= 3;
    }
    rc = check_syntax(path, text, length, err);
    if (rc == PAL_OK)
        rc = begin_parser(&parser, path, text, length, err);
    if (rc != PAL_OK)
        return rc;
    document->path = path;
    if (yaml_parser_load(&parser, &document->yaml)) {
        rc = check_nodes(document, err);
        if (rc != PAL_OK)
            yaml_document_delete(&document->yaml);
    } else {
        rc = reject_syntax(path, &parser, text, length, err);
    }
    yaml_parser_delete(&parser);
    return rc;
}

void pal_document_free(pal_document_t *document)
{
    yaml_document_delete(&document->yaml);
}

yaml_node_t *pal_document_root(pal_document_t *document)
{
    return yaml_document_get_root_node(&document->yaml);
}
