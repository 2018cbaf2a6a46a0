#include "store/provenance.h"

#include <stdio.h>
#include <string.h>

#include <mpi.h>

#include "build_info.h"
#include "kernel/gemm.h"
#include "place.h"

const char *pal_build_commit(void)
{
    return PAL_COMMIT;
}

const char *pal_build_version(void)
{
    return PAL_VERSION;
}

static void print_mpi(char *text, size_t n)
{
    char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;

    MPI_Get_library_version(version, &length);
    version[strcspn(version, ",\n")] = 0;
    snprintf(text, n, "%s", version);
}

/* Who computes products under FP32, and who under bf16: that may be the same. */
static void print_blas(char *text, size_t n)
{
    const char *fp32 = pal_gemm_name(PAL_FP32), *bf16 = pal_gemm_name(PAL_BF16);

    snprintf(text, n, "%s; bf16: %s", fp32, strcmp(fp32, bf16) ? bf16 : "the same");
}

/* "OpenBLAS 0.3.21 ... SkylakeX MAX_THREADS=64": the core type is the word before that
 * limit, or the last one. */
static void print_core(char *text, size_t n)
{
    char name[256], *word, *core = "";

    snprintf(name, sizeof name, "%s", pal_gemm_name(PAL_FP32));
    for (word = strtok(name, " "); word; word = strtok(NULL, " ")) {
        if (strncmp(word, "MAX_THREADS", 11) == 0)
            break;
        core = word;
    }
    snprintf(text, n, "%s", core);
}

static void print_cpu(char *text, size_t n)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256], *value;

    snprintf(text, n, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "model name", 10) || !(value = strchr(line, ':')))
            continue;
        value[strcspn(value, "\n")] = 0;
        snprintf(text, n, "%s", value + 2);
        break;
    }
    if (file)
        fclose(file);
}

int pal_provenance(const char *name, char *text, size_t n)
{
    if (strcmp(name, "commit") == 0)
        snprintf(text, n, "%s", PAL_COMMIT);
    else if (strcmp(name, "version") == 0)
        snprintf(text, n, "%s", PAL_VERSION);
    else if (strcmp(name, "compiler") == 0)
        snprintf(text, n, "%s", PAL_COMPILER);
    else if (strcmp(name, "mpi") == 0)
        print_mpi(text, n);
    else if (strcmp(name, "blas") == 0)
        print_blas(text, n);
    else if (strcmp(name, "blas_core") == 0)
        print_core(text, n);
    else if (strcmp(name, "hwloc") == 0)
        pal_place_library(text, (int)n);
    else if (strcmp(name, "cpu") == 0)
        print_cpu(text, n);
    else
        return 0;
    return 1;
}
