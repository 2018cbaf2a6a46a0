#include "model/lens.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/cross_entropy.h"
#include "kernel/gemm.h"
#include "kernel/rows.h"
#include "model/norm.h"

struct pal_lens {
    const pal_layout_t *layout; /* borrowed */
    int32_t capacity;           /* rows */
    float *stream;              /* (R, C) residual stream of the rows */
    float *normed;              /* (R, C) */
    float *mean, *rstd;         /* (R) */
    float *dnormed;             /* (R, C) */
    float *logits, *dlogits;    /* (R, V) */
};

int pal_lens_create(const pal_layout_t *layout, int32_t rows, pal_lens_t **out,
                    pal_error_t *err)
{
    const size_t r = (size_t)rows, c = (size_t)layout->shape.width;
    const size_t v = (size_t)layout->shape.vocab;
    pal_lens_t *lens = calloc(1, sizeof *lens);

    if (!lens)
        return PAL_FAIL(err, PAL_ENOMEM, "no memory for a lens");
    lens->layout = layout;
    lens->capacity = rows;
    lens->stream = calloc(r * c, sizeof(float));
    lens->normed = calloc(r * c, sizeof(float));
    lens->mean = calloc(r, sizeof(float));
    lens->rstd = calloc(r, sizeof(float));
    lens->dnormed = calloc(r * c, sizeof(float));
    lens->logits = calloc(r * v, sizeof(float));
    lens->dlogits = calloc(r * v, sizeof(float));
    if (!lens->stream || !lens->normed || !lens->mean || !lens->rstd ||
        !lens->dnormed || !lens->logits || !lens->dlogits) {
        pal_lens_destroy(lens);
        return PAL_FAIL(err, PAL_ENOMEM, "no memory for a lens of %d rows", (int)rows);
    }
    *out = lens;
    return PAL_OK;
}

void pal_lens_destroy(pal_lens_t *lens)
{
    if (!lens)
        return;
    free(lens->stream);
    free(lens->normed);
    free(lens->mean);
    free(lens->rstd);
    free(lens->dnormed);
    free(lens->logits);
    free(lens->dlogits);
    free(lens);
}

const float *pal_lens_logits(pal_lens_t *lens, const pal_pass_t *pass,
                             const float *weights, int32_t layer)
{
    const int32_t r = pal_pass_rows(pass), c = lens->layout->shape.width;
    const int32_t v = lens->layout->shape.vocab;
    const float *norm =
        weights + pal_layout_slice(lens->layout, PAL_FINAL_NORM, -1)->offset;
    const float *output = weights + pal_layout_output(lens->layout)->offset;

    assert(r <= lens->capacity);
    pal_rows_gather(lens->stream, pal_pass_residual(pass, layer),
                    pal_pass_positions(pass), r, c);
    pal_norm_forward(&lens->layout->shape, lens->normed, lens->mean, lens->rstd,
                     lens->stream, norm, r);
    memset(lens->logits, 0, (size_t)r * (size_t)v * sizeof *lens->logits);
    pal_gemm_forward(pal_pass_gemm(pass), lens->logits, lens->normed, output, r, c, v);
    return lens->logits;
}

/* Where the gradient of a slice goes; NULL: nowhere. */
static float *grad_of(const pal_slice_t *slice, const pal_layout_t *layout,
                      const uint8_t *train, float *grad)
{
    if (!grad || (train && !train[slice - layout->slices]))
        return NULL;
    return grad + slice->offset;
}

/* From dlogits down to the seed of the residual stream. */
static void descend(pal_lens_t *lens, pal_pass_t *pass, const float *weights,
                    int32_t layer, const uint8_t *train, float *grad)
{
    const pal_layout_t *layout = lens->layout;
    const pal_slice_t *norm = pal_layout_slice(layout, PAL_FINAL_NORM, -1);
    const pal_slice_t *output = pal_layout_output(layout);
    const int32_t r = pal_pass_rows(pass), c = layout->shape.width;
    float *doutput = grad_of(output, layout, train, grad);
    float *dnorm = grad_of(norm, layout, train, grad);
    float *dstream = lens->normed; /* not needed any more once it has been used */

    if (doutput)
        pal_gemm_weights(pal_pass_gemm(pass), doutput, lens->dlogits, lens->normed, r,
                         c, output->rows);
    pal_gemm_inputs(pal_pass_gemm(pass), lens->dnormed, lens->dlogits,
                    weights + output->offset, r, c, output->rows);
    if (dnorm)
        pal_norm_weights(&layout->shape, dnorm, lens->dnormed, lens->stream, lens->mean,
                         lens->rstd, r);
    memset(dstream, 0, (size_t)r * (size_t)c * sizeof *dstream);
    pal_norm_inputs(&layout->shape, dstream, lens->dnormed, lens->stream, lens->mean,
                    lens->rstd, weights + norm->offset, r);
    pal_rows_scatter(pal_pass_seed_residual(pass, layer), dstream,
                     pal_pass_positions(pass), r, c);
}

double pal_lens_nll(pal_lens_t *lens, pal_pass_t *pass, const float *weights,
                    int32_t layer, double scale, const uint8_t *train, float *grad)
{
    const pal_batch_t *batch = pal_pass_batch(pass);
    const int32_t *targets = pal_pass_targets(pass), rows = pal_pass_rows(pass);
    const int32_t vocab = lens->layout->shape.vocab;
    const float *logits = pal_lens_logits(lens, pass, weights, layer);
    double sum = 0.0, weight = 0.0;

    if (!pal_batch_whole(batch))
        return NAN;
    for (int32_t i = 0; i < rows; i++)
        weight += (double)batch->weights[targets[i]];
    for (int32_t i = 0; i < rows; i++) {
        const size_t at = (size_t)i * (size_t)vocab;
        const int32_t target = batch->tokens[targets[i]];
        const double w = (double)batch->weights[targets[i]];

        sum += w * (scale != 0.0
                        ? pal_cross_entropy_seed(lens->dlogits + at, logits + at, vocab,
                                                 target, (float)(scale * w / weight))
                        : pal_cross_entropy(logits + at, vocab, target));
    }
    if (scale != 0.0)
        descend(lens, pass, weights, layer, train, grad);
    return sum / weight;
}
