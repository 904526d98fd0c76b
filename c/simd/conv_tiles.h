/* Floor 2: the inner loops of convolutions. A tile is a few outputs held in registers while all
 * terms of their sums pass by. Pixels are found through tables of offsets, so that rows, images,
 * strides and interleaved phases are all the same to a tile, and a tile may run over the end of a
 * row; a last incomplete tile overlaps the one before it. Channels come in vectors; weights are
 * packed to whole vectors with zeros. Knows nothing of tensors or jobs. */
#ifndef LATENT_SIMD_CONV_TILES_H
#define LATENT_SIMD_CONV_TILES_H

#include "conv_geometry.h"
#include "vec.h"

/* Tile sizes by register file: 32 long registers, or 16. BLOCK is the most vectors of output
 * channels of a tile, PIXELS_n its pixels when it has n of them. */
enum {
#if defined __AVX512F__ || defined __aarch64__
  TILE_BLOCK = 2,
  TILE_PIXELS_1 = 8,
  TILE_PIXELS_2 = 8,
  TILE_ROWS = 8, /* of a weight gradient's tile */
#else
  TILE_BLOCK = 2,
  TILE_PIXELS_1 = 8,
  TILE_PIXELS_2 = 6,
  TILE_ROWS = 6,
#endif
  TILE_ROWS_FEW = 5,                /* for 9 and 25 taps of one channel */
  TILE_DOTS = LANES < 8 ? LANES : 8 /* pixels of a tile of dot products */
};

/* The taps of one phase. A run is a stretch of the source that lies together: the channels of one
 * tap, or of a whole row of taps where these are neighbours. */
typedef struct ConvTaps {
  int64_t rows, columns, run;
  int64_t row_pitch, column_pitch; /* in the source */
  int32_t *list;                   /* offsets of all terms, where runs are short; else NULL */
} ConvTaps;

/* Outputs of one job and phase. */
typedef struct ConvPixels {
  int64_t count;
  const real *source;
  real *out;
  const int32_t *source_offset, *out_offset;
} ConvPixels;

/* For fewer pixels than a tile has: offsets that repeat the last pixel until the tile is full. */
typedef struct ConvFill {
  int32_t source_offset[8], out_offset[8];
} ConvFill;

VEC_INLINE void tile_fill(ConvPixels *x, ConvFill *fill, int64_t tile) {
  if (x->count >= tile) return;
  for (int64_t t = 0; t < tile; t++) {
    fill->source_offset[t] = x->source_offset[conv_min(t, x->count - 1)];
    fill->out_offset[t] = x->out_offset[conv_min(t, x->count - 1)];
  }
  x->source_offset = fill->source_offset;
  x->out_offset = fill->out_offset;
  x->count = tile;
}

/* out[pixel][o] = bias[o] + sum over taps, i of source[pixel + tap][i] * weights[tap][i][o], for
 * `block` vectors of o, the last of which has `lanes` channels. `listed`: the terms' offsets are in
 * a list, which is faster for short runs. The bias comes last: with fused multiply-adds that gives
 * PyTorch's very bits, and so the same winners where a pooling window has two nearly equal ones. */
VEC_INLINE void tile_outputs(ConvPixels x, const ConvTaps *k, const real *weights, const real *bias,
                             int lanes, const int tile, const int block, const bool listed) {
  int64_t rows = listed ? k->rows * k->columns * k->run : k->rows;
  int64_t columns = listed ? 1 : k->columns, run = listed ? 1 : k->run;
  ConvFill fill;
  tile_fill(&x, &fill, tile);
  for (int64_t p = 0; p < x.count; p += tile) {
    int64_t first = conv_min(p, x.count - tile);
    const real *source[8], *w = weights;
    Vec sum[8][TILE_BLOCK];
    VEC_UNROLL for (int t = 0; t < tile; t++) {
      source[t] = x.source + x.source_offset[first + t];
      VEC_UNROLL for (int b = 0; b < block; b++) sum[t][b] = vec_zero();
    }
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < columns; c++) {
        int64_t i = listed ? k->list[r] : r * k->row_pitch + c * k->column_pitch, end = i + run;
        for (; i < end; i++, w += block * LANES) {
          /* no loop over the block: clang would leave the sums of a single vector in memory */
          Vec one = vec_load(w), two = block > 1 ? vec_load(w + LANES) : one;
          VEC_UNROLL for (int t = 0; t < tile; t++) {
            Vec v = vec_fill(source[t][i]);
            sum[t][0] += v * one;
            if (block > 1) sum[t][1] += v * two;
          }
        }
      }
    VEC_UNROLL for (int t = 0; t < tile; t++) {
      real *out = x.out + x.out_offset[first + t];
      VEC_UNROLL for (int b = 0; b < block; b++) sum[t][b] += vec_load(bias + b * LANES);
      VEC_UNROLL for (int b = 0; b < block - 1; b++) vec_store(out + b * LANES, sum[t][b]);
      out += (block - 1) * LANES;
      if (lanes == LANES) vec_store(out, sum[t][block - 1]);
      else vec_store_part(out, sum[t][block - 1], lanes);
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

/* The sums over the lanes of TILE_DOTS vectors, as the first lanes of one: a tree that halves the
 * vectors with each level. */
VEC_INLINE Vec tile_sums(const Vec v[8]) {
  Vec a = ADD_PAIR(v[0], v[1], 1), b = ADD_PAIR(v[2], v[3], 1);
  Vec low = ADD_PAIR(a, b, 2);
#if VEC_BYTES > 16
  Vec c = ADD_PAIR(v[4], v[5], 1), d = ADD_PAIR(v[6], v[7], 1);
  Vec high = ADD_PAIR(c, d, 2);
  low = ADD_PAIR(low, high, 4);
#endif
#if VEC_BYTES > 32
  low = ADD_PAIR(low, low, 8);
#endif
  return low;
}

/* The same outputs for few of them: the terms of a run lie across the lanes and each output channel
 * is a dot product. weights[o][tap][run, to whole vectors]. */
VEC_INLINE void tile_dots(ConvPixels x, const ConvTaps *k, const real *weights, const real *bias,
                          int64_t outs) {
  int64_t whole = k->run / LANES * LANES;
  VecMask rest = vec_mask_first((int)(k->run - whole));
  bool full = x.count >= TILE_DOTS; /* then offsets only increase */
  ConvFill fill;
  tile_fill(&x, &fill, TILE_DOTS);
  for (int64_t p = 0; p < x.count; p += TILE_DOTS) {
    int64_t first = conv_min(p, x.count - TILE_DOTS);
    const real *source[8], *w = weights;
    VEC_UNROLL for (int t = 0; t < TILE_DOTS; t++) source[t] =
        x.source + x.source_offset[first + t];
    for (int64_t o = 0; o < outs; o++) {
      Vec sum[8];
      VEC_UNROLL for (int t = 0; t < TILE_DOTS; t++) sum[t] = vec_zero();
      for (int64_t r = 0; r < k->rows; r++)
        for (int64_t c = 0; c < k->columns; c++) {
          int64_t i = r * k->row_pitch + c * k->column_pitch, end = i + whole;
          for (; i < end; i += LANES, w += LANES) {
            Vec weight = vec_load(w);
            VEC_UNROLL for (int t = 0; t < TILE_DOTS; t++) sum[t] +=
                vec_load(source[t] + i) * weight;
          }
          if (whole == k->run) continue;
          Vec weight = vec_load(w);
          w += LANES;
          /* what lies behind the run is another pixel's, perhaps not even a number */
          VEC_UNROLL for (int t = 0; t < TILE_DOTS; t++) sum[t] +=
              vec_select(rest, vec_load(source[t] + i), vec_zero()) * weight;
        }
      Vec total = tile_sums(sum) + vec_fill(bias[o]);
      if (full && x.out_offset[first + TILE_DOTS - 1] - x.out_offset[first] == TILE_DOTS - 1) {
        vec_store_part(x.out + x.out_offset[first], total, TILE_DOTS); /* one output, in a row */
        continue;
      }
      real dots[LANES];
      vec_store(dots, total);
      VEC_UNROLL for (int t = 0; t < TILE_DOTS; t++) x.out[x.out_offset[first + t] + o] = dots[t];
    }
  }
}

/* Weight gradients. A segment is a stretch of pixels short enough to stay in the innermost cache
 * and for its sums to be chained. */
typedef struct ConvSegment {
  int64_t count;
  const real *source; /* the window; pixel p begins at source_offset[p] */
  const int32_t *source_offset;
  const real *other; /* the other image: pixel p's channels are at p * other_pitch */
  int64_t other_pitch;
  bool first; /* the sums are stored, not added */
} ConvSegment;

/* sums[m][o] += sum over pixels of source[pixel + tap[m]] * other[pixel][o] for rows m of the tile
 * from `skip` on (the others were another tile's) and `block` vectors of o. */
VEC_INLINE void tile_products(const ConvSegment *s, const int32_t *tap, int skip, real *sums,
                              int64_t pitch, const int rows, const int block) {
  const real *source[8];
  Vec sum[8][TILE_BLOCK];
  VEC_UNROLL for (int m = 0; m < rows; m++) {
    source[m] = s->source + tap[m];
    VEC_UNROLL for (int b = 0; b < block; b++) sum[m][b] = vec_zero();
  }
  const real *other = s->other;
  for (int64_t p = 0; p < s->count; p++, other += s->other_pitch) {
    int64_t offset = s->source_offset[p];
    Vec v[TILE_BLOCK];
    VEC_UNROLL for (int b = 0; b < block; b++) v[b] = vec_load(other + b * LANES);
    VEC_UNROLL for (int m = 0; m < rows; m++) {
      Vec x = vec_fill(source[m][offset]);
      VEC_UNROLL for (int b = 0; b < block; b++) sum[m][b] += x * v[b];
    }
  }
  VEC_UNROLL for (int m = 0; m < rows; m++) {
    if (m < skip) continue;
    VEC_UNROLL for (int b = 0; b < block; b++) {
      real *to = sums + m * pitch + b * LANES;
      vec_store(to, s->first ? sum[m][b] : vec_load(to) + sum[m][b]);
    }
  }
}

/* The same with the roles exchanged, for an `other` of few channels: sums[m] += source[pixel +
 * tap[m]] (a vector) * other[pixel], which points to one channel. */
VEC_INLINE void tile_stretches(const ConvSegment *s, const int32_t *tap, int skip, real *sums,
                               const int rows) {
  const real *source[8];
  Vec sum[8];
  VEC_UNROLL for (int m = 0; m < rows; m++) {
    source[m] = s->source + tap[m];
    sum[m] = vec_zero();
  }
  const real *other = s->other;
  for (int64_t p = 0; p < s->count; p++, other += s->other_pitch) {
    int64_t offset = s->source_offset[p];
    Vec v = vec_fill(*other);
    VEC_UNROLL for (int m = 0; m < rows; m++) sum[m] += vec_load(source[m] + offset) * v;
  }
  VEC_UNROLL for (int m = 0; m < rows; m++) {
    if (m < skip) continue;
    real *to = sums + m * LANES;
    vec_store(to, s->first ? sum[m] : vec_load(to) + sum[m]);
  }
}

#endif
