#include "plan/queue.h"

#include <stdlib.h>

typedef enum { CLOSED, OPEN, GIVEN } pal_progress_state_t;

typedef struct {
    uint8_t row;   /* of /base */
    uint8_t work;  /* its training */
    uint8_t ready; /* its weights can be read */
} pal_base_work_t;

typedef struct {
    uint8_t row;     /* of /unlearned */
    uint8_t model;   /* a job for the model alone, when no trial is open */
    uint8_t heaped;  /* waits in the heap */
    uint8_t counted; /* its cost is part of queue->flops */
    int32_t todo;    /* trials that are OPEN */
    int32_t open;    /* trials that are not CLOSED */
    int32_t next;    /* no trial before this one is OPEN */
    int32_t owners;  /* ranks that hold it */
    double flops;    /* of the OPEN trials */
} pal_unlearned_work_t;

/* Largest first; of equals the first row. */
typedef struct {
    int32_t *rows;
    double *flops;
    int32_t count;
} pal_heap_t;

struct pal_queue {
    const pal_plan_t *plan;
    pal_base_work_t *bases;
    pal_unlearned_work_t *unlearned;
    uint8_t *trials;  /* pal_progress_state_t */
    int32_t *holds;   /* per rank: unlearned row, -1 */
    uint8_t *gone;    /* per rank */
    uint8_t *refused; /* per rank: rows of /base, then of /unlearned; NULL: none */
    int32_t ranks;
    pal_heap_t base_heap, unlearned_heap;
    int32_t left, todo; /* rows open; jobs that nobody has */
    double flops;
};

/* --- Heap --- */

static int before(const pal_heap_t *heap, int32_t a, int32_t b)
{
    if (heap->flops[a] != heap->flops[b])
        return heap->flops[a] > heap->flops[b];
    return heap->rows[a] < heap->rows[b];
}

static void exchange(pal_heap_t *heap, int32_t a, int32_t b)
{
    int32_t row = heap->rows[a];
    double flops = heap->flops[a];

    heap->rows[a] = heap->rows[b];
    heap->flops[a] = heap->flops[b];
    heap->rows[b] = row;
    heap->flops[b] = flops;
}

static void push(pal_heap_t *heap, int32_t row, double flops)
{
    int32_t i = heap->count++;

    heap->rows[i] = row;
    heap->flops[i] = flops;
    for (; i > 0 && before(heap, i, (i - 1) / 2); i = (i - 1) / 2)
        exchange(heap, i, (i - 1) / 2);
}

static int32_t pop(pal_heap_t *heap)
{
    int32_t row, i = 0, child;

    if (heap->count == 0)
        return -1;
    row = heap->rows[0];
    exchange(heap, 0, --heap->count);
    while ((child = 2 * i + 1) < heap->count) {
        if (child + 1 < heap->count && before(heap, child + 1, child))
            child++;
        if (!before(heap, child, i))
            break;
        exchange(heap, child, i);
        i = child;
    }
    return row;
}

/* --- Life --- */

static int heap_create(pal_heap_t *heap, int32_t most)
{
    heap->rows = calloc((size_t)most + 1, sizeof *heap->rows);
    heap->flops = calloc((size_t)most + 1, sizeof *heap->flops);
    return heap->rows && heap->flops;
}

int pal_queue_create(const pal_plan_t *plan, int32_t ranks, pal_queue_t **out,
                     pal_error_t *err)
{
    pal_queue_t *queue = calloc(1, sizeof *queue);

    if (!queue)
        return PAL_FAIL(err, PAL_ENOMEM, "a queue");
    queue->plan = plan;
    queue->ranks = ranks;
    queue->bases = calloc((size_t)plan->base_count + 1, sizeof *queue->bases);
    queue->unlearned =
        calloc((size_t)plan->unlearned_count + 1, sizeof *queue->unlearned);
    queue->trials = calloc((size_t)plan->trial_count + 1, 1);
    queue->holds = calloc((size_t)ranks, sizeof *queue->holds);
    queue->gone = calloc((size_t)ranks, 1);
    if (!queue->bases || !queue->unlearned || !queue->trials || !queue->holds ||
        !queue->gone || !heap_create(&queue->base_heap, plan->base_count) ||
        !heap_create(&queue->unlearned_heap, plan->unlearned_count)) {
        pal_queue_destroy(queue);
        return PAL_FAIL(err, PAL_ENOMEM, "a queue of %d trials", plan->trial_count);
    }
    for (int32_t i = 0; i < plan->unlearned_count; i++)
        queue->unlearned[i].next = plan->unlearned[i].first;
    for (int32_t i = 0; i < ranks; i++)
        queue->holds[i] = -1;
    *out = queue;
    return PAL_OK;
}

void pal_queue_destroy(pal_queue_t *queue)
{
    if (!queue)
        return;
    free(queue->base_heap.rows);
    free(queue->base_heap.flops);
    free(queue->unlearned_heap.rows);
    free(queue->unlearned_heap.flops);
    free(queue->bases);
    free(queue->unlearned);
    free(queue->trials);
    free(queue->holds);
    free(queue->gone);
    free(queue->refused);
    free(queue);
}

/* --- What is left --- */

/* 1 if a job on this model waits for someone. */
static int wants(const pal_unlearned_work_t *work)
{
    return work->todo > 0 || work->model == OPEN;
}

/* A model that nobody holds waits in the heap, once its base can be read. */
static void offer(pal_queue_t *queue, int32_t row)
{
    const pal_plan_unlearned_t *unlearned = &queue->plan->unlearned[row];
    pal_unlearned_work_t *work = &queue->unlearned[row];

    if (!wants(work) || work->heaped || work->owners > 0 ||
        !queue->bases[unlearned->base].ready)
        return;
    work->heaped = 1;
    push(&queue->unlearned_heap, row, unlearned->flops + work->flops);
}

static void offer_base(pal_queue_t *queue, int32_t row)
{
    queue->bases[row].work = OPEN;
    queue->todo++;
    push(&queue->base_heap, row, queue->plan->bases[row].flops);
}

static void count_model(pal_queue_t *queue, int32_t row)
{
    if (!queue->unlearned[row].counted)
        queue->flops += queue->plan->unlearned[row].flops;
    queue->unlearned[row].counted = 1;
}

static void uncount_model(pal_queue_t *queue, int32_t row)
{
    if (queue->unlearned[row].counted)
        queue->flops -= queue->plan->unlearned[row].flops;
    queue->unlearned[row].counted = 0;
}

void pal_queue_add(pal_queue_t *queue, pal_table_t table, int32_t row)
{
    queue->left++;
    if (table == PAL_TABLE_BASE) {
        queue->bases[row].row = OPEN;
    } else if (table == PAL_TABLE_UNLEARNED) {
        queue->unlearned[row].row = OPEN;
        count_model(queue, row);
    } else {
        pal_unlearned_work_t *work =
            &queue->unlearned[queue->plan->trials[row].unlearned];

        queue->trials[row] = OPEN;
        queue->todo++;
        queue->flops += queue->plan->trials[row].flops;
        work->todo++;
        work->open++;
        work->flops += queue->plan->trials[row].flops;
        count_model(queue, queue->plan->trials[row].unlearned);
    }
}

void pal_queue_base_ready(pal_queue_t *queue, int32_t base)
{
    pal_base_work_t *work = &queue->bases[base];

    if (work->ready)
        return;
    work->ready = 1;
    if (work->work == OPEN)
        queue->todo--;
    if (work->work != CLOSED)
        queue->flops -= queue->plan->bases[base].flops;
    work->work = CLOSED;
    for (int32_t i = queue->plan->bases[base].models; i >= 0;
         i = queue->plan->unlearned[i].next)
        offer(queue, i);
}

void pal_queue_start(pal_queue_t *queue)
{
    for (int32_t i = 0; i < queue->plan->unlearned_count; i++) {
        pal_unlearned_work_t *work = &queue->unlearned[i];
        int32_t base = queue->plan->unlearned[i].base;

        if (work->row == OPEN && work->open == 0) {
            work->model = OPEN;
            queue->todo++;
        }
        if (wants(work) && !queue->bases[base].ready)
            queue->bases[base].work = OPEN;
        offer(queue, i);
    }
    for (int32_t i = 0; i < queue->plan->base_count; i++) {
        if (queue->bases[i].row != OPEN && queue->bases[i].work != OPEN)
            continue;
        /* A row without results is trained, be its weights there or not. */
        queue->flops += queue->plan->bases[i].flops;
        offer_base(queue, i);
    }
}

void pal_queue_close(pal_queue_t *queue, pal_table_t table, int32_t row)
{
    if (table == PAL_TABLE_BASE) {
        pal_base_work_t *work = &queue->bases[row];

        queue->left -= work->row != CLOSED;
        queue->todo -= work->work == OPEN;
        if (work->work != CLOSED)
            queue->flops -= queue->plan->bases[row].flops;
        work->row = work->work = CLOSED;
    } else if (table == PAL_TABLE_UNLEARNED) {
        pal_unlearned_work_t *work = &queue->unlearned[row];

        queue->left -= work->row != CLOSED;
        queue->todo -= work->model == OPEN;
        work->row = work->model = CLOSED;
        uncount_model(queue, row);
    } else if (queue->trials[row] != CLOSED) {
        pal_unlearned_work_t *work =
            &queue->unlearned[queue->plan->trials[row].unlearned];

        if (queue->trials[row] == OPEN) {
            queue->todo--;
            work->todo--;
            work->flops -= queue->plan->trials[row].flops;
        }
        queue->trials[row] = CLOSED;
        queue->left--;
        work->open--;
        queue->flops -= queue->plan->trials[row].flops;
        if (work->open == 0)
            uncount_model(queue, queue->plan->trials[row].unlearned);
    }
}

int32_t pal_queue_left(const pal_queue_t *queue)
{
    return queue->left;
}

double pal_queue_flops(const pal_queue_t *queue)
{
    return queue->flops > 0 ? queue->flops : 0;
}

/* --- Who can --- */

/* What a rank has refused; row: of /unlearned, or -1. */
static int has_refused(const pal_queue_t *queue, int32_t rank, int32_t base,
                       int32_t row)
{
    const size_t bases = (size_t)queue->plan->base_count;
    const uint8_t *refused =
        queue->refused + (size_t)rank * (bases + (size_t)queue->plan->unlearned_count);

    return refused[base] || (row >= 0 && refused[bases + (size_t)row]);
}

static int can_any(const pal_queue_t *queue, int32_t base, int32_t row)
{
    if (!queue->refused)
        return 1;
    for (int32_t i = 0; i < queue->ranks; i++)
        if (!queue->gone[i] && !has_refused(queue, i, base, row))
            return 1;
    return 0;
}

/* What nobody can make everyone may try: so each trial has a reason of its own. */
static int may_make(const pal_queue_t *queue, int32_t rank, int32_t base, int32_t row)
{
    return !queue->refused || !has_refused(queue, rank, base, row) ||
           !can_any(queue, base, row);
}

static int may(const pal_queue_t *queue, int32_t rank, int32_t row)
{
    return may_make(queue, rank, queue->plan->unlearned[row].base, row);
}

int pal_queue_able(const pal_queue_t *queue, const pal_job_t *job)
{
    return job->base >= 0 ? can_any(queue, job->base, -1)
                          : can_any(queue, queue->plan->unlearned[job->unlearned].base,
                                    job->unlearned);
}

/* --- Who does what --- */

static void hold(pal_queue_t *queue, int32_t rank, int32_t row)
{
    int32_t old = queue->holds[rank];

    if (old == row)
        return;
    queue->holds[rank] = row;
    if (row >= 0)
        queue->unlearned[row].owners++;
    if (old >= 0) {
        queue->unlearned[old].owners--;
        offer(queue, old);
    }
}

/* The next job on a model that wants one. */
static void give(pal_queue_t *queue, int32_t rank, int32_t row, pal_job_t *job)
{
    const pal_plan_unlearned_t *unlearned = &queue->plan->unlearned[row];
    pal_unlearned_work_t *work = &queue->unlearned[row];

    *job = (pal_job_t){-1, row, -1};
    queue->todo--;
    if (work->todo == 0) {
        work->model = GIVEN;
    } else {
        while (queue->trials[work->next] != OPEN)
            work->next++;
        job->trial = work->next;
        queue->trials[work->next] = GIVEN;
        work->todo--;
        work->flops -= queue->plan->trials[work->next].flops;
        if (work->next + 1 < unlearned->first + unlearned->trials)
            work->next++;
    }
    hold(queue, rank, row);
}

/* The first that this rank may make; those before it stay. */
static int32_t pop_base(pal_queue_t *queue, int32_t rank)
{
    int32_t row, found;

    do
        row = pop(&queue->base_heap);
    while (row >= 0 && queue->bases[row].work != OPEN);
    if (row < 0 || may_make(queue, rank, row, -1))
        return row;
    found = pop_base(queue, rank);
    push(&queue->base_heap, row, queue->plan->bases[row].flops);
    return found;
}

static int32_t pop_unlearned(pal_queue_t *queue, int32_t rank)
{
    int32_t row, found;

    do {
        row = pop(&queue->unlearned_heap);
        if (row >= 0)
            queue->unlearned[row].heaped = 0;
    } while (row >= 0 &&
             (!wants(&queue->unlearned[row]) || queue->unlearned[row].owners));
    if (row < 0 || may(queue, rank, row))
        return row;
    found = pop_unlearned(queue, rank);
    offer(queue, row);
    return found;
}

/* The model in other hands that is best shared. k ranks need rem / k for what nobody
 * has yet; one more, which must make the model first, brings that to (rem + making) /
 * (k + 1): sooner if rem > k * making. */
static int32_t shared(const pal_queue_t *queue, int32_t rank)
{
    int32_t best = -1;
    double most = 0;

    for (int32_t i = 0; i < queue->ranks; i++) {
        int32_t row = queue->holds[i];
        const pal_unlearned_work_t *work = &queue->unlearned[row < 0 ? 0 : row];

        if (row < 0 || work->todo == 0 ||
            work->flops <= work->owners * queue->plan->unlearned[row].flops ||
            !may(queue, rank, row))
            continue;
        if (best < 0 || work->flops / work->owners > most) {
            best = row;
            most = work->flops / work->owners;
        }
    }
    return best;
}

int pal_queue_next(pal_queue_t *queue, int32_t rank, int busy, pal_job_t *job)
{
    int32_t row = queue->holds[rank];

    queue->gone[rank] = 0;
    if (busy && queue->todo <= queue->ranks)
        return 0;
    if (row >= 0 && wants(&queue->unlearned[row])) {
        give(queue, rank, row, job);
        return 1;
    }
    row = pop_base(queue, rank);
    if (row >= 0) {
        queue->bases[row].work = GIVEN;
        queue->todo--;
        *job = (pal_job_t){row, -1, -1};
        return 1;
    }
    row = pop_unlearned(queue, rank);
    if (row < 0 && !busy)
        row = shared(queue, rank);
    if (row < 0)
        return 0;
    give(queue, rank, row, job);
    return 1;
}

void pal_queue_return(pal_queue_t *queue, const pal_job_t *job)
{
    if (job->base >= 0) {
        if (queue->bases[job->base].work == GIVEN)
            offer_base(queue, job->base);
    } else if (job->trial >= 0) {
        pal_unlearned_work_t *work = &queue->unlearned[job->unlearned];

        if (queue->trials[job->trial] != GIVEN)
            return;
        queue->trials[job->trial] = OPEN;
        queue->todo++;
        work->todo++;
        work->flops += queue->plan->trials[job->trial].flops;
        if (job->trial < work->next)
            work->next = job->trial;
        offer(queue, job->unlearned);
    } else if (queue->unlearned[job->unlearned].model == GIVEN) {
        queue->unlearned[job->unlearned].model = OPEN;
        queue->todo++;
        offer(queue, job->unlearned);
    }
}

int pal_queue_refuse(pal_queue_t *queue, int32_t rank, pal_table_t table, int32_t row,
                     pal_error_t *err)
{
    const size_t bases = (size_t)queue->plan->base_count;
    const size_t rows = bases + (size_t)queue->plan->unlearned_count;
    int32_t held = queue->holds[rank];

    if (!queue->refused)
        queue->refused = calloc((size_t)queue->ranks, rows);
    if (!queue->refused)
        return PAL_FAIL(err, PAL_ENOMEM, "what %d ranks cannot make", queue->ranks);
    queue->refused[(size_t)rank * rows + (table == PAL_TABLE_BASE ? 0 : bases) +
                   (size_t)row] = 1;
    if (held >= 0 && !may(queue, rank, held))
        hold(queue, rank, -1);
    return PAL_OK;
}

void pal_queue_forget(pal_queue_t *queue, int32_t rank)
{
    queue->gone[rank] = 1;
    hold(queue, rank, -1);
}
