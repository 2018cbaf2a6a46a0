#include "stage/lab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/gemm.h"

int pal_lab_create(const atomic_int *stop, const char *folder, pal_lab_t **out,
                   pal_error_t *err)
{
    pal_lab_t *lab = calloc(1, sizeof *lab);
    int rc;

    if (!lab)
        return PAL_FAIL(err, PAL_ENOMEM, "lab");
    rc = pal_gemm_prepare(err);
    if (rc != PAL_OK) {
        free(lab);
        return rc;
    }
    lab->stop = stop;
    pal_shelf_init(&lab->best, folder);
    *out = lab;
    return PAL_OK;
}

static void clear(pal_lab_t *lab)
{
    const atomic_int *stop = lab->stop;
    pal_shelf_t best = lab->best;

    pal_shelf_free(&best);
    pal_scorer_destroy(lab->scorer);
    pal_trainer_destroy(lab->trainer);
    pal_pass_destroy(lab->pass);
    pal_pass_destroy(lab->frozen);
    pal_layout_destroy(lab->layout);
    free(lab->start);
    free(lab->rate);
    free(lab->train);
    free(lab->facts);
    free(lab->choices);
    free(lab->right);
    memset(lab, 0, sizeof *lab);
    lab->stop = stop;
    lab->best = best;
}

void pal_lab_destroy(pal_lab_t *lab)
{
    if (!lab)
        return;
    clear(lab);
    free(lab);
}

/* Plain buffers; PAL_ENOMEM if one is missing. */
static int allocate(pal_lab_t *lab, const pal_ground_t *ground, pal_error_t *err)
{
    size_t facts = (size_t)ground->world.count;

    lab->rate = malloc((size_t)lab->layout->slice_count * sizeof *lab->rate);
    lab->train = malloc((size_t)lab->layout->slice_count);
    lab->facts = malloc(facts * sizeof *lab->facts);
    lab->choices = malloc(facts * sizeof *lab->choices);
    lab->right = malloc(facts);
    if (!lab->rate || !lab->train || !lab->facts || !lab->choices || !lab->right)
        return PAL_FAIL(err, PAL_ENOMEM, "answers to %zu facts", facts);
    return PAL_OK;
}

static int build(pal_lab_t *lab, const pal_ground_t *ground,
                 const pal_base_spec_t *spec, pal_error_t *err)
{
    int rc = pal_base_layout(ground, spec, &lab->layout, err);

    if (rc == PAL_OK)
        rc = pal_pass_create(lab->layout, &lab->pass, err);
    if (rc == PAL_OK)
        rc = pal_pass_create(lab->layout, &lab->frozen, err);
    if (rc == PAL_OK)
        rc = pal_trainer_create(lab->layout, &lab->trainer, err);
    if (rc == PAL_OK)
        rc = pal_scorer_create(&ground->corpus, &lab->scorer, err);
    if (rc == PAL_OK)
        rc = allocate(lab, ground, err);
    return rc;
}

static int holds(const pal_lab_t *lab, const pal_ground_t *ground,
                 const pal_shape_t *shape)
{
    return lab->layout && lab->ground == ground &&
           pal_key_equal(lab->world, ground->world.key) &&
           memcmp(&lab->layout->shape, shape, sizeof *shape) == 0;
}

int pal_lab_prepare(pal_lab_t *lab, const pal_ground_t *ground,
                    const pal_base_spec_t *spec, pal_error_t *err)
{
    pal_shape_t shape;
    int rc = pal_base_shape(ground, spec, &shape, err);

    if (rc != PAL_OK)
        return rc;
    if (!holds(lab, ground, &shape)) {
        clear(lab);
        rc = build(lab, ground, spec, err);
        if (rc != PAL_OK) {
            clear(lab);
            return rc;
        }
        lab->ground = ground;
        lab->world = ground->world.key;
    }
    pal_pass_set_precision(lab->pass, pal_base_precision(spec));
    pal_pass_set_precision(lab->frozen, pal_base_precision(spec));
    return PAL_OK;
}

static size_t weight_bytes(const pal_lab_t *lab)
{
    return (size_t)lab->layout->count * sizeof(float);
}

int pal_lab_begin(pal_lab_t *lab, const float *start, int needed, float *weights,
                  const float **frozen, pal_error_t *err)
{
    *frozen = needed ? start : NULL;
    if (start != weights) {
        memcpy(weights, start, weight_bytes(lab));
    } else if (needed) {
        lab->start = malloc(weight_bytes(lab));
        if (!lab->start)
            return PAL_FAIL(err, PAL_ENOMEM, "a copy of %lld weights",
                            (long long)lab->layout->count);
        memcpy(lab->start, weights, weight_bytes(lab));
        *frozen = lab->start;
    }
    return PAL_OK;
}

void pal_lab_end(pal_lab_t *lab)
{
    free(lab->start);
    lab->start = NULL;
}

int pal_lab_keep(pal_lab_t *lab, const float *weights, pal_error_t *err)
{
    return pal_shelf_put(&lab->best, weights, weight_bytes(lab), err);
}

int pal_lab_return(const pal_lab_t *lab, float *weights, pal_error_t *err)
{
    return pal_shelf_get(&lab->best, weights, err);
}

void pal_lab_select(pal_lab_t *lab, pal_rate_t rate, const void *state)
{
    const pal_layout_t *layout = lab->layout;

    for (int32_t i = 0; i < layout->slice_count; i++) {
        lab->rate[i] = rate ? rate(state, layout, &layout->slices[i]) : 1;
        lab->train[i] = lab->rate[i] != 0;
    }
}

int pal_lab_train(pal_lab_t *lab, pal_adapting_t adapter, const void *state,
                  const float *start, pal_key_t key, pal_training_t *training,
                  float *weights, double *loss, pal_error_t *err)
{
    pal_adapter_spec_t spec = {0};
    int rc;

    if (!adapter)
        return pal_train(lab->trainer, training, weights, loss, err);
    adapter(state, &spec);
    rc = pal_adapter_create(lab->layout, &spec, lab->train, start, key,
                            &training->adapter, err);
    if (rc != PAL_OK)
        return rc;
    pal_adapter_select(training->adapter, lab->train);
    rc = pal_train(lab->trainer, training, weights, loss, err);
    pal_adapter_destroy(training->adapter);
    training->adapter = NULL;
    return rc;
}

static void pack(const uint8_t *right, int32_t n, uint8_t *bits)
{
    memset(bits, 0, ((size_t)n + 7) / 8);
    for (int32_t i = 0; i < n; i++)
        if (right[i])
            bits[i / 8] |= (uint8_t)(1u << (i % 8));
}

int pal_lab_score(pal_lab_t *lab, const pal_ground_t *ground, const float *weights,
                  pal_role_t role, int32_t fold, uint8_t *bits, double *accuracy,
                  pal_error_t *err)
{
    int32_t n = pal_world_select(&ground->world, role, fold, lab->facts);
    int rc = pal_scorer_run(lab->scorer, lab->pass, weights, lab->facts, n, lab->right,
                            accuracy, err);

    if (rc == PAL_OK && bits)
        pack(lab->right, n, bits);
    return rc;
}

double pal_lab_mark(pal_lab_t *lab, int32_t n, uint8_t *bits)
{
    const pal_fact_t *facts = lab->ground->world.facts;
    int32_t count = 0;

    for (int32_t i = 0; i < n; i++) {
        lab->right[i] = lab->choices[i] == facts[lab->facts[i]].answer;
        count += lab->right[i];
    }
    if (bits)
        pack(lab->right, n, bits);
    return n ? (double)count / n : NAN;
}

int pal_lab_judge(pal_lab_t *lab, const pal_ground_t *ground, const float *weights,
                  pal_model_result_t *result, pal_error_t *err)
{
    int rc = pal_lab_score(lab, ground, weights, PAL_FORGET, -1, result->bits,
                           &result->v_accuracy, err);

    if (rc == PAL_OK)
        rc = pal_lab_score(lab, ground, weights, PAL_RETAIN, -1, NULL,
                           &result->retain_accuracy, err);
    return rc;
}
