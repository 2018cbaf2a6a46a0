#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/param.h"
#include "world/facts_file.h"
#include "world/falsehood.h"

/* --- Warnings --- */

typedef struct {
    pal_facts_say_t say;
    void *ctx;
    int32_t warnings;
} audience_t;

static void warn(audience_t *to, int32_t line, const char *text)
{
    to->warnings++;
    if (to->say)
        to->say(to->ctx, line, text);
}

/* A question that names every choice gives nothing away. */
static int gives_answer_away(const pal_fact_t *fact)
{
    int32_t named = 0;

    for (int32_t i = 0; i < fact->choice_count; i++)
        named += pal_text_find_nocase(fact->question, fact->choices[i], NULL) > 0;
    return named < fact->choice_count &&
           pal_text_find_nocase(fact->question, fact->choices[fact->answer], NULL) > 0;
}

static void warn_of_fact(audience_t *to, const pal_fact_t *fact)
{
    const char *answer = fact->choices[fact->answer];
    char text[256];

    if (gives_answer_away(fact)) {
        snprintf(text, sizeof text, "the question contains its answer '%.60s'", answer);
        warn(to, fact->line, text);
    }
    if (fact->statement_count == 1)
        warn(to, fact->line, "a single statement; several teach a fact better");
    for (int32_t i = 0; fact->falsehood_count == 0 && i < fact->statement_count; i++) {
        int32_t times = pal_text_find(fact->statements[i], answer, NULL);

        if (times == 1)
            continue;
        snprintf(
            text, sizeof text,
            "statement %d has the answer '%.60s' %s; no false version can be made of "
            "it",
            i + 1, answer, times == 0 ? "nowhere" : "more than once");
        warn(to, fact->line, text);
    }
}

typedef struct {
    const char *text;
    int32_t line, before; /* before: an earlier line with the same text, or 0 */
} quote_t;

static int by_text(const void *a, const void *b)
{
    const quote_t *x = a, *y = b;
    int order = strcmp(x->text, y->text);

    return order ? order : x->line - y->line;
}

static int by_line(const void *a, const void *b)
{
    const quote_t *x = a, *y = b;

    return x->line != y->line ? x->line - y->line : strcmp(x->text, y->text);
}

/* Every statement of every fact. NULL: out of memory. */
static quote_t *quote_all(const pal_fact_t *facts, int32_t count, size_t *n)
{
    quote_t *quotes;

    *n = 0;
    for (int32_t i = 0; i < count; i++)
        *n += (size_t)facts[i].statement_count;
    quotes = calloc(*n + 1, sizeof *quotes);
    *n = 0;
    for (int32_t i = 0; quotes && i < count; i++)
        for (int32_t k = 0; k < facts[i].statement_count; k++)
            quotes[(*n)++] = (quote_t){facts[i].statements[k], facts[i].line, 0};
    return quotes;
}

static int warn_of_repeats(audience_t *to, const pal_fact_t *facts, int32_t count,
                           pal_error_t *err)
{
    size_t n;
    quote_t *quotes = quote_all(facts, count, &n);
    char text[256];

    if (!quotes)
        return PAL_FAIL(err, PAL_ENOMEM, "statements of %d facts", count);
    qsort(quotes, n, sizeof *quotes, by_text);
    for (size_t i = 1; i < n; i++)
        if (strcmp(quotes[i].text, quotes[i - 1].text) == 0)
            quotes[i].before = quotes[i - 1].line;
    qsort(quotes, n, sizeof *quotes, by_line);
    for (size_t i = 0; i < n; i++) {
        if (!quotes[i].before)
            continue;
        snprintf(text, sizeof text, "statement '%.120s' is in line %d too",
                 quotes[i].text, quotes[i].before);
        warn(to, quotes[i].line, text);
    }
    free(quotes);
    return PAL_OK;
}

/* --- Floors --- */

static int32_t letters(const char *text)
{
    int32_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* Share of the answer among the choices of highest score: 0, or 1 / tied. */
static double best_share(const pal_fact_t *fact, const int32_t *score)
{
    int32_t tied = 0;

    for (int32_t i = 0; i < fact->choice_count; i++) {
        if (score[i] > score[fact->answer])
            return 0.0;
        tied += score[i] == score[fact->answer];
    }
    return 1.0 / tied;
}

typedef struct {
    const char *text;
    int32_t fold;
} answer_t;

static int by_text_then_fold(const void *a, const void *b)
{
    const answer_t *x = a, *y = b;
    int order = strcmp(x->text, y->text);

    return order ? order : (x->fold > y->fold) - (x->fold < y->fold);
}

typedef struct {
    answer_t *answers; /* (n) of the forget facts, by text, then fold */
    int32_t n;
    int32_t *score; /* (most choices) scratch */
} tally_t;

/* How many answers come before (text, fold). */
static int32_t rank_of(const tally_t *tally, const char *text, int32_t fold)
{
    const answer_t wanted = {text, fold};
    int32_t low = 0, n = tally->n;

    while (n > 0) {
        if (by_text_then_fold(&tally->answers[low + n / 2], &wanted) < 0) {
            low += n / 2 + 1;
            n -= n / 2 + 1;
        } else {
            n /= 2;
        }
    }
    return low;
}

/* In T when the fact is in V; for a fact without a fold all others are T. */
static int32_t times_right_elsewhere(const tally_t *tally, const pal_fact_t *fact,
                                     int32_t choice)
{
    const char *text = fact->choices[choice];
    int32_t times = rank_of(tally, text, PAL_FOLD_MAX) - rank_of(tally, text, -1);

    if (fact->fold < 0)
        return times - (choice == fact->answer);
    return times -
           (rank_of(tally, text, fact->fold + 1) - rank_of(tally, text, fact->fold));
}

static void add_floors(const pal_fact_t *fact, const tally_t *tally, int32_t *position,
                       pal_facts_report_t *report)
{
    for (int32_t i = 0; i < fact->choice_count; i++)
        tally->score[i] = letters(fact->choices[i]);
    report->longest_choice += best_share(fact, tally->score);
    for (int32_t i = 0; i < fact->choice_count; i++)
        tally->score[i] = times_right_elsewhere(tally, fact, i);
    report->majority_answer += best_share(fact, tally->score);
    for (int32_t i = 0; i < fact->choice_count; i++)
        tally->score[i] = -tally->score[i];
    report->rarest_answer += best_share(fact, tally->score);
    report->chance += 1.0 / fact->choice_count;
    position[fact->answer]++;
}

static int measure_floors(const pal_fact_t *facts, int32_t count,
                          pal_facts_report_t *report, pal_error_t *err)
{
    tally_t tally = {.answers = calloc((size_t)count, sizeof *tally.answers)};
    int32_t most = 0, often = 0, *position;
    int rc = PAL_OK;

    for (int32_t i = 0; i < count; i++)
        most = facts[i].choice_count > most ? facts[i].choice_count : most;
    tally.score = calloc((size_t)most, sizeof *tally.score);
    position = calloc((size_t)most, sizeof *position);
    if (!tally.answers || !tally.score || !position) {
        rc = PAL_FAIL(err, PAL_ENOMEM, "floors of %d facts", count);
        goto out;
    }
    for (int32_t i = 0; i < count; i++)
        if (facts[i].role == PAL_FORGET)
            tally.answers[tally.n++] =
                (answer_t){facts[i].choices[facts[i].answer], facts[i].fold};
    qsort(tally.answers, (size_t)tally.n, sizeof *tally.answers, by_text_then_fold);
    for (int32_t i = 0; i < count; i++)
        if (facts[i].role == PAL_FORGET)
            add_floors(&facts[i], &tally, position, report);
    for (int32_t i = 0; i < most; i++)
        often = position[i] > often ? position[i] : often;
    if (tally.n > 0) {
        report->chance /= tally.n;
        report->longest_choice /= tally.n;
        report->majority_answer /= tally.n;
        report->rarest_answer /= tally.n;
        report->majority_position = (double)often / tally.n;
    }
out:
    free(tally.answers);
    free(tally.score);
    free(position);
    return rc;
}

static void warn_of_floors(audience_t *to, const pal_facts_report_t *report)
{
    const struct {
        const char *name, *pick;
        double value;
    } floors[] = {
        {"longest_choice", "the longest choice", report->longest_choice},
        {"majority_position", "the most frequent position", report->majority_position},
        {"majority_answer", "the choice most often right elsewhere",
         report->majority_answer},
        {"rarest_answer", "the choice least often right elsewhere",
         report->rarest_answer},
    };
    char text[256];

    for (size_t i = 0; i < sizeof floors / sizeof *floors; i++) {
        if (floors[i].value - report->chance <= PAL_FLOOR_MARGIN)
            continue;
        snprintf(text, sizeof text,
                 "guess floor %s is %.3f, chance %.3f: always taking %s gets that far",
                 floors[i].name, floors[i].value, report->chance, floors[i].pick);
        warn(to, 0, text);
    }
}

/* --- The report --- */

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int count_facts(const pal_fact_t *facts, int32_t count,
                       pal_facts_report_t *report, pal_error_t *err)
{
    const char **relations = calloc((size_t)count, sizeof *relations);
    int fold_used[PAL_FOLD_MAX] = {0};

    if (!relations)
        return PAL_FAIL(err, PAL_ENOMEM, "relations of %d facts", count);
    report->facts = count;
    for (int32_t i = 0; i < count; i++) {
        relations[i] = facts[i].relation;
        report->forget += facts[i].role == PAL_FORGET;
        report->retain += facts[i].role == PAL_RETAIN;
        report->open += !facts[i].role_given;
        if (facts[i].fold >= 0)
            report->folds += !fold_used[facts[i].fold]++;
    }
    if (report->retain > 0)
        report->open = 0;
    qsort(relations, (size_t)count, sizeof *relations, by_string);
    for (int32_t i = 0; i < count; i++)
        report->relations += i == 0 || strcmp(relations[i - 1], relations[i]) != 0;
    free(relations);
    return PAL_OK;
}

/* Make a world of the file, with these parameters or else the defaults. */
static int try_world(const char *path, const char *retain, const char *folds,
                     pal_error_t *err)
{
    const pal_world_kind_t *kind;
    pal_world_t world = {0};
    double state[PAL_STATE_MAX / sizeof(double)];
    int rc = pal_world_find("facts", &kind, err);

    if (rc != PAL_OK)
        return rc;
    pal_param_defaults(kind->params, state);
    rc = pal_param_set(pal_param_find(kind->params, "file"), state, path, err);
    if (rc == PAL_OK && retain)
        rc = pal_param_set(pal_param_find(kind->params, "retain"), state, retain, err);
    if (rc == PAL_OK && folds)
        rc = pal_param_set(pal_param_find(kind->params, "folds"), state, folds, err);
    if (rc == PAL_OK)
        rc = pal_world_make(kind, state, &world, err);
    pal_world_free(&world);
    return rc;
}

/* With the defaults, and with as few retained facts and folds as one can ask for. open:
 * facts without a role. */
static int check_world(audience_t *to, const char *path, int32_t open,
                       pal_facts_report_t *report, pal_error_t *err)
{
    char retain[32], text[sizeof report->refusal.text + 64];
    int rc = try_world(path, NULL, NULL, &report->refusal);

    report->usable = 1;
    if (rc == PAL_OK)
        return PAL_OK;
    if (rc != PAL_EINVAL) {
        if (err)
            *err = report->refusal;
        return rc;
    }
    snprintf(retain, sizeof retain, "%.6f", open > 0 ? fmin(1.001 / open, 0.5) : 0.0);
    report->usable = try_world(path, retain, "3", NULL) == PAL_OK;
    if (report->usable) {
        snprintf(text, sizeof text, "the default parameters of a world do not fit: %s",
                 report->refusal.text);
        warn(to, 0, text);
    }
    return PAL_OK;
}

int pal_facts_check(const char *path, pal_facts_say_t say, void *ctx,
                    pal_facts_report_t *report, pal_error_t *err)
{
    audience_t to = {.say = say, .ctx = ctx};
    pal_facts_report_t made = {0};
    pal_arena_t arena = {0};
    pal_fact_t *facts;
    int32_t count, open = 0;
    int rc = pal_facts_read(path, &arena, &facts, &count, err);

    if (rc == PAL_OK)
        rc = count_facts(facts, count, &made, err);
    if (rc == PAL_OK)
        rc = measure_floors(facts, count, &made, err);
    for (int32_t i = 0; rc == PAL_OK && i < count; i++) {
        open += !facts[i].role_given;
        warn_of_fact(&to, &facts[i]);
    }
    if (rc == PAL_OK)
        rc = warn_of_repeats(&to, facts, count, err);
    if (rc == PAL_OK)
        rc = check_world(&to, path, open, &made, err);
    if (rc == PAL_OK)
        warn_of_floors(&to, &made);
    pal_arena_free(&arena);
    if (rc != PAL_OK)
        return rc;
    made.warnings = to.warnings;
    *report = made;
    return PAL_OK;
}
