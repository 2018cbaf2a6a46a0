#include "sweep/start.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "place.h"

enum { PLACE_TEXT = 96 };

int pal_start_agree(MPI_Comm comm, int rc, pal_error_t *err)
{
    int rank, first, mine;

    MPI_Comm_rank(comm, &rank);
    mine = rc == PAL_OK ? INT_MAX : rank;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, comm);
    if (first == INT_MAX)
        return PAL_OK;
    MPI_Bcast(&rc, 1, MPI_INT, first, comm);
    if (rank != first && err)
        err->text[0] = 0;
    return rc;
}

int pal_start_config(MPI_Comm comm, const char *path, pal_config_t *config,
                     pal_error_t *err)
{
    char *text = NULL;
    size_t length = 0;
    uint64_t size;
    int rank, rc = PAL_OK;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        rc = pal_file_read(path, &text, &length, err);
    rc = pal_start_agree(comm, rc, err);
    if (rc != PAL_OK)
        return rc;
    size = length;
    MPI_Bcast(&size, 1, MPI_UINT64_T, 0, comm);
    if (rank != 0)
        text = malloc((size_t)size + 1);
    rc = text ? PAL_OK : PAL_FAIL(err, PAL_ENOMEM, "a config of %zu bytes", length);
    rc = pal_start_agree(comm, rc, err);
    if (rc == PAL_OK) {
        MPI_Bcast(text, (int)size, MPI_CHAR, 0, comm);
        text[size] = 0;
        rc = pal_config_parse(path, text, (size_t)size, config, err);
        rc = pal_start_agree(comm, rc, err);
    }
    free(text);
    return rc;
}

int pal_start_compare(MPI_Comm comm, const pal_plan_t *plan, pal_error_t *err)
{
    pal_key_t first = plan->key;
    int rank, rc = PAL_OK;

    MPI_Comm_rank(comm, &rank);
    MPI_Bcast(&first, (int)sizeof first, MPI_BYTE, 0, comm);
    if (!pal_key_equal(first, plan->key))
        rc = PAL_REJECT(err,
                        "rank %d made another plan of the same config than rank 0: do "
                        "its files (facts) differ from node to node?",
                        rank);
    return pal_start_agree(comm, rc, err);
}

/* Share of this rank among those of its node. */
static int take_share(MPI_Comm node, const pal_cores_t *usable, pal_cores_t *share)
{
    pal_cores_t *all;
    int rank, ranks, rc = PAL_ENOMEM;

    MPI_Comm_rank(node, &rank);
    MPI_Comm_size(node, &ranks);
    all = calloc((size_t)ranks, sizeof *all);
    if (!all)
        MPI_Abort(node, 1); /* the others are in the call below */
    MPI_Allgather(usable, sizeof *usable, MPI_BYTE, all, sizeof *usable, MPI_BYTE,
                  node);
    rc = pal_place_share(all, ranks, rank, share, NULL);
    free(all);
    return rc == PAL_OK ? pal_place_bind(share, NULL) : rc;
}

int32_t pal_start_place(MPI_Comm comm, int unbound, char *hosts, size_t n)
{
    char mine[PLACE_TEXT], host[64] = "", cores[32] = "any", *all = NULL;
    int32_t units = PAL_MOST_CORES, fewest = units;
    pal_cores_t usable, share;
    int rank, ranks;
    MPI_Comm node;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &ranks);
    MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node);
    if (pal_place_usable(&usable, NULL) != PAL_OK)
        memset(&usable, 0, sizeof usable);
    if (!unbound && take_share(node, &usable, &share) == PAL_OK) {
        pal_place_print(&share, cores, sizeof cores);
        units = pal_place_count(&share);
    }
    MPI_Comm_free(&node);
    gethostname(host, sizeof host - 1);
    memset(mine, 0, sizeof mine);
    snprintf(mine, sizeof mine, "%.50s(%s) ", host, cores);
    if (rank == 0)
        all = malloc((size_t)ranks * PLACE_TEXT);
    MPI_Gather(mine, PLACE_TEXT, MPI_CHAR, all, PLACE_TEXT, MPI_CHAR, 0, comm);
    MPI_Reduce(&units, &fewest, 1, MPI_INT32_T, MPI_MIN, 0, comm);
    hosts[0] = 0;
    for (int i = 0; all && i < ranks; i++)
        snprintf(hosts + strlen(hosts), n - strlen(hosts), "%s", all + i * PLACE_TEXT);
    free(all);
    return fewest;
}
