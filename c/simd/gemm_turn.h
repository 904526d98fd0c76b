/* Floor 2: the highest tile of SSE2, where each instruction overwrites a factor and no load fills
 * all lanes with one number. Instead of a number of a for each row, b's vectors meet as many
 * numbers of a as there are lanes, turned by none, one, two and three of them: no shuffle and no
 * copy for a product. A panel of a has its numbers twice over, so that a load can begin anywhere
 * among them. */
#ifndef LATENT_SIMD_GEMM_TURN_H
#define LATENT_SIMD_GEMM_TURN_H

#include "simd/gemm_tile.h"

/* The sums of LANES rows by a vector of columns, `step` apart: in the one that is turned by i, lane
 * l belongs to row l + i. Brought into their rows by one bit of the lane's number after the other.
 */
VEC_INLINE void turn_back(Vec *sum, const int step) {
  VEC_UNROLL for (int bit = 1; bit < LANES; bit *= 2) {
    Vec from[LANES];
    VecMask set = (vec_lane_numbers() & bit) != 0;
    VEC_UNROLL for (int i = 0; i < LANES; i++) from[i] = sum[i * step];
    VEC_UNROLL for (int i = 0; i < LANES; i++) sum[i * step] =
        vec_select(set, from[(i + LANES - bit) % LANES], from[i]);
  }
}

/* The panel of a: (depth, TILE_ROWS / LANES, 2 LANES). b's last vector stays in a register, the
 * others are read for each product. */
VEC_INLINE void turn_multiply(const Tile *t, const int vecs, const int64_t b_step,
                              const Form form) {
  Vec sum[TILE_SUMS];
  const real *a = t->a, *b = t->b, *next = t->next;
  VEC_UNROLL for (int i = 0; i < TILE_ROWS * vecs; i++) sum[i] = vec_zero();
  tile_fetch(t, TILE_ROWS, vecs);
  VEC_TWO_ROUNDS for (int64_t p = 0; p < t->depth; p++, a += TURN_STEP, b += b_step) {
    Vec row[TILE_VECS];
    __builtin_prefetch(next + p * t->next_step);
    VEC_UNROLL for (int v = 0; v < vecs; v++) row[v] = vec_load(b + v * LANES);
    if (form == COPY)
      VEC_UNROLL for (int v = 0; v < vecs; v++)
          vec_store(t->copy + p * TILE_COLUMNS + v * LANES, row[v]);
    VEC_UNROLL for (int r = 0; r < TILE_ROWS; r++) {
      Vec x = vec_load(a + r / LANES * 2 * LANES + r % LANES);
      const bool again = form != COPY || r > 0;
      if (again) b = vec_again(b);
      VEC_UNROLL for (int v = 0; v < vecs; v++) sum[r * vecs + v] +=
          x * (again && v < vecs - 1 ? vec_load(b + v * LANES) : row[v]);
    }
  }
  VEC_UNROLL for (int r = 0; r < TILE_ROWS; r += LANES) VEC_UNROLL for (int v = 0; v < vecs; v++)
      turn_back(sum + r * vecs + v, vecs);
  tile_end(t, sum, TILE_ROWS, vecs);
}

#define TURN_OF(NAME, FORM)                                                                        \
  static __attribute__((noinline, unused)) void NAME(const Tile *t) {                              \
    if (t->columns <= LANES) turn_multiply(t, 1, t->b_step, FORM);                                 \
    else if (t->columns <= 2 * LANES) turn_multiply(t, 2, t->b_step, FORM);                        \
    else if (FORM == PLAIN && t->b_step == TILE_COLUMNS)                                           \
      turn_multiply(t, TILE_VECS, TILE_COLUMNS, FORM);                                             \
    else turn_multiply(t, TILE_VECS, t->b_step, FORM);                                             \
  }
TURN_OF(turning, PLAIN)
TURN_OF(turning_copying, COPY)

/* The tile for a packed panel. */
static inline TileFunction *panel_tile(int64_t rows, bool copies) {
  if (TILE_TURNS && rows == TILE_ROWS) return copies ? turning_copying : turning;
  return copies ? tiles_copying[rows] : tiles[rows];
}

#endif
