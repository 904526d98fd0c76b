/* Floor 2: the highest tile of SSE2, where each instruction overwrites a factor and no load fills
 * all lanes with one number. Instead of a number of a for each row, b's vectors meet as many
 * numbers of a as there are lanes, turned by none, one, two and three of them: no shuffle and no
 * copy for a product. A panel of a has its numbers twice over, so that a load can begin anywhere
 * among them. */
#ifndef LATENT_SIMD_GEMM_TURN_H
#define LATENT_SIMD_GEMM_TURN_H

#include "simd/gemm_tile.h"

#if VEC_BYTES == 16
/* The sums of LANES rows by a vector of columns, `step` apart: in the one that is turned by i, lane
 * l belongs to row l + i. Brought into their rows by one bit of the lane's number after the other.
 */
VEC_INLINE void turn_back(Vec *sum, const int step) {
  Vec from[LANES];
#if VEC_REAL == 4
  VEC_UNROLL for (int i = 0; i < LANES; i++) from[i] =
      __builtin_shufflevector(sum[i * step], sum[(i + 2) % LANES * step], 0, 1, 6, 7);
  VEC_UNROLL for (int i = 0; i < LANES; i++) {
    Vec both = __builtin_shufflevector(from[i], from[(i + 3) % LANES], 0, 2, 5, 7);
    sum[i * step] = __builtin_shufflevector(both, both, 0, 2, 1, 3);
  }
#else
  VEC_UNROLL for (int i = 0; i < LANES; i++) from[i] = sum[i * step];
  VEC_UNROLL for (int i = 0; i < LANES; i++) sum[i * step] =
      __builtin_shufflevector(from[i], from[(i + 1) % LANES], 0, 3);
#endif
}

/* A product of each sum. Of b's row the last vector stays in a register and the others are read for
 * each row of a, but for the one before the last, whose register serves the first and the last: a
 * load less, for a copy. Returns b, whose loads the compiler then does not join. */
VEC_INLINE const real *turn_add(Vec *sum, const real *a, const real *b, real *copy, const int vecs,
                                const Form form) {
  Vec row[TILE_VECS];
  VEC_UNROLL for (int v = 0; v < vecs; v++) row[v] = vec_load(b + v * LANES);
  if (form == COPY) VEC_UNROLL for (int v = 0; v < vecs; v++) vec_store(copy + v * LANES, row[v]);
  VEC_UNROLL for (int r = 0; r < TILE_ROWS; r++) {
    Vec x = vec_load(a + r / LANES * 2 * LANES + r % LANES);
    const bool copying = form == COPY && r == 0, outer = r == 0 || r == TILE_ROWS - 1;
    if (!copying) b = vec_again(b);
    VEC_UNROLL for (int v = 0; v < vecs; v++) {
      const bool held = v == vecs - 1 || copying || (v == vecs - 2 && outer);
      sum[r * vecs + v] += x * (held ? row[v] : vec_load(b + v * LANES));
    }
  }
  return b;
}

/* The panel of a: (depth, TILE_ROWS / LANES, 2 LANES). Beside a packed panel of b nothing is
 * fetched, which would take places among the loads; rows of b that lie apart no machine finds in
 * time. */
VEC_INLINE void turn_multiply(const Tile *t, const int vecs, const bool packed, const Form form) {
  Vec sum[TILE_SUMS];
  const real *a = t->a, *b = t->b;
  VEC_UNROLL for (int i = 0; i < TILE_ROWS * vecs; i++) sum[i] = vec_zero();
  tile_fetch(t, TILE_ROWS, vecs);
  if (packed)
    VEC_EIGHT_ROUNDS for (int64_t p = 0; p < t->depth; p++, a += TURN_STEP) b =
        turn_add(sum, a, b, NULL, vecs, form) + TILE_COLUMNS;
  else VEC_TWO_ROUNDS for (int64_t p = 0; p < t->depth; p++, a += TURN_STEP) {
      if (vecs == TILE_VECS) __builtin_prefetch(t->next + p * t->next_step);
      real *copy = form == COPY ? t->copy + p * TILE_COLUMNS : NULL;
      b = turn_add(sum, a, b, copy, vecs, form) + t->b_step;
    }
  VEC_UNROLL for (int r = 0; r < TILE_ROWS; r += LANES) VEC_UNROLL for (int v = 0; v < vecs; v++)
      turn_back(sum + r * vecs + v, vecs);
  tile_end(t, sum, TILE_ROWS, vecs);
}

VEC_INLINE void turn_columns(const Tile *t, const bool packed, const Form form) {
  if (t->columns <= LANES) turn_multiply(t, 1, packed, form);
  else if (t->columns <= 2 * LANES) turn_multiply(t, 2, packed, form);
  else turn_multiply(t, TILE_VECS, packed, form);
}
static __attribute__((noinline, unused)) void turning(const Tile *t) {
  if (t->b_step == TILE_COLUMNS) turn_columns(t, true, PLAIN);
  else turn_columns(t, false, PLAIN);
}
static __attribute__((noinline, unused)) void turning_copying(const Tile *t) {
  turn_columns(t, false, COPY);
}

#endif

/* The tile for a packed panel. */
static inline TileFunction *panel_tile(int64_t rows, bool copies) {
#if VEC_BYTES == 16
  if (TILE_TURNS && rows == TILE_ROWS) return copies ? turning_copying : turning;
#endif
  return copies ? tiles_copying[rows] : tiles[rows];
}

#endif
