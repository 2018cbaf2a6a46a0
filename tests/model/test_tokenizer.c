#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "model/tokenizer.h"

static const char *const texts[] = {
    "The mill stood by the river. The river ran past the mill.",
    "In 1843 the mill burnt down, and the river ran on.", "caf\xc3\xa9  caf\xc3\xa9"};

enum { TEXTS = 3, MOST = 4096 };

static pal_tokenizer_t *build(int32_t words)
{
    pal_tokenizer_t *t = NULL;
    pal_error_t err;

    assert_int_equal(pal_tokenizer_build(texts, TEXTS, words, &t, &err), PAL_OK);
    return t;
}

static size_t decode(const pal_tokenizer_t *t, const int32_t *ids, int32_t n,
                     char *text)
{
    size_t used = 0, length;

    for (int32_t i = 0; i < n; i++) {
        const char *word = pal_tokenizer_word(t, ids[i], &length);

        assert_non_null(word);
        memcpy(text + used, word, length);
        used += length;
    }
    return used;
}

static void words_by_falling_frequency(void **unused)
{
    pal_tokenizer_t *t = build(1000), *small = build(3);
    /* " the" 4, " river" 3, " mill" 3 (byte order), "The" 1 and " The" 1 among the rest
     */
    const char *const first[] = {" the", " mill", " river"};
    size_t n;

    (void)unused;
    for (int32_t i = 0; i < 3; i++) {
        const char *word = pal_tokenizer_word(t, PAL_FIRST_WORD + i, &n);

        assert_int_equal(n, strlen(first[i]));
        assert_memory_equal(word, first[i], n);
    }
    assert_int_equal(pal_tokenizer_size(small), PAL_FIRST_WORD + 3);
    assert_true(pal_tokenizer_size(t) < PAL_FIRST_WORD + 1000);
    assert_null(pal_tokenizer_word(t, PAL_SEPARATOR, &n));
    assert_null(pal_tokenizer_word(t, pal_tokenizer_size(t), &n));
    assert_null(pal_tokenizer_word(t, -1, &n));
    pal_tokenizer_destroy(t);
    pal_tokenizer_destroy(small);
}

static void pieces_are_cut_as_documented(void **unused)
{
    static const struct {
        const char *text;
        int32_t tokens; /* with every piece below a word */
    } cases[] = {{"mill", 1},       {" mill", 1},        {" mill mill", 2},
                 {"mill.", 2},      {" 1843,", 2},       {" mill  mill", 3},
                 {"  mill", 2},     {"mill \n mill", 3}, {"a1b2c3", 1},
                 {"mill-race", 3},  {" (mill)", 3},      {"caf\xc3\xa9", 1},
                 {"mill\nmill", 3}, {"mill ", 2},        {"", 0}};
    const char *words[sizeof cases / sizeof *cases];
    pal_tokenizer_t *t;
    pal_error_t err;

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        words[i] = cases[i].text;
    assert_int_equal(
        pal_tokenizer_build(words, sizeof cases / sizeof *cases, 100, &t, &err),
        PAL_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            pal_tokenizer_encode(t, cases[i].text, strlen(cases[i].text), NULL, 0),
            cases[i].tokens);
    pal_tokenizer_destroy(t);
}

static void arbitrary_bytes_come_back(void **unused)
{
    pal_tokenizer_t *t = build(20);
    int32_t ids[MOST];
    char text[MOST], back[MOST];
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, pal_tokenizer_key(t), "bytes");
    for (int round = 0; round < 500; round++) {
        size_t n = pal_rng_below(&rng, 200);
        int32_t count;

        for (size_t i = 0; i < n; i++) {
            uint32_t draw = pal_rng_below(&rng, 4);

            /* a mixture of raw bytes and of bytes from the texts, zero bytes included
             */
            text[i] = draw == 0 ? (char)pal_rng_below(&rng, 256)
                                : texts[0][pal_rng_below(&rng, 50)];
        }
        count = pal_tokenizer_encode(t, text, n, ids, MOST);
        assert_true(count <= (int32_t)n);
        assert_int_equal(decode(t, ids, count, back), n);
        assert_memory_equal(back, text, n);
        for (int32_t i = 0; i < count; i++)
            assert_int_not_equal(ids[i], PAL_SEPARATOR);
    }
    pal_tokenizer_destroy(t);
}

static void encode_says_how_many_it_needs(void **unused)
{
    pal_tokenizer_t *t = build(100);
    int32_t all[MOST], few[4] = {-1, -1, -1, -1};
    int32_t n = pal_tokenizer_encode(t, texts[0], strlen(texts[0]), all, MOST);

    (void)unused;
    assert_true(n > 3);
    assert_int_equal(pal_tokenizer_encode(t, texts[0], strlen(texts[0]), few, 3), n);
    assert_memory_equal(few, all, 3 * sizeof *few);
    assert_int_equal(few[3], -1);
    pal_tokenizer_destroy(t);
}

static void save_and_load_agree(void **unused)
{
    pal_tokenizer_t *t = build(1000), *loaded, *fewer = build(5);
    int32_t a[MOST], b[MOST];
    char *json;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_tokenizer_save(t, &json, &err), PAL_OK);
    assert_int_equal(pal_tokenizer_load(json, &loaded, &err), PAL_OK);
    assert_int_equal(pal_tokenizer_size(loaded), pal_tokenizer_size(t));
    assert_true(pal_key_equal(pal_tokenizer_key(loaded), pal_tokenizer_key(t)));
    assert_false(pal_key_equal(pal_tokenizer_key(fewer), pal_tokenizer_key(t)));
    for (int i = 0; i < TEXTS; i++) {
        int32_t n = pal_tokenizer_encode(t, texts[i], strlen(texts[i]), a, MOST);

        assert_int_equal(
            pal_tokenizer_encode(loaded, texts[i], strlen(texts[i]), b, MOST), n);
        assert_memory_equal(a, b, (size_t)n * sizeof *a);
    }
    free(json);
    pal_tokenizer_destroy(t);
    pal_tokenizer_destroy(loaded);
    pal_tokenizer_destroy(fewer);
}

static void text_that_is_not_utf8_is_spelled_and_can_be_saved(void **unused)
{
    const char *const broken[] = {"ab\xff\xfe ab\xff\xfe mill mill"};
    pal_tokenizer_t *t, *loaded;
    char *json;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_tokenizer_build(broken, 1, 10, &t, &err), PAL_OK);
    assert_int_equal(pal_tokenizer_size(t), PAL_FIRST_WORD + 1);
    assert_int_equal(pal_tokenizer_encode(t, broken[0], 4, NULL, 0), 4);
    assert_int_equal(pal_tokenizer_save(t, &json, &err), PAL_OK);
    assert_int_equal(pal_tokenizer_load(json, &loaded, &err), PAL_OK);
    free(json);
    pal_tokenizer_destroy(t);
    pal_tokenizer_destroy(loaded);
}

static void hostile_json_is_refused(void **unused)
{
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"", "not JSON"},
        {"{\"words\": [\" mill\"", "not JSON"},
        {"[]", "expected {\"words\""},
        {"{}", "expected {\"words\""},
        {"{\"words\": {}}", "expected {\"words\""},
        {"{\"words\": [], \"more\": 1}", "nothing else"},
        {"{\"words\": [], \"words\": []}", "duplicate"},
        {"{\"words\": [\" mill\", 3]}", "words[1] is no string"},
        {"{\"words\": [\"\"]}", "words[0] '' is not one piece"},
        {"{\"words\": [\"a\"]}", "words[0] 'a' is not one piece"},
        {"{\"words\": [\"two words\"]}", "not one piece"},
        {"{\"words\": [\" mill\", \" mill\"]}", "words[1] ' mill' occurs twice"},
        {"{\"words\": [\"a\\u0000b\"]}", "not JSON"},
        {"{\"words\": [\"ab\xff\"]}", "not JSON"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pal_tokenizer_t *t = NULL;
        pal_error_t err = {""};

        assert_int_equal(pal_tokenizer_load(cases[i].json, &t, &err), PAL_EINVAL);
        assert_null(t);
        if (!strstr(err.text, cases[i].message))
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void a_vocabulary_needs_a_word(void **unused)
{
    pal_tokenizer_t *t = NULL;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_tokenizer_build(texts, TEXTS, 0, &t, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "vocabulary of 0 words"));
    assert_null(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_by_falling_frequency),
        cmocka_unit_test(pieces_are_cut_as_documented),
        cmocka_unit_test(arbitrary_bytes_come_back),
        cmocka_unit_test(encode_says_how_many_it_needs),
        cmocka_unit_test(save_and_load_agree),
        cmocka_unit_test(text_that_is_not_utf8_is_spelled_and_can_be_saved),
        cmocka_unit_test(hostile_json_is_refused),
        cmocka_unit_test(a_vocabulary_needs_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
