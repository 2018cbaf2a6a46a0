#include "base/param.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *slot(const pal_param_t *param, void *state)
{
    return (char *)state + param->offset;
}

static void store_number(const pal_param_t *param, void *state, double value)
{
    if (param->type == PAL_COUNT)
        *(int64_t *)slot(param, state) = (int64_t)value;
    else
        *(double *)slot(param, state) = value;
}

void pal_param_defaults(const pal_param_t *table, void *state)
{
    for (; table->key; table++) {
        if (table->type == PAL_TEXT)
            snprintf(slot(table, state), PAL_TEXT_MAX, "%s",
                     table->text ? table->text : "");
        else
            store_number(table, state, table->preset);
    }
}

const pal_param_t *pal_param_find(const pal_param_t *table, const char *key)
{
    for (; table->key; table++)
        if (strcmp(table->key, key) == 0)
            return table;
    return NULL;
}

static int is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);

    for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (strcspn(p, "|") == n && strncmp(p, text, n) == 0)
            return n > 0;
    return 0;
}

static int set_text(const pal_param_t *param, void *state, const char *text,
                    pal_error_t *err)
{
    if (strlen(text) >= PAL_TEXT_MAX)
        return PAL_REJECT(err, "key '%s': text of %zu bytes; at most %d", param->key,
                          strlen(text), PAL_TEXT_MAX - 1);
    if (param->choices && !is_choice(param->choices, text))
        return PAL_REJECT(err, "key '%s': '%s' is none of %s", param->key, text,
                          param->choices);
    memset(slot(param, state), 0, PAL_TEXT_MAX);
    memcpy(slot(param, state), text, strlen(text));
    return PAL_OK;
}

/* Digits, and a sign if they are negative: what is out of range for strtoll() is so for
 * every table. */
static int set_count(const pal_param_t *param, void *state, const char *text,
                     pal_error_t *err)
{
    const char *digits = text + (text[0] == '-');
    long long value;

    if (!*digits || digits[strspn(digits, "0123456789")])
        return PAL_REJECT(err,
                          "key '%s': %s is not a whole number; expected decimal digits",
                          param->key, text);
    value = strtoll(text, NULL, 10);
    if (value < (long long)param->min || value > (long long)param->max)
        return PAL_REJECT(err, "key '%s': %s is outside %.0f to %.0f (%s)", param->key,
                          text, param->min, param->max, param->help);
    *(int64_t *)slot(param, state) = value;
    return PAL_OK;
}

static int set_real(const pal_param_t *param, void *state, const char *text,
                    pal_error_t *err)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || text[strspn(text, "0123456789+-.eE")] ||
        !isfinite(value))
        return PAL_REJECT(err, "key '%s': '%s' is not a number", param->key, text);
    if (value < param->min || value > param->max)
        return PAL_REJECT(err, "key '%s': %s is outside %g to %g (%s)", param->key,
                          text, param->min, param->max, param->help);
    *(double *)slot(param, state) = value == 0.0 ? 0.0 : value; /* no negative zero */
    return PAL_OK;
}

int pal_param_set(const pal_param_t *param, void *state, const char *text,
                  pal_error_t *err)
{
    switch (param->type) {
    case PAL_COUNT:
        return set_count(param, state, text, err);
    case PAL_REAL:
        return set_real(param, state, text, err);
    default:
        return set_text(param, state, text, err);
    }
}

/* A whole number as such, else the shortest of 1 to 17 digits that reads back as the
 * same double. */
static void print_real(double value, char *text, size_t n)
{
    if (value == floor(value) && fabs(value) < 1e7) {
        snprintf(text, n, "%.0f", value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, n, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

void pal_param_print(const pal_param_t *param, const void *state, char *text, size_t n)
{
    const char *at = (const char *)state + param->offset;

    if (param->type == PAL_TEXT)
        snprintf(text, n, "%s", at);
    else if (param->type == PAL_COUNT)
        snprintf(text, n, "%lld", (long long)*(const int64_t *)at);
    else
        print_real(*(const double *)at, text, n);
}

void pal_param_hash(const pal_param_t *table, const void *state, pal_hash_t *hash)
{
    char text[PAL_TEXT_MAX];

    for (; table->key; table++) {
        pal_param_print(table, state, text, sizeof text);
        pal_hash_print(hash, "%s=%s", table->key, text);
    }
}
