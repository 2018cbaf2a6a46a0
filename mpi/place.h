/* place.h -- which cores a rank computes on. The only place for <hwloc.h>. */
#ifndef PAL_MPI_PLACE_H
#define PAL_MPI_PLACE_H

#include <stdint.h>

#include "base/error.h"

enum { PAL_MOST_CORES = 1024 };

/* Processing units (hardware threads) by operating-system number. */
typedef struct {
    uint8_t unit[PAL_MOST_CORES]; /* 1 if in the set */
} pal_cores_t;

/* "hwloc 2.9.0", what it was built with, into text[n]. */
void pal_place_library(char *text, int n);

/* Units this process may use: allowed by the machine (cgroup, cpuset) and in the mask
 * it inherited. Call it before anything is bound. */
PAL_MUST_CHECK
int pal_place_usable(pal_cores_t *usable, pal_error_t *err);

/* The share of local rank `mine` of the `ranks` ranks of a node, usable[] being the
 * sets of all of them. Equal sets: contiguous runs of cores in the machine's own order,
 * sizes differing by at most one core; more ranks than cores share them in turn.
 * Pairwise disjoint sets: the launcher has placed the ranks, keep it. Otherwise the
 * union is split. */
PAL_MUST_CHECK
int pal_place_share(const pal_cores_t *usable, int32_t ranks, int32_t mine,
                    pal_cores_t *share, pal_error_t *err);

/* Bind the calling thread; threads made later inherit it. */
PAL_MUST_CHECK
int pal_place_bind(const pal_cores_t *share, pal_error_t *err);

/* How many units are in the set. */
int32_t pal_place_count(const pal_cores_t *cores);

/* "0-3,8": into text[n]. */
void pal_place_print(const pal_cores_t *cores, char *text, int n);

#endif
