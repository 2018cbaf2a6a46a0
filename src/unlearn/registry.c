#include <string.h>

#include "unlearn/method.h"

#define PAL_METHOD(id) extern const pal_method_t pal_method_##id;
#include "unlearn/methods.def"
#undef PAL_METHOD

/* The id is the token itself, so name and symbol cannot drift apart. */
static const char *const ids[] = {
#define PAL_METHOD(id) #id,
#include "unlearn/methods.def"
#undef PAL_METHOD
};

static const pal_method_t *const methods[] = {
#define PAL_METHOD(id) &pal_method_##id,
#include "unlearn/methods.def"
#undef PAL_METHOD
};

int pal_method_count(void)
{
    return (int)(sizeof ids / sizeof *ids);
}

const char *pal_method_id(int i)
{
    return ids[i];
}

const pal_method_t *pal_method_at(int i)
{
    return methods[i];
}

int pal_method_find(const char *id, const pal_method_t **method, pal_error_t *err)
{
    int i = pal_name_find("method", id, ids, pal_method_count(), err);

    if (i < 0)
        return PAL_ENOENT;
    *method = methods[i];
    return PAL_OK;
}
