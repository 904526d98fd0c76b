/* Floor 2: the factors of a matrix product laid out as its tiles read them. Knows strides, no
 * threads. */
#ifndef LATENT_SIMD_GEMM_PACK_H
#define LATENT_SIMD_GEMM_PACK_H

#include "simd/gemm_turn.h"

/* Part of a factor: element (i, p) lies at from[i * row + p * column]; one of the strides is 1. */
typedef struct Part {
  const real *from;
  int64_t row, column;
} Part;

/* LANES columns, of which `columns` exist and are dense, turned into rows `step` apart. */
VEC_INLINE void pack_lanes(const real *from, int64_t column, int64_t depth, const int columns,
                           const int step, real *to) {
  int64_t p = 0;
  for (; p + LANES <= depth; p += LANES, from += LANES, to += LANES * step) {
    Vec v[LANES];
    VEC_UNROLL for (int i = 0; i < LANES; i++) v[i] =
        i < columns ? vec_load(from + i * column) : vec_zero();
    vec_transpose(v);
    VEC_UNROLL for (int i = 0; i < LANES; i++) vec_store(to + i * step, v[i]);
  }
  if (p == depth) return;
  int left = (int)(depth - p);
  if (PARTS_LOAD) {
    Vec v[LANES];
    VEC_UNROLL for (int i = 0; i < LANES; i++) v[i] =
        i < columns ? vec_load_part(from + i * column, left) : vec_zero();
    vec_transpose(v);
    VEC_UNROLL for (int i = 0; i < LANES; i++) if (i < left) vec_store(to + i * step, v[i]);
    return;
  }
  for (int j = 0; j < left; j++, to += step)
    for (int i = 0; i < LANES; i++) to[i] = i < columns ? from[i * column + j] : 0;
}

/* A panel of a for turning tiles: by depth, each row's LANES numbers twice. */
VEC_INLINE void pack_turning(const Part *a, int64_t depth, bool by_depth, real *to) {
  if (!by_depth)
    VEC_UNROLL for (int r = 0; r < TILE_ROWS; r += LANES)
        pack_lanes(a->from + r * a->row, a->row, depth, LANES, TURN_STEP, to + 2 * r);
  for (int64_t p = 0; p < depth; p++, to += TURN_STEP)
    VEC_UNROLL for (int r = 0; r < TILE_ROWS; r += LANES) {
      Vec v = vec_load(by_depth ? a->from + p * a->column + r : to + 2 * r);
      if (by_depth) vec_store(to + 2 * r, v);
      vec_store(to + 2 * r + LANES, v);
    }
}

/* A panel of a: `rows` rows of `depth` numbers, as they lie where they are dense, else with the
 * rows side by side. */
static inline void pack_a(const Part *a, int rows, int64_t depth, bool by_depth, real *to) {
  if (TILE_TURNS && rows == TILE_ROWS) {
    pack_turning(a, depth, by_depth, to);
    return;
  }
  if (!by_depth) {
    for (int r = 0; r < rows; r++)
      memcpy(to + r * TILE_STRIDE, a->from + r * a->row, (size_t)depth * sizeof *to);
    return;
  }
  /* Whole vectors, the last of which may begin within the one before it. */
  for (int64_t p = 0; p < depth; p++, to += TILE_ROWS) {
    const real *from = a->from + p * a->column;
    if (rows < LANES) vec_store_part(to, vec_load_part(from, rows), rows);
    else {
      VEC_UNROLL for (int first = 0; first < TILE_ROWS; first += LANES) {
        int at = first + LANES <= rows ? first : rows - LANES;
        vec_store(to + at, vec_load(from + at));
      }
    }
  }
}

static inline void pack_columns(const Part *b, int64_t depth, int columns, real *to) {
  for (int first = 0; first < TILE_COLUMNS; first += LANES) {
    const real *from = b->from + first * b->column;
    if (first + LANES <= columns)
      pack_lanes(from, b->column, depth, LANES, TILE_COLUMNS, to + first);
    else pack_lanes(from, b->column, depth, columns - first, TILE_COLUMNS, to + first);
  }
}

/* A panel of b: `depth` rows of TILE_COLUMNS numbers, zero behind the last column. */
static inline void pack_b(const Part *b, int64_t depth, int columns, real *to) {
  if (b->column != 1) {
    pack_columns(b, depth, columns, to);
    return;
  }
  for (int64_t p = 0; p < depth; p++, to += TILE_COLUMNS) {
    const real *row = b->from + p * b->row;
    VEC_UNROLL for (int v = 0; v < TILE_VECS; v++) {
      int left = columns - v * LANES;
      if (left >= LANES) vec_store(to + v * LANES, vec_load(row + v * LANES));
      else vec_store(to + v * LANES, left > 0 ? vec_load_part(row + v * LANES, left) : vec_zero());
    }
  }
}

#endif
