#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../world/made_world.h"
#include "base/rng.h"
#include "eval/choice.h"
#include "model/loss.h"

typedef struct {
    pal_world_t world;
    pal_corpus_t corpus;
    pal_layout_t *layout;
    pal_pass_t *pass;
    pal_scorer_t *scorer;
    float *weights;
    int32_t facts[60];
} fixture_t;

static int make(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    pal_shape_t shape;
    pal_error_t err;

    f->world = make_world("synthetic", "facts=40,retain=20");
    assert_int_equal(pal_corpus_create(&f->world, 16384, &f->corpus, &err), PAL_OK);
    assert_int_equal(pal_preset_find("nano", &shape, &err), PAL_OK);
    shape.context = 32;
    shape.vocab = pal_tokenizer_size(f->corpus.tokenizer);
    assert_int_equal(pal_layout_create(&shape, &f->layout, &err), PAL_OK);
    assert_int_equal(pal_pass_create(f->layout, &f->pass, &err), PAL_OK);
    assert_int_equal(pal_scorer_create(&f->corpus, &f->scorer, &err), PAL_OK);
    f->weights = calloc((size_t)f->layout->count, sizeof(float));
    for (int32_t i = 0; i < 60; i++)
        f->facts[i] = i;
    *state = f;
    return 0;
}

static int release(void **state)
{
    fixture_t *f = *state;

    pal_scorer_destroy(f->scorer);
    pal_pass_destroy(f->pass);
    pal_layout_destroy(f->layout);
    pal_corpus_free(&f->corpus);
    pal_world_free(&f->world);
    free(f->weights);
    free(f);
    return 0;
}

static double score(fixture_t *f, const int32_t *facts, int32_t n, uint8_t *right)
{
    double accuracy = -1;
    pal_error_t err;

    assert_int_equal(pal_scorer_run(f->scorer, f->pass, f->weights, facts, n, right,
                                    &accuracy, &err),
                     PAL_OK);
    return accuracy;
}

/* Summed NLL of the tokens from `prompt` on, with the whole example as one sequence;
 * edit may be NULL. */
static double whole_nll(fixture_t *f, const pal_example_t *e, const pal_edit_t *edit)
{
    const int32_t offsets[2] = {0, e->length};
    float weights[64] = {0};
    const pal_batch_t batch = {.sequences = 1,
                               .offsets = offsets,
                               .weights = weights,
                               .tokens = f->corpus.tokens + e->start};
    pal_error_t err;
    double n;

    assert_true(e->length <= 64);
    for (int32_t t = e->prompt; t < e->length; t++)
        weights[t] = 1;
    assert_int_equal(pal_forward_edited(f->pass, f->weights, &batch, PAL_ALL_LAYERS,
                                        edit, edit != NULL, &err),
                     PAL_OK);
    pal_loss_nll_sequences(f->pass, &n, NULL);
    return n;
}

/* The naive twin: every choice as a whole sequence of its own. */
static int32_t check_right(fixture_t *f, const pal_edit_t *edit, const uint8_t *right)
{
    int32_t count = 0;

    for (int32_t i = 0; i < 60; i++) {
        const pal_fact_t *fact = &f->world.facts[i];
        double best = INFINITY;
        int32_t choice = -1;

        for (int32_t c = 0; c < fact->choice_count; c++) {
            int32_t e = pal_corpus_question(&f->corpus, i, c);
            double n = whole_nll(f, &f->corpus.examples[e], edit);

            if (n < best) {
                best = n;
                choice = c;
            }
        }
        assert_int_equal(right[i], choice == fact->answer);
        count += right[i];
    }
    assert_true(count > 0 && count < 60);
    return count;
}

static void init(fixture_t *f)
{
    pal_layout_init(f->layout, (pal_key_t){{5}}, f->weights);
    for (int64_t i = 0; i < f->layout->count; i++)
        f->weights[i] *= 10; /* make the choices differ by more than rounding */
}

static void agrees_with_whole_sequences(void **state)
{
    fixture_t *f = *state;
    uint8_t right[60];
    double accuracy;

    init(f);
    accuracy = score(f, f->facts, 60, right);
    assert_true(accuracy == check_right(f, NULL, right) / 60.0);
}

static void a_direction_can_be_projected_out(void **state)
{
    fixture_t *f = *state;
    const int32_t width = f->layout->shape.width;
    float *d = malloc((size_t)width * sizeof *d);
    pal_edit_t edit = {.kind = PAL_EDIT_PROJECT, .values = d};
    uint8_t whole[60], right[60];
    double accuracy, square = 0;
    pal_error_t err;
    pal_rng_t rng;

    assert_non_null(d);
    pal_rng_init(&rng, (pal_key_t){{7}}, "direction");
    for (int32_t j = 0; j < width; j++) {
        d[j] = (float)pal_rng_normal(&rng);
        square += (double)d[j] * d[j];
    }
    for (int32_t j = 0; j < width; j++)
        d[j] = (float)(d[j] / sqrt(square));
    init(f);
    (void)score(f, f->facts, 60, whole);
    for (edit.layer = -1; edit.layer < f->layout->shape.layers; edit.layer++) {
        assert_int_equal(pal_scorer_run_edited(f->scorer, f->pass, f->weights, &edit, 1,
                                               f->facts, 60, right, &accuracy, &err),
                         PAL_OK);
        assert_true(accuracy == check_right(f, &edit, right) / 60.0);
        assert_memory_not_equal(right, whole, sizeof whole);
    }
    free(d);
}

static void only_what_is_the_same_at_every_token(void **state)
{
    fixture_t *f = *state;
    float *values = calloc(3 * (size_t)f->layout->shape.width, sizeof *values);
    const pal_edit_t no_change = {.kind = PAL_EDIT_ADD, .rows = 1, .values = values};
    const struct {
        pal_edit_t edit;
        const char *says;
    } refused[] = {
        {{.kind = PAL_EDIT_ADD, .rows = 3, .values = values}, "edit 1: a delta of 3 "},
        {{.kind = PAL_EDIT_GATE, .values = values}, "edit 1: a gate"},
    };
    uint8_t whole[60], right[60];
    double accuracy;
    pal_error_t err;

    init(f);
    (void)score(f, f->facts, 60, whole);
    assert_int_equal(pal_scorer_run_edited(f->scorer, f->pass, f->weights, &no_change,
                                           1, f->facts, 60, right, &accuracy, &err),
                     PAL_OK);
    assert_memory_equal(right, whole, sizeof whole);
    for (int i = 0; i < 2; i++) {
        const pal_edit_t edits[] = {no_change, refused[i].edit};

        assert_int_equal(pal_scorer_run_edited(f->scorer, f->pass, f->weights, edits, 2,
                                               f->facts, 60, right, &accuracy, &err),
                         PAL_EINVAL);
        assert_non_null(strstr(err.text, refused[i].says));
    }
    free(values);
}

/* What is right does not depend on what is asked beside it. */
static void facts_do_not_see_each_other(void **state)
{
    fixture_t *f = *state;
    uint8_t all[60], one;

    pal_layout_init(f->layout, (pal_key_t){{6}}, f->weights);
    for (int64_t i = 0; i < f->layout->count; i++)
        f->weights[i] *= 10;
    (void)score(f, f->facts, 60, all);
    for (int32_t i = 0; i < 60; i++) {
        (void)score(f, &f->facts[i], 1, &one);
        assert_int_equal(one, all[i]);
    }
}

static void ties_and_nan_are_wrong(void **state)
{
    fixture_t *f = *state;

    memset(f->weights, 0, (size_t)f->layout->count * sizeof(float));
    assert_true(score(f, f->facts, 60, NULL) == 0); /* all choices equally likely */
    for (int64_t i = 0; i < f->layout->count; i++)
        f->weights[i] = NAN;
    assert_true(score(f, f->facts, 60, NULL) == 0);
    assert_true(isnan(score(f, f->facts, 0, NULL)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_whole_sequences),
        cmocka_unit_test(a_direction_can_be_projected_out),
        cmocka_unit_test(only_what_is_the_same_at_every_token),
        cmocka_unit_test(facts_do_not_see_each_other),
        cmocka_unit_test(ties_and_nan_are_wrong),
    };

    return cmocka_run_group_tests(tests, make, release);
}
