#include "model/loss.h"

#include <stddef.h>

#include "kernel/cross_entropy.h"
#include "kernel/divergence.h"
#include "kernel/rows.h"

/* Rows with logits come in the order of the batch, so one walk meets each sequence
 * once. */
typedef struct {
    const pal_batch_t *batch;
    int32_t sequence;
} walk_t;

static int32_t sequence_of(walk_t *walk, int32_t position)
{
    while (walk->batch->offsets[walk->sequence + 1] <= position)
        walk->sequence++;
    return walk->sequence;
}

static double total_weight(const pal_batch_t *batch)
{
    double sum = 0.0;

    for (int32_t t = 0; t < batch->offsets[batch->sequences]; t++)
        sum += (double)batch->weights[t];
    return sum;
}

/* Where the rows of a logit seed go. */
typedef struct {
    float *rows; /* (R, V), or NULL: no seed is wanted */
    float *row;  /* (V) to compute in and add, or NULL: in place */
    int32_t vocab;
} sink_t;

static sink_t open_sink(pal_pass_t *pass, int wanted)
{
    sink_t sink = {.vocab = pal_pass_layout(pass)->shape.vocab};

    if (wanted)
        sink.rows = pal_pass_seed_logit_rows(pass, &sink.row);
    return sink;
}

/* Where to write row i; NULL: nowhere. */
static float *open_row(const sink_t *sink, int32_t i)
{
    if (!sink->rows || sink->row)
        return sink->row;
    return sink->rows + (size_t)i * (size_t)sink->vocab;
}

static void close_row(const sink_t *sink, int32_t i)
{
    if (sink->row)
        pal_add(sink->rows + (size_t)i * (size_t)sink->vocab, sink->row, sink->vocab);
}

double pal_loss_nll(pal_pass_t *pass, double scale)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const int32_t *targets = pal_pass_targets(pass);
    const sink_t sink = open_sink(pass, scale != 0.0);
    const float *z = pal_pass_logits(pass);
    const double weight = total_weight(batch);
    double sum = 0.0;

    for (int32_t i = 0; i < pal_pass_rows(pass); i++, z += sink.vocab) {
        const int32_t target = batch->tokens[targets[i]];
        const double w = (double)batch->weights[targets[i]];
        float *dz = open_row(&sink, i);

        sum += w * (dz ? pal_cross_entropy_seed(dz, z, sink.vocab, target,
                                                (float)(scale * w / weight))
                       : pal_cross_entropy(z, sink.vocab, target));
        close_row(&sink, i);
    }
    return sum / weight;
}

void pal_loss_nll_sequences(pal_pass_t *pass, double *n, double *weight)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const int32_t *targets = pal_pass_targets(pass);
    const int32_t vocab = pal_pass_layout(pass)->shape.vocab;
    const float *logits = pal_pass_logits(pass);
    walk_t walk = {batch, 0};

    for (int32_t b = 0; b < batch->sequences; b++) {
        if (n)
            n[b] = 0.0;
        if (weight)
            weight[b] = 0.0;
    }
    for (int32_t i = 0; i < pal_pass_rows(pass); i++) {
        const int32_t t = targets[i], b = sequence_of(&walk, t);
        const double w = (double)batch->weights[t];

        if (n)
            n[b] += w * pal_cross_entropy(logits + (size_t)i * (size_t)vocab, vocab,
                                          batch->tokens[t]);
        if (weight)
            weight[b] += w;
    }
}

void pal_loss_nll_seed(pal_pass_t *pass, const double *scale)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const int32_t *targets = pal_pass_targets(pass);
    const sink_t sink = open_sink(pass, 1);
    const float *z = pal_pass_logits(pass);
    walk_t walk = {batch, 0};

    for (int32_t i = 0; i < pal_pass_rows(pass); i++, z += sink.vocab) {
        const int32_t t = targets[i], b = sequence_of(&walk, t);

        (void)pal_cross_entropy_seed(open_row(&sink, i), z, sink.vocab,
                                     batch->tokens[t],
                                     (float)(scale[b] * (double)batch->weights[t]));
        close_row(&sink, i);
    }
}

double pal_loss_kl(pal_pass_t *pass, const float *target, double scale)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const int32_t *targets = pal_pass_targets(pass);
    const sink_t sink = open_sink(pass, scale != 0.0);
    const float *z = pal_pass_logits(pass);
    const double weight = total_weight(batch);
    double sum = 0.0;

    for (int32_t i = 0; i < pal_pass_rows(pass); i++) {
        const double w = (double)batch->weights[targets[i]];

        sum += w * pal_kl(open_row(&sink, i), z, target, sink.vocab,
                          (float)(scale * w / weight));
        close_row(&sink, i);
        z += sink.vocab;
        target += sink.vocab;
    }
    return sum / weight;
}

double pal_loss_residual_mse(pal_pass_t *pass, int32_t layer, const float *target,
                             int broadcast, double scale)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const size_t width = (size_t)pal_pass_layout(pass)->shape.width;
    const float *h = pal_pass_residual(pass, layer);
    const double count =
        (double)(pal_pass_tokens(pass) - batch->sequences) * (double)width;
    const float step = (float)(2.0 * scale / count);
    float *seed = scale != 0.0 ? pal_pass_seed_residual(pass, layer) : NULL;
    double sum = 0.0;

    for (int32_t b = 0; b < batch->sequences; b++)
        for (int32_t t = batch->offsets[b] + 1; t < batch->offsets[b + 1]; t++) {
            const size_t row = (size_t)t * width;
            const float *y = broadcast ? target : target + row;

            for (size_t c = 0; c < width; c++) {
                const float difference = h[row + c] - y[c];

                sum += (double)difference * (double)difference;
                if (seed)
                    seed[row + c] += step * difference;
            }
        }
    return sum / count;
}
