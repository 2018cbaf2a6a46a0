/* tokenizer.h -- text to token ids and back, without loss.
 *
 * Text is cut into pieces: an optional single space and a run of letters and digits
 * (all bytes >= 0x80 count as letters), or an optional space and one other character,
 * or the white space that is left. A piece that is in the vocabulary is one token; any
 * other piece is spelled in byte tokens, so nothing is unknown.
 *
 * Ids: 0 .. 255 the bytes, 256 the separator that opens every sequence, then words
 * (pieces of two bytes or more) by falling frequency (ties by byte order).
 */
#ifndef PAL_MODEL_TOKENIZER_H
#define PAL_MODEL_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

enum { PAL_SEPARATOR = 256, PAL_FIRST_WORD = 257 };

typedef struct pal_tokenizer pal_tokenizer_t;

/* Build from texts[0..n): the `words` most frequent pieces (at least 1). *out is owned.
 */
PAL_MUST_CHECK
int pal_tokenizer_build(const char *const *texts, int64_t n, int32_t words,
                        pal_tokenizer_t **out, pal_error_t *err);
void pal_tokenizer_destroy(pal_tokenizer_t *tokenizer);

int32_t pal_tokenizer_size(const pal_tokenizer_t *tokenizer); /* V */
pal_key_t pal_tokenizer_key(const pal_tokenizer_t *tokenizer);

/* Bytes of a token (a word includes its leading space); static length in *n. NULL for
 * the separator and for ids outside [0, V). Borrowed. */
const char *pal_tokenizer_word(const pal_tokenizer_t *tokenizer, int32_t id, size_t *n);

/* Encode text[0..n) into ids[0..max); returns how many ids the text needs (more than
 * max: only the first max were written). */
int32_t pal_tokenizer_encode(const pal_tokenizer_t *tokenizer, const char *text,
                             size_t n, int32_t *ids, int32_t max);

/* JSON text {"words": ["...", ...]} (ill-formed UTF-8 never occurs: words are whole
 * pieces of valid UTF-8) and back. *json is malloc'ed, owned by the caller. */
PAL_MUST_CHECK
int pal_tokenizer_save(const pal_tokenizer_t *tokenizer, char **json, pal_error_t *err);
PAL_MUST_CHECK
int pal_tokenizer_load(const char *json, pal_tokenizer_t **out, pal_error_t *err);

#endif
