#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bad_config.h"
#include "config/config.h"
#include "config/document.h"

static int parse(const char *text, pal_config_t *config, pal_error_t *err)
{
    memset(err, 0, sizeof *err);
    return pal_config_parse("c.yaml", text, strlen(text), config, err);
}

static const pal_axis_t *find_axis(const pal_block_t *block, const char *key)
{
    for (int32_t i = 0; i < block->count; i++)
        if (strcmp(block->axes[i].key, key) == 0)
            return &block->axes[i];
    return NULL;
}

static void assert_text(const pal_block_t *block, const char *key, const char *expected)
{
    const pal_axis_t *axis = find_axis(block, key);

    assert_non_null(axis);
    assert_int_equal(axis->count, 1);
    assert_string_equal(axis->values[0], expected);
}

/* expected: numbers with blanks between them. */
static void assert_axis(const pal_block_t *block, const char *key, const char *expected)
{
    const pal_axis_t *axis = find_axis(block, key);
    char *end = (char *)expected;

    assert_non_null(axis);
    for (int32_t i = 0; i < axis->count; i++) {
        double value = strtod(end, &end);

        if (strtod(axis->values[i], NULL) != value)
            fail_msg("value %d of %s is %s, not %g", i, key, axis->values[i], value);
    }
    assert_string_equal(end, "");
}

static const char example[] =
    "sweep: quickstart\n"
    "world:   {kind: synthetic, facts: 300}\n"
    "model:   {size: nano}\n"
    "seed:    [0, 1]\n"
    "pretrain: {steps: 1500, lr: [1e-3, 3e-3], taught: 1}\n"
    "unlearn:\n"
    "  - {method: gd,  coefficient: {log: [0.03, 3, 5]}, lr: 1e-3, steps: 250}\n"
    "  - {method: rmu, coefficient: [1, 10, 100], layer: 1}\n"
    "attack:\n"
    "  - {kind: finetune, lr: [3e-4, 1e-3], steps: 120, holdout: [0, 1]}\n";

static void the_example_reads_as_written(void **unused)
{
    pal_config_t config;
    pal_error_t err;

    (void)unused;
    assert_int_equal(parse(example, &config, &err), PAL_OK);
    assert_string_equal(config.name, "quickstart");
    assert_string_equal(config.path, "c.yaml");
    assert_string_equal(config.text, example);
    assert_int_equal(config.controls, 1);
    assert_string_equal(config.world.id, "synthetic");
    assert_axis(&config.world, "facts", "300");
    assert_string_equal(config.base.id, "");
    assert_int_equal(config.base.count, 5);
    assert_text(&config.base, "size", "nano");
    assert_axis(&config.base, "seed", "0 1");
    assert_axis(&config.base, "lr", "0.001 0.003");
    assert_int_equal(find_axis(&config.base, "lr")->line, 5);
    assert_int_equal(config.unlearn_count, 2);
    assert_string_equal(config.unlearn[0].id, "gd");
    assert_int_equal(config.unlearn[0].line, 7);
    assert_axis(&config.unlearn[0], "coefficient", "0.03 0.0948683 0.3 0.948683 3");
    assert_axis(&config.unlearn[1], "coefficient", "1 10 100");
    assert_axis(&config.unlearn[1], "layer", "1");
    assert_int_equal(config.attack_count, 1);
    assert_axis(&config.attack[0], "holdout", "0 1");
    pal_config_free(&config);
}

static void other_ways_to_write(void **unused)
{
    pal_config_t config;
    pal_error_t err;

    (void)unused;
    assert_int_equal(parse("\xef\xbb\xbf# a comment\n"
                           "sweep: \"a_b-1\"\n"
                           "controls: false\n"
                           "attack: {kind: finetune, steps: {log: [10, 1000, 3]}}\n"
                           "seed: 9007199254740992\n"
                           "unlearn: {method: [gd, ria], lr: [0.5, 2.50, 1e-05]}\n"
                           "world:\n"
                           "  kind: facts\n"
                           "  file: 'facts \xc3\xa9.jsonl'\n",
                           &config, &err),
                     PAL_OK);
    assert_string_equal(config.name, "a_b-1");
    assert_int_equal(config.controls, 0);
    assert_axis(&config.attack[0], "steps", "10 100 1000");
    assert_axis(&config.base, "seed", "9007199254740992");
    assert_int_equal(config.unlearn_count, 2);
    assert_string_equal(config.unlearn[1].id, "ria");
    assert_axis(&config.unlearn[1], "lr", "0.5 2.5 1e-05");
    assert_text(&config.world, "file", "facts \xc3\xa9.jsonl");
    pal_config_free(&config);
}

static void faults_are_refused_by_line_and_key(void **unused)
{
    pal_config_t config, zero;
    pal_error_t err;

    (void)unused;
    memset(&zero, 0, sizeof zero);
    for (size_t i = 0; i < sizeof bad_configs / sizeof *bad_configs; i++) {
        assert_int_equal(parse(bad_configs[i].text, &config, &err), PAL_EINVAL);
        for (int j = 0; j < 4 && bad_configs[i].says[j]; j++)
            if (!strstr(err.text, bad_configs[i].says[j]))
                fail_msg("'%s' does not say \"%s\" of\n%s", err.text,
                         bad_configs[i].says[j], bad_configs[i].text);
        assert_memory_equal(&config, &zero, sizeof zero);
    }
}

static void zero_bytes_are_refused(void **unused)
{
    static const char text[] = HEAD ATTACK "seed: 1\0\n";
    pal_config_t config;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_config_parse("c.yaml", text, sizeof text - 1, &config, &err),
                     PAL_EINVAL);
    assert_non_null(strstr(err.text, "c.yaml:4:"));
}

/* before, then `times` times repeated, then after; malloc'ed. */
static char *repeat(const char *before, const char *repeated, size_t times,
                    const char *after)
{
    size_t n = strlen(repeated), used = strlen(before);
    char *text = malloc(used + n * times + strlen(after) + 1);

    assert_non_null(text);
    memcpy(text, before, used);
    for (size_t i = 0; i < times; i++, used += n)
        memcpy(text + used, repeated, n);
    strcpy(text + used, after);
    return text;
}

static void hostile_sizes_are_refused(void **unused)
{
    static const struct {
        const char *before, *repeated;
        size_t times;
        const char *after, *says;
    } files[] = {
        {HEAD ATTACK "seed: ", "[", 100000, "\n", "c.yaml:"},
        {HEAD ATTACK "seed: ", "{a: ", 100000, "\n", "c.yaml:"},
        {HEAD ATTACK "seed: ", "- ", 5000, "1\n", "c.yaml:"},
        {HEAD ATTACK "seed: [", "1,", 100000, "1]\n", "twice"},
        {HEAD ATTACK "model: {size: ", "x", 100000, "}\n", "100000 bytes"},
        {HEAD ATTACK "", "a: ", 100000, "1\n", "c.yaml:"},
        {HEAD ATTACK, "# long\n", PAL_CONFIG_MAX / 7, "\n", "at most"},
    };
    pal_config_t config;
    pal_error_t err;

    (void)unused;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *text =
            repeat(files[i].before, files[i].repeated, files[i].times, files[i].after);

        assert_int_equal(parse(text, &config, &err), PAL_EINVAL);
        if (!strstr(err.text, files[i].says))
            fail_msg("'%s' does not say '%s'", err.text, files[i].says);
        free(text);
    }
}

static void too_many_keys_are_refused(void **unused)
{
    char *text = malloc(40000);
    size_t used = 0;
    pal_config_t config;
    pal_error_t err;

    (void)unused;
    assert_non_null(text);
    for (int i = 0; i < 2000; i++)
        used += (size_t)snprintf(text + used, 40000 - used, "key%d: 1\n", i);
    assert_int_equal(parse(text, &config, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "c.yaml:1: a block of 2000 keys"));
    free(text);
}

/* Cut short anywhere or with any one byte changed, a config is read or refused: the
 * sanitizers watch. */
static void damaged_files_never_crash(void **unused)
{
    static const char bytes[] = {0,   '\t', '\n', ' ', '"', '&', '*', '-',    ':', '[',
                                 '{', '}',  '!',  '#', '%', '|', '>', '\xff', '9', 'e'};
    char text[sizeof example];
    pal_config_t config;
    pal_error_t err;
    int refused = 0;

    (void)unused;
    for (size_t i = 0; i < sizeof example - 1; i++) {
        if (pal_config_parse("c.yaml", example, i, &config, &err) == PAL_OK)
            pal_config_free(&config);
        for (size_t j = 0; j < sizeof bytes; j++) {
            memcpy(text, example, sizeof example);
            text[i] = bytes[j];
            err.text[0] = 0;
            if (pal_config_parse("c.yaml", text, sizeof text - 1, &config, &err) ==
                PAL_OK) {
                pal_config_free(&config);
                continue;
            }
            refused++;
            assert_int_equal(strncmp(err.text, "c.yaml:", 7), 0);
        }
    }
    assert_true(refused > 1000);
}

/* As editors of some systems write it. */
static void a_byte_order_mark_is_skipped(void **unused)
{
    static const char text[] = "\xEF\xBB\xBFsweep: s\nworld: {kind: synthetic}\n"
                               "attack: {kind: finetune}\n";
    pal_config_t config;
    pal_error_t err;

    (void)unused;
    assert_int_equal(parse(text, &config, &err), PAL_OK);
    assert_string_equal(config.name, "s");
    pal_config_free(&config);
    assert_int_equal(parse("\xEF\xBB\xBFswep: s\n", &config, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "c.yaml:1: unknown key 'swep'"));
    assert_int_equal(parse("\xEF\xBB\xBF", &config, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "c.yaml:1: the file is empty"));
}

static void files_are_read_or_refused(void **unused)
{
    char *text;
    size_t length;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_file_read("no/such.yaml", &text, &length, &err), PAL_ENOENT);
    assert_string_equal(err.text, "no/such.yaml: no such file");
    assert_int_equal(pal_file_read("/dev/null/x", &text, &length, &err), PAL_ENOENT);
    assert_string_equal(err.text, "/dev/null/x: no such file");
    assert_int_equal(pal_file_read("/", &text, &length, &err), PAL_EINVAL);
    assert_string_equal(err.text, "/: not a file but a folder");
    assert_int_equal(pal_file_read("/dev/zero", &text, &length, &err), PAL_EINVAL);
    assert_string_equal(err.text, "/dev/zero: not a file but a pipe or device");
    assert_int_equal(mkfifo("pipe.yaml", 0666), 0);
    assert_int_equal(pal_file_read("pipe.yaml", &text, &length, &err), PAL_EINVAL);
    assert_string_equal(err.text, "pipe.yaml: not a file but a pipe or device");
    assert_int_equal(unlink("pipe.yaml"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_reads_as_written),
        cmocka_unit_test(other_ways_to_write),
        cmocka_unit_test(faults_are_refused_by_line_and_key),
        cmocka_unit_test(zero_bytes_are_refused),
        cmocka_unit_test(hostile_sizes_are_refused),
        cmocka_unit_test(too_many_keys_are_refused),
        cmocka_unit_test(damaged_files_never_crash),
        cmocka_unit_test(a_byte_order_mark_is_skipped),
        cmocka_unit_test(files_are_read_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
