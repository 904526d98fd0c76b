/* What c/blas/module.c, the one file that is linked with a BLAS, hands to c/blas.c, which loads it.
 */
#ifndef LATENT_BLAS_TABLE_H
#define LATENT_BLAS_TABLE_H

#include <cblas.h>

/* Products as CBLAS has them; the rest is OpenBLAS's own, and NULL in a BLAS that is another. */
typedef struct BlasTable {
  void (*sgemm)(CBLAS_ORDER order, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k,
                float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c,
                int ldc);
  void (*dgemm)(CBLAS_ORDER order, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k,
                double alpha, const double *a, int lda, const double *b, int ldb, double beta,
                double *c, int ldc);
  void (*set_threads)(int n);
  char *(*config)(void);
  char *(*core_name)(void);
  /* The working memory of one product, kept for the next when given back. */
  void *(*take_buffer)(int kind);
  void (*give_buffer)(void *buffer);
} BlasTable;

/* Fills the table; the module's one symbol. */
typedef void BlasFill(BlasTable *table);
#define BLAS_FILL "latent_blas_fill"

#endif
