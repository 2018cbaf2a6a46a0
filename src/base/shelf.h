/* shelf.h -- an array set aside, out of memory where it is large.
 *
 * Models that no step needs would otherwise lie beside the one that is trained. A large
 * array goes into a file without a name, which ends with its process. It stays in
 * memory if it is small, if there is no folder, or if the file cannot be written.
 */
#ifndef PAL_BASE_SHELF_H
#define PAL_BASE_SHELF_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { PAL_SHELF_LEAST = 4 << 20 }; /* bytes of the smallest array in a file */

/* Make it with pal_shelf_init(). */
typedef struct {
    const char *folder; /* borrowed; NULL: none */
    int file;           /* -1: none */
    void *memory;       /* what is in no file */
    size_t bytes;       /* of what is set aside */
    uint64_t digest;    /* of what is in a file */
} pal_shelf_t;

void pal_shelf_init(pal_shelf_t *shelf, const char *folder);

/* Forget what was set aside; the shelf is empty and usable again. */
void pal_shelf_free(pal_shelf_t *shelf);

/* Set bytes[0..n) aside, in place of what was. No allocation if as many were.
 * PAL_ENOMEM: the shelf is then empty. */
PAL_MUST_CHECK
int pal_shelf_put(pal_shelf_t *shelf, const void *bytes, size_t n, pal_error_t *err);

/* The same bytes again: as many as were put, written. PAL_EIO: they cannot be read, or
 * are not what was written; PAL_EINVAL: the shelf is empty. */
PAL_MUST_CHECK
int pal_shelf_get(const pal_shelf_t *shelf, void *bytes, pal_error_t *err);

#endif
