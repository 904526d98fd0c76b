/* A library of its own, which the core loads when it first needs it: a BLAS that is linked with
 * the core would start its threads and take their memory before the core could ask for none. */
#include "blas/table.h"

extern void openblas_set_num_threads(int n) __attribute__((weak));
extern char *openblas_get_config(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
extern void *blas_memory_alloc(int kind) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));

#define LAPACK_EXTERN(name, parameters) extern void name##_ parameters __attribute__((weak));
LAPACK_ROUTINES(float, s, LAPACK_EXTERN)
LAPACK_ROUTINES(double, d, LAPACK_EXTERN)

static void strsm(CBLAS_ORDER order, CBLAS_SIDE side, CBLAS_UPLO half, CBLAS_TRANSPOSE ta,
                  CBLAS_DIAG diagonal, int m, int n, float alpha, const float *a, int lda, float *b,
                  int ldb) {
  cblas_strsm(order, side, half, ta, diagonal, m, n, alpha, a, lda, b, ldb);
}

static void dtrsm(CBLAS_ORDER order, CBLAS_SIDE side, CBLAS_UPLO half, CBLAS_TRANSPOSE ta,
                  CBLAS_DIAG diagonal, int m, int n, double alpha, const double *a, int lda,
                  double *b, int ldb) {
  cblas_dtrsm(order, side, half, ta, diagonal, m, n, alpha, a, lda, b, ldb);
}

#define LAPACK_ENTRY(name, parameters) .name = name##_,

BlasFill latent_blas_fill;
__attribute__((visibility("default"))) void latent_blas_fill(BlasTable *table) {
  *table = (BlasTable){
      .strsm = strsm,
      .dtrsm = dtrsm,
      LAPACK_ROUTINES(float, s, LAPACK_ENTRY) LAPACK_ROUTINES(double, d, LAPACK_ENTRY).set_threads =
          openblas_set_num_threads,
      .config = openblas_get_config,
      .core_name = openblas_get_corename,
      .take_buffer = blas_memory_alloc,
      .give_buffer = blas_memory_free};
}
