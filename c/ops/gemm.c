#include "ops/gemm.h"

#include "base/blas.h"
#include "base/parallel.h"

#include <stdio.h>
#include <string.h>

bool gemm_describe(char *text, size_t size, Error *e) {
  int threads = 1;
  const BlasTable *blas = blas_ready(&threads, e);
  if (!blas) return false;
  const char *config = blas->config ? blas->config() : "a BLAS that is not OpenBLAS";
  const char *core = blas->core_name ? blas->core_name() : "of unknown name";
  /* The configuration begins with name and version. */
  const char *space = strchr(config, ' '), *end = space ? strchr(space + 1, ' ') : NULL;
  if (!blas->config || !end) end = config + strlen(config);
  snprintf(text, size, "%.*s, kernel %s", (int)(end - config), config, core);
  return true;
}

typedef struct Product {
  const BlasTable *blas;
  bool a_transposed, b_transposed, add;
  int64_t m, n, k;
  const real *a, *b;
  real *c;
} Product;

static void product_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Product *p = context;
  const real *a = p->a + (p->a_transposed ? begin : begin * p->k);
  CBLAS_TRANSPOSE ta = p->a_transposed ? CblasTrans : CblasNoTrans;
  CBLAS_TRANSPOSE tb = p->b_transposed ? CblasTrans : CblasNoTrans;
  int lda = (int)(p->a_transposed ? p->m : p->k), ldb = (int)(p->b_transposed ? p->k : p->n);
#ifdef LATENT_DOUBLE
  p->blas->dgemm
#else
  p->blas->sgemm
#endif
      (CblasRowMajor, ta, tb, (int)(end - begin), (int)p->n, (int)p->k, 1, a, lda, p->b, ldb,
       p->add, p->c + begin * p->n, (int)p->n);
}

bool gemm(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k, const real *a,
          const real *b, real *c, bool add, Error *e) {
  if (m == 0 || n == 0) return true;
  if (k == 0) {
    if (!add) memset(c, 0, (size_t)(m * n) * sizeof *c);
    return true;
  }
  /* Every block packs all of b again, so a block is large: at least eight million multiplications.
   */
  int64_t least = 8 << 20, grain = (least + n * k - 1) / (n * k);
  if (grain < (m + 7) / 8) grain = (m + 7) / 8;
  grain = (grain + 15) / 16 * 16;
  int blocks = (int)((m + grain - 1) / grain), wanted = parallel_threads();
  int threads = blocks < wanted ? blocks : wanted, granted = threads;
  const BlasTable *blas = blas_ready(&granted, e);
  if (!blas) return false;
  Product p = {blas, a_transposed, b_transposed, add, m, n, k, a, b, c};
  if (granted < threads) parallel_set_threads(granted, NULL);
  parallel_for(m, grain, product_rows, &p);
  if (granted < threads) parallel_set_threads(wanted, NULL);
  return true;
}
