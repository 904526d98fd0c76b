/* base/blas.h where there is no BLAS, and so no LAPACK. */
#include "base/blas.h"

static const char *const absent =
    "there is no LAPACK in WebAssembly: run this where latent is installed";

void blas_prepare(void) {}

const BlasTable *blas_ready(int *threads, Error *e) {
  (void)threads;
  error_set(e, "%s", absent);
  return NULL;
}

bool blas_is_loaded(void) { return false; }

bool blas_describe(char *text, size_t size, Error *e) {
  (void)text, (void)size;
  return error_set(e, "%s", absent);
}
