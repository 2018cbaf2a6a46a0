/* workload.h -- the batches that steps are timed on. */
#ifndef PAL_BENCH_WORKLOAD_H
#define PAL_BENCH_WORKLOAD_H

#include "model/batch.h"
#include "stage/stage.h"

enum {
    PAL_BENCH_BATCHES = 8,    /* different ones, taken in turn */
    PAL_BENCH_SENTENCES = 64, /* sequences of a batch */
    PAL_BENCH_CONTEXT = 512,  /* tokens of a full-length sequence */
    PAL_BENCH_LONG = 4        /* full-length sequences of a batch */
};

typedef enum { PAL_FULL_LENGTH, PAL_SENTENCES, PAL_WORKLOADS } pal_workload_kind_t;

/* A model's layout and batches drawn once, so that whoever is compared gets the same.
 */
typedef struct {
    const char *name;
    pal_layout_t *layout;
    pal_batch_t batches[PAL_BENCH_BATCHES];
    int32_t most_tokens; /* room for a batch */
    int32_t *offsets, *tokens;
    float *weights;
    pal_precision_t precision; /* of our products, fp32 unless the caller sets it */
} pal_workload_t;

/* The world of configs/quickstart.yaml. On failure *ground is zeroed. */
PAL_MUST_CHECK
int pal_bench_ground(pal_ground_t *ground, pal_error_t *err);

/* Sentences: statements and questions of that world as they are, each a sequence.
 * Full length: the same laid end to end and cut. On failure *workload is zeroed. */
PAL_MUST_CHECK
int pal_workload_create(const pal_ground_t *ground, const char *preset,
                        pal_workload_kind_t kind, pal_workload_t *workload,
                        pal_error_t *err);
void pal_workload_free(pal_workload_t *workload);

/* Batch i, modulo their number. */
const pal_batch_t *pal_workload_batch(const pal_workload_t *workload, int64_t i);

/* Floating-point operations of a training step on that batch, `rows` of it with
 * logits. */
double pal_workload_flops(const pal_workload_t *workload, const pal_batch_t *batch,
                          int32_t rows);

/* x[0..n) = numbers of either sign up to 100 size, for operands of a product. */
void pal_bench_fill(float *x, size_t n, float size);

#endif
