#include "sweep/progress.h"

#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double BAR_EVERY = 0.2, LINE_EVERY = 60; /* s */
enum { BAR = 30, TIME_TEXT = 32 };

void pal_progress_time(double seconds, char *text, size_t n)
{
    long s = (long)(seconds + 0.5);

    if (!isfinite(seconds) || seconds > 1e9)
        snprintf(text, n, "?");
    else if (s >= 3600)
        snprintf(text, n, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, n, "%ld:%02ld", s / 60, s % 60);
}

/* Open MPI gives its ranks a pipe for stderr, whatever its own is. A rank beside mpirun
 * can look at what its parent has. */
static int on_terminal(void)
{
    char path[64];
    int fd, terminal = isatty(STDERR_FILENO);

    if (terminal || !getenv("OMPI_COMM_WORLD_RANK"))
        return terminal;
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getppid(), STDERR_FILENO);
    fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return 0;
    terminal = isatty(fd);
    close(fd);
    return terminal;
}

void pal_progress_start(pal_progress_t *progress, int quiet, const char *name,
                        int32_t trials, int32_t done_before, double flops, double now)
{
    memset(progress, 0, sizeof *progress);
    progress->out = quiet ? NULL : stderr;
    progress->terminal = !quiet && on_terminal();
    progress->name = name;
    progress->trials = trials;
    progress->done = progress->done_before = done_before;
    progress->flops = flops;
    progress->start = progress->shown = now;
}

/* Share of this run's work that is done. */
static double share_done(const pal_progress_t *progress, double left)
{
    return progress->flops > 0 ? 1 - left / progress->flops : 1;
}

static double seconds_left(const pal_progress_t *progress, double left, double now)
{
    double done = progress->flops - left;

    return done > 0 ? (now - progress->start) * left / done : INFINITY;
}

static void print_endings(const pal_progress_t *progress)
{
    if (progress->failed)
        fprintf(progress->out, ", %d failed", progress->failed);
    if (progress->diverged)
        fprintf(progress->out, ", %d diverged", progress->diverged);
}

static void print_counts(const pal_progress_t *progress)
{
    fprintf(progress->out, "%d of %d trials", progress->done, progress->trials);
    print_endings(progress);
}

/* Trials from before took none of the time. */
static void print_end(const pal_progress_t *progress, const char *took)
{
    if (progress->done_before == 0) {
        print_counts(progress);
        fprintf(progress->out, " in %s", took);
        return;
    }
    fprintf(progress->out, "%d trials in %s, %d of %d done",
            progress->done - progress->done_before, took, progress->done,
            progress->trials);
    print_endings(progress);
}

static void print_rate(const pal_progress_t *progress, double left, double now)
{
    double minutes = (now - progress->start) / 60;
    int32_t here = progress->done - progress->done_before;
    char eta[TIME_TEXT];

    pal_progress_time(seconds_left(progress, left, now), eta, sizeof eta);
    if (here > 0 && minutes > 0)
        fprintf(progress->out, ", %.3g a minute", here / minutes);
    fprintf(progress->out, ", ETA %s", eta);
}

static void draw(pal_progress_t *progress, double left, double now)
{
    double share = share_done(progress, left);
    int full = (int)(share * BAR);
    char bar[BAR + 1];

    for (int i = 0; i < BAR; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR] = 0;
    fprintf(progress->out, "\r[%s] %3.0f%% ", bar, 100 * share);
    print_counts(progress);
    print_rate(progress, left, now);
    fprintf(progress->out, "\033[K");
    progress->drawn = 1;
}

void pal_progress_step(pal_progress_t *progress, double left, double now)
{
    double every = progress->terminal ? BAR_EVERY : LINE_EVERY;

    if (!progress->out || now - progress->shown < every)
        return;
    progress->shown = now;
    if (progress->terminal) {
        draw(progress, left, now);
    } else {
        fprintf(progress->out, "%s: %.0f%%, ", progress->name,
                100 * share_done(progress, left));
        print_counts(progress);
        print_rate(progress, left, now);
        fputc('\n', progress->out);
    }
    fflush(progress->out);
}

void pal_progress_say(pal_progress_t *progress, const char *format, ...)
{
    FILE *out = progress->out ? progress->out : stderr;
    va_list args;

    if (progress->drawn)
        fprintf(out, "\r\033[K");
    progress->drawn = 0;
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fputc('\n', out);
    fflush(out);
}

void pal_progress_end(pal_progress_t *progress, const char *path, double left,
                      double now)
{
    char took[TIME_TEXT];

    if (!progress->out)
        return;
    if (progress->terminal) {
        draw(progress, left, now);
        fputc('\n', progress->out);
    }
    pal_progress_time(now - progress->start, took, sizeof took);
    fprintf(progress->out, "%s: ", progress->name);
    print_end(progress, took);
    fprintf(progress->out, ": %s\n", path);
    fflush(progress->out);
    progress->drawn = 0;
}
