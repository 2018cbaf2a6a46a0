#include "kernel/vector.h"

#include "kernel/clones.h"
#include "kernel/lanes.h"

PAL_INLINE double lanes_total(const double lane[PAL_LANES])
{
    double sum = 0.0;

    for (int j = 0; j < PAL_LANES; j++)
        sum += lane[j];
    return sum;
}

PAL_CLONES
double pal_dot(const float *x, const float *y, int64_t n)
{
    double lane[PAL_LANES] = {0};
    int64_t i = 0;

    for (; i + PAL_LANES <= n; i += PAL_LANES)
        for (int j = 0; j < PAL_LANES; j++)
            lane[j] += (double)x[i + j] * y[i + j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += (double)x[i] * y[i];
    return lanes_total(lane);
}

double pal_dot_ref(const double *x, const double *y, int64_t n)
{
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

double pal_norm_squared(const float *x, int64_t n)
{
    return pal_dot(x, x, n);
}

double pal_norm_squared_ref(const double *x, int64_t n)
{
    return pal_dot_ref(x, x, n);
}

PAL_CLONES
void pal_scale(float *x, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= a;
}

void pal_scale_ref(double *x, double a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= a;
}

PAL_CLONES
void pal_axpby(float *y, float a, float b, const float *x, int64_t n)
{
    if (a == 0.0f)
        for (int64_t i = 0; i < n; i++)
            y[i] = b * x[i];
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = a * y[i] + b * x[i];
}

void pal_axpby_ref(double *y, double a, double b, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (a == 0.0 ? 0.0 : a * y[i]) + b * x[i];
}

PAL_CLONES
void pal_sign_mask(float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (x[i] > 0 && y[i] <= 0) || (x[i] < 0 && y[i] >= 0) ? 0.0f : x[i];
}

/* NaN has no sign, as in the fast form: it is kept, and keeps what it is compared with.
 */
void pal_sign_mask_ref(double *x, const double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int a = (x[i] > 0) - (x[i] < 0), b = (y[i] > 0) - (y[i] < 0);

        if (x[i] == x[i] && y[i] == y[i] && a != b)
            x[i] = 0;
    }
}
