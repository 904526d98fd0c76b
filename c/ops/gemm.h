/* Floor 3: the matrix product. */
#ifndef LATENT_GEMM_H
#define LATENT_GEMM_H

#include "base/ranges.h"
#include "simd/isa.h"

struct Tile;

/* c (m, n) = a b, or c + a b where `add`, or bias + a b; a is (m, k), or (k, m) where
 * `a_transposed`, b likewise; all row-major and dense. `count` of them, whose factors and results
 * are as far apart as the last three say (0: the same for all), a number more than 0. */
typedef struct Product {
  int64_t m, n, k;
  const real *a, *b;
  bool a_transposed, b_transposed;
  real *c;
  bool add;
  const real *bias; /* n numbers, for each row; NULL: none */
  int64_t count, a_next, b_next, c_next;
} Product;

enum { PRODUCTS = 2 /* the most at once */ };

/* Several, none of which reads what another one writes, and `beside` what is done beside them
 * (NULL: nothing), shared out over the threads together; the same bits for any number of these.
 * False (and e filled) where memory is short. */
bool ISA_NAME(gemm_all)(const Product *products, int count, const ParallelRange *beside, Error *e);

/* The tiles that products are made of (simd/gemm_tile.h), by their rows, for who packs panels
 * himself: a second set of them takes up to 80 KB of each instruction set. */
typedef void GemmTile(const struct Tile *t);
GemmTile *const *ISA_NAME(gemm_tiles)(void);

#endif
