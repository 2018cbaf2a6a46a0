/* machine.h -- what one core of this machine can do at most, measured. */
#ifndef PAL_BENCH_MACHINE_H
#define PAL_BENCH_MACHINE_H

/* FLOP/s of independent FP32 multiply-adds in registers, a multiply-add counted as two,
 * in the widest vectors that the program is compiled for and the core has; the best of
 * about `seconds`. */
double pal_machine_flops(double seconds);

/* Bytes/s that are read and written while one array that no cache holds is added to
 * another. */
double pal_machine_bandwidth(double seconds);

#endif
