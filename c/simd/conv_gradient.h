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
  CONV_BUFFERS = 1 << 22,
  GRADIENT_LAID = 6,     /* reals that are added while one is laid out */
  GRADIENT_PART = 4,     /* tiles of a segment that a part keeps, ... */
  GRADIENT_COPY = 16,    /* ... where it copies windows */
  CONV_COPIED = 1 << 14, /* elements of windows that a parallel chunk copies, about */
  CONV_APART = 1 << 19,  /* reals in the buffers of segments, at most */
  CONV_ADDED = 1 << 16   /* reals of these added by a parallel chunk, about */
};

typedef void ConvTile(const ConvSegment *s, const int32_t *tap, const ConvBounds *bounds, int skip,
                      const ConvSums *to);

/* What a tile may be: its rows, how many of them lie side by side in the big image, its functions
 * for one and for two vectors, or for up to three channels of stretches, as far as it has them. */
typedef struct GradientTile {
  int rows, side;
  ConvTile *one, *two, *three;
} GradientTile;

typedef struct WeightGradient {
  ConvAxis axis[2];
  ConvCut cut;
  ConvTaps taps;
  int64_t batch, big_channels, small_channels;
  const real *big, *small, *small_end;
  real *weight; /* its gradient */
  int64_t weight_big, weight_small;
  bool stretches;                /* few small channels: vectors lie along the patch */
  const GradientTile *form;      /* the tile */
  int64_t rows, tile;            /* of the sums, filled up to one tile; of a tile */
  int64_t pitch;                 /* of a row of sums */
  int64_t vectors;               /* of a run, for stretches */
  int64_t lines;                 /* of a segment */
  int64_t fetches;               /* of a job, about */
  int64_t buffer, chunks, grain; /* reals of a chunk's sums; chunks; jobs of one */
  int64_t parts;                 /* into which the tiles of a chunk are cut, for more threads */
  real *windows;                 /* of all jobs, where parts share them; else NULL */
  int64_t apart;                 /* segments of a job, where each has sums of its own; else 0 */
  int32_t *tap;                  /* offsets of the rows */
  ConvBounds *bounds;            /* of the tiles */
  int32_t *source_offset;        /* of the pixels of a job */
  real *sums;
} WeightGradient;

#define PRODUCTS(NAME, ROWS, BLOCK, STRETCHES, SIDE)                                               \
  static __attribute__((noinline)) void NAME(const ConvSegment *s, const int32_t *tap,             \
                                             const ConvBounds *bounds, int skip,                   \
                                             const ConvSums *to) {                                 \
    tile_products(s, tap, bounds, skip, to, ROWS, BLOCK, STRETCHES, SIDE);                         \
  }
#define PRODUCTS_BOTH(NAME, ROWS, SIDE)                                                            \
  PRODUCTS(NAME##_1, ROWS, 1, false, SIDE)                                                         \
  PRODUCTS(NAME##_2, ROWS, 2, false, SIDE)

PRODUCTS_BOTH(products_all, TILE_ROWS, 1)
PRODUCTS_BOTH(products_few, TILE_ROWS_FEW, 1)
PRODUCTS(stretches_1, TILE_ROWS, 1, true, 1)
PRODUCTS(stretches_few_1, TILE_ROWS_FEW, 1, true, 1)
#if defined __AVX512F__ || defined __aarch64__
PRODUCTS_BOTH(products_12, 12, 12)
PRODUCTS_BOTH(products_9, 9, 9)
PRODUCTS_BOTH(products_9_of_3, 9, 3)
PRODUCTS(products_24, 24, 1, false, 24)
PRODUCTS(products_15, 15, 1, false, 15)
PRODUCTS(products_25_of_5, 25, 1, false, 5)
PRODUCTS(stretches_8_2, 8, 2, true, 1)
PRODUCTS(stretches_8_3, 8, 3, true, 1)
PRODUCTS(stretches_6_2, 6, 2, true, 1)
PRODUCTS(stretches_6_3, 6, 3, true, 1)
#else
PRODUCTS_BOTH(products_6, 6, 6)
PRODUCTS(products_12, 12, 1, false, 12)
PRODUCTS(products_10, 10, 1, false, 10)
PRODUCTS(products_9, 9, 1, false, 9)
PRODUCTS(products_9_of_3, 9, 1, false, 3)
#ifdef __FMA__
PRODUCTS(products_10_of_5, 10, 1, false, 5)
PRODUCTS(stretches_4_2, 4, 2, true, 1)
PRODUCTS(stretches_4_3, 4, 3, true, 1)
#endif
#endif

static const GradientTile gradient_tiles[] = {
    {TILE_ROWS, 1, products_all_1, products_all_2, NULL},
    {TILE_ROWS_FEW, 1, products_few_1, products_few_2, NULL},
#if defined __AVX512F__ || defined __aarch64__
    {24, 24, products_24, NULL, NULL},
    {15, 15, products_15, NULL, NULL},
    {12, 12, products_12_1, products_12_2, NULL},
    {9, 9, products_9_1, products_9_2, NULL},
    {25, 5, products_25_of_5, NULL, NULL},
    {9, 3, products_9_of_3_1, products_9_of_3_2, NULL},
#else
    {12, 12, products_12, NULL, NULL},
    {10, 10, products_10, NULL, NULL},
    {9, 9, products_9, NULL, NULL},
    {6, 6, products_6_1, products_6_2, NULL},
    {9, 3, products_9_of_3, NULL, NULL},
#ifdef __FMA__
    {10, 5, products_10_of_5, NULL, NULL},
#endif
#endif
};
static const GradientTile stretch_tiles[] = {
    {TILE_ROWS, 1, stretches_1, NULL, NULL},
    {TILE_ROWS_FEW, 1, stretches_few_1, NULL, NULL},
#if defined __AVX512F__ || defined __aarch64__
    {8, 1, NULL, stretches_8_2, stretches_8_3},
    {6, 1, NULL, stretches_6_2, stretches_6_3},
#elif defined __FMA__
    {4, 1, NULL, stretches_4_2, stretches_4_3},
#endif
};
enum {
  GRADIENT_TILES = sizeof gradient_tiles / sizeof *gradient_tiles,
  STRETCH_TILES = sizeof stretch_tiles / sizeof *stretch_tiles
};

/* What a tile costs for each pixel, about: its multiply-adds, of which eight at least are to be on
 * their way, and what is read besides; rows apart have an address each. Where a multiply-add is
 * four instructions these alone count, and that is why fewer tiles are better. */
static int64_t gradient_cost(const GradientTile *t, int64_t rows, int64_t vectors) {
  int64_t sums = t->rows * (vectors > 1 ? 2 : 1), tiles = conv_ceil(rows, t->rows);
#if defined __FMA__ || defined __aarch64__
  return tiles * (conv_max(sums, 8) + 2 + (t->side > 1 ? 0 : t->rows / 4));
#else
  return tiles * (8 * sums + 1);
#endif
}

/* The cheapest tile for `rows` rows of runs of `run`; neighbours are of one run. */
static const GradientTile *gradient_choose(int64_t rows, int64_t run, int64_t vectors) {
  const GradientTile *best = &gradient_tiles[0];
  for (int i = 1; i < GRADIENT_TILES; i++) {
    const GradientTile *t = &gradient_tiles[i];
    bool fits = t->side == 1 || (run % t->side == 0 && rows >= t->rows && shortcut(GRADIENT_DENSE));
    if (fits && (t->two || vectors == 1) &&
        gradient_cost(t, rows, vectors) < gradient_cost(best, rows, vectors))
      best = t;
  }
  return best;
}

/* The tile of stretches that fills `rows` rows best, for one channel or for several at once. */
static const GradientTile *gradient_choose_stretch(int64_t rows, int64_t channels) {
  const GradientTile *best = NULL;
  bool one = channels == 1 || TILE_ALONG == 1;
  for (int i = 0; i < STRETCH_TILES; i++) {
    const GradientTile *t = &stretch_tiles[i];
    if (one != (t->one != NULL)) continue;
    if (!best || conv_ceil(rows, t->rows) * t->rows < conv_ceil(rows, best->rows) * best->rows)
      best = t;
  }
  return best;
}

static void gradient_rows(const WeightGradient *g, const ConvSegment *s, ConvTile *run,
                          ConvSums to) {
  real *sums = to.sums;
  for (int64_t t = s->tiles.first; t < s->tiles.end; t++) {
    int64_t m = t * g->tile, first = conv_min(m, g->rows - g->tile);
    to.sums = sums + first * to.row;
    run(s, g->tap + first, &g->bounds[t], (int)(m - first), &to);
  }
}

static void gradient_segment(const WeightGradient *g, ConvSegment s, real *sums) {
  const GradientTile *t = g->form;
  ConvSums to = {.sums = sums, .row = g->pitch, .column = g->stretches ? g->rows * LANES : LANES};
  int64_t left = g->stretches ? g->small_channels : conv_vectors(g->small_channels);
  int64_t most = g->stretches ? TILE_ALONG : TILE_BLOCK, unit = g->stretches ? 1 : LANES;
  for (int64_t take; left > 0; left -= take) {
    take = g->stretches ? tile_take(left, most) : conv_min(left, most);
    gradient_rows(g, &s, take == 1 ? t->one : take == 2 ? t->two : t->three, to);
    s.other += take * unit;
    to.sums += take * to.column;
  }
}

/* The small image's channels are read in whole vectors, where nothing that lies behind them matters
 * but the end of memory: the pixels of its last segment are copied then. */
static void gradient_other(const WeightGradient *g, ConvSegment *s, real *wide) {
  int64_t count = s->lines * s->width * g->small_channels;
  int64_t beyond = conv_vectors(g->small_channels) * LANES - g->small_channels;
  s->other_pitch = g->small_channels;
  if (g->stretches || s->other + count + beyond <= g->small_end) return;
  memcpy(wide, s->other, (size_t)count * sizeof(real));
  memset(wide + count, 0, (size_t)beyond * sizeof(real));
  s->other = wide;
}

static int64_t gradient_all_tiles(const WeightGradient *g) { return conv_ceil(g->rows, g->tile); }

static ConvSpan gradient_part(const WeightGradient *g, int64_t part) {
  int64_t tiles = gradient_all_tiles(g);
  return (ConvSpan){(int32_t)(part * tiles / g->parts), (int32_t)((part + 1) * tiles / g->parts)};
}

/* Whether the parts of a chunk read the same windows, and copy none: these take little memory. */
static bool gradient_share_windows(const WeightGradient *g) {
  return g->cut.jobs * conv_window_bytes(&g->cut) <= CONV_BUFFERS * (int64_t)sizeof(real);
}

static real *gradient_window(const WeightGradient *g, int64_t job) {
  return g->windows + job * conv_window_bytes(&g->cut) / (int64_t)sizeof(real);
}

/* Copies images of all jobs' windows. */
static void gradient_windows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const WeightGradient *g = context;
  const ConvCut *c = &g->cut;
  int64_t image = g->axis[0].source * g->axis[1].source * g->big_channels;
  for (int64_t i = begin; i < end; i++) {
    int64_t job = i / c->images, number = job / c->bands * c->images + i % c->images;
    int64_t from = job % c->bands * c->rows * g->axis[0].step - g->axis[0].before;
    if (number < g->batch)
      conv_copy_window(gradient_window(g, job) + i % c->images * c->image, g->big + number * image,
                       g->axis, g->big_channels, from, c->height, -g->axis[1].before, c->width);
  }
}

/* A job, and what is to be fetched for the next one, for a thread that copies its windows itself or
 * where all have been copied. */
static ConvJob gradient_job(const WeightGradient *g, int64_t number, real *scratch,
                            ConvAhead *ahead) {
  *ahead = (ConvAhead){NULL, NULL, 0};
  if (g->windows)
    return conv_job_at(&g->cut, g->axis, g->big, g->big_channels, g->batch, number,
                       gradient_window(g, number));
  *ahead = conv_ahead(&g->cut, g->axis, g->big, g->big_channels, g->batch, number + 1, g->fetches);
  return conv_job(&g->cut, g->axis, g->big, g->big_channels, g->batch, number, scratch);
}

/* Some jobs of a chunk, for one of the parts into which its tiles are cut. */
static void gradient_jobs(void *context, int64_t begin, int64_t end, int thread) {
  const WeightGradient *g = context;
  real *scratch = parallel_scratch(thread);
  real *wide = scratch + conv_window_bytes(&g->cut) / (int64_t)sizeof(real);
  int64_t part = begin / (g->chunks * g->grain), skip = part * g->chunks * g->grain;
  ConvSpan tiles = gradient_part(g, part);
  begin -= skip;
  end = conv_min(end - skip, g->cut.jobs);
  for (int64_t number = begin; number < end; number++) {
    ConvAhead ahead;
    ConvJob j = gradient_job(g, number, scratch, &ahead);
    int64_t rows = conv_min(g->axis[0].count - j.row, g->cut.rows), width = g->axis[1].count;
    const real *other = g->small + (j.image * g->axis[0].count + j.row) * width * g->small_channels;
    int64_t lines = j.images * rows, place = g->apart ? number * g->apart : begin / g->grain;
    for (int64_t l = 0; l<lines; l += g->lines, place += g->apart> 0) {
      ConvSegment s = {.lines = conv_min(g->lines, lines - l),
                       .width = width,
                       .source = j.window,
                       .source_offset = g->source_offset + l * width,
                       .other = other + l * width * g->small_channels,
                       .row = j.row + l % rows,
                       .top = j.row,
                       .bottom = j.row + rows,
                       .first = g->apart || (number == begin && l == 0),
                       .tiles = tiles,
                       .ahead = &ahead};
      gradient_other(g, &s, wide);
      gradient_segment(g, s, g->sums + place * g->buffer);
    }
  }
}

/* Chooses the form and the tile: rows of sums are (tap, big channel) pairs, or vectors of them. */
static void gradient_form(WeightGradient *g) {
  int64_t runs = g->taps.rows * g->taps.columns, rows = runs * g->taps.run;
  int64_t vectors = conv_vectors(g->small_channels);
  g->vectors = conv_vectors(g->taps.run);
  g->stretches = g->small_channels * runs * g->vectors < rows * vectors && shortcut(GRADIENT_ALONG);
  if (g->stretches) {
    rows = runs * g->vectors;
    g->form = gradient_choose_stretch(rows, g->small_channels);
  } else {
    g->form = gradient_choose(rows, g->taps.run, vectors);
  }
  g->tile = g->form->rows;
  g->rows = conv_max(rows, g->tile);
  g->pitch = g->stretches ? LANES : vectors * LANES;
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
  for (int64_t m = first, next; m <= last; m = next) {
    int64_t run = m / of_run, begin = m % of_run * length;
    next = m + (g->stretches ? 1 : k->unit - begin % k->unit); /* a tap's rows are all alike */
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

/* to += from */
static void gradient_add(real *restrict to, const real *restrict from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

/* The lines of a job. */
static int64_t gradient_lines(const WeightGradient *g, int64_t job) {
  int64_t images = g->batch - job / g->cut.bands * g->cut.images;
  int64_t rows = g->axis[0].count - job % g->cut.bands * g->cut.rows;
  return conv_min(images, g->cut.images) * conv_min(rows, g->cut.rows);
}

/* Adds up what a chunk's segments have apart, `n` sums of them from `first` on, in the buffer of
 * the first segment. */
static void gradient_add_segments(const WeightGradient *g, int64_t chunk, int64_t first,
                                  int64_t n) {
  int64_t job = chunk * g->grain, end = conv_min(job + g->grain, g->cut.jobs);
  real *to = g->sums + job * g->apart * g->buffer + first;
  for (int64_t skip = 1; job < end; job++, skip = 0) {
    int64_t count = conv_ceil(gradient_lines(g, job), g->lines);
    for (int64_t s = skip; s < count; s++)
      gradient_add(to, g->sums + (job * g->apart + s) * g->buffer + first, n);
  }
}

/* Adds up some of the sums of all chunks, in order, in the buffer of the first one. */
static void gradient_add_chunks(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const WeightGradient *g = context;
  int64_t step = (g->apart ? g->grain * g->apart : 1) * g->buffer;
  for (int64_t c = 0; c < g->chunks; c++) {
    if (g->apart) gradient_add_segments(g, c, begin, end - begin);
    if (c > 0) gradient_add(g->sums + begin, g->sums + c * step + begin, end - begin);
  }
}

static int64_t gradient_places(const WeightGradient *g) {
  return g->apart ? g->cut.jobs * g->apart : g->chunks;
}

/* LANES rows of sums to columns of the weight, `count` channels of the small image. */
static void gradient_turn(const real *from, int64_t pitch, int64_t count, real *to, int64_t step) {
  Vec v[LANES];
  VEC_UNROLL for (int i = 0; i < LANES; i++) v[i] = vec_load(from + i * pitch);
  vec_transpose(v);
  VEC_UNROLL for (int i = 0; i < LANES; i++) if (i < count) vec_store(to + i * step, v[i]);
}

/* Adds up rows of the sums, and lays them out as the weight: rows are (tap, big channel), or with
 * `stretches` vectors of them, once for each small channel; these have been added. */
static void gradient_lay(void *context, int64_t begin, int64_t end, int thread) {
  const WeightGradient *g = context;
  int64_t channels = g->big_channels * g->small_channels;
  if (!g->stretches) gradient_add_chunks(context, begin * g->pitch, end * g->pitch, thread);
  for (int64_t m = begin; m < end; m++) {
    int64_t run = m / g->taps.run, i = m % g->taps.run, b = m % g->big_channels;
    real *to = g->weight + m / g->big_channels * channels + b * g->weight_big;
    const real *from =
        g->stretches ? g->sums + run * g->vectors * LANES + i : g->sums + m * g->pitch;
    int64_t step = g->stretches ? g->rows * LANES : 1;
    if (!g->stretches && g->weight_big == 1 && b + LANES <= g->big_channels && m + LANES <= end) {
      for (int64_t o = 0; o < g->small_channels; o += LANES)
        gradient_turn(from + o, g->pitch, g->small_channels - o, to + o * g->weight_small,
                      g->weight_small);
      m += LANES - 1;
      continue;
    }
    if (step == 1 && g->weight_small == 1)
      memcpy(to, from, (size_t)g->small_channels * sizeof(real));
    else
      for (int64_t o = 0; o < g->small_channels; o++) to[o * g->weight_small] = from[o * step];
  }
}

static int64_t gradient_place(WeightGradient *g, char *base) {
  int64_t used = 0;
  workspace_take(base, &used, (int64_t)sizeof *g);
  g->tap = workspace_take(base, &used, g->rows * (int64_t)sizeof(int32_t));
  g->bounds =
      workspace_take(base, &used, conv_ceil(g->rows, g->tile) * (int64_t)sizeof(ConvBounds));
  g->source_offset = workspace_take(base, &used, g->cut.pixels * (int64_t)sizeof(int32_t));
  g->sums = workspace_take(base, &used, gradient_places(g) * g->buffer * (int64_t)sizeof(real));
  if (g->parts > 1 && !g->cut.direct && gradient_share_windows(g))
    g->windows = workspace_take(base, &used, g->cut.jobs * conv_window_bytes(&g->cut));
  return used;
}

/* How the sums are cut, which makes their bits: chunks of jobs, segments of lines. Where these are
 * fewer than the threads may want, and it takes little memory, each segment's sums stand apart at
 * first, and are added as they would have been. */
static void gradient_chunks(WeightGradient *g, int64_t work) {
  int64_t pixels = g->batch * g->axis[0].count * g->axis[1].count;
  g->lines = conv_max(CONV_SEGMENT / g->axis[1].count, 1);
  int64_t chunks = conv_min(work / (4 * CONV_WORK), CONV_BUFFERS / g->buffer);
  /* few pixels are not worth sums of their own */
  chunks = conv_min(chunks, pixels / CONV_SEGMENT);
  chunks = conv_max(conv_min(conv_min(chunks, CONV_CHUNKS), g->cut.jobs), 1);
  g->grain = conv_ceil(g->cut.jobs, chunks);
  g->chunks = conv_ceil(g->cut.jobs, g->grain);
  int64_t segments = conv_ceil(g->cut.images * g->cut.rows, g->lines);
  bool few = chunks < CONV_CHUNKS && segments * g->cut.jobs * g->buffer <= CONV_APART;
  if (few && g->cut.jobs > 1 && parallel_threads() > 1) g->apart = segments;
}

/* Tiles that a segment's channels take, for each tile of rows. */
static int64_t gradient_across(const WeightGradient *g) {
  return g->stretches ? conv_ceil(g->small_channels, TILE_ALONG)
                      : conv_ceil(conv_vectors(g->small_channels), TILE_BLOCK);
}

/* The work, with what fills vectors and tiles up: that takes time too. */
static int64_t gradient_filled(const WeightGradient *g) {
  return g->batch * g->axis[0].count * g->axis[1].count * g->buffer;
}

/* What one thread has, in tiles of whole chunks, where these are cut into so many parts. Parts
 * stand in the order of their tiles: as many as threads, and each has a part of every chunk. */
static double gradient_share(const WeightGradient *g, int64_t parts) {
  int64_t threads = parallel_threads(), tiles = conv_ceil(gradient_all_tiles(g), parts);
  if (parts % threads > 0) return (double)(conv_ceil(parts * g->chunks, threads) * tiles);
  double chunks = (double)g->batch * (double)g->cut.bands / (double)(g->cut.images * g->grain);
  return (double)(parts / threads * tiles) * chunks;
}

/* Chunks are few, for each has sums of its own. Where the threads are more, or share them badly,
 * the tiles of each are cut: no sum is, so that this may depend on the threads. */
static int64_t gradient_parts(const WeightGradient *g) {
  int64_t threads = parallel_threads(), tiles = gradient_all_tiles(g), best = 1;
  if (g->apart || threads == 1) return 1;
  int64_t least = gradient_share_windows(g) ? GRADIENT_PART : GRADIENT_COPY;
  int64_t most = conv_min(tiles * gradient_across(g) / least, tiles);
  int64_t worth = gradient_filled(g) / g->chunks / (2 * CONV_CHUNK);
  most = conv_min(conv_min(most, worth), 3 * threads);
  for (int64_t n = 2; n <= most; n++)
    if (gradient_share(g, n) < 0.95 * gradient_share(g, best)) best = n;
  return best;
}

/* How often the tiles of a job fetch. */
static int64_t gradient_fetches(const WeightGradient *g) {
  return g->cut.pixels / CONV_PIECE * (gradient_all_tiles(g) / g->parts) * gradient_across(g);
}

/* The jobs, then the adding of what they leave and the laying out. What goes before these two, or
 * between them, is done at once. */
static void gradient_stages(WeightGradient *g, ConvStages *s) {
  int64_t copied = g->cut.jobs * g->cut.images;
  if (g->windows)
    parallel_for(copied, parallel_whole(copied, conv_ceil(CONV_COPIED, g->cut.image)),
                 gradient_windows, g);
  int64_t jobs = g->parts > 1 ? g->parts * g->chunks * g->grain : g->cut.jobs;
  int64_t grain = g->apart ? conv_grain(jobs, gradient_filled(g)) : g->grain;
  int64_t places = gradient_places(g), rows = g->taps.rows * g->taps.columns * g->taps.run;
  if (g->stretches && places > 1) {
    parallel_for(jobs, grain, gradient_jobs, g);
    parallel_for(g->buffer, conv_ceil(CONV_ADDED, places), gradient_add_chunks, g);
  } else {
    s->first = (ParallelRange){jobs, grain, gradient_jobs, g};
  }
  int64_t cost = g->stretches ? GRADIENT_LAID : places + GRADIENT_LAID; /* of a real */
  int64_t chunks = conv_max(rows * g->small_channels * cost / CONV_ADDED, 1);
  s->second = (ParallelRange){rows, conv_ceil(rows, chunks * LANES) * LANES, gradient_lay, g};
}

/* dw = big * small, summed over the small pixels */
static bool conv_weight_gradient(const ConvGeometry *geometry, const real *big, const real *small,
                                 real *dw, ConvStages *s, Error *e) {
  WeightGradient g = {.axis = {conv_axis(geometry, 0, false), conv_axis(geometry, 1, false)},
                      .batch = geometry->batch,
                      .big_channels = geometry->big_channels,
                      .small_channels = geometry->small_channels,
                      .big = big,
                      .small = small,
                      .weight = dw,
                      .weight_big = geometry->weight_big,
                      .weight_small = geometry->weight_small,
                      .small_end = small + geometry->batch * geometry->small[0] *
                                               geometry->small[1] * geometry->small_channels};
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
  gradient_chunks(&g, work * g.batch);
  g.parts = gradient_parts(&g);
  g.fetches = gradient_fetches(&g);
  int64_t wide = g.lines * g.axis[1].count * g.small_channels + LANES;
  if (!parallel_reserve(conv_window_bytes(&g.cut) + wide * (int64_t)sizeof(real) + 64))
    return error_set(e, "out of memory");
  s->space = workspace_new(gradient_place(&g, NULL), e);
  if (!s->space) return false;
  gradient_place(&g, s->space->data);
  gradient_tables(&g);
  WeightGradient *own = s->space->data;
  *own = g;
  gradient_stages(own, s);
  return true;
}

#endif
