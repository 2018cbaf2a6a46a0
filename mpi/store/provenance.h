/* provenance.h -- what made a results file: version, libraries, processor. */
#ifndef PAL_MPI_STORE_PROVENANCE_H
#define PAL_MPI_STORE_PROVENANCE_H

#include <stddef.h>

/* Commit the program was built from, "-dirty" after it if the tree had changes;
 * "unknown" outside a repository. Static. */
const char *pal_build_commit(void);
const char *pal_build_version(void);

/* Text of "commit", "version", "compiler", "mpi", "blas", "blas_core", "hwloc" or "cpu"
 * into text[n]; 0 if there is no such entry. */
int pal_provenance(const char *name, char *text, size_t n);

#endif
