#include "sweep/compute.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/stat.h>
#include <unistd.h>

#include "base/shelf.h"
#include "model/checkpoint.h"

typedef enum { NOTHING, BASE, UNLEARNED } held_t;

typedef struct {
    pal_plan_t *plan;
    const char *cache;
    pal_lab_t *lab;
    pal_layout_t *layout; /* of the base */
    float *weights;       /* the one model in memory: stages train it in place */
    held_t held;          /* whose they are now */
    pal_shelf_t base, unlearned;
} pal_bench_t;

static void drop_models(pal_bench_t *bench)
{
    pal_shelf_free(&bench->base);
    pal_shelf_free(&bench->unlearned);
    free(bench->weights);
    pal_layout_destroy(bench->layout);
    bench->weights = NULL;
    bench->layout = NULL;
    bench->held = NOTHING;
}

static void train_destroy(void *lab)
{
    pal_bench_t *bench = lab;

    if (!bench)
        return;
    drop_models(bench);
    pal_lab_destroy(bench->lab);
    free(bench);
}

/* Have what is freed given back. Once a large block was freed, glibc takes later ones,
 * up to 32 MB, from the thread's heap, which only shrinks from its end; a bound that
 * was set stays. */
static void return_large_blocks(void)
{
#ifdef __GLIBC__
    enum { LARGE = 1 << 20 }; /* bytes */

    (void)mallopt(M_MMAP_THRESHOLD, LARGE);
#endif
}

static int train_create(pal_plan_t *plan, const char *cache, const atomic_int *stop,
                        void **lab, pal_error_t *err)
{
    pal_bench_t *bench = calloc(1, sizeof *bench);
    int rc;

    if (!bench)
        return PAL_FAIL(err, PAL_ENOMEM, "a lab");
    return_large_blocks();
    bench->plan = plan;
    bench->cache = cache;
    pal_shelf_init(&bench->base, cache);
    pal_shelf_init(&bench->unlearned, cache);
    rc = pal_lab_create(stop, cache, &bench->lab, err);
    if (rc != PAL_OK) {
        free(bench);
        return rc;
    }
    *lab = bench;
    return PAL_OK;
}

/* Room for a base of another shape. The cache only saves time and memory: who cannot
 * load a base trains it again, and what cannot be set aside there stays in memory. So a
 * full disk or a removed folder is no failure. */
static int make_room(pal_bench_t *bench, int32_t row, pal_error_t *err)
{
    int rc;

    drop_models(bench);
    if (bench->cache)
        (void)mkdir(bench->cache, 0777);
    rc = pal_base_layout(pal_plan_ground(bench->plan, row),
                         &bench->plan->bases[row].spec, &bench->layout, err);
    if (rc != PAL_OK)
        return rc;
    bench->weights = malloc((size_t)bench->layout->count * sizeof(float));
    if (bench->weights)
        return PAL_OK;
    rc = PAL_FAIL(err, PAL_ENOMEM, "a model of %lld weights",
                  (long long)bench->layout->count);
    drop_models(bench);
    return rc;
}

/* The weights are now this model: set it aside before they are trained further. */
static int hold(pal_bench_t *bench, held_t model, pal_error_t *err)
{
    pal_shelf_t *shelf = model == BASE ? &bench->base : &bench->unlearned;

    bench->held = model;
    return pal_shelf_put(shelf, bench->weights,
                         (size_t)bench->layout->count * sizeof(float), err);
}

/* Make the weights this model again. */
static int take(pal_bench_t *bench, held_t model, pal_error_t *err)
{
    const pal_shelf_t *shelf = model == BASE ? &bench->base : &bench->unlearned;
    int rc = bench->held == model ? PAL_OK : pal_shelf_get(shelf, bench->weights, err);

    bench->held = NOTHING;
    return rc;
}

static void cache_path(const pal_plan_t *plan, const char *cache, int32_t row,
                       char *path, size_t n)
{
    char key[PAL_KEY_TEXT];

    pal_key_text(plan->bases[row].key, key);
    snprintf(path, n, "%s/%s.safetensors", cache, key);
}

static int train_base(void *lab, int32_t row, pal_model_result_t *result,
                      pal_error_t *err)
{
    pal_bench_t *bench = lab;
    const pal_plan_base_t *base = &bench->plan->bases[row];
    const pal_ground_t *ground = pal_plan_ground(bench->plan, row);
    char path[4096], key[PAL_KEY_TEXT];
    int rc = make_room(bench, row, err);

    if (rc == PAL_OK)
        rc = pal_stage_base(bench->lab, ground, &base->spec, base->key, bench->weights,
                            result, err);
    if (rc == PAL_OK)
        rc = hold(bench, BASE, err);
    if (rc != PAL_OK || !bench->cache)
        return rc;
    pal_key_text(base->key, key);
    cache_path(bench->plan, bench->cache, row, path, sizeof path);
    rc = pal_checkpoint_save(path, bench->layout, bench->weights,
                             ground->corpus.tokenizer, key, err);
    return rc == PAL_EIO ? PAL_OK : rc;
}

static int train_load(void *lab, int32_t row, pal_error_t *err)
{
    pal_bench_t *bench = lab;
    char path[4096], key[PAL_KEY_TEXT];
    int rc = make_room(bench, row, err);

    if (rc != PAL_OK)
        return rc;
    pal_key_text(bench->plan->bases[row].key, key);
    cache_path(bench->plan, bench->cache, row, path, sizeof path);
    rc = pal_checkpoint_load(path, bench->layout, key, bench->weights, err);
    return rc == PAL_OK ? hold(bench, BASE, err) : rc;
}

static int train_cached(const pal_plan_t *plan, const char *cache, int32_t row)
{
    char path[4096];

    cache_path(plan, cache, row, path, sizeof path);
    return access(path, R_OK) == 0;
}

static int train_unlearn(void *lab, int32_t row, pal_model_result_t *result,
                         pal_error_t *err)
{
    pal_bench_t *bench = lab;
    const pal_plan_unlearned_t *unlearned = &bench->plan->unlearned[row];

    int rc = take(bench, BASE, err);

    if (rc == PAL_OK)
        rc = pal_stage_unlearn(
            bench->lab, pal_plan_ground(bench->plan, unlearned->base),
            &bench->plan->bases[unlearned->base].spec, unlearned->spec, unlearned->key,
            bench->weights, bench->weights, result, err);
    return rc == PAL_OK ? hold(bench, UNLEARNED, err) : rc;
}

static int train_trial(void *lab, int32_t row, pal_trial_result_t *result,
                       pal_error_t *err)
{
    pal_bench_t *bench = lab;
    const pal_plan_trial_t *trial = &bench->plan->trials[row];
    int32_t base = bench->plan->unlearned[trial->unlearned].base;
    int rc = take(bench, UNLEARNED, err);

    if (rc == PAL_OK)
        rc = pal_stage_trial(bench->lab, pal_plan_ground(bench->plan, base),
                             &bench->plan->bases[base].spec, trial->spec, trial->key,
                             bench->weights, bench->weights, result, err);
    return rc;
}

const pal_compute_t pal_compute_train = {
    .create = train_create,
    .destroy = train_destroy,
    .base = train_base,
    .load = train_load,
    .cached = train_cached,
    .unlearn = train_unlearn,
    .trial = train_trial,
};
