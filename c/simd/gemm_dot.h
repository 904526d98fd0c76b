/* Floor 2: matrix products of few columns, whose factors are dense along their sums: dot products,
 * lane by lane. A row is read once for all columns, and nothing is packed. */
#ifndef LATENT_SIMD_GEMM_DOT_H
#define LATENT_SIMD_GEMM_DOT_H

#include "simd/vec.h"

/* DOT_DEPTH: with fewer products, columns that lie apart are not copied for this. */
enum { DOT_ROWS = 4, DOT_COLUMNS = 4, DOT_DEPTH = 5 };

typedef struct Dots {
  int64_t depth;
  const real *x, *y; /* (rows, depth) and (columns, depth) */
  int64_t x_row, y_row;
  real *sums; /* (DOT_ROWS, DOT_COLUMNS) */
} Dots;

VEC_INLINE void dots_add(const Dots *d, Vec *sum, const int rows, const int columns, int64_t at,
                         int n) {
  Vec y[DOT_COLUMNS];
  VEC_UNROLL for (int j = 0; j < columns; j++) {
    const real *from = d->y + j * d->y_row + at;
    y[j] = n == LANES ? vec_load(from) : vec_load_part(from, n);
  }
  VEC_UNROLL for (int i = 0; i < rows; i++) {
    const real *from = d->x + i * d->x_row + at;
    Vec x = n == LANES ? vec_load(from) : vec_load_part(from, n);
    VEC_UNROLL for (int j = 0; j < columns; j++) sum[i * columns + j] += x * y[j];
  }
}

VEC_INLINE void dots_of(const Dots *d, const int rows, const int columns) {
  Vec sum[DOT_ROWS * DOT_COLUMNS];
  VEC_UNROLL for (int i = 0; i < rows * columns; i++) sum[i] = vec_zero();
  int64_t at = 0;
  for (; at + LANES <= d->depth; at += LANES) dots_add(d, sum, rows, columns, at, LANES);
  if (at < d->depth) dots_add(d, sum, rows, columns, at, (int)(d->depth - at));
  VEC_UNROLL for (int i = 0; i < rows; i++) VEC_UNROLL for (int j = 0; j < columns; j++)
      d->sums[i * DOT_COLUMNS + j] = vec_sum(sum[i * columns + j]);
}

/* A row has the same bits alone and among others: both ways sum in the same order. */
#define DOTS_OF(COLUMNS)                                                                           \
  static __attribute__((noinline)) void dots_4_##COLUMNS(const Dots *d) {                          \
    dots_of(d, DOT_ROWS, COLUMNS);                                                                 \
  }                                                                                                \
  static __attribute__((noinline)) void dots_1_##COLUMNS(const Dots *d) { dots_of(d, 1, COLUMNS); }
DOTS_OF(1)
DOTS_OF(2)
DOTS_OF(3)
DOTS_OF(4)

typedef void DotsFunction(const Dots *d);
static DotsFunction *const dots_rows[] = {NULL, dots_4_1, dots_4_2, dots_4_3, dots_4_4};
static DotsFunction *const dots_row[] = {NULL, dots_1_1, dots_1_2, dots_1_3, dots_1_4};

#endif
