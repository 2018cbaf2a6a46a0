#include "kernel/onednn.h"

#ifdef PAL_ONEDNN
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* One primitive a form: their sizes and distances are only known when they run, because
 * a batch is ragged and primitives are slow to make. Made once for the process, read by
 * all threads from then on. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine;
static dnnl_primitive_t primitives[PAL_PRODUCT_FORMS];
static char name[64];

/* A matrix as oneDNN sees it; transposed: element (i, j) lies at j * distance + i. */
static int describe(dnnl_memory_desc_t *matrix, dnnl_data_type_t type, int64_t rows,
                    int64_t cols, int64_t distance, int transposed)
{
    const dnnl_dims_t sizes = {rows, cols};
    const dnnl_dims_t strides = {transposed ? 1 : distance, transposed ? distance : 1};

    return dnnl_memory_desc_init_by_strides(matrix, 2, sizes, type, strides) ==
           dnnl_success;
}

static int describe_product(dnnl_memory_desc_t matrices[3], pal_product_form_t form,
                            const int64_t sizes[3], const int64_t distances[3])
{
    const int64_t m = sizes[0], n = sizes[1], k = sizes[2];

    return describe(&matrices[0], dnnl_bf16, m, k, distances[0],
                    form == PAL_AT_B_ADD) &&
           describe(&matrices[1], dnnl_bf16, k, n, distances[1],
                    form == PAL_A_BT_ADD) &&
           describe(&matrices[2], dnnl_f32, m, n, distances[2], 0);
}

/* Scratch of our own making: that of the library may not be used by two threads. */
static int set_attributes(dnnl_primitive_attr_t attributes, pal_product_form_t form)
{
    dnnl_post_ops_t after = NULL;
    int ok = dnnl_primitive_attr_set_scratchpad_mode(
                 attributes, dnnl_scratchpad_mode_user) == dnnl_success;

    if (!ok || form == PAL_A_B)
        return ok;
    ok = dnnl_post_ops_create(&after) == dnnl_success &&
         dnnl_post_ops_append_sum(after, 1.0f) == dnnl_success &&
         dnnl_primitive_attr_set_post_ops(attributes, after) == dnnl_success;
    dnnl_post_ops_destroy(after);
    return ok;
}

/* Fails too if the primitive wants scratch, which no version has done so far. */
static int make_primitive(pal_product_form_t form)
{
    const int64_t any[] = {DNNL_RUNTIME_DIM_VAL, DNNL_RUNTIME_DIM_VAL,
                           DNNL_RUNTIME_DIM_VAL};
    const dnnl_memory_desc_t none = {0};
    dnnl_memory_desc_t matrices[3];
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t plan = NULL;
    dnnl_matmul_desc_t product;
    int ok = describe_product(matrices, form, any, any) &&
             dnnl_primitive_attr_create(&attributes) == dnnl_success &&
             set_attributes(attributes, form) &&
             dnnl_matmul_desc_init(&product, &matrices[0], &matrices[1], &none,
                                   &matrices[2]) == dnnl_success &&
             dnnl_primitive_desc_create(&plan, &product, attributes, engine, NULL) ==
                 dnnl_success &&
             dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(
                 plan, dnnl_query_scratchpad_md, 0)) == 0 &&
             dnnl_primitive_create(&primitives[form], plan) == dnnl_success;

    dnnl_primitive_desc_destroy(plan);
    dnnl_primitive_attr_destroy(attributes);
    return ok;
}

static void start(void)
{
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    const dnnl_version_t *version = dnnl_version();
    const unsigned amx = dnnl_cpu_isa_avx512_core_amx;
    const int threads = omp_get_max_threads();
    int form = 0;

    if ((isa & dnnl_cpu_isa_avx512_core_bf16) != dnnl_cpu_isa_avx512_core_bf16 ||
        dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success)
        return;
    omp_set_num_threads(1); /* or a primitive would start as many when it runs */
    while (form < PAL_PRODUCT_FORMS && make_primitive((pal_product_form_t)form))
        form++;
    omp_set_num_threads(threads);
    if (form == PAL_PRODUCT_FORMS)
        snprintf(name, sizeof name, "oneDNN %d.%d.%d %s", version->major,
                 version->minor, version->patch,
                 (isa & amx) == amx ? "avx512_core_amx" : "avx512_core_bf16");
}

const char *pal_onednn_name(void)
{
    pthread_once(&once, start);
    return name[0] ? name : NULL;
}

/* 0 if memory ran out. */
static int multiply(pal_product_form_t form, const int64_t sizes[3],
                    const int64_t distances[3], void *const data[3])
{
    const int names[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_memory_desc_t matrices[3];
    dnnl_exec_arg_t arguments[3] = {{0}};
    dnnl_stream_t stream = NULL;
    int ok =
        describe_product(matrices, form, sizes, distances) &&
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;

    for (int i = 0; i < 3 && ok; i++) {
        arguments[i].arg = names[i];
        ok = dnnl_memory_create(&arguments[i].memory, &matrices[i], engine, data[i]) ==
             dnnl_success;
    }
    ok = ok &&
         dnnl_primitive_execute(primitives[form], stream, 3, arguments) == dnnl_success;
    for (int i = 0; i < 3; i++)
        dnnl_memory_destroy(arguments[i].memory);
    dnnl_stream_destroy(stream);
    return ok;
}

static float unpack(uint16_t x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float y;

    memcpy(&y, &bits, sizeof y);
    return y;
}

/* The same without memory: slow, and not to be seen unless the machine is about to
 * fail. */
static void multiply_plainly(pal_product_form_t form, float *c, const uint16_t *a,
                             const uint16_t *b, const int64_t sizes[3],
                             const int64_t distances[3])
{
    const int a_t = form == PAL_AT_B_ADD, b_t = form == PAL_A_BT_ADD;
    const int64_t lda = distances[0], ldb = distances[1], ldc = distances[2];

    for (int64_t i = 0; i < sizes[0]; i++)
        for (int64_t j = 0; j < sizes[1]; j++) {
            float sum = form == PAL_A_B ? 0.0f : c[i * ldc + j];

            for (int64_t t = 0; t < sizes[2]; t++)
                sum += unpack(a[a_t ? t * lda + i : i * lda + t]) *
                       unpack(b[b_t ? j * ldb + t : t * ldb + j]);
            c[i * ldc + j] = sum;
        }
}

void pal_onednn_multiply(pal_product_form_t form, float *c, const uint16_t *a,
                         const uint16_t *b, int32_t m, int32_t n, int32_t k,
                         int32_t lda, int32_t ldb, int32_t ldc)
{
    const int64_t sizes[] = {m, n, k}, distances[] = {lda, ldb, ldc};
    void *const data[] = {(void *)a, (void *)b, c};

    omp_set_num_threads(1); /* of the calling thread; oneDNN would take every core */
    if (!multiply(form, sizes, distances, data))
        multiply_plainly(form, c, a, b, sizes, distances);
}
#else
typedef int pal_onednn_is_not_built_t; /* a source may not be empty */
#endif
