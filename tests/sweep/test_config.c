#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"
#include "document.h"

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

/* Every line of a config around one faulty line or block. */
#define WORLD "world: {kind: synthetic}\n"
#define ATTACK "attack: {kind: finetune}\n"
#define UNLEARN "unlearn: {method: gd}\n"
#define HEAD "sweep: s\n" WORLD

static const struct {
    const char *text, *says[4];
} bad[] = {
    {"", {"c.yaml:1:", "empty", "sweep"}},
    {"# only a comment\n", {"c.yaml:1:", "empty"}},
    {"just words\n", {"c.yaml:1:", "expected 'key: value'"}},
    {"- sweep\n", {"c.yaml:1:", "not a list"}},
    {WORLD UNLEARN ATTACK, {"c.yaml:1:", "'sweep' is missing"}},
    {"sweep: s\n" UNLEARN ATTACK, {"c.yaml:1:", "'world' is missing"}},
    {HEAD UNLEARN, {"c.yaml:1:", "'attack' is missing"}},
    {HEAD ATTACK "controls: false\n", {"c.yaml:1:", "'unlearn' is missing"}},
    {HEAD ATTACK "controls: maybe\n", {"c.yaml:4:", "'maybe'", "true nor false"}},
    {HEAD ATTACK "controls: [true]\n", {"c.yaml:4:", "'controls'", "one value"}},
    {HEAD ATTACK "unlern: {method: gd}\n",
     {"c.yaml:4:", "unknown key 'unlern'", "nearest is 'unlearn'"}},
    {HEAD ATTACK "zzzzzzzz: 1\n", {"c.yaml:4:", "unknown key 'zzzzzzzz'", "known: sweep"}},
    {HEAD ATTACK "<<: {a: 1}\n", {"c.yaml:4:", "unknown key '<<'"}},
    {"sweep: a/b\n" WORLD ATTACK, {"c.yaml:1:", "'a/b'", "letters"}},
    {"sweep: -a\n" WORLD ATTACK, {"c.yaml:1:", "'-a'"}},
    {"sweep:\n" WORLD ATTACK, {"c.yaml:1:", "'sweep' has no value"}},
    {"sweep: s\nsweep: t\n" WORLD ATTACK, {"c.yaml:2:", "'sweep' is given twice"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: 1, lr: 2}\n",
     {"c.yaml:4:", "'lr' is given twice"}},
    {HEAD ATTACK "unlearn:\n  - {method: gd,\n     coeficient: 3}\n",
     {"c.yaml:6:", "'coeficient'", "unlearn block 'gd'", "nearest is 'coefficient'"}},
    {HEAD ATTACK "unlearn: {method: gd, layer: 3}\n",
     {"c.yaml:4:", "'layer'", "unlearn block 'gd'"}},
    {HEAD ATTACK "unlearn: {method: gdd}\n", {"c.yaml:4:", "'gdd'", "nearest is gd"}},
    {HEAD ATTACK "unlearn: {lr: 1}\n", {"c.yaml:4:", "without the key 'method'"}},
    {HEAD ATTACK "unlearn: {method: [gd, gd]}\n", {"c.yaml:4:", "'method'", "'gd' twice"}},
    {HEAD ATTACK "unlearn: {method: []}\n", {"c.yaml:4:", "'method'", "empty list"}},
    {HEAD ATTACK "unlearn: {method: {a: b}}\n", {"c.yaml:4:", "'method'", "one value"}},
    {HEAD ATTACK "unlearn: []\n", {"c.yaml:4:", "'unlearn' is an empty list"}},
    {HEAD ATTACK "unlearn: gd\n", {"c.yaml:4:", "'unlearn'", "block of keys", "a text"}},
    {HEAD ATTACK "unlearn: [gd]\n", {"c.yaml:4:", "'unlearn'", "block of keys"}},
    {HEAD ATTACK "unlearn: [[{method: gd}]]\n", {"c.yaml:4:", "'unlearn'", "a list"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: fast}\n",
     {"c.yaml:4:", "'lr'", "'fast' is not a number"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: 1e-3x}\n", {"c.yaml:4:", "'lr'", "'1e-3x'"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: .nan}\n", {"c.yaml:4:", "'lr'", "'.nan'"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: inf}\n", {"c.yaml:4:", "'lr'", "'inf'"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: 11}\n",
     {"c.yaml:4:", "'lr'", "11 is outside 0 to 10"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: -1}\n", {"c.yaml:4:", "'lr'", "-1 is outside"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: }\n", {"c.yaml:4:", "'lr' has no value"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: []}\n", {"c.yaml:4:", "'lr'", "empty list"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: [[1]]}\n",
     {"c.yaml:4:", "'lr'", "not a list"}},
    {HEAD ATTACK "unlearn:\n  method: gd\n  lr:\n    - 1\n    - 0.5\n    - 10e-1\n",
     {"c.yaml:6:", "'lr'", "'1' twice"}},
    {HEAD ATTACK "unlearn: {method: gd, steps: 1.5}\n",
     {"c.yaml:4:", "'steps'", "1.5 is not a whole number"}},
    {HEAD ATTACK "unlearn: {method: gd, schedule: cosin}\n",
     {"c.yaml:4:", "'schedule'", "'cosin' is none of cosine|constant"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: {log: [1e-4, 1e-2]}}\n",
     {"c.yaml:4:", "'lr'", "{log: [lo, hi, n]}"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: {log: [0, 1, 3]}}\n",
     {"c.yaml:4:", "'lr'", "0 < lo < hi"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: {log: [1, 0.1, 3]}}\n",
     {"c.yaml:4:", "'lr'", "0 < lo < hi"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: {log: [0.1, 1, 1]}}\n",
     {"c.yaml:4:", "'lr'", "n is not a whole number"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: {log: [0.1, 1, 1e9]}}\n",
     {"c.yaml:4:", "'lr'", "n from 2 to 10000"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: {log: [0.1, 100, 3]}}\n",
     {"c.yaml:4:", "'lr'", "100 is outside"}},
    {HEAD ATTACK "unlearn: {method: gd, lr: {lin: [0.1, 1, 3]}}\n",
     {"c.yaml:4:", "'lr'", "{log: [lo, hi, n]}"}},
    {HEAD ATTACK "unlearn: {method: gd, steps: {log: [1, 3, 9]}}\n",
     {"c.yaml:4:", "'steps'", "twice"}},
    {HEAD ATTACK "unlearn: {method: gd, schedule: {log: [1, 3, 9]}}\n",
     {"c.yaml:4:", "'schedule'", "takes text"}},
    {HEAD ATTACK "seed: -1\n", {"c.yaml:4:", "'seed'", "-1 is outside"}},
    {HEAD ATTACK "seed: 9007199254740993000\n", {"c.yaml:4:", "'seed'"}},
    {HEAD ATTACK "seed: [1, 2, 01]\n", {"c.yaml:4:", "'seed'", "'1' twice"}},
    {HEAD ATTACK "seed: {a: 1}\n", {"c.yaml:4:", "'seed'", "{log:"}},
    {HEAD ATTACK "model: nano\n", {"c.yaml:4:", "'model'", "block of keys"}},
    {HEAD ATTACK "model: {sise: nano}\n",
     {"c.yaml:4:", "'sise'", "'model'", "nearest is 'size'"}},
    {HEAD ATTACK "pretrain: {teach: 1}\n", {"c.yaml:4:", "'teach'", "'pretrain'"}},
    {HEAD ATTACK "pretrain: {taught: 1.5}\n", {"c.yaml:4:", "'taught'", "outside 0 to 1"}},
    {"sweep: s\nworld: {facts: 3}\n" ATTACK, {"c.yaml:2:", "without the key 'kind'"}},
    {"sweep: s\nworld: {kind: sintetic}\n" ATTACK,
     {"c.yaml:2:", "'sintetic'", "synthetic"}},
    {"sweep: s\nworld: {kind: facts}\n" ATTACK,
     {"c.yaml:2:", "world block 'facts'", "needs the key 'file'"}},
    {"sweep: s\nworld: {kind: facts, file: ''}\n" ATTACK,
     {"c.yaml:2:", "'file' has no value"}},
    {"sweep: s\nworld: [{kind: synthetic}, {kind: synthetic}]\n" ATTACK,
     {"c.yaml:2:", "'world' is one block"}},
    {HEAD "attack: {kind: finetune, lr: 1e-3, evaluations: 65}\n",
     {"c.yaml:3:", "'evaluations'", "65 is outside 1 to 64"}},
    {HEAD "attack: {method: finetune}\n", {"c.yaml:3:", "without the key 'kind'"}},
    {HEAD "attack: {kind: finetun}\n", {"c.yaml:3:", "'finetun'", "finetune"}},
    {HEAD ATTACK "unlearn: {method: gd\n", {"c.yaml:5:"}},
    {HEAD ATTACK "unlearn:\n\t- {method: gd}\n", {"c.yaml:5:"}},
    {HEAD ATTACK "---\nsweep: t\n", {"c.yaml:5:", "second document"}},
    {HEAD ATTACK "seed: !!int 3\n", {"c.yaml:4:", "tag"}},
    {HEAD ATTACK "seed: !mine 3\n", {"c.yaml:4:", "tag '!mine'"}},
    {HEAD ATTACK "seed: &a 3\nmodel: {words: *a}\n", {"c.yaml:4:", "'&a'", "anchors"}},
    {HEAD ATTACK "model: {size: *nobody}\n", {"c.yaml:4:", "'*nobody'", "aliases"}},
    {HEAD ATTACK "? [a]\n: 1\n", {"c.yaml:4:", "a key must be a text"}},
    {HEAD ATTACK "model: {size: \"na\\0no\"}\n", {"c.yaml:4:", "control character"}},
    {HEAD ATTACK "model: {size: \"na\\nno\"}\n", {"c.yaml:4:", "line break"}},
    {HEAD ATTACK "# caf\xe9\n", {"c.yaml:4:", "UTF-8"}},
    {HEAD ATTACK "# bell \x07\n", {"c.yaml:4:", "control characters", "UTF-8"}},
};

static void faults_are_refused_by_line_and_key(void **unused)
{
    pal_config_t config, zero;
    pal_error_t err;

    (void)unused;
    memset(&zero, 0, sizeof zero);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i].text, &config, &err), PAL_EINVAL);
        for (int j = 0; j < 4 && bad[i].says[j]; j++)
            if (!strstr(err.text, bad[i].says[j]))
                fail_msg("'%s' does not say \"%s\" of\n%s", err.text, bad[i].says[j],
                         bad[i].text);
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
        char *text = repeat(files[i].before, files[i].repeated, files[i].times,
                            files[i].after);

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
    static const char bytes[] = {0, '\t', '\n', ' ', '"', '&', '*', '-', ':', '[', '{',
                                 '}', '!', '#', '%', '|', '>', '\xff', '9', 'e'};
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

static void files_are_read_or_refused(void **unused)
{
    char *text;
    size_t length;
    pal_error_t err;

    (void)unused;
    assert_int_equal(pal_file_read("no/such.yaml", &text, &length, &err), PAL_ENOENT);
    assert_non_null(strstr(err.text, "no/such.yaml: No such file"));
    assert_int_equal(pal_file_read("/", &text, &length, &err), PAL_EIO);
    assert_non_null(strstr(err.text, "/: Is a directory"));
    assert_int_equal(pal_file_read("/dev/zero", &text, &length, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "/dev/zero:1:"));
    assert_int_equal(pal_file_read("/dev/null", &text, &length, &err), PAL_OK);
    assert_int_equal(length, 0);
    assert_string_equal(text, "");
    free(text);
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
        cmocka_unit_test(files_are_read_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
