/* exponential.h -- exp() that the compiler can vectorise. */
#ifndef PAL_KERNEL_EXPONENTIAL_H
#define PAL_KERNEL_EXPONENTIAL_H

#include <stdint.h>
#include <string.h>

#include "kernel/clones.h"

/* Relative error below 2e-7 for -87 <= x <= 88; x beyond that counts as the nearer end
 * (so the result is never 0, infinite or denormal). NaN gives NaN. Cody-Waite reduction
 * and the minimax polynomial of Cephes' expf (Moshier). */
PAL_INLINE float pal_expf(float x)
{
    const float magic = 0x1.8p23f; /* adding it rounds to an integer in the low bits */
    float t, n, r, p, scale;
    uint32_t bits;

    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    t = x * 1.44269504f + magic;
    n = t - magic;
    r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 127u) << 23; /* magic's own bits leave through the top */
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

#endif
