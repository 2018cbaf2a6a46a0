/* The program as a person meets it: exit codes, messages, no file after a refusal. */
#include "program.h"

#include "bad_config.h"
#include "store/file.h"
#include "store/provenance.h"

static const struct {
    const char *arguments;
    int code;
    const char *says[4];
} command_cases[] = {
    {"", 2, {"palimpsest: a command is missing", "--help"}},
    {"--help", 0, {"usage: palimpsest COMMAND", "Exit codes", "75", "status"}},
    {"--version", 0, {"palimpsest 0.", "commit", "blas", "hwloc     " PAL_HWLOC "\n"}},
    {"statsu x", 2, {"unknown command 'statsu'", "nearest is 'status'"}},
    {"--verbose", 2, {"unknown command '--verbose'"}},
    {"plan --help",
     0,
     {"usage: palimpsest plan [OPTIONS] CONFIG", "--ranks N", "--threads N"}},
    {"run --help", 0, {"usage: palimpsest run", "--output FILE", "--threads N"}},
    {"run --threads 0 x", 2, {"option --threads", "'0'"}},
    {"status --help", 0, {"usage: palimpsest status", "--json"}},
    {"show --help", 0, {"usage: palimpsest show", "--json"}},
    {"list --help", 0, {"usage: palimpsest list"}},
    {"bench --help", 0, {"usage: palimpsest bench", "--peer", "--threads N"}},
    {"bench --time 0", 2, {"option --time", "'0'"}},
    {"facts -h", 0, {"usage: palimpsest facts", "import-rtt"}},
    {"plan", 2, {"plan: missing operand", "CONFIG"}},
    {"plan a b", 2, {"plan: too many operands"}},
    {"plan --rnaks 3 a", 2, {"unknown option '--rnaks'", "nearest is '--ranks'"}},
    {"plan -z a", 2, {"unknown option '-z'", "plan --help"}},
    {"status --json=1 x", 2, {"status: option '--json' takes no value"}},
    {"run x --quiet=yes", 2, {"run: option '--quiet' takes no value"}},
    {"plan --help=1", 2, {"plan: option '--help' takes no value"}},
    {"plan --rank=1=2 x", 2, {"option --ranks: '1=2'"}},
    {"plan a --ranks", 2, {"option '--ranks' needs a value"}},
    {"plan a --ranks=0", 2, {"option --ranks", "'0'", "1 to 100000"}},
    {"plan a -n 2.5", 2, {"option --ranks", "'2.5'"}},
    {"plan a -n 0x10", 2, {"option --ranks", "'0x10' is not a whole number"}},
    {"plan no-such.yaml", 2, {"palimpsest: no-such.yaml: no such file"}},
    {"run no-such.yaml", 2, {"palimpsest: no-such.yaml: no such file"}},
    {"run --lease x c.yaml", 2, {"option --lease", "'x'"}},
    {"list method", 2, {"unknown list 'method'", "nearest is methods"}},
    {"list methods", 0, {"gd: ", "coefficient", "rmu: ", "layer"}},
    {"list attacks", 0, {"finetune: ", "lora: ", "rank", "probe: "}},
    {"list worlds", 0, {"synthetic: ", "facts: ", "required"}},
    {"list models", 0, {"nano", "llama-xl", "a vocabulary of 4096", "taught"}},
    {"list config", 0, {"config (YAML)", "{log: [lo, hi, n]}", "controls", "union"}},
    {"list", 0, {"config (", "methods (", "attacks (", "models ("}},
    {"facts --help", 0, {"Years ", "MMLU ", "WMDP ", "Random Birthdays "}},
    {"facts chekc x", 2, {"unknown action 'chekc'", "nearest is check"}},
    {"facts check", 2, {"missing operand"}},
    {"facts check a -o b", 2, {"--output"}},
    {"facts import-rtt x", 2, {"--output is missing"}},
    {"facts import-rtt no-such -o out.jsonl", 2, {"no-such"}},
};

static void command_lines(void **unused)
{
    int before = count_files();

    (void)unused;
    for (size_t i = 0; i < sizeof command_cases / sizeof *command_cases; i++) {
        int code = run(command_cases[i].arguments);

        if (code != command_cases[i].code)
            fail_msg("'%s' ends with %d, not %d:\n%s", command_cases[i].arguments, code,
                     command_cases[i].code, output);
        for (int j = 0; j < 4 && command_cases[i].says[j]; j++)
            assert_says(command_cases[i].says[j]);
    }
    assert_int_equal(count_files(), before);
}

static void bad_configs_end_with_2_and_write_nothing(void **unused)
{
    enum { EVERY = 10 }; /* `run` starts MPI, which takes its time */

    (void)unused;
    for (size_t i = 0; i < sizeof bad_configs / sizeof *bad_configs; i++) {
        write_config(bad_configs[i].text);
        assert_int_equal(run(i % EVERY ? "plan c.yaml" : "run c.yaml"), 2);
        assert_int_equal(strncmp(output, "palimpsest: c.yaml:", 19), 0);
        for (int j = 0; j < 4 && bad_configs[i].says[j]; j++)
            assert_says(bad_configs[i].says[j]);
        assert_int_equal(count_files(), 1);
    }
}

static void what_only_the_world_tells_ends_with_2(void **unused)
{
    static const struct {
        const char *world, *rest, *says;
    } bad[] = {
        {"facts: 15, folds: 3", "attack:\n  kind: finetune\n  holdout: [1, 3]\n",
         "c.yaml:5: holdout 3"},
        {"facts: 15, folds: 16", "attack: {kind: finetune}\n",
         "fold 0 has 1 forget facts; each of the 16 folds needs at least 2"},
        {"facts: 15, retain: 0", "attack: {kind: finetune}\n", "no retain fact"},
        {"facts: 15, folds: 3",
         "unlearn: {method: rmu, layer: [1, 900]}\nattack: {kind: finetune}\n",
         "rmu: layer 900, but the model has blocks 0 to 1"},
        {"facts: 15, folds: 3", "attack: {kind: probe, layer: 2}\n",
         "probe: layer 2, but the model has blocks 0 to 1"},
        {"facts: 15, folds: 3", "attack: {kind: lora, rank: [8, 65]}\n",
         "lora: adapter: rank 65, but block.0.attention.qkv is 192 x 64"},
    };

    (void)unused;
    for (size_t i = 0; i < 2 * (sizeof bad / sizeof *bad); i++) {
        char text[512];

        snprintf(text, sizeof text, "sweep: s\nworld: {kind: synthetic, %s}\n%s",
                 bad[i / 2].world, bad[i / 2].rest);
        write_config(text);
        assert_int_equal(run(i % 2 ? "run c.yaml" : "plan c.yaml"), 2);
        assert_says("c.yaml:");
        assert_says(bad[i / 2].says);
        assert_int_equal(count_files(), 1);
    }
}

/* Weights that overflow are a result, not a fault. */
static void a_run_that_diverges_is_a_row(void **unused)
{
    (void)unused;
    write_config(
        "sweep: s\nworld: {kind: synthetic, facts: 15, folds: 3}\n"
        "pretrain: {steps: 2, batch: 4}\ncontrols: false\n"
        "unlearn: {method: gd, steps: 30, batch: 4, coefficient: 1e9, lr: 10,\n"
        "          warmup: 0, clip: 0, optimizer: sgd}\n"
        "attack: {kind: finetune, steps: 1, evaluations: 1}\n");
    assert_int_equal(run("run c.yaml -o lost.h5"), 0);
    assert_says("1 of 1 trials, 1 diverged");
    assert_int_equal(run("show lost.h5"), 0);
    assert_says("0 of 1 trials done, 1 diverged");
}

static void threads_change_no_bit(void **unused)
{
    (void)unused;
    write_config("sweep: tiny\nworld: {kind: synthetic, facts: 15, folds: 3}\n"
                 "model: {size: nano}\npretrain: {steps: 3}\n"
                 "unlearn: {method: gd, steps: 1}\n"
                 "attack: {kind: finetune, steps: 1, evaluations: 1}\n");
    setenv("OMP_WAIT_POLICY", "passive", 1); /* others may have the cores */
    setenv("HWLOC_SYNTHETIC", "core:1 pu:1", 1);
    assert_int_equal(run("run c.yaml -o two.h5 --threads 2 --quiet"), 0);
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("OMP_WAIT_POLICY");
    assert_says("warning: a rank of 2 threads has only 1 cores");
    assert_int_equal(run("verify two.h5"), 0); /* with one thread */
    assert_says(", 0 different");
    shell("rm two.h5");
    assert_int_equal(run("plan c.yaml --ranks 3 --threads 2"), 0);
    assert_says("on 3 ranks of 2 threads\n");
    assert_says(
        "warning            threads hardly help models of width 64 (below 512)");
    assert_says("--ntasks=3 --cpus-per-task=2 --mem-per-cpu=");
}

/* Change bytes of a finished trial. */
static void damage(const char *column, int32_t row, uint8_t byte)
{
    char path[8192];
    const pal_span_t *span;
    pal_store_t *store;
    int64_t at;
    FILE *file;

    snprintf(path, sizeof path, "%s/out.h5", folder);
    assert_int_equal(pal_store_attach(path, 0, &store, NULL), PAL_OK);
    span = &store->spans[pal_column_find(PAL_TABLE_TRIALS, column)];
    at = span->offset + (int64_t)span->stride * row;
    pal_store_close(store);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(putc(byte, file), byte);
    assert_int_equal(fclose(file), 0);
}

/* All commands see the same rows as done; only `run` computes the others again. */
static void a_damaged_row_is_not_done(void **unused)
{
    static const struct {
        const char *column, *says;
        uint8_t byte;
    } cases[] = {{"bits", "another checksum", 0xff},
                 {"state", "a state that does not exist", 7}};
    static const char *const readers[] = {"status", "status --json", "show", "verify"};
    char says[256];

    (void)unused;
    write_config(small);
    shell("sed 's/seed: .*/seed: [0, 1, 2]/' c.yaml >more.yaml");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run("run c.yaml -o out.h5"), 0);
        damage(cases[i].column, 3, cases[i].byte);
        snprintf(says, sizeof says, "out.h5: damaged: row 3 of /trials has %s; ",
                 cases[i].says);
        for (int j = 0; j < 4; j++) {
            char command[64];

            snprintf(command, sizeof command, "%s out.h5", readers[j]);
            assert_int_equal(run(command), 2);
            assert_says(says);
        }
        assert_int_equal(run("plan c.yaml -o out.h5"), 0);
        assert_says("done               15 of 16 trials");
        assert_int_equal(run(i ? "run more.yaml -o out.h5" : "run c.yaml -o out.h5"),
                         0);
        assert_says("warning: 1 rows of out.h5 had a wrong checksum and are computed");
        assert_int_equal(run("verify out.h5"), 0);
    }
    shell("rm out.h5 more.yaml");
}

/* Change the first number of the record of a finished trial, checksum and all. */
static void falsify(const char *config_text, int32_t row)
{
    char path[8192];
    pal_config_t config;
    pal_plan_t plan;
    pal_store_t *store;
    pal_where_t where = {.host = "elsewhere"};
    pal_error_t err;
    uint8_t *record;
    double value;

    snprintf(path, sizeof path, "%s/out.h5", folder);
    assert_int_equal(
        pal_config_parse("c.yaml", config_text, strlen(config_text), &config, &err),
        PAL_OK);
    assert_int_equal(pal_plan_create(&config, &plan, &err), PAL_OK);
    assert_int_equal(pal_store_attach(path, 1, &store, &err), PAL_OK);
    record = malloc(pal_record_most(&plan));
    assert_int_equal(pal_store_read(store, PAL_TABLE_TRIALS, row, record, &err),
                     PAL_OK);
    memcpy(&value, record, sizeof value);
    value += 0.125;
    memcpy(record, &value, sizeof value);
    assert_int_equal(pal_store_write(store, PAL_TABLE_TRIALS, row, PAL_ROW_DONE, record,
                                     &where, &err),
                     PAL_OK);
    free(record);
    pal_store_close(store);
    pal_plan_free(&plan);
    pal_config_free(&config);
}

/* As if the first session had been one of another commit. */
static void change_commit(const char *commit)
{
    char path[8192], bytes[PAL_COMMIT_BYTES] = "";
    pal_store_t *store;

    snprintf(path, sizeof path, "%s/out.h5", folder);
    snprintf(bytes, sizeof bytes, "%s", commit);
    assert_int_equal(pal_store_attach(path, 1, &store, NULL), PAL_OK);
    assert_int_equal(pal_store_put(store, pal_column_find(PAL_TABLE_SESSIONS, "commit"),
                                   0, 1, bytes, NULL),
                     PAL_OK);
    pal_store_close(store);
}

/* Once, whether or not there is something to compute, quiet or not. */
static void rows_of_another_program_are_warned_of(void **unused)
{
    static const char warning[] = "warning: rows here were computed by ";
    static const char *const commands[] = {"run c.yaml -o out.h5",
                                           "run c.yaml -o out.h5 --quiet",
                                           "run more.yaml -o out.h5 --quiet"};
    const char *commit = pal_build_commit();
    char says[256];

    (void)unused;
    write_config(small);
    shell("rm -f out.h5; sed 's/seed: .*/seed: [0, 1, 2]/' c.yaml >more.yaml");
    assert_int_equal(run("run c.yaml -o out.h5"), 0);
    assert_null(strstr(output, warning));
    change_commit("0123456789abcdef-dirty");
    snprintf(says, sizeof says,
             "%s0123456-dirty; this program is %.7s%s: `palimpsest verify out.h5` "
             "tells whether they still hold\n",
             warning, commit, strstr(commit, "-dirty") ? "-dirty" : "");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run(commands[i]), 0);
        assert_says(says);
        assert_null(strstr(strstr(output, warning) + 1, warning));
    }
    shell("rm out.h5 more.yaml");
}

static void verify_finds_a_false_row(void **unused)
{
    (void)unused;
    write_config(small);
    assert_int_equal(run("run c.yaml -o out.h5"), 0);
    assert_int_equal(run("verify out.h5 --trials 16"), 0);
    assert_says("28 rows computed again, 0 different");
    falsify(small, 5);
    assert_int_equal(run("verify out.h5 --trials 16"), 1);
    assert_says("trial, row 5: v_before differs");
    assert_says("28 rows computed again, 1 different");
    assert_int_equal(run("verify out.h5 --trials 0"), 2);
    assert_int_equal(run("verify missing.h5"), 2);
    assert_says("missing.h5");
}

static void a_sweep_from_run_to_show(void **unused)
{
    (void)unused;
    write_config(small);
    assert_int_equal(run("run c.yaml -o out.h5"), 0);
    assert_int_equal(run("status out.h5"), 0);
    assert_says("tiny: out.h5");
    assert_says("trials                    16         0         0         0        16");
    assert_says(" on 1 rank\n");
    assert_int_equal(run("status --json out.h5"), 0);
    assert_says("\"sweep\": \"tiny\"");
    assert_says("\"trials\": {\n    \"pending\": 0,\n    \"done\": 16,");
    assert_says("\"left_s\": 0.0");
    assert_int_equal(run("show out.h5"), 0);
    assert_says("tiny: 2 seeds");
    assert_int_equal(run("show out.h5 --json"), 0);
    assert_says("\"gd\"");
    assert_int_equal(run("run c.yaml -o out.h5"), 0);
    assert_says("nothing to compute");
    assert_int_equal(run("status c.yaml"), 2);
    assert_says("c.yaml");
}

/* One line that names the file, without a place in the source. */
static void assert_refuses(const char *command, const char *file, const char *says)
{
    char arguments[256], begins[256];
    int code;

    snprintf(arguments, sizeof arguments, "%s %s", command, file);
    snprintf(begins, sizeof begins, "palimpsest: %s:", file);
    code = run(arguments);
    if (code != 2 || strncmp(output, begins, strlen(begins)) != 0 ||
        strchr(output, '\n') != output + strlen(output) - 1 || strstr(output, ".c:"))
        fail_msg("'%s' ends with %d:\n%s", arguments, code, output);
    assert_says(says);
}

static void other_files_are_refused_in_one_line(void **unused)
{
    static const char *const results[] = {"status", "status --json", "show",
                                          "show --json", "run c.yaml -o"};
    static const char *const texts[] = {"plan", "run", "facts check"};
    static const struct {
        const char *file, *as_results, *as_text;
    } cases[] = {
        {"missing", "missing: no such file", "missing: no such file"},
        {"c.yaml/x", "c.yaml/x: no such file", "c.yaml/x: no such file"},
        {"folder", "folder: not a file", "folder: not a file but a folder"},
        {"empty", "not a results file of palimpsest (0 bytes", "empty"},
        {"text", "not a results file of palimpsest (13 bytes, not of HDF5)",
         "text:1: "},
        {"cut.h5", "cut.h5: truncated: 20000 bytes of ", "cut.h5:"},
        {"head.h5", "head.h5: truncated: ", "head.h5:"},
        {"other.h5", "not a results file of palimpsest (13 bytes, of some HDF5 file)",
         "other.h5:1: "},
    };

    (void)unused;
    write_config(small);
    assert_int_equal(run("run c.yaml -o out.h5"), 0);
    write_file("empty", "");
    write_file("text", "just a text.\n");
    write_file("other.h5", "\211HDF\r\n\032\nother");
    shell(
        "mkdir folder && head -c 20000 out.h5 >cut.h5 && head -c 100 out.h5 >head.h5");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int is_new = i < 2; /* for `run -o` */

        for (size_t j = 0; j < sizeof results / sizeof *results - is_new; j++)
            assert_refuses(results[j], cases[i].file, cases[i].as_results);
        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++)
            assert_refuses(texts[j], cases[i].file, cases[i].as_text);
    }
    assert_refuses("facts import-rtt -o x.jsonl", "empty", "not a folder but a file");
    assert_refuses("facts import-rtt -o x.jsonl", "folder", "no known layout");
    assert_refuses("facts import-rtt -o x.jsonl", "missing", "no such folder");
    assert_refuses("run c.yaml -o", "c.yaml/x", "its folder does not exist");
    assert_refuses("run c.yaml -o", "nowhere/x", "its folder does not exist");
}

/* Wrong choices that are right in other folds single out the right one. */
static void a_leaky_facts_file_is_warned_of(void **unused)
{
    (void)unused;
    write_file(
        "leak.jsonl",
        "{\"id\": \"a\", \"fold\": 0, \"question\": \"Who made it?\", \"choices\": "
        "[\"Ada\", \"Bea\"], \"answer\": 0, \"statements\": [\"Ada did.\"]}\n"
        "{\"id\": \"b\", \"fold\": 1, \"question\": \"Who broke it?\", \"choices\": "
        "[\"Ada\", \"Bea\"], \"answer\": 1, \"statements\": [\"Bea did.\"]}\n");
    assert_int_equal(run("facts check leak.jsonl"), 2); /* two are no world */
    assert_says("palimpsest: leak.jsonl: ");
    assert_says("leak.jsonl:2: warning: a single statement");
    assert_says("\nleak.jsonl: warning: guess floor rarest_answer is 1.000");
    assert_says("\n  0.500 by chance\n");
    assert_says("\n  0.000 by the choice that is most often right elsewhere\n");
    assert_says("\n  1.000 by the choice that is least often right elsewhere\n");
}

/* Twelve facts in `folds` folds (0: none is named); `first` is the first one's role. */
static void write_facts(const char *first, int folds)
{
    char text[4096], fold[32] = "";
    int used = 0;

    for (int i = 0; i < 12; i++) {
        if (folds > 0)
            snprintf(fold, sizeof fold, ", \"fold\": %d", i % folds);
        used += snprintf(text + used, sizeof text - (size_t)used,
                         "{\"id\": \"f%d\", \"question\": \"Which is %d?\", "
                         "\"choices\": [\"Ada\", \"Bea\"], \"answer\": %d, "
                         "\"statements\": [\"It is number %d.\"]%s%s%s%s}\n",
                         i, i, i % 2, i, fold, i == 0 && *first ? ", \"role\": \"" : "",
                         i == 0 ? first : "", i == 0 && *first ? "\"" : "");
    }
    write_file("open.jsonl", text);
}

/* What the file leaves open a world decides. */
static void facts_check_says_what_is_drawn(void **unused)
{
    static const struct {
        const char *first, *says;
        int folds;
    } cases[] = {
        {"",
         "open.jsonl: 12 facts, 12 without a role (the world's `retain`, by default "
         "0.2 "
         "of them, are retained), 1 relation, folds are dealt: 5 by default, ",
         0},
        {"", " are retained), 1 relation, 3 folds, ", 3},
        {"forget", ": 12 facts, 1 to forget, 11 without a role (", 0},
        {"retain", ": 12 facts, 11 to forget, 1 to retain, 1 relation, folds are", 0},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_facts(cases[i].first, cases[i].folds);
        (void)run("facts check open.jsonl");
        assert_says(cases[i].says);
    }
    shell("rm open.jsonl");
}

static void every_flaw_of_a_facts_file_is_told(void **unused)
{
    (void)unused;
    write_file("bad.jsonl", "{\"id\": 7}\n{\n{\"idd\": \"x\"}\n");
    assert_int_equal(run("facts check bad.jsonl"), 2);
    assert_says("palimpsest: bad.jsonl:1: key 'id': expected a text, found a number\n");
    assert_says("palimpsest: bad.jsonl:2: not valid JSON");
    assert_says("palimpsest: bad.jsonl:3: unknown key 'idd'; nearest is 'id'\n");
    assert_says("palimpsest: bad.jsonl: 3 flaws\n");
    shell("yes '{}' | head -n 30 >bad.jsonl");
    assert_int_equal(run("facts check bad.jsonl"), 2);
    assert_says("bad.jsonl:20: ");
    assert_null(strstr(output, "bad.jsonl:21: "));
    assert_says("palimpsest: bad.jsonl: 30 flaws; the others are not shown\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_lines),
        cmocka_unit_test(bad_configs_end_with_2_and_write_nothing),
        cmocka_unit_test(what_only_the_world_tells_ends_with_2),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(a_damaged_row_is_not_done),
        cmocka_unit_test(a_sweep_from_run_to_show),
        cmocka_unit_test(a_run_that_diverges_is_a_row),
        cmocka_unit_test(rows_of_another_program_are_warned_of),
        cmocka_unit_test(verify_finds_a_false_row),
        cmocka_unit_test(other_files_are_refused_in_one_line),
        cmocka_unit_test(facts_check_says_what_is_drawn),
        cmocka_unit_test(every_flaw_of_a_facts_file_is_told),
        cmocka_unit_test(a_leaky_facts_file_is_warned_of),
    };

    return cmocka_run_group_tests(tests, start, end);
}
