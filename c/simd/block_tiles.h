/* Floor 2: the inner loops of fused blocks. A tile is a few output pixels of one vector of
 * channels, held in registers while the source passes by: each source value is loaded once and
 * meets all the taps that join it to pixels of the tile. How taps join pixels is known when a tile
 * is compiled, so all loops but the one over channels disappear; a single channel, whose
 * pixels lie side by side, is known too. Knows nothing of tensors, threads
 * or edges: the source has its zeros around it, and tiles may run over the end of rows. */
#ifndef LATENT_SIMD_BLOCK_TILES_H
#define LATENT_SIMD_BLOCK_TILES_H

#include "simd/block_geometry.h"
#include "simd/vec.h"

enum {
#if defined __AVX512F__ || defined __aarch64__
  TILE_SUMS = 16, /* accumulators of a tile: half of the registers */
#else
  TILE_SUMS = 8,
#endif
  TILE_IMAGES = 4 /* at most; small maps have too few pixels to hide the latency of additions */
};

typedef struct BlockTile {
  const real *source[TILE_IMAGES];
  real *out[TILE_IMAGES];
  int64_t row, pixel;         /* pitch of the source */
  int64_t out_row, out_pixel; /* pitch of the output */
  int64_t channels;           /* of the source */
  const real *weights;        /* (channels, taps, taps, LANES) */
  const real *bias;           /* (LANES) or NULL */
} BlockTile;

/* The tap between output i and source s of a tile, or one outside [0, taps).
 * Up: out[i] = sum of x[s] F[i - stride s + taps - 1]   down: out[i] = sum of x[s] F[s - stride i]
 */
VEC_INLINE int tile_tap(bool up, int stride, int taps, int i, int s) {
  return up ? i - stride * s + taps - 1 : s - stride * i;
}

VEC_INLINE int tile_reach(bool up, int stride, int taps, int outs) {
  return up ? (outs + taps - 2) / stride + 1 : stride * (outs - 1) + taps;
}

/* What row y of the source gives to a tile, one channel of it. */
VEC_INLINE void tile_row(const BlockTile *t, Vec sum[TILE_SUMS], int y, int64_t c, const real *w,
                         const bool up, const int stride, const int taps, const int images,
                         const int rows, const int columns, const bool single) {
  const int wide = tile_reach(up, stride, taps, columns);
  const int64_t pixel = single ? 1 : t->pixel;
  VEC_UNROLL for (int n = 0; n < images; n++) {
    const real *x = t->source[n] + y * t->row + c;
    VEC_UNROLL for (int s = 0; s < wide; s++) {
      Vec v = vec_fill(x[s * pixel]);
      VEC_UNROLL for (int i = 0; i < rows; i++) VEC_UNROLL for (int j = 0; j < columns; j++) {
        const int ty = tile_tap(up, stride, taps, i, y), tx = tile_tap(up, stride, taps, j, s);
        if (ty < 0 || ty >= taps || tx < 0 || tx >= taps) continue;
        sum[(n * rows + i) * columns + j] += v * vec_load(w + (ty * taps + tx) * LANES);
      }
    }
  }
}

/* The same for one column of taps: each source value meets only the pixels that are `k` before it.
 */
VEC_INLINE void tile_row_column(const BlockTile *t, Vec sum[TILE_SUMS], int y, int k, int64_t c,
                                const real *w, const int taps, const int images, const int rows,
                                const int columns) {
  VEC_UNROLL for (int n = 0; n < images; n++) {
    const real *x = t->source[n] + y * t->row + k * t->pixel + c;
    VEC_UNROLL for (int j = 0; j < columns; j++) {
      Vec v = vec_fill(x[j * t->pixel]);
      VEC_UNROLL for (int i = 0; i < rows; i++) {
        const int ty = tile_tap(true, 1, taps, i, y), tx = taps - 1 - k;
        if (ty < 0 || ty >= taps) continue;
        sum[(n * rows + i) * columns + j] += v * vec_load(w + (ty * taps + tx) * LANES);
      }
    }
  }
}

VEC_INLINE void block_tile(const BlockTile *t, const bool up, const int stride, const int taps,
                           const int images, const int rows, const int columns, const bool single) {
  const int high = tile_reach(up, stride, taps, rows), step = taps * taps * LANES;
  const int64_t channels = single ? 1 : t->channels;
  Vec sum[TILE_SUMS], bias = t->bias ? vec_load(t->bias) : vec_zero();
  VEC_UNROLL for (int i = 0; i < images * rows * columns; i++) sum[i] = vec_zero();
  if (up && stride == 1 && !single)
    /* Where a pool follows, the last bit decides which of two nearly equal places wins. The terms
     * are therefore added in the order of the plain op, which is also PyTorch's: taps by row, then
     * by column, then channels, and the bias at the end. */
    VEC_UNROLL for (int y = 0; y < high; y++)
        VEC_UNROLL for (int k = 0; k < taps; k++) for (int64_t c = 0; c < channels; c++)
            tile_row_column(t, sum, y, k, c, t->weights + c * step, taps, images, rows, columns);
  else if (stride == 1 && !single)
    /* All rows of a channel at once, so that more sums do not wait for each other; where there are
     * no registers for the addresses, row by row. */
    for (int64_t c = 0; c < channels; c++)
      VEC_UNROLL for (int y = 0; y < high; y++) tile_row(
          t, sum, y, c, t->weights + c * step, up, stride, taps, images, rows, columns, single);
  else
    VEC_UNROLL for (int y = 0; y < high; y++) for (int64_t c = 0; c < channels; c++) tile_row(
        t, sum, y, c, t->weights + c * step, up, stride, taps, images, rows, columns, single);
  VEC_UNROLL for (int n = 0; n < images; n++) VEC_UNROLL for (int i = 0; i < rows; i++)
      VEC_UNROLL for (int j = 0; j < columns; j++) vec_store(
          t->out[n] + i * t->out_row + j * t->out_pixel, sum[(n * rows + i) * columns + j] + bias);
}

typedef void BlockTileRun(const BlockTile *t);

/* The three widths of a tile: two rows of all columns, or of fewer columns of more images. */
enum { TILE_ROWS = 2, TILE_WIDTHS = 3 };
static const int block_tile_columns[TILE_WIDTHS] = {2, 4, TILE_SUMS / 2};
#define TILE_IMAGES_OF(COLUMNS)                                                                    \
  (TILE_SUMS / TILE_ROWS / (COLUMNS) < TILE_IMAGES ? TILE_SUMS / TILE_ROWS / (COLUMNS)             \
                                                   : TILE_IMAGES)

#define TILE(NAME, UP, STRIDE, TAPS, SINGLE, COLUMNS)                                              \
  static __attribute__((noinline)) void NAME##_##COLUMNS(const BlockTile *t) {                     \
    block_tile(t, UP, STRIDE, TAPS, TILE_IMAGES_OF(COLUMNS), TILE_ROWS, COLUMNS, SINGLE);          \
  }
#if defined __AVX512F__ || defined __aarch64__
#define TILES(NAME, UP, STRIDE, TAPS, SINGLE)                                                      \
  TILE(NAME, UP, STRIDE, TAPS, SINGLE, 2)                                                          \
  TILE(NAME, UP, STRIDE, TAPS, SINGLE, 4)                                                          \
  TILE(NAME, UP, STRIDE, TAPS, SINGLE, 8)                                                          \
  static BlockTileRun *const NAME[TILE_WIDTHS] = {NAME##_2, NAME##_4, NAME##_8};
#else
#define TILES(NAME, UP, STRIDE, TAPS, SINGLE)                                                      \
  TILE(NAME, UP, STRIDE, TAPS, SINGLE, 2)                                                          \
  TILE(NAME, UP, STRIDE, TAPS, SINGLE, 4)                                                          \
  static BlockTileRun *const NAME[TILE_WIDTHS] = {NAME##_2, NAME##_4, NAME##_4};
#endif
TILES(tiles_forward, true, 1, 3, false)
TILES(tiles_forward_single, true, 1, 3, true)
TILES(tiles_backward, false, 1, 3, false)
TILES(tiles_backward_single, false, 1, 3, true)
TILES(tiles_double_single, false, 2, 4, true)

/* Any other shape: a row of pixels, the taps in a loop. */
typedef struct BlockRow {
  const real *source;
  real *out;
  int64_t row, pixel, step; /* of the source: pitches, and from one output to the next */
  int64_t out_pixel;
  int64_t channels;
  int64_t rows, columns;             /* taps */
  const real *weights;               /* of the first tap */
  int64_t weight_row, weight_column; /* from one tap to the next */
  int64_t weight_channel;            /* from one channel to the next */
  const real *bias;
} BlockRow;

enum { ROW_PIXELS = 8 };

static __attribute__((noinline)) void block_row(const BlockRow *t) {
  Vec sum[ROW_PIXELS], bias = t->bias ? vec_load(t->bias) : vec_zero();
  VEC_UNROLL for (int i = 0; i < ROW_PIXELS; i++) sum[i] = vec_zero();
  for (int64_t y = 0; y < t->rows; y++)
    for (int64_t x = 0; x < t->columns; x++) {
      const real *w = t->weights + y * t->weight_row + x * t->weight_column;
      const real *source = t->source + y * t->row + x * t->pixel;
      for (int64_t c = 0; c < t->channels; c++, w += t->weight_channel, source++) {
        Vec v = vec_load(w);
        VEC_UNROLL for (int i = 0; i < ROW_PIXELS; i++) sum[i] += v * vec_fill(source[i * t->step]);
      }
    }
  VEC_UNROLL for (int i = 0; i < ROW_PIXELS; i++)
      vec_store(t->out + i * t->out_pixel, sum[i] + bias);
}

/* A row of pixels, and the places of its first one in both factors. */
typedef struct BlockLine {
  int64_t columns, a, b;
} BlockLine;

/* Weight gradients: sums[i][j] += sum over pixels of a vector at a + a_offset[i] times a value at
 * b + b_offset[j]. Offsets from `end` on only fill up the tile. */
typedef struct BlockProducts {
  const real *a, *b;
  int64_t images, rows, columns;
  int64_t a_image, a_row, a_pixel, b_image, b_row, b_pixel;
  const BlockLine *lines; /* rows of one image that lie otherwise, or NULL */
  const int64_t *a_offset, *b_offset;
  int64_t a_end, b_end;
  real *sums;
  int64_t a_pitch, b_pitch; /* of the sums */
  bool first;               /* store, do not add */
} BlockProducts;

enum { PRODUCTS_MOST = 24 };

VEC_INLINE void block_products(const BlockProducts *p, const int as, const int bs) {
  Vec sum[PRODUCTS_MOST];
  int64_t a_at[16], b_at[16];
  VEC_UNROLL for (int i = 0; i < as * bs; i++) sum[i] = vec_zero();
  for (int i = 0; i < as; i++) a_at[i] = p->a_offset[i];
  for (int j = 0; j < bs; j++) b_at[j] = p->b_offset[j];
  for (int64_t n = 0; n < p->images; n++)
    for (int64_t y = 0; y < p->rows; y++) {
      const real *a = p->a + n * p->a_image + y * p->a_row;
      const real *b = p->b + n * p->b_image + y * p->b_row;
      int64_t columns = p->columns;
      if (p->lines) {
        a = p->a + p->lines[y].a;
        b = p->b + p->lines[y].b;
        columns = p->lines[y].columns;
      }
      for (int64_t x = 0; x < columns; x++, a += p->a_pixel, b += p->b_pixel) {
        Vec v[16];
        VEC_UNROLL for (int i = 0; i < as; i++) v[i] = vec_load(a + a_at[i]);
        VEC_UNROLL for (int j = 0; j < bs; j++) {
          Vec w = vec_fill(b[b_at[j]]);
          VEC_UNROLL for (int i = 0; i < as; i++) sum[i * bs + j] += v[i] * w;
        }
      }
    }
  VEC_UNROLL for (int i = 0; i < as; i++) VEC_UNROLL for (int j = 0; j < bs; j++) {
    if (i >= p->a_end || j >= p->b_end) continue;
    real *to = p->sums + i * p->a_pitch + j * p->b_pitch;
    vec_store(to, p->first ? sum[i * bs + j] : vec_load(to) + sum[i * bs + j]);
  }
}

typedef void BlockProductsRun(const BlockProducts *p);
#define PRODUCTS(NAME, AS, BS)                                                                     \
  static __attribute__((noinline)) void NAME##_run(const BlockProducts *p) {                       \
    block_products(p, AS, BS);                                                                     \
  }                                                                                                \
  static const BlockProductsTile NAME = {NAME##_run, AS, BS};

typedef struct BlockProductsTile {
  BlockProductsRun *run;
  int64_t as, bs;
} BlockProductsTile;

#if defined __AVX512F__ || defined __aarch64__
PRODUCTS(products_thirds, 3, 8)
PRODUCTS(products_fourths, 4, 4)
#else
PRODUCTS(products_thirds, 3, 4)
PRODUCTS(products_fourths, 2, 4)
#endif
PRODUCTS(products_nine, 9, 1)  /* few channels of the source: 3 x 3 taps */
PRODUCTS(products_eight, 8, 1) /* ... and others */
PRODUCTS(products_one, 1, 8)
enum { PRODUCTS_WIDEST = 9 };

#endif
