#include "gemm.h"

#include "parallel.h"

#include <cblas.h>
#include <stdio.h>
#include <string.h>

/* Absent from a CBLAS that is not OpenBLAS, which then has to be told by its own means. */
extern void openblas_set_num_threads(int n) __attribute__((weak));
extern char *openblas_get_config(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

void gemm_prepare(void) {
  if (openblas_set_num_threads) openblas_set_num_threads(1);
}

void gemm_describe(char *text, size_t size) {
  const char *config = openblas_get_config ? openblas_get_config() : "a BLAS that is not OpenBLAS";
  const char *core = openblas_get_corename ? openblas_get_corename() : "of unknown name";
  /* The configuration begins with name and version. */
  const char *space = strchr(config, ' '), *end = space ? strchr(space + 1, ' ') : NULL;
  if (!openblas_get_config || !end) end = config + strlen(config);
  snprintf(text, size, "%.*s, kernel %s", (int)(end - config), config, core);
}

typedef struct Product {
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
  cblas_dgemm
#else
  cblas_sgemm
#endif
      (CblasRowMajor, ta, tb, (int)(end - begin), (int)p->n, (int)p->k, 1, a, lda, p->b, ldb,
       p->add, p->c + begin * p->n, (int)p->n);
}

void gemm(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k, const real *a,
          const real *b, real *c, bool add) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (!add) memset(c, 0, (size_t)(m * n) * sizeof *c);
    return;
  }
  Product p = {a_transposed, b_transposed, add, m, n, k, a, b, c};
  /* Every block packs all of b again, so a block is large: at least eight million multiplications.
   */
  int64_t least = 8 << 20, grain = (least + n * k - 1) / (n * k);
  if (grain < (m + 7) / 8) grain = (m + 7) / 8;
  parallel_for(m, (grain + 15) / 16 * 16, product_rows, &p);
}
