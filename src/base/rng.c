#include "base/rng.h"

#include <math.h>
#include <string.h>

static const double two_pi = 6.283185307179586476925;

void pal_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t k[2] = {key[0], key[1]};

    for (int round = 0; round < 10; round++) {
        uint64_t a = 0xD2511F53ull * c[0];
        uint64_t b = 0xCD9E8D57ull * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a};

        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

void pal_rng_init(pal_rng_t *rng, pal_key_t key, const char *stream)
{
    pal_hash_t hash;
    pal_key_t name;

    pal_hash_begin(&hash);
    pal_hash_key(&hash, key);
    pal_hash_print(&hash, "stream %s", stream);
    name = pal_hash_end(&hash);
    memset(rng, 0, sizeof *rng);
    memcpy(rng->key, name.bytes, sizeof rng->key);
    memcpy(rng->stream, name.bytes + 8, sizeof rng->stream);
}

uint32_t pal_rng_u32(pal_rng_t *rng)
{
    if (rng->left == 0) {
        uint32_t counter[4] = {(uint32_t)rng->block, (uint32_t)(rng->block >> 32),
                               rng->stream[0], rng->stream[1]};

        pal_philox(counter, rng->key, rng->words);
        rng->block++;
        rng->left = 4;
    }
    return rng->words[4 - rng->left--];
}

/* Lemire, "Fast random integer generation in an interval" (2019). */
uint32_t pal_rng_below(pal_rng_t *rng, uint32_t n)
{
    uint32_t threshold = (0u - n) % n;
    uint64_t product;

    do
        product = (uint64_t)pal_rng_u32(rng) * n;
    while ((uint32_t)product < threshold);
    return (uint32_t)(product >> 32);
}

double pal_rng_uniform(pal_rng_t *rng)
{
    uint64_t high = pal_rng_u32(rng) >> 5, low = pal_rng_u32(rng) >> 6;

    return (double)(high << 26 | low) * 0x1p-53;
}

double pal_rng_normal(pal_rng_t *rng)
{
    double radius = sqrt(-2.0 * log(1.0 - pal_rng_uniform(rng)));

    return radius * cos(two_pi * pal_rng_uniform(rng));
}

void pal_rng_shuffle(pal_rng_t *rng, int32_t *items, int32_t n)
{
    for (int32_t i = n - 1; i > 0; i--) {
        int32_t j = (int32_t)pal_rng_below(rng, (uint32_t)i + 1);
        int32_t kept = items[i];

        items[i] = items[j];
        items[j] = kept;
    }
}
