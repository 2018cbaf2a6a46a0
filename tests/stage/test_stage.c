#include "fixture.h"
#include "stage/pools.h"

static void every_parameter_changes_the_key(void **state)
{
    static const struct {
        const char *key, *text;
    } pretrain[] = {{"steps", "21"},          {"batch", "17"},       {"lr", "0.002"},
                    {"warmup", "6"},          {"clip", "2"},         {"decay", "0.1"},
                    {"schedule", "constant"}, {"optimizer", "lion"}, {"taught", "0.5"},
                    {"questions", "3"}};
    fixture_t *f = *state;
    pal_unlearn_spec_t gd = unlearn_spec("gd"), ria = unlearn_spec("ria");
    pal_attack_spec_t attack = attack_spec("finetune"), moved = attack;

    for (size_t i = 0; i < sizeof pretrain / sizeof *pretrain; i++) {
        pal_base_spec_t spec = f->base;

        set(pal_pretrain_params, &spec.pretrain, pretrain[i].key, pretrain[i].text);
        assert_false(pal_key_equal(f->base_key, base_key(f, &spec)));
    }
    assert_false(pal_key_equal(pal_unlearn_key(f->base_key, &gd),
                               pal_unlearn_key(f->base_key, &ria)));
    moved.common.holdout = 1;
    assert_false(pal_key_equal(pal_trial_key(f->base_key, &attack),
                               pal_trial_key(f->base_key, &moved)));
}

/* A limit of words that is not reached does not matter; the vocabulary does. */
static void unused_words_do_not_change_the_key(void **state)
{
    fixture_t *f = *state;
    const int32_t vocab = pal_tokenizer_size(f->ground.corpus.tokenizer);
    pal_base_spec_t spec = f->base;

    set(pal_model_params, &spec.model, "words", "1000000");
    assert_true(pal_key_equal(f->base_key, base_key(f, &spec)));
    assert_false(pal_key_equal(f->base_key,
                               pal_base_key(f->ground.world.key, vocab - 1, &f->base)));
    set(pal_model_params, &spec.model, "size", "llama-nano");
    assert_false(pal_key_equal(f->base_key, base_key(f, &spec)));
}

static void controls_are_normalized(void **state)
{
    fixture_t *f = *state;
    pal_base_spec_t base = f->base, half = f->base;
    pal_unlearn_spec_t a = unlearn_spec("filtered"), b = a;

    half.pretrain.taught = 0.5;
    b.common.coefficient = 7;
    b.common.recipe.lr = 0.5;
    b.common.adapter = 8;
    pal_spec_normalize(&base, &a);
    pal_spec_normalize(&half, &b);
    assert_true(pal_key_equal(base_key(f, &base), base_key(f, &half)));
    assert_true(pal_key_equal(pal_unlearn_key(f->base_key, &a),
                              pal_unlearn_key(f->base_key, &b)));
    assert_false(pal_unlearn_has_coefficient(&a));
}

static void taught_facts_are_nested(void **state)
{
    static const double fractions[] = {0, 0.25, 0.5, 0.75, 1};
    fixture_t *f = *state;
    int32_t n = f->ground.world.count;
    uint8_t *less = calloc((size_t)n, 1), *more = malloc((size_t)n);

    for (size_t k = 0; k < sizeof fractions / sizeof *fractions; k++) {
        pal_base_spec_t spec = f->base;
        int32_t count[100] = {0};

        spec.pretrain.taught = fractions[k];
        assert_int_equal(pal_base_taught(&f->ground, &spec, more, NULL), PAL_OK);
        for (int32_t i = 0; i < n; i++) {
            const pal_fact_t *fact = &f->ground.world.facts[i];

            assert_true(more[i] >= less[i] || fact->role == PAL_RETAIN);
            if (fact->role == PAL_FORGET)
                count[fact->fold] += more[i];
            else
                assert_int_equal(more[i], 1);
        }
        for (int32_t fold = 0; fold < f->ground.world.folds; fold++)
            assert_int_equal(count[fold], lround(fractions[k] * 8));
        memcpy(less, more, (size_t)n);
    }
    free(less);
    free(more);
}

static void another_seed_teaches_other_facts(void **state)
{
    fixture_t *f = *state;
    const size_t n = (size_t)f->ground.world.count;
    uint8_t *taught = malloc(n), *other = malloc(n);
    pal_base_spec_t spec = f->base;

    spec.pretrain.taught = 0.5;
    assert_int_equal(pal_base_taught(&f->ground, &spec, taught, NULL), PAL_OK);
    spec.seed++;
    assert_int_equal(pal_base_taught(&f->ground, &spec, other, NULL), PAL_OK);
    assert_memory_not_equal(taught, other, n);
    free(taught);
    free(other);
}

/* What the attacker trains on has nothing of V or of the dev fold. */
static void the_attacker_never_sees_v_or_dev(void **state)
{
    fixture_t *f = *state;

    for (int64_t holdout = 0; holdout < f->ground.world.folds; holdout++) {
        pal_attack_spec_t spec = attack_spec("finetune");
        pal_pool_t pool = {0};
        int32_t dev;

        spec.common.holdout = holdout;
        dev = pal_dev_fold(&spec, f->ground.world.folds);
        assert_true(dev != holdout);
        assert_int_equal(pal_pool_known(&f->ground, &spec, &pool, NULL), PAL_OK);
        assert_int_equal(pool.count, 24);
        for (int32_t i = 0; i < pool.count; i++) {
            const pal_example_t *e = &f->ground.corpus.examples[pool.examples[i]];
            const pal_fact_t *fact = &f->ground.world.facts[e->fact];

            assert_int_equal(e->form, PAL_QUESTION);
            assert_int_equal(e->group, fact->answer);
            assert_int_equal(fact->role, PAL_FORGET);
            assert_true(fact->fold != holdout && fact->fold != dev);
        }
        pal_pool_free(&pool);
    }
}

/* The unlearner never sees a question of a forget fact, the filtered base none of it.
 */
static void pools_keep_the_protocol(void **state)
{
    static const char *const methods[] = {"gd",     "npo", "rmu", "undo",
                                          "mudman", "ria", "fwf"};
    static const int32_t per_fact_groups[] = {0, 0, 0, 0, 0, 3, 1};
    fixture_t *f = *state;
    pal_base_spec_t filtered = f->base;
    pal_pool_t pool = {0};

    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
        pal_unlearn_spec_t spec = unlearn_spec(methods[m]);
        int32_t groups = 0, last_fact = -1, last_group = -1;

        assert_int_equal(pal_pool_forget(&f->ground, &spec, f->base_key, &pool, NULL),
                         PAL_OK);
        for (int32_t i = 0; i < pool.count; i++) {
            const pal_example_t *e = &f->ground.corpus.examples[pool.examples[i]];

            assert_int_equal(f->ground.world.facts[e->fact].role, PAL_FORGET);
            assert_int_equal(e->form,
                             per_fact_groups[m] ? PAL_FALSEHOOD : PAL_STATEMENT);
            groups += e->fact != last_fact || e->group != last_group;
            last_fact = e->fact;
            last_group = e->group;
        }
        if (per_fact_groups[m])
            assert_int_equal(groups, 40 * per_fact_groups[m]);
        pal_pool_free(&pool);
    }
    filtered.pretrain.taught = 0;
    assert_int_equal(pal_pool_pretrain(&f->ground, &filtered, &pool, NULL), PAL_OK);
    for (int32_t i = 0; i < pool.count; i++) {
        const pal_example_t *e = &f->ground.corpus.examples[pool.examples[i]];

        assert_int_equal(f->ground.world.facts[e->fact].role, PAL_RETAIN);
    }
    pal_pool_free(&pool);
}

/* Of a method of pairs too: what is true, and the same with a wrong answer. */
static void pairs_keep_the_protocol(void **state)
{
    static const char *const formats[] = {"statement", "question"};
    fixture_t *f = *state;

    for (int q = 0; q < 2; q++) {
        pal_unlearn_spec_t spec = unlearn_spec("repnoise");
        pal_stream_t *forget = NULL, *twin = NULL;

        set(pal_unlearn_params, &spec.common, "format", formats[q]);
        assert_int_equal(
            pal_forget_streams(&f->ground, &spec, f->base_key, &forget, &twin, NULL),
            PAL_OK);
        for (int i = 0; i < 50; i++) {
            const pal_batch_t *x = pal_stream_next(forget), *y = pal_stream_next(twin);

            for (int32_t b = 0; b < x->sequences; b++) {
                const pal_example_t *p = &f->ground.corpus.examples[x->ids[b]];
                const pal_example_t *n = &f->ground.corpus.examples[y->ids[b]];
                const pal_fact_t *fact = &f->ground.world.facts[p->fact];

                assert_int_equal(fact->role, PAL_FORGET);
                assert_int_equal(n->fact, p->fact);
                assert_int_equal(p->form, q ? PAL_QUESTION : PAL_STATEMENT);
                assert_int_equal(n->form, q ? PAL_QUESTION : PAL_FALSEHOOD);
                assert_true(!q ||
                            (p->group == fact->answer && n->group != fact->answer));
            }
        }
        pal_stream_destroy(forget);
        pal_stream_destroy(twin);
    }
}

static void a_base_starts_from_its_key(void **state)
{
    fixture_t *f = *state;
    const pal_key_t key = {{5}};
    float *init = malloc(weight_bytes(f));
    pal_base_spec_t spec = f->base;
    pal_model_result_t result = {.bits = f->bits};

    set(pal_pretrain_params, &spec.pretrain, "steps", "0");
    assert_int_equal(
        pal_stage_base(f->lab, &f->ground, &spec, key, f->work, &result, NULL), PAL_OK);
    pal_layout_init(f->layout, key, init);
    assert_memory_equal(f->work, init, weight_bytes(f));
    free(init);
}

static void base_repeats_and_stops(void **state)
{
    fixture_t *f = *state;
    atomic_int stop = 1;
    pal_lab_t *lab;
    float *again = malloc(weight_bytes(f));
    pal_model_result_t result = {.bits = f->bits};
    pal_error_t err;

    assert_int_equal(
        pal_stage_base(f->lab, &f->ground, &f->base, f->base_key, again, &result, &err),
        PAL_OK);
    assert_memory_equal(again, f->start, weight_bytes(f));
    assert_int_equal(pal_lab_create(&stop, NULL, &lab, &err), PAL_OK);
    assert_int_equal(
        pal_stage_base(lab, &f->ground, &f->base, f->base_key, again, &result, &err),
        PAL_ESTOP);
    pal_lab_destroy(lab);
    free(again);
}

static void costs_grow_with_work(void **state)
{
    fixture_t *f = *state;
    pal_base_spec_t longer = f->base;
    pal_unlearn_spec_t none = unlearn_spec("none"), gd = unlearn_spec("gd");
    pal_attack_spec_t attack = attack_spec("finetune"), lora = attack_spec("lora");
    pal_attack_spec_t probe = attack_spec("probe");

    longer.pretrain.recipe.steps *= 10;
    assert_true(pal_base_flops(&f->ground, &longer) >
                pal_base_flops(&f->ground, &f->base));
    assert_true(pal_unlearn_flops(&f->ground, &f->base, &gd) >
                pal_unlearn_flops(&f->ground, &f->base, &none));
    assert_true(pal_trial_flops(&f->ground, &f->base, &probe) > 0);
    assert_true(pal_trial_flops(&f->ground, &f->base, &attack) >
                pal_trial_flops(&f->ground, &f->base, &probe));
    assert_true(pal_trial_flops(&f->ground, &f->base, &attack) ==
                pal_trial_flops(&f->ground, &f->base, &lora));
}

static void impossible_specs_are_refused(void **state)
{
    fixture_t *f = *state;
    pal_attack_spec_t attack = attack_spec("finetune"), lora = attack_spec("lora");
    pal_attack_spec_t probe = attack_spec("probe");
    pal_base_spec_t base = f->base;
    pal_layout_t *layout = NULL;
    pal_error_t err;

    attack.common.holdout = 5;
    assert_int_equal(pal_attack_check(&f->ground, &attack, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "folds 0 to 4"));
    assert_int_equal(pal_attack_fits(&f->ground, &base, &attack, &err), PAL_OK);
    assert_int_equal(pal_attack_fits(&f->ground, &base, &lora, &err), PAL_OK);
    set(lora.attack->params, lora.state, "rank", "65");
    assert_int_equal(pal_attack_fits(&f->ground, &base, &lora, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "lora: adapter: rank 65"));
    assert_non_null(strstr(err.text, "at most 64"));
    assert_int_equal(pal_attack_fits(&f->ground, &base, &probe, &err), PAL_OK);
    assert_int_equal(pal_attack_check(&f->ground, &probe, &err), PAL_OK);
    set(pal_attack_params, &probe.common, "steps", "0");
    assert_int_equal(pal_attack_check(&f->ground, &probe, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "attack 'probe' with steps 0"));
    set(probe.attack->params, probe.state, "layer", "2");
    assert_int_equal(pal_attack_fits(&f->ground, &base, &probe, &err), PAL_EINVAL);
    assert_non_null(strstr(err.text, "layer 2, but the model has blocks 0 to 1"));
    strcpy(base.model.size, "nanoo");
    assert_int_equal(pal_base_layout(&f->ground, &base, &layout, &err), PAL_ENOENT);
    assert_non_null(strstr(err.text, "nano"));
    assert_null(layout);
}

static void check_adapter(fixture_t *f, pal_unlearn_spec_t *spec, const char *rank,
                          const char *says)
{
    pal_error_t err = {0};
    int rc;

    set(pal_unlearn_params, &spec->common, "adapter", rank);
    rc = pal_unlearn_fits(&f->ground, &f->base, spec, &err);
    assert_int_equal(rc, says ? PAL_EINVAL : PAL_OK);
    if (says && !strstr(err.text, says))
        fail_msg("%s", err.text);
}

static void own_adapter(const void *state, pal_adapter_spec_t *spec)
{
    (void)state;
    *spec = (pal_adapter_spec_t){.rank = 1, .alpha = 1, .targets = "mlp"};
}

static void adapters_have_to_fit(void **state)
{
    pal_unlearn_spec_t gd = unlearn_spec("gd"), undo = unlearn_spec("undo");
    pal_unlearn_spec_t own = gd;
    pal_method_t method = *gd.method;

    method.adapter = own_adapter;
    own.method = &method;
    check_adapter(*state, &gd, "64", NULL);
    check_adapter(*state, &gd, "65", "adapter: rank 65, but");
    check_adapter(*state, &undo, "0", NULL);
    check_adapter(
        *state, &undo, "4",
        "method 'undo' changes the weights outright: adapter 4; it must be 0");
    check_adapter(*state, &own, "0", NULL);
    check_adapter(*state, &own, "4", "has an adapter of its own");
}

static void check_undo(fixture_t *f, const char *steps, const char *suppress,
                       const char *budget, const char *says)
{
    pal_unlearn_spec_t undo = unlearn_spec("undo");
    pal_error_t err = {0};
    int rc;

    set(pal_unlearn_params, &undo.common, "steps", steps);
    set(pal_unlearn_params, &undo.common, "budget", budget);
    set(undo.method->params, undo.state, "suppress", suppress);
    rc = pal_unlearn_fits(&f->ground, &f->base, &undo, &err);
    assert_int_equal(rc, says ? PAL_EINVAL : PAL_OK);
    if (says && !strstr(err.text, says))
        fail_msg("%s", err.text);
}

static void undo_needs_both_phases(void **state)
{
    check_undo(*state, "10", "0.2", "0", NULL);
    check_undo(*state, "10", "0", "0", NULL);
    check_undo(*state, "10", "0.2", "0.3", "budget 0.3 would end the run");
    check_undo(*state, "2", "0.2", "0",
               "suppress 0.2 of 2 steps is no step; it must "
               "be 0, or steps at least 3");
    check_undo(*state, "3", "0.2", "0", NULL);
    check_undo(*state, "10", "1", "0", "suppress 1 of 10 steps leaves none");
    check_undo(*state, "10", "0.96", "0", "suppress 0.96 of 10 steps leaves none");
    check_undo(*state, "10", "0.94", "0", NULL);
}

/* The whole way on a small world: learned, hidden, brought back; the floor stays low.
 */
static void the_finding_in_small(void **state)
{
    fixture_t *f = *state;
    pal_base_spec_t spec = f->base;
    pal_unlearn_spec_t gd = unlearn_spec("gd");
    pal_attack_spec_t attack = attack_spec("finetune");
    pal_model_result_t before = {.bits = f->bits}, hidden = {.bits = f->bits};
    pal_trial_result_t after = {.bits = f->bits, .bits_before = f->bits + 32};
    float *base = malloc(weight_bytes(f)), *unlearned = malloc(weight_bytes(f));
    pal_key_t key;
    pal_error_t err;

    spec.pretrain.recipe.steps = 600;
    spec.pretrain.recipe.lr = 4e-3;
    spec.pretrain.recipe.batch = 32;
    gd.common.recipe.steps = 100;
    gd.common.recipe.batch = 16;
    gd.common.coefficient = 0.3;
    attack.common.recipe.steps = 60;
    key = base_key(f, &spec);
    assert_int_equal(
        pal_stage_base(f->lab, &f->ground, &spec, key, base, &before, &err), PAL_OK);
    key = pal_unlearn_key(key, &gd);
    assert_int_equal(pal_stage_unlearn(f->lab, &f->ground, &spec, &gd, key, base,
                                       unlearned, &hidden, &err),
                     PAL_OK);
    key = pal_trial_key(key, &attack);
    assert_int_equal(pal_stage_trial(f->lab, &f->ground, &spec, &attack, key, unlearned,
                                     f->work, &after, &err),
                     PAL_OK);
    assert_true(before.v_accuracy >= 0.9);
    assert_true(before.retain_accuracy >= 0.9);
    assert_true(hidden.v_accuracy <= before.v_accuracy - 0.2);
    assert_true(after.v[after.best] > hidden.v_accuracy);
    free(base);
    free(unlearned);
}

/* finetune, but its loss is no number from a step on. */
static const pal_attack_t *finetune;
static int64_t explode_at;

static int exploding_step(void *state, pal_attacking_t *run, int64_t i,
                          const float *weights, const uint8_t *train, float *grad,
                          double *loss, pal_error_t *err)
{
    int rc = finetune->step(state, run, i, weights, train, grad, loss, err);

    if (i >= explode_at)
        *loss = NAN;
    return rc;
}

static int explode(fixture_t *f, int64_t step, pal_trial_result_t *result)
{
    pal_attack_spec_t spec = attack_spec("finetune");
    pal_attack_t attack = *spec.attack;
    pal_error_t err;

    finetune = spec.attack;
    explode_at = step;
    attack.step = exploding_step;
    spec.attack = &attack;
    spec.common.recipe.lr = 3e-3;
    return pal_stage_trial(f->lab, &f->ground, &f->base, &spec, f->base_key, f->start,
                           f->work, result, &err);
}

/* Evaluated after 2, 4 and 6 steps: what it had before it diverged counts. */
static void a_diverging_attack_keeps_its_points(void **state)
{
    fixture_t *f = *state;
    pal_trial_result_t whole = {.bits = f->bits, .bits_before = f->bits + 16};
    pal_trial_result_t cut = {.bits = f->bits + 32, .bits_before = f->bits + 48};

    assert_int_equal(explode(f, 6, &whole), PAL_OK);
    assert_int_equal(whole.points, 4);
    assert_int_equal(explode(f, 4, &cut), PAL_OK);
    assert_int_equal(cut.points, 3);
    assert_memory_equal(cut.v, whole.v, 3 * sizeof *cut.v);
    assert_memory_equal(cut.dev, whole.dev, 3 * sizeof *cut.dev);
    assert_true(cut.chosen < 3 && cut.best < 3 && isfinite(cut.retain_after));
    assert_int_equal(explode(f, 1, &cut), PAL_EDIVERGE);
    assert_int_equal(cut.points, 1);
}

/* V accuracy of the probe over all folds. */
static double probed(fixture_t *f, const pal_base_spec_t *base, pal_key_t key,
                     const float *weights)
{
    pal_trial_result_t r = {.bits = f->bits, .bits_before = f->bits + 32};
    pal_attack_spec_t probe = attack_spec("probe");
    int32_t folds = f->ground.world.folds;
    double sum = 0;

    probe.common.recipe.steps = 60;
    probe.common.recipe.batch = 16;
    for (int32_t fold = 0; fold < folds; fold++) {
        probe.common.holdout = fold;
        assert_int_equal(pal_stage_trial(f->lab, &f->ground, base, &probe, key, weights,
                                         f->work, &r, NULL),
                         PAL_OK);
        sum += r.v[r.chosen];
    }
    return sum / folds;
}

/* It reads V from a model that was taught V, and is at chance on one that was not. Of
 * 40 facts: chance 0.25 with a standard error of 0.07. */
static void the_probe_reads_what_was_taught(void **state)
{
    fixture_t *f = *state;
    pal_base_spec_t spec = f->base;
    pal_model_result_t result = {.bits = f->bits};
    float *weights = malloc(weight_bytes(f));

    spec.pretrain.recipe.steps = 400;
    spec.pretrain.recipe.lr = 4e-3;
    spec.pretrain.recipe.batch = 32;
    for (int taught = 0; taught <= 1; taught++) {
        pal_key_t key;
        double v;

        spec.pretrain.taught = taught;
        key = base_key(f, &spec);
        assert_int_equal(
            pal_stage_base(f->lab, &f->ground, &spec, key, weights, &result, NULL),
            PAL_OK);
        v = probed(f, &spec, key, weights);
        assert_true(taught ? v >= 0.5 : v <= 0.42);
    }
    free(weights);
}

/* Change the embeddings of all tokens that no question has; returns how many of the
 * choices have one. */
static int32_t change_embeddings(const pal_corpus_t *corpus, const pal_layout_t *layout,
                                 float *weights)
{
    const pal_slice_t *table = pal_layout_slice(layout, PAL_TOKEN_EMBEDDING, -1);
    uint8_t *asked = calloc((size_t)table->rows, 1);
    int32_t changed = 0;

    assert_non_null(asked);
    for (int32_t fact = 0; fact < corpus->world->count; fact++) {
        const pal_example_t *e =
            &corpus->examples[pal_corpus_question(corpus, fact, 0)];

        for (int32_t t = 0; t < e->prompt; t++)
            asked[corpus->tokens[e->start + t]] = 1;
    }
    for (int32_t fact = 0; fact < corpus->world->count; fact++) {
        const pal_example_t *e =
            &corpus->examples[pal_corpus_question(corpus, fact, 0)];

        changed += !asked[corpus->tokens[e->start + e->prompt]];
    }
    for (int64_t i = 0; i < table->size; i++)
        if (!asked[i / table->cols])
            weights[table->offset + i] += 1;
    free(asked);
    return changed;
}

/* The probe leaves the weights as they are. */
static double probe_loss(fixture_t *f, const pal_base_spec_t *base, float *weights)
{
    pal_trial_result_t r = {.bits = f->bits, .bits_before = f->bits + 32};
    pal_attack_spec_t probe = attack_spec("probe");

    assert_int_equal(pal_stage_trial(f->lab, &f->ground, base, &probe, f->base_key,
                                     weights, weights, &r, NULL),
                     PAL_OK);
    return r.loss[r.points - 1];
}

/* Where embedding and output matrix are two, choices are what the output matrix says:
 * their embeddings, which the questions lack, do not matter. */
static void the_probe_reads_the_output_matrix(void **state)
{
    fixture_t *f = *state;
    pal_base_spec_t spec = f->base;
    const pal_slice_t *output;
    pal_layout_t *layout;
    float *weights = NULL;
    double loss;

    strcpy(spec.model.size, "llama-nano");
    assert_int_equal(pal_base_layout(&f->ground, &spec, &layout, NULL), PAL_OK);
    assert_int_equal(layout->shape.tied, 0);
    assert_int_equal(pal_layout_buffer(layout, "weights", &weights, NULL), PAL_OK);
    pal_layout_init(layout, f->base_key, weights);
    loss = probe_loss(f, &spec, weights);
    assert_true(change_embeddings(&f->ground.corpus, layout, weights) > 0);
    assert_true(probe_loss(f, &spec, weights) == loss);
    output = pal_layout_output(layout);
    for (int64_t i = 0; i < output->size / 2; i++)
        weights[output->offset + i] *= -1;
    assert_true(probe_loss(f, &spec, weights) != loss);
    pal_layout_destroy(layout);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter_changes_the_key),
        cmocka_unit_test(unused_words_do_not_change_the_key),
        cmocka_unit_test(controls_are_normalized),
        cmocka_unit_test(taught_facts_are_nested),
        cmocka_unit_test(another_seed_teaches_other_facts),
        cmocka_unit_test(the_attacker_never_sees_v_or_dev),
        cmocka_unit_test(pools_keep_the_protocol),
        cmocka_unit_test(pairs_keep_the_protocol),
        cmocka_unit_test(a_base_starts_from_its_key),
        cmocka_unit_test(base_repeats_and_stops),
        cmocka_unit_test(costs_grow_with_work),
        cmocka_unit_test(impossible_specs_are_refused),
        cmocka_unit_test(adapters_have_to_fit),
        cmocka_unit_test(undo_needs_both_phases),
        cmocka_unit_test(the_finding_in_small),
        cmocka_unit_test(a_diverging_attack_keeps_its_points),
        cmocka_unit_test(the_probe_reads_what_was_taught),
        cmocka_unit_test(the_probe_reads_the_output_matrix),
    };

    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
