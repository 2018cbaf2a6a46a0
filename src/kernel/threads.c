#include "kernel/threads.h"

#include <omp.h>

static int number = 1;

void pal_threads_set(int threads)
{
    number = threads;
}

int pal_threads(void)
{
    return number;
}

int pal_thread(void)
{
    return omp_get_thread_num();
}
