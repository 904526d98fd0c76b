/* Floor 2: the inner loops of convolutions. A tile is a few outputs held in registers while all
 * terms of their sums pass by. Pixels are found through tables of offsets, so that rows, images,
 * strides and interleaved phases are all the same to a tile, and a tile may run over the end of a
 * row; a last incomplete tile overlaps the one before it. Channels come in vectors; weights are
 * packed to whole vectors with zeros. Knows nothing of tensors or jobs. */
#ifndef LATENT_SIMD_CONV_TILES_H
#define LATENT_SIMD_CONV_TILES_H

#include "simd/conv_geometry.h"
#include "simd/vec.h"

#include <string.h>

/* Tile sizes by register file: 32 long registers, or 16. BLOCK is the most vectors of output
 * channels of a tile, PIXELS_n its pixels when it has n of them. */
enum {
#if defined __AVX512F__ || defined __aarch64__
  TILE_BLOCK = 2,
  TILE_PIXELS_1 = 8,
  TILE_PIXELS_2 = 8,
  TILE_ROWS = 8, /* of a weight gradient's tile */
  TILE_MOST = 25,
  TILE_ALONG = 3, /* the most channels of a tile of stretches */
  TILE_DOTS = LANES < 8 ? LANES : 8,
  TILE_DOTS_OUTS = 3, /* pixels and most outputs of a tile of dot products */
#else
  TILE_BLOCK = 2,
  TILE_PIXELS_1 = 8,
  TILE_PIXELS_2 = 6,
  TILE_ROWS = 6,
  TILE_MOST = 12,
  TILE_DOTS = 4,
#ifdef __FMA__
  TILE_ALONG = 3,
  TILE_DOTS_OUTS = 3,
#else
  TILE_ALONG = 1, /* a product takes a register of its own */
  TILE_DOTS_OUTS = 1,
#endif
#endif
  TILE_ACROSS = TILE_ALONG > TILE_BLOCK ? TILE_ALONG : TILE_BLOCK,
  TILE_ROWS_FEW = 5,                  /* for 9 and 25 taps of one channel */
  TILE_DOTS_1 = LANES < 8 ? LANES : 8 /* pixels of a tile of dot products for one output */
};

/* The taps of one phase. A run is a stretch of the source that lies together: the channels of one
 * tap, or of a whole row of taps where these are neighbours. */
typedef struct ConvTaps {
  int64_t rows, columns, run;      /* runs: rows * columns */
  int64_t across, unit;            /* taps of a row, channels of a tap */
  int64_t row_pitch, column_pitch; /* in the source */
  int32_t *list;                   /* offsets of all terms, where runs are short; else NULL */
  int64_t spread;                  /* neighbouring pixels in one vector, where all fit; else 0 */
  int32_t order[LANES];            /* ... and the source of each lane, counted from the first's */
} ConvTaps;

/* Where a pixel's source and output begin, and which row of the job and column of the image it is.
 */
typedef struct ConvPlace {
  int32_t source, out, row, column;
} ConvPlace;

/* What the next job will read: fetched into the second cache while the tiles of this one work, a
 * little at a time, for many fetches at once would be waited for. */
typedef struct ConvAhead {
  const char *next, *end;
  int64_t bytes; /* of a fetch: whole lines of the cache */
} ConvAhead;

enum { CONV_LINE = 64 };

VEC_INLINE void tile_fetch(ConvAhead *a) {
  if (a->next >= a->end) return;
  const char *end = a->next + conv_min(a->bytes, a->end - a->next);
  for (; a->next < end; a->next += CONV_LINE) __builtin_prefetch(a->next, 0, 2);
}

/* Outputs of one job and phase. Places come in strips of columns that have the same taps inside the
 * image, from left to right; in a strip, by row. */
typedef struct ConvPixels {
  int64_t count, rows;
  const real *source;
  real *out;
  int64_t line; /* from a row of the output to the next: of pairs */
  const ConvPlace *place;
  const ConvSpan *row_taps, *column_taps; /* those inside the image, of each row and column */
  ConvAhead *ahead;
  real *patches; /* room for the taps of a tile's pixels, where the source has no zeros around it */
} ConvPixels;

/* How many of `left` channels a tile takes that can take `most`: never a single one after others.
 */
VEC_INLINE int64_t tile_take(int64_t left, int64_t most) {
  return most > 1 && left == most + 1 ? most - 1 : conv_min(left, most);
}

/* For fewer pixels than a tile has: the last one is repeated until the tile is full. */
VEC_INLINE void tile_fill(ConvPixels *x, ConvPlace fill[8], int64_t tile) {
  if (x->count >= tile) return;
  for (int64_t t = 0; t < tile; t++) fill[t] = x->place[conv_min(t, x->count - 1)];
  x->place = fill;
  x->count = tile;
}

/* The columns of taps that any pixel of a tile has inside the image: what the others would add is
 * zero. Both ends of the spans fall from left to right, and from top to bottom. */
VEC_INLINE ConvSpan tile_columns(const ConvPixels *x, const ConvPlace *first,
                                 const ConvPlace *last) {
  return (ConvSpan){x->column_taps[last->column].first, x->column_taps[first->column].end};
}

/* The rows of taps: those of the whole job where the tile reaches from one strip into the next. */
VEC_INLINE ConvSpan tile_rows(const ConvPixels *x, const ConvPlace *first, const ConvPlace *last) {
  bool one = conv_same_span(x->column_taps[first->column], x->column_taps[last->column]);
  int64_t top = one ? first->row : 0, bottom = one ? last->row : x->rows - 1;
  return (ConvSpan){x->row_taps[bottom].first, x->row_taps[top].end};
}

VEC_INLINE bool tile_same_taps(const ConvPixels *x, const ConvPlace *a, const ConvPlace *b) {
  return conv_same_span(x->column_taps[a->column], x->column_taps[b->column]) &&
         conv_same_span(x->row_taps[a->row], x->row_taps[b->row]);
}

/* Copies what the taps of a tile's pixels read, with zeros for those outside the image, for tiles
 * whose pixels differ in that. */
static __attribute__((noinline, unused)) void tile_patches(const ConvPixels *x, const ConvTaps *k,
                                                           const ConvPlace *place, int tile) {
  size_t bytes = (size_t)k->unit * sizeof(real);
  real *to = x->patches;
  for (int t = 0; t < tile; t++) {
    ConvSpan rows = x->row_taps[place[t].row], columns = x->column_taps[place[t].column];
    const real *source = x->source + place[t].source;
    for (int64_t r = 0; r < k->rows; r++)
      for (int64_t c = 0; c < k->across; c++, to += k->unit) {
        bool inside = r >= rows.first && r < rows.end && c >= columns.first && c < columns.end;
        if (inside) memcpy(to, source + r * k->row_pitch + c * k->column_pitch, bytes);
        else memset(to, 0, bytes);
      }
  }
}

/* out[pixel][o] = bias[o] + sum over taps, i of source[pixel + tap][i] * weights[tap][i][o], for
 * `block` vectors of o, the last of which has `lanes` channels. `listed`: the terms' offsets are in
 * a list, which is faster for short runs. `spread`: few inputs and outputs, of which a vector takes
 * those of several pixels; a place stands for all of them. The bias comes last: with fused
 * multiply-adds that gives PyTorch's very bits, and so the same winners where a pooling window has
 * two nearly equal ones. */
VEC_INLINE void tile_outputs(ConvPixels x, const ConvTaps *k, const real *weights, const real *bias,
                             int lanes, const int tile, const int block, const bool listed,
                             const bool spread) {
  int64_t across = listed ? 1 : k->across, unit = listed ? 1 : k->unit;
  ConvSpan rows = {0, (int32_t)(k->rows * k->columns * k->run)}, columns = {0, 1};
  ConvPlace fill[8];
  /* With vectors of 16 bytes the fetches cost more than they save beside a list's few terms. */
  const bool fetch = !listed || VEC_BYTES > 16;
  VecMask order = {0};
  if (spread) memcpy(&order, k->order, sizeof order);
  tile_fill(&x, fill, tile);
  for (int64_t p = 0; p < x.count; p += tile) {
    const ConvPlace *place = x.place + conv_min(p, x.count - tile);
    const real *source[8];
    Vec sum[8][TILE_BLOCK];
    VEC_UNROLL for (int t = 0; t < tile; t++) {
      source[t] = x.source + place[t].source;
      VEC_UNROLL for (int b = 0; b < block; b++) {
        if (fetch) __builtin_prefetch(x.out + place[t].out + b * LANES, 1, 3);
        sum[t][b] = vec_zero();
      }
    }
    if (!listed) rows = tile_rows(&x, place, place + tile - 1);
    if (!listed) columns = tile_columns(&x, place, place + tile - 1);
    int64_t row_pitch = k->row_pitch, column_pitch = k->column_pitch;
    if (!listed && !spread && x.patches && !tile_same_taps(&x, place, place + tile - 1)) {
      tile_patches(&x, k, place, tile);
      row_pitch = k->across * k->unit;
      column_pitch = k->unit;
      VEC_UNROLL for (int t = 0; t < tile; t++) source[t] = x.patches + t * k->rows * row_pitch;
    }
    int64_t step = k->columns == 1 ? columns.end - columns.first : 1;
    if (listed) tile_fetch(x.ahead); /* else with each run */
    for (int64_t r = rows.first; r < rows.end; r++)
      for (int64_t c = columns.first; c < columns.end; c += step) {
        int64_t i = listed ? k->list[r] : r * row_pitch + c * column_pitch;
        const real *w = weights + (r * across + c) * unit * block * LANES;
        if (!listed) tile_fetch(x.ahead);
        for (int64_t end = i + step * unit; i < end; i++, w += block * LANES) {
          /* no loop over the block: clang would leave the sums of a single vector in memory */
          Vec one = vec_load(w), two = block > 1 ? vec_load(w + LANES) : one;
          VEC_UNROLL for (int t = 0; t < tile; t++) {
            Vec v = spread ? vec_permute(vec_load(source[t] + i), order) : vec_fill(source[t][i]);
            sum[t][0] += v * one;
            if (block > 1) sum[t][1] += v * two;
          }
        }
      }
    VEC_UNROLL for (int t = 0; t < tile; t++) {
      real *out = x.out + place[t].out;
      VEC_UNROLL for (int b = 0; b < block; b++) sum[t][b] += vec_load(bias + b * LANES);
      VEC_UNROLL for (int b = 0; b < block - 1; b++) vec_store(out + b * LANES, sum[t][b]);
      out += (block - 1) * LANES;
      if (lanes == LANES) vec_store(out, sum[t][block - 1]);
      else vec_store_part(out, sum[t][block - 1], lanes);
    }
  }
}

/* The terms of a stretch of the source for a pixel and the one below it. */
VEC_INLINE void pair_terms(const real *const source[8], int64_t i, int64_t count, const real *above,
                           const real *below, Vec sum[8][2], const int tile, const bool upper,
                           const bool lower) {
  for (int64_t end = i + count; i < end; i++, above += LANES, below += LANES) {
    Vec one = upper ? vec_load(above) : vec_zero(), two = lower ? vec_load(below) : one;
    VEC_UNROLL for (int t = 0; t < tile; t++) {
      Vec v = vec_fill(source[t][i]);
      if (upper) sum[t][0] += v * one;
      if (lower) sum[t][1] += v * two;
    }
  }
}

/* tile_outputs for one vector of channels, in pairs of rows, where stride and dilation are 1 from
 * row to row: what a row of the source is to the upper pixel's row of taps, it is to the lower
 * one's next, so that each number is loaded once for two products. A place stands for the upper
 * pixel; every sum is made in the same order as ever. */
VEC_INLINE void tile_pairs(ConvPixels x, const ConvTaps *k, const real *weights, const real *bias,
                           int lanes, const int tile) {
  ConvPlace fill[8];
  tile_fill(&x, fill, tile);
  const int64_t row = k->across * k->unit * LANES; /* of weights */
  for (int64_t p = 0; p < x.count; p += tile) {
    const ConvPlace *place = x.place + conv_min(p, x.count - tile), *last = place + tile - 1;
    const real *source[8];
    Vec sum[8][2];
    VEC_UNROLL for (int t = 0; t < tile; t++) {
      source[t] = x.source + place[t].source;
      sum[t][0] = sum[t][1] = vec_zero();
    }
    ConvSpan columns = tile_columns(&x, place, last);
    bool one = conv_same_span(x.column_taps[place->column], x.column_taps[last->column]);
    bool first = x.row_taps[one ? last->row : x.rows - 2].first == 0;
    bool after = x.row_taps[one ? place->row + 1 : 1].end == k->rows;
    int64_t step = k->columns == 1 ? columns.end - columns.first : 1;
    for (int64_t r = first ? 0 : 1; r < k->rows + after; r++)
      for (int64_t c = columns.first; c < columns.end; c += step) {
        int64_t i = r * k->row_pitch + c * k->column_pitch, count = step * k->unit;
        tile_fetch(x.ahead);
        const real *above = weights + r * row + c * k->unit * LANES, *below = above - row;
        if (r == 0) pair_terms(source, i, count, above, above, sum, tile, true, false);
        else if (r < k->rows) pair_terms(source, i, count, above, below, sum, tile, true, true);
        else pair_terms(source, i, count, below, below, sum, tile, false, true);
      }
    Vec shift = vec_load(bias);
    VEC_UNROLL for (int t = 0; t < tile; t++) VEC_UNROLL for (int b = 0; b < 2; b++) {
      real *out = x.out + place[t].out + b * x.line;
      if (lanes == LANES) vec_store(out, sum[t][b] + shift);
      else vec_store_part(out, sum[t][b] + shift, lanes);
    }
  }
}

/* Adds lanes that differ in bit d: even ones from a, odd ones from b. */
#define LANE_LOW(l, d) ((l) & (d) ? LANES + ((l) ^ (d)) : (l))
#define LANE_HIGH(l, d) ((l) & (d) ? LANES + (l) : ((l) ^ (d)))
#define LANES4(F, l, d) F(l, d), F(l + 1, d), F(l + 2, d), F(l + 3, d)
#if VEC_BYTES == 64
#define LANES_ALL(F, d) LANES4(F, 0, d), LANES4(F, 4, d), LANES4(F, 8, d), LANES4(F, 12, d)
#elif VEC_BYTES == 32
#define LANES_ALL(F, d) LANES4(F, 0, d), LANES4(F, 4, d)
#else
#define LANES_ALL(F, d) LANES4(F, 0, d)
#endif
#define ADD_PAIR(a, b, d)                                                                          \
  (__builtin_shufflevector(a, b, LANES_ALL(LANE_LOW, d)) +                                         \
   __builtin_shufflevector(a, b, LANES_ALL(LANE_HIGH, d)))

/* The sums over the lanes of `tile` vectors, 4 or 8, as the first lanes of one: a tree that halves
 * the vectors with each level. */
VEC_INLINE Vec tile_sums(const Vec v[8], const int tile) {
  Vec a = ADD_PAIR(v[0], v[1], 1), b = ADD_PAIR(v[2], v[3], 1);
  Vec low = ADD_PAIR(a, b, 2);
#if VEC_BYTES > 16
  Vec high = low;
  if (tile > 4) {
    Vec c = ADD_PAIR(v[4], v[5], 1), d = ADD_PAIR(v[6], v[7], 1);
    high = ADD_PAIR(c, d, 2);
  }
  low = ADD_PAIR(low, high, 4);
#else
  (void)tile;
#endif
#if VEC_BYTES > 32
  low = ADD_PAIR(low, low, 8);
#endif
  return low;
}

/* Adds the products of a vector of terms with those of `outs` outputs' weights, `pitch` apart. */
VEC_INLINE void dot_terms(const real *const source[8], int64_t i, const real *w, int64_t pitch,
                          const VecMask *rest, Vec sum[TILE_DOTS_OUTS][8], const int tile,
                          const int outs) {
  Vec weight[TILE_DOTS_OUTS];
  VEC_UNROLL for (int o = 0; o < outs; o++) weight[o] = vec_load(w + o * pitch);
  VEC_UNROLL for (int t = 0; t < tile; t++) {
    Vec v = vec_load(source[t] + i);
    /* what lies behind the run is another pixel's, perhaps not even a number */
    if (rest) v = vec_select(*rest, v, vec_zero());
    VEC_UNROLL for (int o = 0; o < outs; o++) sum[o][t] += v * weight[o];
  }
}

/* The sums of a tile of pixels for `outs` outputs from o on, each over a row of weights of
 * `row` for each row of taps. */
VEC_INLINE void dot_sums(const ConvPixels *x, const ConvTaps *k, const ConvPlace *place,
                         const real *w, int64_t row, const real *bias, int64_t o, const int tile,
                         const int outs) {
  int64_t whole = k->run / LANES * LANES;
  VecMask rest = vec_mask_first((int)(k->run - whole));
  ConvSpan rows = tile_rows(x, place, place + tile - 1);
  const real *source[8];
  bool in_row = outs == 1;
  Vec sum[TILE_DOTS_OUTS][8];
  VEC_UNROLL for (int t = 0; t < tile; t++) {
    source[t] = x->source + place[t].source;
    in_row &= place[t].out - place->out == t;
    VEC_UNROLL for (int q = 0; q < outs; q++) sum[q][t] = vec_zero();
  }
  int64_t pitch = k->rows * row;
  w += o * pitch + rows.first * row;
  for (int64_t r = rows.first; r < rows.end; r++)
    for (int64_t c = 0; c < k->columns; c++) {
      int64_t i = r * k->row_pitch + c * k->column_pitch, end = i + whole;
      tile_fetch(x->ahead);
      for (; i < end; i += LANES, w += LANES) dot_terms(source, i, w, pitch, NULL, sum, tile, outs);
      if (whole == k->run) continue;
      dot_terms(source, i, w, pitch, &rest, sum, tile, outs);
      w += LANES;
    }
  VEC_UNROLL for (int q = 0; q < outs; q++) {
    Vec total = tile_sums(sum[q], tile) + vec_fill(bias[o + q]);
    if (in_row) {
      vec_store_part(x->out + place->out, total, tile);
      continue;
    }
    real dots[LANES];
    vec_store(dots, total);
    VEC_UNROLL for (int t = 0; t < tile; t++) x->out[place[t].out + o + q] = dots[t];
  }
}

/* The same outputs for few of them: the terms of a run lie across the lanes and each output channel
 * is a dot product. weights[o][tap][run, to whole vectors]. */
VEC_INLINE void tile_dots(ConvPixels x, const ConvTaps *k, const real *weights, const real *bias,
                          int64_t outs, const int tile, const int most) {
  int64_t row = k->columns * conv_ceil(k->run, LANES) * LANES, take; /* weights of a row of taps */
  ConvPlace fill[8];
  tile_fill(&x, fill, tile);
  for (int64_t p = 0; p < x.count; p += tile) {
    const ConvPlace *place = x.place + conv_min(p, x.count - tile);
    for (int64_t o = 0; o < outs; o += take) {
      take = tile_take(outs - o, most);
      if (take == 1) dot_sums(&x, k, place, weights, row, bias, o, tile, 1);
      else if (take == 2) dot_sums(&x, k, place, weights, row, bias, o, tile, most > 1 ? 2 : 1);
      else dot_sums(&x, k, place, weights, row, bias, o, tile, most > 2 ? 3 : 1);
    }
  }
}

/* Weight gradients. A segment is a stretch of lines (rows of pixels) short enough to stay in the
 * innermost cache and for its sums to be chained. */
typedef struct ConvSegment {
  int64_t lines, width; /* pixels of a line */
  const real *source;   /* the window; pixel p begins at source_offset[p] */
  const int32_t *source_offset;
  const real *other; /* the other image: the channels of pixel p are at p * other_pitch */
  int64_t other_pitch;
  int64_t row, top, bottom; /* of the first line; after bottom - 1 comes the next image's top */
  bool first;               /* the sums are stored, not added */
  ConvSpan tiles;           /* of rows of sums, those that are to be made */
  ConvAhead *ahead;
} ConvSegment;

/* Where a tile's sums lie: from one row to the next, and from one vector of channels (of stretches:
 * one channel) to the next. */
typedef struct ConvSums {
  real *sums;
  int64_t row, column;
} ConvSums;

enum { CONV_PIECE = 32 /* pixels between two fetches */ };

/* The pixels for which any tap of a tile of sums lies inside the image. */
typedef struct ConvBounds {
  bool all;
  ConvSpan rows, columns;
} ConvBounds;

/* sums[m][o] += sum over pixels of source[pixel + tap[m]] * other[pixel][o] for rows m of the tile
 * from `skip` on (the others were another tile's) and `block` vectors of o. Each `side` rows of the
 * tile lie side by side in the source. `stretches`: the roles are exchanged, for an `other` of few
 * channels: sums[o][m] += source[pixel + tap[m]] (a vector) * other[pixel][o] for `block` channels
 * o. */
VEC_INLINE void tile_products(const ConvSegment *s, const int32_t *tap, const ConvBounds *bounds,
                              int skip, const ConvSums *to, const int rows, const int block,
                              const bool stretches, const int side) {
  const int runs = rows / side;
  const real *source[8];
  Vec sum[TILE_MOST][TILE_ACROSS];
  VEC_UNROLL for (int m = 0; m < runs; m++) source[m] = s->source + tap[m * side];
  VEC_UNROLL for (int m = 0; m < rows; m++) {
    VEC_UNROLL for (int b = 0; b < block; b++) sum[m][b] = vec_zero();
  }
  int64_t pixels = s->lines * s->width, width = bounds->all ? CONV_PIECE : s->width;
  int64_t left = bounds->all ? 0 : bounds->columns.first;
  int64_t right = bounds->all ? width : bounds->columns.end;
  for (int64_t line = 0, row = s->row; line < pixels; line += width, row++) {
    if (row == s->bottom) row = s->top;
    if (!bounds->all && (row < bounds->rows.first || row >= bounds->rows.end)) continue;
    tile_fetch(s->ahead);
    const real *other = s->other + (line + left) * s->other_pitch;
    int64_t end = conv_min(line + right, pixels);
    for (int64_t p = line + left; p < end; p++, other += s->other_pitch) {
      int64_t offset = s->source_offset[p];
      const real *at[8];
      if (side > 1) VEC_UNROLL for (int i = 0; i < runs; i++) {
          at[i] = source[i] + offset;
          __asm__("" : "+r"(at[i])); /* one address, not one for each row */
        }
      Vec v[TILE_ACROSS];
      VEC_UNROLL for (int b = 0; b < block; b++) v[b] =
          stretches ? vec_fill(other[b]) : vec_load(other + b * LANES);
      VEC_UNROLL for (int m = 0; m < rows; m++) {
        const real *from = side > 1 ? at[m / side] + m % side : source[m] + offset;
        Vec x = stretches ? vec_load(from) : vec_fill(*from);
        VEC_UNROLL for (int b = 0; b < block; b++) sum[m][b] += x * v[b];
      }
    }
  }
  VEC_UNROLL for (int m = 0; m < rows; m++) {
    if (m < skip) continue;
    VEC_UNROLL for (int b = 0; b < block; b++) {
      real *at = to->sums + m * to->row + b * to->column;
      vec_store(at, s->first ? sum[m][b] : vec_load(at) + sum[m][b]);
    }
  }
}

#endif
