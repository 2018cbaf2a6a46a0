#include "model/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "model/safetensors.h"

static json_t *shape_json(const pal_shape_t *s)
{
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:s, s:s, s:s, s:s, s:f, s:f}",
        "vocab", s->vocab, "context", s->context, "width", s->width, "layers",
        s->layers, "heads", s->heads, "kv_heads", s->kv_heads, "hidden", s->hidden,
        "tied", s->tied, "norm", pal_norm_names[s->norm], "position",
        pal_position_names[s->position], "mlp", pal_mlp_names[s->mlp], "bias",
        pal_bias_names[s->bias], "norm_epsilon", s->norm_epsilon, "rope_base",
        s->rope_base);
}

/* --- Saving --- */

/* Each of these returns -1 if memory ran out. */
static int put_text(json_t *object, const char *key, const char *text)
{
    return json_object_set_new(object, key, json_string(text));
}

static int put_shape(json_t *metadata, const pal_shape_t *shape)
{
    json_t *json = shape_json(shape);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    int rc = text ? put_text(metadata, "shape", text) : -1;

    free(text);
    json_decref(json);
    return rc;
}

static int put_digest(json_t *metadata, const pal_layout_t *layout,
                      const float *weights)
{
    char text[PAL_KEY_TEXT];
    pal_hash_t hash;

    pal_hash_begin(&hash);
    pal_hash_add(&hash, weights, (size_t)layout->count * sizeof *weights);
    pal_key_text(pal_hash_end(&hash), text);
    return put_text(metadata, "digest", text);
}

/* NULL when memory is out. */
static json_t *make_header(const pal_layout_t *layout, const float *weights,
                           const char *tokenizer, const char *note)
{
    json_t *header = json_object(), *metadata = json_object();
    int rc = json_object_set_new(header, "__metadata__", metadata);

    rc |= put_shape(metadata, &layout->shape);
    rc |= put_digest(metadata, layout, weights);
    if (tokenizer)
        rc |= put_text(metadata, "tokenizer", tokenizer);
    if (note)
        rc |= put_text(metadata, "note", note);
    for (int32_t i = 0; i < layout->slice_count; i++)
        rc |= pal_safetensors_put(header, &layout->slices[i]);
    if (rc == 0)
        return header;
    json_decref(header);
    return NULL;
}

int pal_checkpoint_save(const char *path, const pal_layout_t *layout,
                        const float *weights, const pal_tokenizer_t *tokenizer,
                        const char *note, pal_error_t *err)
{
    char *words = NULL;
    json_t *header;
    int rc = PAL_OK;

    if (tokenizer)
        rc = pal_tokenizer_save(tokenizer, &words, err);
    if (rc != PAL_OK)
        return rc;
    header = make_header(layout, weights, words, note);
    if (header)
        rc = pal_safetensors_write(path, header, weights,
                                   (size_t)layout->count * sizeof *weights, err);
    else
        rc = PAL_FAIL(err, PAL_ENOMEM, "%s: no memory for its header", path);
    free(words);
    json_decref(header);
    return rc;
}

/* --- Loading --- */

/* The first version stored six sizes of a GPT-2 style. */
static void fill_style(json_t *shape)
{
    json_t *heads = json_object_get(shape, "heads");
    json_t *style =
        json_pack("{s:O*, s:b, s:s, s:s, s:s, s:s, s:f, s:f}", "kv_heads", heads,
                  "tied", 1, "norm", "layernorm", "position", "learned", "mlp", "gelu",
                  "bias", "all", "norm_epsilon", 1e-5, "rope_base", 0.0);

    (void)json_object_update_missing(shape, style);
    json_decref(style);
}

static int refuse_field(const pal_safetensors_t *t, const char *name,
                        const json_t *found, const json_t *expected, pal_error_t *err)
{
    char *a = json_dumps(found, JSON_ENCODE_ANY),
         *b = json_dumps(expected, JSON_ENCODE_ANY);
    int rc = PAL_REJECT(err, "%s: its shape has %.40s %.60s; expected %s", t->path,
                        name, a ? a : "missing", b ? b : "none");

    free(a);
    free(b);
    return rc;
}

/* Heads and more leave no trace in the tensors, so the stored shape is compared as
 * well. */
static int compare_shapes(const pal_safetensors_t *t, json_t *stored, json_t *expected,
                          pal_error_t *err)
{
    const char *name;
    json_t *value;

    if (!json_is_object(stored))
        return PAL_REJECT(err, "%s: its shape is not a JSON object", t->path);
    if (!expected)
        return PAL_FAIL(err, PAL_ENOMEM, "%s: no memory for a shape", t->path);
    fill_style(stored);
    json_object_foreach (expected, name, value)
        if (!json_equal(json_object_get(stored, name), value))
            return refuse_field(t, name, json_object_get(stored, name), value, err);
    json_object_foreach (stored, name, value)
        if (!json_object_get(expected, name))
            return refuse_field(t, name, value, NULL, err);
    return PAL_OK;
}

static int check_metadata(const pal_safetensors_t *t, const pal_shape_t *shape,
                          const char *note, pal_error_t *err)
{
    const json_t *metadata = json_object_get(t->header, "__metadata__");
    const char *text = json_string_value(json_object_get(metadata, "shape"));
    const char *found = json_string_value(json_object_get(metadata, "note"));
    json_t *stored, *expected;
    int rc;

    if (!text)
        return PAL_REJECT(err, "%s: its metadata have no shape", t->path);
    stored = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    expected = shape_json(shape);
    rc = compare_shapes(t, stored, expected, err);
    json_decref(stored);
    json_decref(expected);
    if (rc != PAL_OK)
        return rc;
    if (note && (!found || strcmp(note, found) != 0))
        return PAL_REJECT(err, "%s: its note is '%.100s'; expected '%.100s'", t->path,
                          found ? found : "", note);
    return PAL_OK;
}

static int is_slice(const pal_layout_t *layout, const char *name)
{
    for (int32_t i = 0; i < layout->slice_count; i++)
        if (strcmp(layout->slices[i].name, name) == 0)
            return 1;
    return 0;
}

static int refuse_extra(const pal_safetensors_t *t, const pal_layout_t *layout,
                        pal_error_t *err)
{
    const char *name;
    json_t *value;

    if (json_object_size(t->header) == (size_t)layout->slice_count + 1)
        return PAL_OK;
    json_object_foreach (t->header, name, value)
        if (strcmp(name, "__metadata__") != 0 && !is_slice(layout, name))
            return PAL_REJECT(err, "%s: tensor '%.60s' is not one of this model's",
                              t->path, name);
    return PAL_OK;
}

static int digest_add(const pal_safetensors_t *t, const pal_extent_t *extent,
                      pal_hash_t *hash, pal_error_t *err)
{
    enum { PIECE = 1 << 14 };
    char piece[PIECE];

    for (size_t at = extent->begin; at < extent->end; at += PIECE) {
        const size_t n = extent->end - at < PIECE ? extent->end - at : PIECE;
        int rc = pal_safetensors_read(t, at, piece, n, err);

        if (rc != PAL_OK)
            return rc;
        pal_hash_add(hash, piece, n);
    }
    return PAL_OK;
}

/* Of the values in slice order, wherever the tensors lie in the file. Damage to them
 * shows nowhere else: any bytes are some weights. */
static int check_digest(const pal_safetensors_t *t, const pal_layout_t *layout,
                        const pal_extent_t *extents, const char *note, pal_error_t *err)
{
    const json_t *metadata = json_object_get(t->header, "__metadata__");
    const char *expected = json_string_value(json_object_get(metadata, "digest"));
    char found[PAL_KEY_TEXT];
    pal_hash_t hash;
    int rc = PAL_OK;

    if (!expected && !note) /* written by another program */
        return PAL_OK;
    if (!expected)
        return PAL_REJECT(err, "%s: its metadata have no digest", t->path);
    pal_hash_begin(&hash);
    for (int32_t i = 0; i < layout->slice_count && rc == PAL_OK; i++)
        rc = digest_add(t, &extents[i], &hash, err);
    if (rc != PAL_OK)
        return rc;
    pal_key_text(pal_hash_end(&hash), found);
    if (strcmp(found, expected) != 0)
        return PAL_REJECT(err, "%s: its weights are damaged: digest %s, expected %.40s",
                          t->path, found, expected);
    return PAL_OK;
}

/* The file is read twice, so that no second model is in memory and damage leaves the
 * weights alone. */
static int read_data(const pal_safetensors_t *t, const pal_layout_t *layout,
                     const pal_extent_t *extents, const char *note, float *weights,
                     pal_error_t *err)
{
    int rc = check_digest(t, layout, extents, note, err);

    for (int32_t i = 0; rc == PAL_OK && i < layout->slice_count; i++)
        rc = pal_safetensors_read(t, extents[i].begin,
                                  weights + layout->slices[i].offset,
                                  extents[i].end - extents[i].begin, err);
    return rc;
}

static int load(const pal_safetensors_t *t, const pal_layout_t *layout,
                const char *note, float *weights, pal_error_t *err)
{
    const size_t n = (size_t)layout->slice_count;
    pal_extent_t *extents = calloc(n, sizeof *extents);
    int rc;

    if (!extents)
        return PAL_FAIL(err, PAL_ENOMEM, "%s: no memory for its table", t->path);
    rc = check_metadata(t, &layout->shape, note, err);
    for (size_t i = 0; rc == PAL_OK && i < n; i++)
        rc = pal_safetensors_find(t, &layout->slices[i], &extents[i], err);
    if (rc == PAL_OK)
        rc = refuse_extra(t, layout, err);
    if (rc == PAL_OK)
        rc = pal_safetensors_cover(t, extents, n, err);
    if (rc == PAL_OK)
        rc = read_data(t, layout, extents, note, weights, err);
    free(extents);
    return rc;
}

int pal_checkpoint_load(const char *path, const pal_layout_t *layout, const char *note,
                        float *weights, pal_error_t *err)
{
    pal_safetensors_t tensors;
    int rc = pal_safetensors_open(path, &tensors, err);

    if (rc != PAL_OK)
        return rc;
    rc = load(&tensors, layout, note, weights, err);
    pal_safetensors_close(&tensors);
    return rc;
}
