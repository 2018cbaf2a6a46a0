#include "model/loss.h"

#include <math.h>
#include <stddef.h>

#include "kernel/cross_entropy.h"
#include "kernel/divergence.h"
#include "kernel/rows.h"

/* Rows with logits come in the order of the batch, one for each token that is predicted
 * if all texts are whole, so one walk meets each sequence once. */
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

    for (int32_t t = 0; t < pal_batch_tokens(batch) + batch->ends; t++)
        sum += (double)batch->weights[t];
    return sum;
}

/* Of what row i predicts. */
static double row_weight(const pal_pass_t *pass, const double *weight, int32_t i)
{
    const int32_t *first = pal_pass_first(pass), *targets = pal_pass_targets(pass);
    const float *w = pal_pass_batch(pass)->weights;
    double sum = 0.0;

    for (int32_t k = first[i]; k < first[i + 1]; k++)
        sum += (weight ? weight[targets[k]] : 1.0) * (double)w[targets[k]];
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

void pal_loss_nll_sequences(pal_pass_t *pass, double *n, double *weight)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const int32_t *targets = pal_pass_targets(pass);
    const int32_t vocab = pal_pass_layout(pass)->shape.vocab;
    const float *logits = pal_pass_logits(pass);
    walk_t walk = {batch, 0};

    for (int32_t b = 0; b < batch->sequences; b++) {
        if (n)
            n[b] = pal_batch_whole(batch) ? 0.0 : NAN;
        if (weight)
            weight[b] = 0.0;
    }
    if (!pal_batch_whole(batch))
        return;
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
        const int32_t t = targets[i];
        const int32_t b = pal_batch_whole(batch) ? sequence_of(&walk, t) : 0;

        (void)pal_cross_entropy_seed(open_row(&sink, i), z, sink.vocab,
                                     batch->tokens[t],
                                     (float)(scale[b] * (double)batch->weights[t]));
        close_row(&sink, i);
    }
}

void pal_loss_nll_tokens(pal_pass_t *pass, double *l)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const int32_t *first = pal_pass_first(pass), *targets = pal_pass_targets(pass);
    const int32_t vocab = pal_pass_layout(pass)->shape.vocab;
    const float *z = pal_pass_logits(pass);

    for (int32_t t = 0; t < pal_batch_tokens(batch) + batch->ends; t++)
        l[t] = 0.0;
    for (int32_t i = 0; i < pal_pass_rows(pass); i++, z += vocab) {
        const double log_sum = pal_log_sum_exp(z, vocab);

        for (int32_t k = first[i]; k < first[i + 1]; k++)
            l[targets[k]] = log_sum - (double)z[batch->tokens[targets[k]]];
    }
}

double pal_loss_nll(pal_pass_t *pass, double scale)
{
    return pal_loss_nll_weighted(pass, NULL, scale);
}

double pal_loss_nll_weighted(pal_pass_t *pass, const double *weight, double scale)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const int32_t *first = pal_pass_first(pass), *targets = pal_pass_targets(pass);
    const sink_t sink = open_sink(pass, scale != 0.0);
    const float *z = pal_pass_logits(pass);
    const double total = total_weight(batch);
    double sum = 0.0;

    for (int32_t i = 0; i < pal_pass_rows(pass); i++, z += sink.vocab) {
        const double all = row_weight(pass, weight, i);
        float *dz = open_row(&sink, i);
        const double log_sum =
            dz ? pal_softmax_seed(dz, z, sink.vocab, (float)(scale * all / total))
               : pal_log_sum_exp(z, sink.vocab);

        for (int32_t k = first[i]; k < first[i + 1]; k++) {
            const int32_t t = targets[k], target = batch->tokens[t];
            const double w = (weight ? weight[t] : 1.0) * (double)batch->weights[t];

            sum += w * (log_sum - (double)z[target]);
            if (dz)
                dz[target] -= (float)(scale * w / total);
        }
        close_row(&sink, i);
    }
    return sum / total;
}

/* As the functions of kernel/divergence.h. */
typedef double row_loss_t(float *dz, const float *z, const float *target, int32_t vocab,
                          float weight);

/* Token mean of a function of a row of logits and of the target's row. */
static double mean_over_rows(pal_pass_t *pass, row_loss_t *loss, const float *target,
                             double scale)
{
    const sink_t sink = open_sink(pass, scale != 0.0);
    const float *z = pal_pass_logits(pass);
    const double weight = total_weight(pal_pass_batch(pass));
    double sum = 0.0;

    for (int32_t i = 0; i < pal_pass_rows(pass); i++) {
        const size_t at = (size_t)i * (size_t)sink.vocab;
        const double w = row_weight(pass, NULL, i);

        sum += w * loss(open_row(&sink, i), z + at, target ? target + at : NULL,
                        sink.vocab, (float)(scale * w / weight));
        close_row(&sink, i);
    }
    return sum / weight;
}

double pal_loss_kl(pal_pass_t *pass, const float *target, double scale)
{
    return mean_over_rows(pass, pal_kl, target, scale);
}

double pal_loss_reverse_kl(pal_pass_t *pass, const float *target, double scale)
{
    return mean_over_rows(pass, pal_reverse_kl, target, scale);
}

static double entropy(float *dz, const float *z, const float *target, int32_t vocab,
                      float weight)
{
    (void)target;
    return pal_entropy(dz, z, vocab, weight);
}

double pal_loss_entropy(pal_pass_t *pass, double scale)
{
    return mean_over_rows(pass, entropy, NULL, scale);
}

static double uniform_kl(float *dz, const float *z, const float *target, int32_t vocab,
                         float weight)
{
    (void)target;
    return pal_uniform_kl(dz, z, vocab, weight);
}

double pal_loss_uniform_kl(pal_pass_t *pass, double scale)
{
    return mean_over_rows(pass, uniform_kl, NULL, scale);
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

    if (!pal_batch_whole(batch))
        return NAN;
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

/* d cos(h, y) / dh = (y - (h . y / h . h) h) / (|h| |y|): exactly 0 at h = y, where the
 * quotient is exactly 1. */
static double relu_cosine(float *seed, const float *h, const float *y, int32_t n,
                          double scale)
{
    double hh = 0.0, hy = 0.0, yy = 0.0, lengths;

    for (int32_t c = 0; c < n; c++) {
        hh += (double)h[c] * (double)h[c];
        hy += (double)h[c] * (double)y[c];
        yy += (double)y[c] * (double)y[c];
    }
    lengths = sqrt(hh * yy);
    if (hy <= 0.0 || lengths == 0.0) /* not a NaN */
        return 0.0;
    for (int32_t c = 0; seed && c < n; c++)
        seed[c] += (float)(scale / lengths * ((double)y[c] - hy / hh * (double)h[c]));
    return hy / lengths;
}

double pal_loss_residual_cosine(pal_pass_t *pass, int32_t layer, const float *target,
                                double scale)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const int32_t width = pal_pass_layout(pass)->shape.width;
    const double count = (double)(pal_pass_tokens(pass) - batch->sequences);
    const float *h = pal_pass_residual(pass, layer);
    float *seed = scale != 0.0 ? pal_pass_seed_residual(pass, layer) : NULL;
    double sum = 0.0;

    if (!pal_batch_whole(batch))
        return NAN;
    for (int32_t b = 0; b < batch->sequences; b++)
        for (int32_t t = batch->offsets[b] + 1; t < batch->offsets[b + 1]; t++) {
            const size_t at = (size_t)t * (size_t)width;

            sum += relu_cosine(seed ? seed + at : NULL, h + at, target + at, width,
                               scale / count);
        }
    return sum / count;
}
