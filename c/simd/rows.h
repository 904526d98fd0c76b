/* Floor 2: sums and maxima of a row of neighbouring numbers, in vector lanes whose order depends on
 * the length alone. */
#ifndef LATENT_SIMD_ROWS_H
#define LATENT_SIMD_ROWS_H

#include "vec.h"

#include <math.h>

enum { ROW_CHUNK = 4096 /* terms that are added in single precision */ };

/* The sum of at most ROW_CHUNK numbers. */
static inline double row_sum_chunk(const real *x, int64_t n) {
  Vec a = vec_zero(), b = vec_zero();
  int64_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    a += vec_load(x + i);
    b += vec_load(x + i + LANES);
  }
  double sum = i > 0 ? (double)vec_sum(a + b) : 0;
  for (; i < n; i++) sum += (double)x[i];
  return sum;
}

static inline double row_sum(const real *x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += ROW_CHUNK)
    sum += row_sum_chunk(x + i, n - i < ROW_CHUNK ? n - i : ROW_CHUNK);
  return sum;
}

/* sum of x y */
static inline real row_dot(const real *x, const real *y, int64_t n) {
  Vec a = vec_zero();
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) a += vec_load(x + i) * vec_load(y + i);
  real sum = vec_sum(a);
  for (; i < n; i++) sum += x[i] * y[i];
  return sum;
}

/* The largest (or, with sign -1, minus the smallest) number that is no NaN; *nan tells of those. */
static inline real row_largest(const real *x, int64_t n, real sign, bool *nan) {
  const Vec signs = vec_fill(sign), lowest = vec_fill(-(real)INFINITY);
  Vec a = lowest, b = lowest;
  VecMask odd = {0};
  int64_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    Vec u = vec_load(x + i) * signs, v = vec_load(x + i + LANES) * signs;
    a = vec_select(u > a, u, a);
    b = vec_select(v > b, v, b);
    odd |= (u != u) | (v != v);
  }
  real most = -(real)INFINITY;
  lane_int any = 0;
  a = vec_select(b > a, b, a);
  for (int lane = 0; lane < LANES && i > 0; lane++) { /* short rows have left all lanes empty */
    most = a[lane] > most ? a[lane] : most;
    any |= odd[lane];
  }
  for (; i < n; i++) {
    real v = x[i] * sign;
    most = v > most ? v : most;
    any |= v != v;
  }
  *nan = any != 0;
  return most;
}

#endif
