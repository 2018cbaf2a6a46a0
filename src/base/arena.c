#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pal_arena_chunk {
    pal_arena_chunk_t *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

enum { CHUNK_BYTES = 1 << 16 };

void *pal_arena_get(pal_arena_t *arena, size_t n)
{
    pal_arena_chunk_t *chunk = arena->chunks;
    size_t need;

    if (n > SIZE_MAX / 2)
        return NULL;
    need = (n + 15) / 16 * 16;
    if (!chunk || chunk->size - chunk->used < need) {
        size_t size = need > CHUNK_BYTES ? need : CHUNK_BYTES;

        chunk = calloc(1, sizeof *chunk + size);
        if (!chunk)
            return NULL;
        chunk->size = size;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    chunk->used += need;
    return chunk->bytes + chunk->used - need;
}

char *pal_arena_text(pal_arena_t *arena, const char *text, size_t n)
{
    char *copy = pal_arena_get(arena, n + 1);

    if (copy)
        memcpy(copy, text, n);
    return copy;
}

char *pal_arena_print(pal_arena_t *arena, const char *format, ...)
{
    va_list args, again;
    char *text = NULL;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    if (n >= 0)
        text = pal_arena_get(arena, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void pal_arena_free(pal_arena_t *arena)
{
    while (arena->chunks) {
        pal_arena_chunk_t *next = arena->chunks->next;

        free(arena->chunks);
        arena->chunks = next;
    }
}
