#include "config/setting.h"

#include <string.h>

/* Bytes of the word at text, and whether it opens a field. */
static size_t word_length(const char *text, int *opens)
{
    size_t n = strcspn(text, " ");

    *opens = memchr(text, '=', n) != NULL;
    return n;
}

/* Bytes of the field at text, its spaces included; a field ends where another opens. */
static size_t field_length(const char *text)
{
    int opens;
    size_t n = word_length(text, &opens);

    while (text[n] == ' ') {
        size_t word = word_length(text + n + 1, &opens);

        if (opens)
            break;
        n += 1 + word;
    }
    return n;
}

static const char *next_field(const char *field)
{
    field += field_length(field);
    return *field == ' ' ? field + 1 : field;
}

int pal_setting_add(pal_setting_t *setting, const char *prefix, const char *text,
                    pal_arena_t *arena, pal_error_t *err)
{
    pal_setting_t grown = {NULL, setting->count};
    int32_t more = 0;

    for (const char *field = text; *field; field = next_field(field))
        more++;
    grown.fields =
        pal_arena_get(arena, (size_t)(setting->count + more) * sizeof *grown.fields);
    if (!grown.fields)
        return PAL_FAIL(err, PAL_ENOMEM, "%d fields", setting->count + more);
    if (setting->count)
        memcpy(grown.fields, setting->fields,
               (size_t)setting->count * sizeof *grown.fields);
    for (const char *field = text; *field; field = next_field(field)) {
        size_t length = field_length(field);
        const char *equals = memchr(field, '=', length);
        size_t key = equals ? (size_t)(equals - field) : length;
        pal_field_t *made = grown.fields + grown.count++;

        made->key = pal_arena_print(arena, "%s%.*s", prefix, (int)key, field);
        made->value = equals ? pal_arena_text(arena, equals + 1, length - key - 1) : "";
        if (!made->key || !made->value)
            return PAL_FAIL(err, PAL_ENOMEM, "fields of '%.60s'", text);
    }
    *setting = grown;
    return PAL_OK;
}

const char *pal_setting_get(const pal_setting_t *setting, const char *key)
{
    for (int32_t i = 0; i < setting->count; i++)
        if (strcmp(setting->fields[i].key, key) == 0)
            return setting->fields[i].value;
    return NULL;
}

int pal_setting_has(const pal_setting_t *setting, const char *key)
{
    for (int32_t i = 0; i < setting->count; i++)
        if (strcmp(setting->fields[i].key, key) == 0)
            return 1;
    return 0;
}

/* The part of a key after its last '.'. */
static const char *short_key(const char *key)
{
    const char *dot = strrchr(key, '.');

    return dot ? dot + 1 : key;
}

/* 1 if the field's key, or what follows its last '.', is one of drop[0..n). */
static int dropped(const char *field, size_t length, const char *const drop[],
                   int32_t n)
{
    const char *end = memchr(field, '=', length);
    const char *start = end ? end : field;

    while (start > field && start[-1] != '.')
        start--;
    for (int32_t i = 0; end && i < n; i++)
        if (strlen(drop[i]) == (size_t)(end - start) &&
            memcmp(drop[i], start, (size_t)(end - start)) == 0)
            return 1;
    return 0;
}

char *pal_setting_without(const char *text, const char *const drop[], int32_t n,
                          pal_arena_t *arena)
{
    char *kept = pal_arena_get(arena, strlen(text) + 1);
    size_t used = 0;

    if (!kept)
        return NULL;
    for (const char *field = text; *field; field = next_field(field)) {
        size_t length = field_length(field);

        if (dropped(field, length, drop, n))
            continue;
        if (used)
            kept[used++] = ' ';
        memcpy(kept + used, field, length);
        used += length;
    }
    return kept;
}

static pal_field_t *find(pal_setting_t *setting, const char *key)
{
    for (int32_t i = 0; i < setting->count; i++)
        if (strcmp(setting->fields[i].key, key) == 0)
            return setting->fields + i;
    return NULL;
}

/* seen: every key with its value, NULL once a second value turned up. */
static void see(pal_setting_t *seen, const pal_field_t *field)
{
    pal_field_t *known = find(seen, field->key);

    if (!known)
        seen->fields[seen->count++] = *field;
    else if (known->value && strcmp(known->value, field->value) != 0)
        known->value = NULL;
}

int pal_setting_differing(const pal_setting_t *all, int32_t count, pal_arena_t *arena,
                          pal_setting_t *out, pal_error_t *err)
{
    pal_setting_t seen = {NULL, 0};
    size_t most = 0;
    int32_t kept = 0;

    for (int32_t i = 0; i < count; i++)
        most += (size_t)all[i].count;
    seen.fields = pal_arena_get(arena, most * sizeof *seen.fields);
    if (!seen.fields)
        return PAL_FAIL(err, PAL_ENOMEM, "%zu fields", most);
    for (int32_t i = 0; i < count; i++)
        for (int32_t f = 0; f < all[i].count; f++)
            see(&seen, &all[i].fields[f]);
    for (int32_t i = 0; i < seen.count; i++)
        if (!seen.fields[i].value)
            seen.fields[kept++] = seen.fields[i];
    seen.count = kept;
    *out = seen;
    return PAL_OK;
}

/* The short form of a key, or the key if two of them would read the same. */
static const char *display(const pal_setting_t *differing, const char *key)
{
    int32_t same = 0;

    for (int32_t i = 0; i < differing->count; i++)
        same += strcmp(short_key(differing->fields[i].key), short_key(key)) == 0;
    return same > 1 ? key : short_key(key);
}

char *pal_setting_label(const pal_setting_t *setting, const pal_setting_t *differing,
                        pal_arena_t *arena)
{
    char *label = pal_arena_text(arena, "", 0);

    for (int32_t i = 0; i < differing->count && label; i++) {
        const char *key = differing->fields[i].key;
        const char *value = pal_setting_get(setting, key);

        if (value)
            label = pal_arena_print(arena, "%s%s%s=%s", label, *label ? ", " : "",
                                    display(differing, key), value);
    }
    return label;
}
