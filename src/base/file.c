#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_LINKS = 40 }; /* one after the other, as the system does */

const char *pal_file_kind(mode_t mode)
{
    return S_ISREG(mode) ? "a file" : S_ISDIR(mode) ? "a folder" : "a pipe or device";
}

int pal_file_open(const char *path, FILE **file, pal_error_t *err)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return pal_fail_(err, PAL_ENOENT, NULL, 0, "%s: no such file", path);
    if (fd < 0)
        return pal_fail_(err, PAL_EIO, NULL, 0, "%s: %s", path, strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return PAL_REJECT(err, "%s: not a file but %s", path,
                          pal_file_kind(status.st_mode));
    }
    *file = fdopen(fd, "rb");
    if (*file)
        return PAL_OK;
    close(fd);
    return PAL_FAIL(err, PAL_ENOMEM, "%s", path);
}

/* --- Writing --- */

/* Length of the folder's name, the slash with it. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Where a symbolic link leads, malloc'ed; NULL with errno. */
static char *read_link(const char *path)
{
    char text[PATH_MAX], *name;
    ssize_t n = readlink(path, text, sizeof text);
    size_t folder = n > 0 && text[0] == '/' ? 0 : folder_length(path);

    if (n < 0)
        return NULL;
    name = malloc(folder + (size_t)n + 1);
    if (name) {
        memcpy(name, path, folder);
        memcpy(name + folder, text, (size_t)n);
        name[folder + (size_t)n] = 0;
    }
    return name;
}

/* Of the name a link leads to nothing else need be there. error: of lstat(). */
static int check_new(const char *path, char *target, int error, pal_error_t *err)
{
    size_t folder = folder_length(target);
    char after = target[folder];
    struct stat status;

    if (error == ENAMETOOLONG)
        return PAL_REJECT(err, "%s: too long a name", path);
    if (error != ENOENT && error != ENOTDIR)
        return pal_fail_(err, PAL_EIO, NULL, 0, "%s: %s", path, strerror(error));
    target[folder] = 0;
    error = stat(folder ? target : ".", &status) != 0 || !S_ISDIR(status.st_mode);
    target[folder] = after;
    return error ? PAL_REJECT(err, "%s: its folder does not exist", path) : PAL_OK;
}

int pal_file_target(const char *path, char **target, pal_error_t *err)
{
    char *name = strdup(path);
    struct stat status;
    int links = 0, error = 0, rc = PAL_OK;

    while (name && (error = lstat(name, &status) != 0 ? errno : 0) == 0 &&
           S_ISLNK(status.st_mode) && links++ < MOST_LINKS) {
        char *next = read_link(name);

        free(name);
        name = next;
    }
    if (!name)
        return PAL_FAIL(err, PAL_EIO, "%s: %s", path, strerror(errno));
    if (error)
        rc = check_new(path, name, error, err);
    else if (S_ISLNK(status.st_mode))
        rc = PAL_REJECT(err, "%s: a link that leads back to itself", path);
    else if (!S_ISREG(status.st_mode))
        rc = PAL_REJECT(err, "%s: not a file but %s", path,
                        pal_file_kind(status.st_mode));
    if (rc == PAL_OK)
        *target = name;
    else
        free(name);
    return rc;
}

int pal_file_temporary(const char *path, char **name, int *fd, pal_error_t *err)
{
    char *made = malloc(strlen(path) + sizeof ".12345678.tmp");
    struct timespec now;
    int file, rc;

    if (!made)
        return PAL_FAIL(err, PAL_ENOMEM, "a file name");
    do {
        clock_gettime(CLOCK_REALTIME, &now);
        sprintf(made, "%s.%08x.tmp", path,
                (unsigned)now.tv_nsec ^ (unsigned)now.tv_sec << 16);
        file = open(made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (file < 0 && errno == EEXIST); /* another one's, of the same moment */
    if (file >= 0) {
        *name = made;
        *fd = file;
        return PAL_OK;
    }
    rc = errno == ENAMETOOLONG ? PAL_REJECT(err, "%s: too long a name", path)
                               : pal_fail_(err, PAL_EIO, NULL, 0, "cannot make %s: %s",
                                           made, strerror(errno));
    free(made);
    return rc;
}

int pal_file_write(int fd, const void *bytes, size_t n)
{
    const char *from = bytes;

    while (n > 0) {
        ssize_t done = write(fd, from, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done < 0 ? errno : EIO;
            return -1;
        }
        from += done;
        n -= (size_t)done;
    }
    return 0;
}

int pal_file_rename(const char *name, const char *path, pal_error_t *err)
{
    size_t n = folder_length(path);
    char *place = n ? strndup(path, n) : strdup(".");
    int folder = -1, error = place ? 0 : ENOMEM;

    if (error == 0 && rename(name, path) != 0)
        error = errno;
    if (error == 0) {
        folder = open(place, O_RDONLY | O_CLOEXEC);
        if (folder >= 0) {
            fsync(folder); /* refused by some file systems, then not needed */
            close(folder);
        }
    }
    free(place);
    if (error == 0)
        return PAL_OK;
    unlink(name);
    return pal_fail_(err, PAL_EIO, NULL, 0, "cannot rename %s to %s: %s", name, path,
                     strerror(error));
}
