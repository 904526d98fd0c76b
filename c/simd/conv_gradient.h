/* Floor 2: the weight gradient of convolutions on the tiles of conv_tiles.h. It is a product of two
 * tall matrices, one row a small pixel: the patch of the big image that lies under it, read in
 * place, and its channels in the small image ("other"). Chunks of jobs sum into buffers of their
 * own, which are added in order. */
#ifndef LATENT_SIMD_CONV_GRADIENT_H
#define LATENT_SIMD_CONV_GRADIENT_H

#include "conv_fast.h"

enum {
  CONV_SEGMENT = 256, /* pixels whose products are chained */
  CONV_CHUNKS = 16,   /* at most, and at most CONV_BUFFERS reals in their buffers */
  CONV_BUFFERS = 1 << 22
};

typedef struct WeightGradient {
  ConvAxis axis[2];
  ConvCut cut;
  ConvTaps taps;
  int64_t batch, big_channels, small_channels;
  const real *big, *small;
  bool stretches;                /* few small channels: vectors lie along the patch */
  bool copy;                     /* the small image's channels are copied to whole vectors */
  int64_t rows, tile;            /* of the sums, filled up to one tile; of a tile */
  int64_t pitch;                 /* of a row of sums */
  int64_t vectors;               /* of a run, for stretches */
  int64_t buffer, chunks, grain; /* reals of a chunk's sums; chunks; jobs of one */
  int32_t *tap;                  /* offsets of the rows */
  int32_t *source_offset;        /* of the pixels */
  real *sums;
} WeightGradient;

#define PRODUCTS(NAME, ROWS, BLOCK)                                                                \
  static __attribute__((noinline)) void NAME(const ConvSegment *s, const int32_t *tap, int skip,   \
                                             real *sums, int64_t pitch) {                          \
    tile_products(s, tap, skip, sums, pitch, ROWS, BLOCK);                                         \
  }
#define STRETCHES(NAME, ROWS)                                                                      \
  static __attribute__((noinline)) void NAME(const ConvSegment *s, const int32_t *tap, int skip,   \
                                             real *sums, int64_t pitch) {                          \
    (void)pitch;                                                                                   \
    tile_stretches(s, tap, skip, sums, ROWS);                                                      \
  }
PRODUCTS(products_1, TILE_ROWS, 1)
PRODUCTS(products_2, TILE_ROWS, 2)
PRODUCTS(products_few_1, TILE_ROWS_FEW, 1)
PRODUCTS(products_few_2, TILE_ROWS_FEW, 2)
STRETCHES(stretches_all, TILE_ROWS)
STRETCHES(stretches_few, TILE_ROWS_FEW)

typedef void ConvTile(const ConvSegment *s, const int32_t *tap, int skip, real *sums,
                      int64_t pitch);

static void gradient_rows(const WeightGradient *g, const ConvSegment *s, ConvTile *run,
                          real *sums) {
  for (int64_t m = 0; m < g->rows; m += g->tile) {
    int64_t first = conv_min(m, g->rows - g->tile);
    run(s, g->tap + first, (int)(m - first), sums + first * g->pitch, g->pitch);
  }
}

static void gradient_segment(const WeightGradient *g, ConvSegment s, real *sums) {
  bool few = g->tile == TILE_ROWS_FEW;
  if (g->stretches) {
    for (int64_t o = 0; o < g->small_channels; o++, s.other++, sums += g->rows * g->pitch)
      gradient_rows(g, &s, few ? stretches_few : stretches_all, sums);
    return;
  }
  int64_t vectors = conv_vectors(g->small_channels);
  for (int64_t v = 0; v < vectors; v += TILE_BLOCK) {
    bool two = vectors - v > 1;
    gradient_rows(g, &s,
                  few   ? (two ? products_few_2 : products_few_1)
                  : two ? products_2
                        : products_1,
                  sums + v * LANES);
    s.other += TILE_BLOCK * LANES;
  }
}

/* Rows of n channels to rows of whole vectors. */
static void conv_widen(real *to, const real *from, int64_t rows, int64_t n) {
  int64_t wide = conv_vectors(n) * LANES;
  for (int64_t r = 0; r < rows; r++, to += wide, from += n) {
    for (int64_t i = 0; i < n; i++) to[i] = from[i];
    for (int64_t i = n; i < wide; i++) to[i] = 0;
  }
}

static void gradient_jobs(void *context, int64_t begin, int64_t end, int thread) {
  const WeightGradient *g = context;
  real *scratch = parallel_scratch(thread);
  real *wide = scratch + conv_window_bytes(&g->cut) / (int64_t)sizeof(real);
  real *sums = g->sums + begin / g->grain * g->buffer;
  for (int64_t number = begin; number < end; number++) {
    ConvJob j = conv_job(&g->cut, g->axis, g->big, g->big_channels, g->batch, number, scratch);
    int64_t rows = conv_min(g->axis[0].count - j.row, g->cut.rows);
    int64_t pixels = j.images * rows * g->axis[1].count;
    const real *other =
        g->small + (j.image * g->axis[0].count + j.row) * g->axis[1].count * g->small_channels;
    for (int64_t p = 0; p < pixels; p += CONV_SEGMENT) {
      ConvSegment s = {.count = conv_min(CONV_SEGMENT, pixels - p),
                       .source = j.window,
                       .source_offset = g->source_offset + p,
                       .other = other + p * g->small_channels,
                       .other_pitch = g->small_channels,
                       .first = number == begin && p == 0};
      if (g->copy) {
        conv_widen(wide, s.other, s.count, g->small_channels);
        s.other = wide;
        s.other_pitch = conv_vectors(g->small_channels) * LANES;
      }
      gradient_segment(g, s, sums);
    }
  }
}

/* Chooses the form and the tile: rows of sums are (tap, big channel) pairs, or vectors of them. */
static void gradient_form(WeightGradient *g) {
  int64_t runs = g->taps.rows * g->taps.columns, rows = runs * g->taps.run;
  g->vectors = conv_vectors(g->taps.run);
  g->stretches = g->small_channels * runs * g->vectors < rows * conv_vectors(g->small_channels);
  g->copy = !g->stretches && g->small_channels % LANES != 0;
  if (g->stretches) rows = runs * g->vectors;
  int64_t all = conv_ceil(rows, TILE_ROWS) * TILE_ROWS;
  int64_t few = conv_ceil(rows, TILE_ROWS_FEW) * TILE_ROWS_FEW;
  g->tile = few < all ? TILE_ROWS_FEW : TILE_ROWS;
  g->rows = conv_max(rows, g->tile);
  g->pitch = g->stretches ? LANES : conv_vectors(g->small_channels) * LANES;
  g->buffer = g->rows * g->pitch * (g->stretches ? g->small_channels : 1);
}

/* The offsets of the rows; those beyond the last, which fill up a tile, repeat it. */
static void gradient_taps(const WeightGradient *g) {
  int64_t m = g->stretches ? conv_list(&g->taps, g->vectors, LANES, g->tap)
                           : conv_list(&g->taps, g->taps.run, 1, g->tap);
  for (; m < g->rows; m++) g->tap[m] = g->tap[m - 1];
}

/* Adds the chunks' sums in order and lays them out as the weight. */
static void gradient_finish(const WeightGradient *g, const ConvGeometry *geometry, real *dw) {
  for (int64_t c = 1; c < g->chunks; c++)
    for (int64_t i = 0; i < g->buffer; i++) g->sums[i] += g->sums[c * g->buffer + i];
  int64_t runs = g->taps.rows * g->taps.columns, channels = g->big_channels * g->small_channels;
  for (int64_t r = 0; r < runs; r++)
    for (int64_t i = 0; i < g->taps.run; i++) {
      int64_t m = r * g->taps.run + i;
      real *to = dw + m / g->big_channels * channels + m % g->big_channels * geometry->weight_big;
      const real *from =
          g->stretches ? g->sums + r * g->vectors * LANES + i : g->sums + m * g->pitch;
      int64_t step = g->stretches ? g->rows * LANES : 1;
      for (int64_t o = 0; o < g->small_channels; o++)
        to[o * geometry->weight_small] = from[o * step];
    }
}

static int64_t gradient_place(WeightGradient *g, char *base) {
  int64_t used = 0;
  g->tap = conv_take(base, &used, g->rows * (int64_t)sizeof(int32_t));
  g->source_offset = conv_take(base, &used, g->cut.pixels * (int64_t)sizeof(int32_t));
  g->sums = conv_take(base, &used, g->chunks * g->buffer * (int64_t)sizeof(real));
  return used;
}

/* dw = big * small, summed over the small pixels */
static bool conv_weight_gradient(const ConvGeometry *geometry, const real *big, const real *small,
                                 real *dw, Error *e) {
  WeightGradient g = {.axis = {conv_axis(geometry, 0, false), conv_axis(geometry, 1, false)},
                      .batch = geometry->batch,
                      .big_channels = geometry->big_channels,
                      .small_channels = geometry->small_channels,
                      .big = big,
                      .small = small};
  int64_t taps = geometry->kernel[0] * geometry->kernel[1];
  int64_t count = taps * g.big_channels * g.small_channels;
  if (g.batch == 0) {
    memset(dw, 0, (size_t)count * sizeof(real));
    return true;
  }
  ConvPhase axis[2] = {conv_phase(&g.axis[0], 0), conv_phase(&g.axis[1], 0)};
  int64_t work = geometry->small[0] * geometry->small[1] * count;
  bool whole = g.big_channels % LANES == 0; /* no vector of a run reaches beyond it */
  g.cut = conv_cut(g.axis, g.batch, g.big_channels, g.small_channels, work, whole);
  g.taps = conv_taps(axis, g.big_channels, g.cut.row);
  gradient_form(&g);
  int64_t chunks = conv_min(work * g.batch / (4 * CONV_WORK), CONV_BUFFERS / g.buffer);
  chunks = conv_max(conv_min(conv_min(chunks, CONV_CHUNKS), g.cut.jobs), 1);
  g.grain = conv_ceil(g.cut.jobs, chunks);
  g.chunks = conv_ceil(g.cut.jobs, g.grain);
  Tensor *space = conv_workspace(gradient_place(&g, NULL), e);
  if (!space) return false;
  int64_t wide = g.copy ? CONV_SEGMENT * g.pitch * (int64_t)sizeof(real) : 0;
  if (!parallel_reserve((size_t)(conv_window_bytes(&g.cut) + wide) + 64)) {
    tensor_release(space);
    return error_set(e, "out of memory");
  }
  gradient_place(&g, space->data);
  gradient_taps(&g);
  conv_offsets(g.source_offset, g.cut.images, g.cut.rows, g.axis[1].count, g.cut.image,
               g.cut.row * g.axis[0].step, g.big_channels * g.axis[1].step);
  parallel_for(g.cut.jobs, g.grain, gradient_jobs, &g);
  gradient_finish(&g, geometry, dw);
  tensor_release(space);
  return true;
}

#endif
