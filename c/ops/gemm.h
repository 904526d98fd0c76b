/* Floor 3: the matrix product, through CBLAS. */
#ifndef LATENT_GEMM_H
#define LATENT_GEMM_H

#include "base/tensor.h"

/* c (m, n) = a b + (add ? c : 0); a is (m, k), or (k, m) where a_transposed, b likewise; all
 * row-major and dense. Rows of c are shared out over the threads in blocks fixed by the sizes.
 * False (and e filled) where there is no BLAS, or no memory for it. */
bool gemm(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k, const real *a,
          const real *b, real *c, bool add, Error *e);

/* The library that multiplies and the kernel that it chose, as far as it tells. */
bool gemm_describe(char *text, size_t size, Error *e);

#endif
