/* Floor 2: fused blocks on the tiles of block_tiles.h. A job is a group of small images or a band
 * of rows of one image: all its steps run while its data is in the inner caches, and only x, y and
 * one byte per element of y (the code: which place of its window won, and whether the activation
 * let it pass) are ever whole in memory. No result depends on the number of threads: jobs and
 * chunks are cut by the problem, and sums of chunks are added in order. */
#ifndef LATENT_SIMD_BLOCK_FORWARD_H
#define LATENT_SIMD_BLOCK_FORWARD_H

#include "base/parallel.h"
#include "simd/block_edges.h"
#include "simd/block_few.h"
#include "simd/workspace.h"

enum {
  BLOCK_PIXELS = 256,     /* small images are grouped up to this many pixels */
  BLOCK_WINDOW = 1 << 16, /* elements of scratch that a job may fill, about */
  BLOCK_BAND = 1 << 11,   /* elements of the convolution's output between two epilogues, about */
  BLOCK_WORK = 1 << 20,   /* multiplications that are worth sums of their own, or a smaller job */
  BLOCK_CHUNK = 1 << 18, /* ... a parallel chunk of jobs that no sum joins, or (block_chunk) less */
  BLOCK_JOBS = 16,       /* where images are few and large, cut them into this many jobs */
  BLOCK_CHUNKS = 16,     /* of a weight gradient, at most, with BLOCK_BUFFERS elements in all */
  BLOCK_BUFFERS = 1 << 22
};

/* How images are cut into jobs, along rows of `unit`. */
typedef struct BlockCut {
  int64_t images, rows;  /* of a job: at most one is larger than 1 but for whole images */
  int64_t groups, bands; /* their numbers */
  int64_t jobs;
} BlockCut;

/* Multiplications of a chunk of jobs that no sum joins: what makes but a few chunks is cut finer,
 * so that any number of threads gets equal shares. */
static int64_t block_chunk(int64_t work) {
  if (work <= BLOCK_CHUNK) return work;
  return block_min(block_max(work / BLOCK_JOBS, BLOCK_CHUNK / 4), BLOCK_CHUNK);
}

/* `row` and `work`: elements of scratch of a row, multiplications of an image; `most`: small images
 * of a job. */
static BlockCut block_cut(int64_t batch, int64_t rows, int64_t columns, int64_t unit, int64_t row,
                          int64_t work, int64_t most) {
  BlockCut c = {.images = 1, .rows = block_up(rows, unit)};
  if (rows * columns < BLOCK_PIXELS) {
    int64_t fit = block_min(BLOCK_PIXELS / (rows * columns), BLOCK_WINDOW / (row * c.rows));
    fit = block_min(fit, most);
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
  bool *cleared;                 /* of each thread: whether its scratch has its zeros */
  real *sums, *bias_sums;        /* a chunk's weight and bias gradient */
  int64_t sums_size;
  bool turned;        /* weight gradient: vectors lie along the input's channels */
  bool direct;        /* x to y, or dz to dx, without scratch between */
  int64_t few;        /* forward with few outputs: products of a pixel, or 0 */
  int64_t pixel;      /* forward: elements of a pixel of the window: its channels, or products */
  int64_t lattice, z; /* forward: places in a thread's scratch */
  int64_t z_image, z_pixel; /* pitches */
} BlockRun;

/* ---- forward ---- */

/* Some rows of some images of a doubling block; straight into y where nothing is pooled. */
static void block_double_rows(const BlockRun *r, const BlockPlane *p, int64_t image, int64_t row,
                              real *lattice) {
  const Block *b = r->b;
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  DoubleOutput o = {.b = b,
                    .weights = r->form.weights,
                    .bias = r->form.bias,
                    .out = p->out,
                    .row = p->out_row,
                    .pixel = p->out_pixel};
  int64_t between = p->out_image;
  if (r->direct) {
    o.out = r->y;
    o.codes = &r->codes;
    o.pixel = b->out;
    o.row = h->out * b->out;
    between = v->out * o.row;
    o.first = image * between + row * o.row;
  }
  PixelWalk source = {.images = p->images,
                      .rows = block_ceil(p->rows, 2),
                      .columns = block_ceil(p->columns, 2),
                      .image_pitch = p->image,
                      .row_pitch = p->row,
                      .pixel_pitch = p->pixel};
  PixelWalk target = source;
  target.image_pitch = between;
  target.row_pitch = 2 * o.row;
  target.pixel_pitch = 2 * o.pixel;
  block_double_up(&o, p->source + p->row + p->pixel, source, target, lattice);
}

/* The products of rows from `top` on of an image, for the pixels that exist. */
static void block_few_window(const BlockRun *r, const real *image, int64_t top, int64_t height,
                             real *window) {
  const BlockAxis *v = &r->b->axis[0], *h = &r->b->axis[1];
  int64_t begin = block_max(h->first, 0), end = block_min(h->first + r->width, h->in);
  int64_t stop = block_min(top + height, v->in);
  for (int64_t y = block_max(top, 0); y < stop; y++)
    block_few_row(&r->form, image + (y * h->in + begin) * r->b->in, end - begin,
                  window + ((y - top) * r->width + begin - h->first) * r->pixel, r->pixel);
}

static void block_forward_jobs(void *context, int64_t begin, int64_t end, int thread) {
  const BlockRun *r = context;
  const Block *b = r->b;
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  int64_t pitch = r->width * r->pixel, size = r->height * pitch;
  real *window = parallel_scratch(thread), *z = window + r->z;
  for (int64_t number = begin; number < end; number++) {
    int64_t image = number / r->cut.bands * r->cut.images;
    int64_t from = number % r->cut.bands * r->cut.rows;
    int64_t to = block_min(from + r->cut.rows, v->used);
    int64_t images = block_min(r->cut.images, b->batch - image);
    int64_t height = block_ceil(block_up(to - from, r->band), v->up) + v->span - 1;
    if (!r->cleared[thread] || r->cut.bands > 1)
      memset(window, 0, (size_t)(r->cut.images * size) * sizeof(real));
    r->cleared[thread] = true;
    for (int64_t n = 0; n < images; n++) {
      const real *x = r->x + (image + n) * v->in * h->in * b->in;
      int64_t top = from / v->up + v->first;
      if (r->few) block_few_window(r, x, top, height, window + n * size);
      else block_window(window + n * size, x, v->in, h->in, b->in, top, h->first, height, r->width);
    }
    for (int64_t i = from; i < to; i += r->band) {
      int64_t rows = block_min(r->band, to - i);
      BlockPlane p = {.source = window + (i - from) / v->up * pitch,
                      .out = z,
                      .images = images,
                      .rows = rows,
                      .columns = h->used,
                      .image = size,
                      .row = pitch,
                      .pixel = r->pixel,
                      .out_image = r->z_image,
                      .out_row = r->out_columns * r->z_pixel,
                      .out_pixel = r->z_pixel};
      if (r->few) block_few_outputs(b, &r->form, &p);
      else if (r->form.parts) block_double_rows(r, &p, image, i, window + r->lattice);
      else block_correlate(&r->form, &p);
      for (int64_t n = 0; n < images && !r->direct; n++)
        for (int64_t k = 0; k < rows; k += v->pool) {
          int64_t at = (((image + n) * v->pooled + (i + k) / v->pool) * h->pooled) * b->out;
          block_epilogue(b, z + n * p.out_image + k * p.out_row, p.out_row, p.out_pixel, r->y + at,
                         &r->codes, at);
        }
    }
  }
}

static int64_t block_work(const Block *b) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  return v->in * h->in * v->taps * h->taps * b->in * block_vectors(b->out) * LANES;
}

/* Images of a job that no sum joins, as many as a chunk has, in whole tiles. */
static int64_t block_images(const Block *b, const BlockForm *f) {
  int64_t image = block_work(b);
  return block_up(block_max(block_chunk(image * b->batch) / block_max(image, 1), 1), f->images);
}

/* Sizes of jobs, windows and scratch; returns the elements of a thread's scratch. */
static int64_t block_forward_cut(BlockRun *r) {
  const Block *b = r->b;
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  bool few = block_few_pays(b, &r->form);
  r->few = few ? block_few(b, &r->form).vectors * LANES : 0;
  r->pixel = few ? r->few : b->in;
  if (few) r->form.parts = false, r->form.images = r->form.rows = r->form.columns = 1;
  r->z_pixel = few ? b->out : r->form.vectors * LANES;
  r->out_columns = block_up(h->used, r->form.columns) + (few ? 2 : 0);
  r->width = block_ceil(r->out_columns, h->up) + h->span - 1;
  int64_t unit = block_multiple(block_multiple(v->pool, v->up), r->form.rows);
  int64_t row = r->width * r->pixel / v->up + 1;
  int64_t most = block_images(b, &r->form);
  r->cut = block_cut(b->batch, v->used, h->used, unit, row, block_work(b), most);
  r->direct = r->form.parts && v->pool * h->pool == 1 && b->out % LANES == 0;
  int64_t fit = BLOCK_BAND / (r->out_columns * r->z_pixel * r->cut.images * unit);
  r->band = block_min(unit * block_max(fit, 1), r->cut.rows);
  if (r->cut.images > 1 || r->direct) r->band = r->cut.rows;
  r->height = block_ceil(block_up(r->cut.rows, r->band), v->up) + v->span - 1;
  int64_t pixels = r->cut.images * r->height * r->width + ROW_PIXELS;
  r->lattice = block_up(pixels * r->pixel, 16);
  r->z = r->lattice;
  if (r->form.parts) r->z += block_double_room(b->in, block_ceil(h->used, 2));
  r->z_image = r->direct ? 0 : r->band * r->out_columns * r->z_pixel;
  int64_t all = r->z + r->cut.images * r->z_image;
  if (few) { /* quads of outputs reach one row and column beyond */
    r->z_image += 3 * r->out_columns * r->z_pixel;
    all = r->z + r->cut.images * r->z_image;
    r->z += block_up(r->out_columns * r->z_pixel + 1, 16);
    all += r->out_columns * r->z_pixel + 32;
  }
  return all;
}

/* y = pool(act(bias + w * upsample(x))); *kept: what backward needs, where one may follow. */
static bool block_forward(const Block *b, const real *x, const real *w, const real *bias, real *y,
                          bool record, Tensor **kept, Error *e) {
  if (b->batch == 0) return true;
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  bool cleared[MAX_THREADS] = {0};
  BlockRun r = {.b = b, .form = block_form(b, true), .x = x, .y = y, .cleared = cleared};
  if (record && !block_codes_new(b, &r.codes, kept, e)) return false;
  int64_t scratch = block_forward_cut(&r), wide = r.form.vectors * LANES;
  /* as many as parts, or more */
  int64_t weights = b->in * (r.few ? r.few : v->taps * h->taps * wide);
  Tensor *space = workspace_new((weights + wide + block_fold_size(b)) * (int64_t)sizeof(real), e);
  if (!space) return false;
  bool ok = parallel_reserve(scratch * (int64_t)sizeof(real));
  if (ok) {
    real *packed = reals(space), *folded = packed + weights + wide;
    if (r.form.parts) block_double_pack(b, w, packed);
    else if (r.few) block_few_pack(b, &r.form, w, folded, packed);
    else block_fold(b, w, packed, folded, true);
    r.form.weights = packed;
    if (bias) r.form.bias = packed + weights;
    for (int64_t i = 0; i < wide; i++) packed[weights + i] = bias && i < b->out ? bias[i] : 0;
    int64_t work = block_work(b) * b->batch, job = block_max(work / r.cut.jobs, 1);
    int64_t grain = block_max((block_chunk(work) + job / 2) / job, 1);
    parallel_for(r.cut.jobs, grain, block_forward_jobs, &r);
  } else error_set(e, "out of memory");
  tensor_release(space);
  return ok;
}

#endif
