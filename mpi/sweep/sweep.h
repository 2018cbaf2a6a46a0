/* sweep.h -- run a sweep: plan it, hand out its work, gather its rows.
 *
 * Every rank calls this with the same options. Rank 0 owns the results file, hands out
 * the work and computes too. On every rank the main thread does MPI and files, a second
 * thread computes. After the start there is no collective call, so a lost rank costs
 * only the work it had in hand.
 */
#ifndef PAL_MPI_SWEEP_SWEEP_H
#define PAL_MPI_SWEEP_SWEEP_H

#include "plan/plan.h"
#include "sweep/compute.h"

/* Zero-initialise, then set what is wanted. */
typedef struct {
    const char *config; /* path of the config file; only rank 0 reads it */
    const char *output; /* results file; NULL: results/<sweep>.h5 */
    double lease;       /* s of silence after which a rank counts as lost; 0: 30 */
    int threads;        /* of each rank's kernels; 0: 1 */
    int unbound;        /* 1: leave threads on the cores they were given */
    int quiet;          /* 1: no progress, only warnings */
} pal_sweep_options_t;

/* Returned when the sweep is through but some rows failed (diverged rows are results).
 */
enum { PAL_SWEEP_FAILED_ROWS = 1 };

/* What `palimpsest run` does, MPI_Init and MPI_Finalize included; works without mpirun
 * as one process. Call it early: it sets OPENBLAS_NUM_THREADS=1 and handles SIGINT,
 * SIGTERM and SIGUSR1 (finish nothing new, keep finished rows, return PAL_ESTOP).
 * Progress goes to stderr.
 *
 * PAL_OK: every row is done or diverged. PAL_SWEEP_FAILED_ROWS: err says how many and
 * the first. PAL_EINVAL, PAL_ENOENT: refused before any work (exit code 2). PAL_ESTOP:
 * stopped, the same command goes on from there (exit code 75). Others: the machine
 * failed (exit code 1); the results file is intact. err->text is empty where the
 * message was said already, or another rank has it: print it only if it is not empty.
 * Collective on MPI_COMM_WORLD. If a rank was lost this ends the job with MPI_Abort,
 * because MPI_Finalize would wait for it, and does not return on rank 0. */
PAL_MUST_CHECK
int pal_sweep_run(const pal_sweep_options_t *options, pal_error_t *err);

/* The same for a plan that every rank has already, and with another way to compute
 * (tests); text is what the results file keeps as the config. MPI is initialised by the
 * caller. */
PAL_MUST_CHECK
int pal_sweep_plan(const pal_sweep_options_t *options, pal_plan_t *plan,
                   const char *text, const pal_compute_t *compute, pal_error_t *err);

#endif
