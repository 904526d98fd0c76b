/* What c/blas/module.c, the one file that is linked with a BLAS, hands to c/blas.c, which loads it.
 */
#ifndef LATENT_BLAS_TABLE_H
#define LATENT_BLAS_TABLE_H

#include <cblas.h>
#include <stddef.h>

/* LAPACK's routines for a type, by the letter before their names. Behind texts, Fortran passes
 * their lengths at the end. */
#define LAPACK_ROUTINES(T, p, DECLARE)                                                             \
  DECLARE(p##gesv, (const int *n, const int *k, T *a, const int *lda, int *pivots, T *b,           \
                    const int *ldb, int *info))                                                    \
  DECLARE(p##getrf, (const int *m, const int *n, T *a, const int *lda, int *pivots, int *info))    \
  DECLARE(p##potrf, (const char *half, const int *n, T *a, const int *lda, int *info, size_t))     \
  DECLARE(p##geqrf, (const int *m, const int *n, T *a, const int *lda, T *tau, T *work,            \
                     const int *size, int *info))                                                  \
  DECLARE(p##orgqr, (const int *m, const int *n, const int *k, T *a, const int *lda, const T *tau, \
                     T *work, const int *size, int *info))                                         \
  DECLARE(p##gesdd, (const char *job, const int *m, const int *n, T *a, const int *lda, T *s,      \
                     T *u, const int *ldu, T *vt, const int *ldvt, T *work, const int *size,       \
                     int *whole, int *info, size_t))                                               \
  DECLARE(p##syevd,                                                                                \
          (const char *job, const char *half, const int *n, T *a, const int *lda, T *w, T *work,   \
           const int *size, int *whole, const int *whole_size, int *info, size_t, size_t))
#define LAPACK_MEMBER(name, parameters) void(*name) parameters;

/* Triangular systems as CBLAS has them; the rest is OpenBLAS's own (and LAPACK's), and
 * NULL in a BLAS that is another. */
typedef struct BlasTable {
  void (*strsm)(CBLAS_ORDER order, CBLAS_SIDE side, CBLAS_UPLO half, CBLAS_TRANSPOSE ta,
                CBLAS_DIAG diagonal, int m, int n, float alpha, const float *a, int lda, float *b,
                int ldb);
  void (*dtrsm)(CBLAS_ORDER order, CBLAS_SIDE side, CBLAS_UPLO half, CBLAS_TRANSPOSE ta,
                CBLAS_DIAG diagonal, int m, int n, double alpha, const double *a, int lda,
                double *b, int ldb);
  LAPACK_ROUTINES(float, s, LAPACK_MEMBER)
  LAPACK_ROUTINES(double, d, LAPACK_MEMBER)
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
