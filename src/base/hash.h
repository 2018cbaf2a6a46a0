/* hash.h -- content keys (SHA-256, FIPS 180-4, cut to 128 bits) and row checksums. */
#ifndef PAL_BASE_HASH_H
#define PAL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Names a stage, a world, a plan: equal content has an equal key. */
typedef struct {
    uint8_t bytes[16];
} pal_key_t;

typedef struct {
    uint32_t state[8];
    uint64_t length; /* bytes */
    uint8_t block[64];
} pal_hash_t;

void pal_hash_begin(pal_hash_t *hash);
void pal_hash_add(pal_hash_t *hash, const void *bytes, size_t n);

/* Add formatted text and its terminating zero, so that fields cannot run together. */
void pal_hash_print(pal_hash_t *hash, const char *format, ...) PAL_PRINTF(2, 3);
void pal_hash_key(pal_hash_t *hash, pal_key_t key);
pal_key_t pal_hash_end(pal_hash_t *hash);

/* 32 lower-case hex digits and a terminator. */
enum { PAL_KEY_TEXT = 33 };
void pal_key_text(pal_key_t key, char text[PAL_KEY_TEXT]);
int pal_key_equal(pal_key_t a, pal_key_t b);

/* CRC-32 (IEEE 802.3, reflected, as in zlib). Start with crc = 0, chain by passing the
 * previous value. */
uint32_t pal_crc32(uint32_t crc, const void *bytes, size_t n);

#endif
