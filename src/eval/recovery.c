#include "eval/recovery.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"

/* One entry's, or many entries', contribution to every mean. */
typedef struct {
    double n, unlearned, floor, ceiling;
} sums_t;

/* The measured part: rows and columns that hold at least one entry. */
typedef struct {
    int32_t seeds, facts;
    sums_t *entries;                         /* [seeds, facts]; zero if not measured */
    double *seed_drawn, *fact_drawn;         /* how often a resample holds each */
    double (*statistic)(const sums_t *sums); /* NaN: undefined */
} sample_t;

static double mean_of(const sums_t *sums)
{
    return sums->unlearned / sums->n;
}

static double recovery_of(const sums_t *sums)
{
    double floor = sums->floor / sums->n;
    double gap = sums->ceiling / sums->n - floor;

    return gap >= PAL_SMALLEST_GAP ? (sums->unlearned / sums->n - floor) / gap : NAN;
}

static sums_t entry_of(const double *const scores[3], size_t i)
{
    sums_t entry = {1, scores[0][i], scores[1] ? scores[1][i] : 0,
                    scores[2] ? scores[2][i] : 0};

    if (isnan(entry.unlearned) || isnan(entry.floor) || isnan(entry.ceiling))
        return (sums_t){0, 0, 0, 0};
    return entry;
}

/* Number the rows and columns that hold an entry; -1 for the others. */
static void number_measured(const double *const scores[3], int32_t seeds, int32_t facts,
                            int32_t *row, int32_t *column, sample_t *sample)
{
    for (int32_t s = 0; s < seeds; s++)
        row[s] = -1;
    for (int32_t f = 0; f < facts; f++)
        column[f] = -1;
    for (int32_t s = 0; s < seeds; s++)
        for (int32_t f = 0; f < facts; f++)
            if (entry_of(scores, (size_t)s * (size_t)facts + (size_t)f).n > 0)
                row[s] = column[f] = 0;
    for (int32_t s = 0; s < seeds; s++)
        if (row[s] == 0)
            row[s] = sample->seeds++;
    for (int32_t f = 0; f < facts; f++)
        if (column[f] == 0)
            column[f] = sample->facts++;
}

static void sample_free(sample_t *sample)
{
    free(sample->entries);
    free(sample->seed_drawn);
    free(sample->fact_drawn);
}

/* On failure the sample holds nothing. */
static int sample_make(const double *const scores[3], int32_t seeds, int32_t facts,
                       sample_t *sample, pal_error_t *err)
{
    size_t rows = (size_t)seeds, columns = (size_t)facts;
    int32_t *row = malloc((rows + 1) * sizeof *row);
    int32_t *column = malloc((columns + 1) * sizeof *column);
    int rc = PAL_OK;

    sample->entries = calloc(rows * columns + 1, sizeof *sample->entries);
    sample->seed_drawn = malloc((rows + 1) * sizeof *sample->seed_drawn);
    sample->fact_drawn = malloc((columns + 1) * sizeof *sample->fact_drawn);
    if (!row || !column || !sample->entries || !sample->seed_drawn ||
        !sample->fact_drawn) {
        sample_free(sample);
        rc = PAL_FAIL(err, PAL_ENOMEM, "scores of %d seeds and %d facts", seeds, facts);
        goto out;
    }
    number_measured(scores, seeds, facts, row, column, sample);
    for (size_t s = 0; s < rows; s++)
        for (size_t f = 0; f < columns; f++)
            if (row[s] >= 0 && column[f] >= 0)
                sample->entries[(size_t)row[s] * (size_t)sample->facts + column[f]] =
                    entry_of(scores, s * columns + f);
out:
    free(row);
    free(column);
    return rc;
}

/* total += times * part */
static void sums_add(sums_t *total, double times, const sums_t *part)
{
    total->n += times * part->n;
    total->unlearned += times * part->unlearned;
    total->floor += times * part->floor;
    total->ceiling += times * part->ceiling;
}

static double sample_statistic(const sample_t *sample)
{
    sums_t total = {0, 0, 0, 0};

    for (int32_t s = 0; s < sample->seeds; s++) {
        const sums_t *entries = sample->entries + (size_t)s * (size_t)sample->facts;
        sums_t row = {0, 0, 0, 0};

        if (sample->seed_drawn[s] == 0)
            continue;
        for (int32_t f = 0; f < sample->facts; f++)
            sums_add(&row, sample->fact_drawn[f], &entries[f]);
        sums_add(&total, sample->seed_drawn[s], &row);
    }
    return total.n > 0 ? sample->statistic(&total) : NAN;
}

static void draw(pal_rng_t *rng, double *drawn, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        drawn[i] = 0;
    for (int32_t i = 0; i < n; i++)
        drawn[pal_rng_below(rng, (uint32_t)n)]++;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Linear between order statistics, as numpy.percentile. */
static double quantile(const double *sorted, int32_t n, double q)
{
    double position = q * (n - 1);
    int32_t i = (int32_t)position;

    if (i + 1 >= n)
        return sorted[n - 1];
    return sorted[i] + (position - i) * (sorted[i + 1] - sorted[i]);
}

static void sample_interval(sample_t *sample, pal_key_t key, double *low, double *high)
{
    double lows[PAL_RESAMPLES], highs[PAL_RESAMPLES];
    pal_rng_t rng;

    *low = *high = NAN;
    if (sample->seeds == 1 && sample->facts == 1)
        return;
    pal_rng_init(&rng, key, "bootstrap");
    for (int32_t i = 0; i < PAL_RESAMPLES; i++) {
        double value;

        draw(&rng, sample->seed_drawn, sample->seeds);
        draw(&rng, sample->fact_drawn, sample->facts);
        value = sample_statistic(sample);
        lows[i] = isnan(value) ? -INFINITY : value;
        highs[i] = isnan(value) ? INFINITY : value;
    }
    qsort(lows, PAL_RESAMPLES, sizeof *lows, ascending);
    qsort(highs, PAL_RESAMPLES, sizeof *highs, ascending);
    *low = quantile(lows, PAL_RESAMPLES, 0.025);
    *high = quantile(highs, PAL_RESAMPLES, 0.975);
    if (!isfinite(*low) || !isfinite(*high))
        *low = *high = NAN;
}

static int estimate(const double *const scores[3], int32_t seeds, int32_t facts,
                    double (*statistic)(const sums_t *), pal_key_t key,
                    pal_estimate_t *out, pal_error_t *err)
{
    sample_t sample = {.statistic = statistic};
    pal_estimate_t found = {NAN, NAN, NAN, 0, 0, NULL};
    int rc = sample_make(scores, seeds, facts, &sample, err);

    if (rc != PAL_OK)
        return rc;
    found.seeds = sample.seeds;
    found.facts = sample.facts;
    for (int32_t s = 0; s < sample.seeds; s++)
        sample.seed_drawn[s] = 1;
    for (int32_t f = 0; f < sample.facts; f++)
        sample.fact_drawn[f] = 1;
    found.value = sample_statistic(&sample);
    if (found.seeds == 0)
        found.reason = "nothing measured";
    else if (isnan(found.value))
        found.reason = "ceiling too near floor";
    else
        sample_interval(&sample, key, &found.low, &found.high);
    sample_free(&sample);
    *out = found;
    return PAL_OK;
}

int pal_estimate_mean(const double *scores, int32_t seeds, int32_t facts, pal_key_t key,
                      pal_estimate_t *out, pal_error_t *err)
{
    const double *const all[3] = {scores, NULL, NULL};

    return estimate(all, seeds, facts, mean_of, key, out, err);
}

/* P(|T| <= sqrt(freedom) tan(angle)) for Student's T: Abramowitz & Stegun, Handbook of
 * Mathematical Functions, 26.7.3 and 26.7.4. */
static double student_within(double angle, int32_t freedom)
{
    int32_t odd = freedom % 2;
    double term = odd ? cos(angle) : 1, sum = 0;

    for (int32_t k = odd; k <= freedom - 2; k += 2) {
        sum += term;
        term *= cos(angle) * cos(angle) * (k + 1) / (k + 2);
    }
    sum *= sin(angle);
    return odd ? (angle + sum) / acos(0) : sum;
}

/* The t that |T| exceeds in 5 % of cases, by halving. */
static double student_point(int32_t freedom)
{
    double low = 0, high = acos(0);

    for (int i = 0; i < 60; i++) {
        double angle = (low + high) / 2;

        if (student_within(angle, freedom) < 0.95)
            low = angle;
        else
            high = angle;
    }
    return sqrt(freedom) * tan(low);
}

void pal_estimate_seeds(const double *scores, int32_t seeds, pal_estimate_t *out)
{
    double sum = 0, squares = 0, mean, reach;
    int32_t n = 0;

    for (int32_t s = 0; s < seeds; s++)
        if (!isnan(scores[s])) {
            sum += scores[s];
            n++;
        }
    mean = n ? sum / n : NAN;
    *out = (pal_estimate_t){mean, NAN, NAN, n, n > 0, n ? NULL : "nothing measured"};
    if (n < 2)
        return;
    for (int32_t s = 0; s < seeds; s++)
        if (!isnan(scores[s]))
            squares += (scores[s] - mean) * (scores[s] - mean);
    reach = student_point(n - 1) * sqrt(squares / (n - 1) / n);
    out->low = fmax(0, mean - reach);
    out->high = fmin(1, mean + reach);
}

int pal_estimate_recovery(const double *unlearned, const double *floor,
                          const double *ceiling, int32_t seeds, int32_t facts,
                          pal_key_t key, pal_estimate_t *out, pal_error_t *err)
{
    const double *const all[3] = {unlearned, floor, ceiling};

    return estimate(all, seeds, facts, recovery_of, key, out, err);
}
