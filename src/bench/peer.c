#include "bench/peer.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* $0 is the script, $1 the number of threads: the libraries under torch have pools of
 * their own. */
static const char start_peer[] =
    "export OMP_NUM_THREADS=\"$1\" OPENBLAS_NUM_THREADS=\"$1\" MKL_NUM_THREADS=\"$1\"; "
    "for python in ${PYTHON:+\"$PYTHON\"} python3 /usr/bin/python3; do "
    "\"$python\" -c 'import torch' 2>/dev/null && exec \"$python\" \"$0\"; done; "
    "echo none";

struct pal_peer {
    pid_t process; /* 0: not started */
    FILE *to, *from;
};

/* Run the script with two pipes; those ends that are not the child's close on exec. */
static int spawn(pal_peer_t *peer, const char *script, int32_t threads, int input[2],
                 int output[2], pal_error_t *err)
{
    char number[16];
    char *const words[] = {"sh",           "-c",   (char *)start_peer,
                           (char *)script, number, NULL};
    posix_spawn_file_actions_t actions;
    int rc;

    snprintf(number, sizeof number, "%d", (int)threads);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return PAL_FAIL(err, PAL_ENOMEM, "peer");
    rc = posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO) ||
         posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO) ||
         posix_spawn_file_actions_addclose(&actions, input[1]) ||
         posix_spawn_file_actions_addclose(&actions, output[0]) ||
         posix_spawnp(&peer->process, "sh", &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc == 0)
        return PAL_OK;
    peer->process = 0;
    return PAL_FAIL(err, PAL_EIO, "cannot start sh");
}

static int open_pipes(pal_peer_t *peer, const char *script, int32_t threads,
                      pal_error_t *err)
{
    int input[2] = {-1, -1}, output[2] = {-1, -1};
    int rc = pipe(input) == 0 && pipe(output) == 0
                 ? spawn(peer, script, threads, input, output, err)
                 : PAL_FAIL(err, PAL_EIO, "cannot make pipes for a peer");

    if (rc == PAL_OK)
        peer->to = fdopen(input[1], "wb");
    if (rc == PAL_OK)
        peer->from = fdopen(output[0], "r");
    if (rc == PAL_OK && (!peer->to || !peer->from))
        rc = PAL_FAIL(err, PAL_ENOMEM, "peer");
    if (!peer->to)
        close(input[1]);
    if (!peer->from)
        close(output[0]);
    close(input[0]);
    close(output[1]);
    return rc;
}

/* What the script reads first: sizes in words, then batches and weights in bytes. */
static void hand_over(FILE *to, const pal_workload_t *workload, const float *weights,
                      int32_t threads)
{
    const pal_shape_t *s = &workload->layout->shape;

    fprintf(to, "%d %d %d %d %d %d %d %d %lld\n", (int)threads, (int)s->vocab,
            (int)s->context, (int)s->width, (int)s->layers, (int)s->heads,
            (int)s->hidden, (int)PAL_BENCH_BATCHES, (long long)workload->layout->count);
    for (int64_t i = 0; i < PAL_BENCH_BATCHES; i++) {
        const pal_batch_t *batch = pal_workload_batch(workload, i);

        fwrite(&batch->sequences, sizeof batch->sequences, 1, to);
        fwrite(batch->offsets, sizeof *batch->offsets, (size_t)batch->sequences + 1,
               to);
        fwrite(batch->tokens, sizeof *batch->tokens, (size_t)pal_batch_tokens(batch),
               to);
    }
    fwrite(weights, sizeof *weights, (size_t)workload->layout->count, to);
    fflush(to);
}

/* SIGPIPE would end this process when the peer is gone: it is ignored from now on. */
int pal_peer_start(const char *script, const pal_workload_t *workload,
                   const float *weights, int32_t threads, pal_peer_t **out,
                   pal_error_t *err)
{
    pal_peer_t *peer = NULL;
    char answer[16] = "";
    int rc;

    if (access(script, R_OK) != 0)
        return PAL_FAIL(err, PAL_ENOENT, "no peer: cannot read %s", script);
    peer = calloc(1, sizeof *peer);
    if (!peer)
        return PAL_FAIL(err, PAL_ENOMEM, "peer");
    signal(SIGPIPE, SIG_IGN);
    rc = open_pipes(peer, script, threads, err);
    if (rc == PAL_OK && !fgets(answer, sizeof answer, peer->from))
        rc = PAL_FAIL(err, PAL_EIO, "the peer ended: %s", script);
    if (rc == PAL_OK && strcmp(answer, "none\n") == 0)
        rc =
            pal_fail_(err, PAL_ENOENT, NULL, 0,
                      "no peer: none of python3 and /usr/bin/python3 can import torch; "
                      "PYTHON names another, Debian's package is python3-torch");
    if (rc != PAL_OK) {
        pal_peer_stop(peer);
        return rc;
    }
    hand_over(peer->to, workload, weights, threads);
    *out = peer;
    return PAL_OK;
}

int pal_peer_run(pal_peer_t *peer, const char *precision, int64_t first, int64_t steps,
                 double *seconds, double *loss, pal_error_t *err)
{
    char answer[128];

    fprintf(peer->to, "%s %lld %lld\n", precision, (long long)first, (long long)steps);
    fflush(peer->to);
    if (!fgets(answer, sizeof answer, peer->from) ||
        sscanf(answer, "%lf %lf", seconds, loss) != 2)
        return PAL_FAIL(err, PAL_EIO, "the peer ended; what it said stands above");
    return PAL_OK;
}

void pal_peer_stop(pal_peer_t *peer)
{
    if (!peer)
        return;
    if (peer->to)
        fclose(peer->to);
    if (peer->from)
        fclose(peer->from);
    if (peer->process > 0)
        waitpid(peer->process, NULL, 0);
    free(peer);
}
