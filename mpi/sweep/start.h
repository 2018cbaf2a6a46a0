/* start.h -- what all ranks do together before the work: the only collective calls. */
#ifndef PAL_MPI_SWEEP_START_H
#define PAL_MPI_SWEEP_START_H

#include <mpi.h>

#include "config/config.h"
#include "plan/plan.h"

/* All on comm, collective. */

/* The result of what every rank just did: the failure of the lowest rank that has one,
 * on all. err keeps its text on that rank alone and is empty on the others. */
PAL_MUST_CHECK
int pal_start_agree(MPI_Comm comm, int rc, pal_error_t *err);

/* Rank 0 reads the file, everyone gets its text and parses it. */
PAL_MUST_CHECK
int pal_start_config(MPI_Comm comm, const char *path, pal_config_t *config,
                     pal_error_t *err);

/* PAL_EINVAL unless every rank made the same plan. */
PAL_MUST_CHECK
int pal_start_compare(MPI_Comm comm, const pal_plan_t *plan, pal_error_t *err);

/* Bind the calling thread to its share of the node's cores (place.h) unless unbound.
 * Rank 0 gets "host(cores) host(cores) ..." of all ranks in hosts[n], cut to fit. A
 * machine that cannot be read or bound is left as it is. Returns, on rank 0, the units
 * of the smallest share; PAL_MOST_CORES if nothing was bound. */
int32_t pal_start_place(MPI_Comm comm, int unbound, char *hosts, size_t n);

#endif
