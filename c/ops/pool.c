/* Floor 3: pooling and its opposite, on images [batch, height, width, channels]. Forward makes the
 * rows of the output one by one. Backward goes through the windows of an image, which may overlap,
 * in order; each image is one thread's. */
#include "ops/families.h"

#include "base/parallel.h"
#include "base/places.h"
#include "base/shortcuts.h"
#include "simd/max_pool.h"

#include <math.h>
#include <string.h>

enum { GRAIN = 1 << 15 /* elements of a parallel chunk, about */, LARGEST = 1 << 20 };

typedef struct Pool {
  int64_t batch, channels;
  int64_t in[2], out[2], kernel[2], stride[2], padding[2], dilation[2];
  bool padding_counts; /* of an average: in what the sum is divided by, */
  int64_t divisor;     /* unless that is given (0: it is not) */
  real share;          /* one over that, where it is that of all windows; else 0 */
} Pool;

/* What a job works on; unused fields are NULL. */
typedef struct PoolRun {
  Pool p;
  const real *x, *dy;
  real *y, *dx;
  lane_int *winner; /* of each output: its pixel, counted from the window's first one */
  PoolLanes lanes;
  const real *x_end;
  bool inside; /* all windows of a row lie inside the image, */
  bool two;    /* and have two rows and two columns each */
  bool apart;  /* windows lie side by side, and in the image: a gradient is written, not added */
} PoolRun;

/* Places in Call.integer. */
enum { STRIDE = 2, PADDING = 4, MAX_DILATION = 6, MAX_CEIL = 8 };
enum { AVG_CEIL = 6, AVG_PADDING_COUNTS, AVG_DIVISOR };

/* How far a window reaches along an axis. */
static int64_t reach(const Pool *p, int d) { return (p->kernel[d] - 1) * p->dilation[d] + 1; }

/* The windows along an axis; rounded up, one more may stand out at the end, if it begins before. */
static int64_t window_count(const Pool *p, int d, bool up) {
  int64_t free = p->in[d] + 2 * p->padding[d] - reach(p, d), stride = p->stride[d];
  int64_t n = (free + (up ? stride - 1 : 0)) / stride + 1;
  return n > 1 && (n - 1) * stride >= p->in[d] + p->padding[d] ? n - 1 : n;
}

static Pool pool_of(const Call *c) {
  const int64_t *x = c->in[0]->shape.size;
  Pool p = {.batch = x[0], .channels = x[3], .in = {x[1], x[2]}, .dilation = {1, 1}};
  for (int d = 0; d < 2; d++) {
    p.kernel[d] = c->integer[d];
    p.stride[d] = c->integer[STRIDE + d] == -1 ? p.kernel[d] : c->integer[STRIDE + d];
    p.padding[d] = c->integer[PADDING + d];
  }
  return p;
}
static Pool max_pool_of(const Call *c) {
  Pool p = pool_of(c);
  for (int d = 0; d < 2; d++) p.dilation[d] = c->integer[MAX_DILATION + d];
  for (int d = 0; d < 2; d++) p.out[d] = window_count(&p, d, c->integer[MAX_CEIL]);
  return p;
}
static Pool avg_pool_of(const Call *c) {
  Pool p = pool_of(c);
  p.padding_counts = c->integer[AVG_PADDING_COUNTS];
  p.divisor = c->integer[AVG_DIVISOR];
  for (int d = 0; d < 2; d++) p.out[d] = window_count(&p, d, c->integer[AVG_CEIL]);
  if (p.divisor != 0) p.share = 1 / (real)p.divisor;
  else if (p.padding_counts && !c->integer[AVG_CEIL])
    p.share = 1 / (real)(p.kernel[0] * p.kernel[1]);
  return p;
}

static bool check_image(const Call *c, Error *e) {
  const Shape *x = &c->in[0]->shape;
  char text[SHAPE_TEXT];
  if (x->dims != 4)
    return error_set(e, "x: expected [batch, height, width, channels], got %s",
                     shape_text(x, text));
  for (int d = 1; d < 4; d++)
    if (x->size[d] < 1)
      return error_set(e, "x: expected at least one row, column and channel, got %s",
                       shape_text(x, text));
  return true;
}

static bool check_least(const char *name, const int64_t pair[2], int64_t low, bool absent,
                        Error *e) {
  for (int d = 0; d < 2; d++) {
    if (absent && pair[d] == -1) continue;
    if (pair[d] < low || pair[d] > LARGEST)
      return error_set(e, "%s: expected %d to %d, got {%lld, %lld}", name, (int)low, (int)LARGEST,
                       (long long)pair[0], (long long)pair[1]);
  }
  return true;
}

static bool check_pool(const Call *c, Error *e) {
  return check_image(c, e) && check_least("kernel", c->integer, 1, false, e) &&
         check_least("stride", c->integer + STRIDE, 1, true, e) &&
         check_least("padding", c->integer + PADDING, 0, false, e);
}

static bool pool_shape(const Pool *p, Shape *out, Error *e) {
  for (int d = 0; d < 2; d++) {
    if (2 * p->padding[d] > reach(p, d))
      return error_set(
          e, "padding: expected at most half the kernel, got {%lld, %lld} for {%lld, %lld}",
          (long long)p->padding[0], (long long)p->padding[1], (long long)reach(p, 0),
          (long long)reach(p, 1));
    if (p->in[d] + 2 * p->padding[d] < reach(p, d))
      return error_set(e, "kernel: {%lld, %lld} does not fit an input of %lld x %lld",
                       (long long)reach(p, 0), (long long)reach(p, 1), (long long)p->in[0],
                       (long long)p->in[1]);
  }
  *out = (Shape){4, {p->batch, p->out[0], p->out[1], p->channels}};
  return true;
}
static bool max_pool2d_shape(const Call *c, Shape *out, Error *e) {
  if (!check_pool(c, e) || !check_least("dilation", c->integer + MAX_DILATION, 1, false, e))
    return false;
  Pool p = max_pool_of(c);
  return pool_shape(&p, out, e);
}
static bool avg_pool2d_shape(const Call *c, Shape *out, Error *e) {
  if (!check_pool(c, e)) return false;
  Pool p = avg_pool_of(c);
  return pool_shape(&p, out, e);
}

/* Rows of a parallel chunk, of so many pixels each: few channels take as long as a vector of them.
 */
static int64_t rows_grain(int64_t pixels, int64_t channels) {
  int64_t row = pixels * (channels < LANES ? LANES : channels);
  return row >= GRAIN ? 1 : GRAIN / row;
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The pixels of window o, counted from its first one, that lie inside the image: from the first one
 * on in steps of the dilation, before the end. */
static int64_t first_pixel(const Pool *p, int d, int64_t o) {
  int64_t outside = most(p->padding[d] - o * p->stride[d], 0), step = p->dilation[d];
  return step == 1 ? outside : (outside + step - 1) / step * step;
}
static int64_t end_pixel(const Pool *p, int d, int64_t o) {
  return least(p->in[d] + p->padding[d] - o * p->stride[d], reach(p, d));
}

/* y[c] = scale * sum over a block of pixels of x */
static void block_sum(real *y, const real *x, int64_t n, int64_t row, int64_t rows, int64_t columns,
                      real scale) {
  int64_t c = 0;
  for (; c + LANES <= n; c += LANES) {
    Vec sum = vec_zero();
    for (int64_t u = 0; u < rows; u++)
      for (int64_t v = 0; v < columns; v++) sum += vec_load(x + u * row + v * n + c);
    vec_store(y + c, sum * vec_fill(scale));
  }
  for (; c < n; c++) {
    real sum = 0;
    for (int64_t u = 0; u < rows; u++)
      for (int64_t v = 0; v < columns; v++) sum += x[u * row + v * n + c];
    y[c] = sum * scale;
  }
}

/* max_pool2d: y[n, i, j, c] = max over the window's u, v of x[n, i S - P + u, j S - P + v, c]
 *   dx: dy goes to the winner. The first of equals wins; NaN beats everything, the last NaN NaNs.
 */

static PoolWindow window_of(const Pool *p, int64_t i, int64_t j) {
  return (PoolWindow){.rows = {first_pixel(p, 0, i), end_pixel(p, 0, i)},
                      .columns = {first_pixel(p, 1, j), end_pixel(p, 1, j)},
                      .step = {p->dilation[0], p->dilation[1]},
                      .width = p->in[1],
                      .channels = p->channels};
}

/* Whether all windows lie inside along an axis. */
static bool all_inside(const Pool *p, int d) {
  return p->padding[d] == 0 && (p->out[d] - 1) * p->stride[d] + reach(p, d) <= p->in[d];
}

/* The first pixels of row i of an image's windows, several in a vector; returns how many are done.
 * x is where the windows begin; no vector reaches beyond the input's end. */
VEC_INLINE int64_t max_shared(const PoolRun *r, const PoolWindow *w, const real *x, real *y,
                              lane_int *winner, const bool two) {
  const Pool *p = &r->p;
  const PoolLanes *s = &r->lanes;
  int64_t n = p->channels, many = least(s->windows, p->out[1]), j = 0;
  int64_t most_off = ((w->rows[1] - 1) * p->in[1] + w->columns[1] - 1) * n + 2 * LANES;
  while (j < p->out[1]) {
    int64_t at = least(j, p->out[1] - many);
    const real *from = x + at * p->stride[1] * n;
    if (r->x_end - from < most_off) break;
    max_lanes(w, s, from, y + at * n, winner ? winner + at * n : NULL, (int)(many * n), true, two);
    j = at + many;
  }
  return j;
}

/* Row i of an image's windows; x is where they begin. */
VEC_INLINE void max_row(const PoolRun *r, int64_t i, const real *x, real *y, lane_int *winner,
                        const bool two) {
  const Pool *p = &r->p;
  int64_t n = p->channels, j = 0;
  PoolWindow w = window_of(p, i, 0);
  if (r->lanes.windows > 0) j = max_shared(r, &w, x, y, winner, two);
  for (; j < p->out[1]; j++) {
    if (!r->inside) w = window_of(p, i, j);
    max_pixel(&w, x + j * p->stride[1] * n, y + j * n, winner ? winner + j * n : NULL, two);
  }
}

static void max_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const PoolRun *r = context;
  const Pool *p = &r->p;
  int64_t n = p->channels;
  for (int64_t line = begin; line < end; line++) {
    int64_t image = line / p->out[0], i = line % p->out[0], at = line * p->out[1] * n;
    int64_t top = i * p->stride[0] - p->padding[0];
    const real *x = r->x + ((image * p->in[0] + top) * p->in[1] - p->padding[1]) * n;
    lane_int *winner = r->winner ? r->winner + at : NULL;
    /* double precision makes do with the loops */
    if (VEC_REAL == 4 && r->two) max_row(r, i, x, r->y + at, winner, true);
    else max_row(r, i, x, r->y + at, winner, false);
  }
}

/* Where the windows of a row are whole, some of them may share a vector. */
static void set_lanes(PoolRun *r) {
  const Pool *p = &r->p;
  r->x_end = r->x + p->batch * p->in[0] * p->in[1] * p->channels;
  r->inside = all_inside(p, 1);
  r->two = r->inside && all_inside(p, 0) && reach(p, 0) == 2 && reach(p, 1) == 2;
  if (r->inside && shortcut(POOL_SHARED)) r->lanes = pool_lanes(p->channels, p->stride[1]);
}

static void each_row_of_windows(PoolRun *r, ParallelBody *body) {
  int64_t row = r->p.out[1] * r->p.kernel[0] * r->p.kernel[1];
  parallel_for(r->p.batch * r->p.out[0], rows_grain(row, r->p.channels), body, r);
}

static bool max_pool2d_forward(Call *c, Tensor *y, Error *e) {
  PoolRun r = {.p = max_pool_of(c), .x = reals(c->in[0]), .y = reals(y)};
  if (c->record) {
    c->extra[0] = tensor_new(DTYPE_REAL, &y->shape, e); /* whole numbers as long as a real */
    if (!c->extra[0]) return false;
    r.winner = c->extra[0]->data;
  }
  set_lanes(&r);
  each_row_of_windows(&r, max_rows);
  return true;
}

/* The places of the maxima in their images' planes, counted from 1; 0 where a window of wide
 * dilation holds no pixel. */
static bool max_pool2d_places_forward(Call *c, Tensor *y, Error *e) {
  Tensor *most = tensor_new(DTYPE_REAL, &y->shape, e);
  if (!most) return false;
  PoolRun r = {.p = max_pool_of(c), .x = reals(c->in[0]), .y = reals(most)};
  const Pool *p = &r.p;
  Tensor *winner = tensor_new(DTYPE_REAL, &y->shape, e);
  if (!winner) {
    tensor_release(most);
    return false;
  }
  r.winner = winner->data;
  set_lanes(&r);
  each_row_of_windows(&r, max_rows);
  for (int64_t k = 0; k < y->numel; k++) {
    int64_t pixel = k / p->channels, j = pixel % p->out[1], i = pixel / p->out[1] % p->out[0];
    int64_t top = i * p->stride[0] - p->padding[0], left = j * p->stride[1] - p->padding[1];
    bool any =
        first_pixel(p, 0, i) < end_pixel(p, 0, i) && first_pixel(p, 1, j) < end_pixel(p, 1, j);
    int64s(y)[k] = any ? top * p->in[1] + left + r.winner[k] + 1 : 0;
  }
  tensor_release(most);
  tensor_release(winner);
  return true;
}

/* dx[c] += dy[c] where the window's winner is `place` */
VEC_INLINE void max_share(real *dx, const real *dy, const lane_int *winner, lane_int place,
                          int64_t n) {
  for (int64_t c = 0; c < n; c += LANES) {
    VecMask won;
    memcpy(&won, winner + c, sizeof won);
    won = won == (VecMask){0} + place;
    vec_store(dx + c, vec_load(dx + c) + vec_select(won, vec_load(dy + c), vec_zero()));
  }
}

/* One window's gradient: whole vectors of channels ask every pixel whether it won, the remaining
 * channels go straight to their winners. */
VEC_INLINE void max_window(const Pool *p, real *dx, const real *dy, const lane_int *winner,
                           const int64_t rows[2], const int64_t columns[2]) {
  int64_t n = p->channels, whole = n / LANES * LANES;
  if (whole > 0)
    for (int64_t u = rows[0]; u < rows[1]; u += p->dilation[0])
      for (int64_t v = columns[0]; v < columns[1]; v += p->dilation[1]) {
        int64_t place = u * p->in[1] + v;
        max_share(dx + place * n, dy, winner, (lane_int)place, whole);
      }
  for (int64_t c = whole; c < n; c++) dx[winner[c] * n + c] += dy[c];
}

/* avg_pool2d: y = sum of the window / n,   dx: dy / n, n the pixels of the window, with or without
 * those of the padding, or as given */

/* What counts along an axis; a window that stands out at the end ends with the padding. */
static int64_t counted(const Pool *p, int d, int64_t o) {
  int64_t end = p->in[d] + 2 * p->padding[d] - o * p->stride[d];
  return p->padding_counts ? least(end, p->kernel[d]) : end_pixel(p, d, o) - first_pixel(p, d, o);
}
static real window_share(const Pool *p, int64_t i, int64_t j) {
  return p->share != 0 ? p->share : 1 / (real)(counted(p, 0, i) * counted(p, 1, j));
}

/* dx[c] += dy[c] * scale */
VEC_INLINE void avg_share(real *dx, const real *dy, real scale, int64_t n) {
  int64_t c = 0;
  for (; c + LANES <= n; c += LANES)
    vec_store(dx + c, vec_load(dx + c) + vec_load(dy + c) * vec_fill(scale));
  for (; c < n; c++) dx[c] += dy[c] * scale;
}

static void avg_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const PoolRun *r = context;
  const Pool *p = &r->p;
  int64_t n = p->channels;
  for (int64_t line = begin; line < end; line++) {
    int64_t image = line / p->out[0], i = line % p->out[0];
    int64_t u = first_pixel(p, 0, i), rows = end_pixel(p, 0, i) - u;
    int64_t top = i * p->stride[0] - p->padding[0] + u;
    for (int64_t j = 0; j < p->out[1]; j++) {
      int64_t v = first_pixel(p, 1, j), left = j * p->stride[1] - p->padding[1] + v;
      const real *x = r->x + ((image * p->in[0] + top) * p->in[1] + left) * n;
      block_sum(r->y + (line * p->out[1] + j) * n, x, n, p->in[1] * n, rows, end_pixel(p, 1, j) - v,
                window_share(p, i, j));
    }
  }
}

static bool avg_pool2d_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  PoolRun r = {.p = avg_pool_of(c), .x = reals(c->in[0]), .y = reals(y)};
  each_row_of_windows(&r, avg_rows);
  return true;
}

/* Row i of the windows of one image gives its gradient to the pixels under it. */
static void pool_gradient_row(const PoolRun *r, real *dx, int64_t image, int64_t i) {
  const Pool *p = &r->p;
  int64_t n = p->channels, rows[2] = {first_pixel(p, 0, i), end_pixel(p, 0, i)};
  int64_t at = (image * p->out[0] + i) * p->out[1] * n;
  dx += ((i * p->stride[0] - p->padding[0]) * p->in[1] - p->padding[1]) * n;
  for (int64_t j = 0; j < p->out[1]; j++, at += n, dx += p->stride[1] * n) {
    int64_t columns[2] = {first_pixel(p, 1, j), end_pixel(p, 1, j)};
    if (rows[0] >= rows[1] || columns[0] >= columns[1]) continue; /* nobody has won */
    if (r->winner) {
      max_window(p, dx, r->dy + at, r->winner + at, rows, columns);
      continue;
    }
    real share = window_share(p, i, j);
    for (int64_t u = rows[0]; u < rows[1]; u++)
      for (int64_t v = columns[0]; v < columns[1]; v++)
        avg_share(dx + (u * p->in[1] + v) * n, r->dy + at, share, n);
  }
}

/* The gradient of an image whose windows lie side by side. */
static void max_apart_image(const PoolRun *r, int64_t image) {
  const Pool *p = &r->p;
  int64_t n = p->channels, row = p->in[1] * n, rows = p->kernel[0], wide = p->out[1] * n;
  int64_t at = image * p->out[0] * wide;
  real *dx = r->dx + image * p->in[0] * row, *end = dx + p->in[0] * row;
  for (int64_t i = 0; i < p->out[0]; i++, at += wide, dx += rows * row) {
    if (r->lanes.windows > 0)
      max_apart_shared(&r->lanes, dx, r->dy + at, r->winner + at, p->out[1], rows, p->in[1], n);
    else max_apart(dx, r->dy + at, r->winner + at, p->out[1], p->kernel, p->in[1], n);
  }
  memset(dx, 0, (size_t)(end - dx) * sizeof *dx);
}

static void set_apart(PoolRun *r) {
  const Pool *p = &r->p;
  r->apart = VEC_PERMUTES && shortcut(POOL_APART); /* and parts of vectors are stored at once */
  for (int d = 0; d < 2; d++)
    r->apart = r->apart && p->stride[d] == p->kernel[d] && p->dilation[d] == 1 && all_inside(p, d);
  if (r->apart && p->stride[1] == 2) r->lanes = pool_lanes(p->channels, 2);
  /* the winners of few channels are found one by one otherwise */
  if (r->lanes.windows == 0 && p->channels < LANES) r->apart = false;
}

/* Both poolings backward, by images. Rows of dx are cleared just before they are first needed. */
static void pool_gradient_images(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const PoolRun *r = context;
  const Pool *p = &r->p;
  int64_t row = p->in[1] * p->channels;
  for (int64_t image = begin; image < end; image++) {
    if (r->apart) {
      max_apart_image(r, image);
      continue;
    }
    real *dx = r->dx + image * p->in[0] * row;
    int64_t clear = 0;
    for (int64_t i = 0; i < p->out[0]; i++) {
      int64_t needed = i * p->stride[0] - p->padding[0] + end_pixel(p, 0, i);
      if (i == p->out[0] - 1) needed = p->in[0];
      if (needed > clear)
        memset(dx + clear * row, 0, (size_t)((needed - clear) * row) * sizeof *dx);
      clear = most(clear, needed);
      pool_gradient_row(r, dx, image, i);
    }
  }
}

static bool pool_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  (void)y;
  (void)e;
  if (!dx[0]) return true;
  const Tensor *winner = c->extra[0];
  PoolRun r = {.p = winner ? max_pool_of(c) : avg_pool_of(c), .dy = reals(dy), .dx = reals(dx[0])};
  if (winner) {
    r.winner = winner->data;
    set_apart(&r);
  }
  parallel_for(r.p.batch, rows_grain(2 * r.p.in[0] * r.p.in[1], r.p.channels), pool_gradient_images,
               &r);
  return true;
}

static int64_t max_pool2d_winner(const Call *c, int64_t k) {
  Pool p = max_pool_of(c);
  const lane_int *place = c->extra[0]->data; /* in the window, whose corner may lie outside */
  int64_t window = k / p.channels, line = window / p.out[1], image = line / p.out[0];
  int64_t top = line % p.out[0] * p.stride[0] - p.padding[0];
  int64_t left = window % p.out[1] * p.stride[1] - p.padding[1];
  int64_t corner = (image * p.in[0] + top) * p.in[1] + left;
  return (corner + place[k]) * p.channels + k % p.channels;
}

#define KERNEL                                                                                     \
  { "kernel", PARAM_PAIR, true, 0, NULL }
#define STRIDES                                                                                    \
  { "stride", PARAM_PAIR, false, -1, NULL }
#define PADDINGS                                                                                   \
  { "padding", PARAM_PAIR, false, 0, NULL }
#define DILATIONS                                                                                  \
  { "dilation", PARAM_PAIR, false, 1, NULL }
#define CEIL_MODE                                                                                  \
  { "ceil_mode", PARAM_BOOL, false, 0, NULL }

static const Op op_max_pool2d = {
    .name = "max_pool2d",
    .inputs = "x",
    .doc =
        "The maximum of each window of images [batch, height, width, channels]; the stride is the "
        "kernel's size unless given, incomplete windows are left out unless ceil_mode is true, and "
        "the first of equals takes the gradient.",
    PARAMS(KERNEL, STRIDES, PADDINGS, DILATIONS, CEIL_MODE),
    .shape = max_pool2d_shape,
    .forward = max_pool2d_forward,
    .backward = pool_backward,
    .winner = max_pool2d_winner};

static Dtype pixel_places(const Call *c) {
  (void)c;
  return DTYPE_I64;
}
static const Op op_max_pool2d_places = {
    .name = "max_pool2d_places",
    .inputs = "x",
    .doc = "Where in its plane each maximum of max_pool2d stands, row by row, counted from 1.",
    .flags = OP_HIDDEN,
    PARAMS(KERNEL, STRIDES, PADDINGS, DILATIONS, CEIL_MODE),
    .shape = max_pool2d_shape,
    .dtype = pixel_places,
    .forward = max_pool2d_places_forward};

static const Op op_avg_pool2d = {
    .name = "avg_pool2d",
    .inputs = "x",
    .doc = "The mean of each window of images [batch, height, width, channels], the zeros of the "
           "padding counted unless count_include_pad is false; divisor_override divides the sums "
           "by another number. The stride is the kernel's size unless given; incomplete windows "
           "are left out unless ceil_mode is true.",
    PARAMS(KERNEL, STRIDES, PADDINGS, CEIL_MODE, {"count_include_pad", PARAM_BOOL, false, 1, NULL},
           {"divisor_override", PARAM_INT, false, 0, NULL}),
    .shape = avg_pool2d_shape,
    .forward = avg_pool2d_forward,
    .backward = pool_backward};

/* upsample_nearest: y[n, i, j, c] = x[n, i / scale, j / scale, c],   dx: the sum of dy over the
 * copies */

static bool upsample_nearest_shape(const Call *c, Shape *out, Error *e) {
  if (!check_image(c, e) || !check_least("scale", c->integer, 1, false, e)) return false;
  *out = c->in[0]->shape;
  for (int d = 0; d < 2; d++)
    if (__builtin_mul_overflow(out->size[1 + d], c->integer[d], &out->size[1 + d]))
      return error_set(e, "scale: {%lld, %lld} makes the image too large", (long long)c->integer[0],
                       (long long)c->integer[1]);
  return true;
}

/* Here in is the small image and out the large one; the kernel is the scale. */
static Pool upsample_of(const Call *c) {
  const int64_t *x = c->in[0]->shape.size;
  return (Pool){.batch = x[0],
                .channels = x[3],
                .in = {x[1], x[2]},
                .out = {x[1] * c->integer[0], x[2] * c->integer[1]},
                .kernel = {c->integer[0], c->integer[1]}};
}

/* A pixel is too short for a call of memcpy. */
VEC_INLINE void copy_channels(real *y, const real *x, int64_t n) {
  int64_t c = 0;
  for (; c + LANES <= n; c += LANES) vec_store(y + c, vec_load(x + c));
  for (; c < n; c++) y[c] = x[c];
}

static void upsample_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const PoolRun *r = context;
  const Pool *p = &r->p;
  int64_t n = p->channels, wide = p->out[1] * n;
  for (int64_t line = begin; line < end; line++) {
    const real *x = r->x + line * p->in[1] * n;
    real *first = r->y + line * p->kernel[0] * wide, *y = first;
    for (int64_t w = 0; w < p->in[1]; w++, x += n)
      for (int64_t v = 0; v < p->kernel[1]; v++, y += n) copy_channels(y, x, n);
    for (int64_t u = 1; u < p->kernel[0]; u++)
      memcpy(first + u * wide, first, (size_t)wide * sizeof(real));
  }
}

static bool upsample_nearest_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  PoolRun r = {.p = upsample_of(c), .x = reals(c->in[0]), .y = reals(y)};
  int64_t row = r.p.kernel[0] * r.p.out[1];
  parallel_for(r.p.batch * r.p.in[0], rows_grain(row, r.p.channels), upsample_rows, &r);
  return true;
}

static void upsample_gradient_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const PoolRun *r = context;
  const Pool *p = &r->p;
  int64_t n = p->channels, wide = p->out[1] * n;
  for (int64_t line = begin; line < end; line++) {
    real *dx = r->dx + line * p->in[1] * n;
    for (int64_t w = 0; w < p->in[1]; w++, dx += n) {
      const real *block = r->dy + line * p->kernel[0] * wide + w * p->kernel[1] * n;
      block_sum(dx, block, n, wide, p->kernel[0], p->kernel[1], 1);
    }
  }
}

static bool upsample_nearest_backward(const Call *c, const Tensor *y, const Tensor *dy,
                                      Tensor *const *dx, Error *e) {
  (void)y;
  (void)e;
  if (!dx[0]) return true;
  PoolRun r = {.p = upsample_of(c), .dy = reals(dy), .dx = reals(dx[0])};
  int64_t row = r.p.kernel[0] * r.p.out[1];
  parallel_for(r.p.batch * r.p.in[0], rows_grain(row, r.p.channels), upsample_gradient_rows, &r);
  return true;
}

static const Op op_upsample_nearest = {
    .name = "upsample_nearest",
    .inputs = "x",
    .doc =
        "Each pixel of images [batch, height, width, channels] repeated scale[1] times downwards "
        "and scale[2] times to the right.",
    PARAMS({"scale", PARAM_PAIR, true, 1, NULL}),
    .shape = upsample_nearest_shape,
    .forward = upsample_nearest_forward,
    .backward = upsample_nearest_backward};

const Op *const ISA_NAME(ops_pool)[] = {&op_max_pool2d, &op_max_pool2d_places, &op_avg_pool2d,
                                        &op_upsample_nearest, NULL};
