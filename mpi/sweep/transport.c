#include "sweep/transport.h"

#include <stdlib.h>
#include <string.h>

enum { TAG = 1 };

typedef struct pal_parcel {
    struct pal_parcel *next;
    MPI_Request request;
    unsigned char bytes[];
} pal_parcel_t;

struct pal_transport {
    MPI_Comm comm;
    int rank, ranks;
    size_t most; /* bytes of a message with its body */
    uint8_t *arrived;
    pal_parcel_t *parcels; /* under way */
};

int pal_mpi_fail(pal_error_t *err, int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;

    MPI_Error_string(code, text, &n);
    return PAL_FAIL(err, PAL_EMPI, "%s: %.200s", what, text);
}

int pal_transport_create(MPI_Comm comm, size_t most, pal_transport_t **out,
                         pal_error_t *err)
{
    pal_transport_t *transport = calloc(1, sizeof *transport);

    if (!transport)
        return PAL_FAIL(err, PAL_ENOMEM, "a transport");
    transport->comm = comm;
    transport->most = sizeof(pal_message_t) + most;
    transport->arrived = malloc(transport->most);
    if (!transport->arrived) {
        free(transport);
        return PAL_FAIL(err, PAL_ENOMEM, "a message of %zu bytes", most);
    }
    MPI_Comm_rank(comm, &transport->rank);
    MPI_Comm_size(comm, &transport->ranks);
    *out = transport;
    return PAL_OK;
}

/* Free the sends that have left. */
static void sweep_parcels(pal_transport_t *transport)
{
    pal_parcel_t **at = &transport->parcels;

    while (*at) {
        pal_parcel_t *parcel = *at;
        int gone = 0;

        if (MPI_Test(&parcel->request, &gone, MPI_STATUS_IGNORE) == MPI_SUCCESS &&
            !gone) {
            at = &parcel->next;
            continue;
        }
        *at = parcel->next; /* left, or failed because its rank is lost */
        free(parcel);
    }
}

void pal_transport_destroy(pal_transport_t *transport)
{
    if (!transport)
        return;
    sweep_parcels(transport); /* what is still under way stays MPI's */
    free(transport->arrived);
    free(transport);
}

int pal_transport_rank(const pal_transport_t *transport)
{
    return transport->rank;
}

int pal_transport_ranks(const pal_transport_t *transport)
{
    return transport->ranks;
}

int pal_transport_send(pal_transport_t *transport, int rank,
                       const pal_message_t *message, const uint8_t *body, size_t n,
                       pal_error_t *err)
{
    pal_parcel_t *parcel = malloc(sizeof *parcel + sizeof *message + n);
    int code;

    if (!parcel)
        return PAL_FAIL(err, PAL_ENOMEM, "a message of %zu bytes", n);
    memcpy(parcel->bytes, message, sizeof *message);
    if (n > 0)
        memcpy(parcel->bytes + sizeof *message, body, n);
    code = MPI_Isend(parcel->bytes, (int)(sizeof *message + n), MPI_BYTE, rank, TAG,
                     transport->comm, &parcel->request);
    if (code != MPI_SUCCESS) {
        free(parcel);
        return pal_mpi_fail(err, code, "sending");
    }
    parcel->next = transport->parcels;
    transport->parcels = parcel;
    sweep_parcels(transport);
    return PAL_OK;
}

int pal_transport_receive(pal_transport_t *transport, int *rank, pal_message_t *message,
                          const uint8_t **body, pal_error_t *err)
{
    MPI_Status status;
    int there = 0, bytes = 0, code;

    code = MPI_Iprobe(MPI_ANY_SOURCE, TAG, transport->comm, &there, &status);
    if (code == MPI_SUCCESS && !there)
        return 0;
    if (code == MPI_SUCCESS)
        code = MPI_Get_count(&status, MPI_BYTE, &bytes);
    if (code == MPI_SUCCESS &&
        (bytes < (int)sizeof *message || (size_t)bytes > transport->most))
        return PAL_FAIL(err, PAL_EMPI, "a message of %d bytes from rank %d", bytes,
                        status.MPI_SOURCE);
    if (code == MPI_SUCCESS)
        code = MPI_Recv(transport->arrived, bytes, MPI_BYTE, status.MPI_SOURCE, TAG,
                        transport->comm, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS)
        return pal_mpi_fail(err, code, "receiving");
    memcpy(message, transport->arrived, sizeof *message);
    *body = transport->arrived + sizeof *message;
    *rank = status.MPI_SOURCE;
    return 1;
}

int pal_transport_pending(pal_transport_t *transport)
{
    int n = 0;

    sweep_parcels(transport);
    for (const pal_parcel_t *parcel = transport->parcels; parcel; parcel = parcel->next)
        n++;
    return n;
}
