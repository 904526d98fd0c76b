/* Floor 2: blocks that double an image in both directions and convolve it with 3 x 3 taps. Each
 * pixel makes 2 x 2 outputs, which have products in common. Along one axis, with u and d the pixels
 * before and behind c, the outputs at c are
 *   a = w0 u + (w1 + w2) c = (w0 + w1 + w2) c + w0 (u - c)
 *   b = (w0 + w1) c + w2 d = (w0 + w1 + w2) c + w2 (d - c)
 * which takes three products, where the two by themselves would take four; in the plane nine make
 * four outputs, not sixteen. So x is turned into records, nine parts for each pixel, [c, u - c, d -
 * c] along both axes, and the weights into nine parts [w0 + w1 + w2, w0, w2]. On the way down each
 * tap meets the sum of two outputs, since it met the same pixel in both: the record of a pixel is
 * [b + a', a + b, b' + a] along both axes, with a' of the next pixel and b' of the previous one,
 * and dx = the sum over taps of records times weights   dw = the sum over pixels of records times x
 * The way up rounds differences, so that its sums differ from the plain op's in the last bits; no
 * pool decides by them, unless it stands behind an upsampled convolution. The way down only adds:
 * a gradient that is exactly zero stays so, which Adam would notice. */
#ifndef LATENT_SIMD_BLOCK_DOUBLE_H
#define LATENT_SIMD_BLOCK_DOUBLE_H

#include "simd/block_weights.h"

enum {
  DOUBLE_PHASES = 4, /* outputs of a pixel */
#if defined __AVX512F__ || defined __aarch64__
  DOUBLE_PIXELS = 8, /* of a tile: a row of their parts is summed in registers */
#else
  DOUBLE_PIXELS = 4,
#endif
  DOUBLE_STEP = 48 /* pixels whose records are made and used while they are in the inner cache */
};

/* ---- records ---- */

/* A walk over the pixels of some images, with the pitches of what it visits. */
typedef struct PixelWalk {
  int64_t images, rows, columns;
  int64_t image_pitch, row_pitch, pixel_pitch;
  int64_t image, row, column; /* the next pixel */
} PixelWalk;

/* The place of the next pixel; goes on by `count`, which stay in its row. */
VEC_INLINE int64_t walk_next(PixelWalk *w, int64_t count) {
  int64_t at = w->image * w->image_pitch + w->row * w->row_pitch + w->column * w->pixel_pitch;
  w->column += count;
  if (w->column == w->columns) {
    w->column = 0;
    if (++w->row == w->rows) {
      w->row = 0;
      w->image++;
    }
  }
  return at;
}

/* A row of parts. */
VEC_INLINE void double_store(real *record, int64_t channels, int lanes, int row, Vec x, Vec y,
                             Vec z) {
  Vec part[3] = {x, y, z};
  VEC_UNROLL for (int i = 0; i < 3; i++) {
    real *to = record + (3 * row + i) * channels;
    if (lanes == LANES) vec_store(to, part[i]);
    else vec_store_part(to, part[i], lanes);
  }
}

/* What the parts down a column of x are, and of dz, where the column's second row is at `at`. */
VEC_INLINE void double_column(const real *at, int64_t row, bool up, Vec v[3]) {
  Vec here = vec_load(at), above = vec_load(at - row), below = vec_load(at + row);
  v[0] = up ? here : below + vec_load(at + 2 * row);
  v[1] = up ? above - here : here + below;
  v[2] = up ? below - here : above + here;
}

/* The records of `count` pixels side by side, whose x, or the first of whose four outputs in dz, is
 * at `plane`: LANES channels of them. What pixels have in common stays in registers. */
VEC_INLINE void double_run(const real *plane, int64_t row, int64_t channels, int lanes,
                           int64_t count, const bool up, real *record) {
  Vec v[4][3];
  double_column(plane - channels, row, up, v[0]);
  double_column(plane, row, up, v[1]);
  for (int64_t i = 0; i < count; i++, record += DOUBLE_PARTS * channels) {
    plane += channels;
    double_column(plane, row, up, v[2]);
    if (!up) double_column(plane += channels, row, up, v[3]);
    VEC_UNROLL for (int y = 0; y < 3; y++) {
      if (up)
        double_store(record, channels, lanes, y, v[1][y], v[0][y] - v[1][y], v[2][y] - v[1][y]);
      else
        double_store(record, channels, lanes, y, v[2][y] + v[3][y], v[1][y] + v[2][y],
                     v[0][y] + v[1][y]);
      v[0][y] = v[up ? 1 : 2][y];
      v[1][y] = v[up ? 2 : 3][y];
    }
  }
}

/* Records of the next `count` pixels of a walk over x or dz, rows of which are `row` apart:
 * (pixels, parts, channels). */
static __attribute__((noinline)) void double_records(const real *plane, PixelWalk *walk,
                                                     int64_t row, int64_t channels, int64_t count,
                                                     bool up, real *records) {
  while (count > 0) {
    int64_t run = block_min(count, walk->columns - walk->column);
    const real *source = plane + walk_next(walk, run);
    for (int64_t c = 0; c < channels; c += LANES) {
      int lanes = (int)block_min(channels - c, LANES);
      if (up) double_run(source + c, row, channels, lanes, run, true, records + c);
      else double_run(source + c, row, channels, lanes, run, false, records + c);
    }
    records += run * DOUBLE_PARTS * channels;
    count -= run;
  }
}

/* ---- up ---- */

/* A few pixels and one vector of their outputs. */
typedef struct DoubleTile {
  const real *records;
  int64_t channels;    /* of the source */
  const real *weights; /* (channels, parts, LANES) */
  const real *bias;    /* (LANES) or NULL */
  real *out;
  const int64_t *at;  /* place in out, and of its code, of each pixel's first output ... */
  int64_t channel;    /* ... in channel 0; the vector's first channel */
  int64_t row, pixel; /* pitches of out */
} DoubleTile;

/* A row of parts times their weights: sum[k][i] of part k of pixel i. */
VEC_INLINE void double_parts(const DoubleTile *t, int row, Vec sum[3 * DOUBLE_PIXELS]) {
  const int64_t channels = t->channels;
  const real *w = t->weights + 3 * row * LANES, *x[DOUBLE_PIXELS];
  VEC_UNROLL for (int i = 0; i < DOUBLE_PIXELS; i++) x[i] =
      t->records + (i * DOUBLE_PARTS + 3 * row) * channels;
  VEC_UNROLL for (int i = 0; i < 3 * DOUBLE_PIXELS; i++) sum[i] = vec_zero();
  for (int64_t c = 0; c < channels; c++, w += DOUBLE_PARTS * LANES)
    VEC_UNROLL for (int k = 0; k < 3; k++) {
      Vec v = vec_load(w + k * LANES);
      VEC_UNROLL for (int i = 0; i < DOUBLE_PIXELS; i++) sum[k * DOUBLE_PIXELS + i] +=
          v * vec_fill(x[i][k * channels + c]);
    }
}

/* The smallest terms are summed first, and parts apart from each other: fewer bits are lost. */
VEC_INLINE void double_phases(const DoubleTile *t, Vec z[DOUBLE_PHASES * DOUBLE_PIXELS]) {
  enum { N = DOUBLE_PIXELS };
  const int rows[2] = {PART_FIRST, PART_LAST};
  Vec sum[3 * N], bias = t->bias ? vec_load(t->bias) : vec_zero();
  VEC_UNROLL for (int k = 0; k < 2; k++) {
    double_parts(t, rows[k], sum);
    VEC_UNROLL for (int i = 0; i < N; i++) {
      z[2 * k * N + i] = sum[PART_FIRST * N + i] + sum[PART_ALL * N + i];
      z[(2 * k + 1) * N + i] = sum[PART_LAST * N + i] + sum[PART_ALL * N + i];
    }
  }
  double_parts(t, PART_ALL, sum);
  VEC_UNROLL for (int k = 0; k < DOUBLE_PHASES; k++) VEC_UNROLL for (int i = 0; i < N; i++)
      z[k * N + i] += sum[(1 + k % 2) * N + i] + (sum[i] + bias);
}

/* Stores the sums as they are. */
VEC_INLINE void double_keep(const DoubleTile *t, const Vec *z) {
  const int64_t row = t->row, pixel = t->pixel;
  VEC_UNROLL for (int i = 0; i < DOUBLE_PIXELS; i++) {
    real *to = t->out + t->channel + t->at[i];
    VEC_UNROLL for (int k = 0; k < DOUBLE_PHASES; k++)
        vec_store(to + k / 2 * row + k % 2 * pixel, z[k * DOUBLE_PIXELS + i]);
  }
}

/* Lines that are written at the end of a tile are fetched while it works. */
VEC_INLINE void double_fetch(const DoubleTile *t) {
  for (int i = 0; i < DOUBLE_PIXELS; i++)
    for (int y = 0; y < 2; y++) {
      const real *to = t->out + t->at[i] + t->channel + y * t->row;
      __builtin_prefetch(to, 1);
      __builtin_prefetch(to + t->pixel, 1);
    }
}

/* Stores them as elements of y, with their codes: line after line of a row. */
VEC_INLINE void double_finish(const DoubleTile *t, const Vec *z, uint8_t *codes,
                              BlockActivation activation, real slope) {
  const int64_t pixel = t->pixel;
  VEC_UNROLL for (int y = 0; y < 2; y++) VEC_UNROLL for (int i = 0; i < DOUBLE_PIXELS; i++) {
    const int64_t at = t->at[i] + t->channel + y * t->row;
    real *to = t->out + at;
    uint8_t *code = codes ? codes + at : NULL;
    VEC_UNROLL for (int x = 0; x < 2; x++)
        vec_store(to + x * pixel, activate_flat(z[(2 * y + x) * DOUBLE_PIXELS + i], activation,
                                                slope, codes ? code + x * pixel : NULL));
  }
}

static __attribute__((noinline)) void double_tile_keep(const DoubleTile *t) {
  Vec z[DOUBLE_PHASES * DOUBLE_PIXELS];
  double_phases(t, z);
  double_keep(t, z);
}

static __attribute__((noinline)) void double_tile_finish(const DoubleTile *t, const Block *b,
                                                         uint8_t *codes) {
  Vec z[DOUBLE_PHASES * DOUBLE_PIXELS];
  double_fetch(t);
  double_phases(t, z);
  if (b->activation == BLOCK_RELU) double_finish(t, z, codes, BLOCK_RELU, 0);
  else if (b->activation == BLOCK_LEAKY) double_finish(t, z, codes, BLOCK_LEAKY, b->slope);
  else double_finish(t, z, codes, BLOCK_LINEAR, 0);
}

/* Elements of the records of a step, for sources of so many channels. */
static int64_t block_double_room(int64_t channels) {
  return block_up(DOUBLE_STEP * DOUBLE_PARTS * channels, 16);
}

/* What becomes of the pixels of a plane. */
typedef struct DoubleOutput {
  const Block *b;
  const real *weights, *bias; /* (vectors, channels, parts, LANES), (vectors, LANES) or NULL */
  real *out;
  int64_t first, row, pixel; /* place of the first output, pitches of outputs */
  const BlockCodes *codes;   /* NULL: sums are kept as they are, for an epilogue */
} DoubleOutput;

/* Pixels of x, to which `source` leads, become outputs, to which `target` does. Both walks are over
 * the same pixels. `records` is scratch for a step. */
static void block_double_up(const DoubleOutput *o, const real *x, PixelWalk source,
                            PixelWalk target, real *records) {
  int64_t pixels = source.images * source.rows * source.columns, channels = o->b->in;
  int64_t size = DOUBLE_PARTS * channels, at[DOUBLE_STEP];
  DoubleTile t = {.channels = channels, .out = o->out, .row = o->row, .pixel = o->pixel};
  for (int64_t first = 0; first < pixels; first += DOUBLE_STEP) {
    int64_t count = block_min(DOUBLE_STEP, pixels - first);
    double_records(x, &source, source.row_pitch, channels, count, true, records);
    for (int64_t i = 0; i < count; i++) at[i] = o->first + walk_next(&target, 1);
    for (; count % DOUBLE_PIXELS != 0; count++) { /* the last pixel fills up a tile */
      memcpy(records + count * size, records + (count - 1) * size, (size_t)size * sizeof(real));
      at[count] = at[count - 1];
    }
    for (int64_t v = 0; v < o->b->out; v += LANES)
      for (int64_t i = 0; i < count; i += DOUBLE_PIXELS) {
        t.records = records + i * size;
        t.weights = o->weights + v * size;
        t.bias = o->bias ? o->bias + v : NULL;
        t.at = at + i;
        t.channel = v;
        if (o->codes) double_tile_finish(&t, o->b, o->codes->bytes);
        else double_tile_keep(&t);
      }
  }
}

/* ---- down ---- */

/* Rows of `n` factors `pitch` apart, against vectors of weights `next` apart: what is left of a
 * product of matrices in registers. */
typedef struct DoubleRows {
  const real *source, *weights;
  int64_t n, pitch, next;
  real *out;
  int64_t out_pitch;
} DoubleRows;

VEC_INLINE void double_rows(const DoubleRows *t, const int rows, const int vectors) {
  Vec sum[16];
  VEC_UNROLL for (int i = 0; i < rows * vectors; i++) sum[i] = vec_zero();
  for (int64_t c = 0; c < t->n; c++) {
    Vec w[2];
    VEC_UNROLL for (int v = 0; v < vectors; v++) w[v] =
        vec_load(t->weights + v * t->next + c * LANES);
    VEC_UNROLL for (int i = 0; i < rows; i++) {
      Vec x = vec_fill(t->source[i * t->pitch + c]);
      VEC_UNROLL for (int v = 0; v < vectors; v++) sum[i * vectors + v] += x * w[v];
    }
  }
  VEC_UNROLL for (int i = 0; i < rows; i++) VEC_UNROLL for (int v = 0; v < vectors; v++)
      vec_store(t->out + i * t->out_pitch + v * LANES, sum[i * vectors + v]);
}

enum { DOUBLE_ROWS = 8, DOUBLE_PAIR_ROWS = LANES == 16 ? 8 : 4 };
static __attribute__((noinline)) void double_rows_one(const DoubleRows *t) {
  double_rows(t, DOUBLE_ROWS, 1);
}
static __attribute__((noinline)) void double_rows_two(const DoubleRows *t) {
  double_rows(t, DOUBLE_PAIR_ROWS, 2);
}

/* dx of `count` pixels from their records; reads records up to a multiple of DOUBLE_ROWS. */
static void block_double_input(const Block *b, const real *weights, const real *records,
                               int64_t count, real *dx) {
  real spare[2 * DOUBLE_ROWS * LANES];
  int64_t n = DOUBLE_PARTS * b->out;
  for (int64_t c = 0; c < b->in;) {
    bool pair = c + LANES < b->in;
    int64_t rows = pair ? DOUBLE_PAIR_ROWS : DOUBLE_ROWS, wide = pair ? 2 * LANES : LANES;
    int64_t lanes = block_min(wide, b->in - c);
    for (int64_t i = 0; i < count; i += rows) {
      int64_t used = block_min(rows, count - i);
      bool whole = lanes == wide && used == rows;
      DoubleRows t = {.source = records + i * n,
                      .weights = weights + c * n,
                      .n = n,
                      .pitch = n,
                      .next = n * LANES,
                      .out = whole ? dx + i * b->in + c : spare,
                      .out_pitch = whole ? b->in : wide};
      (pair ? double_rows_two : double_rows_one)(&t);
      for (int64_t k = 0; k < used && !whole; k++)
        copy_line(dx + (i + k) * b->in + c, spare + k * wide, lanes);
    }
    c += wide;
  }
}

#endif
