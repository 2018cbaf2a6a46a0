#include "kernel/bf16.h"

#include <math.h>
#include <string.h>

#include "kernel/clones.h"
#include "kernel/threads.h"

/* Half a unit in the last place that stays, less one bit if that place is even, carries
 * into it just when x is nearer to the next number above. The largest mantissa carries
 * into the exponent, which is right too. */
PAL_INLINE uint32_t round_bits(float x)
{
    uint32_t bits, rounded;

    memcpy(&bits, &x, sizeof bits);
    rounded = bits + 0x7fff + (bits >> 16 & 1);
    /* A NaN would carry over into infinity or a sign: keep it, made quiet. */
    return (bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : rounded;
}

PAL_CLONES
static void pack_range(uint16_t *restrict y, const float *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (uint16_t)(round_bits(x[i]) >> 16);
}

void pal_bf16_pack(uint16_t *y, const float *x, int64_t n)
{
    PAL_PARALLEL
    for (int64_t i = 0; i < n; i += PAL_PIECE)
        pack_range(y + i, x + i, pal_piece(i, n, PAL_PIECE));
}

PAL_CLONES
static void round_range(float *restrict y, const float *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = round_bits(x[i]) & 0xffff0000;

        memcpy(&y[i], &bits, sizeof bits);
    }
}

void pal_bf16_round(float *y, const float *x, int64_t n)
{
    PAL_PARALLEL
    for (int64_t i = 0; i < n; i += PAL_PIECE)
        round_range(y + i, x + i, pal_piece(i, n, PAL_PIECE));
}

float pal_bf16_ref(float x)
{
    const int bits = 8; /* of the mantissa, the leading one counted */
    int exponent;
    float rounded;

    if (!isfinite(x) || x == 0.0f)
        return x;
    frexpf(x, &exponent);
    if (exponent < -125) /* a denormal number has fewer */
        exponent = -125;
    rounded = ldexpf(rintf(ldexpf(x, bits - exponent)), exponent - bits);
    return rounded;
}
