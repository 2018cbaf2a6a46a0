#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "kernel/gemm.h"

#include <cblas.h>
#include <pthread.h>
#include <sys/mman.h>

#include "kernel/bf16.h"
#include "kernel/onednn.h"
#include "kernel/threads.h"

const char *const pal_precision_names[PAL_PRECISIONS] = {"fp32", "bf16"};

/* A product is cut into tiles that depend on its sizes alone, and each is computed by
 * one thread: so the number of threads does not change a bit. Large tiles, because both
 * factors are packed anew for each, but enough for a few threads to share; what takes a
 * third of a millisecond stays whole. */
enum { TILE = 512, FEWEST_TILES = 4 };

static const int64_t whole = (int64_t)1 << 25; /* multiply-adds */

/* Contiguous matrices, laid out as the form says (onednn.h). */
typedef struct {
    pal_product_form_t form;
    int32_t m, n, k;
    float *c;
    const float *a, *b;
    const uint16_t *packed_a, *packed_b; /* the same in bf16, for oneDNN; or NULL */
} product_t;

/* `rows` and `cols` of c from (i, j) on. */
static void multiply_tile(const product_t *p, int32_t i, int32_t j, int32_t rows,
                          int32_t cols)
{
    const int a_t = p->form == PAL_AT_B_ADD, b_t = p->form == PAL_A_BT_ADD;
    const int32_t lda = a_t ? p->m : p->k, ldb = b_t ? p->k : p->n;
    const size_t at_a = (size_t)i * (a_t ? 1 : lda), at_b = (size_t)j * (b_t ? ldb : 1);
    float *c = p->c + (size_t)i * p->n + j;

    if (p->packed_a)
        pal_onednn_multiply(p->form, c, p->packed_a + at_a, p->packed_b + at_b, rows,
                            cols, p->k, lda, ldb, p->n);
    else
        cblas_sgemm(CblasRowMajor, a_t ? CblasTrans : CblasNoTrans,
                    b_t ? CblasTrans : CblasNoTrans, rows, cols, p->k, 1.0f,
                    p->a + at_a, lda, p->b + at_b, ldb,
                    p->form == PAL_A_B ? 0.0f : 1.0f, c, p->n);
}

/* Length of `pieces` pieces of n: about equal, whole vectors. */
static int32_t piece(int32_t n, int32_t pieces)
{
    return ((n + pieces - 1) / pieces + 15) / 16 * 16;
}

typedef struct {
    int32_t down, across; /* how many */
} tiles_t;

static tiles_t cut(const product_t *p)
{
    tiles_t tiles = {1, 1};

    if ((int64_t)p->m * p->n * p->k < whole)
        return tiles;
    tiles.down = (p->m + TILE - 1) / TILE;
    tiles.across = (p->n + TILE - 1) / TILE;
    while (tiles.down * tiles.across < FEWEST_TILES)
        if (p->m / tiles.down >= p->n / tiles.across)
            tiles.down *= 2;
        else
            tiles.across *= 2;
    return tiles;
}

static void multiply(const product_t *p)
{
    const tiles_t tiles = cut(p);
    const int32_t high = piece(p->m, tiles.down), wide = piece(p->n, tiles.across);

    PAL_PARALLEL
    for (int32_t t = 0; t < tiles.down * tiles.across; t++) {
        const int32_t i = t / tiles.across * high, j = t % tiles.across * wide;

        if (i < p->m && j < p->n)
            multiply_tile(p, i, j, high < p->m - i ? high : p->m - i,
                          wide < p->n - j ? wide : p->n - j);
    }
}

/* Replace a and b by what they are in bf16. */
static void round_factors(product_t *p, float *room)
{
    const int64_t size_a = (int64_t)p->m * p->k, size_b = (int64_t)p->k * p->n;

    if (pal_onednn_name()) {
        uint16_t *packed = (uint16_t *)room;

        pal_bf16_pack(packed, p->a, size_a);
        pal_bf16_pack(packed + size_a, p->b, size_b);
        p->packed_a = packed;
        p->packed_b = packed + size_a;
    } else {
        pal_bf16_round(room, p->a, size_a);
        pal_bf16_round(room + size_a, p->b, size_b);
        p->a = room;
        p->b = room + size_a;
    }
}

/* Threads are ours, so BLAS gets none. */
static void start(void)
{
    openblas_set_num_threads(1);
}

/* OpenBLAS maps a buffer (BUFFER_SIZE, a constant of its build; 32 << 22 on x86-64 and
 * arm64) for each product that runs at the same time as others, and keeps it. Where it
 * cannot, it tries again for ever, at full speed. Its functions for that are exported,
 * though no header has them. */
enum { BUFFER_MIB = 128, MOST_BUFFERS = 64 };
void *blas_memory_alloc(int unused);
void blas_memory_free(void *buffer);

static void take_buffers(int n)
{
    void *buffers[MOST_BUFFERS];

    for (int i = 0; i < n; i++)
        buffers[i] = blas_memory_alloc(0);
    for (int i = 0; i < n; i++)
        blas_memory_free(buffers[i]);
}

int pal_gemm_prepare(pal_error_t *err)
{
    static int taken;
    const int n = pal_threads() < MOST_BUFFERS ? pal_threads() : MOST_BUFFERS;
    size_t bytes = (size_t)(n - taken) * BUFFER_MIB << 20;
    void *room;

    if (n <= taken)
        return PAL_OK;
    room =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return PAL_FAIL(err, PAL_ENOMEM,
                        "no %zu MiB of address space for OpenBLAS, which takes %d MiB "
                        "a thread: is there a limit (ulimit -v, VSizeFactor of Slurm)?",
                        bytes >> 20, BUFFER_MIB);
    munmap(room, bytes);
    take_buffers(n);
    taken = n;
    return PAL_OK;
}

static void compute(const pal_gemm_t *how, product_t p)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start);
    if (p.m == 0 || p.n == 0 || p.k == 0)
        return;
    if (how && how->precision == PAL_BF16)
        round_factors(&p, how->room);
    multiply(&p);
}

size_t pal_gemm_room(pal_precision_t precision, int32_t n, int32_t in, int32_t out)
{
    const size_t x = (size_t)n * in, w = (size_t)out * in, y = (size_t)n * out;
    const size_t least = x < w ? (x < y ? x : y) : (w < y ? w : y);

    return precision == PAL_BF16 ? x + w + y - least : 0;
}

void pal_gemm_forward(const pal_gemm_t *how, float *y, const float *x, const float *w,
                      int32_t n, int32_t in, int32_t out)
{
    compute(how, (product_t){PAL_A_BT_ADD, n, out, in, y, x, w, NULL, NULL});
}

void pal_gemm_inputs(const pal_gemm_t *how, float *dx, const float *dy, const float *w,
                     int32_t n, int32_t in, int32_t out)
{
    compute(how, (product_t){PAL_A_B, n, in, out, dx, dy, w, NULL, NULL});
}

void pal_gemm_weights(const pal_gemm_t *how, float *dw, const float *dy, const float *x,
                      int32_t n, int32_t in, int32_t out)
{
    compute(how, (product_t){PAL_AT_B_ADD, out, in, n, dw, dy, x, NULL, NULL});
}

const char *pal_gemm_name(pal_precision_t precision)
{
    const char *onednn = precision == PAL_BF16 ? pal_onednn_name() : NULL;

    return onednn ? onednn : openblas_get_config();
}

void pal_gemm_forward_ref(double *y, const double *x, const double *w, int32_t n,
                          int32_t in, int32_t out)
{
    for (size_t t = 0; t < (size_t)n; t++)
        for (size_t o = 0; o < (size_t)out; o++)
            for (size_t i = 0; i < (size_t)in; i++)
                y[t * out + o] += x[t * in + i] * w[o * in + i];
}

void pal_gemm_inputs_ref(double *dx, const double *dy, const double *w, int32_t n,
                         int32_t in, int32_t out)
{
    for (size_t t = 0; t < (size_t)n; t++)
        for (size_t i = 0; i < (size_t)in; i++) {
            double sum = 0.0;

            for (size_t o = 0; o < (size_t)out; o++)
                sum += dy[t * out + o] * w[o * in + i];
            dx[t * in + i] = sum;
        }
}

void pal_gemm_weights_ref(double *dw, const double *dy, const double *x, int32_t n,
                          int32_t in, int32_t out)
{
    for (size_t t = 0; t < (size_t)n; t++)
        for (size_t o = 0; o < (size_t)out; o++)
            for (size_t i = 0; i < (size_t)in; i++)
                dw[o * in + i] += dy[t * out + o] * x[t * in + i];
}
