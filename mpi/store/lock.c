/* One run a results file. The lock is beside the file, because readers' HDF5 locks the
 * file itself; it is a record lock, which goes with its process and works on NFS. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/file.h"

enum { HOLDER_BYTES = 128 };
static const char signature[] = "palimpsest process "; /* and its number and host */

static char *lock_name(const char *path)
{
    char *name = malloc(strlen(path) + sizeof ".lock");

    if (name)
        sprintf(name, "%s.lock", path);
    return name;
}

/* 1 if this fd is still what the name leads to: the last holder may have removed it. */
static int is_current(const char *name, int fd)
{
    struct stat ours, theirs;

    return fstat(fd, &ours) == 0 && stat(name, &theirs) == 0 &&
           ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/* Made by a run, this one or one that was killed: to be removed in the end. */
static int is_signed(int fd)
{
    char text[sizeof signature - 1];

    return pread(fd, text, sizeof text, 0) == (ssize_t)sizeof text &&
           memcmp(text, signature, sizeof text) == 0;
}

/* An empty file may serve as lock, whoever made it. Anything else is a file of someone
 * who did not know of us. */
static int may_serve(int fd)
{
    struct stat file;

    return fstat(fd, &file) == 0 && S_ISREG(file.st_mode) &&
           (file.st_size == 0 || is_signed(fd));
}

/* A mount without locks: go on as if alone. */
static int is_taken(const char *name, int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_SETLK, &whole) != 0 && errno != ENOLCK && errno != ENOTSUP &&
        errno != ENOSYS)
        return 1;
    return !is_current(name, fd);
}

static void sign(int lock)
{
    char text[HOLDER_BYTES], host[PAL_HOST_BYTES] = "";
    int n;

    gethostname(host, sizeof host - 1);
    n = snprintf(text, sizeof text, "%s%ld on %s\n", signature, (long)getpid(), host);
    /* Only for the message of who comes second: no harm if it fails. */
    if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)n, 0) != n)
        return;
}

/* *made is set if the file was not there before. */
static int open_lock(const char *name, int *made)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = open(name, flags | O_CREAT | O_EXCL, 0666);

    *made |= fd >= 0;
    return fd < 0 && errno == EEXIST ? open(name, flags) : fd;
}

/* *lock >= 0 if it was taken; PAL_OK with *lock < 0 if another process holds it. */
static int try_lock(const char *name, int *made, int *lock, pal_error_t *err)
{
    int fd = open_lock(name, made), taken = fd < 0 && errno == ENOENT;

    *lock = -1;
    if (fd < 0 && errno == ENAMETOOLONG)
        return PAL_REJECT(err, "%s: too long a name; choose a shorter -o", name);
    if (fd < 0 && !taken && errno != EISDIR && errno != ELOOP)
        return pal_fail_(err, PAL_EIO, NULL, 0, "cannot make %s: %s", name,
                         strerror(errno));
    if (taken || (fd >= 0 && is_taken(name, fd))) {
        if (fd >= 0)
            close(fd);
        return PAL_OK;
    }
    if (fd < 0 || !may_serve(fd)) {
        if (fd >= 0)
            close(fd);
        return PAL_REJECT(err,
                          "%s: no lock of this program, but its name; move it away, or "
                          "choose another -o",
                          name);
    }
    if (*made || is_signed(fd))
        sign(fd);
    *lock = fd;
    return PAL_OK;
}

static void read_holder(const char *name, char text[HOLDER_BYTES])
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, HOLDER_BYTES - 1);

    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    if (fd >= 0)
        close(fd);
}

int pal_store_lock(const char *path, double patience, int *lock, pal_error_t *err)
{
    const struct timespec pause = {0, 50 * 1000 * 1000};
    char *name = lock_name(path), holder[HOLDER_BYTES];
    struct timespec start, now;
    int rc = PAL_OK, fd = -1, made = 0;

    if (!name)
        return PAL_FAIL(err, PAL_ENOMEM, "a lock");
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        rc = try_lock(name, &made, &fd, err);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (rc != PAL_OK || fd >= 0 ||
            (double)(now.tv_sec - start.tv_sec) +
                    1e-9 * (double)(now.tv_nsec - start.tv_nsec) >=
                patience)
            break;
        nanosleep(&pause, NULL);
    }
    if (rc == PAL_OK && fd < 0) {
        read_holder(name, holder);
        rc = PAL_REJECT(err,
                        "%s: another run is writing it (%s); wait for its end, or "
                        "choose another -o",
                        path, holder[0] ? holder : "no name given");
    }
    if (rc == PAL_OK)
        *lock = fd;
    free(name);
    return rc;
}

void pal_store_unlock(const char *path, int lock)
{
    char *name;

    if (lock < 0)
        return;
    name = lock_name(path);
    if (name && is_signed(lock) && is_current(name, lock))
        unlink(name);
    free(name);
    close(lock);
}
