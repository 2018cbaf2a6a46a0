#include "base/shelf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

void pal_shelf_init(pal_shelf_t *shelf, const char *folder)
{
    *shelf = (pal_shelf_t){.folder = folder, .file = -1};
}

void pal_shelf_free(pal_shelf_t *shelf)
{
    if (shelf->file >= 0)
        close(shelf->file);
    free(shelf->memory);
    pal_shelf_init(shelf, shelf->folder);
}

/* A file that is open and has no name; -1: none can be made. */
static int nameless(const char *folder)
{
    char path[4096], *name;
    int n = snprintf(path, sizeof path, "%s/shelf.%ld", folder, (long)getpid());
    int file;

    if (n < 0 || (size_t)n >= sizeof path ||
        pal_file_temporary(path, &name, &file, NULL) != PAL_OK)
        return -1;
    unlink(name);
    free(name);
    return file;
}

/* Against what a file system loses, not against anybody: as fast as memory. */
static uint64_t digest(const void *bytes, size_t n)
{
    const char *from = bytes;
    uint64_t sum = n, word;

    for (; n >= sizeof word; n -= sizeof word, from += sizeof word) {
        memcpy(&word, from, sizeof word);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 32;
    }
    for (; n > 0; n--, from++)
        sum = (sum ^ (unsigned char)*from) * 0x9e3779b97f4a7c15u;
    return sum;
}

/* 0, or -1 as with a full disk. */
static int write_file(int file, const char *bytes, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t done = pwrite(file, bytes + at, n - at, (off_t)at);

        if (done <= 0 && !(done < 0 && errno == EINTR))
            return -1;
        at += done > 0 ? (size_t)done : 0;
    }
    return 0;
}

static int put_file(pal_shelf_t *shelf, const void *bytes, size_t n)
{
    if (!shelf->folder || n < PAL_SHELF_LEAST)
        return -1;
    if (shelf->file < 0)
        shelf->file = nameless(shelf->folder);
    return shelf->file < 0 ? -1 : write_file(shelf->file, bytes, n);
}

int pal_shelf_put(pal_shelf_t *shelf, const void *bytes, size_t n, pal_error_t *err)
{
    if (shelf->bytes != n)
        pal_shelf_free(shelf);
    shelf->bytes = n;
    if (!shelf->memory && put_file(shelf, bytes, n) == 0) {
        shelf->digest = digest(bytes, n);
        return PAL_OK;
    }
    if (!shelf->memory) {
        pal_shelf_free(shelf);
        shelf->memory = malloc(n);
    }
    if (!shelf->memory)
        return PAL_FAIL(err, PAL_ENOMEM, "%zu bytes to set aside", n);
    shelf->bytes = n;
    memcpy(shelf->memory, bytes, n);
    return PAL_OK;
}

int pal_shelf_get(const pal_shelf_t *shelf, void *bytes, pal_error_t *err)
{
    char *to = bytes;

    if (shelf->memory) {
        memcpy(bytes, shelf->memory, shelf->bytes);
        return PAL_OK;
    }
    if (shelf->file < 0)
        return PAL_FAIL(err, PAL_EINVAL, "nothing was set aside");
    for (size_t at = 0; at < shelf->bytes;) {
        ssize_t got = pread(shelf->file, to + at, shelf->bytes - at, (off_t)at);

        if (got <= 0 && !(got < 0 && errno == EINTR))
            return PAL_FAIL(err, PAL_EIO, "reading what was set aside in %s: %s",
                            shelf->folder, got < 0 ? strerror(errno) : "end of file");
        at += got > 0 ? (size_t)got : 0;
    }
    if (digest(bytes, shelf->bytes) != shelf->digest)
        return PAL_FAIL(err, PAL_EIO, "what was set aside in %s came back damaged",
                        shelf->folder);
    return PAL_OK;
}
