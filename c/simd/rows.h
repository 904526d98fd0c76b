/* Floor 2: sums and maxima of a row of neighbouring numbers, in vector lanes whose order depends on
 * the length alone. */
#ifndef LATENT_SIMD_ROWS_H
#define LATENT_SIMD_ROWS_H

#include "simd/vec.h"

#include <math.h>

/* The sum in double precision, one number after the other. */
static inline double row_sum_plain(const real *x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)x[i];
  return sum;
}

/* The sum: eight vectors at a time as a tree, and these sums in double precision. So equal numbers
 * add up exactly, and a long sum is nearly as good as a short one. */
static inline double row_sum(const real *x, int64_t n) {
  enum { TREE = 8 };
  int64_t i = 0;
  if (n < 2 * LANES) return row_sum_plain(x, n);
  VecWide part[WIDE_PARTS] = {{0}};
  for (; i + TREE * LANES <= n; i += TREE * LANES) {
    Vec v[TREE];
    VEC_UNROLL for (int k = 0; k < TREE; k++) v[k] = vec_load(x + i + k * LANES);
    Vec sum = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
    VEC_UNROLL for (int k = 0; k < WIDE_PARTS; k++) part[k] += vec_wide(sum, k);
  }
  for (; i + LANES <= n; i += LANES)
    VEC_UNROLL for (int k = 0; k < WIDE_PARTS; k++) part[k] += vec_wide(vec_load(x + i), k);
  double sum = row_sum_plain(x + i, n - i);
  for (int k = 0; k < WIDE_PARTS; k++) sum += vec_sum_wide(part[k]);
  return isfinite(sum) ? sum : row_sum_plain(x, n); /* a tree may have overflowed */
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
