/* Floor 2: convolutions on the tiles of conv_tiles.h: copies windows of the source, packs weights,
 * builds offset tables and runs the jobs on the threads. No result depends on their number: jobs
 * and chunks are cut by the problem, and sums of chunks are added in order. */
#ifndef LATENT_SIMD_CONV_FAST_H
#define LATENT_SIMD_CONV_FAST_H

#include "base/parallel.h"
#include "base/shortcuts.h"
#include "simd/conv_along.h"
#include "simd/workspace.h"

#include <string.h>

enum {
  CONV_SHORT = 8,     /* runs below this length are listed term by term */
  CONV_PACK = 1 << 13 /* weights that a parallel chunk packs, about */
};

/* Where the part of image rows [from, from + height) and columns [left, left + width) is copied,
 * with zeros for what lies outside. */
static void conv_copy_window(real *to, const real *image, const ConvAxis axis[2], int64_t channels,
                             int64_t from, int64_t height, int64_t left, int64_t width) {
  int64_t before = conv_min(conv_max(-left, 0), width);
  int64_t inside = conv_max(conv_min(left + width, axis[1].source) - left - before, 0);
  int64_t behind = width - before - inside;
  size_t unit = (size_t)channels * sizeof(real);
  for (int64_t y = from; y < from + height; y++, to += width * channels) {
    if (y < 0 || y >= axis[0].source || inside == 0) {
      memset(to, 0, (size_t)width * unit);
      continue;
    }
    memset(to, 0, (size_t)before * unit);
    memcpy(to + before * channels, image + (y * axis[1].source + left + before) * channels,
           (size_t)inside * unit);
    memset(to + (before + inside) * channels, 0, (size_t)behind * unit);
  }
}

/* The images and rows of one job. */
typedef struct ConvJob {
  int64_t image, images, row;
  const real *window;
} ConvJob;

/* ... the window of which is, or is to be, at `scratch`, where it is not `direct`. */
static ConvJob conv_job_at(const ConvCut *c, const ConvAxis axis[2], const real *source,
                           int64_t channels, int64_t batch, int64_t number, const real *scratch) {
  ConvJob j = {.image = number / c->bands * c->images, .row = number % c->bands * c->rows};
  j.images = conv_min(c->images, batch - j.image);
  int64_t first = (j.image * axis[0].source + j.row * axis[0].step - axis[0].before) * c->row;
  j.window = c->direct ? source + first - axis[1].before * channels : scratch;
  return j;
}

static ConvJob conv_job(const ConvCut *c, const ConvAxis axis[2], const real *source,
                        int64_t channels, int64_t batch, int64_t number, real *scratch) {
  ConvJob j = conv_job_at(c, axis, source, channels, batch, number, scratch);
  int64_t from = j.row * axis[0].step - axis[0].before;
  int64_t image = axis[0].source * axis[1].source * channels;
  for (int64_t i = 0; i < j.images && !c->direct; i++)
    conv_copy_window(scratch + i * c->image, source + (j.image + i) * image, axis, channels, from,
                     c->height, -axis[1].before, c->width);
  return j;
}

/* What a job reads of the source, for so many fetches during the one before. */
static ConvAhead conv_ahead(const ConvCut *c, const ConvAxis axis[2], const real *source,
                            int64_t channels, int64_t batch, int64_t number, int64_t fetches) {
  if (number >= c->jobs || !shortcut(CONV_AHEAD)) return (ConvAhead){NULL, NULL, 0};
  int64_t image = number / c->bands * c->images, images = conv_min(c->images, batch - image);
  int64_t from = number % c->bands * c->rows * axis[0].step - axis[0].before;
  int64_t end = conv_min(from + c->height, axis[0].source), row = axis[1].source * channels;
  from = conv_max(from, 0);
  if (c->bands == 1) end = from + axis[0].source * images;
  const char *first = (const char *)(source + (image * axis[0].source + from) * row);
  int64_t bytes = conv_max(end - from, 0) * row * (int64_t)sizeof(real);
  int64_t lines = bytes / CONV_LINE / conv_max(fetches, 1) + 1;
  return (ConvAhead){first, first + bytes, lines * CONV_LINE};
}

/* The bytes of scratch that conv_job needs; tiles may read a vector beyond the window. */
static int64_t conv_window_bytes(const ConvCut *c) {
  return c->direct ? 0 : conv_ceil((c->images * c->image + LANES) * (int64_t)sizeof(real), 64) * 64;
}

/* One phase of a correlation: its taps, its packed weights and where its pixels lie. */
typedef struct CorrelationPhase {
  ConvPhase axis[2];
  ConvTaps taps;
  bool dots;             /* few outputs: dot products */
  bool pairs;            /* rows are taken by two: see tile_pairs */
  int64_t line;          /* places of a row: pixels, or groups of them that share a vector */
  int64_t first, origin; /* of the first tap in the window, of the first pixel in the output */
  int64_t weight_count;
  real *weights;
  ConvSpan *row_taps, *column_taps;
  ConvPlace *place, *last_place; /* of all jobs but the last of an image or batch; of that one */
} CorrelationPhase;

typedef struct Correlation {
  ConvAxis axis[2];
  ConvCut cut;
  int64_t batch, in, out;
  const real *source;
  const real *w; /* (tap, in, out) at tap * in * out + i * in_step + o * out_step */
  int64_t kernel_width, in_step, out_step;
  bool has_bias;
  const real *bias; /* padded to whole blocks */
  real *result;
  CorrelationPhase *phases;
  int64_t phase_count;
  bool gaps;       /* outputs that are zero, because no tap reaches them */
  int64_t fetches; /* of a job, about */
  bool open;       /* windows are not copied: see tile_patches */
  int64_t parts;   /* into which its blocks of outputs are cut, for more threads */
} Correlation;

static ConvTaps conv_taps(const ConvPhase axis[2], int64_t channels, int64_t row) {
  ConvTaps t = {.rows = axis[0].taps,
                .columns = axis[1].taps,
                .run = channels,
                .across = axis[1].taps,
                .unit = channels,
                .row_pitch = axis[0].tap_step * row,
                .column_pitch = axis[1].tap_step * channels};
  if (t.rows > 0 && t.columns > 0 && (axis[1].tap_step == 1 || t.columns == 1)) {
    t.run *= t.columns;
    t.columns = 1;
  }
  return t;
}

/* The offsets of each run's units, `unit` elements apart; returns their number. */
static int64_t conv_list(const ConvTaps *k, int64_t units, int64_t unit, int32_t *list) {
  int64_t n = 0;
  for (int64_t y = 0; y < k->rows; y++)
    for (int64_t x = 0; x < k->columns; x++)
      for (int64_t i = 0; i < units; i++)
        list[n++] = (int32_t)(y * k->row_pitch + x * k->column_pitch + i * unit);
  return n;
}

static int64_t conv_vectors(int64_t n) { return conv_ceil(n, LANES); }

/* How many neighbouring pixels' outputs a vector can take: they lie together, and so must the
 * vector's sources. */
static int64_t correlation_spread(const Correlation *c, const CorrelationPhase *p) {
  if (LANES < 8 || c->axis[1].phases > 1 || !shortcut(CONV_SPREAD)) return 1;
  int64_t fit = conv_min(LANES / c->out, (LANES - 1) / (c->in * c->axis[1].step) + 1);
  return fit <= p->axis[1].count ? fit : 1;
}

static CorrelationPhase correlation_phase(const Correlation *c, int64_t number) {
  int64_t y = number / conv_min(c->axis[1].phases, c->axis[1].out);
  int64_t x = number % conv_min(c->axis[1].phases, c->axis[1].out);
  CorrelationPhase p = {.axis = {conv_phase(&c->axis[0], y), conv_phase(&c->axis[1], x)}};
  p.taps = conv_taps(p.axis, c->in, c->cut.row);
  p.first = p.axis[0].first * c->cut.row + p.axis[1].first * c->in;
  p.origin = (y * c->axis[1].out + x) * c->out;
  int64_t runs = p.taps.rows * p.taps.columns, terms = runs * p.taps.run;
  int64_t outputs = terms * conv_vectors(c->out);
  int64_t dots = runs * conv_vectors(p.taps.run) * c->out;
  p.line = p.axis[1].count;
  /* a sum over lanes costs about four products, a permutation half of one */
  p.dots = c->out < LANES && dots + 4 * c->out < outputs && shortcut(CONV_BY_DOTS);
  int64_t spread = correlation_spread(c, &p);
  if (spread > 1 && 3 * terms < 2 * spread * (p.dots ? dots + 4 * c->out : outputs)) {
    p.dots = false;
    p.line = conv_ceil(p.axis[1].count, spread);
    p.taps.spread = spread;
    for (int l = 0; l < LANES; l++)
      p.taps.order[l] = (int32_t)(conv_min(l / c->out, spread - 1) * c->in * c->axis[1].step);
  }
  p.weight_count = (p.dots ? dots : outputs) * LANES;
  p.pairs = !p.dots && !p.taps.spread && p.taps.run >= CONV_SHORT && c->out <= LANES &&
            c->axis[0].step == 1 && c->axis[0].phases == 1 && p.axis[0].tap_step == 1 &&
            p.taps.rows > 1 && shortcut(CONV_IN_PAIRS);
  return p;
}

static const real *pack_tap(const Correlation *c, const CorrelationPhase *p, int64_t y, int64_t x) {
  int64_t ky = p->axis[0].weight + y * p->axis[0].weight_step;
  int64_t kx = p->axis[1].weight + x * p->axis[1].weight_step;
  return c->w + (ky * c->kernel_width + kx) * c->in * c->out;
}

/* LANES by LANES weights, turned over: rows of inputs to rows of outputs. */
static void pack_turn(const real *from, int64_t step, real *to, int64_t wide) {
  Vec v[LANES];
  VEC_UNROLL for (int i = 0; i < LANES; i++) v[i] = vec_load(from + i * step);
  vec_transpose(v);
  VEC_UNROLL for (int i = 0; i < LANES; i++) vec_store(to + i * wide, v[i]);
}

/* A tap's weights of n outputs, to rows of `wide`. */
static void pack_block(const Correlation *c, const real *tap, int64_t n, int64_t wide, bool spread,
                       real *to) {
  int64_t in = c->in, turned = 0;
  if (c->in_step == 1 && n == wide) turned = in / LANES * LANES;
  for (int64_t i = 0; i < turned; i += LANES)
    for (int64_t o = 0; o < n; o += LANES)
      pack_turn(tap + i + o * c->out_step, c->out_step, to + i * wide + o, wide);
  to += turned * wide;
  for (int64_t i = turned; i < in; i++, to += wide) {
    if (c->out_step == 1) memcpy(to, tap + i * c->in_step, (size_t)n * sizeof(real));
    else
      for (int64_t o = 0; o < n; o++) to[o] = tap[i * c->in_step + o * c->out_step];
    for (int64_t o = n; o < wide; o++) to[o] = spread ? to[o - n] : 0;
  }
}

static int64_t correlation_all_blocks(const Correlation *c) {
  return conv_ceil(c->out, TILE_BLOCK * LANES);
}

/* The taps of a phase's blocks, where these are packed by pack_taps. */
static int64_t pack_items(const Correlation *c, const CorrelationPhase *p) {
  return p->dots ? 0 : p->axis[0].taps * p->axis[1].taps * correlation_all_blocks(c);
}

/* To weights[block][tap][in][out in the block]: some of the taps of the phases' blocks. */
static void pack_taps(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Correlation *c = context;
  const CorrelationPhase *p = c->phases;
  int64_t block = TILE_BLOCK * LANES, before = 0; /* items of the phases before */
  for (int64_t item = begin; item < end; item++) {
    while (item - before >= pack_items(c, p)) before += pack_items(c, p++);
    int64_t taps = p->axis[0].taps * p->axis[1].taps;
    int64_t o = (item - before) / taps * block, tap = (item - before) % taps;
    int64_t wide = conv_min(conv_vectors(c->out - o) * LANES, block);
    const real *from = pack_tap(c, p, tap / p->axis[1].taps, tap % p->axis[1].taps);
    pack_block(c, from + o * c->out_step, conv_min(c->out - o, wide), wide, p->taps.spread > 0,
               p->weights + o * taps * c->in + tap * c->in * wide);
  }
}

/* To weights[out][run][term, to whole vectors]. */
static void pack_dots(const Correlation *c, const CorrelationPhase *p) {
  int64_t in = c->in, run = conv_vectors(p->taps.run) * LANES;
  int64_t runs = p->taps.rows * p->taps.columns;
  memset(p->weights, 0, (size_t)p->weight_count * sizeof(real));
  bool merged = p->taps.columns < p->axis[1].taps;
  for (int64_t y = 0; y < p->axis[0].taps; y++)
    for (int64_t x = 0; x < p->axis[1].taps; x++) {
      const real *tap = pack_tap(c, p, y, x);
      real *to = p->weights + (merged ? y * run + x * in : (y * p->taps.columns + x) * run);
      for (int64_t o = 0; o < c->out; o++)
        for (int64_t i = 0; i < in; i++)
          to[o * runs * run + i] = tap[i * c->in_step + o * c->out_step];
    }
}

/* What is to be packed of all phases; little is at once. */
static ParallelRange correlation_pack(Correlation *c) {
  int64_t items = 0;
  for (int64_t f = 0; f < c->phase_count; f++) {
    items += pack_items(c, &c->phases[f]);
    if (c->phases[f].dots) pack_dots(c, &c->phases[f]);
  }
  int64_t grain = conv_ceil(CONV_PACK, c->in * TILE_BLOCK * LANES);
  return (ParallelRange){items, parallel_whole(items, grain), pack_taps, c};
}

/* A block's tiles. They are functions of their own, so that each is compiled for its size alone. */
#define OUTPUTS(NAME, TILE, BLOCK, LISTED, SPREAD)                                                 \
  static __attribute__((noinline)) void NAME(const ConvPixels *x, const ConvTaps *k,               \
                                             const real *w, const real *bias, int lanes) {         \
    tile_outputs(*x, k, w, bias, lanes, TILE, BLOCK, LISTED, SPREAD);                              \
  }
OUTPUTS(outputs_1, TILE_PIXELS_1, 1, false, false)
OUTPUTS(outputs_2, TILE_PIXELS_2, 2, false, false)
OUTPUTS(outputs_listed_1, TILE_PIXELS_1, 1, true, false)
OUTPUTS(outputs_listed_2, TILE_PIXELS_2, 2, true, false)
OUTPUTS(outputs_spread, TILE_PIXELS_1, 1, false, true)

static __attribute__((noinline)) void outputs_pairs(const ConvPixels *x, const ConvTaps *k,
                                                    const real *w, const real *bias, int lanes) {
  tile_pairs(*x, k, w, bias, lanes, TILE_PIXELS_2);
}

static __attribute__((noinline)) void outputs_few(const ConvPixels *x, const ConvTaps *k,
                                                  const real *w, const real *bias, int64_t outs) {
  tile_dots(*x, k, w, bias, outs, TILE_DOTS, TILE_DOTS_OUTS);
}

static __attribute__((noinline)) void outputs_single(const ConvPixels *x, const ConvTaps *k,
                                                     const real *w, const real *bias) {
  tile_dots(*x, k, w, bias, 1, TILE_DOTS_1, 1);
}

/* The outputs of the blocks in `blocks`. */
static void correlation_blocks(const Correlation *c, const CorrelationPhase *p, ConvPixels x,
                               ConvSpan blocks) {
  const real *w = p->weights;
  if (p->taps.spread) {
    outputs_spread(&x, &p->taps, w, c->bias, (int)(p->taps.spread * c->out));
    return;
  }
  if (p->pairs && x.rows > 1) { /* then the last row, where there is one more */
    ConvPixels pairs = x;
    pairs.count = x.count / x.rows * (x.rows / 2);
    outputs_pairs(&pairs, &p->taps, w, c->bias, (int)c->out);
    x.place += pairs.count;
    x.count -= 2 * pairs.count;
    if (x.count == 0) return;
  }
  int64_t terms = p->taps.rows * p->taps.columns * p->taps.run, full = TILE_BLOCK * LANES;
  w += blocks.first * full * terms;
  for (int64_t o = blocks.first * full; o < conv_min(blocks.end * full, c->out); o += full) {
    int64_t vectors = conv_min(conv_vectors(c->out - o), TILE_BLOCK);
    int lanes = (int)(conv_min(c->out - o, vectors * LANES) - (vectors - 1) * LANES);
    ConvPixels part = x;
    part.out += o;
    if (p->taps.list)
      (vectors == 2 ? outputs_listed_2 : outputs_listed_1)(&part, &p->taps, w, c->bias + o, lanes);
    else (vectors == 2 ? outputs_2 : outputs_1)(&part, &p->taps, w, c->bias + o, lanes);
    w += terms * vectors * LANES;
  }
}

/* Rows of a job in a phase: the last job of an image may have fewer, or none. */
static int64_t correlation_rows(const Correlation *c, const CorrelationPhase *p, int64_t row) {
  return conv_max(conv_min(p->axis[0].count - row, c->cut.rows), 0);
}

/* Where a phase has no taps and there is no bias, the outputs of a job are cleared all at once, and
 * that phase is left out. */
static void correlation_clear(const Correlation *c, const ConvJob *j) {
  int64_t row = c->axis[1].out * c->out, first = j->row * c->axis[0].phases;
  int64_t rows = conv_min(c->axis[0].out - first, c->cut.rows * c->axis[0].phases);
  memset(c->result + (j->image * c->axis[0].out + first) * row, 0,
         (size_t)(j->images * rows * row) * sizeof(real));
}

/* Where the threads are more than the jobs, or share them badly, the blocks of outputs of each are
 * cut, all alike; no sum is. A part copies the window for itself. `work`: of all jobs. */
static int64_t correlation_parts(const Correlation *c, int64_t jobs, int64_t work) {
  int64_t threads = parallel_threads(), blocks = correlation_all_blocks(c);
  if (jobs % threads == 0 || jobs >= 4 * threads) return 1;
  int64_t parts = conv_min(conv_ceil(3 * threads, jobs), work / jobs / CONV_CHUNK);
  return conv_ceil(blocks, blocks / conv_max(conv_min(parts, blocks), 1));
}

/* What one thread has at most, in blocks of outputs of an image, with so many images a job. */
static int64_t correlation_share(const Correlation *c, int64_t images, int64_t work) {
  int64_t jobs = conv_ceil(c->batch, images), parts = correlation_parts(c, jobs, work);
  int64_t blocks = conv_ceil(correlation_all_blocks(c), parts);
  return conv_ceil(jobs * parts, parallel_threads()) * images * blocks;
}

/* Somewhat fewer images a job, where the threads then share them better: no sum is cut. Less than
 * two chunks stay on one thread as they are. */
static void correlation_even(Correlation *c, int64_t work) {
  ConvCut *cut = &c->cut;
  if (cut->bands > 1 || parallel_threads() == 1 || work < 2 * CONV_CHUNK) return;
  for (int64_t n = cut->images - 1, least = conv_ceil(2 * cut->images, 3); n >= least; n--)
    if (correlation_share(c, n, work) < correlation_share(c, cut->images, work)) cut->images = n;
  cut->groups = cut->jobs = conv_ceil(c->batch, cut->images);
  cut->pixels = cut->images * cut->rows * c->axis[1].count;
}

static void correlation_jobs(void *context, int64_t begin, int64_t end, int thread) {
  const Correlation *c = context;
  for (int64_t item = begin; item < end; item++) {
    int64_t number = item / c->parts, part = item % c->parts, blocks = correlation_all_blocks(c);
    ConvSpan these = {(int32_t)(part * blocks / c->parts),
                      (int32_t)((part + 1) * blocks / c->parts)};
    ConvJob j =
        conv_job(&c->cut, c->axis, c->source, c->in, c->batch, number, parallel_scratch(thread));
    ConvAhead ahead =
        conv_ahead(&c->cut, c->axis, c->source, c->in, c->batch, number + 1, c->fetches);
    if (c->gaps) correlation_clear(c, &j);
    for (int64_t f = 0; f < c->phase_count; f++) {
      const CorrelationPhase *p = &c->phases[f];
      int64_t rows = correlation_rows(c, p, j.row);
      if (rows == 0 || (c->gaps && p->taps.rows * p->taps.columns == 0)) continue;
      int64_t line = j.image * c->axis[0].out + j.row * c->axis[0].phases;
      bool whole = j.images == c->cut.images && rows == correlation_rows(c, p, 0);
      ConvPixels x = {.count = j.images * rows * p->line,
                      .rows = rows,
                      .source = j.window + p->first,
                      .out = c->result + line * c->axis[1].out * c->out + p->origin,
                      .line = c->axis[1].out * c->out,
                      .place = whole ? p->place : p->last_place,
                      .row_taps = p->row_taps + j.row,
                      .column_taps = p->column_taps,
                      .ahead = &ahead,
                      .patches = c->open ? parallel_scratch(thread) : NULL};
      if (p->dots && c->out == 1) outputs_single(&x, &p->taps, p->weights, c->bias);
      else if (p->dots) outputs_few(&x, &p->taps, p->weights, c->bias, c->out);
      else correlation_blocks(c, p, x, these);
    }
  }
}

/* The places of some rows of a job, each of `by` rows, strip by strip; returns what lies behind. */
static ConvPlace *correlation_rows_places(const Correlation *c, const CorrelationPhase *p,
                                          int64_t images, int64_t row, int64_t end, int64_t by,
                                          ConvPlace *to) {
  int64_t source_row = c->cut.row * c->axis[0].step, source_pixel = c->in * c->axis[1].step;
  int64_t out_line = c->axis[1].out * c->out, out_pixel = c->axis[1].phases * c->out;
  int64_t group = conv_max(p->taps.spread, 1);
  for (int64_t left = 0, right = 0; left < p->axis[1].count; left = right) {
    while (right < p->axis[1].count && conv_same_span(p->column_taps[left], p->column_taps[right]))
      right++;
    for (int64_t y = row; y < end; y += by)
      for (int64_t n = 0; n < images; n++) {
        int64_t source = n * c->cut.image + y * source_row;
        int64_t out = (n * c->axis[0].out + y * c->axis[0].phases) * out_line;
        for (int64_t next = left; next < right; next += group) {
          int64_t x = conv_min(next, right - group); /* the last group overlaps the one before */
          *to++ = (ConvPlace){(int32_t)(source + x * source_pixel), (int32_t)(out + x * out_pixel),
                              (int32_t)y, (int32_t)x};
        }
      }
  }
  return to;
}

/* The pixels of a job, as tiles want them: see ConvPixels. */
static void correlation_places(const Correlation *c, const CorrelationPhase *p, int64_t images,
                               int64_t rows, ConvPlace *to) {
  int64_t paired = p->pairs ? rows / 2 * 2 : 0;
  to = correlation_rows_places(c, p, images, 0, paired, 2, to);
  correlation_rows_places(c, p, images, paired, rows, 1, to);
}

/* A phase's spans, and the places of its jobs. */
static void correlation_tables(const Correlation *c, const CorrelationPhase *p) {
  for (int64_t y = 0; y < p->axis[0].count; y++)
    p->row_taps[y] = conv_span(&c->axis[0], &p->axis[0], y);
  for (int64_t x = 0; x < p->axis[1].count; x++)
    p->column_taps[x] = p->dots || p->taps.spread ? (ConvSpan){0, (int32_t)p->axis[1].taps}
                                                  /* one strip */
                                                  : conv_span(&c->axis[1], &p->axis[1], x);
  correlation_places(c, p, c->cut.images, correlation_rows(c, p, 0), p->place);
  if (p->last_place)
    correlation_places(c, p, c->batch - (c->cut.groups - 1) * c->cut.images,
                       correlation_rows(c, p, (c->cut.bands - 1) * c->cut.rows), p->last_place);
  if (p->taps.list) conv_list(&p->taps, p->taps.run, 1, p->taps.list);
}

/* How often the tiles of a job fetch. */
static int64_t correlation_fetches(const CorrelationPhase *p, int64_t places, int64_t out) {
  int64_t runs = p->taps.list ? 1 : p->taps.rows * p->taps.columns;
  int64_t together = p->dots ? TILE_DOTS_OUTS : TILE_BLOCK * LANES;
  return conv_ceil(places, TILE_PIXELS_1) * conv_ceil(out, together) * runs;
}

/* Places phases, tables, bias and weights in the workspace; the bytes they need. */
static int64_t correlation_place(Correlation *c, char *base) {
  int64_t used = 0, padded = conv_vectors(c->out) * LANES * (int64_t)sizeof(real);
  workspace_take(base, &used, (int64_t)sizeof *c);
  c->phases = workspace_take(base, &used, c->phase_count * (int64_t)sizeof(CorrelationPhase));
  c->bias = workspace_take(base, &used, padded);
  for (int64_t f = 0; f < c->phase_count; f++) {
    CorrelationPhase p = correlation_phase(c, f);
    int64_t last = correlation_rows(c, &p, (c->cut.bands - 1) * c->cut.rows);
    int64_t rows = correlation_rows(c, &p, 0), terms = p.taps.rows * p.taps.columns * p.taps.run;
    int64_t count = c->cut.images * rows * p.line, places = count * (int64_t)sizeof(ConvPlace);
    p.weights = workspace_take(base, &used, p.weight_count * (int64_t)sizeof(real));
    p.row_taps = workspace_take(base, &used, p.axis[0].count * (int64_t)sizeof(ConvSpan));
    p.column_taps = workspace_take(base, &used, p.axis[1].count * (int64_t)sizeof(ConvSpan));
    p.place = workspace_take(base, &used, places);
    if (last < rows || c->batch % c->cut.images != 0)
      p.last_place = workspace_take(base, &used, places);
    if (!p.dots && !p.taps.spread && p.taps.run < CONV_SHORT)
      p.taps.list = workspace_take(base, &used, terms * (int64_t)sizeof(int32_t));
    if (!base) continue;
    c->fetches += correlation_fetches(&p, count, c->out);
    if (!c->has_bias && p.taps.rows * p.taps.columns == 0) c->gaps = true;
    correlation_tables(c, &p);
    c->phases[f] = p;
  }
  return used;
}

/* Whether vectors lie along the pixels. Where outputs are dot products they stay so: these have
 * another order of additions. */
static bool correlation_along(const Correlation *c) {
  CorrelationPhase p = correlation_phase(c, 0);
  double terms = (double)(p.axis[0].taps * p.axis[1].taps * c->in);
  /* as in correlation_phase: a permutation costs half a product */
  double other = p.taps.spread ? 1.5 * terms / (double)p.taps.spread : terms;
  return !p.dots && c->out <= LANES &&
         along_fits(c->axis, c->in, c->out, p.axis[0].taps * p.axis[1].taps, other);
}

/* Large images that plain tiles read need no window: few tiles lie at their edges. */
static bool correlation_open(const Correlation *c) {
  return !c->cut.direct && c->out > LANES && c->in >= CONV_SHORT &&
         c->axis[0].count * c->axis[1].count >= CONV_PIXELS && shortcut(CONV_OPEN);
}

/* result = bias + source correlated with the weights: down, small = bias + w * big; up,
 * big = bias + w' * small. */
static bool conv_correlate(const ConvGeometry *g, bool up, const real *source, const real *w,
                           const real *bias, real *result, ConvStages *s, Error *e) {
  Correlation c = {.axis = {conv_axis(g, 0, up), conv_axis(g, 1, up)},
                   .batch = g->batch,
                   .in = up ? g->small_channels : g->big_channels,
                   .out = up ? g->big_channels : g->small_channels,
                   .source = source,
                   .w = w,
                   .kernel_width = g->kernel[1],
                   .in_step = up ? g->weight_small : g->weight_big,
                   .out_step = up ? g->weight_big : g->weight_small,
                   .has_bias = bias != NULL,
                   .result = result};
  int64_t pixels = g->small[0] * g->small[1];
  int64_t work = pixels * g->kernel[0] * g->kernel[1] * c.in * conv_vectors(c.out) * LANES;
  c.cut = conv_cut(c.axis, c.batch, c.in, c.out, work, c.out >= LANES);
  if (c.batch > 0) correlation_even(&c, work * c.batch);
  c.open = correlation_open(&c);
  if (c.open) conv_cut_open(&c.cut, c.axis, c.in);
  c.phase_count =
      conv_min(c.axis[0].phases, c.axis[0].out) * conv_min(c.axis[1].phases, c.axis[1].out);
  if (c.batch == 0) return true;
  if (correlation_along(&c)) {
    Along a = {.axis = {c.axis[0], c.axis[1]},
               .cut = c.cut,
               .batch = c.batch,
               .in = c.in,
               .out = c.out,
               .source = source,
               .result = result};
    ConvPhase axis[2] = {conv_phase(&c.axis[0], 0), conv_phase(&c.axis[1], 0)};
    return conv_along(&a, axis, w, bias, g->kernel[1], c.in_step, c.out_step, work, s, e);
  }
  int64_t patches = c.open ? 8 * g->kernel[0] * g->kernel[1] * c.in * (int64_t)sizeof(real) : 0;
  if (!parallel_reserve(conv_window_bytes(&c.cut) + patches + 64))
    return error_set(e, "out of memory");
  s->space = workspace_new(correlation_place(&c, NULL), e);
  if (!s->space) return false;
  correlation_place(&c, s->space->data);
  real *padded = (real *)c.bias;
  memset(padded, 0, (size_t)(conv_vectors(c.out) * LANES) * sizeof(real));
  for (int64_t o = 0; bias && o < conv_vectors(c.out) * LANES; o++) padded[o] = bias[o % c.out];
  c.parts = c.gaps ? 1 : correlation_parts(&c, c.cut.jobs, work * c.batch);
  Correlation *own = s->space->data;
  *own = c;
  int64_t jobs = c.cut.jobs * c.parts;
  s->first = correlation_pack(own);
  s->second = (ParallelRange){jobs, conv_grain(jobs, work * c.batch), correlation_jobs, own};
  return true;
}

#endif
