/* Floor 2: fused blocks on the tiles of block_tiles.h. A job is a group of small images or a band
 * of rows of one image: all its steps run while its data is in the inner caches, and only x, y and
 * one byte per element of y (the code: which place of its window won, and whether the activation
 * let it pass) are ever whole in memory. No result depends on the number of threads: jobs and
 * chunks are cut by the problem, and sums of chunks are added in order. */
#ifndef LATENT_SIMD_BLOCK_FAST_H
#define LATENT_SIMD_BLOCK_FAST_H

#include "../parallel.h"
#include "block_edges.h"
#include "block_tiles.h"

enum {
  BLOCK_PIXELS = 256,     /* small images are grouped up to this many pixels */
  BLOCK_WINDOW = 1 << 16, /* elements of scratch that a job may fill, about */
  BLOCK_BAND = 1 << 11,   /* elements of the convolution's output between two epilogues, about */
  BLOCK_WORK = 1 << 20,   /* multiplications that are worth a parallel chunk */
  BLOCK_JOBS = 16,        /* where images are few and large, cut them into this many jobs */
  BLOCK_CHUNKS = 16,      /* of a weight gradient, at most, with BLOCK_BUFFERS elements in all */
  BLOCK_BUFFERS = 1 << 22
};

static Tensor *block_space(int64_t elements, Error *e) {
  Shape s = {1, {elements}};
  return tensor_new(DTYPE_REAL, &s, e);
}

/* Hands out the next part of a workspace, whole cache lines; with base NULL it only counts. */
static real *block_take(real *base, int64_t *used, int64_t elements) {
  real *part = base ? base + *used : NULL;
  *used += block_up(elements, 16);
  return part;
}

static int64_t block_vectors(int64_t n) { return block_ceil(n, LANES); }

/* A correlation between a padded source and an output, both in scratch: up is x to z (forward),
 * down dz to dx (backward). */
typedef struct BlockForm {
  bool up;
  int64_t stride[2], taps[2], low[2], first[2];
  int64_t channels, vectors; /* of the source, of the output */
  const real *weights, *bias;
  BlockTileRun *run;             /* NULL: no tile of this form, row by row */
  int64_t images, rows, columns; /* of a tile */
} BlockForm;

static BlockForm block_form(const Block *b, bool up) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  BlockForm f = {.up = up,
                 .stride = {v->up, h->up},
                 .taps = {v->taps, h->taps},
                 .low = {v->low, h->low},
                 .first = {v->first, h->first},
                 .channels = up ? b->in : b->out,
                 .vectors = block_vectors(up ? b->out : b->in),
                 .images = 1,
                 .rows = 1,
                 .columns = ROW_PIXELS * (up ? h->up : 1)};
  int64_t columns = up ? h->out : h->in;
  bool same = v->up == h->up && v->kernel == 3 && h->kernel == 3;
  /* on the way up the first of a tile's outputs must be joined to its first source by the last tap
   */
  for (int d = 0; d < 2; d++)
    same = same && (!up || b->axis[d].taps - 1 == -b->axis[d].low - v->up * b->axis[d].first);
  if (!same || v->up > 2) return f;
  int width = 0;
  while (width < TILE_WIDTHS - 1 && block_tile_columns[width] < columns) width++;
  f.run = v->up == 1 ? (up ? tiles_same_forward : tiles_same_backward)[width]
                     : (up ? tiles_double_forward : tiles_double_backward)[width];
  f.rows = TILE_ROWS;
  f.columns = block_tile_columns[width];
  f.images = TILE_IMAGES_OF(f.columns);
  return f;
}

/* What a correlation reads and writes. */
typedef struct BlockPlane {
  const real *source;
  real *out;
  int64_t images, rows, columns; /* of the output */
  int64_t image, row, pixel;     /* pitches of the source */
  int64_t out_image, out_row, out_pixel;
} BlockPlane;

static void block_correlate_tiles(const BlockForm *f, const BlockPlane *p) {
  int64_t size = f->taps[0] * f->taps[1] * f->channels * LANES;
  BlockTile t = {.row = p->row,
                 .pixel = p->pixel,
                 .out_row = p->out_row,
                 .out_pixel = p->out_pixel,
                 .channels = f->channels};
  int64_t down = f->up ? 1 : f->stride[0], across = f->up ? 1 : f->stride[1];
  int64_t under = f->up ? f->stride[0] : 1, beside = f->up ? f->stride[1] : 1;
  for (int64_t v = 0; v < f->vectors; v++) {
    t.weights = f->weights + v * size;
    t.bias = f->bias ? f->bias + v * LANES : NULL;
    for (int64_t n = 0; n < p->images; n += f->images)
      for (int64_t i = 0; i < p->rows; i += f->rows)
        for (int64_t j = 0; j < p->columns; j += f->columns) {
          for (int64_t k = 0; k < f->images; k++) { /* the last image fills up a tile */
            int64_t image = block_min(n + k, p->images - 1);
            t.source[k] = p->source + image * p->image + i * down / under * p->row +
                          j * across / beside * p->pixel;
            t.out[k] =
                p->out + image * p->out_image + i * p->out_row + j * p->out_pixel + v * LANES;
          }
          f->run(&t);
        }
  }
}

/* The taps of one axis that make the outputs r, r + stride, ... */
typedef struct BlockPhase {
  int64_t source, taps, weight, weight_step;
} BlockPhase;

static BlockPhase block_phase(const BlockForm *f, int d, int64_t r) {
  if (!f->up) return (BlockPhase){0, f->taps[d], 0, 1};
  /* tap of source row j of the window, j = 0 being x[q + first]: high - stride j */
  int64_t high = r - f->stride[d] * f->first[d] - f->low[d];
  BlockPhase p = {.source = block_max(block_ceil(high - f->taps[d] + 1, f->stride[d]), 0)};
  p.weight = high - p.source * f->stride[d];
  p.taps = p.weight < 0 ? 0 : p.weight / f->stride[d] + 1;
  p.weight_step = -f->stride[d];
  return p;
}

static void block_correlate_rows(const BlockForm *f, const BlockPlane *p) {
  int64_t size = f->taps[0] * f->taps[1] * f->channels * LANES;
  int64_t phases[2] = {f->up ? f->stride[0] : 1, f->up ? f->stride[1] : 1};
  for (int64_t v = 0; v < f->vectors; v++)
    for (int64_t i = 0; i < p->rows; i++)
      for (int64_t c = 0; c < phases[1]; c++) {
        BlockPhase y = block_phase(f, 0, i % phases[0]), x = block_phase(f, 1, c);
        BlockRow t = {.row = p->row,
                      .pixel = p->pixel,
                      .step = (f->up ? 1 : f->stride[1]) * p->pixel,
                      .out_pixel = phases[1] * p->out_pixel,
                      .channels = f->channels,
                      .rows = y.taps,
                      .columns = x.taps,
                      .weights = f->weights + v * size + (y.weight * f->taps[1] + x.weight) * LANES,
                      .weight_row = y.weight_step * f->taps[1] * LANES,
                      .weight_column = x.weight_step * LANES,
                      .weight_channel = f->taps[0] * f->taps[1] * LANES,
                      .bias = f->bias ? f->bias + v * LANES : NULL};
        int64_t top = f->up ? i / phases[0] + y.source : i * f->stride[0];
        for (int64_t n = 0; n < p->images; n++)
          for (int64_t j = 0; j * phases[1] < p->columns; j += ROW_PIXELS) {
            t.source = p->source + n * p->image + top * p->row + (x.source * p->pixel + j * t.step);
            t.out = p->out + n * p->out_image + i * p->out_row +
                    (j * phases[1] + c) * p->out_pixel + v * LANES;
            block_row(&t);
          }
      }
}

static void block_correlate(const BlockForm *f, const BlockPlane *p) {
  (f->run ? block_correlate_tiles : block_correlate_rows)(f, p);
}

/* How images are cut into jobs, along rows of `unit`. */
typedef struct BlockCut {
  int64_t images, rows;  /* of a job: at most one is larger than 1 but for whole images */
  int64_t groups, bands; /* their numbers */
  int64_t jobs;
} BlockCut;

/* `row` and `work`: elements of scratch of a row, multiplications of an image. */
static BlockCut block_cut(int64_t batch, int64_t rows, int64_t columns, int64_t unit, int64_t row,
                          int64_t work) {
  BlockCut c = {.images = 1, .rows = block_up(rows, unit)};
  if (rows * columns < BLOCK_PIXELS) {
    int64_t fit = block_min(BLOCK_PIXELS / (rows * columns), BLOCK_WINDOW / (row * c.rows));
    c.images = block_max(block_min(fit, batch), 1);
  } else {
    int64_t wanted = block_min(BLOCK_JOBS / batch, work / BLOCK_WORK);
    int64_t bands = block_max(block_ceil(row * rows, BLOCK_WINDOW), block_max(wanted, 1));
    c.rows = block_up(block_ceil(rows, bands), unit);
  }
  c.bands = block_ceil(rows, c.rows);
  c.groups = block_ceil(batch, c.images);
  c.jobs = c.groups * c.bands;
  return c;
}

/* A call, forward or backward; unused fields are zero. */
typedef struct BlockRun {
  const Block *b;
  BlockForm form;
  BlockCut cut;
  const real *x, *dy;
  real *y, *dx;
  BlockCodes codes;
  int64_t band;                  /* forward: rows of z between two epilogues */
  int64_t height, width;         /* of a window of the source, zeros included */
  int64_t out_rows, out_columns; /* of scratch for the output */
  int64_t grain;                 /* jobs of a parallel chunk */
  real *sums, *bias_sums;        /* a chunk's weight and bias gradient */
  int64_t sums_size;
  bool turned; /* weight gradient: vectors lie along the input's channels */
  bool direct; /* backward: dx needs no scratch */
} BlockRun;

/* ---- forward ---- */

static void block_forward_jobs(void *context, int64_t begin, int64_t end, int thread) {
  const BlockRun *r = context;
  const Block *b = r->b;
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  int64_t wide = r->form.vectors * LANES, pitch = r->width * b->in;
  real *window = parallel_scratch(thread);
  real *z = window + block_up(r->cut.images * r->height * pitch, 16);
  for (int64_t number = begin; number < end; number++) {
    int64_t image = number / r->cut.bands * r->cut.images;
    int64_t from = number % r->cut.bands * r->cut.rows;
    int64_t to = block_min(from + r->cut.rows, v->used);
    int64_t images = block_min(r->cut.images, b->batch - image);
    int64_t height = block_ceil(block_up(to - from, r->band), v->up) + v->span - 1;
    for (int64_t n = 0; n < images; n++)
      block_window(window + n * r->height * pitch, r->x + (image + n) * v->in * h->in * b->in,
                   v->in, h->in, b->in, from / v->up + v->first, h->first, height, r->width);
    for (int64_t i = from; i < to; i += r->band) {
      int64_t rows = block_min(r->band, to - i);
      BlockPlane p = {.source = window + (i - from) / v->up * pitch,
                      .out = z,
                      .images = images,
                      .rows = rows,
                      .columns = h->used,
                      .image = r->height * pitch,
                      .row = pitch,
                      .pixel = b->in,
                      .out_image = r->band * r->out_columns * wide,
                      .out_row = r->out_columns * wide,
                      .out_pixel = wide};
      block_correlate(&r->form, &p);
      for (int64_t n = 0; n < images; n++)
        for (int64_t k = 0; k < rows; k += v->pool) {
          int64_t at = (((image + n) * v->pooled + (i + k) / v->pool) * h->pooled) * b->out;
          block_epilogue(b, z + n * p.out_image + k * p.out_row, p.out_row, wide, r->y + at,
                         &r->codes, at);
        }
    }
  }
}

static int64_t block_work(const Block *b) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  return v->in * h->in * v->taps * h->taps * b->in * block_vectors(b->out) * LANES;
}

/* y = pool(act(bias + w * upsample(x))); *kept: what backward needs, where one may follow. */
static bool block_forward(const Block *b, const real *x, const real *w, const real *bias, real *y,
                          bool record, Tensor **kept, Error *e) {
  if (b->batch == 0) return true;
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  BlockRun r = {.b = b, .form = block_form(b, true), .x = x, .y = y};
  int64_t wide = r.form.vectors * LANES;
  if (record && !block_codes_new(b, &r.codes, kept, e)) return false;
  r.out_columns = block_up(h->used, r.form.columns);
  r.width = block_ceil(r.out_columns, h->up) + h->span - 1;
  int64_t unit = block_multiple(block_multiple(v->pool, v->up), r.form.rows);
  int64_t row = r.width * b->in / v->up + 1;
  r.cut = block_cut(b->batch, v->used, h->used, unit, row, block_work(b));
  int64_t fit = BLOCK_BAND / (r.out_columns * wide * r.cut.images * unit);
  r.band = block_min(unit * block_max(fit, 1), r.cut.rows);
  if (r.cut.images > 1) r.band = r.cut.rows;
  r.height = block_ceil(block_up(r.cut.rows, r.band), v->up) + v->span - 1;
  int64_t weights = v->taps * h->taps * b->in * wide;
  Tensor *space = block_space(weights + wide, e);
  if (!space) return false;
  int64_t scratch = block_up(r.cut.images * r.height * r.width * b->in, 16) +
                    r.cut.images * r.band * r.out_columns * wide;
  bool ok = parallel_reserve((size_t)scratch * sizeof(real));
  if (ok) {
    block_fold(b, w, reals(space), true);
    r.form.weights = reals(space);
    if (bias) r.form.bias = reals(space) + weights;
    for (int64_t i = 0; i < wide; i++) reals(space)[weights + i] = bias && i < b->out ? bias[i] : 0;
    int64_t job = block_max(block_work(b) * b->batch / r.cut.jobs, 1);
    parallel_for(r.cut.jobs, block_ceil(BLOCK_WORK, job), block_forward_jobs, &r);
  } else error_set(e, "out of memory");
  tensor_release(space);
  return ok;
}

#include "block_backward.h"

#endif
