/* Floor 2: the inner loop of matrix products: a tile of sums in registers. Knows packed panels and
 * strides; nothing of how a product is cut, or of threads.
 *
 * Every sum is made in the order of its products, in blocks of TILE_DEPTH, whatever the tile: a row
 * of a product has the same bits alone and among others. */
#ifndef LATENT_SIMD_GEMM_TILE_H
#define LATENT_SIMD_GEMM_TILE_H

#include "simd/vec.h"

/* As many sums as the registers hold beside a row of b and one number of a: enough to hide the
 * latency of the adders, and as near to a square as that allows. */
#if VEC_BYTES == 64
enum { TILE_ROWS = 12, TILE_VECS = 2, WIDE_ROWS = 4 };
#elif defined __aarch64__
enum { TILE_ROWS = 8, TILE_VECS = 3, WIDE_ROWS = 4 };
#else
enum { TILE_ROWS = 6, TILE_VECS = 2, WIDE_ROWS = 2 };
#endif
/* WIDE_VECS: of a tile with few rows, which reads b as it lies and wants long pieces of its rows;
 * LONG_VECS: of one with a single row, for which b is only read once. */
enum { TILE_COLUMNS = TILE_VECS * LANES, WIDE_VECS = 6, WIDE_COLUMNS = WIDE_VECS * LANES };
enum { LONG_VECS = VEC_BYTES == 64 ? 16 : 12, LONG_COLUMNS = LONG_VECS * LANES };
/* A panel of a and one of b fit into the first cache. The odd stride of a's rows keeps them from
 * falling upon one another there. */
enum { TILE_DEPTH = 256, TILE_STRIDE = TILE_DEPTH + 64 / (int)sizeof(real) };
enum { PANEL_A = TILE_ROWS * TILE_STRIDE, PANEL_B = TILE_DEPTH * TILE_COLUMNS };

typedef struct Tile {
  int64_t depth;  /* products of each sum: TILE_DEPTH at most */
  const real *a;  /* a panel: (rows, TILE_STRIDE), or (depth, a_step) where `by_depth` */
  int64_t a_step; /* of panels: TILE_ROWS */
  const real *b;  /* (depth, columns), a row every `b_step` */
  int64_t b_step;
  const real *next; /* what will be read soon: a line of it is fetched with each row of b */
  real *c;
  int64_t c_row, c_column; /* the strides of the results */
  int rows, columns;       /* how many of them there are */
  bool by_depth;
  bool add; /* to what is there: not the first block of depth */
  /* Otherwise to these, one for each column, or for each row where `bias_rows`; NULL: to nothing.
   */
  const real *bias;
  bool bias_rows;
} Tile;

/* Sums in rows of `width`, of which the last vector is no whole one: for AVX-512, which stores part
 * of a vector as fast as all of it. */
static __attribute__((noinline, unused)) void tile_finish_part(const Tile *t, const real *sums,
                                                               int rows, int width) {
  const real *start = t->add ? t->c : t->bias; /* NULL: the sums alone */
  int64_t step = t->add ? t->c_row : 0;
  int left = t->columns % LANES, whole = t->columns - left;
  for (int i = 0; i < rows; i++, sums += width) {
    const real *from = start ? start + i * step : NULL;
    real *c = t->c + i * t->c_row;
    for (int j = 0; j < whole; j += LANES)
      vec_store(c + j, from ? vec_load(sums + j) + vec_load(from + j) : vec_load(sums + j));
    if (left == 0) continue;
    Vec last = vec_load(sums + whole);
    vec_store_part(c + whole, from ? last + vec_load_part(from + whole, left) : last, left);
  }
}

/* ... and results that lie apart, or a number for each row. */
static __attribute__((noinline)) void tile_finish(const Tile *t, const real *sums, int rows,
                                                  int width) {
  for (int i = 0; i < rows; i++, sums += width) {
    real *c = t->c + i * t->c_row;
    for (int j = 0; j < t->columns; j++) {
      real *to = c + j * t->c_column;
      real start = t->add ? *to : t->bias ? t->bias[t->bias_rows ? i : j] : 0;
      *to = sums[j] + start;
    }
  }
}

VEC_INLINE void tile_multiply(const Tile *t, const int rows, const int vecs, const int a_row,
                              const int64_t a_step) {
  enum {
    MOST = TILE_ROWS * TILE_VECS > WIDE_ROWS * WIDE_VECS ? TILE_ROWS * TILE_VECS
                                                         : WIDE_ROWS * WIDE_VECS
  };
  Vec sum[MOST];
  const real *a = t->a, *b = t->b;
  VEC_UNROLL for (int i = 0; i < rows * vecs; i++) sum[i] = vec_zero();
  if (t->c_column == 1) /* the results are wanted when the sums are made */
    VEC_UNROLL for (int r = 0; r < rows; r++) VEC_UNROLL for (int v = 0; v < vecs; v++)
        __builtin_prefetch(t->c + r * t->c_row + v * LANES, 1);
  VEC_TWO_ROUNDS for (int64_t p = 0; p < t->depth; p++, a += a_step, b += t->b_step) {
    Vec row[LONG_VECS];
    __builtin_prefetch(t->next + p * (64 / (int)sizeof(real)), 0, 2);
    VEC_UNROLL for (int v = 0; v < vecs; v++) row[v] = vec_load(b + v * LANES);
    VEC_UNROLL for (int r = 0; r < rows; r++) {
      Vec x = vec_fill(a[r * a_row]);
      VEC_UNROLL for (int v = 0; v < vecs; v++) sum[r * vecs + v] += x * row[v];
    }
  }
  bool biased = t->bias && !t->add;
  bool dense = t->c_column == 1 && !(biased && t->bias_rows);
  bool plain = dense && t->columns == vecs * LANES;
  real apart[MOST * LANES] __attribute__((aligned(VEC_BYTES)));
  VEC_UNROLL for (int r = 0; r < rows; r++) VEC_UNROLL for (int v = 0; v < vecs; v++) {
    real *to = plain ? t->c + r * t->c_row + v * LANES : &apart[(r * vecs + v) * LANES];
    if (plain && t->add) sum[r * vecs + v] += vec_load(to);
    else if (plain && biased) sum[r * vecs + v] += vec_load(t->bias + v * LANES);
    vec_store(to, sum[r * vecs + v]);
  }
  if (plain) return;
  if (dense && VEC_BYTES == 64) tile_finish_part(t, apart, rows, vecs * LANES);
  else tile_finish(t, apart, rows, vecs * LANES);
}

typedef void TileFunction(const Tile *t);

/* A tile of every height: with the rows of a one after the other and side by side, full and half
 * as wide. */
#define TILE_OF(ROWS)                                                                              \
  static __attribute__((noinline)) void tile_##ROWS(const Tile *t) {                               \
    if (t->columns <= LANES) {                                                                     \
      if (t->by_depth) tile_multiply(t, ROWS, 1, 1, t->a_step);                                    \
      else tile_multiply(t, ROWS, 1, TILE_STRIDE, 1);                                              \
    } else if (t->by_depth) tile_multiply(t, ROWS, TILE_VECS, 1, t->a_step);                       \
    else tile_multiply(t, ROWS, TILE_VECS, TILE_STRIDE, 1);                                        \
  }
#define WIDE_OF(NAME, ROWS, VECS)                                                                  \
  static __attribute__((noinline, unused)) void NAME(const Tile *t) {                              \
    if (t->by_depth) tile_multiply(t, ROWS, VECS, 1, t->a_step);                                   \
    else tile_multiply(t, ROWS, VECS, TILE_STRIDE, 1);                                             \
  }
TILE_OF(1)
TILE_OF(2)
TILE_OF(3)
TILE_OF(4)
TILE_OF(5)
TILE_OF(6)
WIDE_OF(long_1, 1, LONG_VECS)
WIDE_OF(wide_1, 1, WIDE_VECS)
WIDE_OF(wide_2, 2, WIDE_VECS)
#if VEC_BYTES == 64 || defined __aarch64__
TILE_OF(7)
TILE_OF(8)
WIDE_OF(wide_3, 3, WIDE_VECS)
WIDE_OF(wide_4, 4, WIDE_VECS)
#endif
#if VEC_BYTES == 64
TILE_OF(9)
TILE_OF(10)
TILE_OF(11)
TILE_OF(12)
#endif

static TileFunction *const tiles[TILE_ROWS + 1] = {
    NULL,   tile_1,  tile_2,  tile_3,  tile_4, tile_5, tile_6,
#if VEC_BYTES == 64 || defined __aarch64__
    tile_7, tile_8,
#endif
#if VEC_BYTES == 64
    tile_9, tile_10, tile_11, tile_12,
#endif
};
static TileFunction *const wide_tiles[WIDE_ROWS + 1] __attribute__((unused)) = {
    NULL,   wide_1, wide_2,
#if VEC_BYTES == 64 || defined __aarch64__
    wide_3, wide_4,
#endif
};

#endif
