/* Floor 2: correlations on the tiles of block_tiles.h: which tile fits a block, and the walk over
 * the pixels of a job. Knows nothing of tensors or threads. */
#ifndef LATENT_SIMD_BLOCK_FORM_H
#define LATENT_SIMD_BLOCK_FORM_H

#include "base/shortcuts.h"
#include "simd/block_double.h"
#include "simd/block_tiles.h"

static inline int64_t block_vectors(int64_t n) { return block_ceil(n, LANES); }

/* A correlation between a padded source and an output, both in scratch: up is x to z (forward),
 * down dz to dx (backward). */
typedef struct BlockForm {
  bool up, parts; /* parts: the kernels of block_double.h, which need no tile */
  int64_t stride[2], taps[2], low[2], first[2];
  int64_t channels, vectors; /* of the source, of the output */
  const real *weights, *bias;
  BlockTileRun *run;             /* NULL: no tile of this form, row by row */
  int64_t images, rows, columns; /* of a tile, or a row of pixels through images */
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
                 .columns = 1};
  /* one output leaves nothing to share: block_few.h is for the way up, a tile for the way down */
  f.parts = block_doubles(b) && b->out > 1 && shortcut(BLOCK_DOUBLING);
  if (f.parts) {
    if (up) f.rows = f.columns = 2;
    return f;
  }
  f.columns = ROW_PIXELS * (up ? h->up : 1);
  int64_t columns = up ? h->out : h->in;
  bool same = v->up == h->up && v->kernel == 3 && h->kernel == 3;
  /* on the way up the first of a tile's outputs must be joined to its first source by the last tap
   */
  for (int d = 0; d < 2; d++)
    same = same && (!up || b->axis[d].taps - 1 == -b->axis[d].low - v->up * b->axis[d].first);
  int single = f.channels == 1;
  if (!same || v->up > 2 || (v->up == 2 && (up || !single))) {
    if (columns < ROW_PIXELS / 2) f.images = ROW_PIXELS;
    return f;
  }
  int width = 0;
  while (width < TILE_WIDTHS - 1 && block_tile_columns[width] < columns) width++;
  if (v->up == 2) f.run = tiles_double_single[width];
  else if (up) f.run = (single ? tiles_forward_single : tiles_forward)[width];
  else f.run = (single ? tiles_backward_single : tiles_backward)[width];
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

/* All columns of a phase in one row of all images. Where images are narrow, a row of pixels runs
 * through images instead; its last pixels may be some that were done before. */
static void block_row_images(BlockRow t, const BlockPlane *p, int64_t columns) {
  const real *source = t.source;
  real *out = t.out;
  if (columns < ROW_PIXELS / 2 && p->images >= ROW_PIXELS) {
    int64_t step = t.step, out_pixel = t.out_pixel;
    t.step = p->image;
    t.out_pixel = p->out_image;
    for (int64_t j = 0; j < columns; j++)
      for (int64_t n = 0; n < p->images; n += ROW_PIXELS) {
        int64_t first = block_min(n, p->images - ROW_PIXELS);
        t.source = source + first * p->image + j * step;
        t.out = out + first * p->out_image + j * out_pixel;
        block_row(&t);
      }
    return;
  }
  for (int64_t n = 0; n < p->images; n++)
    for (int64_t j = 0; j < columns; j += ROW_PIXELS) {
      t.source = source + n * p->image + j * t.step;
      t.out = out + n * p->out_image + j * t.out_pixel;
      block_row(&t);
    }
}

static void block_correlate_rows(const BlockForm *f, const BlockPlane *p) {
  int64_t size = f->taps[0] * f->taps[1] * f->channels * LANES;
  int64_t phases[2] = {f->up ? f->stride[0] : 1, f->up ? f->stride[1] : 1};
  for (int64_t v = 0; v < f->vectors; v++)
    for (int64_t i = 0; i < p->rows; i++)
      for (int64_t c = 0; c < phases[1] && c < p->columns; c++) {
        BlockPhase y = block_phase(f, 0, i % phases[0]), x = block_phase(f, 1, c);
        int64_t top = f->up ? i / phases[0] + y.source : i * f->stride[0];
        BlockRow t = {.source = p->source + top * p->row + x.source * p->pixel,
                      .out = p->out + i * p->out_row + c * p->out_pixel + v * LANES,
                      .row = p->row,
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
        block_row_images(t, p, block_ceil(p->columns - c, phases[1]));
      }
}

static void block_correlate(const BlockForm *f, const BlockPlane *p) {
  (f->run ? block_correlate_tiles : block_correlate_rows)(f, p);
}

#endif
