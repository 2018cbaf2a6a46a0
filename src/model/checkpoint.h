/* checkpoint.h -- weights in a safetensors file.
 *
 * An 8-byte little-endian header length, a JSON header {name: {dtype, shape,
 * data_offsets}}, then the bytes. The header's __metadata__ holds the shape ("shape":
 * JSON object), the tokenizer ("tokenizer": JSON, tokenizer.h) and what the caller
 * adds.
 */
#ifndef PAL_MODEL_CHECKPOINT_H
#define PAL_MODEL_CHECKPOINT_H

#include "base/error.h"
#include "model/layout.h"
#include "model/tokenizer.h"

/* Write to "<path>.<pid>.tmp", fsync, rename: the file is there whole or not at all,
 * and two writers of the same content do not disturb each other. tokenizer may be NULL;
 * note is one text stored in the metadata (the stage's key), may be NULL. PAL_EIO names
 * the path and the cause. */
PAL_MUST_CHECK
int pal_checkpoint_save(const char *path, const pal_layout_t *layout,
                        const float *weights, const pal_tokenizer_t *tokenizer,
                        const char *note, pal_error_t *err);

/* Read weights of exactly this layout. If note is not NULL it must equal the stored
 * one, and the file must have a digest of its weights (files of other programs have
 * none); a digest that is there must be right. Every length, offset, name, shape and
 * dtype is checked against the file and the layout; PAL_EINVAL names file, tensor,
 * found and expected; PAL_ENOENT: no such file. On failure weights are untouched. */
PAL_MUST_CHECK
int pal_checkpoint_load(const char *path, const pal_layout_t *layout, const char *note,
                        float *weights, pal_error_t *err);

#endif
