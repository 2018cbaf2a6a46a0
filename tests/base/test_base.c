#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/param.h"
#include "base/rng.h"

/* Known answers: FIPS 180-4 example "abc"; zlib's check value; Random123's kat_vectors.
 */
static void sha256_of_abc(void **unused)
{
    pal_hash_t hash;
    char text[PAL_KEY_TEXT];

    (void)unused;
    pal_hash_begin(&hash);
    pal_hash_add(&hash, "abc", 3);
    pal_key_text(pal_hash_end(&hash), text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223");
}

static void sha256_over_block_borders(void **unused)
{
    char a[200];

    (void)unused;
    memset(a, 'a', sizeof a);
    for (size_t n = 0; n <= sizeof a; n++) {
        pal_hash_t whole, pieces;

        pal_hash_begin(&whole);
        pal_hash_add(&whole, a, n);
        pal_hash_begin(&pieces);
        for (size_t i = 0; i < n; i++)
            pal_hash_add(&pieces, a + i, 1);
        assert_true(pal_key_equal(pal_hash_end(&whole), pal_hash_end(&pieces)));
    }
}

static void crc32_check_value(void **unused)
{
    (void)unused;
    assert_int_equal(pal_crc32(0, "123456789", 9), 0xcbf43926u);
    assert_int_equal(pal_crc32(pal_crc32(0, "1234", 4), "56789", 5), 0xcbf43926u);
}

static void philox_known_answers(void **unused)
{
    const uint32_t zero[4] = {0}, ones[4] = {~0u, ~0u, ~0u, ~0u};
    const uint32_t from_zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    const uint32_t from_ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    uint32_t out[4];

    (void)unused;
    pal_philox(zero, zero, out);
    assert_memory_equal(out, from_zero, sizeof out);
    pal_philox(ones, ones, out);
    assert_memory_equal(out, from_ones, sizeof out);
}

static void streams_are_independent_and_repeat(void **unused)
{
    pal_key_t key = {{1, 2, 3}};
    pal_rng_t a, again, other;
    int equal = 0;

    (void)unused;
    pal_rng_init(&a, key, "init");
    pal_rng_init(&again, key, "init");
    pal_rng_init(&other, key, "order");
    for (int i = 0; i < 1000; i++) {
        uint32_t x = pal_rng_u32(&a);

        assert_int_equal(x, pal_rng_u32(&again));
        equal += x == pal_rng_u32(&other);
    }
    assert_true(equal < 3);
}

static void draws_have_the_right_moments(void **unused)
{
    enum { N = 200000 };
    pal_key_t key = {{7}};
    pal_rng_t rng;
    double sum = 0, square = 0, uniform = 0;
    int count[7] = {0};

    (void)unused;
    pal_rng_init(&rng, key, "moments");
    for (int i = 0; i < N; i++) {
        double z = pal_rng_normal(&rng);

        sum += z;
        square += z * z;
        uniform += pal_rng_uniform(&rng);
        count[pal_rng_below(&rng, 7)]++;
    }
    assert_true(fabs(sum / N) < 0.01);
    assert_true(fabs(square / N - 1) < 0.02);
    assert_true(fabs(uniform / N - 0.5) < 0.005);
    for (int i = 0; i < 7; i++)
        assert_true(fabs(count[i] - N / 7.0) < 1000);
}

struct tunables {
    double lr;
    int64_t steps;
    char schedule[PAL_TEXT_MAX];
    double gain;
    int64_t seed;
};

static const pal_param_t table[] = {
    {"lr", PAL_REAL, offsetof(struct tunables, lr), 1e-3, 0, 1, NULL, NULL, "1",
     "rate"},
    {"steps", PAL_COUNT, offsetof(struct tunables, steps), 100, 1, 1e6, NULL, NULL,
     "steps", "length"},
    {"schedule", PAL_TEXT, offsetof(struct tunables, schedule), 0, 0, 0, "cosine",
     "cosine|constant", "1", "shape"},
    {"gain", PAL_REAL, offsetof(struct tunables, gain), 1, -1e9, 1e9, NULL, NULL, "1",
     "any"},
    {"seed", PAL_COUNT, offsetof(struct tunables, seed), 0, -1, 0x1p53, NULL, NULL, "1",
     "choice"},
    {0},
};

static const struct {
    const char *key, *text, *says;
} refused[] = {
    {"lr", "fast", "'fast' is not a number"},
    {"lr", "nan", "not a number"},
    {"lr", "2", "outside 0 to 1"},
    {"steps", "1.5", "not a whole number"},
    {"lr", "0x1p-3", "'0x1p-3' is not a number"},
    {"lr", "", "'' is not a number"},
    {"steps", "1e3", "1e3 is not a whole number; expected decimal digits"},
    {"steps", "0x10", "0x10 is not a whole number"},
    {"steps", " 7", "not a whole number"},
    {"steps", "+7", "not a whole number"},
    {"steps", "-", "not a whole number"},
    {"steps", "", "not a whole number"},
    {"steps", "0", "0 is outside 1 to 1000000 (length)"},
    {"steps", "-3", "-3 is outside 1 to"},
    {"steps", "99999999999999999999999", "outside 1 to 1000000"},
    {"steps", "-99999999999999999999999", "outside 1 to 1000000"},
    {"seed", "9007199254740993", "9007199254740993 is outside -1 to"},
    {"schedule", "cos", "'cos' is none of cosine|constant"},
    {"schedule", "", "none of"},
    {"schedule", "cosine|constant", "'cosine|constant' is none of"},
    {"schedule", "cosine|", "none of"},
};

static void parameters_accept_and_refuse(void **unused)
{
    static const char *const reals[] = {"0",     "10",    "250",      "1e-07",
                                        "0.001", "1e+07", "0.333333", "-2"};
    static const char *const counts[] = {"-1", "0", "42", "9007199254740991",
                                         "9007199254740992"};
    struct tunables state, before;
    pal_error_t err;
    char text[PAL_TEXT_MAX];

    (void)unused;
    memset(&state, 0, sizeof state);
    pal_param_defaults(table, &state);
    assert_string_equal(state.schedule, "cosine");
    before = state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const pal_param_t *param = pal_param_find(table, refused[i].key);

        assert_int_equal(pal_param_set(param, &state, refused[i].text, &err),
                         PAL_EINVAL);
        assert_non_null(strstr(err.text, refused[i].says));
        assert_non_null(strstr(err.text, refused[i].key));
        assert_memory_equal(&state, &before, sizeof state);
    }
    assert_int_equal(pal_param_set(table, &state, "0.1", &err), PAL_OK);
    pal_param_print(table, &state, text, sizeof text);
    assert_string_equal(text, "0.1");
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        assert_int_equal(pal_param_set(&table[3], &state, reals[i], &err), PAL_OK);
        pal_param_print(&table[3], &state, text, sizeof text);
        assert_string_equal(text, reals[i]);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        assert_int_equal(pal_param_set(&table[4], &state, counts[i], &err), PAL_OK);
        pal_param_print(&table[4], &state, text, sizeof text);
        assert_string_equal(text, counts[i]);
    }
    assert_null(pal_param_find(table, "lrr"));
}

static void nearest_name_is_found(void **unused)
{
    static const char *const names[] = {"coefficient", "lr", "steps"};

    (void)unused;
    assert_string_equal(pal_nearest("coeficient", names, 3), "coefficient");
    assert_string_equal(pal_nearest("step", names, 3), "steps");
    assert_null(pal_nearest("zzzzzz", names, 3));
}

static void errors_carry_context(void **unused)
{
    pal_error_t err;

    (void)unused;
    assert_int_equal(PAL_REJECT(&err, "value %d", 3), PAL_EINVAL);
    assert_int_equal(pal_context(&err, PAL_EINVAL, "file %s", "x"), PAL_EINVAL);
    assert_string_equal(err.text, "file x: value 3");
    assert_int_equal(PAL_FAIL(NULL, PAL_EIO, "no buffer"), PAL_EIO);
}

static void arena_keeps_texts(void **unused)
{
    pal_arena_t arena = {0};
    char *first = pal_arena_print(&arena, "%d-%s", 7, "x");
    char *big = pal_arena_get(&arena, 1 << 20);

    (void)unused;
    assert_non_null(big);
    assert_int_equal(big[(1 << 20) - 1], 0);
    assert_string_equal(first, "7-x");
    assert_int_equal((uintptr_t)pal_arena_get(&arena, 3) % 16, 0);
    pal_arena_free(&arena);
    assert_null(arena.chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_of_abc),
        cmocka_unit_test(sha256_over_block_borders),
        cmocka_unit_test(crc32_check_value),
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(streams_are_independent_and_repeat),
        cmocka_unit_test(draws_have_the_right_moments),
        cmocka_unit_test(parameters_accept_and_refuse),
        cmocka_unit_test(nearest_name_is_found),
        cmocka_unit_test(errors_carry_context),
        cmocka_unit_test(arena_keeps_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
