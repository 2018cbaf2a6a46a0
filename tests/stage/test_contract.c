/* Every registered method and attack runs this suite; a new entry is tested before its
 * author writes a test. */
#include "stage/lab.h"
#include "stage/pools.h"
#include "toy.h"

static void check_table(const char *id, const pal_param_t *table, size_t state_size)
{
    assert_non_null(table);
    assert_true(state_size <= PAL_STATE_MAX);
    for (const pal_param_t *p = table; p->key; p++) {
        size_t size = p->type == PAL_TEXT ? PAL_TEXT_MAX : 8;

        if (p->offset + size > state_size || !p->unit || !p->help ||
            (p->type != PAL_TEXT && (p->preset < p->min || p->preset > p->max)))
            fail_msg("%s: parameter '%s' is ill-formed", id, p->key);
    }
}

static void check_order(const char *list, const char *before, const char *id)
{
    if (strcmp(before, id) >= 0)
        fail_msg("%s: '%s' must come before '%s'", list, id, before);
}

static void tables_are_well_formed(void **state)
{
    (void)state;
    for (int i = 0; i < pal_method_count(); i++) {
        const pal_method_t *method = pal_method_at(i);

        check_table(pal_method_id(i), method->params, method->state_size);
        assert_non_null(method->summary);
        assert_true((method->role == PAL_UNLEARNS) == (method->step != NULL));
        assert_false(method->adapter && method->edit);
        if (i > 0)
            check_order("methods.def", pal_method_id(i - 1), pal_method_id(i));
    }
    for (int i = 0; i < pal_attack_count(); i++) {
        const pal_attack_t *attack = pal_attack_at(i);

        check_table(pal_attack_id(i), attack->params, attack->state_size);
        assert_non_null(attack->summary);
        assert_non_null(attack->step);
        assert_true(attack->cost >= 0);
        assert_false(attack->adapter && (attack->answer || attack->edit));
        if (i > 0)
            check_order("attacks.def", pal_attack_id(i - 1), pal_attack_id(i));
    }
    check_table("model", pal_model_params, sizeof(pal_model_spec_t));
    check_table("pretrain", pal_pretrain_params, sizeof(pal_pretrain_t));
    check_table("unlearn", pal_unlearn_params, sizeof(pal_unlearn_common_t));
    check_table("attack", pal_attack_params, sizeof(pal_attack_common_t));
}

static void unknown_names_are_refused(void **state)
{
    const pal_method_t *method = NULL;
    const pal_attack_t *attack = NULL;
    pal_error_t err;

    (void)state;
    assert_int_equal(pal_method_find("gdd", &method, &err), PAL_ENOENT);
    assert_non_null(strstr(err.text, "nearest is gd"));
    assert_null(method);
    assert_int_equal(pal_attack_find("finetun", &attack, &err), PAL_ENOENT);
    assert_non_null(strstr(err.text, "nearest is finetune"));
    assert_null(attack);
}

/* Another value than the preset. */
static void change(const pal_param_t *p, unsigned char *state)
{
    const double limit = p->preset < p->max ? p->max : p->min;
    const double real = (p->preset + limit) / 2;
    const int64_t count = (int64_t)p->preset + (p->preset < p->max ? 1 : -1);

    if (p->type == PAL_TEXT)
        strcat((char *)state + p->offset, "x");
    else
        memcpy(state + p->offset,
               p->type == PAL_REAL ? (const void *)&real : (const void *)&count, 8);
}

/* Rows whose entries differ in any parameter of their own, or in a common one, are not
 * one row. */
static void every_parameter_changes_the_key(void **state)
{
    fixture_t *f = *state;

    for (int i = 0; i < pal_method_count(); i++)
        for (int common = 0; common < 2; common++) {
            const pal_unlearn_spec_t spec = unlearn_spec(pal_method_id(i));
            const pal_key_t key = pal_unlearn_key(f->base_key, &spec);
            const pal_param_t *p = common ? pal_unlearn_params : spec.method->params;

            for (; p->key; p++) {
                pal_unlearn_spec_t other = spec;

                change(p, common ? (unsigned char *)&other.common : other.state);
                if (pal_key_equal(key, pal_unlearn_key(f->base_key, &other)))
                    fail_msg("%s: '%s' does not matter", spec.id, p->key);
            }
        }
    for (int i = 0; i < pal_attack_count(); i++)
        for (int common = 0; common < 2; common++) {
            const pal_attack_spec_t spec = attack_spec(pal_attack_id(i));
            const pal_key_t key = pal_trial_key(f->base_key, &spec);
            const pal_param_t *p = common ? pal_attack_params : spec.attack->params;

            for (; p->key; p++) {
                pal_attack_spec_t other = spec;

                change(p, common ? (unsigned char *)&other.common : other.state);
                if (pal_key_equal(key, pal_trial_key(f->base_key, &other)))
                    fail_msg("%s: '%s' does not matter", spec.id, p->key);
            }
        }
}

static int unlearn(fixture_t *f, const pal_unlearn_spec_t *spec, const float *start,
                   float *weights, pal_error_t *err)
{
    pal_model_result_t result = {.bits = f->bits};
    pal_key_t key = pal_unlearn_key(f->base_key, spec);
    int rc = pal_stage_unlearn(f->lab, &f->ground, &f->base, spec, key, start, weights,
                               &result, err);

    if (rc == PAL_OK) {
        assert_true(result.retain_accuracy >= 0 && result.retain_accuracy <= 1);
        assert_true(isfinite(result.loss) == (spec->method->role == PAL_UNLEARNS));
    }
    return rc;
}

/* Same key, same bits; another key, others; controls do not move; what a method says it
 * does not train does not move. */
static void methods_are_deterministic(void **state)
{
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_error_t err;

    for (int i = 0; i < pal_method_count(); i++) {
        pal_unlearn_spec_t spec = unlearn_spec(pal_method_id(i)), other = spec;
        const pal_method_t *method = spec.method;

        assert_int_equal(unlearn(f, &spec, f->start, a, &err), PAL_OK);
        assert_int_equal(unlearn(f, &spec, f->start, b, &err), PAL_OK);
        assert_memory_equal(a, b, weight_bytes(f));
        other.common.coefficient *= 2;
        assert_int_equal(unlearn(f, &other, f->start, b, &err), PAL_OK);
        assert_int_equal(memcmp(a, f->start, weight_bytes(f)) == 0,
                         method->role != PAL_UNLEARNS);
        assert_int_equal(memcmp(a, b, weight_bytes(f)) == 0,
                         method->role != PAL_UNLEARNS);
        for (int32_t s = 0; s < f->layout->slice_count && method->rate; s++) {
            const pal_slice_t *slice = &f->layout->slices[s];

            if (method->rate(spec.state, f->layout, slice) == 0)
                assert_memory_equal(a + slice->offset, f->start + slice->offset,
                                    (size_t)slice->size * sizeof(float));
        }
    }
    free(a);
    free(b);
}

/* Under an adapter what moves are matrices of the blocks that the method trains, each
 * of them, and no byte beside them. */
static void check_adapted(const fixture_t *f, const pal_unlearn_spec_t *spec,
                          const float *weights)
{
    for (int32_t s = 0; s < f->layout->slice_count; s++) {
        const pal_slice_t *slice = &f->layout->slices[s];
        double rate =
            spec->method->rate ? spec->method->rate(spec->state, f->layout, slice) : 1;
        int moves = slice->layer >= 0 && pal_slice_is_matrix(slice->kind) && rate != 0;

        assert_int_equal(memcmp(weights + slice->offset, f->start + slice->offset,
                                (size_t)slice->size * sizeof(float)) != 0,
                         moves);
    }
}

static void methods_train_adapters(void **state)
{
    fixture_t *f = *state;
    float *a = malloc(weight_bytes(f)), *b = malloc(weight_bytes(f));
    pal_error_t err;

    for (int i = 0; i < pal_method_count(); i++) {
        pal_unlearn_spec_t spec = unlearn_spec(pal_method_id(i));

        if (spec.method->role != PAL_UNLEARNS || spec.method->edit)
            continue;
        set(pal_unlearn_params, &spec.common, "adapter", "2");
        assert_int_equal(pal_unlearn_fits(&f->ground, &f->base, &spec, &err), PAL_OK);
        assert_int_equal(unlearn(f, &spec, f->start, a, &err), PAL_OK);
        assert_int_equal(unlearn(f, &spec, f->start, b, &err), PAL_OK);
        assert_memory_equal(a, b, weight_bytes(f));
        check_adapted(f, &spec, a);
    }
    free(a);
    free(b);
}

/* Started from weights of which every seventh is that value. */
static void check_diverges(fixture_t *f, float value)
{
    float *bad = malloc(weight_bytes(f)), *weights = malloc(weight_bytes(f));
    pal_trial_result_t result = {.bits = f->bits, .bits_before = f->bits + 32};
    pal_error_t err;

    memcpy(bad, f->start, weight_bytes(f));
    for (int64_t i = 0; i < f->layout->count; i += 7)
        bad[i] = value;
    for (int i = 0; i < pal_method_count(); i++) {
        pal_unlearn_spec_t spec = unlearn_spec(pal_method_id(i));

        if (spec.method->role != PAL_UNLEARNS)
            continue;
        assert_int_equal(unlearn(f, &spec, bad, weights, &err), PAL_EDIVERGE);
        assert_non_null(strstr(err.text, pal_method_id(i)));
    }
    for (int i = 0; i < pal_attack_count(); i++) {
        pal_attack_spec_t spec = attack_spec(pal_attack_id(i));

        assert_int_equal(pal_stage_trial(f->lab, &f->ground, &f->base, &spec,
                                         f->base_key, bad, weights, &result, &err),
                         PAL_EDIVERGE);
    }
    free(bad);
    free(weights);
}

static void broken_weights_diverge(void **state)
{
    check_diverges(*state, NAN);
    check_diverges(*state, INFINITY);
    check_diverges(*state, 3e38f); /* overflows on the way */
}

/* What an attack trains in place of the model leaves the model alone, to the last byte;
 * an adapter changes its targets and nothing else. */
static void check_weights(const fixture_t *f, const pal_attack_spec_t *spec,
                          const float *after)
{
    for (int32_t s = 0; s < f->layout->slice_count; s++) {
        const pal_slice_t *slice = &f->layout->slices[s];
        int moves = f->lab->train[s] && !spec->attack->answer;

        assert_int_equal(memcmp(after + slice->offset, f->start + slice->offset,
                                (size_t)slice->size * sizeof(float)) != 0,
                         moves);
    }
}

/* The chosen point is the earliest of the best ones; an attack that answers itself does
 * not count the start as its own. */
static void check_choice(const pal_trial_result_t *r, const pal_attack_t *attack)
{
    int32_t first = attack->answer ? 1 : 0;

    assert_true(r->chosen >= first && r->best >= first);
    for (int32_t p = first; p < r->points; p++) {
        assert_true(r->dev[p] <= r->dev[r->chosen]);
        assert_true(r->v[p] <= r->v[r->best]);
        assert_true(p >= r->chosen || r->dev[p] < r->dev[r->chosen]);
    }
}

static void attacks_are_deterministic_and_read_only(void **state)
{
    fixture_t *f = *state;
    float *start = malloc(weight_bytes(f)), *last = malloc(weight_bytes(f));
    pal_error_t err;

    memcpy(start, f->start, weight_bytes(f));
    for (int i = 0; i < pal_attack_count(); i++) {
        pal_attack_t attack = show(pal_attack_at(i), last);
        pal_attack_spec_t spec = attack_spec(pal_attack_id(i));
        pal_trial_result_t r[3];
        uint8_t bits[6][8] = {{0}};

        spec.attack = &attack;
        memset(r, 0, sizeof r);
        for (int k = 0; k < 3; k++) {
            pal_key_t key = f->base_key;

            key.bytes[0] ^= k == 2;
            r[k].bits = bits[k];
            r[k].bits_before = bits[3 + k];
            assert_int_equal(pal_stage_trial(f->lab, &f->ground, &f->base, &spec, key,
                                             start, f->work, &r[k], &err),
                             PAL_OK);
            check_weights(f, &spec, last);
        }
        assert_int_equal(r[0].points, 4);
        assert_true(isnan(r[0].loss[0]) && isfinite(r[0].loss[3]));
        assert_true(r[0].step[0] == 0 && r[0].step[3] == 6);
        assert_memory_equal(r[0].v, r[1].v, sizeof r[0].v);
        assert_memory_equal(r[0].loss + 1, r[1].loss + 1, 3 * sizeof(double));
        assert_memory_equal(bits[0], bits[1], 8);
        assert_true(r[0].loss[3] != r[2].loss[3]);
        check_choice(&r[0], spec.attack);
        assert_memory_equal(start, f->start, weight_bytes(f));
    }
    free(start);
    free(last);
}

/* --- Gradients: the slope of a term along its gradient is the gradient's norm --- */

/* The loss is coefficient * forget + retain (method.h): so the retain term is what
 * coefficient 0 leaves, the forget term what 1 adds. Each for itself, because one may
 * be tiny beside the other, and a wrong sign of it would drown. */
typedef enum { RETAIN, FORGET } term_t;

typedef struct {
    fixture_t *f;
    const pal_method_t *method;
    void *state;
    pal_unlearning_t run;
    const pal_unlearn_spec_t *spec;
    pal_pool_t retain;
    uint8_t train[64];
    float *grad, *without; /* of the last term_at(); scratch */
} slope_t;

static void close_streams(slope_t *s)
{
    pal_stream_destroy(s->run.forget);
    pal_stream_destroy(s->run.twin);
    pal_stream_destroy(s->run.retain);
}

/* From their beginning. */
static void open_streams(slope_t *s)
{
    pal_error_t err;

    assert_int_equal(pal_forget_streams(&s->f->ground, s->spec, s->run.key,
                                        &s->run.forget, &s->run.twin, &err),
                     PAL_OK);
    assert_int_equal(pal_stream_create(&s->f->ground.corpus, &s->retain, 8, s->run.key,
                                       "retain", &s->run.retain, &err),
                     PAL_OK);
}

/* The loss at weights on the same batches each time. */
static double loss_at(slope_t *s, double coefficient, int64_t step,
                      const float *weights, float *grad)
{
    pal_error_t err;
    double loss = 0;

    close_streams(s);
    open_streams(s);
    s->run.coefficient = coefficient;
    memset(grad, 0, weight_bytes(s->f));
    assert_int_equal(
        s->method->step(s->state, &s->run, step, weights, s->train, grad, &loss, &err),
        PAL_OK);
    return loss;
}

static double term_at(slope_t *s, term_t term, int64_t step, const float *weights)
{
    double both;

    if (term == RETAIN)
        return loss_at(s, 0, step, weights, s->grad);
    both = loss_at(s, 1, step, weights, s->grad);
    both -= loss_at(s, 0, step, weights, s->without);
    for (int64_t i = 0; i < s->f->layout->count; i++)
        s->grad[i] -= s->without[i];
    return both;
}

static double norm(const float *x, int64_t n)
{
    double square = 0;

    for (int64_t i = 0; i < n; i++)
        square += (double)x[i] * x[i];
    return sqrt(square);
}

/* 0 if the step does not have the term. weights: written, restored to rounding. */
static int check_term(slope_t *s, term_t term, int64_t at, float *weights,
                      const char *id)
{
    int64_t n = s->f->layout->count;
    float *g = malloc(weight_bytes(s->f));
    double value = term_at(s, term, at, weights), length = norm(s->grad, n);
    double up, down, slope, h = 3e-3;

    memcpy(g, s->grad, weight_bytes(s->f));
    for (int64_t i = 0; i < n && length > 0; i++)
        weights[i] += (float)(h * g[i] / length);
    up = term_at(s, term, at, weights);
    for (int64_t i = 0; i < n && length > 0; i++)
        weights[i] -= (float)(2 * h * g[i] / length);
    down = term_at(s, term, at, weights);
    for (int64_t i = 0; i < n && length > 0; i++)
        weights[i] += (float)(h * g[i] / length);
    free(g);
    if (length == 0 && value == 0)
        return 0;
    slope = (up - down) / (2 * h);
    /* Central difference in FP32: truncation O(h^2), rounding about 1e-7 / h. */
    if (length == 0 || fabs(slope - length) > 0.01 * length)
        fail_msg("%s: %s term: %g, slope %g, gradient norm %g in step %lld", id,
                 term == RETAIN ? "retain" : "forget", value, slope, length,
                 (long long)at);
    return 1;
}

/* At step `at`, after the edits that come before it; 1 if it has a forget term. */
static int check_slopes(slope_t *s, int64_t at, const char *id)
{
    int64_t n = s->f->layout->count;
    pal_error_t err;
    float *w = malloc(weight_bytes(s->f));
    int forgets, retains;

    for (int64_t i = 0; i < n;
         i++) /* away from the start, where some gradients vanish */
        w[i] = s->f->start[i] + 0.02f * (float)((i * 7919) % 13 - 6) / 6;
    for (int64_t i = 0; i <= at && s->method->edit; i++)
        assert_int_equal(s->method->edit(s->state, &s->run, i, s->train, w, &err),
                         PAL_OK);
    forgets = check_term(s, FORGET, at, w, id);
    retains = check_term(s, RETAIN, at, w, id);
    assert_true(forgets || retains);
    free(w);
    return forgets;
}

static void method_gradients_match_the_loss(void **state)
{
    fixture_t *f = *state;
    pal_error_t err;

    for (int i = 0; i < pal_method_count(); i++) {
        pal_unlearn_spec_t spec = unlearn_spec(pal_method_id(i));
        slope_t s = {.f = f, .method = spec.method, .state = spec.state, .spec = &spec};
        int forgets;

        if (spec.method->role != PAL_UNLEARNS || spec.method->direction)
            continue;
        s.run = (pal_unlearning_t){.layout = f->layout,
                                   .start = f->start,
                                   .coefficient = 1,
                                   .steps = 10,
                                   .key = pal_unlearn_key(f->base_key, &spec)};
        s.grad = malloc(weight_bytes(f));
        s.without = malloc(weight_bytes(f));
        assert_int_equal(pal_pass_create(f->layout, &s.run.pass, &err), PAL_OK);
        assert_int_equal(pal_pass_create(f->layout, &s.run.frozen, &err), PAL_OK);
        assert_int_equal(pal_pool_retain(&f->ground, &f->base, &s.retain, &err),
                         PAL_OK);
        for (int32_t k = 0; k < f->layout->slice_count; k++)
            s.train[k] = !s.method->rate || s.method->rate(spec.state, f->layout,
                                                           &f->layout->slices[k]) != 0;
        open_streams(&s);
        if (s.method->begin)
            assert_int_equal(s.method->begin(spec.state, &s.run, &err), PAL_OK);
        /* methods may measure the start at step 0 */
        (void)loss_at(&s, 1, 0, f->start, s.grad);
        forgets = check_slopes(&s, 1, pal_method_id(i));
        forgets |= check_slopes(&s, s.run.steps - 1, pal_method_id(i));
        if (!forgets)
            fail_msg("%s: the coefficient changes nothing", pal_method_id(i));
        if (s.method->end)
            s.method->end(spec.state);
        close_streams(&s);
        pal_pass_destroy(s.run.pass);
        pal_pass_destroy(s.run.frozen);
        pal_pool_free(&s.retain);
        free(s.grad);
        free(s.without);
    }
}

/* --- The same for what an attack trains: the weights or its own --- */

typedef struct {
    fixture_t *f;
    const pal_attack_t *attack;
    void *state;
    pal_attacking_t run;
    pal_pool_t questions;
    uint8_t train[64];
} attack_slope_t;

static double attack_loss_at(attack_slope_t *s, const float *values, float *grad,
                             int64_t n)
{
    pal_error_t err;
    double loss = 0;

    assert_int_equal(pal_stream_create(&s->f->ground.corpus, &s->questions, 8,
                                       s->run.key, "known", &s->run.known, &err),
                     PAL_OK);
    memset(grad, 0, (size_t)n * sizeof *grad);
    assert_int_equal(
        s->attack->step(s->state, &s->run, 0, values, s->train, grad, &loss, &err),
        PAL_OK);
    pal_stream_destroy(s->run.known);
    return loss;
}

static void check_attack_slope(attack_slope_t *s, const float *values, int64_t n,
                               const char *id)
{
    const size_t bytes = (size_t)n * sizeof(float);
    float *w = malloc(bytes), *g = malloc(bytes), *scratch = malloc(bytes);
    double length, up, down, h = 3e-3;

    (void)attack_loss_at(s, values, g, n);
    length = norm(g, n);
    assert_true(length > 0);
    for (int64_t i = 0; i < n; i++)
        w[i] = values[i] + (float)(h * g[i] / length);
    up = attack_loss_at(s, w, scratch, n);
    for (int64_t i = 0; i < n; i++)
        w[i] = values[i] - (float)(h * g[i] / length);
    down = attack_loss_at(s, w, scratch, n);
    if (fabs((up - down) / (2 * h) - length) > 0.01 * length)
        fail_msg("%s: slope %g, gradient norm %g", id, (up - down) / (2 * h), length);
    free(w);
    free(g);
    free(scratch);
}

/* Every answer is a choice of its fact or none. */
static void check_answers(attack_slope_t *s, const float *values)
{
    const pal_world_t *world = &s->f->ground.world;
    int32_t *facts = malloc((size_t)world->count * sizeof *facts);
    int32_t *choice = malloc((size_t)world->count * sizeof *choice);
    int32_t n = pal_world_select(world, PAL_FORGET, -1, facts);
    pal_error_t err;

    for (int32_t i = 0; i < n; i++)
        choice[i] = INT32_MAX;
    assert_int_equal(
        s->attack->answer(s->state, &s->run, values, facts, n, choice, &err), PAL_OK);
    for (int32_t i = 0; i < n; i++)
        assert_true(choice[i] >= -1 && choice[i] < world->facts[facts[i]].choice_count);
    free(facts);
    free(choice);
}

static void attack_gradients_match_the_loss(void **state)
{
    fixture_t *f = *state;
    pal_error_t err;

    for (int i = 0; i < pal_attack_count(); i++) {
        pal_attack_spec_t spec = attack_spec(pal_attack_id(i));
        attack_slope_t s = {.f = f, .attack = spec.attack, .state = spec.state};
        const float *values = f->start;
        int64_t n = f->layout->count;

        memset(s.train, 1, sizeof s.train);
        s.run = (pal_attacking_t){.layout = f->layout,
                                  .start = f->start,
                                  .corpus = &f->ground.corpus,
                                  .questions = &s.questions,
                                  .steps = 10,
                                  .key = pal_trial_key(f->base_key, &spec)};
        assert_int_equal(pal_pass_create(f->layout, &s.run.pass, &err), PAL_OK);
        assert_int_equal(pal_pool_known(&f->ground, &spec, &s.questions, &err), PAL_OK);
        if (s.attack->begin)
            assert_int_equal(s.attack->begin(spec.state, &s.run, &err), PAL_OK);
        if (s.run.own) {
            values = s.run.values;
            n = s.run.own->count;
        }
        check_attack_slope(&s, values, n, pal_attack_id(i));
        if (s.attack->answer)
            check_answers(&s, values);
        if (s.attack->end)
            s.attack->end(spec.state);
        pal_pass_destroy(s.run.pass);
        pal_pool_free(&s.questions);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_well_formed),
        cmocka_unit_test(unknown_names_are_refused),
        cmocka_unit_test(every_parameter_changes_the_key),
        cmocka_unit_test(methods_are_deterministic),
        cmocka_unit_test(methods_train_adapters),
        cmocka_unit_test(broken_weights_diverge),
        cmocka_unit_test(attacks_are_deterministic_and_read_only),
        cmocka_unit_test(method_gradients_match_the_loss),
        cmocka_unit_test(attack_gradients_match_the_loss),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
