/* threads.h -- the threads that the kernels of this process use.
 *
 * A loop under PAL_PARALLEL is shared out among them. What it shares out -- rows,
 * heads, tiles of a matrix -- is the same for every number of threads and each piece is
 * summed by one of them in a fixed order: results do not depend on the number, to the
 * bit.
 */
#ifndef PAL_KERNEL_THREADS_H
#define PAL_KERNEL_THREADS_H

#include <stdint.h>

/* 1 at first. Set it while no kernel runs, nor between a forward pass and its backward.
 */
void pal_threads_set(int threads);
int pal_threads(void);

/* Which of them runs this turn of a loop under PAL_PARALLEL: 0 .. pal_threads() - 1. */
int pal_thread(void);

/* Before a for loop. GCC outlines the loop's body from the function before that is
 * cloned, so it must not stand in a PAL_CLONES function, which would run as baseline.
 */
#define PAL_PARALLEL                                                                   \
    _Pragma("omp parallel for schedule(static) num_threads(pal_threads())")

/* Floats, or rows of a matrix, that one turn of a loop takes: whole lanes, and enough
 * to be worth a thread's while. */
enum { PAL_PIECE = 16384, PAL_PIECE_ROWS = 32 };

/* Of n things those from i on, at most `most`. */
static inline int32_t pal_piece(int64_t i, int64_t n, int32_t most)
{
    return n - i < most ? (int32_t)(n - i) : most;
}

#endif
