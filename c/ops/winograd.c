/* Floor 3: convolutions of 3 x 3, stride and dilation 1, by Winograd's tiles
 * (simd/winograd_tiles.h). The tiles of all images stand in one row, which is cut into jobs: a job
 * transforms its sources, makes the 16 matrix products with the tiles of gemm_tile.h, and
 * transforms back, all in the second cache. A tile's sums do not depend on its neighbours, so that
 * an image has the same bits alone and among others. */
#include "ops/winograd.h"

#ifdef LATENT_DOUBLE

/* Double precision is the definition: it stays with the direct sums. */

bool ISA_NAME(winograd_correlate)(const ConvGeometry *g, bool up, const real *source, const real *w,
                                  const real *bias, real *result, ConvStages *s, bool *taken,
                                  Error *e) {
  (void)g, (void)up, (void)source, (void)w, (void)bias, (void)result, (void)s, (void)e;
  *taken = false;
  return true;
}

bool ISA_NAME(winograd_weight_gradient)(const ConvGeometry *g, const real *big, const real *small,
                                        real *dw, ConvStages *s, bool *taken, Error *e) {
  (void)g, (void)big, (void)small, (void)dw, (void)s, (void)e;
  *taken = false;
  return true;
}

#else
#include "base/parallel.h"
#include "base/shortcuts.h"
#include "ops/gemm.h"
#include "simd/gemm_tile.h"
#include "simd/winograd_tiles.h"
#include "simd/workspace.h"

enum {
  CHANNELS = 32,        /* at least so many come in and go out, ... */
  IMAGE_TILES = 9,      /* ... of images of so many tiles: */
  SUM_TILES = 16,       /* ... or so many in all, for a weight gradient: see `plan` */
  NEAR_SUMS = 1 << 18,  /* of a weight gradient; as many again cost like a tile: see `far_sums` */
  GROUP = 48,           /* tiles of a job: whole panels of every height that tiles have */
  JOBS = 64,            /* are made at least, as long as each has a panel */
  GRADIENT_GROUP = 96,  /* ... of a weight gradient's, at most: a sum's products in one go */
  CHUNKS = 16,          /* of a weight gradient, at most, ... */
  CHUNK_SUMS = 1 << 10, /* ... each with at most so many sums for each of its tiles; ... */
  FEW_CHUNKS = 8,       /* ... fewer than so many are none, but rounds: */
  ROUND = 192,          /* tiles of a round, at most */
  CHUNK = 1 << 18,      /* products of a parallel chunk */
  PACKED = 1 << 10,     /* ... weights that are transformed, ... */
  FINISHED = 1 << 12,   /* ... numbers that are added and transformed back */
  LINE = 64 / (int)sizeof(real)
};

/* The sources of a job lie as rows of TILE_STRIDE numbers, as tiles read them: a tile's points, as
 * many as fit one row, and the next ones in the row as many rows further on as there are tiles.
 * More channels than TILE_DEPTH are cut: point q, part d is piece q * depths + d. */
typedef struct Winograd {
  int64_t in, out;                 /* channels */
  int64_t source_size[2], size[2]; /* of the images: source and result, or its gradient */
  int64_t before[2];               /* output 0 reads the source from -before on */
  int64_t rows, columns, tiles;    /* of tiles of an image; all tiles */
  int64_t wide;                    /* output channels to whole vectors */
  int64_t depths, unit, in_row;    /* parts of the sources' channels, of so many; pieces of a row */
  int64_t group, jobs;             /* tiles of a job, at most; jobs */
  int64_t strips, plane;           /* of weights: strips of columns; from one point to the next */
  bool flip;                       /* the kernel is met from its end */
  int64_t in_step, out_step;
  const real *source, *zero, *w, *bias;
  real *result;
  const real *gradient; /* of the result */
  real *weights;        /* the points of the weights: packed, or their sums of each chunk */
  int64_t buffer, chunks, grain;
  int64_t first, count; /* tiles of a round, and their points: */
  real *sources, *gradients;
  bool broken; /* some result is not finite */
} Winograd;

static int64_t vectors(int64_t n) { return conv_ceil(n, LANES); }

/* ---- when ---- */

/* Products of a pair of channels, taps outside the image left out. */
static int64_t direct_products(const ConvAxis axis[2]) {
  int64_t products = 1;
  for (int d = 0; d < 2; d++) {
    ConvPhase p = conv_phase(&axis[d], 0);
    int64_t taps = 0;
    for (int64_t q = 0; q < axis[d].out; q++) {
      ConvSpan s = conv_span(&axis[d], &p, q);
      taps += s.end - s.first;
    }
    products *= taps;
  }
  return products;
}

static bool is_right_kernel(const ConvGeometry *g) {
  for (int d = 0; d < 2; d++)
    if (g->kernel[d] != 3 || g->stride[d] != 1 || g->dilation[d] != 1) return false;
  return g->batch > 0 && g->big_channels >= CHANNELS && g->small_channels >= CHANNELS;
}

/* A weight gradient's sums are transformed back once. Many lie far from the processor by then,
 * which costs as much as so many tiles; where the tiles are two images' or more, they pay for it.
 */
static int64_t far_sums(const Winograd *p, const ConvGeometry *g) {
  if (!p->gradient || p->tiles >= 2 * SUM_TILES) return 0;
  return conv_ceil(POINTS * g->big_channels * g->small_channels, NEAR_SUMS) - 1;
}

/* Fills all that follows from the geometry; false where the direct way is better. A tile costs its
 * 16 products, and about a third of them for the transformations: it pays up to three quarters of
 * the direct products, which are 36 within an image, and fewer for odd sizes and at small images'
 * edges. The weights' transformation takes some tiles to pay. Where outputs are to have the same
 * bits in any batch, these have to be one image's. */
static bool plan(Winograd *p, const ConvGeometry *g, bool up) {
  if (!is_right_kernel(g) || !shortcut(CONV_WINOGRAD)) return false;
  const ConvAxis axis[2] = {conv_axis(g, 0, up), conv_axis(g, 1, up)};
  p->rows = conv_ceil(axis[0].out, 2), p->columns = conv_ceil(axis[1].out, 2);
  int64_t of_image = p->rows * p->columns;
  p->tiles = g->batch * of_image;
  if (p->gradient ? p->tiles < SUM_TILES : of_image < IMAGE_TILES) return false;
  if (4 * POINTS * (p->tiles + far_sums(p, g)) > 3 * g->batch * direct_products(axis)) return false;
  for (int d = 0; d < 2; d++) {
    ConvPhase phase = conv_phase(&axis[d], 0);
    p->source_size[d] = axis[d].source, p->size[d] = axis[d].out;
    p->before[d] = axis[d].before - phase.first;
  }
  p->in = up ? g->small_channels : g->big_channels;
  p->out = up ? g->big_channels : g->small_channels;
  p->flip = up;
  p->in_step = up ? g->weight_small : g->weight_big;
  p->out_step = up ? g->weight_big : g->weight_small;
  p->wide = vectors(p->out) * LANES;
  p->depths = conv_ceil(p->in, TILE_DEPTH);
  p->unit = conv_min(vectors(p->in) * LANES, TILE_DEPTH);
  p->in_row = TILE_DEPTH / p->unit;
  p->strips = conv_ceil(p->wide, TILE_COLUMNS);
  return true;
}

/* ---- memory of a job ---- */

static int64_t source_row(const Winograd *p, int64_t piece) { return piece / p->in_row * p->group; }

static int64_t piece_place(const Winograd *p, int64_t point, int64_t depth) {
  int64_t piece = point * p->depths + depth;
  return source_row(p, piece) * TILE_STRIDE + piece % p->in_row * p->unit;
}

static int64_t sources_size(const Winograd *p) {
  return source_row(p, POINTS * p->depths - 1) * TILE_STRIDE + p->group * TILE_STRIDE;
}

/* Of a tile's points on the other side: an odd number of lines, or they would fall upon one another
 * in the first cache. */
static int64_t other_row(const Winograd *p) { return POINTS * p->wide + LINE; }

static bool reserve(const Winograd *p, Error *e) {
  int64_t size = sources_size(p) + p->group * other_row(p) + LINE;
  return parallel_reserve(size * (int64_t)sizeof(real)) || error_set(e, "out of memory");
}

/* Gives a plan its memory, and a place at the begin of it. */
static Winograd *settle(Winograd *p, int64_t (*place)(Winograd *p, char *base), ConvStages *s,
                        Error *e) {
  s->space = workspace_new(place(p, NULL), e);
  if (!s->space) return NULL;
  Winograd *own = s->space->data;
  place(p, s->space->data);
  memset((real *)p->zero, 0, (size_t)p->in * sizeof(real));
  s->broken = &own->broken;
  *own = *p;
  return own;
}

/* ---- tiles and images ---- */

typedef struct Place {
  int64_t image, row, column; /* of the first output */
} Place;

static Place place_of(const Winograd *p, int64_t tile) {
  int64_t line = tile / p->columns;
  return (Place){line / p->rows, line % p->rows * 2, tile % p->columns * 2};
}

static void step(const Winograd *p, Place *at) {
  if ((at->column += 2) < p->size[1]) return;
  at->column = 0;
  if ((at->row += 2) < p->size[0]) return;
  at->row = 0;
  at->image++;
}

static int64_t result_at(const Winograd *p, Place at) {
  return ((at.image * p->size[0] + at.row) * p->size[1] + at.column) * p->out;
}

/* Where a tile's 4 x 4 sources are: zeros outside the image. */
static void find_sources(const Winograd *p, Place at, const real *from[POINTS]) {
  int64_t height = p->source_size[0], width = p->source_size[1], line = width * p->in;
  int64_t top = at.row - p->before[0], left = at.column - p->before[1];
  int64_t first = ((at.image * height + top) * width + left) * p->in;
  bool whole = top >= 0 && left >= 0 && top + 4 <= height && left + 4 <= width;
  for (int y = 0; y < 4; y++, first += line) {
    bool inside = top + y >= 0 && top + y < height;
    for (int x = 0; x < 4; x++)
      from[4 * y + x] = whole || (inside && left + x >= 0 && left + x < width)
                            ? p->source + first + x * p->in
                            : p->zero;
  }
}

static void transform_sources(const Winograd *p, int64_t first, int64_t count, real *to) {
  for (int64_t d = 0; d < p->depths; d++) {
    int64_t begin = d * TILE_DEPTH, end = conv_min(begin + TILE_DEPTH, p->in);
    int64_t place[POINTS];
    for (int q = 0; q < POINTS; q++) place[q] = piece_place(p, q, d);
    Place at = place_of(p, first);
    for (int64_t t = 0; t < count; t++, step(p, &at)) {
      const real *from[POINTS];
      real *row = to + t * TILE_STRIDE;
      find_sources(p, at, from);
      int64_t c = begin;
      for (; c + LANES <= end; c += LANES, row += LANES)
        winograd_source(from, c, true, LANES, row, place);
      if (c < end) winograd_source(from, c, false, (int)(end - c), row, place);
    }
  }
}

/* ---- forward, and the gradient of the source ---- */

/* The 16 products: (tiles, in) by (in, out). */
static void multiply(const Winograd *p, const real *sources, int64_t count, real *sums) {
  int64_t panels = conv_ceil(count, TILE_ROWS), row = other_row(p);
  Tile t = {.b_step = TILE_COLUMNS, .next_step = TILE_LINE, .c_row = row, .c_column = 1};
  GemmTile *const *tile = ISA_NAME(gemm_tiles)();
  for (int64_t q = 0; q < POINTS; q++)
    for (int64_t s = 0; s < p->strips; s++)
      for (int64_t d = 0; d < p->depths; d++) {
        const real *a = sources + piece_place(p, q, d);
        t.depth = conv_min(TILE_DEPTH, p->in - d * TILE_DEPTH);
        t.b = p->weights + q * p->plane + (s * p->in + d * TILE_DEPTH) * TILE_COLUMNS;
        t.columns = (int)conv_min(TILE_COLUMNS, p->wide - s * TILE_COLUMNS);
        t.add = d > 0;
        for (int64_t i = 0; i < panels; i++) {
          int64_t first = count * i / panels, end = count * (i + 1) / panels;
          t.a = a + first * TILE_STRIDE;
          t.next = i == 0 ? t.b + t.depth * TILE_COLUMNS : t.a + TILE_ROWS * TILE_STRIDE;
          t.c = sums + first * row + q * p->wide + s * TILE_COLUMNS;
          tile[end - first](&t);
        }
      }
}

VEC_INLINE void store(real *to, Vec v, int lanes) {
  if (lanes == LANES) vec_store(to, v);
  else vec_store_part(to, v, lanes);
}

/* Returns whether all outputs are finite: what is not makes 0 * y NaN. */
static bool transform_outputs(const Winograd *p, int64_t first, int64_t count, const real *sums) {
  int64_t pixel = p->out, line = p->size[1] * p->out;
  Place at = place_of(p, first);
  Vec check = vec_zero();
  for (int64_t t = 0; t < count; t++, sums += other_row(p), step(p, &at)) {
    real *to = p->result + result_at(p, at);
    bool right = at.column + 1 < p->size[1], below = at.row + 1 < p->size[0];
    for (int64_t o = 0; o < p->out; o += LANES, to += LANES) {
      int lanes = (int)conv_min(p->out - o, LANES);
      Vec y[4], bias = vec_load(p->bias + o);
      winograd_outputs(sums + o, p->wide, y);
      VEC_UNROLL for (int i = 0; i < 4; i++) {
        y[i] += bias;
        check += y[i] * vec_zero();
      }
      store(to, y[0], lanes);
      if (right) store(to + pixel, y[1], lanes);
      if (below) store(to + line, y[2], lanes);
      if (right && below) store(to + line + pixel, y[3], lanes);
    }
  }
  return vec_sum(check) == 0;
}

static void correlate_jobs(void *context, int64_t begin, int64_t end, int thread) {
  Winograd *p = context;
  real *sources = parallel_scratch(thread), *sums = sources + sources_size(p);
  for (int64_t job = begin; job < end; job++) {
    int64_t first = p->tiles * job / p->jobs, count = p->tiles * (job + 1) / p->jobs - first;
    transform_sources(p, first, count, sources);
    multiply(p, sources, count, sums);
    if (!transform_outputs(p, first, count, sums))
      __atomic_store_n(&p->broken, true, __ATOMIC_RELAXED);
  }
}

/* The weights of LANES channels in by as many out, or their gradients: a vector along `out` for
 * each of their taps and channels in. */
typedef struct Square {
  Vec at[9][LANES];
} Square;

/* Where a tap's square lies: as rows along `out`, or as columns where these are dense. */
typedef struct Corner {
  int64_t tap, step;
  int rows, lanes;
} Corner;

static Corner corner_of(const Winograd *p, int tap, int64_t in, int64_t out) {
  int ins = (int)conv_min(p->in - in, LANES), outs = (int)conv_min(p->out - out, LANES);
  Corner c = {.tap =
                  (p->flip ? 8 - tap : tap) * p->in * p->out + in * p->in_step + out * p->out_step,
              .step = p->in_step,
              .rows = ins,
              .lanes = outs};
  if (p->out_step != 1) c.step = p->out_step, c.rows = outs, c.lanes = ins;
  return c;
}

static void load_square(const Winograd *p, int64_t in, int64_t out, Square *s) {
  for (int k = 0; k < 9; k++) {
    Corner c = corner_of(p, k, in, out);
    const real *from = p->w + c.tap;
    Vec v[LANES];
    for (int i = 0; i < LANES; i++)
      v[i] = i < c.rows ? winograd_load(from + i * c.step, c.lanes == LANES, c.lanes) : vec_zero();
    if (p->out_step != 1) vec_transpose(v);
    for (int i = 0; i < LANES; i++) s->at[k][i] = v[i];
  }
}

static int64_t squares(const Winograd *p) { return vectors(p->in) * vectors(p->out); }

/* The first channels of a square. */
static void square_at(const Winograd *p, int64_t number, int64_t *in, int64_t *out) {
  *in = number / vectors(p->out) * LANES;
  *out = number % vectors(p->out) * LANES;
}

static void pack_weights(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Winograd *p = context;
  for (int64_t number = begin, in, o; number < end; number++) {
    Square s;
    square_at(p, number, &in, &o);
    load_square(p, in, o, &s);
    real *to = p->weights + (o / TILE_COLUMNS * p->in + in) * TILE_COLUMNS + o % TILE_COLUMNS;
    for (int i = 0; i < conv_min(p->in - in, LANES); i++, to += TILE_COLUMNS) {
      Vec g[9];
      VEC_UNROLL for (int k = 0; k < 9; k++) g[k] = s.at[k][i];
      winograd_weights(g, to, p->plane);
    }
  }
}

static int64_t correlate_place(Winograd *p, char *base) {
  int64_t used = 0;
  workspace_take(base, &used, (int64_t)sizeof *p);
  p->zero = workspace_take(base, &used, p->in * (int64_t)sizeof(real));
  p->bias = workspace_take(base, &used, p->wide * (int64_t)sizeof(real));
  p->plane = p->strips * p->in * TILE_COLUMNS + LINE;
  p->weights = workspace_take(base, &used, POINTS * p->plane * (int64_t)sizeof(real));
  return used;
}

bool ISA_NAME(winograd_correlate)(const ConvGeometry *g, bool up, const real *source, const real *w,
                                  const real *bias, real *result, ConvStages *s, bool *taken,
                                  Error *e) {
  Winograd p = {.source = source, .w = w, .result = result};
  *taken = plan(&p, g, up);
  if (!*taken) return true;
  int64_t least = conv_ceil(p.tiles, JOBS * TILE_ROWS) * TILE_ROWS;
  p.jobs = parallel_even(conv_ceil(p.tiles, conv_min(least, GROUP)), p.tiles);
  p.group = conv_ceil(p.tiles, p.jobs);
  Winograd *own = reserve(&p, e) ? settle(&p, correlate_place, s, e) : NULL;
  if (!own) return false;
  memset((real *)p.bias, 0, (size_t)p.wide * sizeof(real));
  if (bias) memcpy((real *)p.bias, bias, (size_t)p.out * sizeof(real));
  int64_t packed = squares(&p), grain = parallel_whole(packed, PACKED / (LANES * LANES));
  s->first = (ParallelRange){packed, grain, pack_weights, own};
  grain = conv_ceil(CHUNK, POINTS * p.group * p.in * p.out);
  s->second = (ParallelRange){p.jobs, grain, correlate_jobs, own};
  return true;
}

/* ---- the gradient of the weight ---- */

static void transform_gradients(const Winograd *p, int64_t first, int64_t count, real *to) {
  int64_t pixel = p->out, line = p->size[1] * p->out;
  Place at = place_of(p, first);
  for (int64_t t = 0; t < count; t++, to += other_row(p), step(p, &at)) {
    const real *from = p->gradient + result_at(p, at);
    bool right = at.column + 1 < p->size[1], below = at.row + 1 < p->size[0];
    for (int64_t o = 0; o < p->out; o += LANES, from += LANES) {
      int lanes = (int)conv_min(p->out - o, LANES);
      bool whole = lanes == LANES;
      Vec y[4] = {winograd_load(from, whole, lanes)};
      if (right) y[1] = winograd_load(from + pixel, whole, lanes);
      if (below) y[2] = winograd_load(from + line, whole, lanes);
      if (right && below) y[3] = winograd_load(from + line + pixel, whole, lanes);
      winograd_gradients(y, to + o, p->wide);
    }
  }
}

/* One point's product, (in, tiles) by (tiles, out), for a strip of columns: added to sums, or
 * stored where `first`. */
static void multiply_strip(const Winograd *p, int64_t point, int64_t strip, const real *sources,
                           const real *gradients, int64_t count, bool first, real *sums) {
  Tile t = {.depth = count,
            .a_step = TILE_STRIDE,
            .b = gradients + point * p->wide + strip * TILE_COLUMNS,
            .b_step = other_row(p),
            .next_step = TILE_LINE,
            .c_row = p->wide,
            .c_column = 1,
            .columns = (int)conv_min(TILE_COLUMNS, p->wide - strip * TILE_COLUMNS),
            .by_depth = true,
            .add = !first};
  GemmTile *const *tile = ISA_NAME(gemm_tiles)();
  sums += point * p->plane + strip * TILE_COLUMNS;
  for (int64_t d = 0; d < p->depths; d++, sums += TILE_DEPTH * p->wide) {
    int64_t channels = conv_min(TILE_DEPTH, p->in - d * TILE_DEPTH);
    int64_t panels = conv_ceil(channels, TILE_ROWS);
    for (int64_t i = 0; i < panels; i++) {
      int64_t row = channels * i / panels, end = channels * (i + 1) / panels;
      t.a = t.next = sources + piece_place(p, point, d) + row;
      t.c = sums + row * p->wide;
      tile[end - row](&t);
    }
  }
}

/* Chunks of tiles with sums of their own. */
static void gradient_jobs(void *context, int64_t begin, int64_t end, int thread) {
  const Winograd *p = context;
  real *sources = parallel_scratch(thread), *gradients = sources + sources_size(p);
  real *sums = p->weights + begin / p->grain * p->buffer;
  for (int64_t job = begin; job < end; job++) {
    int64_t first = p->tiles * job / p->jobs, count = p->tiles * (job + 1) / p->jobs - first;
    transform_sources(p, first, count, sources);
    transform_gradients(p, first, count, gradients);
    for (int64_t q = 0; q < POINTS; q++)
      for (int64_t s = 0; s < p->strips; s++)
        multiply_strip(p, q, s, sources, gradients, count, job == begin, sums);
  }
}

/* Where the sums are many and the tiles few, there is one buffer of sums. Rounds of tiles are
 * transformed for all, and the threads share the points and their strips. */
static void round_tiles(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Winograd *p = context;
  transform_sources(p, p->first + begin, end - begin, p->sources + begin * TILE_STRIDE);
  transform_gradients(p, p->first + begin, end - begin, p->gradients + begin * other_row(p));
}

static void round_strips(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Winograd *p = context;
  for (int64_t i = begin; i < end; i++)
    multiply_strip(p, i / p->strips, i % p->strips, p->sources, p->gradients, p->count,
                   p->first == 0, p->weights);
}

static void gradient_rounds(Winograd *p) {
  for (p->first = 0; p->first < p->tiles; p->first += p->count) {
    p->count = conv_min(p->group, p->tiles - p->first);
    parallel_for(p->count, TILE_ROWS, round_tiles, p);
    int64_t products = p->count * p->in * TILE_COLUMNS;
    parallel_for(POINTS * p->strips, conv_ceil(CHUNK, products), round_strips, p);
  }
}

static void store_square(const Winograd *p, int64_t in, int64_t out, const Square *s) {
  for (int k = 0; k < 9; k++) {
    Corner c = corner_of(p, k, in, out);
    real *to = p->result + c.tap;
    Vec v[LANES];
    for (int i = 0; i < LANES; i++) v[i] = s->at[k][i];
    if (p->out_step != 1) vec_transpose(v);
    for (int i = 0; i < c.rows; i++) store(to + i * c.step, v[i], c.lanes);
  }
}

/* The chunks' sums at a channel in and some out, added in order and transformed back. */
static Vec add_chunks(const Winograd *p, int64_t in, int64_t out, Vec g[9]) {
  const real *from = p->weights + in * p->wide + out;
  Vec u[POINTS], check = vec_zero();
  VEC_UNROLL for (int q = 0; q < POINTS; q++) u[q] = vec_load(from + q * p->plane);
  for (int64_t c = 1; c < p->chunks; c++) {
    from += p->buffer;
    VEC_UNROLL for (int q = 0; q < POINTS; q++) u[q] += vec_load(from + q * p->plane);
  }
  winograd_weight_sums(u, g);
  VEC_UNROLL for (int k = 0; k < 9; k++) check += g[k] * vec_zero();
  return check;
}

static void finish_gradient(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  Winograd *p = context;
  Vec check = vec_zero();
  for (int64_t number = begin, in, o; number < end; number++) {
    Square s;
    memset(&s, 0, sizeof s);
    square_at(p, number, &in, &o);
    for (int i = 0; i < conv_min(p->in - in, LANES); i++) {
      Vec g[9];
      check += add_chunks(p, in + i, o, g);
      VEC_UNROLL for (int k = 0; k < 9; k++) s.at[k][i] = g[k];
    }
    store_square(p, in, o, &s);
  }
  if (vec_sum(check) != 0) __atomic_store_n(&p->broken, true, __ATOMIC_RELAXED);
}

/* As many chunks as are worth their sums, of equally many jobs, or rounds. */
static void gradient_plan(Winograd *p) {
  p->plane = p->in * p->wide + LINE;
  p->buffer = POINTS * p->plane;
  int64_t sums = POINTS * p->in * p->wide;
  int64_t worth = p->tiles * CHUNK_SUMS / sums, groups = conv_ceil(p->tiles, GROUP);
  bool few = worth < conv_min(FEW_CHUNKS, groups);
  p->chunks = few ? 1 : conv_min(conv_min(worth, groups), CHUNKS);
  p->grain = few ? 0 : conv_ceil(p->tiles, p->chunks * GRADIENT_GROUP);
  p->jobs = few ? conv_ceil(p->tiles, ROUND) : p->chunks * p->grain;
  p->group = conv_ceil(p->tiles, p->jobs);
}

static int64_t gradient_place(Winograd *p, char *base) {
  const int64_t word = sizeof(real);
  int64_t used = 0;
  workspace_take(base, &used, (int64_t)sizeof *p);
  p->zero = workspace_take(base, &used, p->in * word);
  p->weights = workspace_take(base, &used, p->chunks * p->buffer * word);
  if (p->grain > 0) return used;
  p->sources = workspace_take(base, &used, sources_size(p) * word);
  p->gradients = workspace_take(base, &used, p->group * other_row(p) * word);
  return used;
}

bool ISA_NAME(winograd_weight_gradient)(const ConvGeometry *g, const real *big, const real *small,
                                        real *dw, ConvStages *s, bool *taken, Error *e) {
  Winograd p = {.source = big, .gradient = small, .result = dw};
  *taken = plan(&p, g, false);
  if (!*taken) return true;
  gradient_plan(&p);
  if (p.grain > 0 && !reserve(&p, e)) return false;
  Winograd *own = settle(&p, gradient_place, s, e);
  if (!own) return false;
  if (p.grain > 0) s->first = (ParallelRange){p.jobs, p.grain, gradient_jobs, own};
  else gradient_rounds(own);
  int64_t grain = conv_max(FINISHED / (LANES * LANES * p.chunks), 1);
  s->second = (ParallelRange){squares(&p), grain, finish_gradient, own};
  return true;
}
#endif
