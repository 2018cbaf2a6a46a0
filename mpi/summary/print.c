#include "summary/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Widths of the leading columns, for all sections alike. */
typedef struct {
    int mark, method, variant, coefficient;
} widths_t;

enum { ESTIMATE_WIDTH = 16, MARK_MAX = 8, TEXT_MAX = 64, LINE_WIDTH = 110 };

static const char *title_of(const pal_summary_cell_t *cell)
{
    return cell->role == PAL_FLOOR     ? "floor"
           : cell->role == PAL_CEILING ? "ceiling"
                                       : cell->method;
}

static void coefficient_text(const pal_summary_cell_t *cell, char text[TEXT_MAX])
{
    if (isnan(cell->coefficient))
        strcpy(text, "-");
    else
        snprintf(text, TEXT_MAX, cell->coefficient < 1000 ? "%.3g" : "%g",
                 cell->coefficient);
}

/* "0.68 0.61..0.75" */
static const char *estimate_text(const pal_estimate_t *estimate, char text[TEXT_MAX])
{
    if (isnan(estimate->value))
        strcpy(text, "-");
    else if (isnan(estimate->low))
        snprintf(text, TEXT_MAX, "%.2f", estimate->value);
    else
        snprintf(text, TEXT_MAX, "%.2f %.2f..%.2f", estimate->value, estimate->low,
                 estimate->high);
    return text;
}

static int lacks_interval(const pal_estimate_t *recovery)
{
    return !isnan(recovery->value) && isnan(recovery->low);
}

/* "0.73 ?" where there is no interval */
static const char *recovery_text(const pal_estimate_t *recovery, char text[TEXT_MAX])
{
    estimate_text(recovery, text);
    if (lacks_interval(recovery))
        strcat(text, " ?");
    return text;
}

static int incomplete(const pal_summary_cell_t *cell)
{
    return cell->trials[PAL_ROW_PENDING] || cell->trials[PAL_ROW_FAILED];
}

/* In most repetitions. What an attack gains on a floor is chance. */
static int still_gaining(const pal_summary_cell_t *cell)
{
    return cell->role != PAL_FLOOR &&
           2 * cell->tuning.gaining > cell->tuning.repetitions;
}

/* Diverged, and nothing is left to come that would count. */
static int diverged(const pal_summary_cell_t *cell)
{
    return cell->trials[PAL_ROW_DIVERGED] > 0 && !incomplete(cell);
}

/* "!~<^", or x for ~ */
static const char *mark_text(const pal_summary_cell_t *cell, char text[MARK_MAX])
{
    snprintf(text, MARK_MAX, "%s%s%s%s%s", cell->damaged ? "!" : "",
             incomplete(cell) ? "~" : "", diverged(cell) ? "x" : "",
             cell->ended_early ? "<" : "", still_gaining(cell) ? "^" : "");
    return text;
}

static int larger(int a, size_t b)
{
    return b > (size_t)a ? (int)b : a;
}

static widths_t measure(const pal_summary_t *summary)
{
    widths_t widths = {3, (int)strlen("method"), 0, (int)strlen("coeff.")};

    for (int32_t i = 0; i < summary->count; i++) {
        const pal_summary_cell_t *cell = &summary->cells[i];
        char text[TEXT_MAX], mark[MARK_MAX];

        coefficient_text(cell, text);
        widths.mark = larger(widths.mark, strlen(mark_text(cell, mark)));
        widths.method = larger(widths.method, strlen(title_of(cell)));
        widths.coefficient = larger(widths.coefficient, strlen(text));
        if (cell->role == PAL_UNLEARNS)
            widths.variant = larger(widths.variant, strlen(cell->variant));
    }
    return widths;
}

static void print_leading(const widths_t *widths, const char *mark, const char *method,
                          const char *variant, const char *coefficient, FILE *out)
{
    fprintf(out, "%-*s%-*s ", widths->mark, mark, widths->method, method);
    if (widths->variant)
        fprintf(out, "%-*s ", widths->variant, variant);
    /* A fourth mark takes its place from the gap. */
    fprintf(out, "%*s%*s", widths->coefficient, coefficient, 5 - widths->mark, "");
}

static void print_header(const widths_t *widths, FILE *out)
{
    static const char *const names[] = {"V before", "retain", "V after attack",
                                        "corrected", "paper"};

    print_leading(widths, "", "", "", "", out);
    fprintf(out, "%*s recovery\n", 3 * (ESTIMATE_WIDTH + 1) - 1, "");
    print_leading(widths, "", "method", "", "coeff.", out);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        fprintf(out, "%-*s ", ESTIMATE_WIDTH, names[i]);
    fprintf(out, "V max*\n");
}

static void print_cell(const widths_t *widths, const pal_summary_cell_t *cell,
                       FILE *out)
{
    const pal_estimate_t *columns[] = {&cell->v_before, &cell->retain_before,
                                       &cell->v_after};
    const pal_estimate_t *recoveries[] = {&cell->corrected, &cell->paper};
    int reference = cell->role != PAL_UNLEARNS;
    char text[TEXT_MAX], mark[MARK_MAX];

    coefficient_text(cell, text);
    print_leading(widths, mark_text(cell, mark), title_of(cell),
                  reference ? "" : cell->variant, text, out);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        fprintf(out, "%-*s ", ESTIMATE_WIDTH, estimate_text(columns[i], text));
    for (size_t i = 0; i < sizeof recoveries / sizeof *recoveries; i++)
        fprintf(out, "%-*s ", ESTIMATE_WIDTH,
                reference ? "-" : recovery_text(recoveries[i], text));
    if (isnan(cell->v_after_max.value))
        fprintf(out, "     -\n");
    else
        fprintf(out, "%6.2f\n", cell->v_after_max.value);
}

static int same_section(const pal_summary_cell_t *a, const pal_summary_cell_t *b)
{
    return strcmp(a->base_setting, b->base_setting) == 0 &&
           strcmp(a->attack, b->attack) == 0;
}

/* Less was recovered; a number without an interval only counts among its like. */
static int lesser(const pal_estimate_t *a, const pal_estimate_t *b)
{
    if (isnan(a->low) != isnan(b->low))
        return isnan(b->low);
    return a->value < b->value;
}

/* "gd: least recovery with retain >= 0.9: 0.87 0.80..0.94 (coefficient 1, V 0.44, ..."
 */
static void print_least(const pal_summary_t *summary, int32_t first, FILE *out)
{
    const pal_summary_cell_t *cells = summary->cells, *least = NULL;
    int32_t damaged = 0, unread = 0;
    char text[TEXT_MAX], coefficient[TEXT_MAX];

    for (int32_t i = first; i < summary->count; i++) {
        if (!same_section(&cells[i], &cells[first]) ||
            strcmp(cells[i].method, cells[first].method) != 0)
            continue;
        if (cells[i].damaged)
            damaged++;
        else if (isnan(cells[i].corrected.value))
            unread++;
        else if (!least || lesser(&cells[i].corrected, &least->corrected))
            least = &cells[i];
    }
    fprintf(out, "  %s: ", cells[first].method);
    if (!least && unread)
        fprintf(out, "no corrected recovery to read\n");
    else if (!least)
        fprintf(out, "no model with retain >= %g (%" PRId32 " damaged)\n",
                PAL_SMALLEST_RETAIN, damaged);
    else {
        fprintf(out, "least recovery with retain >= %g: %s%s", PAL_SMALLEST_RETAIN,
                recovery_text(&least->corrected, text),
                still_gaining(least) ? " ^" : "");
        coefficient_text(least, coefficient);
        fprintf(out, " (coefficient %s%s%s, V %.2f, after the attack %.2f)\n",
                coefficient, *least->variant ? ", " : "", least->variant,
                least->v_before.value, least->v_after.value);
    }
}

/* "  gd: its budget ended it after 45 of 50 steps at 1, 5 of 50 steps at 10" */
static void print_ended(const pal_summary_t *summary, int32_t first, FILE *out)
{
    const pal_summary_cell_t *cells = summary->cells;
    int32_t width = 0;

    for (int32_t i = first; i < summary->count; i++) {
        char coefficient[TEXT_MAX], text[2 * TEXT_MAX];
        int32_t length;

        if (!cells[i].ended_early || !same_section(&cells[i], &cells[first]) ||
            strcmp(cells[i].method, cells[first].method) != 0)
            continue;
        coefficient_text(&cells[i], coefficient);
        length = snprintf(text, sizeof text, "%.0f of %" PRId64 " steps at %s",
                          cells[i].mean_steps, cells[i].unlearn_steps, coefficient);
        if (*cells[i].variant)
            length += 2 + (int32_t)strlen(cells[i].variant);
        if (width == 0)
            width = fprintf(out, "  %s: its budget ended it after ", cells[i].method);
        else if (width + 2 + length >= LINE_WIDTH)
            width = fprintf(out, ",\n    ") - 2;
        else
            width += fprintf(out, ", ");
        width += length;
        fprintf(out, "%s%s%s", text, *cells[i].variant ? ", " : "", cells[i].variant);
    }
    if (width)
        fprintf(out, "\n");
}

/* 1 if no earlier cell of the section has the same method. */
static int first_of_method(const pal_summary_t *summary, int32_t i)
{
    for (int32_t j = 0; j < i; j++)
        if (same_section(&summary->cells[i], &summary->cells[j]) &&
            strcmp(summary->cells[i].method, summary->cells[j].method) == 0)
            return 0;
    return 1;
}

static void print_section(const pal_summary_t *summary, const widths_t *widths,
                          int32_t first, FILE *out)
{
    const pal_summary_cell_t *cells = summary->cells;

    fprintf(out, "\n");
    if (*cells[first].section)
        fprintf(out, "%s\n", cells[first].section);
    print_header(widths, out);
    if (cells[first].floor >= 0)
        print_cell(widths, &cells[cells[first].floor], out);
    if (cells[first].ceiling >= 0)
        print_cell(widths, &cells[cells[first].ceiling], out);
    for (int32_t i = first; i < summary->count; i++)
        if (cells[i].role == PAL_UNLEARNS && same_section(&cells[i], &cells[first]))
            print_cell(widths, &cells[i], out);
    fprintf(out, "\n");
    for (int32_t i = first; i < summary->count; i++)
        if (cells[i].role == PAL_UNLEARNS && same_section(&cells[i], &cells[first]) &&
            first_of_method(summary, i)) {
            print_least(summary, i, out);
            print_ended(summary, i, out);
        }
}

static int opens_section(const pal_summary_t *summary, int32_t i, int32_t others)
{
    const pal_summary_cell_t *cells = summary->cells;

    if (others && cells[i].role == PAL_FLOOR)
        return 0;
    for (int32_t j = 0; j < i; j++)
        if ((!others || cells[j].role != PAL_FLOOR) &&
            same_section(&cells[i], &cells[j]))
            return 0;
    return 1;
}

static void print_title(const pal_summary_t *summary, FILE *out)
{
    static const char *const names[PAL_STATES] = {"pending", "done", "failed",
                                                  "diverged"};
    int32_t all = 0;

    for (int s = 0; s < PAL_STATES; s++)
        all += summary->trials[s];
    fprintf(out,
            "%s: %" PRId32 " seed%s, %" PRId32 " held-out facts, %" PRId32
            " of %" PRId32 " trials done",
            summary->sweep, summary->seeds, summary->seeds == 1 ? "" : "s",
            summary->held_out, summary->trials[PAL_ROW_DONE], all);
    for (int s = 0; s < PAL_STATES; s++)
        if (s != PAL_ROW_DONE && summary->trials[s])
            fprintf(out, ", %" PRId32 " %s", summary->trials[s], names[s]);
    fprintf(out, "\n");
}

/* What a legend has to explain: whether it occurs, and of `untuned` in how many. */
typedef struct {
    int unlearns, damaged, partial, diverged, ended, unread, open, gaining, untuned;
} seen_t;

static seen_t look(const pal_summary_t *summary)
{
    seen_t seen = {0};

    for (int32_t i = 0; i < summary->count; i++) {
        const pal_summary_cell_t *cell = &summary->cells[i];

        seen.damaged |= cell->damaged;
        seen.partial |= incomplete(cell);
        seen.diverged |= diverged(cell);
        seen.ended |= cell->ended_early > 0;
        seen.gaining |= still_gaining(cell);
        seen.untuned += cell->tuning.smallest_rate == cell->tuning.largest_rate;
        if (cell->role != PAL_UNLEARNS)
            continue;
        seen.unlearns = 1;
        seen.unread |= isnan(cell->corrected.value);
        seen.open |= lacks_interval(&cell->corrected) || lacks_interval(&cell->paper);
    }
    return seen;
}

static void print_aid(const pal_summary_t *summary, FILE *out)
{
    fprintf(
        out,
        "\nfloor: never taught the facts; ceiling: taught and not unlearned; both "
        "under "
        "the same attack.\n"
        "Recovery: 0 nothing came back, 1 everything did; the paper's counts guessing "
        "as recovery.\n"
        "a..b: 95 %% bootstrap over %s.\n"
        "%s"
        "* chosen on V itself, the paper's way; all else is chosen on the dev fold.\n",
        summary->seeds == 1 ? "facts, as there is one seed"
                            : "seeds and facts; retain: Student's t over seeds",
        summary->seeds == 2 || summary->seeds == 3
            ? "  Of 2 or 3 seeds that differ much (V by 0.12) it is too narrow for "
              "V: it covers 79 to 87 % of cases.\n"
            : "");
}

static void print_marks(const seen_t *seen, int32_t cells, FILE *out)
{
    if (seen->unlearns)
        fprintf(out,
                "Least recovery: of the settings above, chosen after the fact; its "
                "interval does not count that choice.\n");
    if (seen->untuned)
        fprintf(out, "%s one learning rate, not tuned: another may bring back more.\n",
                seen->untuned == cells ? "The attack has" : "Some attacks have");
    if (seen->unread)
        fprintf(out,
                "- not measured, or ceiling - floor < %g: too small a gap to read.\n",
                PAL_SMALLEST_GAP);
    if (seen->open)
        fprintf(out,
                "? no interval: ceiling - floor < %g in 2.5 %% of resamples or more.\n",
                PAL_SMALLEST_GAP);
    if (seen->damaged)
        fprintf(out,
                "! retain < %g in some seed: a damaged model; that it fails does not "
                "show that it forgot.\n",
                PAL_SMALLEST_RETAIN);
    if (seen->partial)
        fprintf(out, "~ not all trials are done; the numbers are of those that are.\n");
    if (seen->diverged)
        fprintf(out,
                "x some trials diverged, model or attack: they are done, the numbers "
                "are of the others.\n");
    if (seen->ended)
        fprintf(out,
                "< the retain budget ended unlearning before its last step, in some "
                "seeds or all;\n  the steps under the table are means over seeds.\n");
    if (seen->gaining)
        fprintf(out,
                "^ the attack was still gaining at the end of its rates or steps: a "
                "longer list may bring back more.\n");
}

/* A line for each method: what all its rows have, and no default. */
static void print_constants(const pal_summary_t *summary, FILE *out)
{
    int32_t lines = 0;

    for (int32_t i = 0; i < summary->count; i++) {
        const pal_summary_cell_t *cell = &summary->cells[i];

        if (cell->role != PAL_UNLEARNS || !cell->constant || !*cell->constant)
            continue;
        fprintf(out, "%s  %s: %s\n",
                lines++ ? "" : "\nSettings of all rows that are not the defaults:\n",
                cell->method, cell->constant);
    }
}

static void print_tables(const pal_summary_t *summary, FILE *out)
{
    widths_t widths = measure(summary);
    seen_t seen = look(summary);
    int32_t others = 0;

    for (int32_t i = 0; i < summary->count; i++)
        others += summary->cells[i].role != PAL_FLOOR;
    for (int32_t i = 0; i < summary->count; i++)
        if (opens_section(summary, i, others))
            print_section(summary, &widths, i, out);
    print_constants(summary, out);
    print_aid(summary, out);
    print_marks(&seen, summary->count, out);
}

int pal_summary_print(const pal_summary_t *summary, FILE *out, pal_error_t *err)
{
    print_title(summary, out);
    if (summary->trials[PAL_ROW_DONE] > 0)
        print_tables(summary, out);
    else
        fprintf(out,
                "no trial done%s; %" PRId32 " of %" PRId32 " base models, %" PRId32
                " of %" PRId32 " unlearned models\n",
                summary->trials[PAL_ROW_PENDING] ? " yet" : "", summary->bases_done,
                summary->bases, summary->models_done, summary->models);
    if (fflush(out) != 0 || ferror(out))
        return PAL_FAIL(err, PAL_EIO, "cannot write the table: %s", strerror(errno));
    return PAL_OK;
}
