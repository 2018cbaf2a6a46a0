/* recovery.h -- how much comes back: means, recoveries and their bootstrap intervals.
 *
 * Scores are matrices [seeds, facts]: 1 right, 0 wrong (or any number whose mean is
 * wanted), NaN not measured. Rows and columns without a measurement do not count, so
 * that a sweep that is still running, or one with failed trials, can be read.
 *
 * Intervals are 95 % percentile intervals of the two-way ("pigeonhole") bootstrap:
 * seeds and facts are drawn with replacement independently of each other (Owen, "The
 * pigeonhole bootstrap", Annals of Applied Statistics 2007), since a hard fact is hard
 * for every seed and a bad seed is bad for every fact. With one seed only facts are
 * drawn, and the interval says nothing about other seeds. What has one number a seed
 * takes Student's interval in its place: the percentiles of 2 or 3 numbers cover their
 * mean in one half or three quarters of cases. No files, no printing.
 */
#ifndef PAL_EVAL_RECOVERY_H
#define PAL_EVAL_RECOVERY_H

#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

enum { PAL_RESAMPLES = 2000 };

/* A recovery is not read from a smaller gap between ceiling and floor: it would be
 * noise. */
#define PAL_SMALLEST_GAP 0.05

typedef struct {
    double value;         /* NaN: there is none, see reason */
    double low, high;     /* 95 % interval; NaN: there is none */
    int32_t seeds, facts; /* that were measured */
    const char *reason;   /* why value is NaN; static; NULL for a number */
} pal_estimate_t;

/* Mean of scores[seeds * facts]. key names the random numbers: equal keys, equal
 * intervals. A single seed and fact has no interval. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_estimate_mean(const double *scores, int32_t seeds, int32_t facts, pal_key_t key,
                      pal_estimate_t *out, pal_error_t *err);

/* Mean of scores[seeds], fractions in [0, 1] of which each seed has one: mean +- t s /
 * sqrt(n), where t is the 97.5 % point of Student's distribution with n - 1 degrees of
 * freedom and s the standard deviation of the n measured seeds; cut at 0 and 1. One
 * seed has no interval. */
void pal_estimate_seeds(const double *scores, int32_t seeds, pal_estimate_t *out);

/* (U - floor) / (ceiling - floor), where U, floor and ceiling are means over the
 * entries measured in all of them (a ratio of means, not a mean of ratios), each
 * [seeds, facts]. All are resampled together, hence paired.
 *
 * floor = NULL stands for 0: the paper's recovery, U / ceiling, which counts guessing
 * as recovery (Deeb & Roger 2024). NaN with a reason where ceiling - floor is below
 * PAL_SMALLEST_GAP. Resamples with such a gap may recover anything: they count as below
 * all others for the lower bound and as above all for the upper; where that makes a
 * bound infinite there is no interval. PAL_ENOMEM. */
PAL_MUST_CHECK
int pal_estimate_recovery(const double *unlearned, const double *floor,
                          const double *ceiling, int32_t seeds, int32_t facts,
                          pal_key_t key, pal_estimate_t *out, pal_error_t *err);

#endif
