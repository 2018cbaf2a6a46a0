/* Attacks at their first step, against what the model says of the questions of T: fold
 * 0 is V, fold 1 dev. A batch holds each question once. */
#include "model/loss.h"
#include "toy.h"

enum { WIDTH = 64, KNOWN = 24 };

/* At learning rate 0 every look is at the start. */
static pal_trial_result_t attack_at_rest(fixture_t *f, const char *id)
{
    pal_attack_spec_t spec = attack_spec(id);
    pal_trial_result_t result = {.bits = f->bits, .bits_before = f->bits + 32};

    set(pal_attack_params, &spec.common, "steps", "1");
    set(pal_attack_params, &spec.common, "evaluations", "1");
    set(pal_attack_params, &spec.common, "batch", "24");
    set(pal_attack_params, &spec.common, "lr", "0");
    assert_int_equal(pal_stage_trial(f->lab, &f->ground, &f->base, &spec, f->base_key,
                                     f->start, f->work, &result, NULL),
                     PAL_OK);
    assert_int_equal(result.points, 2);
    return result;
}

static const pal_example_t *asked(const fixture_t *f, int32_t fact, int32_t choice)
{
    return &f->ground.corpus
                .examples[pal_corpus_question(&f->ground.corpus, fact, choice)];
}

/* A pass over one text; it borrows the batch. */
static void read_text(const fixture_t *f, pal_pass_t *pass, const pal_example_t *text)
{
    static float weights[256];
    static int32_t offsets[2];
    static pal_batch_t batch = {.sequences = 1, .offsets = offsets, .weights = weights};

    assert_in_range(text->length, 2, 256);
    batch.tokens = f->ground.corpus.tokens + text->start;
    offsets[1] = text->length;
    for (int32_t i = 0; i < text->length; i++)
        weights[i] = i > 0;
    assert_int_equal(pal_forward(pass, f->start, &batch, PAL_ALL_LAYERS, NULL), PAL_OK);
}

static int is_known(const pal_fact_t *fact)
{
    return fact->role == PAL_FORGET && fact->fold > 1;
}

/* Fine-tuning, whole or by an adapter, learns the right answers and what is before
 * them. */
static void fine_tuning_starts_at_the_nll_of_t(void **state)
{
    static const char *const ids[] = {"finetune", "lora"};
    fixture_t *f = *state;
    double nll = 0, tokens = 0;
    pal_pass_t *pass;

    assert_int_equal(pal_pass_create(f->layout, &pass, NULL), PAL_OK);
    for (int32_t i = 0; i < f->ground.world.count; i++) {
        const pal_fact_t *fact = &f->ground.world.facts[i];

        if (!is_known(fact))
            continue;
        read_text(f, pass, asked(f, i, fact->answer));
        nll += pal_loss_nll(pass, 0) * (asked(f, i, fact->answer)->length - 1);
        tokens += asked(f, i, fact->answer)->length - 1;
    }
    nll /= tokens;
    for (int k = 0; k < 2; k++)
        assert_true(fabs(attack_at_rest(f, ids[k]).loss[1] - nll) < 1e-5 * nll);
    pal_pass_destroy(pass);
}

/* --- The probe before it has learned anything: M is the identity --- */

typedef struct {
    double h[60][WIDTH]; /* of each fact, then centred and scaled over T */
    double scale;        /* 1 / root mean square of the output matrix */
} lens_t;

static void read_facts(const fixture_t *f, lens_t *lens)
{
    const pal_slice_t *table = pal_layout_output(f->layout);
    double mean[WIDTH] = {0}, square = 0;
    pal_pass_t *pass;

    assert_int_equal(pal_pass_create(f->layout, &pass, NULL), PAL_OK);
    for (int32_t i = 0; i < f->ground.world.count; i++) {
        const pal_example_t *text = asked(f, i, 0);

        read_text(f, pass, text);
        for (int32_t j = 0; j < WIDTH; j++)
            lens->h[i][j] =
                (double)pal_pass_residual(pass, 0)[(text->prompt - 1) * WIDTH + j];
        for (int32_t j = 0; j < WIDTH && is_known(&f->ground.world.facts[i]); j++)
            mean[j] += lens->h[i][j] / KNOWN;
    }
    pal_pass_destroy(pass);
    for (int32_t i = 0; i < f->ground.world.count; i++)
        for (int32_t j = 0; j < WIDTH; j++) {
            lens->h[i][j] -= mean[j];
            if (is_known(&f->ground.world.facts[i]))
                square += lens->h[i][j] * lens->h[i][j] / (KNOWN * WIDTH);
        }
    for (int32_t i = 0; i < f->ground.world.count; i++)
        for (int32_t j = 0; j < WIDTH; j++)
            lens->h[i][j] /= sqrt(square);
    square = 0;
    for (int64_t i = 0; i < table->size; i++)
        square += pow((double)f->start[table->offset + i], 2) / (double)table->size;
    lens->scale = 1 / sqrt(square);
}

/* e . h / C: of a choice, whose tokens' rows are averaged. */
static double choice_score(const fixture_t *f, const lens_t *lens, int32_t fact,
                           int32_t choice)
{
    const float *table = f->start + pal_layout_output(f->layout)->offset;
    const pal_example_t *text = asked(f, fact, choice);
    double sum = 0;

    for (int32_t t = text->prompt; t < text->length; t++)
        for (int32_t j = 0; j < WIDTH; j++)
            sum += lens->h[fact][j] *
                   (double)table[f->ground.corpus.tokens[text->start + t] * WIDTH + j];
    return lens->scale * sum / (text->length - text->prompt) / WIDTH;
}

/* -log softmax of the right choice; whether it is the highest. */
static double choice_nll(const fixture_t *f, const lens_t *lens, int32_t i, int *right)
{
    const pal_fact_t *fact = &f->ground.world.facts[i];
    const double answer = choice_score(f, lens, i, fact->answer);
    double sum = 0;

    *right = 1;
    for (int32_t c = 0; c < fact->choice_count; c++) {
        const double s = choice_score(f, lens, i, c);

        sum += exp(s - answer);
        *right &= c == fact->answer || s < answer;
    }
    return log(sum);
}

static void the_probe_starts_as_the_lens(void **state)
{
    static lens_t lens;
    fixture_t *f = *state;
    const pal_trial_result_t result = attack_at_rest(f, "probe");
    double loss = 0;
    int right[100] = {0};

    assert_int_equal(f->layout->shape.width, WIDTH);
    assert_in_range(f->ground.world.count, 1, 60);
    read_facts(f, &lens);
    for (int32_t i = 0; i < f->ground.world.count; i++) {
        const pal_fact_t *fact = &f->ground.world.facts[i];
        int is_right;
        const double nll = choice_nll(f, &lens, i, &is_right);

        if (is_known(fact))
            loss += nll / KNOWN;
        if (fact->role == PAL_FORGET)
            right[fact->fold] += is_right;
    }
    if (fabs(result.loss[1] - loss) > 1e-5 * loss)
        fail_msg("loss %g, not %g", result.loss[1], loss);
    assert_true(result.v[1] == right[0] / 8.0 && result.dev[1] == right[1] / 8.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fine_tuning_starts_at_the_nll_of_t),
        cmocka_unit_test(the_probe_starts_as_the_lens),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
