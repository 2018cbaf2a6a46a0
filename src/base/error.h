/* error.h -- return codes and the message that goes with them.
 *
 * Every function that can fail returns PAL_OK (0) or a negative enum pal_code and
 * takes a caller-owned `pal_error_t *err` last (NULL allowed). A function that fails
 * leaves its outputs untouched and keeps nothing. Nothing below main exits or prints.
 */
#ifndef PAL_BASE_ERROR_H
#define PAL_BASE_ERROR_H

/* One list makes the enum and pal_strerror(), so code and sentence cannot drift. */
#define PAL_ERRORS(X)                                                                  \
    X(PAL_EINVAL, "input not acceptable")                                              \
    X(PAL_ENOENT, "no such name or file")                                              \
    X(PAL_ENOMEM, "out of memory")                                                     \
    X(PAL_EIO, "file operation failed")                                                \
    X(PAL_EMPI, "MPI call failed")                                                     \
    X(PAL_EDIVERGE, "a loss or a weight became NaN or infinite")                       \
    X(PAL_ESTOP, "stopped on request")

enum pal_code {
    PAL_OK = 0,
    PAL_ERROR_FIRST_ = -1000,
#define X(name, text) name,
    PAL_ERRORS(X)
#undef X
};

#if defined(__GNUC__)
#define PAL_MUST_CHECK __attribute__((warn_unused_result))
#define PAL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define PAL_MUST_CHECK
#define PAL_PRINTF(f, a)
#endif

/* First failure's message, callers' context in front; always terminated. */
typedef struct {
    char text[512];
} pal_error_t;

/* Fill err with "file:line: message" and evaluate to code. For failures of a call,
 * of memory, of the machine: where in the source it happened is worth knowing. */
#define PAL_FAIL(err, code, ...)                                                       \
    pal_fail_((err), (code), __FILE__, __LINE__, __VA_ARGS__)

/* Fill err with the message alone and evaluate to PAL_EINVAL. For what a person wrote
 * (config, facts file, option): the message names *their* file and line, the value,
 * what was expected. */
#define PAL_REJECT(err, ...) pal_fail_((err), PAL_EINVAL, 0, 0, __VA_ARGS__)

int pal_fail_(pal_error_t *err, int code, const char *file, int line,
              const char *format, ...) PAL_PRINTF(5, 6);

/* Put "context: " in front of err's text and return code, so that a caller can write
 * `return pal_context(err, rc, "base %s", key)`. */
int pal_context(pal_error_t *err, int code, const char *format, ...) PAL_PRINTF(3, 4);

/* The sentence for a code; static. */
const char *pal_strerror(int code);

/* The one of names[0..n) nearest to `word` (edit distance at most 1/2 of its length),
 * or NULL. For "unknown key 'lrr', nearest is 'lr'". */
const char *pal_nearest(const char *word, const char *const names[], int n);

/* Index of word in names[0..n), or -1 with "unknown <what> '<word>'; known: ...,
 * nearest is
 * ..." in err. */
int pal_name_find(const char *what, const char *word, const char *const names[], int n,
                  pal_error_t *err);

#endif
