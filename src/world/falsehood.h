/* falsehood.h -- find an answer in a text, put a wrong one in its place. */
#ifndef PAL_WORLD_FALSEHOOD_H
#define PAL_WORLD_FALSEHOOD_H

#include "world/world.h"

/* How often `word` stands in text as whole words (letters and digits, bytes >= 0x80
 * among them, do not touch it). *at is the last place, untouched if there is none; NULL
 * allowed. */
int32_t pal_text_find(const char *text, const char *word, const char **at);

/* Same, upper and lower case ASCII letters being equal. */
int32_t pal_text_find_nocase(const char *text, const char *word, const char **at);

/* Fill fact->falsehoods: for each wrong choice, each statement that holds the right
 * answer exactly once, with the wrong one in its place. Left empty if there is no such
 * statement. Returns 0, or -1 when memory is out. */
int pal_falsehoods_derive(pal_arena_t *arena, pal_fact_t *fact);

#endif
