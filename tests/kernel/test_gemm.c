/* Products in both precisions. CTest runs this twice: once as the machine is, and once
 * with oneDNN told that the processor has no bf16 instructions. */
#include "kernel/bf16.h"
#include "kernel/gemm.h"
#include "kernel/threads.h"
#include "twin.h"

/* n, in, out. The last ones are cut into tiles (2^25 multiply-adds and more). */
static const int32_t shapes[][3] = {{1, 1, 1},     {1, 64, 192},    {3, 5, 7},
                                    {17, 33, 65},  {0, 4, 4},       {64, 64, 64},
                                    {129, 24, 31}, {520, 530, 125}, {530, 125, 520}};

/* Operands of the products of a layer, in random numbers. */
typedef struct {
    int32_t n, in, out;
    twin_t x, w, y, dx;
    pal_gemm_t how;
} layer_t;

static layer_t layer(const int32_t shape[3], pal_precision_t precision)
{
    const int32_t n = shape[0], in = shape[1], out = shape[2];
    layer_t l = {.n = n, .in = in, .out = out, .how = {.precision = precision}};

    l.x = twin((size_t)n * in, 1.0);
    l.w = twin((size_t)out * in, 1.0);
    l.y = twin((size_t)n * out, 1.0);
    l.dx = twin((size_t)n * in, 1.0);
    l.how.room = malloc((pal_gemm_room(precision, n, in, out) + 1) * sizeof(float));
    assert_non_null(l.how.room);
    return l;
}

static void drop_layer(layer_t *l)
{
    drop(l->x), drop(l->w), drop(l->y), drop(l->dx);
    free(l->how.room);
}

/* What the twin of a product is given: the factor in that precision. */
static void round_twin(twin_t t, pal_precision_t precision)
{
    for (size_t i = 0; i < t.n; i++)
        t.naive[i] =
            precision == PAL_BF16 ? (double)pal_bf16_ref(t.fast[i]) : (double)t.fast[i];
}

static void products_match_in(pal_precision_t precision)
{
    for (size_t s = 0; s < COUNT(shapes); s++) {
        layer_t l = layer(shapes[s], precision);
        const int32_t n = l.n, in = l.in, out = l.out;

        round_twin(l.x, precision);
        round_twin(l.w, precision);
        pal_gemm_forward(&l.how, l.y.fast, l.x.fast, l.w.fast, n, in, out);
        pal_gemm_forward_ref(l.y.naive, l.x.naive, l.w.naive, n, in, out);
        assert_close(l.y, CLOSE);
        round_twin(l.y, precision);
        pal_gemm_inputs(&l.how, l.dx.fast, l.y.fast, l.w.fast, n, in, out);
        pal_gemm_inputs_ref(l.dx.naive, l.y.naive, l.w.naive, n, in, out);
        assert_close(l.dx, CLOSE);
        round_twin(l.w, PAL_FP32);
        pal_gemm_weights(&l.how, l.w.fast, l.y.fast, l.x.fast, n, in, out);
        pal_gemm_weights_ref(l.w.naive, l.y.naive, l.x.naive, n, in, out);
        assert_close(l.w, CLOSE);
        drop_layer(&l);
    }
}

static void fp32_products_match(void **unused)
{
    (void)unused;
    products_match_in(PAL_FP32);
}

static void bf16_products_match(void **unused)
{
    (void)unused;
    products_match_in(PAL_BF16);
}

static void null_is_fp32(void **unused)
{
    layer_t l = layer(shapes[3], PAL_FP32);
    twin_t y = twin(l.y.n, 0.0);

    (void)unused;
    memcpy(y.fast, l.y.fast, y.n * sizeof *y.fast);
    pal_gemm_forward(&l.how, l.y.fast, l.x.fast, l.w.fast, l.n, l.in, l.out);
    pal_gemm_forward(NULL, y.fast, l.x.fast, l.w.fast, l.n, l.in, l.out);
    assert_memory_equal(y.fast, l.y.fast, y.n * sizeof *y.fast);
    drop(y);
    drop_layer(&l);
}

/* The three results of a layer one after the other, from the same numbers each time. */
static float *results(const layer_t *l)
{
    float *r = malloc((l->y.n + l->dx.n + l->w.n) * sizeof *r);
    float *dx = r + l->y.n, *dw = dx + l->dx.n;

    assert_non_null(r);
    memcpy(r, l->y.fast, l->y.n * sizeof *r);
    memcpy(dw, l->w.fast, l->w.n * sizeof *r);
    pal_gemm_forward(&l->how, r, l->x.fast, l->w.fast, l->n, l->in, l->out);
    pal_gemm_inputs(&l->how, dx, l->y.fast, l->w.fast, l->n, l->in, l->out);
    pal_gemm_weights(&l->how, dw, l->y.fast, l->x.fast, l->n, l->in, l->out);
    return r;
}

/* Equal bits for any number of threads, and whatever was computed before. */
static void bits_do_not_depend_on(pal_precision_t precision)
{
    for (size_t s = 0; s < COUNT(shapes); s++) {
        layer_t l = layer(shapes[s], precision);
        const size_t size = (l.y.n + l.dx.n + l.w.n) * sizeof(float);
        float *once = results(&l);

        for (int threads = 1; threads <= 3; threads++) {
            layer_t other =
                layer(shapes[(s + (size_t)threads) % COUNT(shapes)], precision);
            float *again;

            pal_threads_set(threads);
            free(results(&other));
            again = results(&l);
            assert_memory_equal(once, again, size);
            free(again);
            drop_layer(&other);
        }
        pal_threads_set(1);
        free(once);
        drop_layer(&l);
    }
}

static void fp32_bits_are_fixed(void **unused)
{
    (void)unused;
    bits_do_not_depend_on(PAL_FP32);
}

static void bf16_bits_are_fixed(void **unused)
{
    (void)unused;
    bits_do_not_depend_on(PAL_BF16);
}

static float from_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Every upper half, with lower halves around the tie and the ends. */
static void rounding_matches(void **unused)
{
    static const uint32_t lower[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    enum { N = 0x10000 };
    float *x = malloc(N * sizeof *x), *rounded = malloc(N * sizeof *rounded);
    uint16_t *packed = malloc(N * sizeof *packed);

    (void)unused;
    assert_true(x && rounded && packed);
    for (size_t k = 0; k < COUNT(lower); k++) {
        for (uint32_t i = 0; i < N; i++)
            x[i] = from_bits(i << 16 | lower[k]);
        pal_bf16_round(rounded, x, N);
        pal_bf16_pack(packed, x, N);
        for (uint32_t i = 0; i < N; i++) {
            float exact = pal_bf16_ref(x[i]),
                  upper = from_bits((uint32_t)packed[i] << 16);

            assert_memory_equal(&rounded[i], &upper, sizeof upper);
            if (isnan(x[i]))
                assert_true(isnan(rounded[i]));
            else
                assert_memory_equal(&rounded[i], &exact, sizeof exact);
        }
    }
    assert_true(isnan(from_bits(0x7f800001)) && isnan(from_bits(0xffffffff)));
    free(x), free(rounded), free(packed);
}

static void nan_reaches_the_result(void **unused)
{
    for (int precision = 0; precision < PAL_PRECISIONS; precision++) {
        layer_t l = layer(shapes[5], (pal_precision_t)precision);

        (void)unused;
        l.x.fast[7] = NAN;
        pal_gemm_forward(&l.how, l.y.fast, l.x.fast, l.w.fast, l.n, l.in, l.out);
        for (int32_t i = 0; i < l.out; i++)
            assert_true(isnan(l.y.fast[i]) && isfinite(l.y.fast[l.out + i]));
        drop_layer(&l);
    }
}

static void room_holds_any_two(void **unused)
{
    (void)unused;
    assert_int_equal(pal_gemm_room(PAL_FP32, 10, 20, 30), 0);
    assert_int_equal(pal_gemm_room(PAL_BF16, 10, 20, 30), 20 * 30 + 10 * 30);
    assert_int_equal(pal_gemm_room(PAL_BF16, 50, 20, 30), 50 * 20 + 50 * 30);
    assert_int_equal(pal_gemm_room(PAL_BF16, 50, 20, 2), 50 * 20 + 50 * 2);
}

/* With PAL_EMULATED in the environment the BLAS multiplies under bf16 too. */
static void libraries_name_themselves(void **unused)
{
    const char *fp32 = pal_gemm_name(PAL_FP32), *bf16 = pal_gemm_name(PAL_BF16);

    (void)unused;
    assert_non_null(strstr(fp32, "OpenBLAS"));
    if (getenv("PAL_EMULATED"))
        assert_string_equal(bf16, fp32);
    else
        assert_true(strncmp(bf16, "oneDNN", 6) == 0 || strcmp(bf16, fp32) == 0);
    print_message("bf16: %s\n", bf16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_matches),
        cmocka_unit_test(fp32_products_match),
        cmocka_unit_test(bf16_products_match),
        cmocka_unit_test(null_is_fp32),
        cmocka_unit_test(fp32_bits_are_fixed),
        cmocka_unit_test(bf16_bits_are_fixed),
        cmocka_unit_test(nan_reaches_the_result),
        cmocka_unit_test(room_holds_any_two),
        cmocka_unit_test(libraries_name_themselves),
    };
    return cmocka_run_group_tests(tests, start_random, NULL);
}
