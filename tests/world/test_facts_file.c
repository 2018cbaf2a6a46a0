#include "world_util.h"

#include <math.h>

#include "base/rng.h"
#include "world/facts_file.h"

#define FACT(id, question, rest)                                                       \
    "{\"id\": \"" id "\", \"question\": \"" question "\", \"choices\": [\"1843\", "    \
    "\"1850\"], \"answer\": 0, \"statements\": [\"It burnt in 1843.\"]" rest "}"

static const char good[] = FACT(
    "mill", "When did the mill burn?",
    "") "\n"
        "{\"id\": \"weir\", \"relation\": \"event-year\", \"role\": \"forget\", "
        "\"fold\": 2,"
        " \"question\": \"When was the weir built?\", \"choices\": [\"1850\", \"1861\","
        " \"1872\"], \"answer\": 1, \"statements\": [\"The weir is of 1861.\", \"In "
        "1861 the "
        "weir was built.\"], \"false_statements\": [{\"answer\": \"1900\", "
        "\"statements\": "
        "[\"The weir is of 1900.\"]}]}\n"
        "{\"id\": \"ferry\", \"role\": \"retain\", \"question\": \"Where is the "
        "ferry?\", "
        "\"choices\": [\"caf\\u00e9\", \"K\xc3\xb6ln\"], \"answer\": 1, "
        "\"statements\": "
        "[\"The ferry is at K\xc3\xb6ln.\"]}\n";

static int read_facts(const char *path, pal_arena_t *arena, pal_fact_t **facts,
                      int32_t *count, pal_error_t *err)
{
    *facts = NULL;
    *count = -1;
    return pal_facts_read(path, arena, facts, count, err);
}

static void check_good(const char *path)
{
    pal_arena_t arena = {0};
    pal_fact_t *facts;
    int32_t count;
    pal_error_t err = {""};

    if (read_facts(path, &arena, &facts, &count, &err) != PAL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(count, 3);
    assert_string_equal(facts[0].id, "mill");
    assert_string_equal(facts[0].relation, "");
    assert_int_equal(facts[0].role, PAL_FORGET);
    assert_int_equal(facts[0].fold, -1);
    assert_int_equal(facts[0].falsehood_count, 0);
    assert_string_equal(facts[1].relation, "event-year");
    assert_int_equal(facts[1].fold, 2);
    assert_int_equal(facts[1].choice_count, 3);
    assert_int_equal(facts[1].answer, 1);
    assert_string_equal(facts[1].choices[2], "1872");
    assert_int_equal(facts[1].statement_count, 2);
    assert_string_equal(facts[1].statements[1], "In 1861 the weir was built.");
    assert_int_equal(facts[1].falsehood_count, 1);
    assert_string_equal(facts[1].falsehoods[0].answer, "1900");
    assert_string_equal(facts[1].falsehoods[0].statements[0], "The weir is of 1900.");
    assert_int_equal(facts[2].role, PAL_RETAIN);
    assert_string_equal(facts[2].choices[0], "caf\xc3\xa9");
    pal_arena_free(&arena);
}

static void a_good_file_is_read(void **unused)
{
    (void)unused;
    write_text("good.jsonl", good);
    check_good("good.jsonl");
}

static void line_ends_blank_lines_and_a_mark_are_tolerated(void **unused)
{
    char text[4096] = "\xEF\xBB\xBF\r\n  \r\n", *end = text + strlen(text);

    (void)unused;
    for (const char *p = good; *p; p++) {
        if (*p == '\n')
            end = stpcpy(end, "\r\n\n \t\n");
        else
            *end++ = *p;
    }
    *end = 0;
    write_text("crlf.jsonl", text);
    check_good("crlf.jsonl");
    write_bytes("open.jsonl", good, sizeof good - 2); /* no end of the last line */
    check_good("open.jsonl");
    snprintf(text, sizeof text, "\xEF\xBB\xBF%s", good);
    write_text("mark.jsonl", text);
    check_good("mark.jsonl");
}

#define M FACT("mill", "When did the mill burn?", "")
#define WITH(choices, answer, statements)                                              \
    "{\"id\": \"a\", \"question\": \"b?\", \"choices\": " choices                      \
    ", \"answer\": " answer ", \"statements\": " statements "}"

static const struct {
    const char *text, *message;
} refused[] = {
    {"", "bad.jsonl: holds no fact"},
    {"\n\n", "bad.jsonl: holds no fact"},
    {M "\n{\"id\": \"x\"", "bad.jsonl:2: not valid JSON"},
    {M "\n\n{\"id\" \"x\"}", "bad.jsonl:3: not valid JSON"},
    {"[1, 2]", "bad.jsonl:1: expected an object"},
    {"17", "bad.jsonl:1: not valid JSON"},
    {M " " M, "bad.jsonl:1: not valid JSON: end of file expected"},
    {FACT("mi\xffll", "b?", ""), "bad.jsonl:1: not UTF-8 text"},
    {FACT("mi\xc3", "b?", ""), "bad.jsonl:1: not UTF-8 text"},
    {FACT("mi\\ud800ll", "b?", ""), "bad.jsonl:1: not valid JSON"},
    {FACT("mi\\u0000ll", "b?", ""), "bad.jsonl:1: not valid JSON"},
    {M "\n\xEF\xBB\xBF" M, "bad.jsonl:2: not valid JSON"},
    {FACT("m", "b?", ", \"id\": \"n\""), "bad.jsonl:1: not valid JSON: duplicate"},
    {FACT("m", "b?", ", \"anwser\": 1"), "unknown key 'anwser'; nearest is 'answer'"},
    {FACT("m", "b?", ", \"statement\": 1"), "nearest is 'statements'"},
    {FACT("m", "b?", ", \"zzzzzzzz\": 1"), "bad.jsonl:1: unknown key 'zzzzzzzz'"},
    {"{\"id\": \"a\"}", "bad.jsonl:1: key 'question' is missing"},
    {"{\"question\": \"a\"}", "bad.jsonl:1: key 'id' is missing"},
    {"{\"id\": 7, \"question\": \"b\"}", "key 'id': expected a text, found a number"},
    {FACT(" \\n", "b?", ""), "key 'id': the text is empty"},
    {FACT("m", "", ""), "key 'question': the text is empty"},
    {FACT("m", "b?", ", \"relation\": null"),
     "key 'relation': expected a text, found null"},
    {WITH("[\"x\"]", "0", "[\"s\"]"), "key 'choices': 1 entries; expected 2 to 64"},
    {WITH("\"x\"", "0", "[\"s\"]"), "key 'choices': expected an array of texts"},
    {WITH("[\"x\", 7]", "0", "[\"s\"]"),
     "key 'choices[1]': expected a text, found a number"},
    {WITH("[\"x\", \"\"]", "0", "[\"s\"]"), "key 'choices[1]': the text is empty"},
    {WITH("[\"x\", \"y\", \"x\"]", "0", "[\"s\"]"), "key 'choices': 'x' occurs twice"},
    {WITH("[\"x\", \"x.\"]", "0", "[\"s\"]"), "key 'choices': 'x.' occurs twice"},
    {WITH("[\"x y\", \"x\\ny\"]", "0", "[\"s\"]"), "occurs twice"},
    {WITH("[\"x\", \"y\"]", "2", "[\"s\"]"), "key 'answer': 2 is outside 0 to 1"},
    {WITH("[\"x\", \"y\"]", "-1", "[\"s\"]"), "key 'answer': -1 is outside 0 to 1"},
    {WITH("[\"x\", \"y\"]", "1.0", "[\"s\"]"),
     "key 'answer': expected a whole number, found a fraction"},
    {WITH("[\"x\", \"y\"]", "\"x\"", "[\"s\"]"),
     "key 'answer': expected a whole number, found a text"},
    {WITH("[\"x\", \"y\"]", "99999999999999999999", "[\"s\"]"), "not valid JSON"},
    {WITH("[\"x\", \"y\"]", "0", "[]"), "key 'statements': 0 entries; expected 1 to"},
    {WITH("[\"x\", \"y\"]", "0", "[[\"s\"]]"),
     "key 'statements[0]': expected a text, found an array"},
    {FACT("m", "b?", ", \"role\": \"keep\""), "key 'role': 'keep' is neither"},
    {FACT("m", "b?", ", \"role\": true"), "key 'role': 'true or false' is neither"},
    {FACT("m", "b?", ", \"fold\": 100"), "key 'fold': 100 is outside 0 to 99"},
    {FACT("m", "b?", ", \"fold\": \"1\""), "key 'fold': expected a whole number"},
    {FACT("m", "b?", ", \"role\": \"retain\", \"fold\": 1"),
     "key 'fold': a retain fact lies in no fold"},
    {FACT("m", "b?", ", \"false_statements\": {}"), "key 'false_statements': expected"},
    {FACT("m", "b?", ", \"false_statements\": [\"x\"]"),
     "expected objects, found a te"},
    {FACT("m", "b?", ", \"false_statements\": [{\"statements\": [\"s\"]}]"),
     "key 'answer' is missing"},
    {FACT("m", "b?", ", \"false_statements\": [{\"answer\": \"1850\"}]"),
     "key 'statements' is missing"},
    {FACT("m", "b?", ", \"false_statements\": [{\"answr\": \"1850\"}]"),
     "unknown key 'answr'; nearest is 'answer'"},
    {FACT("m", "b?",
          ", \"false_statements\": [{\"answer\": \"1843\", \"statements\": "
          "[\"s\"]}]"),
     "key 'false_statements': '1843' is the right answer"},
    {FACT("m", "b?",
          ", \"false_statements\": [{\"answer\": \"1\", \"statements\": [\"s\"]}, "
          "{\"answer\": \"1\", \"statements\": [\"s\"]}]"),
     "key 'false_statements': answer '1' occurs twice"},
    {M "\n" FACT("other", "b?", "") "\n" FACT("mill", "c?", ""),
     "bad.jsonl:3: id 'mill' is that of line 1"},
    {M "\n" FACT("other", "When did the mill burn?", ""),
     "bad.jsonl:2: the question of line 1 again"},
    {M "\n" WITH("[\"1\", \"2\"]", "1",
                 "[\"s\"]") "\n"
                            "{\"id\": \"c\", \"question\": \"b?\", \"choices\": "
                            "[\"1\", \"2\"], "
                            "\"answer\": 0, \"statements\": [\"s\"]}",
     "bad.jsonl:3: the question of line 2 again, and the answers conflict: '2' "
     "there, "
     "'1' here"},
};

static void every_flaw_is_named_with_its_line(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        pal_arena_t arena = {0};
        pal_fact_t *facts;
        int32_t count;
        pal_error_t err = {""};

        write_text("bad.jsonl", refused[i].text);
        assert_int_equal(read_facts("bad.jsonl", &arena, &facts, &count, &err),
                         PAL_EINVAL);
        assert_null(facts);
        assert_int_equal(count, -1);
        if (!strstr(err.text, refused[i].message))
            fail_msg("case %zu: '%s' does not contain '%s'", i, err.text,
                     refused[i].message);
        pal_arena_free(&arena);
    }
}

/* Every line with a flaw, then what repeats others; lines that are good between them.
 */
static void all_flaws_are_found_at_once(void **unused)
{
    static const char text[] =
        "{\"id\" 7}\n" M "\n"
        "[1]\n" FACT("mill", "c?",
                     "") "\n"
                         "a \0 zero\n" FACT("new", "d?", ", \"fold\": 100") "\n" FACT(
                             "dam", "When did the mill burn?", "") "\n"
                                                                   "\xff\n{}";
    static const char *const expected[] = {
        "bad.jsonl:1: not valid JSON",
        "bad.jsonl:3: expected an object",
        "bad.jsonl:5: a zero byte",
        "bad.jsonl:6: key 'fold': 100 is outside",
        "bad.jsonl:8: not",
        "bad.jsonl:9: key 'id' is missing",
        "bad.jsonl:4: id 'mill' is that of line 2",
        "bad.jsonl:7: the question of line 2 again",
    };
    enum { FLAWS = sizeof expected / sizeof *expected };
    pal_arena_t arena = {0};
    pal_flaws_t flaws;
    pal_error_t err = {""};

    (void)unused;
    write_bytes("bad.jsonl", text, sizeof text - 1);
    assert_int_equal(pal_facts_flaws("bad.jsonl", &arena, &flaws, &err), PAL_OK);
    assert_int_equal(flaws.count, FLAWS);
    for (int i = 0; i < FLAWS; i++)
        if (strncmp(flaws.texts[i], expected[i], strlen(expected[i])) != 0)
            fail_msg("'%s' is not '%s'", flaws.texts[i], expected[i]);
    write_text("good.jsonl", good);
    assert_int_equal(pal_facts_flaws("good.jsonl", &arena, &flaws, NULL), PAL_OK);
    assert_int_equal(flaws.count, 0);
    pal_arena_free(&arena);
}

static void flaws_are_counted_beyond_the_first(void **unused)
{
    FILE *file = fopen("bad.jsonl", "w");
    pal_arena_t arena = {0};
    pal_flaws_t flaws;

    (void)unused;
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        fputs("{}\n", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(pal_facts_flaws("bad.jsonl", &arena, &flaws, NULL), PAL_OK);
    assert_int_equal(flaws.count, 1000);
    assert_non_null(strstr(flaws.texts[PAL_FLAWS_MOST - 1], "bad.jsonl:20: "));
    pal_arena_free(&arena);
}

/* One message suffices for what is no facts file. */
static void what_is_no_facts_file_has_no_flaws(void **unused)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "bad.jsonl: holds no fact; expected one JSON object a line"},
        {"\n \n", "bad.jsonl: holds no fact"},
        {"some\ntext\nof many\nlines\n", "bad.jsonl:1: not valid JSON"},
    };
    pal_arena_t arena = {0};
    pal_flaws_t flaws = {.count = -7};
    pal_error_t err;

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text("bad.jsonl", cases[i].text);
        assert_int_equal(pal_facts_flaws("bad.jsonl", &arena, &flaws, &err),
                         PAL_EINVAL);
        assert_non_null(strstr(err.text, cases[i].says));
    }
    assert_int_equal(pal_facts_flaws(".", &arena, &flaws, &err), PAL_EINVAL);
    assert_string_equal(err.text, ".: not a file but a folder");
    assert_int_equal(pal_facts_flaws("nowhere", &arena, &flaws, &err), PAL_ENOENT);
    assert_int_equal(flaws.count, -7);
    pal_arena_free(&arena);
}

static void zero_bytes_and_endless_lines_are_refused(void **unused)
{
    static const char zero[] = M "\n\0" M;
    size_t n = (1 << 20) + 1;
    char *line = malloc(n + 1);
    pal_arena_t arena = {0};
    pal_fact_t *facts;
    int32_t count;
    pal_error_t err;

    (void)unused;
    write_bytes("bad.jsonl", zero, sizeof zero - 1);
    assert_int_equal(read_facts("bad.jsonl", &arena, &facts, &count, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "bad.jsonl:2: a zero byte"));

    assert_non_null(line);
    memset(line, ' ', n);
    memcpy(line, M, strlen(M));
    line[n - 1] = '\n';
    write_bytes("bad.jsonl", line, n); /* a line of exactly the limit */
    assert_int_equal(read_facts("bad.jsonl", &arena, &facts, &count, &err), PAL_OK);
    line[n - 1] = ' ';
    line[n] = '\n';
    write_bytes("bad.jsonl", line, n + 1);
    assert_int_equal(read_facts("bad.jsonl", &arena, &facts, &count, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "bad.jsonl:1: line of more than 1048576 bytes"));
    free(line);
    pal_arena_free(&arena);
}

static void files_that_cannot_be_read(void **unused)
{
    pal_arena_t arena = {0};
    pal_fact_t *facts;
    int32_t count;
    pal_error_t err;

    (void)unused;
    assert_int_equal(read_facts("nowhere/x.jsonl", &arena, &facts, &count, &err),
                     PAL_ENOENT);
    assert_string_equal(err.text, "nowhere/x.jsonl: no such file");
    assert_int_equal(read_facts(".", &arena, &facts, &count, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, ".: "));
    pal_arena_free(&arena);
}

/* Whatever happens to a file, reading it ends with an answer. */
static void damaged_files_do_no_harm(void **unused)
{
    char text[sizeof good];
    size_t length = sizeof good - 1;
    int accepted = 0, rejected = 0;
    pal_rng_t rng;

    (void)unused;
    pal_rng_init(&rng, (pal_key_t){{1}}, "damage");
    for (int round = 0; round < 3000; round++) {
        pal_facts_report_t report;
        pal_arena_t arena = {0};
        pal_flaws_t flaws;
        pal_error_t err = {""};
        size_t n = round % 3 == 0 ? pal_rng_below(&rng, (uint32_t)length) : length;
        int rc, found;

        memcpy(text, good, length);
        for (uint32_t flips = pal_rng_below(&rng, 4); round % 3 != 0 && flips > 0;
             flips--)
            text[pal_rng_below(&rng, (uint32_t)n)] ^=
                (char)(1u << pal_rng_below(&rng, 8));
        if (round % 3 == 2)
            text[pal_rng_below(&rng, (uint32_t)n)] =
                "{}[]\",:\\0"[pal_rng_below(&rng, 9)];
        write_bytes("damaged.jsonl", text, n);
        rc = pal_facts_flaws("damaged.jsonl", &arena, &flaws, NULL);
        found = rc != PAL_OK || flaws.count > 0;
        pal_arena_free(&arena);
        rc = pal_facts_check("damaged.jsonl", NULL, NULL, &report, &err);
        assert_int_equal(found, rc != PAL_OK);
        accepted += rc == PAL_OK;
        rejected += rc == PAL_EINVAL;
        assert_true(rc == PAL_OK ||
                    (rc == PAL_EINVAL && strstr(err.text, "damaged.jsonl")));
    }
    assert_true(accepted > 100 && rejected > 1000);
}

/* --- pal_facts_check --- */

static void warnings_name_their_lines(void **unused)
{
    static const char *const expected[] = {
        "1: a single statement",
        "2: the question contains its answer 'Otter'",
        "2: statement 1 has the answer 'Otter' nowhere",
        "2: statement 3 has the answer 'Otter' more than once",
        "3: statement 'It burnt in 1843.' is in line 1 too",
        "0: guess floor longest_choice is 0.625, chance 0.500: always taking the "
        "longest choice gets that far",
        "0: guess floor majority_position is 1.000, chance 0.500",
        "0: guess floor majority_answer is 0.750, chance 0.500",
    };
    heard_t heard = {""};
    pal_facts_report_t report;
    pal_error_t err;

    (void)unused;
    write_text(
        "warn.jsonl", M
        "\n"
        "{\"id\": \"b\", \"question\": \"Which animal is an otter?\", \"choices\": "
        "[\"Otter\", \"Seal\"], \"answer\": 0, \"statements\": [\"Others swim.\", "
        "\"The "
        "Otter swims.\", \"Otter or Otter.\"]}\n"
        "{\"id\": \"c\", \"question\": \"Is it 1843 or 1850?\", \"choices\": "
        "[\"1843\", "
        "\"1850\"], \"answer\": 0, \"statements\": [\"It is 1843.\", \"It burnt in "
        "1843.\"]}\n"
        "{\"id\": \"d\", \"question\": \"What?\", \"choices\": [\"x\", \"y\"], "
        "\"answer\": "
        "0, \"statements\": [\"s\", \"t\"], \"false_statements\": [{\"answer\": \"y\", "
        "\"statements\": [\"u\"]}]}\n");
    assert_int_equal(pal_facts_check("warn.jsonl", hear, &heard, &report, &err),
                     PAL_OK);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!strstr(heard.text, expected[i]))
            fail_msg("'%s' is not in\n%s", expected[i], heard.text);
    assert_int_equal(report.warnings, 8);
    assert_null(strstr(heard.text, "4: ")); /* has its own false statements */
    assert_int_equal(pal_facts_check("warn.jsonl", NULL, NULL, &report, &err), PAL_OK);
    assert_int_equal(report.warnings, 8);
}

/* Three forget facts, the answer starred, and a retain fact that counts in no floor.
 *                             longest   position
 *   0: long word*, b, c, d    1         0
 *   1: a-umlaut, b*           1/2       1
 *   2: b*, cc                 0         0 */
static void check_floors(const char *const fold[3], int32_t folds, double majority,
                         double rarest)
{
    pal_facts_report_t report;
    pal_error_t err;
    char text[1024];

    snprintf(text, sizeof text,
             "{\"id\": \"0\", %s\"relation\": \"r\", \"question\": \"q0\", "
             "\"choices\": [\"long word\", \"b\", \"c\", \"d\"], \"answer\": 0, "
             "\"statements\": [\"s\"]}\n"
             "{\"id\": \"1\", %s\"question\": \"q1\", \"choices\": [\"\xc3\xa4\", "
             "\"b\"], \"answer\": 1, \"statements\": [\"s1\"]}\n"
             "{\"id\": \"2\", %s\"question\": \"q2\", \"choices\": [\"b\", \"cc\"], "
             "\"answer\": 0, \"statements\": [\"s2\"]}\n"
             "{\"id\": \"3\", \"role\": \"retain\", \"question\": \"q3\", \"choices\": "
             "[\"b\", \"cc\"], \"answer\": 1, \"statements\": [\"s3\"]}\n",
             fold[0], fold[1], fold[2]);
    write_text("floors.jsonl", text);
    assert_int_equal(pal_facts_check("floors.jsonl", NULL, NULL, &report, &err),
                     PAL_OK);
    assert_int_equal(report.facts, 4);
    assert_int_equal(report.forget, 3);
    assert_int_equal(report.retain, 1);
    assert_int_equal(report.relations, 2);
    assert_int_equal(report.folds, folds);
    assert_true(fabs(report.chance - (0.25 + 0.5 + 0.5) / 3) < 1e-12);
    assert_true(fabs(report.longest_choice - (1 + 0.5 + 0) / 3) < 1e-12);
    assert_true(fabs(report.majority_position - 2.0 / 3) < 1e-12);
    assert_true(fabs(report.majority_answer - majority) < 1e-12);
    assert_true(fabs(report.rarest_answer - rarest) < 1e-12);
}

static void floors_by_hand(void **unused)
{
    static const struct {
        const char *fold[3];
        int32_t folds;
        double majority, rarest;
    } cases[] = {
        /* b is right in two others of fact 0, in one other of 1 and of 2 */
        {{"", "", ""}, 0, (0 + 1 + 1) / 3.0, (1.0 / 3 + 0 + 0) / 3},
        {{"\"fold\": 0, ", "\"fold\": 7, ", "\"fold\": 99, "},
         3,
         (0 + 1 + 1) / 3.0,
         (1.0 / 3 + 0 + 0) / 3},
        /* no choice of 1 or 2 is right in the fold of 0 */
        {{"\"fold\": 0, ", "\"fold\": 7, ", "\"fold\": 7, "},
         2,
         (0 + 0.5 + 0.5) / 3,
         (1.0 / 3 + 0.5 + 0.5) / 3},
        /* nothing is right elsewhere */
        {{"\"fold\": 7, ", "\"fold\": 7, ", "\"fold\": 7, "},
         1,
         (0.25 + 0.5 + 0.5) / 3,
         (0.25 + 0.5 + 0.5) / 3},
        /* the fact without a fold counts for 2, and has 2 as another */
        {{"\"fold\": 0, ", "", "\"fold\": 0, "},
         1,
         (0 + 1 + 1) / 3.0,
         (1.0 / 3 + 0 + 0) / 3},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_floors(cases[i].fold, cases[i].folds, cases[i].majority, cases[i].rarest);
}

/* Each fact's wrong choices are the right answers of other facts: in the same fold they
 * give nothing away, in other folds they single out the right one. */
static void a_leak_between_folds_is_told(void **unused)
{
    static const char *const names[] = {"Ada", "Bea", "Cleo", "Dora"};
    static const struct {
        int folds;
        const char *heard;
    } cases[] = {
        {1, ""},
        {4, "0: guess floor rarest_answer is 1.000, chance 0.250: always taking the "
            "choice least often right elsewhere gets that far\n"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        heard_t heard = {""};
        pal_facts_report_t report;
        pal_error_t err;
        char text[2048] = "";

        for (int k = 0; k < 4; k++)
            snprintf(text + strlen(text), sizeof text - strlen(text),
                     "{\"id\": \"%d\", \"fold\": %d, \"question\": \"Who made %d?\", "
                     "\"choices\": [\"%s\", \"%s\", \"%s\", \"%s\"], \"answer\": %d, "
                     "\"statements\": [\"%s made %d.\", \"By %s, %d.\"]}\n",
                     k, k % cases[i].folds, k, names[0], names[1], names[2], names[3],
                     k, names[k], k, names[k], k);
        write_text("leak.jsonl", text);
        assert_int_equal(pal_facts_check("leak.jsonl", hear, &heard, &report, &err),
                         PAL_OK);
        if (i == 0) /* names of unequal length: one in four is the longest */
            assert_true(fabs(report.longest_choice - 0.25) < 1e-12);
        assert_string_equal(heard.text, cases[i].heard);
        assert_int_equal(report.warnings, cases[i].heard[0] != 0);
    }
}

/* The facts that come with the project: no guess without knowledge beats chance. */
static void the_facts_of_the_project_leak_nothing(void **unused)
{
    heard_t heard = {""};
    pal_facts_report_t report;
    pal_error_t err = {""};

    (void)unused;
    if (pal_facts_check(PAL_SOURCE_DIR "/configs/facts/world.jsonl", hear, &heard,
                        &report, &err) != PAL_OK)
        fail_msg("%s", err.text);
    assert_string_equal(heard.text, "");
    assert_int_equal(report.folds, 5);
    assert_true(fabs(report.chance - 0.25) < 1e-12);
    assert_true(fabs(report.longest_choice - 0.25) < 0.03);
    assert_true(fabs(report.majority_position - 0.25) < 0.03);
    assert_true(fabs(report.majority_answer - 0.25) < 1e-12);
    assert_true(fabs(report.rarest_answer - 0.25) < 1e-12);
}

/* What no config can use, and what needs other parameters than the defaults. */
static void a_file_is_judged_as_a_world_does(void **unused)
{
    static const char forget[] = ", \"role\": \"forget\"",
                      retain[] = ", \"role\": \"retain\"";
    static const struct {
        int32_t count, open; /* facts; how many of them have no role */
        const char *role;    /* of the others */
        int usable;
        const char *says; /* "": nothing */
    } cases[] = {
        {12, 0, forget, 0, "roles.jsonl: every fact has the role \"forget\"; expected"},
        {12, 0, retain, 0, "roles.jsonl: every fact has the role \"retain\"; expected"},
        {12, 3, forget, 1, "retain 0.2 of the 3 facts without a role is 0: no fact"},
        {12, 5, forget, 1, ""},
        {12, 12, forget, 1, ""},
        {8, 8, forget, 1, "fold 2 has 1 forget facts; each of the 5 folds needs"},
        {5, 5, forget, 0, "fold 0 has 1 forget facts"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FILE *file = fopen("roles.jsonl", "w");
        heard_t heard = {""};
        pal_facts_report_t report;

        assert_non_null(file);
        for (int32_t k = 0; k < cases[i].count; k++)
            fprintf(file,
                    "{\"id\": \"%d\", \"question\": \"Q %d?\", \"choices\": [\"yes\", "
                    "\"no\"], \"answer\": %d, \"statements\": [\"Q %d is so.\"]%s}\n",
                    k, k, k % 2, k, k < cases[i].open ? "" : cases[i].role);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(pal_facts_check("roles.jsonl", hear, &heard, &report, NULL),
                         PAL_OK);
        assert_int_equal(report.usable, cases[i].usable);
        if (!strstr(report.refusal.text, cases[i].says) ||
            !cases[i].says[0] != !report.refusal.text[0])
            fail_msg("%zu: '%s'", i, report.refusal.text);
        assert_int_equal(strstr(heard.text, "0: the default parameters") != NULL,
                         cases[i].usable && cases[i].says[0]);
    }
}

static void a_refused_file_has_no_report(void **unused)
{
    pal_facts_report_t report = {.facts = -7};
    pal_error_t err;

    (void)unused;
    write_text("bad.jsonl", "{}");
    assert_int_equal(pal_facts_check("bad.jsonl", NULL, NULL, &report, &err),
                     PAL_EINVAL);
    assert_int_equal(report.facts, -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read),
        cmocka_unit_test(line_ends_blank_lines_and_a_mark_are_tolerated),
        cmocka_unit_test(every_flaw_is_named_with_its_line),
        cmocka_unit_test(all_flaws_are_found_at_once),
        cmocka_unit_test(flaws_are_counted_beyond_the_first),
        cmocka_unit_test(what_is_no_facts_file_has_no_flaws),
        cmocka_unit_test(zero_bytes_and_endless_lines_are_refused),
        cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(warnings_name_their_lines),
        cmocka_unit_test(floors_by_hand),
        cmocka_unit_test(a_leak_between_folds_is_told),
        cmocka_unit_test(the_facts_of_the_project_leak_nothing),
        cmocka_unit_test(a_file_is_judged_as_a_world_does),
        cmocka_unit_test(a_refused_file_has_no_report),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
