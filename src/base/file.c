#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
                          S_ISDIR(status.st_mode) ? "a folder" : "a pipe or device");
    }
    *file = fdopen(fd, "rb");
    if (*file)
        return PAL_OK;
    close(fd);
    return PAL_FAIL(err, PAL_ENOMEM, "%s", path);
}
