/* onednn.h -- products of bf16 factors by oneDNN, for gemm.c alone.
 *
 * oneDNN picks the instructions at run time: AMX, or else AVX512_BF16. The build may be
 * without it (PAL_ONEDNN), the processor without such instructions.
 */
#ifndef PAL_KERNEL_ONEDNN_H
#define PAL_KERNEL_ONEDNN_H

#include <stdint.h>

/* The forms of c (m, n) = a (m, k) b (k, n), row-major. */
typedef enum {
    PAL_A_BT_ADD, /* c += a b^T, b (n, k) */
    PAL_A_B,      /* c = a b */
    PAL_AT_B_ADD, /* c += a^T b, a (k, m) */
    PAL_PRODUCT_FORMS
} pal_product_form_t;

#ifdef PAL_ONEDNN
/* "oneDNN 2.6.3 avx512_core_amx", or NULL if it has nothing for bf16 here. Static. */
const char *pal_onednn_name(void);

/* By the calling thread alone; may run in several at once. lda, ldb, ldc: distances of
 * rows. Only where pal_onednn_name() is not NULL. */
void pal_onednn_multiply(pal_product_form_t form, float *c, const uint16_t *a,
                         const uint16_t *b, int32_t m, int32_t n, int32_t k,
                         int32_t lda, int32_t ldb, int32_t ldc);
#else
static inline const char *pal_onednn_name(void)
{
    return 0;
}

static inline void pal_onednn_multiply(pal_product_form_t form, float *c,
                                       const uint16_t *a, const uint16_t *b, int32_t m,
                                       int32_t n, int32_t k, int32_t lda, int32_t ldb,
                                       int32_t ldc)
{
    (void)form, (void)c, (void)a, (void)b, (void)m, (void)n, (void)k;
    (void)lda, (void)ldb, (void)ldc;
}
#endif

#endif
