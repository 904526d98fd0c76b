/* Floor 2: the weight gradient of convolutions on the tiles of conv_tiles.h. It is a product of two
 * tall matrices, one row a small pixel: the patch of the big image that lies under it, read in
 * place, and its channels in the small image ("other"). Chunks of jobs sum into buffers of their
 * own, which are added in order. */
#ifndef LATENT_SIMD_CONV_GRADIENT_H
#define LATENT_SIMD_CONV_GRADIENT_H

#include "simd/conv_fast.h"

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
  bool dense;                    /* the rows of a tile are neighbours in the big image */
  int64_t rows, tile;            /* of the sums, filled up to one tile; of a tile */
  int64_t pitch;                 /* of a row of sums */
  int64_t vectors;               /* of a run, for stretches */
  int64_t lines;                 /* of a segment */
  int64_t buffer, chunks, grain; /* reals of a chunk's sums; chunks; jobs of one */
  int32_t *tap;                  /* offsets of the rows */
  ConvBounds *bounds;            /* of the tiles */
  int32_t *source_offset;        /* of the pixels of a job */
  real *sums;
} WeightGradient;

typedef void ConvTile(const ConvSegment *s, const int32_t *tap, const ConvBounds *bounds, int skip,
                      real *sums, int64_t pitch);

#define PRODUCTS(NAME, ROWS, BLOCK, STRETCHES, DENSE)                                              \
  static __attribute__((noinline)) void NAME(const ConvSegment *s, const int32_t *tap,             \
                                             const ConvBounds *bounds, int skip, real *sums,       \
                                             int64_t pitch) {                                      \
    tile_products(s, tap, bounds, skip, sums, pitch, ROWS, BLOCK, STRETCHES, DENSE);               \
  }
PRODUCTS(products_1, TILE_ROWS, 1, false, false)
PRODUCTS(products_2, TILE_ROWS, 2, false, false)
PRODUCTS(products_few_1, TILE_ROWS_FEW, 1, false, false)
PRODUCTS(products_few_2, TILE_ROWS_FEW, 2, false, false)
PRODUCTS(products_dense_1, TILE_DENSE_1, 1, false, true)
PRODUCTS(products_dense_half, TILE_DENSE_2, 1, false, true)
PRODUCTS(products_dense_2, TILE_DENSE_2, 2, false, true)
PRODUCTS(stretches_all, TILE_ROWS, 1, true, false)
PRODUCTS(stretches_few, TILE_ROWS_FEW, 1, true, false)

static void gradient_rows(const WeightGradient *g, const ConvSegment *s, ConvTile *run,
                          real *sums) {
  for (int64_t m = 0; m < g->rows; m += g->tile) {
    int64_t first = conv_min(m, g->rows - g->tile);
    run(s, g->tap + first, &g->bounds[m / g->tile], (int)(m - first), sums + first * g->pitch,
        g->pitch);
  }
}

static ConvTile *gradient_tile(const WeightGradient *g, bool two) {
  if (g->dense && two) return products_dense_2;
  if (g->dense) return g->tile == TILE_DENSE_1 ? products_dense_1 : products_dense_half;
  if (g->tile == TILE_ROWS_FEW) return two ? products_few_2 : products_few_1;
  return two ? products_2 : products_1;
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
    gradient_rows(g, &s, gradient_tile(g, two), sums + v * LANES);
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
    int64_t rows = conv_min(g->axis[0].count - j.row, g->cut.rows), width = g->axis[1].count;
    const real *other = g->small + (j.image * g->axis[0].count + j.row) * width * g->small_channels;
    int64_t lines = j.images * rows;
    for (int64_t l = 0; l < lines; l += g->lines) {
      ConvSegment s = {.lines = conv_min(g->lines, lines - l),
                       .width = width,
                       .source = j.window,
                       .source_offset = g->source_offset + l * width,
                       .other = other + l * width * g->small_channels,
                       .other_pitch = g->small_channels,
                       .row = j.row + l % rows,
                       .top = j.row,
                       .bottom = j.row + rows,
                       .first = number == begin && l == 0};
      if (g->copy) {
        conv_widen(wide, s.other, s.lines * width, g->small_channels);
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
  g->stretches = g->small_channels * runs * g->vectors < rows * conv_vectors(g->small_channels) &&
                 shortcut(GRADIENT_ALONG);
  g->copy = !g->stretches && g->small_channels % LANES != 0;
  if (g->stretches) rows = runs * g->vectors;
  int64_t all = conv_ceil(rows, TILE_ROWS) * TILE_ROWS;
  int64_t few = conv_ceil(rows, TILE_ROWS_FEW) * TILE_ROWS_FEW;
  g->tile = few < all ? TILE_ROWS_FEW : TILE_ROWS;
  int64_t dense = g->small_channels > LANES ? TILE_DENSE_2 : TILE_DENSE_1;
  g->dense = !g->stretches && g->taps.run % dense == 0 && shortcut(GRADIENT_DENSE);
  if (g->dense) g->tile = dense;
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

/* The pixels for which tap j of axis d lies inside. */
static ConvSpan gradient_span(const WeightGradient *g, int d, int64_t j) {
  const ConvAxis *a = &g->axis[d];
  return conv_inside(j * a->dilation - a->padding, a->step, a->source, a->count);
}

static ConvSpan gradient_union(ConvSpan a, ConvSpan b) {
  return (ConvSpan){a.first < b.first ? a.first : b.first, a.end > b.end ? a.end : b.end};
}

/* The pixels that a tile of rows from `first` on has to visit. */
static ConvBounds gradient_bounds(const WeightGradient *g, int64_t first) {
  const ConvTaps *k = &g->taps;
  ConvBounds b = {.rows = {INT32_MAX, 0}, .columns = {INT32_MAX, 0}};
  int64_t of_run = g->stretches ? g->vectors : k->run, length = g->stretches ? LANES : 1;
  int64_t last = conv_min(first + g->tile, k->rows * k->columns * of_run) - 1;
  for (int64_t m = first; m <= last; m++) {
    int64_t run = m / of_run, begin = m % of_run * length;
    int64_t left = run % k->columns + begin / k->unit;
    int64_t right = run % k->columns + (conv_min(begin + length, k->run) - 1) / k->unit;
    b.rows = gradient_union(b.rows, gradient_span(g, 0, run / k->columns));
    for (int64_t x = left; x <= right; x++)
      b.columns = gradient_union(b.columns, gradient_span(g, 1, x));
  }
  b.all = b.rows.first == 0 && b.rows.end == g->axis[0].count && b.columns.first == 0 &&
          b.columns.end == g->axis[1].count;
  return b;
}

static void gradient_tables(const WeightGradient *g) {
  gradient_taps(g);
  for (int64_t m = 0; m < g->rows; m += g->tile)
    g->bounds[m / g->tile] = gradient_bounds(g, conv_min(m, g->rows - g->tile));
  int32_t *to = g->source_offset;
  for (int64_t n = 0; n < g->cut.images; n++)
    for (int64_t y = 0; y < g->cut.rows; y++)
      for (int64_t x = 0; x < g->axis[1].count; x++)
        *to++ = (int32_t)(n * g->cut.image + y * g->axis[0].step * g->cut.row +
                          x * g->axis[1].step * g->big_channels);
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
  g->tap = workspace_take(base, &used, g->rows * (int64_t)sizeof(int32_t));
  g->bounds =
      workspace_take(base, &used, conv_ceil(g->rows, g->tile) * (int64_t)sizeof(ConvBounds));
  g->source_offset = workspace_take(base, &used, g->cut.pixels * (int64_t)sizeof(int32_t));
  g->sums = workspace_take(base, &used, g->chunks * g->buffer * (int64_t)sizeof(real));
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
  g.lines = conv_max(CONV_SEGMENT / g.axis[1].count, 1);
  int64_t chunks = conv_min(work * g.batch / (4 * CONV_WORK), CONV_BUFFERS / g.buffer);
  /* few pixels are not worth sums of their own */
  chunks = conv_min(chunks, g.batch * g.axis[0].count * g.axis[1].count / CONV_SEGMENT);
  chunks = conv_max(conv_min(conv_min(chunks, CONV_CHUNKS), g.cut.jobs), 1);
  g.grain = conv_ceil(g.cut.jobs, chunks);
  g.chunks = conv_ceil(g.cut.jobs, g.grain);
  Tensor *space = workspace_new(gradient_place(&g, NULL), e);
  if (!space) return false;
  int64_t wide = g.copy ? g.lines * g.axis[1].count * g.pitch * (int64_t)sizeof(real) : 0;
  if (!parallel_reserve(conv_window_bytes(&g.cut) + wide + 64)) {
    tensor_release(space);
    return error_set(e, "out of memory");
  }
  gradient_place(&g, space->data);
  gradient_tables(&g);
  parallel_for(g.cut.jobs, g.grain, gradient_jobs, &g);
  gradient_finish(&g, geometry, dw);
  tensor_release(space);
  return true;
}

#endif
