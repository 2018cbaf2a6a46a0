#include "world/jsonl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

int pal_jsonl_open(const char *path, pal_jsonl_t *reader, pal_error_t *err)
{
    FILE *file;
    char *buffer;
    int rc = pal_file_open(path, &file, err);

    if (rc != PAL_OK)
        return rc;
    buffer = malloc(PAL_LINE_MAX + 1);
    if (!buffer) {
        fclose(file);
        return PAL_FAIL(err, PAL_ENOMEM, "a line of %s", path);
    }
    *reader = (pal_jsonl_t){.file = file, .path = path, .buffer = buffer};
    return PAL_OK;
}

void pal_jsonl_close(pal_jsonl_t *reader)
{
    if (reader->file)
        fclose(reader->file);
    free(reader->buffer);
    memset(reader, 0, sizeof *reader);
}

/* Reads a line without its end into the buffer. Returns its length, -1 at the end of
 * the file or if reading fails, -2 if it is too long, -3 if it holds a zero byte. The
 * whole line is read in any case. */
static int read_line(pal_jsonl_t *reader)
{
    int n = 0, bad = 0, c;

    while ((c = getc_unlocked(reader->file)) != EOF && c != '\n') {
        if (bad)
            continue;
        if (n > PAL_LINE_MAX)
            bad = -2;
        else if (c == 0)
            bad = -3;
        else
            reader->buffer[n++] = (char)c;
    }
    if (bad && !ferror(reader->file))
        return bad;
    if (c == EOF && (n == 0 || ferror(reader->file)))
        return -1;
    if (n > 0 && reader->buffer[n - 1] == '\r')
        n--;
    return n > PAL_LINE_MAX ? -2 : n;
}

static int is_blank(const char *text, int n)
{
    for (int i = 0; i < n; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return 0;
    return 1;
}

static int parse(const pal_jsonl_t *reader, const char *text, int n, json_t **row,
                 pal_error_t *err)
{
    json_error_t why;
    json_t *value = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &why);

    if (!value) {
        enum json_error_code code = json_error_code(&why);

        return PAL_REJECT(err, "%s:%d: %s: %s", reader->path, reader->line,
                          code == json_error_invalid_utf8 ? "not UTF-8 text"
                                                          : "not valid JSON",
                          why.text);
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return PAL_REJECT(err, "%s:%d: expected an object {...}, found an array",
                          reader->path, reader->line);
    }
    *row = value;
    return PAL_OK;
}

int pal_jsonl_next(pal_jsonl_t *reader, json_t **row, pal_error_t *err)
{
    const char *text;
    int n;

    do {
        text = reader->buffer;
        if (reader->line == INT32_MAX)
            return PAL_REJECT(err, "%s: more than %d lines", reader->path, INT32_MAX);
        reader->line++;
        n = read_line(reader);
        if (reader->line == 1 && n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
            text += 3;
            n -= 3;
        }
    } while (n >= 0 && is_blank(text, n));
    if (n == -2)
        return PAL_REJECT(err, "%s:%d: line of more than %d bytes", reader->path,
                          reader->line, PAL_LINE_MAX);
    if (n == -3)
        return PAL_REJECT(err, "%s:%d: a zero byte; expected UTF-8 text", reader->path,
                          reader->line);
    if (n == -1 && ferror(reader->file))
        return pal_fail_(err, errno == EISDIR ? PAL_EINVAL : PAL_EIO, NULL, 0, "%s: %s",
                         reader->path, strerror(errno));
    if (n >= 0)
        return parse(reader, text, n, row, err);
    *row = NULL;
    return PAL_OK;
}

const char *pal_json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "true or false";
    }
}

/* --- Writing --- */

static int write_rows(FILE *file, const json_t *rows)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        if (json_dumpf(row, file, 0) < 0 || putc('\n', file) == EOF)
            return -1;
    }
    return fflush(file) == 0 && fsync(fileno(file)) == 0 ? 0 : -1;
}

/* To the descriptor, which is closed. */
static int write_and_close(int fd, const json_t *rows, const char *path,
                           pal_error_t *err)
{
    FILE *file = fdopen(fd, "w");
    int error = 0;

    if (!file || write_rows(file, rows) < 0)
        error = errno;
    if ((file ? fclose(file) : close(fd)) != 0 && error == 0)
        error = errno;
    return error ? pal_fail_(err, PAL_EIO, NULL, 0, "%s: %s", path, strerror(error))
                 : PAL_OK;
}

int pal_jsonl_write(const char *path, const json_t *rows,
                    int (*check)(const char *path, pal_error_t *err), pal_error_t *err)
{
    char *target = NULL, *temporary = NULL;
    int fd, rc = pal_file_target(path, &target, err);

    if (rc == PAL_OK)
        rc = pal_file_temporary(target, &temporary, &fd, err);
    if (rc != PAL_OK)
        goto out;
    rc = write_and_close(fd, rows, path, err);
    if (rc == PAL_OK && (rc = check(temporary, err)) != PAL_OK)
        rc = pal_context(err, rc, "%s would be refused", path);
    if (rc == PAL_OK)
        rc = pal_file_rename(temporary, target, err);
    else
        unlink(temporary);
out:
    free(temporary);
    free(target);
    return rc;
}
