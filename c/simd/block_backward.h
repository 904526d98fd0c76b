/* Floor 2: the gradients of fused blocks, one pass over jobs: dy is led back through the pool and
 * the activation into a window of scratch, and from there dx and the sums of dw are taken. */
#ifndef LATENT_SIMD_BLOCK_BACKWARD_H
#define LATENT_SIMD_BLOCK_BACKWARD_H

#include "simd/block_forward.h"
#include "simd/block_sparse.h"
#include "simd/sums.h"

/* What the weight gradient needs besides: offsets of the taps and channels that a tile joins. */
typedef struct BlockGradient {
  BlockRun r;
  BlockProductsTile tile;
  real *folded; /* scratch for weights */
  int64_t *a_offset, *b_offset;
  int64_t a_count, b_count;
  bool copy; /* vectors of x may reach beyond it: they are read from a copy */
  /* Which gradients only visit winners: both, or that of the weight with few input channels. */
  bool dw, sparse_dx, sparse_dw, narrow;
  int64_t slices;
} BlockGradient;

/* Where there are more threads than chunks, several share one: each builds the chunk's dz, sums one
 * slice of dw and does a share of dx; one more sums db. No sum has another order for that. */
typedef struct BlockSlice {
  int64_t number, of;
  int64_t first, end; /* pieces of dw */
  bool bias;
} BlockSlice;

static inline bool slice_has(BlockSlice s, int64_t piece) {
  return s.first <= piece && piece < s.end;
}

/* Taps that each place of x meets. */
static int64_t block_taps(const BlockRun *r) {
  return r->form.parts ? DOUBLE_PARTS : r->b->axis[0].taps * r->b->axis[1].taps;
}

/* The parts of a thread's scratch, in elements. */
typedef struct BlockScratch {
  int64_t window, lattice, out, copy, all;
  int64_t x, dx, channel_at, channel_d, channel_count, place_at, place_d, place_count; /* sparse */
} BlockScratch;

/* Lists are filled by whole vectors. */
static int64_t block_channel_room(const BlockRun *r) {
  return block_up(r->cut.images * r->b->axis[0].pooled * r->b->axis[1].pooled, 16) + 16;
}

static int64_t block_place_room(const Block *b) { return block_up(b->out, 16) + 16; }

static BlockScratch block_scratch(const BlockGradient *g) {
  const BlockRun *r = &g->r;
  const Block *b = r->b;
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  int64_t images = r->cut.images, pixels = r->cut.rows * h->in, wide = r->form.vectors * LANES;
  int64_t frame = (v->used + v->taps - 1) * (h->used + h->taps - 1);
  bool dense_dx = r->dx && !g->sparse_dx, dense_dw = g->dw && !g->sparse_dw;
  BlockScratch s = {0};
  int64_t *at = &s.all;
  s.window = *at;
  if (dense_dx || dense_dw) *at += block_up(images * r->height * r->width * b->out + LANES, 16);
  s.lattice = *at;
  if (r->form.parts) *at += block_double_room(b->out, h->in);
  s.out = *at;
  if (dense_dx && !r->direct) *at += images * r->out_rows * r->out_columns * wide;
  s.copy = *at;
  if (dense_dw && g->copy) *at += block_up(images * pixels * b->in + LANES, 16);
  s.x = *at;
  if (g->sparse_dw) *at += block_up(images * frame * b->in + LANES, 16);
  s.dx = *at;
  if (g->sparse_dx) *at += frame * wide;
  int64_t places = h->pooled * v->pool * h->pool;
  int64_t channels = g->sparse_dw ? block_channel_room(r) * block_up(b->out, LANES) : 0;
  int64_t rooms = g->sparse_dx ? block_place_room(b) * places : 0;
  s.channel_at = *at, *at += channels;
  s.channel_d = *at, *at += channels;
  s.channel_count = *at, *at += block_up(b->out, LANES);
  s.place_at = *at, *at += rooms;
  s.place_d = *at, *at += rooms;
  s.place_count = *at, *at += block_up(places, 16);
  return s;
}

/* One job's images and rows of x, and for which of the images a slice does dx. */
typedef struct BlockJob {
  int64_t image, images, row, rows;
  int64_t dx_first, dx_end;
} BlockJob;

static BlockJob block_job(const BlockRun *r, int64_t number) {
  BlockJob j = {.image = number / r->cut.bands * r->cut.images,
                .row = number % r->cut.bands * r->cut.rows};
  j.images = block_min(r->cut.images, r->b->batch - j.image);
  j.rows = block_min(r->cut.rows, r->b->axis[0].in - j.row);
  return j;
}

/* An image from the scratch of its frame, which begins at row `top` and column `left`. */
static void block_frame(real *image, int64_t rows, int64_t columns, int64_t channels,
                        const real *frame, int64_t wide, int64_t top, int64_t left, int64_t height,
                        int64_t width) {
  int64_t end = block_max(block_min(left + width, columns), 0);
  int64_t begin = block_min(block_max(left, 0), end);
  for (int64_t y = 0; y < rows; y++, image += columns * channels) {
    bool inside = y >= top && y < top + height && begin < end;
    const real *from = frame + ((y - top) * width - left) * wide;
    if (!inside || begin > 0 || end < columns)
      memset(image, 0, (size_t)(columns * channels) * sizeof(real));
    if (!inside) continue;
    if (wide == channels)
      memcpy(image + begin * channels, from + begin * wide,
             (size_t)((end - begin) * channels) * sizeof(real));
    else
      for (int64_t x = begin; x < end; x++)
        for (int64_t c = 0; c < channels; c++) image[x * channels + c] = from[x * wide + c];
  }
}

static void block_input_gradient(const BlockRun *r, BlockJob j, const real *dz, real *scratch) {
  const Block *b = r->b;
  int64_t wide = r->form.vectors * LANES, columns = b->axis[1].in, rows = b->axis[0].in;
  real *dx = r->dx + ((j.image + j.dx_first) * rows + j.row) * columns * b->in;
  BlockPlane p = {.source = dz,
                  .out = r->direct ? dx : scratch,
                  .images = j.dx_end - j.dx_first,
                  .rows = j.rows,
                  .columns = columns,
                  .image = r->height * r->width * b->out,
                  .row = r->width * b->out,
                  .pixel = b->out,
                  .out_image =
                      r->direct ? rows * columns * wide : r->out_rows * r->out_columns * wide,
                  .out_row = (r->direct ? columns : r->out_columns) * wide,
                  .out_pixel = wide};
  block_correlate(&r->form, &p);
  if (r->direct) return;
  for (int64_t n = 0; n < p.images; n++)
    for (int64_t i = 0; i < j.rows; i++) {
      const real *from = scratch + n * p.out_image + i * p.out_row;
      real *to = dx + (n * rows + i) * columns * b->in;
      for (int64_t x = 0; x < columns; x++, from += wide, to += b->in)
        for (int64_t c = 0; c < b->in; c++) to[c] = from[c];
    }
}

/* Pieces of dw that one slice or another sums. */
static int64_t block_weight_pieces(const BlockGradient *g) {
  const Block *b = g->r.b;
  if (g->sparse_dw)
    return g->narrow ? block_vectors(b->out) * b->in : b->out * block_vectors(b->in);
  return block_vectors(g->r.turned ? b->in : b->out) * block_ceil(g->b_count, g->tile.bs) *
         block_ceil(g->a_count, g->tile.as);
}

/* Sums for dw of the places that z describes, where z.a is dz and z.b is x. */
static void block_weight_products(const BlockGradient *g, BlockProducts z, BlockSlice slice,
                                  real *sums) {
  const BlockRun *r = &g->r;
  BlockProducts t = z;
  if (r->turned) {
    t.a = z.b, t.a_image = z.b_image, t.a_row = z.b_row, t.a_pixel = z.b_pixel;
    t.b = z.a, t.b_image = z.a_image, t.b_row = z.a_row, t.b_pixel = z.a_pixel;
  }
  int64_t taps = block_taps(r);
  t.a_pitch = LANES;
  t.b_pitch = r->turned ? LANES : taps * LANES;
  int64_t vectors = block_vectors(r->turned ? r->b->in : r->b->out);
  int64_t size = taps * (r->turned ? r->b->out : r->b->in) * LANES;
  int64_t piece = 0;
  for (int64_t k = 0; k < vectors; k++, t.a += LANES, sums += size)
    for (int64_t m = 0; m < g->b_count; m += g->tile.bs)
      for (int64_t i = 0; i < g->a_count; i += g->tile.as) {
        if (!slice_has(slice, piece++)) continue;
        t.a_offset = g->a_offset + i;
        t.b_offset = g->b_offset + m;
        t.a_end = g->a_count - i;
        t.b_end = g->b_count - m;
        t.sums = sums + i * t.a_pitch + m * t.b_pitch;
        g->tile.run(&t);
      }
}

/* A step of a job of a doubling block: its lattice, of pixels that come from `walk`, and where that
 * of the pixels is; for dw, by rows. Returns the number of rows. */
static int64_t block_double_step(const BlockGradient *g, PixelWalk *walk, int64_t pixels,
                                 const real *dz, real *lattice, PixelPairs *pairs,
                                 BlockLine *lines) {
  const Block *b = g->r.b;
  int64_t line = double_line(b->out, b->axis[1].in), corner = 2 * b->out, rows = 0, x = 0;
  pairs->count = 0;
  while (pixels > 0) {
    PixelStrip s = walk_strip(walk, pixels);
    lattice_make(dz + s.at, g->r.width * b->out, b->out, s, false, lattice + corner, line);
    int64_t right = 2 * (s.columns - 1) * b->out, wide = s.columns * b->in;
    s.at = x + wide - b->in;
    pairs_add(pairs, s, corner, line, b->out, wide, -b->in);
    for (int64_t y = 0; y < s.rows; y++, x += wide) {
      int64_t a = corner + 2 * y * line + right;
      lines[rows++] = g->r.turned ? (BlockLine){s.columns, x, a} : (BlockLine){s.columns, a, x};
    }
    corner += (2 * s.rows + 1) * line;
    pixels -= s.rows * s.columns;
  }
  pairs_fill(pairs, DOUBLE_ROW_PAIRS);
  return rows;
}

/* dx and the sums for dw of a job of a doubling block, by the lattice of dz. x and dx: of the job's
 * first pixel, and what is not wanted is NULL. */
static void block_double_down(const BlockGradient *g, BlockJob j, const real *dz, const real *x,
                              real *dx, BlockSlice slice, real *sums, bool first, real *lattice) {
  const BlockRun *r = &g->r;
  const Block *b = r->b;
  int64_t row = r->width * b->out, columns = b->axis[1].in, pixels = j.images * j.rows * columns;
  PixelWalk walk = {.images = j.images,
                    .rows = j.rows,
                    .columns = columns,
                    .image_pitch = r->height * row,
                    .row_pitch = 2 * row,
                    .pixel_pitch = 2 * b->out};
  PixelPairs pairs;
  BlockLine lines[DOUBLE_STEP];
  dz += row + b->out;
  for (int64_t i = 0; i < pixels; i += DOUBLE_STEP) {
    int64_t count = block_min(DOUBLE_STEP, pixels - i);
    int64_t rows = block_double_step(g, &walk, count, dz, lattice, &pairs, lines);
    if (dx && i / DOUBLE_STEP % slice.of == slice.number)
      block_double_input(b, r->form.weights, lattice, &pairs, dx + i * b->in);
    if (!sums) continue;
    BlockProducts z = {.a = lattice,
                       .b = x + i * b->in,
                       .images = 1,
                       .rows = rows,
                       .lines = lines,
                       .a_pixel = -2 * b->out,
                       .b_pixel = b->in,
                       .first = first && i == 0};
    block_weight_products(g, z, slice, sums);
  }
}

/* What is zero in a thread's scratch stays so. */
static void block_clear(const BlockGradient *g, const BlockScratch *s, real *scratch) {
  const BlockRun *r = &g->r;
  const BlockAxis *v = &r->b->axis[0], *h = &r->b->axis[1];
  int64_t frame = (v->used + v->taps - 1) * (h->used + h->taps - 1) * r->b->in;
  int64_t window = r->height * r->width * r->b->out;
  if (s->lattice > s->window)
    memset(scratch + s->window, 0, (size_t)(r->cut.images * window + LANES) * sizeof(real));
  if (g->sparse_dw)
    memset(scratch + s->x, 0, (size_t)(r->cut.images * frame + LANES) * sizeof(real));
}

/* The part of a job that builds the whole gradient of the convolution's output. */
static void block_dense_job(const BlockGradient *g, const BlockScratch *s, real *scratch,
                            BlockJob j, bool dx, BlockSlice slice, bool first, real *sums) {
  const BlockRun *r = &g->r;
  const Block *b = r->b;
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  real *dz = scratch + s->window, *copy = scratch + s->copy;
  int64_t window = r->height * r->width * b->out, line = h->in * b->in;
  if (r->cut.bands > 1) memset(dz, 0, (size_t)(r->cut.images * window + LANES) * sizeof(real));
  for (int64_t n = 0; n < j.images; n++)
    block_unpool(b, r->dy, &r->codes, j.image + n, dz + n * window, v->up * j.row + v->low, h->low,
                 r->height, r->width);
  bool dw = sums && !g->sparse_dw;
  if (dx && !r->form.parts) block_input_gradient(r, j, dz + j.dx_first * window, scratch + s->out);
  if (!dw && !r->form.parts) return;
  const real *x = r->x + (j.image * v->in + j.row) * line;
  int64_t x_image = v->in * line;
  if (dw && g->copy) {
    for (int64_t n = 0; n < j.images; n++)
      memcpy(copy + n * j.rows * line, x + n * x_image, (size_t)(j.rows * line) * sizeof(real));
    memset(copy + j.images * j.rows * line, 0, LANES * sizeof(real));
    x = copy;
    x_image = j.rows * line;
  }
  if (r->form.parts) {
    real *to = dx ? r->dx + (j.image * v->in + j.row) * line : NULL;
    block_double_down(g, j, dz, x, to, slice, dw ? sums : NULL, first, scratch + s->lattice);
    return;
  }
  int64_t width = r->width * b->out;
  BlockProducts z = {.a = dz,
                     .b = x,
                     .images = j.images,
                     .rows = j.rows,
                     .columns = h->in,
                     .a_image = r->height * width,
                     .a_row = v->up * width,
                     .a_pixel = h->up * b->out,
                     .b_image = x_image,
                     .b_row = line,
                     .b_pixel = b->in,
                     .first = first};
  block_weight_products(g, z, slice, sums);
}

/* The part that visits winners only; whole images. */
static void block_sparse_job(const BlockGradient *g, const BlockScratch *s, real *scratch,
                             BlockJob j, bool dx, BlockSlice slice, bool first, real *sums) {
  const BlockRun *r = &g->r;
  const Block *b = r->b;
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  int64_t high = v->used + v->taps - 1, across = h->used + h->taps - 1, taps = v->taps * h->taps;
  int64_t wide = r->form.vectors * LANES, image = high * across * b->in;
  SparsePlane plane = {.row = across * b->in, .pixel = b->in};
  SparseLists l = {.channel_at = (void *)(scratch + s->channel_at),
                   .channel_d = scratch + s->channel_d,
                   .channel_count = (void *)(scratch + s->channel_count),
                   .place_at = (void *)(scratch + s->place_at),
                   .place_d = scratch + s->place_d,
                   .place_count = (void *)(scratch + s->place_count),
                   .channel_room = block_channel_room(r),
                   .place_room = block_place_room(b)};
  real *x = scratch + s->x, *frame = scratch + s->dx;
  bool dw = sums && g->sparse_dw;
  int64_t vectors = block_vectors(b->in);
  for (int64_t n = 0; n < j.images && dw; n++)
    block_window(x + n * image, r->x + (j.image + n) * v->in * h->in * b->in, v->in, h->in, b->in,
                 v->first, h->first, high, across);
  if (dw && g->narrow) {
    for (int64_t n = 0; n < j.images; n++)
      for (int64_t c = 0; c < b->out; c += LANES)
        for (int64_t i = 0; i < b->in; i++)
          if (slice_has(slice, c / LANES * b->in + i))
            narrow_weight(b, r->dy, &r->codes, j.image + n, c, x + n * image + i, &plane,
                          sums + (c * b->in + i * LANES) * taps, first && n == 0);
    dw = false;
  }
  if (!dw && !dx) return;
  if (dw) memset(l.channel_count, 0, (size_t)block_up(b->out, LANES) * sizeof(lane_int));
  for (int64_t n = 0; n < j.images; n++) {
    bool dx_wanted = dx && j.dx_first <= n && n < j.dx_end;
    if (!dw && !dx_wanted) continue;
    if (dx_wanted) memset(frame, 0, (size_t)(high * across * wide) * sizeof(real));
    for (int64_t i = 0; i < v->pooled; i++) {
      sparse_row(b, r->dy, &r->codes, j.image + n, i, n * image, &plane, &l, dw, dx_wanted);
      for (int64_t k = 0; k < r->form.vectors && dx_wanted; k++)
        for (int64_t u = 0; u < v->pool; u++)
          sparse_input(b, &l, u, r->form.weights + k * b->out * taps * LANES,
                       frame + (i * v->pool + u) * across * wide + k * LANES, across * wide, wide);
    }
    if (dx_wanted)
      block_frame(r->dx + (j.image + n) * v->in * h->in * b->in, v->in, h->in, b->in, frame, wide,
                  v->first, h->first, high, across);
  }
  for (int64_t o = 0; o < b->out && dw; o++)
    for (int64_t k = 0; k < vectors; k++)
      if (slice_has(slice, o * vectors + k))
        sparse_weight(l.channel_at + o * l.channel_room, l.channel_d + o * l.channel_room,
                      l.channel_count[o], x + k * LANES, plane.row, plane.pixel,
                      sums + (k * b->out + o) * taps * LANES, first);
}

/* A chunk's jobs, or what belongs to a slice of them. */
static void block_backward_chunk(const BlockGradient *g, int64_t chunk, BlockSlice slice,
                                 int thread) {
  const BlockRun *r = &g->r;
  const Block *b = r->b;
  BlockScratch s = block_scratch(g);
  real *scratch = parallel_scratch(thread);
  int64_t begin = chunk * r->grain, end = block_min(begin + r->grain, r->cut.jobs);
  int64_t pooled = b->axis[0].pooled, bands = r->cut.bands;
  int64_t images = (end - begin) * r->cut.images; /* bands count as such here */
  real *sums = r->sums ? r->sums + chunk * r->sums_size : NULL;
  real *bias_sums = r->bias_sums && slice.bias ? r->bias_sums + chunk * b->out : NULL;
  if (!r->cleared[thread]) block_clear(g, &s, scratch);
  r->cleared[thread] = true;
  if (bias_sums) memset(bias_sums, 0, (size_t)b->out * sizeof(real));
  for (int64_t number = begin; number < end; number++) {
    BlockJob j = block_job(r, number);
    int64_t band = number % bands;
    for (int64_t n = 0; n < j.images && bias_sums; n++)
      block_bias_sums(b, r->dy, &r->codes, j.image + n, pooled * band / bands,
                      pooled * (band + 1) / bands, bias_sums);
    if (slice.number == slice.of) continue;
    int64_t before = (number - begin) * r->cut.images;
    j.dx_first = block_max(images * slice.number / slice.of - before, 0);
    j.dx_end = block_min(images * (slice.number + 1) / slice.of - before, j.images);
    bool dx = r->dx && (r->form.parts || j.dx_first < j.dx_end), first = number == begin;
    if ((dx && !g->sparse_dx) || (sums && !g->sparse_dw))
      block_dense_job(g, &s, scratch, j, dx && !g->sparse_dx, slice, first, sums);
    if ((dx && g->sparse_dx) || (sums && g->sparse_dw))
      block_sparse_job(g, &s, scratch, j, dx && g->sparse_dx, slice, first, sums);
  }
}

/* Items of a chunk. */
static int64_t block_items(const BlockGradient *g) {
  return g->slices > 1 && g->r.bias_sums ? g->slices + 1 : g->slices;
}

static void block_backward_items(void *context, int64_t begin, int64_t end, int thread) {
  const BlockGradient *g = context;
  int64_t pieces = g->dw ? block_weight_pieces(g) : 0, items = block_items(g);
  for (int64_t k = begin; k < end; k++) {
    BlockSlice s = {.number = k % items, .of = g->slices, .bias = k % items == items - 1};
    s.first = pieces * s.number / s.of;
    s.end = pieces * (s.number + 1) / s.of;
    block_backward_chunk(g, k / items, s, thread);
  }
}

/* Chooses the tile of the weight gradient and lists what it joins. Lists are filled up to whole
 * tiles with their last offset. */
static void block_gradient_form(BlockGradient *g) {
  const Block *b = g->r.b;
  int64_t taps = block_taps(&g->r);
  g->r.turned = block_vectors(b->in) * b->out < block_vectors(b->out) * b->in;
  if (g->sparse_dw) g->r.turned = !g->narrow;
  if (g->r.turned || taps == 1) g->tile = products_one;
  else if (b->in < 4) g->tile = taps % products_nine.as == 0 ? products_nine : products_eight;
  else g->tile = taps % products_thirds.as == 0 ? products_thirds : products_fourths;
  g->a_count = g->r.turned ? 1 : taps;
  g->b_count = g->r.turned ? taps * b->out : b->in;
  g->copy = g->r.turned && b->in % LANES != 0;
  g->r.sums_size =
      block_vectors(g->r.turned ? b->in : b->out) * LANES * taps * (g->r.turned ? b->out : b->in);
}

static int64_t block_tap_offset(const BlockRun *r, int64_t tap) {
  if (r->form.parts)
    return (2 - tap / 3) * double_line(r->b->out, r->b->axis[1].in) + tap % 3 * r->b->out;
  int64_t across = r->b->axis[1].taps;
  return (tap / across * r->width + tap % across) * r->b->out;
}

static void block_gradient_lists(BlockGradient *g) {
  const BlockRun *r = &g->r;
  int64_t taps = block_taps(r);
  for (int64_t i = 0; i < g->a_count + PRODUCTS_WIDEST; i++)
    g->a_offset[i] = r->turned ? 0 : block_tap_offset(r, block_min(i, g->a_count - 1));
  for (int64_t i = 0; i < g->b_count + PRODUCTS_WIDEST; i++) {
    int64_t m = block_min(i, g->b_count - 1);
    g->b_offset[i] = r->turned ? block_tap_offset(r, m % taps) + m / taps : m;
  }
}

/* Adds the chunks' sums in order. */
static void block_gradient_finish(const BlockGradient *g, int64_t chunks, real *dw, real *db) {
  const BlockRun *r = &g->r;
  if (dw) sums_join(r->sums, r->sums_size, chunks);
  if (dw) block_unfold(r->b, r->sums, dw, r->form.parts, r->turned);
  for (int64_t i = 0; i < r->b->out && db; i++) {
    double sum = 0;
    for (int64_t c = 0; c < chunks; c++) sum += (double)r->bias_sums[c * r->b->out + i];
    db[i] = (real)sum;
  }
}

/* Parts of the workspace; returns its size in bytes. */
static int64_t block_gradient_place(BlockGradient *g, char *base, int64_t chunks, bool dw,
                                    bool db) {
  BlockRun *r = &g->r;
  int64_t used = 0, unit = (int64_t)sizeof(real), pair = (int64_t)sizeof(int64_t);
  const Block *b = r->b;
  int64_t weights = b->axis[0].taps * b->axis[1].taps * b->out * r->form.vectors * LANES;
  if (r->dx) r->form.weights = workspace_take(base, &used, weights * unit);
  if (r->dx) g->folded = workspace_take(base, &used, block_fold_size(b) * unit);
  if (dw) {
    r->sums = workspace_take(base, &used, chunks * r->sums_size * unit);
    g->a_offset = workspace_take(base, &used, (g->a_count + PRODUCTS_WIDEST) * pair);
    g->b_offset = workspace_take(base, &used, (g->b_count + PRODUCTS_WIDEST) * pair);
  }
  if (db) r->bias_sums = workspace_take(base, &used, chunks * b->out * unit);
  return used;
}

/* Winners are rare, and the kernels for them fit. */
static bool block_sparse(const BlockRun *r) {
  const BlockAxis *v = &r->b->axis[0], *h = &r->b->axis[1];
  return v->up == 1 && h->up == 1 && v->kernel == SPARSE_TAPS && h->kernel == SPARSE_TAPS &&
         h->pool == SPARSE_POOL && r->codes.bytes && r->cut.bands == 1 && shortcut(BLOCK_SPARSE);
}

static void block_gradient_cut(BlockGradient *g, bool sums) {
  BlockRun *r = &g->r;
  const BlockAxis *v = &r->b->axis[0], *h = &r->b->axis[1];
  r->out_columns = block_up(h->in, r->form.columns);
  r->width = h->up * (r->out_columns - 1) + h->taps;
  r->cut = block_cut(r->b->batch, v->in, h->in, r->form.rows, v->up * r->width * r->b->out,
                     block_work(r->b), sums ? BLOCK_PIXELS : block_images(r->b, &r->form));
  r->out_rows = r->cut.rows;
  r->height = v->up * (r->cut.rows - 1) + v->taps;
  g->sparse_dx = block_sparse(r) && r->dx;
  g->narrow = r->b->in < 4 && r->b->axis[0].pool == SPARSE_POOL && r->b->out % LANES == 0;
  g->sparse_dw = g->dw && block_sparse(r) && (g->narrow || r->b->in >= 4);
  r->direct = r->form.parts ||
              (r->b->in % LANES == 0 && v->in % r->form.rows == 0 && h->in % r->form.columns == 0);
}

/* As many as there are threads for, each worth a region. */
static int64_t block_slices(const BlockGradient *g, int64_t chunks, int64_t work) {
  enum { IMAGE = 1 << 12 }; /* multiplications that an image costs besides its own */
  work += g->r.b->batch * IMAGE;
  int64_t slices = block_min(parallel_threads() / chunks, work / (chunks * BLOCK_CHUNK));
  return g->dw ? block_max(block_min(slices, block_weight_pieces(g)), 1) : 1;
}

/* The gradients that are not NULL. */
static bool block_backward(const Block *b, const real *x, const real *w, const Tensor *kept,
                           const real *dy, real *dx, real *dw, real *db, Error *e) {
  if (b->batch == 0) {
    if (dw)
      memset(dw, 0,
             (size_t)(b->axis[0].kernel * b->axis[1].kernel * b->in * b->out) * sizeof(real));
    if (db) memset(db, 0, (size_t)b->out * sizeof(real));
    return true;
  }
  bool cleared[MAX_THREADS] = {0}, sums = dw || db;
  BlockRun run = {.b = b, .form = block_form(b, false), .x = x, .dy = dy, .dx = dx};
  run.cleared = cleared;
  BlockGradient g = {.r = run, .dw = dw != NULL};
  BlockRun *r = &g.r;
  r->codes = block_codes(b, kept);
  block_gradient_cut(&g, sums);
  block_gradient_form(&g);
  int64_t work = block_work(b) * b->batch;
  int64_t chunks = work / (sums ? BLOCK_WORK : block_max(block_chunk(work), 1));
  if (dw) chunks = block_min(chunks, BLOCK_BUFFERS / r->sums_size);
  if (sums) chunks = block_min(chunks, BLOCK_CHUNKS);
  chunks = block_max(block_min(chunks, r->cut.jobs), 1);
  r->grain = block_ceil(r->cut.jobs, chunks);
  chunks = block_ceil(r->cut.jobs, r->grain);
  g.slices = block_slices(&g, chunks, work);
  Tensor *space = workspace_new(block_gradient_place(&g, NULL, chunks, dw, db), e);
  if (!space) return false;
  bool ok = parallel_reserve(block_scratch(&g).all * (int64_t)sizeof(real));
  if (ok) {
    block_gradient_place(&g, (char *)reals(space), chunks, dw, db);
    if (dx && r->form.parts) block_double_turn(b, w, (real *)r->form.weights);
    else if (dx) block_fold(b, w, (real *)r->form.weights, g.folded, false);
    if (dw && !g.sparse_dw) block_gradient_lists(&g);
    parallel_for(chunks * block_items(&g), 1, block_backward_items, &g);
    block_gradient_finish(&g, chunks, dw, db);
  } else error_set(e, "out of memory");
  tensor_release(space);
  return ok;
}

#endif
