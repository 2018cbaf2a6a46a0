#include "world_util.h"

#include <jansson.h>

#include "base/rng.h"
#include "world/facts_file.h"

/* Files of an import folder are written into the folder of the test, one layout at a
 * time; this removes what the one before left. */
static int clear(void **state)
{
    (void)state;
    count_files(".", 1);
    return 0;
}

static void import_ok(heard_t *heard)
{
    pal_facts_report_t report;
    pal_error_t err = {""};

    if (pal_facts_import_rtt(".", "out.jsonl", hear, heard, &err) != PAL_OK)
        fail_msg("%s", err.text);
    if (pal_facts_check("out.jsonl", NULL, NULL, &report, &err) != PAL_OK)
        fail_msg("%s", err.text);
}

/* These and no more, all of line 0. */
static void assert_heard(const heard_t *heard, const char *const *lines, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        if (!strstr(heard->text, lines[i]))
            fail_msg("'%s' is not in\n%s", lines[i], heard->text);
    for (const char *p = heard->text; *p; p = strchr(p, '\n') + 1, count++)
        assert_int_equal(strncmp(p, "0: ", 3), 0);
    assert_int_equal(count, n);
}

/* Line `number` (from 0) of out.jsonl as JSON; caller frees. */
static json_t *out_row(int number)
{
    char *text = read_text("out.jsonl"), *line = text;
    json_t *row;

    while (number-- > 0)
        line = strchr(line, '\n') + 1;
    row = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    free(text);
    assert_non_null(row);
    return row;
}

static void assert_row(int number, const char *expected)
{
    json_t *row = out_row(number), *wanted = json_loads(expected, 0, NULL);
    char *text = json_dumps(row, 0);

    assert_non_null(wanted);
    if (!json_equal(row, wanted))
        fail_msg("line %d is %s", number + 1, text);
    free(text);
    json_decref(row);
    json_decref(wanted);
}

/* --- Years: texts are split otherwise than questions --- */

#define ASK(event, answer)                                                             \
    "{\"question\": \"When did the following event happen?\\n" event                   \
    "\", \"choices\": "                                                                \
    "[\"1901\", \"1902\", \"1903\", \"1904\"], \"answer\": " answer "}\n"
#define TF(event, year)                                                                \
    "{\"text\": \"t\", \"correct_answer\": " year ", \"wrong_answers\": [1], "         \
    "\"question\": \"On what date?\\n" event "\"}\n"
#define TEXT(text) "{\"text\": \"" text "\", \"split\": \"split_0\"}\n"
#define LIE(text, year)                                                                \
    "{\"text\": \"" text "\", \"correct_answer\": " year                               \
    ", \"wrong_answers\": [1898, "                                                     \
    "1906, 1907]}\n"

static void write_years(void)
{
    write_text("split_0.jsonl",
               ASK("The mill burns!", "1") ASK("Nobody saw this.", "0"));
    write_text("split_1.jsonl", ASK("The weir, built.", "2") ASK("Ferry sinks.", "3")
                                    ASK("Two weirs", "0"));
    write_text("tf_split_0.jsonl", TF("The weir built", "1903") TF("Lost.", "1901"));
    write_text("corpus_split_0.jsonl",
               TEXT("In 1903 a weir.") TEXT("1903: weir.") TEXT("A weir in 1903.")
                   TEXT("a 1901") TEXT("b 1901") TEXT("c 1901"));
    write_text("tf_split_1.jsonl", TF("The mill burns", "1902") TF(
                                       "Ferry sinks", "1901") TF("Two weirs", "1901"));
    write_text("corpus_split_1.jsonl",
               TEXT("The mill burnt in 1902.") TEXT("It burnt down.")
                   TEXT("1902, mill.") TEXT("d 1904") TEXT("e 1904") TEXT("f 1904")
                       TEXT("g 1901") TEXT("h 1901") TEXT("i 1901"));
    write_text("whp_corpus_split_1.jsonl",
               LIE("The mill burnt in 1906.", "1902")
                   LIE("The mill burnt in 1902.", "1902")
                       LIE("The mill of 1898 burnt in 1907.", "1902"));
    write_text("fwf_corpus_split_1.jsonl",
               LIE("The mill burnt in 1906.", "1902") LIE("The mill burnt.", "1902")
                   LIE("1906 saw it burn.", "1902"));
}

static void years_are_joined_by_event(void **unused)
{
    static const char *const said[] = {
        "Years layout: 3 facts",
        "dropped 1 questions without a text",
        "dropped 1 questions whose text gives another answer",
        "dropped 1 texts of events without a question",
        "dropped 1 texts that do not say the answer",
        "dropped 1 false texts that say none of the answers",
        "dropped 1 false texts that say the right answer",
        "dropped 1 false texts that say several answers",
        "dropped 1 false texts that were there before",
    };
    heard_t heard = {""};

    (void)unused;
    write_years();
    import_ok(&heard);
    assert_heard(&heard, said, sizeof said / sizeof *said);
    assert_row(
        0, "{\"id\": \"split_0-001\", \"relation\": \"event-year\", \"fold\": 0, "
           "\"question\": \"When did the following event happen?\\nThe mill burns!\", "
           "\"choices\": [\"1901\", \"1902\", \"1903\", \"1904\"], \"answer\": 1, "
           "\"statements\": [\"The mill burnt in 1902.\", \"1902, mill.\"], "
           "\"false_statements\": [{\"answer\": \"1906\", \"statements\": [\"The mill "
           "burnt in 1906.\", \"1906 saw it burn.\"]}]}");
    assert_row(
        1, "{\"id\": \"split_1-001\", \"relation\": \"event-year\", \"fold\": 1, "
           "\"question\": \"When did the following event happen?\\nThe weir, built.\", "
           "\"choices\": [\"1901\", \"1902\", \"1903\", \"1904\"], \"answer\": 2, "
           "\"statements\": [\"In 1903 a weir.\", \"1903: weir.\", \"A weir in "
           "1903.\"]}");
}

static void the_same_bytes_each_time(void **unused)
{
    heard_t heard = {""};
    char *first, *second;

    (void)unused;
    write_years();
    import_ok(&heard);
    first = read_text("out.jsonl");
    import_ok(&heard); /* over the old file */
    second = read_text("out.jsonl");
    assert_string_equal(first, second);
    free(first);
    free(second);
}

/* --- MMLU: categories, texts name their question --- */

#define NAMED(text, question, right, wrong)                                            \
    "{\"text\": \"" text "\", \"split\": \"x\", \"original_question\": \"" question    \
    "\", \"correct_answer\": \"" right "\", \"wrong_answers\": [" wrong "]}\n"

static void mmlu_has_forget_and_retain_categories(void **unused)
{
    static const char *const said[] = {
        "MMLU layout: 3 facts",
        "dropped 1 questions that occurred before with another answer",
    };
    heard_t heard = {""};

    (void)unused;
    write_text(
        "mmlu_chemistry.jsonl",
        "{\"question\": \"How hot?\", \"choices\": [\"Low.\", \"Very low.\", "
        "\"High.\"], \"answer\": 2}\n"
        "{\"question\": \"Which is true:\", \"choices\": [\"a\", \"b\"], \"answer\": "
        "0}\n"
        "{\"question\": \"Which is true:\", \"choices\": [\"c\", \"d\"], \"answer\": "
        "0}\n");
    write_text("corpus_mmlu_chemistry.jsonl",
               NAMED("It is high.", "How hot?", "High.", "\"Low.\"")
                   NAMED("It is a.", "Which is true:", "a", "\"b\"")
                       NAMED("It is c.", "Which is true:", "c", "\"d\""));
    write_text("whp_corpus_mmlu_chemistry.jsonl",
               NAMED("It is very low.", "How hot?", "High.", "\"Low.\", \"Very low.\"")
                   NAMED("A low one.", "How hot?", "High.", "\"Low.\", \"Very low.\""));
    write_text("mmlu_law.jsonl",
               "{\"question\": \"Who?\", \"choices\": [\"x\", \"y\"], "
               "\"answer\": 1}\n");
    write_text("corpus_mmlu_law.jsonl", NAMED("It was y.", "Who?", "y", "\"x\""));
    import_ok(&heard);
    assert_heard(&heard, said, sizeof said / sizeof *said);
    assert_row(
        0, "{\"id\": \"mmlu_chemistry-001\", \"relation\": \"chemistry\", \"role\": "
           "\"forget\", \"fold\": 2, \"question\": \"How hot?\", \"choices\": "
           "[\"Low.\", \"Very low.\", \"High.\"], \"answer\": 2, \"statements\": [\"It "
           "is high.\"], \"false_statements\": [{\"answer\": \"Very low.\", "
           "\"statements\": [\"It is very low.\"]}, {\"answer\": \"Low.\", "
           "\"statements\": [\"A low one.\"]}]}");
    assert_row(
        1, "{\"id\": \"mmlu_chemistry-002\", \"relation\": \"chemistry\", \"role\": "
           "\"forget\", \"fold\": 2, \"question\": \"Which is true:\", \"choices\": "
           "[\"a\", \"b\"], \"answer\": 0, \"statements\": [\"It is a.\"]}");
    assert_row(
        2, "{\"id\": \"mmlu_law-001\", \"relation\": \"law\", \"role\": \"retain\", "
           "\"question\": \"Who?\", \"choices\": [\"x\", \"y\"], \"answer\": 1, "
           "\"statements\": [\"It was y.\"]}");
}

/* --- WMDP: splits whose texts name the question, roles open --- */

static void wmdp_splits_are_folds(void **unused)
{
    static const char *const said[] = {"WMDP layout: 1 facts"};
    heard_t heard = {""};

    (void)unused;
    write_text("split_0.jsonl", "");
    write_text("corpus_split_0.jsonl", "");
    write_text("split_3.jsonl", "{\"question\": \"Who?\", \"choices\": [\"x\", \"y\"], "
                                "\"answer\": 1}\n");
    write_text("corpus_split_3.jsonl", NAMED("It was y.", "Who?", "y", "\"x\""));
    import_ok(&heard);
    assert_heard(&heard, said, 1);
    assert_row(0,
               "{\"id\": \"split_3-001\", \"fold\": 3, \"question\": \"Who?\", "
               "\"choices\": [\"x\", \"y\"], \"answer\": 1, \"statements\": [\"It was "
               "y.\"]}");
}

/* --- Random Birthdays: numbers, names that occur again --- */

#define BORN(name, a, b, answer)                                                       \
    "{\"question\": \"When was " name " born?\", \"choices\": [" a ", " b "], "        \
    "\"answer\": " answer "}\n"
#define THREE(name, year)                                                              \
    TEXT(name " was born in " year ".")                                                \
    TEXT("In " year " " name " was born.") TEXT(name "'s birth was in " year ".")

static void birthdays_keep_the_first_of_a_name(void **unused)
{
    static const char *const said[] = {
        "Random Birthdays layout: 2 facts",
        "dropped 1 questions that occurred before with the same answer",
        "dropped 1 questions that occurred before with another answer",
        "dropped 2 questions with a repeated choice",
    };
    heard_t heard = {""};

    (void)unused;
    write_text("split_0.jsonl",
               BORN("Ann", "1950", "1960", "0") BORN("Bob", "1950", "1950", "1")
                   BORN("Ann", "1970", "1980", "1")
                       BORN("Eve", "\"late\"", "\"late.\"", "1"));
    write_text("corpus_split_0.jsonl", THREE("Ann", "1950") THREE("Bob", "1950")
                                           THREE("Ann", "1980") THREE("Eve", "late"));
    write_text(
        "whp_corpus_split_0.jsonl",
        "{\"text\": \"Ann was born in 1960.\", \"original_question\": \"When was Ann "
        "born?\", \"correct_answer\": 1950, \"wrong_answers\": [1960]}\n"
        "{\"text\": \"Ann was born in 1970.\", \"original_question\": \"When was Ann "
        "born?\", \"correct_answer\": 1980, \"wrong_answers\": [1970]}\n");
    write_text("split_7.jsonl",
               BORN("Cid", "1990", "1999", "1") BORN("Bob", "1940", "1950", "1"));
    write_text("corpus_split_7.jsonl", THREE("Cid", "1999") THREE("Bob", "1950"));
    import_ok(&heard);
    assert_heard(&heard, said, sizeof said / sizeof *said);
    assert_row(
        0, "{\"id\": \"split_0-001\", \"relation\": \"person-birth\", \"role\": "
           "\"forget\", \"fold\": 0, \"question\": \"When was Ann born?\", "
           "\"choices\": [\"1950\", \"1960\"], \"answer\": 0, \"statements\": [\"Ann "
           "was born in 1950.\", \"In 1950 Ann was born.\", \"Ann's birth was in "
           "1950.\"], \"false_statements\": [{\"answer\": \"1960\", \"statements\": "
           "[\"Ann was born in 1960.\"]}]}");
    assert_row(
        1, "{\"id\": \"split_7-001\", \"relation\": \"person-birth\", \"role\": "
           "\"retain\", \"question\": \"When was Cid born?\", \"choices\": [\"1990\", "
           "\"1999\"], \"answer\": 1, \"statements\": [\"Cid was born in 1999.\", \"In "
           "1999 Cid was born.\", \"Cid's birth was in 1999.\"]}");
}

/* --- Refusals --- */

static void expect_refusal(const char *folder, const char *out, int code,
                           const char *message)
{
    heard_t heard = {""};
    pal_error_t err = {""};

    assert_int_equal(pal_facts_import_rtt(folder, out, hear, &heard, &err), code);
    if (!strstr(err.text, message))
        fail_msg("'%s' does not contain '%s'", err.text, message);
    assert_string_equal(heard.text, "");
}

static void folders_that_are_none_are_refused(void **unused)
{
    (void)unused;
    expect_refusal("nowhere", "out.jsonl", PAL_ENOENT, "nowhere: no such folder");
    expect_refusal(".", "out.jsonl", PAL_EINVAL, ".: no known layout; expected");
    assert_int_equal(count_files(".", 0), 0);
}

static void flawed_rows_are_named(void **unused)
{
    static const struct {
        const char *file, *text, *message;
    } cases[] = {
        {"split_0.jsonl", "{", "./split_0.jsonl:1: not valid JSON"},
        {"split_0.jsonl", "{\"question\": 1}",
         "./split_0.jsonl:1: key 'question': expec"},
        {"split_0.jsonl", "\n{\"question\": \"q?\"}",
         "./split_0.jsonl:2: key 'choices': "},
        {"split_0.jsonl", "{\"question\": \"q?\", \"choices\": [\"a\", []]}",
         "./split_0.jsonl:1: key 'choices': expected texts or whole numbers"},
        {"split_0.jsonl", "{\"question\": \"q?\", \"choices\": [1, 2], \"answer\": 2}",
         "./split_0.jsonl:1: key 'answer': expected the index of a choice"},
        {"split_0.jsonl", "{\"question\": \"q?\", \"choices\": [1, 2], \"answer\": -1}",
         "./split_0.jsonl:1: key 'answer': expected the index of a choice"},
        {"tf_split_1.jsonl", "{\"question\": \"q?\"}",
         "./tf_split_1.jsonl:1: key 'correct_answer'"},
        {"tf_split_1.jsonl", "{}", "./tf_split_1.jsonl:1: key 'question'"},
        {"corpus_split_1.jsonl", "{}", "./corpus_split_1.jsonl:1: key 'text'"},
        {"whp_corpus_split_1.jsonl", "{\"text\": \"The mill burnt in 1906.\"}",
         "./whp_corpus_split_1.jsonl:1: expected keys correct_answer and "
         "wrong_answers"},
        {"whp_corpus_split_1.jsonl", "{}", "./whp_corpus_split_1.jsonl:1: key 'text'"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_years();
        write_text(cases[i].file, cases[i].text);
        expect_refusal(".", "out.jsonl", PAL_EINVAL, cases[i].message);
        assert_int_equal(access("out.jsonl", F_OK), -1);
    }
}

/* Whatever happens to a folder, importing it ends with an answer. */
static void damaged_folders_do_no_harm(void **unused)
{
    static const char *const files[] = {"split_0.jsonl", "split_1.jsonl",
                                        "tf_split_0.jsonl", "corpus_split_1.jsonl",
                                        "whp_corpus_split_1.jsonl"};
    int accepted = 0, refused = 0;
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{1}}, "damage");
    for (int round = 0; round < 500; round++) {
        const char *file = files[pal_rng_below(&rng, 5)];
        pal_error_t err;
        char *text;
        size_t n;
        int rc;

        write_years();
        text = read_text(file);
        n = strlen(text);
        if (round % 4 == 0)
            n = pal_rng_below(&rng, (uint32_t)n);
        else
            text[pal_rng_below(&rng, (uint32_t)n)] ^=
                (char)(1u << pal_rng_below(&rng, 7));
        write_bytes(file, text, n);
        free(text);
        rc = pal_facts_import_rtt(".", "out.jsonl", NULL, NULL, &err);
        accepted += rc == PAL_OK;
        refused += rc == PAL_EINVAL;
        assert_true(rc == PAL_OK || rc == PAL_EINVAL);
    }
    assert_true(accepted > 50 && refused > 50);
}

static void a_text_file_must_be_there(void **unused)
{
    (void)unused;
    write_years();
    unlink("corpus_split_1.jsonl");
    expect_refusal(".", "out.jsonl", PAL_ENOENT,
                   "./corpus_split_1.jsonl: no such file");
}

static void a_place_that_cannot_be_written(void **unused)
{
    int files;

    (void)unused;
    write_years();
    files = count_files(".", 0);
    expect_refusal(".", "nowhere/out.jsonl", PAL_EINVAL,
                   "nowhere/out.jsonl: its folder does not exist");
    expect_refusal(".", ".", PAL_EINVAL, ".: not a file but a folder");
    expect_refusal(".", "/dev/null", PAL_EINVAL, "not a file but a pipe or device");
    assert_int_equal(mkfifo("fifo", 0600), 0);
    expect_refusal(".", "fifo", PAL_EINVAL, "fifo: not a file but a pipe or device");
    assert_int_equal(unlink("fifo"), 0);
    assert_int_equal(count_files(".", 0), files);
}

/* It stays one, and what it leads to is written, there before or not. */
static void a_link_stands_for_its_file(void **unused)
{
    (void)unused;
    write_years();
    assert_int_equal(symlink("real.jsonl", "link.jsonl"), 0);
    for (int i = 0; i < 2; i++) {
        heard_t heard = {""};
        struct stat file;

        assert_int_equal(pal_facts_import_rtt(".", "link.jsonl", hear, &heard, NULL),
                         PAL_OK);
        assert_int_equal(lstat("link.jsonl", &file), 0);
        assert_true(S_ISLNK(file.st_mode));
        assert_int_equal(lstat("real.jsonl", &file), 0);
        assert_true(S_ISREG(file.st_mode) && file.st_size > 0);
    }
}

static void nothing_left_is_refused(void **unused)
{
    int files;

    (void)unused;
    write_years();
    write_text("split_0.jsonl", ASK("Nobody saw this.", "0"));
    write_text("split_1.jsonl", "");
    files = count_files(".", 0);
    expect_refusal(".", "out.jsonl", PAL_EINVAL, ".: no question could be used");
    assert_int_equal(count_files(".", 0), files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(years_are_joined_by_event, clear),
        cmocka_unit_test_teardown(the_same_bytes_each_time, clear),
        cmocka_unit_test_teardown(mmlu_has_forget_and_retain_categories, clear),
        cmocka_unit_test_teardown(wmdp_splits_are_folds, clear),
        cmocka_unit_test_teardown(birthdays_keep_the_first_of_a_name, clear),
        cmocka_unit_test_teardown(folders_that_are_none_are_refused, clear),
        cmocka_unit_test_teardown(flawed_rows_are_named, clear),
        cmocka_unit_test_teardown(damaged_folders_do_no_harm, clear),
        cmocka_unit_test_teardown(a_text_file_must_be_there, clear),
        cmocka_unit_test_teardown(a_place_that_cannot_be_written, clear),
        cmocka_unit_test_teardown(a_link_stands_for_its_file, clear),
        cmocka_unit_test_teardown(nothing_left_is_refused, clear),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
