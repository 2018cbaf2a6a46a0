/* attack.h -- the contract an attack fulfils.
 *
 * An attack is what someone with the weights does to get the facts back, knowing some
 * of them (T) and judged on the others (V). One file, src/attack/<id>.c, one symbol
 * `const pal_attack_t pal_attack_<id>`, one line in attacks.def. It sees the questions
 * of T without the dev fold; the engine stops and scores it (stage/trial.c).
 */
#ifndef PAL_ATTACK_ATTACK_H
#define PAL_ATTACK_ATTACK_H

#include "base/param.h"
#include "model/pass.h"
#include "world/corpus.h"

/* What the engine lends to an attack for one run. */
typedef struct {
    const pal_layout_t *layout;
    pal_pass_t *pass;
    pal_stream_t
        *known; /* questions of T with the right answer, the dev fold left out */
    int64_t steps;
    pal_key_t key; /* of this trial, for random streams */
} pal_attacking_t;

typedef struct {
    const char *summary;
    const pal_param_t *params; /* beside the common ones (stage/spec.h) */
    size_t state_size;         /* bytes, <= PAL_STATE_MAX */

    /* Optional. As in method.h. */
    double (*rate)(const void *state, const pal_layout_t *layout,
                   const pal_slice_t *slice);
    int (*begin)(void *state, pal_attacking_t *run, pal_error_t *err); /* optional */

    /* Required. As in method.h. */
    int (*step)(void *state, pal_attacking_t *run, int64_t step, const float *weights,
                const uint8_t *train, float *grad, double *loss, pal_error_t *err);
    void (*end)(void *state); /* optional */
} pal_attack_t;

/* By attacks.def name. PAL_ENOENT lists the known names and the nearest. Static. */
PAL_MUST_CHECK
int pal_attack_find(const char *id, const pal_attack_t **attack, pal_error_t *err);
int pal_attack_count(void);
const char *pal_attack_id(int i);
const pal_attack_t *pal_attack_at(int i);

#endif
