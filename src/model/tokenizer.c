#include "model/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* Hash map from a piece to a number (count while building, id afterwards). */
typedef struct {
    char *text; /* owned, terminated; may hold zero bytes */
    size_t length;
    int64_t value;
} entry_t;

typedef struct {
    entry_t *entries; /* in order of first appearance */
    int32_t *slots;   /* entry + 1, or 0; power of two many, at most half full */
    int64_t count, slot_count;
} map_t;

struct pal_tokenizer {
    map_t words; /* entry i is the token PAL_FIRST_WORD + i */
    pal_key_t key;
    size_t longest;  /* bytes of the longest word */
    char bytes[256]; /* what the byte tokens spell */
};

/* A JSON of more words than this is no vocabulary. */
enum { MOST_WORDS = 1 << 24 };

/* --- Map --- */

static uint64_t fnv1a(const char *text, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

/* The slot that holds the text, or the empty one where it belongs. */
static int64_t find_slot(const map_t *map, const char *text, size_t n)
{
    int64_t i = (int64_t)(fnv1a(text, n) & (uint64_t)(map->slot_count - 1));

    while (map->slots[i]) {
        const entry_t *entry = &map->entries[map->slots[i] - 1];

        if (entry->length == n && memcmp(entry->text, text, n) == 0)
            break;
        i = (i + 1) & (map->slot_count - 1);
    }
    return i;
}

static entry_t *map_get(const map_t *map, const char *text, size_t n)
{
    int64_t i = map->slot_count ? find_slot(map, text, n) : -1;

    return i >= 0 && map->slots[i] ? &map->entries[map->slots[i] - 1] : NULL;
}

static int map_grow(map_t *map)
{
    map_t grown = {.slot_count = map->slot_count ? 2 * map->slot_count : 1024};
    size_t entry_bytes = (size_t)grown.slot_count / 2 * sizeof *grown.entries;

    grown.slots = calloc((size_t)grown.slot_count, sizeof *grown.slots);
    grown.entries = grown.slots ? realloc(map->entries, entry_bytes) : NULL;
    if (!grown.entries) {
        free(grown.slots);
        return -1;
    }
    free(map->slots);
    grown.count = map->count;
    for (int32_t i = 0; i < (int32_t)grown.count; i++) {
        const entry_t *entry = &grown.entries[i];

        grown.slots[find_slot(&grown, entry->text, entry->length)] = i + 1;
    }
    *map = grown;
    return 0;
}

/* The text's entry, made with value 0 if new. NULL: out of memory. */
static entry_t *map_put(map_t *map, const char *text, size_t n)
{
    entry_t *entry = map_get(map, text, n);

    if (entry)
        return entry;
    if (2 * map->count >= map->slot_count && map_grow(map) < 0)
        return NULL;
    entry = &map->entries[map->count];
    *entry = (entry_t){.text = malloc(n + 1), .length = n};
    if (!entry->text)
        return NULL;
    memcpy(entry->text, text, n);
    entry->text[n] = 0;
    map->slots[find_slot(map, text, n)] = (int32_t)++map->count;
    return entry;
}

static void map_free(map_t *map)
{
    for (int64_t i = 0; i < map->count; i++)
        free(map->entries[i].text);
    free(map->entries);
    free(map->slots);
}

/* --- Pieces --- */

static int is_letter(char c)
{
    unsigned char b = (unsigned char)c;

    return (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') ||
           b >= 0x80;
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Length of the first piece of text[0..n), n >= 1. The last space of a run of white
 * space goes with what follows it. */
static size_t piece_length(const char *text, size_t n)
{
    size_t i = 0;

    while (i < n && is_space(text[i]))
        i++;
    if (i == n || (i > 0 && text[i - 1] != ' '))
        return i;
    if (i > 1)
        return i - 1;
    if (!is_letter(text[i]))
        return i + 1;
    while (i < n && is_letter(text[i]))
        i++;
    return i;
}

static int is_utf8(const char *text, size_t n)
{
    json_t *string = json_stringn(text, n);

    json_decref(string);
    return string != NULL;
}

/* --- Building --- */

static pal_tokenizer_t *tokenizer_new(void)
{
    pal_tokenizer_t *t = calloc(1, sizeof *t);

    if (t)
        for (int i = 0; i < 256; i++)
            t->bytes[i] = (char)(unsigned char)i;
    return t;
}

/* Append a word. A single byte is a token already and never becomes a word. */
static int add_word(pal_tokenizer_t *t, const char *text, size_t n)
{
    entry_t *entry = map_put(&t->words, text, n);

    if (!entry)
        return -1;
    entry->value = PAL_FIRST_WORD + (entry - t->words.entries);
    if (n > t->longest)
        t->longest = n;
    return 0;
}

static void seal(pal_tokenizer_t *t)
{
    pal_hash_t hash;

    pal_hash_begin(&hash);
    pal_hash_print(&hash, "tokenizer 1");
    for (int64_t i = 0; i < t->words.count; i++)
        pal_hash_add(&hash, t->words.entries[i].text, t->words.entries[i].length + 1);
    t->key = pal_hash_end(&hash);
}

static int count_pieces(map_t *pieces, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t n = piece_length(text, left);
        entry_t *entry = n > 1 ? map_put(pieces, text, n) : NULL;

        if (n > 1 && !entry)
            return -1;
        if (entry)
            entry->value++;
        text += n;
        left -= n;
    }
    return 0;
}

static int by_falling_count(const void *a, const void *b)
{
    const entry_t *x = *(const entry_t *const *)a, *y = *(const entry_t *const *)b;

    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return strcmp(x->text, y->text); /* pieces of C strings: no zero byte inside */
}

/* The most frequent pieces become words. A piece that is not UTF-8 cannot be saved and
 * stays spelled in bytes. */
static int choose_words(pal_tokenizer_t *t, const map_t *pieces, int32_t words)
{
    size_t n = (size_t)pieces->count;
    const entry_t **order = malloc((n ? n : 1) * sizeof(const entry_t *));
    int failed = !order;

    for (size_t i = 0; order && i < n; i++)
        order[i] = &pieces->entries[i];
    if (order)
        qsort(order, n, sizeof(const entry_t *), by_falling_count);
    for (size_t i = 0; !failed && i < n && t->words.count < words; i++)
        if (is_utf8(order[i]->text, order[i]->length))
            failed = add_word(t, order[i]->text, order[i]->length) < 0;
    free(order);
    return failed ? -1 : 0;
}

int pal_tokenizer_build(const char *const *texts, int64_t n, int32_t words,
                        pal_tokenizer_t **out, pal_error_t *err)
{
    pal_tokenizer_t *t;
    map_t pieces = {0};
    int failed;

    if (words < 1 || words > MOST_WORDS)
        return PAL_REJECT(err, "vocabulary of %d words; 1 to %d are possible", words,
                          MOST_WORDS);
    t = tokenizer_new();
    failed = !t;
    for (int64_t i = 0; !failed && i < n; i++)
        failed = count_pieces(&pieces, texts[i]) < 0;
    if (!failed)
        failed = choose_words(t, &pieces, words) < 0;
    map_free(&pieces);
    if (failed) {
        pal_tokenizer_destroy(t);
        return PAL_FAIL(err, PAL_ENOMEM, "a vocabulary from %lld texts", (long long)n);
    }
    seal(t);
    *out = t;
    return PAL_OK;
}

void pal_tokenizer_destroy(pal_tokenizer_t *tokenizer)
{
    if (!tokenizer)
        return;
    map_free(&tokenizer->words);
    free(tokenizer);
}

/* --- Use --- */

int32_t pal_tokenizer_size(const pal_tokenizer_t *tokenizer)
{
    return PAL_FIRST_WORD + (int32_t)tokenizer->words.count;
}

pal_key_t pal_tokenizer_key(const pal_tokenizer_t *tokenizer)
{
    return tokenizer->key;
}

const char *pal_tokenizer_word(const pal_tokenizer_t *tokenizer, int32_t id, size_t *n)
{
    if (id < 0 || id == PAL_SEPARATOR || id >= pal_tokenizer_size(tokenizer)) {
        *n = 0;
        return NULL;
    }
    if (id < PAL_SEPARATOR) {
        *n = 1;
        return &tokenizer->bytes[id];
    }
    *n = tokenizer->words.entries[id - PAL_FIRST_WORD].length;
    return tokenizer->words.entries[id - PAL_FIRST_WORD].text;
}

int32_t pal_tokenizer_encode(const pal_tokenizer_t *tokenizer, const char *text,
                             size_t n, int32_t *ids, int32_t max)
{
    int32_t used = 0;

    while (n > 0) {
        size_t piece = piece_length(text, n);
        const entry_t *word = NULL;

        if (piece > 1 && piece <= tokenizer->longest)
            word = map_get(&tokenizer->words, text, piece);
        if (word && used++ < max)
            ids[used - 1] = (int32_t)word->value;
        for (size_t i = 0; !word && i < piece; i++)
            if (used++ < max)
                ids[used - 1] = (unsigned char)text[i];
        text += piece;
        n -= piece;
    }
    return used;
}

/* --- Saving --- */

int pal_tokenizer_save(const pal_tokenizer_t *tokenizer, char **json, pal_error_t *err)
{
    json_t *list = json_array();
    json_t *root = json_pack("{s:o}", "words", list);
    char *text = NULL;

    for (int64_t i = 0; root && i < tokenizer->words.count; i++) {
        const entry_t *word = &tokenizer->words.entries[i];

        if (json_array_append_new(list, json_stringn(word->text, word->length)) < 0)
            goto out;
    }
    text = root ? json_dumps(root, JSON_COMPACT) : NULL;
out:
    json_decref(root);
    if (!text)
        return PAL_FAIL(err, PAL_ENOMEM, "JSON of the vocabulary");
    *json = text;
    return PAL_OK;
}

/* A word as pal_tokenizer_build() could have made it: one new piece of several bytes.
 */
static int load_word(pal_tokenizer_t *t, size_t i, const json_t *item, pal_error_t *err)
{
    const char *text = json_string_value(item);
    size_t n = text ? json_string_length(item) : 0;

    if (!text)
        return PAL_REJECT(err, "tokenizer: words[%zu] is no string", i);
    if (n < 2 || piece_length(text, n) != n)
        return PAL_REJECT(err, "tokenizer: words[%zu] '%.40s' is not one piece of text",
                          i, text);
    if (map_get(&t->words, text, n))
        return PAL_REJECT(err, "tokenizer: words[%zu] '%.40s' occurs twice", i, text);
    if (add_word(t, text, n) < 0)
        return PAL_FAIL(err, PAL_ENOMEM, "a vocabulary");
    return PAL_OK;
}

static int load_words(pal_tokenizer_t *t, const json_t *root, pal_error_t *err)
{
    const json_t *list = json_object_get(root, "words"), *item;
    size_t i;

    if (!json_is_array(list) || json_object_size(root) != 1)
        return PAL_REJECT(err,
                          "tokenizer: expected {\"words\": [...]} and nothing else");
    if (json_array_size(list) > MOST_WORDS)
        return PAL_REJECT(err, "tokenizer: %zu words; at most %d",
                          json_array_size(list), MOST_WORDS);
    json_array_foreach(list, i, item)
    {
        int rc = load_word(t, i, item, err);

        if (rc != PAL_OK)
            return rc;
    }
    return PAL_OK;
}

int pal_tokenizer_load(const char *json, pal_tokenizer_t **out, pal_error_t *err)
{
    json_error_t why;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &why);
    pal_tokenizer_t *t = NULL;
    int rc;

    if (!root)
        return PAL_REJECT(err, "tokenizer: not JSON: %s", why.text);
    t = tokenizer_new();
    rc = t ? load_words(t, root, err) : PAL_FAIL(err, PAL_ENOMEM, "a vocabulary");
    json_decref(root);
    if (rc != PAL_OK) {
        pal_tokenizer_destroy(t);
        return rc;
    }
    seal(t);
    *out = t;
    return PAL_OK;
}
