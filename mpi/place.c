#include "place.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <string.h>

void pal_place_library(char *text, int n)
{
    snprintf(text, (size_t)n, "hwloc %s", HWLOC_VERSION);
}

static int load(hwloc_topology_t *topology, pal_error_t *err)
{
    if (hwloc_topology_init(topology) != 0)
        return PAL_FAIL(err, PAL_EIO, "hwloc does not start");
    if (hwloc_topology_load(*topology) != 0) {
        hwloc_topology_destroy(*topology);
        return PAL_FAIL(err, PAL_EIO, "hwloc cannot read the machine: %s",
                        strerror(errno));
    }
    return PAL_OK;
}

int pal_place_usable(pal_cores_t *usable, pal_error_t *err)
{
    hwloc_topology_t topology;
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int unit, rc = load(&topology, err);

    if (rc != PAL_OK || !set) {
        hwloc_bitmap_free(set);
        return rc != PAL_OK ? rc : PAL_FAIL(err, PAL_ENOMEM, "a set of cores");
    }
    /* A synthetic machine has no mask of its own: then all that it allows. */
    if (!hwloc_topology_is_thissystem(topology) ||
        hwloc_get_cpubind(topology, set, HWLOC_CPUBIND_THREAD) != 0)
        hwloc_bitmap_fill(set);
    hwloc_bitmap_and(set, set, hwloc_topology_get_allowed_cpuset(topology));
    memset(usable, 0, sizeof *usable);
    hwloc_bitmap_foreach_begin (unit, set)
        if (unit < PAL_MOST_CORES)
            usable->unit[unit] = 1;
    hwloc_bitmap_foreach_end();
    hwloc_bitmap_free(set);
    hwloc_topology_destroy(topology);
    return PAL_OK;
}

/* --- Splitting --- */

static int all_equal(const pal_cores_t *sets, int32_t n)
{
    for (int32_t i = 1; i < n; i++)
        if (memcmp(&sets[i], &sets[0], sizeof *sets) != 0)
            return 0;
    return 1;
}

static int all_disjoint(const pal_cores_t *sets, int32_t n)
{
    for (int u = 0; u < PAL_MOST_CORES; u++) {
        int holders = 0;

        for (int32_t i = 0; i < n; i++)
            holders += sets[i].unit[u];
        if (holders > 1)
            return 0;
    }
    return 1;
}

static int overlaps(const pal_cores_t *set, hwloc_obj_t core)
{
    int unit;

    hwloc_bitmap_foreach_begin (unit, core->cpuset)
        if (unit < PAL_MOST_CORES && set->unit[unit])
            return 1;
    hwloc_bitmap_foreach_end();
    return 0;
}

/* Add what the set has of a core's units. */
static void take(const pal_cores_t *set, hwloc_obj_t core, pal_cores_t *share)
{
    int unit;

    hwloc_bitmap_foreach_begin (unit, core->cpuset)
        if (unit < PAL_MOST_CORES && set->unit[unit])
            share->unit[unit] = 1;
    hwloc_bitmap_foreach_end();
}

/* Part `mine` of `ranks` of the cores that the set touches. */
static int split(const pal_cores_t *set, int32_t ranks, int32_t mine,
                 pal_cores_t *share, pal_error_t *err)
{
    hwloc_topology_t topology;
    hwloc_obj_t core = NULL;
    int32_t cores = 0, first, last, i = 0;
    int rc = load(&topology, err);

    if (rc != PAL_OK)
        return rc;
    while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core)))
        cores += overlaps(set, core);
    if (cores == 0) { /* no core that hwloc knows: leave it be */
        *share = *set;
        goto out;
    }
    first = (int32_t)((int64_t)mine * cores / ranks);
    last = (int32_t)((int64_t)(mine + 1) * cores / ranks);
    if (ranks > cores) {
        first = mine % cores;
        last = first + 1;
    }
    memset(share, 0, sizeof *share);
    while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core))) {
        if (!overlaps(set, core))
            continue;
        if (i >= first && i < last)
            take(set, core, share);
        i++;
    }
out:
    hwloc_topology_destroy(topology);
    return PAL_OK;
}

int pal_place_share(const pal_cores_t *usable, int32_t ranks, int32_t mine,
                    pal_cores_t *share, pal_error_t *err)
{
    pal_cores_t both;

    if (!all_equal(usable, ranks) && all_disjoint(usable, ranks)) {
        *share = usable[mine];
        return PAL_OK;
    }
    both = usable[0];
    for (int32_t i = 1; i < ranks; i++)
        for (int u = 0; u < PAL_MOST_CORES; u++)
            both.unit[u] |= usable[i].unit[u];
    return split(&both, ranks, mine, share, err);
}

int pal_place_bind(const pal_cores_t *share, pal_error_t *err)
{
    hwloc_topology_t topology;
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int rc = load(&topology, err);

    if (rc != PAL_OK || !set) {
        hwloc_bitmap_free(set);
        return rc != PAL_OK ? rc : PAL_FAIL(err, PAL_ENOMEM, "a set of cores");
    }
    for (unsigned u = 0; u < PAL_MOST_CORES; u++)
        if (share->unit[u])
            hwloc_bitmap_set(set, u);
    if (hwloc_set_cpubind(topology, set, HWLOC_CPUBIND_THREAD) != 0)
        rc = PAL_FAIL(err, PAL_EIO, "cannot bind to its cores: %s", strerror(errno));
    hwloc_bitmap_free(set);
    hwloc_topology_destroy(topology);
    return rc;
}

int32_t pal_place_count(const pal_cores_t *cores)
{
    int32_t n = 0;

    for (int u = 0; u < PAL_MOST_CORES; u++)
        n += cores->unit[u];
    return n;
}

void pal_place_print(const pal_cores_t *cores, char *text, int n)
{
    int at = 0;

    text[0] = 0;
    for (int u = 0; u < PAL_MOST_CORES && at < n; u++) {
        int last = u;

        if (!cores->unit[u])
            continue;
        while (last + 1 < PAL_MOST_CORES && cores->unit[last + 1])
            last++;
        at += snprintf(text + at, (size_t)(n - at), last > u ? "%s%d-%d" : "%s%d",
                       at ? "," : "", u, last);
        u = last;
    }
}
