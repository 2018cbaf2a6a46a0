/* tile.h -- small products that stay in registers.
 *
 * A tile has PAL_TILE rows of PAL_LANES columns: few enough to be kept in the registers
 * of AVX2 and of AVX-512, enough rows to hide the latency of a multiply-add. Sums run
 * in the order of k, whatever the instruction set. `omp simd` makes the compiler
 * vectorise the columns and nothing else; no OpenMP library is needed.
 */
#ifndef PAL_KERNEL_TILE_H
#define PAL_KERNEL_TILE_H

#include <stddef.h>

#include "kernel/clones.h"
#include "kernel/lanes.h"

enum { PAL_TILE = 6 };

typedef float pal_tile_t[PAL_TILE][PAL_LANES];

/* tile[r][j] = sum over k < n of a[r][k] b[k][j]; rows of a and b are that many floats
 * apart. */
PAL_INLINE void pal_tile_product(pal_tile_t tile, const float *restrict a,
                                 size_t a_stride, const float *restrict b,
                                 size_t b_stride, size_t n)
{
    float sum[PAL_TILE][PAL_LANES];

    for (int r = 0; r < PAL_TILE; r++)
        for (int j = 0; j < PAL_LANES; j++)
            sum[r][j] = 0.0f;
    for (size_t k = 0; k < n; k++)
        for (int r = 0; r < PAL_TILE; r++) {
            const float factor = a[(size_t)r * a_stride + k];

#pragma omp simd
            for (int j = 0; j < PAL_LANES; j++)
                sum[r][j] += factor * b[k * b_stride + (size_t)j];
        }
    for (int r = 0; r < PAL_TILE; r++)
        for (int j = 0; j < PAL_LANES; j++)
            tile[r][j] = sum[r][j];
}

#endif
