#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "bench/choice.h"
#include "bench/kernels.h"
#include "bench/machine.h"
#include "bench/step.h"
#include "command/cli.h"
#include "kernel/gemm.h"
#include "kernel/threads.h"

enum { MODEL, PRECISION, THREADS, TIME, PEER, ONLY, OUTPUT };

static const pal_option_t options[] = {
    {"model", 'm', "NAME", "this size alone (default: GPT-2 styles up to width 512)"},
    {"precision", 0, "NAME", "of our matrix products: fp32 (default) or bf16"},
    {"threads", 't', "N", "also with N threads (default: 1 alone)"},
    {"time", 0, "MS", "milliseconds a training step is measured (default: 1000)"},
    {"peer", 0, NULL, "run PyTorch in turn with our training steps (needs torch)"},
    {"only", 0, "WHAT", "kernels, steps or choice (default: all three)"},
    {"output", 'o', "FILE", "write every number as JSON"},
    {NULL, 0, NULL, NULL},
};

static const char *const parts[] = {"kernels", "steps", "choice"};
enum { KERNELS, STEPS, CHOICE, PARTS };

/* A run of the command and what it has found so far. */
typedef struct {
    const char *model;       /* NULL: every size */
    const char *script;      /* NULL: no peer */
    const char *output;      /* NULL: none */
    char *target;            /* the file it leads to; ours */
    double threads, seconds; /* threads: the most */
    int only;                /* -1: every part */
    int precision;           /* pal_precision_t */
    double peak, bandwidth;  /* FLOP/s and bytes/s of one core */
    char path[4096];         /* what script points to */
    json_t *found[PARTS];

    pal_ground_t ground;
    const char *preset; /* of the workload */
    pal_workload_t workload;
    int used; /* threads now */
} bench_t;

static int wants(const bench_t *bench, int part)
{
    return bench->only < 0 || bench->only == part;
}

/* --- JSON --- */

static json_t *timing_object(pal_timing_t t)
{
    return json_pack("{s:f, s:f, s:f, s:i}", "median", t.median, "least", t.least,
                     "most", t.most, "repeats", (int)t.repeats);
}

/* What every line has. */
static json_t *line_object(const bench_t *bench)
{
    const pal_shape_t *s = &bench->workload.layout->shape;

    return json_pack("{s:s, s:i, s:i, s:s, s:s, s:i}", "model", bench->preset, "width",
                     (int)s->width, "layers", (int)s->layers, "sequences",
                     bench->workload.name, "precision",
                     pal_precision_names[bench->precision], "threads", bench->used);
}

static json_t *peer_object(const pal_step_result_t *r)
{
    json_t *object = json_object();

    for (int p = 0; p < PAL_PEER_PRECISIONS; p++)
        json_object_set_new(object, pal_peer_precisions[p],
                            json_pack("{s:o, s:o, s:f}", "seconds_of_token",
                                      timing_object(r->peer_token[p]), "ratio",
                                      timing_object(r->ratio[p]), "first_loss",
                                      r->peer_loss[p]));
    return object;
}

/* To the descriptor, which is closed. */
static int write_and_close(const bench_t *bench, const json_t *root, int fd,
                           pal_error_t *err)
{
    int error =
        json_dumpfd(root, fd, JSON_INDENT(2)) != 0 || fsync(fd) != 0 ? errno : 0;

    if (close(fd) != 0 && error == 0)
        error = errno;
    return error ? pal_fail_(err, PAL_EIO, NULL, 0, "%s: %s", bench->output,
                             strerror(error))
                 : PAL_OK;
}

/* What was in the file stays there until all is written. */
static int replace_file(const bench_t *bench, const json_t *root, pal_error_t *err)
{
    char *temporary;
    int fd, rc = pal_file_temporary(bench->target, &temporary, &fd, err);

    if (rc != PAL_OK)
        return rc;
    rc = write_and_close(bench, root, fd, err);
    if (rc == PAL_OK)
        rc = pal_file_rename(temporary, bench->target, err);
    else
        unlink(temporary);
    free(temporary);
    return rc;
}

static int write_json(const bench_t *bench, pal_error_t *err)
{
    json_t *root =
        json_pack("{s:{s:f, s:f, s:s}, s:O, s:O, s:O}", "machine", "flops_of_core",
                  bench->peak, "bytes_per_second", bench->bandwidth, "blas",
                  pal_gemm_name((pal_precision_t)bench->precision), parts[KERNELS],
                  bench->found[KERNELS], parts[STEPS], bench->found[STEPS],
                  parts[CHOICE], bench->found[CHOICE]);
    int rc = root ? replace_file(bench, root, err)
                  : PAL_FAIL(err, PAL_ENOMEM, "JSON of a benchmark");

    json_decref(root);
    return rc;
}

/* --- Kernels --- */

static void print_kernel(void *ctx, const pal_kernel_result_t *r)
{
    const bench_t *bench = ctx;
    const double rate = (r->flops > 0 ? r->flops : r->bytes) / r->timing.median;
    const double most = r->flops > 0 ? bench->peak * bench->used : bench->bandwidth;
    json_t *line = line_object(bench);

    printf("  %-19s %-27s %10.1f us %+5.0f %% %8.1f %s %5.0f %%\n", r->kernel, r->size,
           1e6 * r->timing.median,
           100 * (r->timing.most - r->timing.median) / r->timing.median, rate / 1e9,
           r->flops > 0 ? "GFLOP/s" : "GB/s   ", 100 * rate / most);
    fflush(stdout);
    json_object_update_new(
        line, json_pack("{s:s, s:s, s:f, s:f, s:o, s:f}", "kernel", r->kernel, "size",
                        r->size, "flops", r->flops, "bytes", r->bytes, "seconds",
                        timing_object(r->timing), "of_machine", rate / most));
    json_array_append_new(bench->found[KERNELS], line);
}

static int bench_kernels(bench_t *bench, pal_error_t *err)
{
    printf("\nkernels: %s, %s, %d thread%s; median, longest, rate, share of the "
           "machine's\n",
           bench->preset, bench->workload.name, bench->used,
           bench->used > 1 ? "s" : "");
    return pal_kernels_time(&bench->workload, bench->seconds / 20, print_kernel, bench,
                            err);
}

/* --- Training steps --- */

static void print_step(const bench_t *bench, const pal_step_result_t *r)
{
    const double t = r->token.median, layers = r->products.layers.median;

    printf("%-12s %-12s %7d %9.0f %+4.0f %% %8.1f %6.0f %% %7.2f %6.2f", bench->preset,
           bench->workload.name, bench->used, 1 / t, 100 * (r->token.most - t) / t,
           r->flops / t / 1e9, 100 * r->flops / t / (bench->peak * bench->used),
           t / layers, t / (layers + r->products.attention.median));
    for (int p = 0; p < PAL_PEER_PRECISIONS && bench->script; p++)
        printf("  %5.2f (%.2f-%.2f)", r->ratio[p].median, r->ratio[p].least,
               r->ratio[p].most);
    puts("");
    fflush(stdout);
}

static int bench_step(bench_t *bench, pal_error_t *err)
{
    pal_step_result_t r;
    json_t *line;
    int rc = pal_step_time(&bench->workload, bench->script, bench->used, bench->seconds,
                           &r, err);

    if (rc != PAL_OK)
        return rc;
    print_step(bench, &r);
    line = line_object(bench);
    json_object_update_new(
        line, json_pack("{s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:f}", "seconds_of_token",
                        timing_object(r.token), "products_of_token",
                        timing_object(r.products.layers), "attention_of_token",
                        timing_object(r.products.attention), "flops_of_token", r.flops,
                        "tokens_per_second", 1 / r.token.median, "over_products",
                        r.token.median / r.products.layers.median, "of_machine",
                        r.flops / r.token.median / (bench->peak * bench->used),
                        "first_loss", r.loss));
    if (bench->script)
        json_object_set_new(line, "peer", peer_object(&r));
    json_array_append_new(bench->found[STEPS], line);
    return PAL_OK;
}

/* --- Multiple choice --- */

static int bench_choice(bench_t *bench, pal_error_t *err)
{
    pal_choice_result_t r;
    json_t *line;
    int rc = pal_choice_time(&bench->ground, bench->workload.layout, bench->seconds / 4,
                             &r, err);

    if (rc != PAL_OK)
        return rc;
    printf("%-12s %7d %11.0f %11.0f %7.2f\n", bench->preset, bench->used,
           1 / r.branched.median, 1 / r.whole.median,
           r.whole.median / r.branched.median);
    fflush(stdout);
    line = line_object(bench);
    json_object_update_new(line,
                           json_pack("{s:o, s:o, s:f}", "seconds_of_fact_branched",
                                     timing_object(r.branched), "seconds_of_fact_whole",
                                     timing_object(r.whole), "ratio",
                                     r.whole.median / r.branched.median));
    json_array_append_new(bench->found[CHOICE], line);
    return PAL_OK;
}

/* --- Every size, workload and number of threads --- */

static int (*const work[PARTS])(bench_t *bench, pal_error_t *err) = {
    bench_kernels, bench_step, bench_choice};

static void print_header(const bench_t *bench, int part)
{
    if (part == STEPS)
        printf(
            "\ntraining steps: tokens of the texts; longest; GFLOP/s of what is "
            "computed (what\ntexts begin with in common once), and their share of "
            "the machine's; time over that\nof the layers' matrix products alone, "
            "and over these and attention%s\n"
            "model        sequences    threads  tokens/s         GFLOP/s  machine    "
            "over   both%s\n",
            bench->script ? ";\nPyTorch's time over ours, median (range)" : "",
            bench->script ? "  FP32 peer          bf16 peer" : "");
    if (part == CHOICE)
        puts("\nmultiple choice: facts/s, the question once or with each choice again\n"
             "model        threads    branched       whole   ratio");
}

/* With 1 thread and with as many as were asked for. */
static int run_threads(bench_t *bench, int part, pal_error_t *err)
{
    int rc = PAL_OK;

    bench->used = 1;
    for (;;) {
        pal_threads_set(bench->used);
        rc = pal_gemm_prepare(err);
        if (rc == PAL_OK)
            rc = work[part](bench, err);
        if (rc != PAL_OK || bench->used >= (int)bench->threads)
            return rc;
        bench->used = (int)bench->threads;
    }
}

static int run_model(bench_t *bench, int part, pal_error_t *err)
{
    int rc = PAL_OK;

    for (int kind = part == CHOICE ? PAL_SENTENCES : 0;
         kind < PAL_WORKLOADS && rc == PAL_OK; kind++) {
        rc = pal_workload_create(&bench->ground, bench->preset,
                                 (pal_workload_kind_t)kind, &bench->workload, err);
        bench->workload.precision = (pal_precision_t)bench->precision;
        if (rc == PAL_OK)
            rc = run_threads(bench, part, err);
        pal_workload_free(&bench->workload);
    }
    return rc;
}

static int is_wanted(const bench_t *bench, const char *preset)
{
    enum { WIDEST = 512 };
    pal_shape_t shape = {0};

    if (bench->model)
        return strcmp(bench->model, preset) == 0;
    return pal_preset_find(preset, &shape, NULL) == PAL_OK && shape.width <= WIDEST &&
           shape.mlp == PAL_GELU;
}

static int run_part(bench_t *bench, int part, pal_error_t *err)
{
    int rc = PAL_OK;

    print_header(bench, part);
    for (int i = 0; i < pal_preset_count() && rc == PAL_OK; i++) {
        bench->preset = pal_preset_name(i);
        if (is_wanted(bench, bench->preset))
            rc = run_model(bench, part, err);
    }
    return rc;
}

static int run_parts(bench_t *bench, pal_error_t *err)
{
    int rc = pal_bench_ground(&bench->ground, err);

    bench->peak = pal_machine_flops(bench->seconds / 4);
    bench->bandwidth = pal_machine_bandwidth(bench->seconds / 4);
    printf("machine: %.0f GFLOP/s and %.1f GB/s on one core; %s\n", bench->peak / 1e9,
           bench->bandwidth / 1e9, pal_gemm_name((pal_precision_t)bench->precision));
    for (int part = 0; part < PARTS && rc == PAL_OK; part++)
        if (wants(bench, part))
            rc = run_part(bench, part, err);
    if (rc == PAL_OK && bench->output)
        rc = write_json(bench, err);
    pal_ground_free(&bench->ground);
    return rc;
}

/* --- The command --- */

/* analysis/peer.py of the source folder: where we are, or above the program. */
static int find_script(bench_t *bench, pal_error_t *err)
{
    static const char script[] = "analysis/peer.py";
    char *path = bench->path;
    ssize_t n = readlink("/proc/self/exe", path, sizeof bench->path - 64);

    bench->script = script;
    if (access(script, R_OK) == 0)
        return PAL_OK;
    for (; n > 0; n--) {
        if (path[n - 1] != '/')
            continue;
        strcpy(path + n, script);
        bench->script = path;
        if (access(path, R_OK) == 0)
            return PAL_OK;
    }
    return PAL_REJECT(err,
                      "option --peer: there is no %s here or above the program; "
                      "start it in the source folder",
                      script);
}

/* Before minutes of measuring, not after: a file can be made there. */
static int check_output(bench_t *bench, pal_error_t *err)
{
    char *temporary;
    int fd, rc = pal_file_target(bench->output, &bench->target, err);

    if (rc == PAL_OK)
        rc = pal_file_temporary(bench->target, &temporary, &fd, err);
    if (rc != PAL_OK)
        return rc;
    close(fd);
    unlink(temporary);
    free(temporary);
    return PAL_OK;
}

static int read_options(bench_t *bench, const char *const values[], pal_error_t *err)
{
    double milliseconds = 1000;
    pal_shape_t shape = {0};
    int rc = PAL_OK;

    bench->model = values[MODEL];
    bench->output = values[OUTPUT];
    bench->threads = 1;
    bench->only = -1;
    if (bench->model)
        rc = pal_preset_find(bench->model, &shape, err);
    if (rc == PAL_OK && values[THREADS])
        rc = pal_cli_count("threads", values[THREADS], 1, 1024, &bench->threads, err);
    if (rc == PAL_OK && values[TIME])
        rc = pal_cli_count("time", values[TIME], 1, 1e6, &milliseconds, err);
    bench->seconds = milliseconds / 1000;
    if (rc == PAL_OK && values[PRECISION]) {
        bench->precision = pal_name_find("precision", values[PRECISION],
                                         pal_precision_names, PAL_PRECISIONS, err);
        rc = bench->precision < 0 ? PAL_EINVAL : PAL_OK;
    }
    if (rc == PAL_OK && values[ONLY]) {
        bench->only = pal_name_find("part", values[ONLY], parts, PARTS, err);
        rc = bench->only < 0 ? PAL_EINVAL : PAL_OK;
    }
    if (rc == PAL_OK && values[PEER] && shape.mlp != PAL_GELU)
        return PAL_REJECT(err, "option --peer: the peer is a GPT-2, '%s' is not",
                          bench->model);
    if (rc == PAL_OK && values[PEER])
        rc = find_script(bench, err);
    if (rc == PAL_OK && bench->output)
        rc = check_output(bench, err);
    return rc;
}

static int run(const char *const operands[], const char *const values[])
{
    bench_t *bench = calloc(1, sizeof *bench);
    pal_error_t err = {""};
    int rc;

    (void)operands;
    if (!bench)
        return pal_cli_fail(PAL_FAIL(&err, PAL_ENOMEM, "benchmark"), &err);
    for (int part = 0; part < PARTS; part++)
        bench->found[part] = json_array();
    rc = read_options(bench, values, &err);
    if (rc == PAL_OK)
        rc = run_parts(bench, &err);
    for (int part = 0; part < PARTS; part++)
        json_decref(bench->found[part]);
    free(bench->target);
    free(bench);
    return rc == PAL_OK ? pal_cli_flush() : pal_cli_fail(rc, &err);
}

const pal_command_t pal_cmd_bench = {
    .command = "bench",
    .operands = "",
    .summary = "Measure kernels and training steps against this machine and PyTorch",
    .text =
        "Kernels one by one, whole training steps and multiple choice, at the sizes "
        "of\n"
        "`palimpsest list models`, on sequences of 512 tokens and on the sentences of\n"
        "configs/quickstart.yaml. Let nothing else run on the core meanwhile.\n"
        "All of it takes minutes, `-m nano --time 200` a few seconds. Shares of the\n"
        "machine above 100 % are of arrays that lie in cache.\n",
    .options = options,
    .run = run,
};
