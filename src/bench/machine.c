#include "bench/machine.h"

#include <stddef.h>
#include <stdlib.h>

#include "bench/timing.h"
#include "kernel/clones.h"
#include "kernel/lanes.h"
#include "kernel/rows.h"

/* Enough chains of multiply-adds to hide the latency of each. */
enum { CHAINS = 12, ROUNDS = 4096, COPIED_FLOATS = 1 << 24 };

/* a stays near 1 and the sums near their start: nothing overflows or becomes denormal.
 */
PAL_CLONES
static void multiply_add(void *ctx)
{
    float *lanes = ctx;
    float sum[CHAINS][PAL_LANES];
    const float a = lanes[0], b = 1.0f - a;

    for (int c = 0; c < CHAINS; c++)
        for (int j = 0; j < PAL_LANES; j++)
            sum[c][j] = lanes[j] + (float)c;
    for (int i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++)
            for (int j = 0; j < PAL_LANES; j++)
                sum[c][j] = sum[c][j] * a + b;
    for (int c = 0; c < CHAINS; c++)
        for (int j = 0; j < PAL_LANES; j++)
            lanes[PAL_LANES + j] += sum[c][j];
}

double pal_machine_flops(double seconds)
{
    float lanes[2 * PAL_LANES] = {0.999f};
    const pal_timing_t timing = pal_timing_take(multiply_add, lanes, seconds);

    return 2.0 * ROUNDS * CHAINS * PAL_LANES / timing.least;
}

static void add(void *ctx)
{
    float *array = ctx;

    pal_add(array, array + COPIED_FLOATS, COPIED_FLOATS);
}

double pal_machine_bandwidth(double seconds)
{
    float *arrays = calloc(2 * COPIED_FLOATS, sizeof *arrays);
    pal_timing_t timing;

    if (!arrays)
        return 0;
    for (size_t i = 0; i < 2 * COPIED_FLOATS; i++)
        arrays[i] = 1e-3f;
    timing = pal_timing_take(add, arrays, seconds);
    free(arrays);
    return 3.0 * COPIED_FLOATS * sizeof *arrays / timing.least;
}
