/* checkpoint.h -- weights in a safetensors file.
 *
 * A tensor for each slice (safetensors.h). The metadata hold the shape ("shape": JSON
 * object), a digest of the weights ("digest"), the tokenizer ("tokenizer": JSON,
 * tokenizer.h) and what the caller adds ("note").
 */
#ifndef PAL_MODEL_CHECKPOINT_H
#define PAL_MODEL_CHECKPOINT_H

#include "base/error.h"
#include "model/layout.h"
#include "model/tokenizer.h"

/* Whole or not at all (pal_safetensors_write). tokenizer may be NULL; note is one text
 * stored in the metadata (the stage's key), may be NULL. PAL_EIO names the path and the
 * cause. */
PAL_MUST_CHECK
int pal_checkpoint_save(const char *path, const pal_layout_t *layout,
                        const float *weights, const pal_tokenizer_t *tokenizer,
                        const char *note, pal_error_t *err);

/* Read weights of exactly this layout. If note is not NULL it must equal the stored
 * one, and the file must have a digest of its weights (files of other programs have
 * none); a digest that is there must be right. Every length, offset, name, shape and
 * dtype is checked against the file and the layout; PAL_EINVAL names file, tensor,
 * found and expected; PAL_ENOENT: no such file. On failure weights are untouched,
 * unless the file is cut while it is read (PAL_EIO). Memory: the header and little
 * more. */
PAL_MUST_CHECK
int pal_checkpoint_load(const char *path, const pal_layout_t *layout, const char *note,
                        float *weights, pal_error_t *err);

#endif
