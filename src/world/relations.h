/* relations.h -- the relation types of the synthetic world, as text. */
#ifndef PAL_WORLD_RELATIONS_H
#define PAL_WORLD_RELATIONS_H

enum { PAL_RELATION_STATEMENTS = 6, PAL_FORGET_RELATIONS = 4 };

/* Patterns: @ is the subject's name, # the answer. No pattern begins with either, so
 * that every word of a name or an answer is the same token wherever it stands. An
 * answer is two words, one of first and a head joined to a tail. No two relations share
 * an answer word. Lists end with NULL. */
typedef struct {
    const char *name;
    const char *question;
    const char *statements[PAL_RELATION_STATEMENTS];
    const char *first[11], *head[11], *tail[11];
} pal_relation_t;

extern const pal_relation_t pal_forget_relations[PAL_FORGET_RELATIONS];
extern const pal_relation_t pal_retain_relation;

#endif
