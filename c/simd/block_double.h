/* Floor 2: blocks that double an image in both directions and convolve it with 3 x 3 taps. Each
 * pixel makes 2 x 2 outputs, which have products in common. Along one axis, with u and d the pixels
 * before and behind c, the outputs at c are
 *   a = w0 u + (w1 + w2) c = (w0 + w1 + w2) c + w0 (u - c)
 *   b = (w0 + w1) c + w2 d = (w0 + w1 + w2) c + w2 (d - c)
 * which takes three products, where the two by themselves would take four; in the plane nine make
 * four outputs, not sixteen. So the weights are turned into nine parts, [w0 + w1 + w2, w0, w2]
 * along both axes, and x into a lattice: along an axis c - u, c, d - c, ..., where u - c is the
 * first with another sign and d - c the next pixel's c - u, so that 2n + 1 numbers are all that n
 * pixels need. On the way down each tap meets the sum of two outputs, since it met the same pixel
 * in both: with a' of the next pixel and b' of the previous one the lattice is b' + a, a + b, b +
 * a', ..., and dx = the sum over taps of lattice times weights   dw = the sum over pixels of
 * lattice times x The way up rounds differences, so that its sums differ from the plain op's in the
 * last bits; no pool decides by them, unless it stands behind an upsampled convolution. The way
 * down only adds: a gradient that is exactly zero stays so, which Adam would notice. */
#ifndef LATENT_SIMD_BLOCK_DOUBLE_H
#define LATENT_SIMD_BLOCK_DOUBLE_H

#include "simd/block_weights.h"

enum {
  DOUBLE_PHASES = 4, /* outputs of a pixel */
#if defined __AVX512F__ || defined __aarch64__
  DOUBLE_PAIRS = 4, /* of a tile: a row of their parts is summed in registers */
#else
  DOUBLE_PAIRS = 2,
#endif
  DOUBLE_PIXELS = 2 * DOUBLE_PAIRS,
  DOUBLE_STEP = 48 /* pixels whose lattice is made and used while it is in the inner cache */
};

/* ---- the lattice ---- */

/* A walk over the pixels of some images, with the pitches of what it visits. */
typedef struct PixelWalk {
  int64_t images, rows, columns;
  int64_t image_pitch, row_pitch, pixel_pitch;
  int64_t image, row, column; /* the next pixel */
} PixelWalk;

/* Pixels that lie together: some rows of an image, or a part of one row. */
typedef struct PixelStrip {
  int64_t at, rows, columns; /* place of the first one */
} PixelStrip;

/* The next pixels of a walk, at most so many. */
static PixelStrip walk_strip(PixelWalk *w, int64_t most) {
  PixelStrip s = {.at = w->image * w->image_pitch + w->row * w->row_pitch +
                        w->column * w->pixel_pitch,
                  .rows = 1,
                  .columns = block_min(most, w->columns - w->column)};
  if (s.columns == w->columns) s.rows = block_min(most / w->columns, w->rows - w->row);
  w->column += s.columns;
  if (w->column < w->columns) return s;
  w->column = 0;
  w->row += s.rows;
  if (w->row < w->rows) return s;
  w->row = 0;
  w->image++;
  return s;
}

/* Pairs of pixels side by side, which share a column of the lattice: where each pair's corner of
 * the lattice is, and the places of its pixels in what the tiles write. A column that is left over
 * makes a pair with the one before it again, or with nothing, which is then written first. */
typedef struct PixelPairs {
  int64_t count;
  int64_t corner[DOUBLE_STEP], at[2 * DOUBLE_STEP];
} PixelPairs;

VEC_INLINE void pairs_put(PixelPairs *p, int64_t corner, int64_t first, int64_t second) {
  p->corner[p->count] = corner;
  p->at[2 * p->count] = first;
  p->at[2 * p->count + 1] = second;
  p->count++;
}

/* The pairs of a strip, whose lattice begins at `corner` with rows `line` apart. `row`, `next`:
 * from a pixel's place to those of the next row and column. */
static void pairs_add(PixelPairs *p, PixelStrip s, int64_t corner, int64_t line, int64_t channels,
                      int64_t row, int64_t next) {
  for (int64_t y = 0; y < s.rows; y++) {
    int64_t from = corner + 2 * y * line, at = s.at + y * row, x = 0;
    for (; x + 2 <= s.columns; x += 2, from += 4 * channels, at += 2 * next)
      pairs_put(p, from, at, at + next);
    if (x < s.columns) pairs_put(p, from - 2 * channels, x > 0 ? at - next : at, at);
  }
}

/* The last pair fills up a tile. */
static void pairs_fill(PixelPairs *p, int64_t tile) {
  while (p->count % tile != 0) {
    int64_t last = p->count - 1;
    pairs_put(p, p->corner[last], p->at[2 * last], p->at[2 * last + 1]);
  }
}

/* LANES channels, or what is left of them. */
VEC_INLINE void lattice_store(real *to, Vec v, int lanes) {
  if (lanes == LANES) vec_store(to, v);
  else vec_store_part(to, v, lanes);
}

/* Two rows of the way up's lattice, or (not `both`) the first of them, from the pixels of a row,
 * the first of them at `here`, and of the one above it. */
VEC_INLINE void lattice_up_rows(const real *here, int64_t row, int64_t channels, int lanes,
                                int64_t columns, const bool both, real *to, int64_t line) {
  Vec x = vec_load(here - channels), d = x - vec_load(here - channels - row);
  for (int64_t i = 0;; i++, here += channels, to += 2 * channels) {
    Vec x1 = vec_load(here), d1 = x1 - vec_load(here - row);
    lattice_store(to, d1 - d, lanes);
    if (both) lattice_store(to + line, x1 - x, lanes);
    if (i == columns) return;
    lattice_store(to + channels, d1, lanes);
    if (both) lattice_store(to + line + channels, x1, lanes);
    x = x1;
    d = d1;
  }
}

/* The same of the way down's, from the outputs of a row of pixels, the first of them at `here`;
 * from right to left, so that the taps of a row lie in their order. */
VEC_INLINE void lattice_down_rows(const real *here, int64_t row, int64_t channels, int lanes,
                                  int64_t columns, const bool both, real *to, int64_t line) {
  here += 2 * columns * channels;
  Vec a = vec_zero(), b = a;
  for (int64_t i = -1; i <= 2 * columns; i++, here -= channels) {
    Vec z = vec_load(here), a1 = vec_load(here - row) + z, b1 = both ? z + vec_load(here + row) : z;
    if (i >= 0) {
      lattice_store(to, a1 + a, lanes);
      if (both) lattice_store(to + line, b1 + b, lanes);
      to += channels;
    }
    a = a1;
    b = b1;
  }
}

/* The lattice of a strip of pixels, the first of which, or the first of whose four outputs, is at
 * `plane`; rows of the plane are `row` apart, those of the lattice `line`. */
static __attribute__((noinline)) void lattice_make(const real *plane, int64_t row, int64_t channels,
                                                   PixelStrip s, bool up, real *lattice,
                                                   int64_t line) {
  for (int64_t c = 0; c < channels; c += LANES) {
    int lanes = (int)block_min(channels - c, LANES);
    const real *here = plane + c;
    real *to = lattice + c;
    for (int64_t y = 0; y < s.rows; y++, here += up ? row : 2 * row, to += 2 * line)
      if (up) lattice_up_rows(here, row, channels, lanes, s.columns, true, to, line);
      else lattice_down_rows(here, row, channels, lanes, s.columns, true, to, line);
    if (up) lattice_up_rows(here, row, channels, lanes, s.columns, false, to, line);
    else lattice_down_rows(here, row, channels, lanes, s.columns, false, to, line);
  }
}

/* A step's lattice: where its next strip goes. */
static int64_t double_columns(int64_t columns) { return block_min(columns, DOUBLE_STEP); }

static int64_t double_line(int64_t channels, int64_t columns) {
  return (2 * double_columns(columns) + 1) * channels;
}

/* Elements of the lattice of a step, for images of so many columns: strips of three rows each at
 * worst, and what the pair of a single column reads before it. */
static int64_t block_double_room(int64_t channels, int64_t columns) {
  int64_t rows = 2 + (DOUBLE_STEP - 2) / double_columns(columns);
  return block_up(3 * rows * double_line(channels, columns) + 2 * channels + LANES, 16);
}

/* ---- up ---- */

/* A few pairs of pixels and one vector of their outputs. */
typedef struct DoubleTile {
  const real *lattice;
  const int64_t *corner;  /* of each pair */
  int64_t line, channels; /* of the lattice */
  const real *weights;    /* (channels, parts, LANES) */
  const real *bias;       /* (LANES) or NULL */
  real *out;
  uint8_t *codes;     /* NULL: none */
  const int64_t *at;  /* place in out, and of its code, of each pixel's first output */
  int64_t row, pixel; /* pitches of out */
} DoubleTile;

/* A row of parts times their weights: sum[k][i] of part k of pixel i. What lies between two pixels
 * is the first's last part and, with another sign, the second's first one. */
VEC_INLINE void double_parts(const DoubleTile *t, const int row, Vec sum[3 * DOUBLE_PIXELS]) {
  static const int order[3] = {PART_FIRST, PART_ALL, PART_LAST};
  const int64_t channels = t->channels;
  const real *w = t->weights + 3 * row * LANES, *x[DOUBLE_PAIRS];
  VEC_UNROLL for (int i = 0; i < DOUBLE_PAIRS; i++) x[i] = t->lattice + t->corner[i] +
                                                           (row == PART_ALL     ? 1
                                                            : row == PART_FIRST ? 0
                                                                                : 2) *
                                                               t->line;
  VEC_UNROLL for (int i = 0; i < 3 * DOUBLE_PIXELS; i++) sum[i] = vec_zero();
  for (int64_t c = 0; c < channels; c++, w += DOUBLE_PARTS * LANES)
    VEC_UNROLL for (int i = 0; i < DOUBLE_PAIRS; i++) VEC_UNROLL for (int k = 0; k < 5; k++) {
      Vec v = vec_fill(x[i][k * channels + c]);
      VEC_UNROLL for (int p = 0; p < 2; p++) {
        if (k < 2 * p || k > 2 * p + 2) continue;
        const int part = order[k - 2 * p];
        Vec *to = &sum[part * DOUBLE_PIXELS + 2 * i + p], factor = vec_load(w + part * LANES);
        if ((row == PART_FIRST) != (part == PART_FIRST)) *to -= v * factor;
        else *to += v * factor;
      }
    }
}

/* Lines that are written at the end of a tile are fetched while it works. */
VEC_INLINE void double_fetch(const DoubleTile *t) {
  for (int i = 0; i < DOUBLE_PIXELS; i++)
    for (int y = 0; y < 2; y++) {
      const real *to = t->out + t->at[i] + y * t->row;
      __builtin_prefetch(to, 1);
      __builtin_prefetch(to + t->pixel, 1);
    }
}

/* Stores a row of elements of y, with their codes. */
VEC_INLINE void double_finish(const DoubleTile *t, const Vec *z, int64_t row,
                              BlockActivation activation, real slope) {
  VEC_UNROLL for (int i = 0; i < DOUBLE_PIXELS; i++) VEC_UNROLL for (int x = 0; x < 2; x++) {
    const int64_t at = t->at[i] + row + x * t->pixel;
    vec_store(t->out + at, activate_flat(z[x * DOUBLE_PIXELS + i], activation, slope,
                                         t->codes ? t->codes + at : NULL));
  }
}

/* The upper or lower outputs, to which `row` leads. Parts are summed apart from each other: fewer
 * bits are lost. `shared`: what both have from the middle row of parts. */
VEC_INLINE void double_outputs(const DoubleTile *t, const int part, int64_t row, const Vec *shared,
                               BlockActivation activation, real slope) {
  enum { N = DOUBLE_PIXELS };
  Vec sum[3 * N], z[2 * N];
  double_parts(t, part, sum);
  VEC_UNROLL for (int x = 0; x < 2; x++) VEC_UNROLL for (int i = 0; i < N; i++) z[x * N + i] =
      (sum[(1 + x) * N + i] + sum[i]) + shared[x * N + i];
  if (activation == BLOCK_RELU) double_finish(t, z, row, BLOCK_RELU, 0);
  else if (activation == BLOCK_LEAKY) double_finish(t, z, row, BLOCK_LEAKY, slope);
  else double_finish(t, z, row, BLOCK_LINEAR, 0);
}

static __attribute__((noinline)) void double_tile(const DoubleTile *t, BlockActivation activation,
                                                  real slope) {
  enum { N = DOUBLE_PIXELS };
  Vec sum[3 * N], shared[2 * N], bias = t->bias ? vec_load(t->bias) : vec_zero();
  double_fetch(t);
  double_parts(t, PART_ALL, sum);
  VEC_UNROLL for (int x = 0; x < 2; x++) VEC_UNROLL for (int i = 0; i < N; i++) shared[x * N + i] =
      sum[(1 + x) * N + i] + (sum[i] + bias);
  double_outputs(t, PART_FIRST, 0, shared, activation, slope);
  double_outputs(t, PART_LAST, t->row, shared, activation, slope);
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
 * the same pixels. `lattice` is scratch for a step. */
static void block_double_up(const DoubleOutput *o, const real *x, PixelWalk source,
                            PixelWalk target, real *lattice) {
  int64_t pixels = source.images * source.rows * source.columns, channels = o->b->in;
  BlockActivation activation = o->codes ? o->b->activation : BLOCK_LINEAR;
  DoubleTile t = {.lattice = lattice,
                  .channels = channels,
                  .line = double_line(channels, source.columns),
                  .row = o->row,
                  .pixel = o->pixel};
  for (int64_t first = 0; first < pixels; first += DOUBLE_STEP) {
    int64_t left = block_min(DOUBLE_STEP, pixels - first), corner = 2 * channels;
    PixelPairs pairs;
    pairs.count = 0;
    while (left > 0) {
      PixelStrip s = walk_strip(&source, left), to = walk_strip(&target, left);
      lattice_make(x + s.at, source.row_pitch, channels, s, true, lattice + corner, t.line);
      to.at += o->first;
      pairs_add(&pairs, to, corner, t.line, channels, target.row_pitch, target.pixel_pitch);
      corner += (2 * s.rows + 1) * t.line;
      left -= s.rows * s.columns;
    }
    pairs_fill(&pairs, DOUBLE_PAIRS);
    for (int64_t v = 0; v < o->b->out; v += LANES) {
      t.weights = o->weights + v * DOUBLE_PARTS * channels;
      t.bias = o->bias ? o->bias + v : NULL;
      t.out = o->out + v;
      t.codes = o->codes && o->codes->bytes ? o->codes->bytes + v : NULL;
      for (int64_t i = 0; i < pairs.count; i += DOUBLE_PAIRS) {
        t.corner = pairs.corner + i;
        t.at = pairs.at + 2 * i;
        double_tile(&t, activation, o->b->slope);
      }
    }
  }
}

/* ---- down ---- */

/* Pairs of pixels whose taps lie in the lattice row by row, the last row first, against vectors of
 * weights `next` apart: what is left of a product of matrices in registers. */
typedef struct DoubleRows {
  const real *lattice, *weights;
  const int64_t *corner, *at; /* of each pair, of each pixel in out */
  int64_t line, channels, next;
  real *out;
  int lanes; /* of the last vector */
} DoubleRows;

VEC_INLINE void double_rows(const DoubleRows *t, const int pairs, const int vectors) {
  Vec sum[16];
  const int64_t run = 3 * t->channels, beside = 2 * t->channels;
  const real *weights = t->weights, *x[8];
  VEC_UNROLL for (int i = 0; i < 2 * pairs * vectors; i++) sum[i] = vec_zero();
  for (int64_t line = 2 * t->line; line >= 0; line -= t->line) {
    VEC_UNROLL for (int i = 0; i < pairs; i++) x[i] = t->lattice + t->corner[i] + line;
    for (int64_t c = 0; c < run; c++, weights += LANES) {
      Vec w[2];
      VEC_UNROLL for (int v = 0; v < vectors; v++) w[v] = vec_load(weights + v * t->next);
      VEC_UNROLL for (int i = 0; i < 2 * pairs; i++) {
        Vec z = vec_fill(x[i / 2][i % 2 * beside + c]);
        VEC_UNROLL for (int v = 0; v < vectors; v++) sum[i * vectors + v] += z * w[v];
      }
    }
  }
  VEC_UNROLL for (int i = 0; i < 2 * pairs; i++) VEC_UNROLL for (int v = 0; v < vectors; v++)
      lattice_store(t->out + t->at[i] + v * LANES, sum[i * vectors + v],
                    v == vectors - 1 ? t->lanes : LANES);
}

enum { DOUBLE_ROW_PAIRS = LANES == 16 ? 8 : 4, DOUBLE_WIDE_PAIRS = LANES == 16 ? 4 : 2 };
static __attribute__((noinline)) void double_rows_one(const DoubleRows *t) {
  double_rows(t, DOUBLE_ROW_PAIRS, 1);
}
static __attribute__((noinline)) void double_rows_two(const DoubleRows *t) {
  double_rows(t, DOUBLE_WIDE_PAIRS, 2);
}

/* dx of pairs of pixels, a multiple of DOUBLE_ROW_PAIRS, from their lattice. */
static void block_double_input(const Block *b, const real *weights, const real *lattice,
                               const PixelPairs *pairs, real *dx) {
  DoubleRows t = {.lattice = lattice,
                  .line = double_line(b->out, b->axis[1].in),
                  .channels = b->out,
                  .next = DOUBLE_PARTS * b->out * LANES};
  for (int64_t c = 0; c < b->in;) {
    bool two = c + LANES < b->in;
    int64_t step = two ? DOUBLE_WIDE_PAIRS : DOUBLE_ROW_PAIRS, last = c + (two ? LANES : 0);
    t.weights = weights + c * DOUBLE_PARTS * b->out;
    t.out = dx + c;
    t.lanes = (int)block_min(b->in - last, LANES);
    for (int64_t i = 0; i < pairs->count; i += step) {
      t.corner = pairs->corner + i;
      t.at = pairs->at + 2 * i;
      (two ? double_rows_two : double_rows_one)(&t);
    }
    c = last + LANES;
  }
}

#endif
