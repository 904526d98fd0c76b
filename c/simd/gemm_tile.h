/* Floor 2: the inner loop of matrix products: a tile of sums in registers. Knows packed panels and
 * strides; nothing of how a product is cut, or of threads.
 *
 * Every sum is made in the order of its products, in blocks of TILE_DEPTH, whatever the tile: a row
 * of a product has the same bits alone and among others. */
#ifndef LATENT_SIMD_GEMM_TILE_H
#define LATENT_SIMD_GEMM_TILE_H

#include "simd/vec.h"

/* As many sums as the registers hold beside a row of b and one number of a: enough to hide the
 * latency of the adders, and as near to a square as that allows. TILE_TURNS: the highest tiles are
 * those of gemm_turn.h. TILE_HEIGHTS: X for each height. */
#if VEC_BYTES == 64
enum { TILE_ROWS = 12, TILE_VECS = 2, WIDE_ROWS = 4, TILE_TURNS = false };
#define TILE_HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#elif defined __aarch64__
enum { TILE_ROWS = 8, TILE_VECS = 3, WIDE_ROWS = 4, TILE_TURNS = false };
#define TILE_HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#elif VEC_BYTES == 16 && defined __x86_64__
enum { TILE_ROWS = 4, TILE_VECS = 3, WIDE_ROWS = 2, TILE_TURNS = true };
#define TILE_HEIGHTS(X) X(1) X(2) X(3) X(4)
#else
enum { TILE_ROWS = 6, TILE_VECS = 2, WIDE_ROWS = 2, TILE_TURNS = false };
#define TILE_HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif
/* WIDE_VECS: of a tile with few rows, which reads b as it lies and wants long pieces of its rows;
 * LONG_COLUMNS: the most of one with a single row, from LONG_LEAST columns on. */
enum { TILE_COLUMNS = TILE_VECS * LANES, WIDE_VECS = 6, WIDE_COLUMNS = WIDE_VECS * LANES };
enum { TILE_FULL = TILE_ROWS * TILE_VECS, WIDE_FULL = WIDE_ROWS * WIDE_VECS };
enum { TILE_SUMS = TILE_FULL > WIDE_FULL ? TILE_FULL : WIDE_FULL };
enum { LONG_COLUMNS = 1024 / (int)sizeof(real), LONG_VECS = LONG_COLUMNS / LANES };
enum { LONG_LEAST = VEC_BYTES == 64 ? LONG_COLUMNS : LONG_COLUMNS / 2 };
/* A panel of a and one of b fit into the first cache. The odd stride of a's rows keeps them from
 * falling upon one another there. */
enum { TILE_DEPTH = 256, TILE_STRIDE = TILE_DEPTH + 64 / (int)sizeof(real) };
enum { TILE_LINE = 64 / (int)sizeof(real) }; /* numbers in a line of the caches */
enum { TURN_STEP = 2 * TILE_ROWS };          /* of a panel of a for turning tiles */
enum {
  PANEL_A = TILE_TURNS ? TURN_STEP * TILE_DEPTH : TILE_ROWS * TILE_STRIDE,
  PANEL_B = TILE_DEPTH * TILE_COLUMNS
};

typedef struct Tile {
  int64_t depth;  /* products of each sum: TILE_DEPTH at most */
  const real *a;  /* a panel: (rows, TILE_STRIDE), or (depth, a_step) where `by_depth`; */
  int64_t a_row;  /* for tiles_lying what lies with this stride ... */
  int64_t a_step; /* ... and this one; of panels: TILE_ROWS */
  const real *b;  /* (depth, columns), a row every `b_step` */
  int64_t b_step;
  real *copy;        /* of b, (depth, TILE_COLUMNS), for tiles_copying to make on their way */
  const real *next;  /* what will be read soon: a line of it is fetched with each row of b, */
  int64_t next_step; /* so far apart */
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

/* What a tile does with b beside multiplying: it reads part of each row's last vector, or leaves a
 * copy. */
typedef enum Form { PLAIN, PART, COPY } Form;

/* Whether part of a vector is read and written as fast as all of it. */
#if VEC_BYTES == 64 && !defined LATENT_DOUBLE
enum { PARTS_LOAD = true, PARTS_STORE = true };
#else
enum { PARTS_LOAD = VEC_BYTES == 32 && VEC_REAL == 4, PARTS_STORE = false };
#endif

/* What a number of c is added to. */
static inline real tile_start(const Tile *t, int row, int column) {
  if (t->add) return t->c[row * t->c_row + column * t->c_column];
  return t->bias ? t->bias[t->bias_rows ? row : column] : 0;
}

/* Sums in rows of `width` that are written one by one, but for whole vectors of them. */
static __attribute__((noinline)) void tile_finish(const Tile *t, const real *sums, int rows,
                                                  int width) {
  bool dense = t->c_column == 1 && (t->add || !t->bias || !t->bias_rows);
  for (int i = 0; i < rows; i++) {
    real *to = t->c + i * t->c_row;
    int j = 0;
    for (; dense && j + LANES <= t->columns; j += LANES) {
      const real *start = t->add ? to : t->bias;
      Vec v = vec_load(sums + i * width + j);
      vec_store(to + j, start ? v + vec_load(start + j) : v);
    }
    for (; j < t->columns; j++) to[j * t->c_column] = sums[i * width + j] + tile_start(t, i, j);
  }
}

/* ... whose columns lie dense: turned over, vectors are written. */
static __attribute__((noinline)) void tile_finish_over(const Tile *t, const real *sums, int rows,
                                                       int width) {
  for (int top = 0; top < rows; top += LANES)
    for (int left = 0; left < t->columns; left += LANES) {
      int high = rows - top < LANES ? rows - top : LANES;
      int wide = t->columns - left < LANES ? t->columns - left : LANES;
      bool bias = t->bias && !t->add, whole = high == LANES;
      Vec v[LANES];
      VEC_UNROLL for (int i = 0; i < LANES; i++) v[i] =
          i < high ? vec_load(sums + (top + i) * width + left) : vec_zero();
      vec_transpose(v);
      Vec start = bias ? vec_load_part(t->bias + top, high) : vec_zero();
      real *to = t->c + top + left * t->c_column;
      VEC_UNROLL for (int j = 0; j < LANES; j++) {
        if (j < wide) {
          if (t->add) start = whole ? vec_load(to) : vec_load_part(to, high);
          if (whole) vec_store(to, v[j] + start);
          else vec_store_part(to, v[j] + start, high);
          to += t->c_column;
        }
      }
    }
}

/* Sums whose rows lie dense in c; of the last vector in each, `last` numbers. */
VEC_INLINE void tile_write(const Tile *t, Vec *sum, const int rows, const int vecs, int last) {
  if (t->add || t->bias) {
    const real *start = t->add ? t->c : t->bias;
    int64_t step = t->add ? t->c_row : 0;
    VEC_UNROLL for (int r = 0; r < rows; r++) VEC_UNROLL for (int v = 0; v < vecs; v++) {
      const real *from = start + r * step + v * LANES;
      sum[r * vecs + v] +=
          PARTS_STORE && v == vecs - 1 ? vec_load_part(from, last) : vec_load(from);
    }
  }
  real *c = t->c; /* read once: to the compiler each store below might change what t says */
  int64_t c_row = t->c_row;
  VEC_UNROLL for (int r = 0; r < rows; r++) VEC_UNROLL for (int v = 0; v < vecs; v++) {
    real *to = c + r * c_row + v * LANES;
    if (PARTS_STORE && v == vecs - 1) vec_store_part(to, sum[r * vecs + v], last);
    else vec_store(to, sum[r * vecs + v]);
  }
}

/* The sums go to c. */
VEC_INLINE void tile_end(const Tile *t, Vec *sum, const int rows, const int vecs) {
  int last = t->columns - (vecs - 1) * LANES; /* columns in the last vector */
  bool dense = t->c_column == 1 && !(t->bias && t->bias_rows && !t->add);
  if (dense && (PARTS_STORE || last == LANES)) {
    tile_write(t, sum, rows, vecs, last);
    return;
  }
  real apart[TILE_SUMS * LANES] __attribute__((aligned(VEC_BYTES)));
  VEC_UNROLL for (int i = 0; i < rows * vecs; i++) vec_store(apart + i * LANES, sum[i]);
  (t->c_row == 1 && (t->bias_rows || !t->bias) ? tile_finish_over : tile_finish)(t, apart, rows,
                                                                                 vecs * LANES);
}

/* The results are wanted when the sums are made. */
VEC_INLINE void tile_fetch(const Tile *t, const int rows, const int vecs) {
  if (t->c_column == 1)
    VEC_UNROLL for (int r = 0; r < rows; r++) VEC_UNROLL for (int v = 0; v < vecs; v++) {
      if (v * LANES % TILE_LINE == 0 || v == vecs - 1)
        __builtin_prefetch(t->c + r * t->c_row + v * LANES, 1);
    }
}

VEC_INLINE void tile_multiply(const Tile *t, const int rows, const int vecs, const int64_t a_row,
                              const int64_t a_step, const Form form) {
  Vec sum[TILE_SUMS];
  const real *a = t->a, *b = t->b, *next = t->next;
  int last = t->columns - (vecs - 1) * LANES;
  /* The registers hold the last vector of b's row alone: the others are read for each row of a. */
  const bool crowded = TILE_TURNS && rows * vecs + vecs + 2 > 16;
  VEC_UNROLL for (int i = 0; i < rows * vecs; i++) sum[i] = vec_zero();
  tile_fetch(t, rows, vecs);
  VEC_TWO_ROUNDS for (int64_t p = 0; p < t->depth; p++, a += a_step, b += t->b_step) {
    Vec row[TILE_SUMS];
    __builtin_prefetch(next + p * t->next_step, 0, 2);
    VEC_UNROLL for (int v = 0; v < vecs; v++) row[v] = form == PART && v == vecs - 1
                                                           ? vec_load_part(b + v * LANES, last)
                                                           : vec_load(b + v * LANES);
    if (form == COPY)
      VEC_UNROLL for (int v = 0; v < vecs; v++)
          vec_store(t->copy + p * TILE_COLUMNS + v * LANES, row[v]);
    VEC_UNROLL for (int r = 0; r < rows; r++) {
      Vec x = vec_fill(a[r * a_row]);
      if (crowded) b = vec_again(b);
      VEC_UNROLL for (int v = 0; v < vecs; v++) sum[r * vecs + v] +=
          x * (crowded && v < vecs - 1 ? vec_load(b + v * LANES) : row[v]);
    }
  }
  tile_end(t, sum, rows, vecs);
}

typedef void TileFunction(const Tile *t);

#if VEC_BYTES < 64
/* Eight products of each sum of a single row, or one. */
VEC_INLINE void long_add(const Tile *t, int64_t p, const int rounds, real *sums) {
  int64_t a_step = t->by_depth ? t->a_step : 1;
  Vec x[8];
  VEC_UNROLL for (int i = 0; i < rounds; i++) x[i] = vec_fill(t->a[(p + i) * a_step]);
  const real *b = t->b + p * t->b_step;
  for (int j = 0; j < t->columns; j += LANES) {
    Vec sum = p > 0 ? vec_load(sums + j) : vec_zero();
    VEC_UNROLL for (int i = 0; i < rounds; i++) sum += x[i] * vec_load(b + i * t->b_step + j);
    vec_store(sums + j, sum);
  }
}

/* A single row, for which b is only read once: eight of b's rows along their length, as the machine
 * fetches ahead by itself. */
static __attribute__((noinline, unused)) void long_1(const Tile *t) {
  real sums[LONG_COLUMNS] __attribute__((aligned(VEC_BYTES)));
  int64_t p = 0;
  for (; p + 8 <= t->depth; p += 8) long_add(t, p, 8, sums);
  for (; p < t->depth; p++) long_add(t, p, 1, sums);
  if (t->c_column != 1 || (t->bias && t->bias_rows)) {
    tile_finish(t, sums, 1, LONG_COLUMNS);
    return;
  }
  const real *start = t->add ? t->c : t->bias;
  for (int j = 0; j < t->columns; j += LANES) {
    Vec sum = vec_load(sums + j);
    vec_store(t->c + j, start ? sum + vec_load(start + j) : sum);
  }
}
static inline int64_t long_columns(int64_t n) {
  int64_t pieces = (n + LONG_COLUMNS - 1) / LONG_COLUMNS;
  return n / pieces / LANES * LANES;
}
#endif

/* As wide as the columns need. */
VEC_INLINE void tile_columns(const Tile *t, const int rows, const int64_t a_row,
                             const int64_t a_step, const Form form) {
  if (t->columns <= LANES) tile_multiply(t, rows, 1, a_row, a_step, form);
  else if (TILE_VECS > 2 && t->columns <= 2 * LANES) tile_multiply(t, rows, 2, a_row, a_step, form);
  else tile_multiply(t, rows, TILE_VECS, a_row, a_step, form);
}

/* With the rows of a one after the other or side by side. */
VEC_INLINE void tile_panel(const Tile *t, const int rows, const Form form) {
  if (t->by_depth) tile_columns(t, rows, 1, t->a_step, form);
  else tile_columns(t, rows, TILE_STRIDE, 1, form);
}

/* A tile of every height: of panels, and with a and b where they lie. */
#define TILE_OF(ROWS)                                                                              \
  static __attribute__((noinline, unused)) void tile_##ROWS(const Tile *t) {                       \
    tile_panel(t, ROWS, PLAIN);                                                                    \
  }                                                                                                \
  static __attribute__((noinline, unused)) void copying_##ROWS(const Tile *t) {                    \
    tile_panel(t, ROWS, COPY);                                                                     \
  }                                                                                                \
  static __attribute__((noinline, unused)) void lying_##ROWS(const Tile *t) {                      \
    tile_columns(t, ROWS, t->a_row, t->a_step, PARTS_LOAD ? PART : PLAIN);                         \
  }
#define WIDE_OF(NAME, ROWS, VECS)                                                                  \
  static __attribute__((noinline, unused)) void NAME(const Tile *t) {                              \
    if (t->by_depth) tile_multiply(t, ROWS, VECS, 1, t->a_step, PLAIN);                            \
    else tile_multiply(t, ROWS, VECS, TILE_STRIDE, 1, PLAIN);                                      \
  }
TILE_HEIGHTS(TILE_OF)
#if VEC_BYTES == 64 /* so many registers that they hold the row */
WIDE_OF(long_1, 1, LONG_VECS)
static inline int64_t long_columns(int64_t n) { return (void)n, LONG_COLUMNS; }
#endif
WIDE_OF(wide_1, 1, WIDE_VECS)
WIDE_OF(wide_2, 2, WIDE_VECS)
#if VEC_BYTES == 64 || defined __aarch64__
WIDE_OF(wide_3, 3, WIDE_VECS)
WIDE_OF(wide_4, 4, WIDE_VECS)
#endif

#define TILE_AT(ROWS) [ROWS] = tile_##ROWS,
#define COPYING_AT(ROWS) [ROWS] = copying_##ROWS,
#define LYING_AT(ROWS) [ROWS] = lying_##ROWS,
static TileFunction *const tiles[] __attribute__((unused)) = {TILE_HEIGHTS(TILE_AT)};
static TileFunction *const tiles_copying[] __attribute__((unused)) = {TILE_HEIGHTS(COPYING_AT)};
static TileFunction *const tiles_lying[] __attribute__((unused)) = {TILE_HEIGHTS(LYING_AT)};
static TileFunction *const wide_tiles[WIDE_ROWS + 1] __attribute__((unused)) = {
    NULL,   wide_1, wide_2,
#if VEC_BYTES == 64 || defined __aarch64__
    wide_3, wide_4,
#endif
};

#endif
