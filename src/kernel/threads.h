/* threads.h -- the threads that the kernels of this process use.
 *
 * A loop under PAL_PARALLEL is shared out among them. What it shares out -- rows,
 * heads, tiles of a matrix -- is the same for every number of threads and each piece is
 * summed by one of them in a fixed order: results do not depend on the number, to the
 * bit.
 */
#ifndef PAL_KERNEL_THREADS_H
#define PAL_KERNEL_THREADS_H

/* 1 at first. Set it while no kernel runs. */
void pal_threads_set(int threads);
int pal_threads(void);

/* Before a for loop. GCC outlines the loop's body from the function before that is
 * cloned, so it must not stand in a PAL_CLONES function, which would run as baseline.
 */
#define PAL_PARALLEL                                                                   \
    _Pragma("omp parallel for schedule(static) num_threads(pal_threads())")

#endif
