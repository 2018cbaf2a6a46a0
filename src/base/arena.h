/* arena.h -- memory that is given back all at once.
 *
 * Strings and tables of a world or a plan live in one arena and die with it.
 */
#ifndef PAL_BASE_ARENA_H
#define PAL_BASE_ARENA_H

#include <stddef.h>

typedef struct pal_arena_chunk pal_arena_chunk_t;

/* Zero-initialise; no other constructor. */
typedef struct {
    pal_arena_chunk_t *chunks;
} pal_arena_t;

/* n zeroed bytes aligned to 16, or NULL when memory is out. n = 0 gives a valid
 * address. */
void *pal_arena_get(pal_arena_t *arena, size_t n);

/* Copy of text[0..n) with a terminator, or NULL when memory is out. */
char *pal_arena_text(pal_arena_t *arena, const char *text, size_t n);

/* printf into the arena, or NULL. */
char *pal_arena_print(pal_arena_t *arena, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Free everything; the arena is empty and usable again. */
void pal_arena_free(pal_arena_t *arena);

#endif
