/* Checkpoints: what was saved comes back; files that are not whole and well are refused
 * with a message, and leave the weights alone. */
#include "sample.h"

#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/checkpoint.h"

#define TEST(f) SAMPLE_TEST(f, gpt2)

static const char *const path = "checkpoint.safetensors";

/* A file's bytes with room to edit. */
typedef struct {
    char bytes[65536];
    size_t n;
} content_t;

static void save(sample_t *s)
{
    assert_int_equal(
        pal_checkpoint_save(path, s->layout, s->weights, NULL, "key 1", &s->err),
        PAL_OK);
}

static void assert_no_temporary(void)
{
    glob_t found;

    assert_int_equal(glob("*.safetensors.*", 0, NULL, &found), GLOB_NOMATCH);
    globfree(&found);
}

static void read_content(content_t *c)
{
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    c->n = fread(c->bytes, 1, sizeof c->bytes, file);
    assert_true(c->n > 0 && c->n < sizeof c->bytes);
    fclose(file);
}

static void write_content(const content_t *c)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(c->bytes, 1, c->n, file), c->n);
    assert_int_equal(fclose(file), 0);
}

static void set_length(content_t *c, uint64_t length)
{
    for (int i = 0; i < 8; i++)
        c->bytes[i] = (char)(length >> (8 * i));
}

static size_t get_length(const content_t *c)
{
    return (size_t)(uint8_t)c->bytes[0] | (size_t)(uint8_t)c->bytes[1] << 8;
}

/* Replace the first `from` of the header by `to`, keeping the length field right. */
static void edit(content_t *c, const char *from, const char *to)
{
    const size_t length = get_length(c), m = strlen(from), k = strlen(to);
    char *at = NULL;

    for (size_t i = 8; !at && i + m <= 8 + length; i++)
        if (memcmp(c->bytes + i, from, m) == 0)
            at = c->bytes + i;
    if (!at)
        fail_msg("the header has no '%s'", from);
    memmove(at + k, at + m, c->n - (size_t)(at + m - c->bytes));
    memcpy(at, to, k);
    c->n = c->n + k - m;
    set_length(c, length + k - m);
}

static void assert_refused(sample_t *s, const char *note, int code, const char *message)
{
    float *loaded = sample_copy(s->weights, s->count);

    loaded[0] = 42.0f;
    assert_int_equal(pal_checkpoint_load(path, s->layout, note, loaded, &s->err), code);
    if (!strstr(s->err.text, message))
        fail_msg("'%s' does not say '%s'", s->err.text, message);
    assert_non_null(strstr(s->err.text, path));
    assert_true(loaded[0] == 42.0f);
    assert_memory_equal(loaded + 1, s->weights + 1, (s->count - 1) * sizeof *loaded);
    free(loaded);
}

static void what_was_saved_comes_back(void **state)
{
    sample_t *s = *state;
    const char *const text = "the cat sat on the mat";
    float *loaded = calloc(s->count, sizeof *loaded);
    pal_tokenizer_t *tokenizer;

    assert_non_null(loaded);
    s->weights[3] = NAN; /* bits, not numbers */
    s->weights[4] = -0.0f;
    assert_int_equal(pal_tokenizer_build(&text, 1, 4, &tokenizer, &s->err), PAL_OK);
    assert_int_equal(
        pal_checkpoint_save(path, s->layout, s->weights, tokenizer, "key 1", &s->err),
        PAL_OK);
    assert_int_equal(pal_checkpoint_load(path, s->layout, "key 1", loaded, &s->err),
                     PAL_OK);
    assert_memory_equal(loaded, s->weights, s->count * sizeof *loaded);
    assert_int_equal(pal_checkpoint_load(path, s->layout, NULL, loaded, &s->err),
                     PAL_OK);
    assert_no_temporary();
    pal_tokenizer_destroy(tokenizer);
    free(loaded);
}

static void *save_often(void *state)
{
    const sample_t *s = state;
    pal_error_t err;
    int rc = PAL_OK;

    for (int i = 0; i < 50 && rc == PAL_OK; i++)
        rc = pal_checkpoint_save(path, s->layout, s->weights, NULL, "key 1", &err);
    return rc == PAL_OK ? NULL : state;
}

/* As ranks do that find no model in the cache, on nodes that number their processes
 * alike. */
static void many_write_at_once(void **state)
{
    enum { WRITERS = 4 };
    sample_t *s = *state;
    float *loaded = calloc(s->count, sizeof *loaded);
    pthread_t writers[WRITERS];
    void *failed;

    assert_non_null(loaded);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, save_often, s), 0);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(pal_checkpoint_load(path, s->layout, "key 1", loaded, &s->err),
                     PAL_OK);
    assert_memory_equal(loaded, s->weights, s->count * sizeof *loaded);
    assert_no_temporary();
    free(loaded);
}

/* The format's rule: header length, JSON, data aligned to 8 and right up to the end. */
static void file_is_safetensors(void **state)
{
    sample_t *s = *state;
    content_t c;

    save(s);
    read_content(&c);
    assert_int_equal(get_length(&c) % 8, 0);
    assert_int_equal(c.n, 8 + get_length(&c) + s->count * sizeof(float));
    assert_memory_equal(c.bytes + 8, "{\"__metadata__\":{", 17);
    assert_memory_equal(c.bytes + 8 + get_length(&c), s->weights,
                        s->count * sizeof(float));
}

/* Tensors in another order in the file are still the same tensors: swap two of one
 * size. */
static void order_in_the_file_is_free(void **state)
{
    sample_t *s = *state;
    const pal_slice_t *a = pal_layout_slice(s->layout, PAL_ATTENTION_OUT_BIAS, 0);
    const pal_slice_t *b = pal_layout_slice(s->layout, PAL_MLP_DOWN_BIAS, 0);
    float *loaded = calloc(s->count, sizeof *loaded);
    char at_a[40], at_b[40], *data;
    content_t c;

    assert_non_null(loaded);
    save(s);
    read_content(&c);
    snprintf(at_a, sizeof at_a, "[%d,%d]", (int)a->offset * 4,
             (int)(a->offset + a->size) * 4);
    snprintf(at_b, sizeof at_b, "[%d,%d]", (int)b->offset * 4,
             (int)(b->offset + b->size) * 4);
    edit(&c, at_a, "[here]");
    edit(&c, at_b, at_a);
    edit(&c, "[here]", at_b);
    data = c.bytes + 8 + get_length(&c);
    memcpy(data + a->offset * 4, s->weights + b->offset, sizeof(float[12]));
    memcpy(data + b->offset * 4, s->weights + a->offset, sizeof(float[12]));
    write_content(&c);
    assert_int_equal(pal_checkpoint_load(path, s->layout, NULL, loaded, &s->err),
                     PAL_OK);
    assert_memory_equal(loaded, s->weights, s->count * sizeof *loaded);
    free(loaded);
}

/* One flipped bit among the weights. */
static void damaged_weights_are_refused(void **state)
{
    sample_t *s = *state;
    content_t c;

    save(s);
    read_content(&c);
    for (size_t at = 8 + get_length(&c); at < c.n; at += 997) {
        c.bytes[at] ^= 4;
        write_content(&c);
        assert_refused(s, "key 1", PAL_EINVAL, "its weights are damaged");
        c.bytes[at] ^= 4;
    }
}

static const struct {
    const char *from, *to, *message;
} header_edits[] = {
    {"{\"__meta", "[\"__meta", "header is not JSON"},
    {"\"dtype\":\"F32\"", "\"dtype\":\"F16\"", "token_embedding': dtype is 'F16'"},
    {"\"dtype\":\"F32\"", "\"dtype\":32", "token_embedding': dtype is ''"},
    {"\"dtype\":\"F32\",", "", "token_embedding': dtype is ''"},
    {"[23,12]", "[12,23]", "token_embedding': shape is not 23 x 12"},
    {"[23,12]", "[276]", "shape is not 23 x 12"},
    {"[23,12]", "[23,12,1]", "shape is not 23 x 12"},
    {"[23,12]", "[23.0,12]", "shape is not 23 x 12"},
    {"[23,12]", "[4294967319,12]", "shape is not 23 x 12"},
    {"[23,12]", "\"23,12\"", "shape is not 23 x 12"},
    {"[0,1104]", "[4,1108]", "overlap or leave a gap at byte 0"},
    {"[0,1104]", "[1104,2208]", "overlap or leave a gap"},
    {"[0,1104]", "[0,1100]", "data_offsets 0 to 1100; expected 1104 bytes"},
    {"[0,1104]", "[-1104,0]", "data_offsets -1104 to 0"},
    {"[0,1104]", "[1104,0]", "data_offsets 1104 to 0"},
    {"[0,1104]", "[9000000000000000000,9000000000000001104]", "within the file's"},
    {"[0,1104]", "[-9223372036854775808,9223372036854775807]", "data_offsets"},
    {"[0,1104]", "[0,99999999999999999999]", "header is not JSON"},
    {"[0,1104]", "[0]", "not [begin, end]"},
    {"[0,1104]", "[0,null]", "not [begin, end]"},
    {"[0,1104]", "{}", "not [begin, end]"},
    {"\"final_norm\"", "\"last_norm\"", "tensor 'final_norm' is missing"},
    {"\"final_norm\"", "\"block.0.mlp.up\"", "header is not JSON"}, /* twice */
    {"\"final_norm\":{", "\"final_norm\":7,\"x\":{", "final_norm': dtype is ''"},
    {"\"final_norm\":", "\"more\":0,\"final_norm\":", "tensor 'more' is not one of"},
    {"\\\"heads\\\":3", "\\\"heads\\\":4", "its shape has heads 4; expected 3"},
    {"\\\"tied\\\":true", "\\\"tied\\\":false", "has tied false; expected true"},
    {"\\\"gelu", "\\\"swiglu", "has mlp \"swiglu\"; expected \"gelu\""},
    {"\\\"rope_base\\\":0.0", "\\\"rope_base\\\":9.0",
     "has rope_base 9.0; expected 0.0"},
    {"\\\"rope_base", "\\\"x\\\":1,\\\"rope_base", "has x 1; expected none"},
    {"\\\"vocab\\\":23,", "", "has vocab missing; expected 23"},
    {"\\\"heads\\\":3", "\\\"heads\\\":", "its shape is"},
    {"\"shape\":\"{", "\"sharp\":\"{", "metadata have no shape"},
    {"\"__metadata__\"", "\"__meta__\"", "metadata have no shape"},
    {"\"note\":\"key 1\"", "\"note\":\"key 2\"", "its note is 'key 2'; expected"},
    {"\"note\":\"key 1\"", "\"note\":[]", "its note is ''; expected 'key 1'"},
};

static void edited_headers_are_refused(void **state)
{
    sample_t *s = *state;
    content_t whole, c;

    save(s);
    read_content(&whole);
    for (size_t i = 0; i < sizeof header_edits / sizeof *header_edits; i++) {
        c = whole;
        edit(&c, header_edits[i].from, header_edits[i].to);
        write_content(&c);
        assert_refused(s, "key 1", PAL_EINVAL, header_edits[i].message);
    }
}

/* Cut anywhere: within the length, the header, the data. */
static void truncated_files_are_refused(void **state)
{
    sample_t *s = *state;
    content_t whole, c;

    save(s);
    read_content(&whole);
    for (size_t n = 0; n < whole.n; n += n < 40 ? 1 : 97) {
        c = whole;
        c.n = n;
        write_content(&c);
        assert_refused(s, NULL, PAL_EINVAL, n < 8 ? "bytes; a safetensors file" : "");
    }
    c = whole;
    c.bytes[c.n++] = 0;
    write_content(&c);
    assert_refused(s, NULL, PAL_EINVAL, "overlap or leave a gap");
}

static void wrong_lengths_are_refused(void **state)
{
    sample_t *s = *state;
    content_t whole, c;

    save(s);
    read_content(&whole);
    {
        const uint64_t lengths[] = {
            0,          1,          whole.n - 7,    whole.n,
            UINT32_MAX, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};

        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            c = whole;
            set_length(&c, lengths[i]);
            write_content(&c);
            assert_refused(s, NULL, PAL_EINVAL, lengths[i] == 1 ? "JSON" : "header of");
        }
    }
    memset(c.bytes + 8, '[', get_length(&whole)); /* as deep as it is long */
    c.n = whole.n;
    set_length(&c, get_length(&whole));
    write_content(&c);
    assert_refused(s, NULL, PAL_EINVAL, "header is not JSON");
}

static void things_that_are_no_files(void **state)
{
    sample_t *s = *state;

    (void)unlink(path);
    assert_refused(s, NULL, PAL_ENOENT, "cannot open it");
    assert_int_equal(mkdir(path, 0777), 0);
    assert_refused(s, NULL, PAL_EINVAL, "not a regular file");
    assert_int_equal(
        pal_checkpoint_save(path, s->layout, s->weights, NULL, NULL, &s->err), PAL_EIO);
    assert_non_null(strstr(s->err.text, "cannot rename"));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_refused(s, NULL, PAL_EINVAL, "not a regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(pal_checkpoint_save("no/such/folder/x", s->layout, s->weights,
                                         NULL, NULL, &s->err),
                     PAL_EIO);
    assert_non_null(strstr(s->err.text, "no/such/folder/x"));
}

/* A disk that fills up, by a limit on the size of files: the old file stays whole and
 * no temporary one is left. */
static void a_full_disk_is_an_error(void **state)
{
    sample_t *s = *state;
    struct rlimit before, limit;
    float *loaded = calloc(s->count, sizeof *loaded);
    int rc;

    assert_non_null(loaded);
    save(s);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit = before;
    limit.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    rc = pal_checkpoint_save(path, s->layout, s->weights, NULL, "key 2", &s->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(rc, PAL_EIO);
    assert_non_null(strstr(s->err.text, "cannot write it"));
    assert_no_temporary();
    assert_int_equal(pal_checkpoint_load(path, s->layout, "key 1", loaded, &s->err),
                     PAL_OK);
    assert_memory_equal(loaded, s->weights, s->count * sizeof *loaded);
    free(loaded);
}

/* Also before: a FIFO left by a killed test would make the next one wait for ever. */
static int clean(void **unused)
{
    (void)unused;
    (void)remove(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SAMPLE_TESTS(what_was_saved_comes_back),
        TEST(many_write_at_once),
        TEST(file_is_safetensors),
        TEST(order_in_the_file_is_free),
        TEST(damaged_weights_are_refused),
        TEST(edited_headers_are_refused),
        TEST(truncated_files_are_refused),
        TEST(wrong_lengths_are_refused),
        TEST(things_that_are_no_files),
        TEST(a_full_disk_is_an_error),
    };

    return cmocka_run_group_tests(tests, clean, clean);
}
