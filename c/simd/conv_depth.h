/* Floor 2: convolutions in which each channel is by itself, as many groups as channels. Vectors lie
 * along the channels; a tile is a line of pixels that have the same taps inside the source, in a
 * row of the image or, at its left and right edges, in a column. */
#ifndef LATENT_SIMD_CONV_DEPTH_H
#define LATENT_SIMD_CONV_DEPTH_H

#include "base/parallel.h"
#include "simd/conv_geometry.h"
#include "simd/sums.h"
#include "simd/vec.h"
#include "simd/workspace.h"

/* Pixels with the same taps: `count` in a line, as many lines as `lines`. [0] of the taps is the
 * vertical axis, and so for their distances in the source and the weight. */
typedef struct DepthPixels {
  const real *source, *weight; /* at the first tap of the first pixel */
  real *out;
  int64_t count, source_step, out_step;
  int64_t lines, source_line, out_line;
  int64_t taps[2], source_tap[2], weight_tap[2];
  int64_t channels;
  const real *bias; /* or NULL */
} DepthPixels;

VEC_INLINE Vec depth_load(const real *p, int lanes) {
  return lanes == LANES ? vec_load(p) : vec_load_part(p, lanes);
}

VEC_INLINE void depth_store(real *p, Vec v, int lanes) {
  if (lanes == LANES) vec_store(p, v);
  else vec_store_part(p, v, lanes);
}

/* `pixels` from x on in as many vectors as `vectors`, from channel c on; the last one has `lanes`
 * channels. Terms are added in the order of conv_tiles.h. */
VEC_INLINE void depth_tile(const DepthPixels *d, const real *x, real *y, int64_t c,
                           const int pixels, const int vectors, int lanes) {
  Vec sum[8];
  VEC_UNROLL for (int i = 0; i < pixels * vectors; i++) sum[i] = vec_zero();
  const real *row = x + c, *weights = d->weight + c;
  for (int64_t u = 0; u < d->taps[0]; u++) {
    const real *from = row, *w = weights;
    for (int64_t v = 0; v < d->taps[1]; v++) {
      VEC_UNROLL for (int k = 0; k < vectors; k++) {
        Vec factor = depth_load(w + k * LANES, lanes);
        VEC_UNROLL for (int p = 0; p < pixels; p++) sum[k * pixels + p] +=
            depth_load(from + p * d->source_step + k * LANES, lanes) * factor;
      }
      from += d->source_tap[1];
      w += d->weight_tap[1];
    }
    row += d->source_tap[0];
    weights += d->weight_tap[0];
  }
  VEC_UNROLL for (int k = 0; k < vectors; k++) {
    VEC_UNROLL for (int p = 0; p < pixels; p++) {
      Vec out = sum[k * pixels + p];
      if (d->bias) out += depth_load(d->bias + c + k * LANES, lanes);
      depth_store(y + p * d->out_step + c + k * LANES, out, lanes);
    }
  }
}

/* A line of pixels by tiles; where they do not fit, the last tile begins earlier, so do the last
 * channels', and what is made twice is the same. */
VEC_INLINE void depth_line(const DepthPixels *d, const real *x, real *y, const int pixels,
                           const int vectors, int lanes) {
  int64_t width = vectors > 1 || lanes == LANES ? vectors * LANES : d->channels;
  for (int64_t p = 0; p < d->count; p += pixels) {
    int64_t first = conv_min(p, d->count - pixels);
    for (int64_t c = 0; c < d->channels; c += width)
      depth_tile(d, x + first * d->source_step, y + first * d->out_step,
                 conv_min(c, d->channels - width), pixels, vectors, lanes);
  }
}

/* Where code counts more than speed (no page trains such a model, and double precision is for
 * checks) there are fewer forms; in double precision none of them for fewer channels than lanes. */
#if defined LATENT_DOUBLE || defined __wasm__
enum { DEPTH_SHORT = 1 };
#else
enum { DEPTH_SHORT = 0 };
#endif
#ifdef LATENT_DOUBLE
enum { DEPTH_FEW = 0 };
#else
enum { DEPTH_FEW = 1 };
#endif

static inline bool depth_takes(int64_t channels) { return DEPTH_FEW || channels >= LANES; }

/* `pixels` by `vectors`: as many sums as a multiply-add takes to be done, twice over, where pixels
 * and channels are enough. */
#define DEPTH_LINE(pixels, vectors)                                                                \
  static __attribute__((noinline)) void depth_line_##pixels##_##vectors(const DepthPixels *d,      \
                                                                        const real *x, real *y) {  \
    DepthPixels own = *d;                                                                          \
    depth_line(&own, x, y, pixels, vectors, LANES);                                                \
  }
DEPTH_LINE(8, 1)
DEPTH_LINE(4, 2)
DEPTH_LINE(4, 1)
DEPTH_LINE(1, 4)
DEPTH_LINE(1, 1)
/* Of fewer channels than lanes. */
static __attribute__((noinline, unused)) void depth_line_few(const DepthPixels *d, const real *x,
                                                             real *y) {
  DepthPixels own = *d;
  int lanes = (int)d->channels;
  if (!DEPTH_SHORT && d->count >= 8) depth_line(&own, x, y, 8, 1, lanes);
  else depth_line(&own, x, y, 1, 1, lanes);
}

static void depth_pixels(const DepthPixels *d) {
  int64_t vectors = d->channels / LANES;
  void (*line)(const DepthPixels *, const real *, real *);
  if (DEPTH_FEW && vectors < 1) line = depth_line_few;
  else if (DEPTH_SHORT) line = d->count >= 4 ? depth_line_4_1 : depth_line_1_1;
  else if (d->count >= 8) line = depth_line_8_1;
  else if (d->count >= 4) line = vectors >= 2 ? depth_line_4_2 : depth_line_4_1;
  else line = vectors >= 4 ? depth_line_1_4 : depth_line_1_1;
  for (int64_t i = 0; i < d->lines; i++)
    line(d, d->source + i * d->source_line, d->out + i * d->out_line);
}

/* One of the two correlations, from `source` to `out`. */
typedef struct Depth {
  ConvAxis axis[2];
  int64_t channels, kernel; /* its columns */
  const real *source, *weight, *bias;
  real *out;
} Depth;

/* The steps from q on, up to `end`, whose taps are the same as those of q; these in *taps. */
static int64_t depth_alike(const ConvAxis *a, const ConvPhase *p, int64_t q, int64_t end,
                           ConvSpan *taps) {
  int64_t next = q + 1;
  *taps = conv_span(a, p, q);
  while (next < end && conv_same_span(conv_span(a, p, next), *taps)) next++;
  return next;
}

/* The outputs of two phases r from rows first to end and columns from to stop, of one image, whose
 * taps are alike. */
static void depth_block(const Depth *d, int64_t image, const ConvPhase p[2], const int64_t r[2],
                        const int64_t from[2], const int64_t to[2], const ConvSpan taps[2]) {
  int64_t n = d->channels, source[2], weight[2], out[2], size[2];
  int64_t source_pitch[2] = {d->axis[1].source * n, n}, out_pitch[2] = {d->axis[1].out * n, n};
  int64_t weight_pitch[2] = {d->kernel * n, n};
  DepthPixels pixels = {.channels = n, .bias = d->bias};
  for (int k = 0; k < 2; k++) {
    const ConvAxis *a = &d->axis[k];
    source[k] = from[k] * a->step - a->before + p[k].first + taps[k].first * p[k].tap_step;
    weight[k] = p[k].weight + taps[k].first * p[k].weight_step;
    out[k] = from[k] * a->phases + r[k];
    size[k] = to[k] - from[k];
    pixels.taps[k] = taps[k].end - taps[k].first;
    pixels.source_tap[k] = p[k].tap_step * source_pitch[k];
    pixels.weight_tap[k] = p[k].weight_step * weight_pitch[k];
  }
  bool any = pixels.taps[0] > 0 && pixels.taps[1] > 0;
  if (!any) pixels.taps[0] = 0; /* and nothing is read */
  int along = size[1] >= size[0];
  pixels.count = size[along];
  pixels.lines = size[!along];
  pixels.source_step = d->axis[along].step * source_pitch[along];
  pixels.source_line = d->axis[!along].step * source_pitch[!along];
  pixels.out_step = d->axis[along].phases * out_pitch[along];
  pixels.out_line = d->axis[!along].phases * out_pitch[!along];
  pixels.source = d->source + image * d->axis[0].source * source_pitch[0];
  pixels.weight = d->weight;
  if (any) {
    pixels.source += source[0] * source_pitch[0] + source[1] * source_pitch[1];
    pixels.weight += weight[0] * weight_pitch[0] + weight[1] * weight_pitch[1];
  }
  pixels.out = d->out + image * d->axis[0].out * out_pitch[0] + out[0] * out_pitch[0] +
               out[1] * out_pitch[1];
  depth_pixels(&pixels);
}

/* Rows [begin, end) of an image, in the steps of its vertical axis. */
static void depth_rows(const Depth *d, int64_t image, int64_t begin, int64_t end) {
  const ConvAxis *a = d->axis;
  int64_t phases = conv_min(a[0].phases, a[0].out) * conv_min(a[1].phases, a[1].out);
  for (int64_t k = 0; k < phases; k++) {
    int64_t columns = conv_min(a[1].phases, a[1].out), r[2] = {k / columns, k % columns};
    ConvPhase p[2] = {conv_phase(&a[0], r[0]), conv_phase(&a[1], r[1])};
    ConvSpan taps[2];
    int64_t from[2], to[2], last = conv_min(end, p[0].count);
    for (from[0] = begin; from[0] < last; from[0] = to[0]) {
      to[0] = depth_alike(&a[0], &p[0], from[0], last, &taps[0]);
      for (from[1] = 0; from[1] < p[1].count; from[1] = to[1]) {
        to[1] = depth_alike(&a[1], &p[1], from[1], p[1].count, &taps[1]);
        depth_block(d, image, p, r, from, to, taps);
      }
    }
  }
}

static void depth_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Depth *d = context;
  int64_t rows = d->axis[0].count;
  (void)thread;
  while (begin < end) {
    int64_t row = begin % rows, more = conv_min(rows - row, end - begin);
    depth_rows(d, begin / rows, row, row + more);
    begin += more;
  }
}

/* Rows that make a chunk. */
static int64_t depth_grain(const ConvGeometry *g, int64_t rows) {
  int64_t work = g->small[0] * g->small[1] * g->kernel[0] * g->kernel[1] * g->big_channels;
  return conv_max(CONV_CHUNK * rows / conv_max(work, 1), 1);
}

static void depth_correlate(const ConvGeometry *g, bool up, const real *source, const real *weight,
                            const real *bias, real *out) {
  Depth d = {.axis = {conv_axis(g, 0, up), conv_axis(g, 1, up)},
             .channels = g->big_channels,
             .kernel = g->kernel[1],
             .source = source,
             .weight = weight,
             .bias = bias,
             .out = out};
  int64_t rows = d.axis[0].count, n = g->batch * rows;
  parallel_for(n, parallel_whole(n, depth_grain(g, rows)), depth_chunk, &d);
}

/* ---- the gradient of the weight: a vector of sums for each tap ---- */

enum { DEPTH_TAPS = 9 }; /* whose sums stay in registers together */

/* Some of the taps of pixels: how far apart their sources are from the first one's. */
typedef struct DepthTaps {
  int64_t source[DEPTH_TAPS], sums[DEPTH_TAPS];
} DepthTaps;

VEC_INLINE void depth_sums(const DepthPixels *d, const DepthTaps *t, int64_t c, real *sums,
                           const int taps, int lanes) {
  Vec sum[DEPTH_TAPS];
  const real *x[DEPTH_TAPS];
  VEC_UNROLL for (int k = 0; k < taps; k++) {
    sum[k] = vec_load(sums + t->sums[k]);
    x[k] = d->source + t->source[k] + c;
  }
  for (int64_t i = 0; i < d->lines; i++) {
    const real *dy = d->out + i * d->out_line + c;
    int64_t at = i * d->source_line;
    for (int64_t p = 0; p < d->count; p++, dy += d->out_step, at += d->source_step) {
      Vec factor = depth_load(dy, lanes);
      VEC_UNROLL for (int k = 0; k < taps; k++) sum[k] += depth_load(x[k] + at, lanes) * factor;
    }
  }
  VEC_UNROLL for (int k = 0; k < taps; k++) vec_store(sums + t->sums[k], sum[k]);
}

#define DEPTH_SUMS(taps)                                                                           \
  static __attribute__((noinline, unused)) void depth_sums_##taps(                                 \
      const DepthPixels *d, const DepthTaps *t, int64_t c, real *sums, int lanes) {                \
    if (!DEPTH_FEW || lanes == LANES) depth_sums(d, t, c, sums, taps, LANES);                      \
    else depth_sums(d, t, c, sums, taps, lanes);                                                   \
  }
DEPTH_SUMS(9)
DEPTH_SUMS(6)
DEPTH_SUMS(3)
DEPTH_SUMS(1)

typedef struct DepthGradient {
  ConvAxis axis[2];
  int64_t channels, kernel[2];
  int64_t width; /* of a tap's sums: whole vectors, the last of which may begin earlier */
  int64_t grain;
  const real *big, *small;
  real *sums; /* (chunks, taps, width) */
} DepthGradient;

/* Adds what pixels with the same taps have, a vector of channels after the other. */
static void depth_add(const DepthGradient *g, const DepthPixels *d, const ConvSpan taps[2],
                      real *sums) {
  int64_t count = d->taps[0] * d->taps[1];
  int lanes = g->channels < LANES ? (int)g->channels : LANES;
  for (int64_t v = 0; v < g->width; v += LANES) {
    int64_t c = conv_min(v, g->channels - lanes), done = 0;
    while (done < count) {
      int64_t left = count - done, n = left >= 3 ? 3 : 1;
      if (!DEPTH_SHORT && left >= 6) n = left >= 9 ? 9 : 6;
      DepthTaps t;
      for (int64_t k = 0; k < n; k++) {
        int64_t row = (done + k) / d->taps[1], column = (done + k) % d->taps[1];
        int64_t tap = (taps[0].first + row) * g->kernel[1] + taps[1].first + column;
        t.source[k] = row * d->source_tap[0] + column * d->source_tap[1];
        t.sums[k] = tap * g->width + v;
      }
      if (!DEPTH_SHORT && n == 9) depth_sums_9(d, &t, c, sums, lanes);
      else if (!DEPTH_SHORT && n == 6) depth_sums_6(d, &t, c, sums, lanes);
      else if (n == 3) depth_sums_3(d, &t, c, sums, lanes);
      else depth_sums_1(d, &t, c, sums, lanes);
      done += n;
    }
  }
}

/* Rows [begin, end) of an image's small one. */
static void depth_add_rows(const DepthGradient *g, int64_t image, int64_t begin, int64_t end,
                           real *sums) {
  const ConvAxis *a = g->axis;
  int64_t n = g->channels, source_row = a[1].source * n, out_row = a[1].out * n;
  ConvPhase p[2] = {conv_phase(&a[0], 0), conv_phase(&a[1], 0)};
  ConvSpan taps[2];
  for (int64_t q = begin, next; q < end; q = next) {
    next = depth_alike(&a[0], &p[0], q, end, &taps[0]);
    for (int64_t c = 0, stop; c < a[1].out; c = stop) {
      stop = depth_alike(&a[1], &p[1], c, a[1].out, &taps[1]);
      int64_t y = q * a[0].step - a[0].padding + taps[0].first * a[0].dilation;
      int64_t x = c * a[1].step - a[1].padding + taps[1].first * a[1].dilation;
      DepthPixels d = {.source = g->big + image * a[0].source * source_row,
                       .out = (real *)g->small + image * a[0].out * out_row + q * out_row + c * n,
                       .count = stop - c,
                       .source_step = a[1].step * n,
                       .out_step = n,
                       .lines = next - q,
                       .source_line = a[0].step * source_row,
                       .out_line = out_row,
                       .taps = {taps[0].end - taps[0].first, taps[1].end - taps[1].first},
                       .source_tap = {a[0].dilation * source_row, a[1].dilation * n}};
      if (d.taps[0] < 1 || d.taps[1] < 1) continue;
      d.source += y * source_row + x * n;
      depth_add(g, &d, taps, sums);
    }
  }
}

static void depth_gradient_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const DepthGradient *g = context;
  int64_t rows = g->axis[0].out, size = g->kernel[0] * g->kernel[1] * g->width;
  real *sums = g->sums + begin / g->grain * size;
  (void)thread;
  memset(sums, 0, (size_t)size * sizeof(real));
  while (begin < end) {
    int64_t row = begin % rows, more = conv_min(rows - row, end - begin);
    depth_add_rows(g, begin / rows, row, row + more, sums);
    begin += more;
  }
}

/* dw[tap, c] = sum over images and pixels of big[...] small[...] */
static bool depth_weight_gradient(const ConvGeometry *g, const real *big, const real *small,
                                  real *dw, Error *e) {
  int64_t n = g->big_channels, taps = g->kernel[0] * g->kernel[1], rows = g->batch * g->small[0];
  DepthGradient d = {.axis = {conv_axis(g, 0, false), conv_axis(g, 1, false)},
                     .channels = n,
                     .kernel = {g->kernel[0], g->kernel[1]},
                     .width = conv_ceil(n, LANES) * LANES,
                     .big = big,
                     .small = small};
  d.grain = conv_max(depth_grain(g, g->small[0]), conv_ceil(rows, CONV_JOBS));
  int64_t chunks = conv_ceil(rows, d.grain), size = taps * d.width;
  Tensor *space = workspace_new(conv_max(chunks, 1) * size * (int64_t)sizeof(real), e);
  if (!space) return false;
  d.sums = space->data;
  if (chunks > 0) parallel_for(rows, d.grain, depth_gradient_chunk, &d);
  else memset(d.sums, 0, (size_t)size * sizeof(real));
  sums_join(d.sums, size, chunks);
  int64_t own = n < LANES ? 0 : n - LANES; /* where the last vector begins */
  for (int64_t t = 0; t < taps; t++)
    for (int64_t c = 0; c < n; c++) {
      int64_t last = d.width - LANES;
      dw[t * n + c] = d.sums[t * d.width + (c < last ? c : last + c - own)];
    }
  tensor_release(space);
  return true;
}

#endif
