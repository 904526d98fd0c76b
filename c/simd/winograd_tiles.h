/* Floor 2: Winograd's minimal filtering F(2x2, 3x3), vectors along the channels. Knows no threads
 * and no images, only a tile.
 *
 * A convolution with a kernel of 3 x 3 makes 2 x 2 outputs from 4 x 4 sources d, with 36 products a
 * pair of channels. With
 *
 *        | 1  0 -1  0 |        | 1    0    0   |         | 1  0 |
 *   B' = | 0  1  1  0 |    G = | 1/2  1/2  1/2 |     A = | 1  1 |
 *        | 0 -1  1  0 |        | 1/2 -1/2  1/2 |         | 1 -1 |
 *        | 0  1  0 -1 |        | 0    0    1   |         | 0 -1 |
 *
 * they are A' ((G g G') * (B' d B)) A, where * multiplies point by point: 16 products. The sum over
 * the channels commutes with A' . A, so that each of the 16 points is a matrix product of its own,
 * (tiles, in) by (in, out). The gradient of the weight is the adjoint of that in g: the sum over
 * the tiles of (A dy A') * (B' d B), again a matrix product for each point, and G' . G at the end.
 *
 * S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin, S. Gray, Fast Algorithms for
 * Convolutional Neural Networks, 2016 (arXiv 1509.09308). */
#ifndef LATENT_SIMD_WINOGRAD_TILES_H
#define LATENT_SIMD_WINOGRAD_TILES_H

#include "simd/vec.h"

enum { POINTS = 16 };

VEC_INLINE Vec winograd_load(const real *p, const bool whole, int lanes) {
  return whole ? vec_load(p) : vec_load_part(p, lanes);
}

/* B' d B: source i of the 4 x 4 is at from[i], point q goes to `to + place[q]`. */
VEC_INLINE void winograd_source(const real *const from[POINTS], int64_t at, const bool whole,
                                int lanes, real *to, const int64_t place[POINTS]) {
  Vec d[POINTS];
  VEC_UNROLL for (int x = 0; x < 4; x++) {
    Vec a = winograd_load(from[x] + at, whole, lanes);
    Vec b = winograd_load(from[4 + x] + at, whole, lanes);
    Vec c = winograd_load(from[8 + x] + at, whole, lanes);
    Vec e = winograd_load(from[12 + x] + at, whole, lanes);
    d[x] = a - c, d[4 + x] = b + c, d[8 + x] = c - b, d[12 + x] = b - e;
  }
  VEC_UNROLL for (int y = 0; y < POINTS; y += 4) {
    vec_store(to + place[y], d[y] - d[y + 2]);
    vec_store(to + place[y + 1], d[y + 1] + d[y + 2]);
    vec_store(to + place[y + 2], d[y + 2] - d[y + 1]);
    vec_store(to + place[y + 3], d[y + 1] - d[y + 3]);
  }
}

/* G g G' */
VEC_INLINE void winograd_weights(const Vec g[9], real *to, int64_t plane) {
  const Vec half = vec_fill((real)0.5);
  Vec d[12];
  VEC_UNROLL for (int x = 0; x < 3; x++) {
    Vec even = (g[x] + g[6 + x]) * half, odd = g[3 + x] * half;
    d[x] = g[x], d[3 + x] = even + odd, d[6 + x] = even - odd, d[9 + x] = g[6 + x];
  }
  VEC_UNROLL for (int y = 0; y < 4; y++, to += 4 * plane) {
    const Vec *r = d + 3 * y;
    Vec even = (r[0] + r[2]) * half, odd = r[1] * half;
    vec_store(to, r[0]);
    vec_store(to + plane, even + odd);
    vec_store(to + 2 * plane, even - odd);
    vec_store(to + 3 * plane, r[2]);
  }
}

/* A' m A, the 2 x 2 outputs; point q is at m + q * plane. */
VEC_INLINE void winograd_outputs(const real *m, int64_t plane, Vec y[4]) {
  Vec d[8];
  VEC_UNROLL for (int x = 0; x < 4; x++) {
    Vec a = vec_load(m + x * plane), b = vec_load(m + (4 + x) * plane);
    Vec c = vec_load(m + (8 + x) * plane), e = vec_load(m + (12 + x) * plane);
    d[x] = a + b + c, d[4 + x] = b - c - e;
  }
  VEC_UNROLL for (int i = 0; i < 2; i++) {
    y[2 * i] = d[4 * i] + d[4 * i + 1] + d[4 * i + 2];
    y[2 * i + 1] = d[4 * i + 1] - d[4 * i + 2] - d[4 * i + 3];
  }
}

/* A dy A' of 2 x 2 gradients */
VEC_INLINE void winograd_gradients(const Vec y[4], real *to, int64_t plane) {
  const Vec left[4] = {y[0], y[0] + y[2], y[0] - y[2], -y[2]};
  const Vec right[4] = {y[1], y[1] + y[3], y[1] - y[3], -y[3]};
  VEC_UNROLL for (int i = 0; i < 4; i++, to += 4 * plane) {
    vec_store(to, left[i]);
    vec_store(to + plane, left[i] + right[i]);
    vec_store(to + 2 * plane, left[i] - right[i]);
    vec_store(to + 3 * plane, -right[i]);
  }
}

/* G' u G, the 3 x 3 gradients of the weight */
VEC_INLINE void winograd_weight_sums(const Vec u[POINTS], Vec g[9]) {
  const Vec half = vec_fill((real)0.5);
  Vec d[12];
  VEC_UNROLL for (int x = 0; x < 4; x++) {
    Vec even = (u[4 + x] + u[8 + x]) * half, odd = (u[4 + x] - u[8 + x]) * half;
    d[x] = u[x] + even, d[4 + x] = odd, d[8 + x] = even + u[12 + x];
  }
  VEC_UNROLL for (int y = 0; y < 3; y++) {
    const Vec *r = d + 4 * y;
    Vec even = (r[1] + r[2]) * half, odd = (r[1] - r[2]) * half;
    g[3 * y] = r[0] + even, g[3 * y + 1] = odd, g[3 * y + 2] = even + r[3];
  }
}

#endif
