#include "kernel/threads.h"

static int number = 1;

void pal_threads_set(int threads)
{
    number = threads;
}

int pal_threads(void)
{
    return number;
}
