/* Floor 3: pooling and its opposite, on images [batch, height, width, channels]. Forward makes the
 * rows of the output one by one. Backward goes through the windows of an image, which may overlap,
 * in order; each image is one thread's. */
#include "ops/families.h"

#include "base/parallel.h"
#include "simd/vec.h"

#include <math.h>
#include <string.h>

enum { GRAIN = 1 << 15 /* elements of a parallel chunk, about */, LARGEST = 1 << 20 };

typedef struct Pool {
  int64_t batch, channels;
  int64_t in[2], out[2], kernel[2], stride[2], padding[2];
} Pool;

/* What a job works on; unused fields are NULL. */
typedef struct PoolRun {
  Pool p;
  const real *x, *dy;
  real *y, *dx;
  lane_int *winner; /* of each output: its pixel, counted from the window's first one */
} PoolRun;

static Pool pool_of(const Call *c) {
  const int64_t *x = c->in[0]->shape.size;
  Pool p = {.batch = x[0], .channels = x[3], .in = {x[1], x[2]}};
  for (int d = 0; d < 2; d++) {
    p.kernel[d] = c->integer[d];
    p.stride[d] = c->integer[2 + d] == -1 ? p.kernel[d] : c->integer[2 + d];
    p.padding[d] = c->integer[4 + d];
    p.out[d] = (p.in[d] + 2 * p.padding[d] - p.kernel[d]) / p.stride[d] + 1;
  }
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

static bool pool_shape(const Call *c, Shape *out, Error *e) {
  if (!check_image(c, e) || !check_least("kernel", c->integer, 1, false, e) ||
      !check_least("stride", c->integer + 2, 1, true, e) ||
      !check_least("padding", c->integer + 4, 0, false, e))
    return false;
  Pool p = pool_of(c);
  for (int d = 0; d < 2; d++) {
    if (2 * p.padding[d] > p.kernel[d])
      return error_set(
          e, "padding: expected at most half the kernel, got {%lld, %lld} for {%lld, %lld}",
          (long long)p.padding[0], (long long)p.padding[1], (long long)p.kernel[0],
          (long long)p.kernel[1]);
    if (p.in[d] + 2 * p.padding[d] < p.kernel[d])
      return error_set(e, "kernel: {%lld, %lld} does not fit an input of %lld x %lld",
                       (long long)p.kernel[0], (long long)p.kernel[1], (long long)p.in[0],
                       (long long)p.in[1]);
  }
  *out = (Shape){4, {p.batch, p.out[0], p.out[1], p.channels}};
  return true;
}

/* Rows of `row` elements in a parallel chunk. */
static int64_t rows_grain(int64_t row) { return row >= GRAIN ? 1 : GRAIN / row; }

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The taps of window o that lie inside the image: [first, end). */
static int64_t first_tap(const Pool *p, int d, int64_t o) {
  return most(p->padding[d] - o * p->stride[d], 0);
}
static int64_t end_tap(const Pool *p, int d, int64_t o) {
  return least(p->in[d] + p->padding[d] - o * p->stride[d], p->kernel[d]);
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

/* `lanes` channels of an output pixel from the taps [first, end) of its window, of which x is tap
 * 0. */
VEC_INLINE void max_channels(const Pool *p, const real *x, const int64_t first[2],
                             const int64_t end[2], real *y, lane_int *winner, const int lanes) {
  Vec best = vec_fill(-INFINITY);
  VecMask place = (VecMask){0} + (lane_int)(first[0] * p->in[1] + first[1]);
  for (int64_t u = first[0]; u < end[0]; u++)
    for (int64_t v = first[1]; v < end[1]; v++) {
      const real *at = x + (u * p->in[1] + v) * p->channels;
      Vec value = lanes == LANES ? vec_load(at) : vec_load_part(at, lanes);
      VecMask better = (value > best) | (value != value);
      best = vec_select(better, value, best);
      place = (better & (lane_int)(u * p->in[1] + v)) | (~better & place);
    }
  if (lanes == LANES) {
    vec_store(y, best);
    if (winner) memcpy(winner, &place, sizeof place);
  } else {
    vec_store_part(y, best, lanes);
    if (winner) vec_store_mask_part(winner, place, lanes);
  }
}

static void max_pixel(const Pool *p, const real *x, const int64_t first[2], const int64_t end[2],
                      real *y, lane_int *winner) {
  int64_t n = p->channels, c = 0;
  for (; c + LANES <= n; c += LANES)
    max_channels(p, x + c, first, end, y + c, winner ? winner + c : NULL, LANES);
  if (c < n) max_channels(p, x + c, first, end, y + c, winner ? winner + c : NULL, (int)(n - c));
}

static void max_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const PoolRun *r = context;
  const Pool *p = &r->p;
  for (int64_t line = begin; line < end; line++) {
    int64_t image = line / p->out[0], i = line % p->out[0];
    int64_t top = i * p->stride[0] - p->padding[0];
    for (int64_t j = 0; j < p->out[1]; j++) {
      int64_t first[2] = {first_tap(p, 0, i), first_tap(p, 1, j)};
      int64_t stop[2] = {end_tap(p, 0, i), end_tap(p, 1, j)};
      int64_t left = j * p->stride[1] - p->padding[1], at = (line * p->out[1] + j) * p->channels;
      const real *x = r->x + ((image * p->in[0] + top) * p->in[1] + left) * p->channels;
      max_pixel(p, x, first, stop, r->y + at, r->winner ? r->winner + at : NULL);
    }
  }
}

static bool max_pool2d_forward(Call *c, Tensor *y, Error *e) {
  PoolRun r = {.p = pool_of(c), .x = reals(c->in[0]), .y = reals(y)};
  if (c->record) {
    c->extra[0] = tensor_new(DTYPE_REAL, &y->shape, e); /* whole numbers as long as a real */
    if (!c->extra[0]) return false;
    r.winner = c->extra[0]->data;
  }
  int64_t row = r.p.out[1] * r.p.channels * r.p.kernel[0] * r.p.kernel[1];
  parallel_for(r.p.batch * r.p.out[0], rows_grain(row), max_rows, &r);
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
    for (int64_t u = rows[0]; u < rows[1]; u++)
      for (int64_t v = columns[0]; v < columns[1]; v++) {
        int64_t place = u * p->in[1] + v;
        max_share(dx + place * n, dy, winner, (lane_int)place, whole);
      }
  for (int64_t c = whole; c < n; c++) dx[winner[c] * n + c] += dy[c];
}

/* avg_pool2d: y = mean of the window, zeros outside the image counted,   dx: dy / window */

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
  real scale = 1 / (real)(p->kernel[0] * p->kernel[1]);
  for (int64_t line = begin; line < end; line++) {
    int64_t image = line / p->out[0], i = line % p->out[0];
    int64_t u = first_tap(p, 0, i), rows = end_tap(p, 0, i) - u;
    int64_t top = i * p->stride[0] - p->padding[0] + u;
    for (int64_t j = 0; j < p->out[1]; j++) {
      int64_t v = first_tap(p, 1, j), left = j * p->stride[1] - p->padding[1] + v;
      const real *x = r->x + ((image * p->in[0] + top) * p->in[1] + left) * n;
      block_sum(r->y + (line * p->out[1] + j) * n, x, n, p->in[1] * n, rows, end_tap(p, 1, j) - v,
                scale);
    }
  }
}

static bool avg_pool2d_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  PoolRun r = {.p = pool_of(c), .x = reals(c->in[0]), .y = reals(y)};
  int64_t row = r.p.out[1] * r.p.channels * r.p.kernel[0] * r.p.kernel[1];
  parallel_for(r.p.batch * r.p.out[0], rows_grain(row), avg_rows, &r);
  return true;
}

/* Row i of the windows of one image gives its gradient to the pixels under it. */
static void pool_gradient_row(const PoolRun *r, real *dx, int64_t image, int64_t i) {
  const Pool *p = &r->p;
  int64_t n = p->channels, rows[2] = {first_tap(p, 0, i), end_tap(p, 0, i)};
  int64_t at = (image * p->out[0] + i) * p->out[1] * n;
  real scale = 1 / (real)(p->kernel[0] * p->kernel[1]);
  dx += ((i * p->stride[0] - p->padding[0]) * p->in[1] - p->padding[1]) * n;
  for (int64_t j = 0; j < p->out[1]; j++, at += n, dx += p->stride[1] * n) {
    int64_t columns[2] = {first_tap(p, 1, j), end_tap(p, 1, j)};
    if (r->winner) {
      max_window(p, dx, r->dy + at, r->winner + at, rows, columns);
      continue;
    }
    for (int64_t u = rows[0]; u < rows[1]; u++)
      for (int64_t v = columns[0]; v < columns[1]; v++)
        avg_share(dx + (u * p->in[1] + v) * n, r->dy + at, scale, n);
  }
}

/* Both poolings backward, by images. Rows of dx are cleared just before they are first needed. */
static void pool_gradient_images(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const PoolRun *r = context;
  const Pool *p = &r->p;
  int64_t row = p->in[1] * p->channels;
  for (int64_t image = begin; image < end; image++) {
    real *dx = r->dx + image * p->in[0] * row;
    int64_t clear = 0;
    for (int64_t i = 0; i < p->out[0]; i++) {
      int64_t reach = i * p->stride[0] - p->padding[0] + end_tap(p, 0, i);
      if (i == p->out[0] - 1) reach = p->in[0];
      if (reach > clear) memset(dx + clear * row, 0, (size_t)((reach - clear) * row) * sizeof *dx);
      clear = most(clear, reach);
      pool_gradient_row(r, dx, image, i);
    }
  }
}

static bool pool_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  (void)y;
  (void)e;
  if (!dx[0]) return true;
  PoolRun r = {.p = pool_of(c), .dy = reals(dy), .dx = reals(dx[0])};
  if (c->extra[0]) r.winner = c->extra[0]->data;
  parallel_for(r.p.batch, rows_grain(2 * r.p.in[0] * r.p.in[1] * r.p.channels),
               pool_gradient_images, &r);
  return true;
}

#define POOL_PARAMS                                                                                \
  {                                                                                                \
    {"kernel", PARAM_PAIR, true, 0, NULL}, {"stride", PARAM_PAIR, false, -1, NULL}, {              \
      "padding", PARAM_PAIR, false, 0, NULL                                                        \
    }                                                                                              \
  }

static const Op op_max_pool2d = {
    .name = "max_pool2d",
    .inputs = "x",
    .doc =
        "The maximum of each window of images [batch, height, width, channels]; the stride is the "
        "kernel's size unless given, incomplete windows are left out, and the first of equals "
        "takes the gradient.",
    .params = POOL_PARAMS,
    .shape = pool_shape,
    .forward = max_pool2d_forward,
    .backward = pool_backward};

static const Op op_avg_pool2d = {
    .name = "avg_pool2d",
    .inputs = "x",
    .doc = "The mean of each window of images [batch, height, width, channels], the zeros of the "
           "padding counted; the stride is the kernel's size unless given.",
    .params = POOL_PARAMS,
    .shape = pool_shape,
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
  int64_t row = r.p.kernel[0] * r.p.out[1] * r.p.channels;
  parallel_for(r.p.batch * r.p.in[0], rows_grain(row), upsample_rows, &r);
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
  int64_t row = r.p.kernel[0] * r.p.out[1] * r.p.channels;
  parallel_for(r.p.batch * r.p.in[0], rows_grain(row), upsample_gradient_rows, &r);
  return true;
}

static const Op op_upsample_nearest = {
    .name = "upsample_nearest",
    .inputs = "x",
    .doc =
        "Each pixel of images [batch, height, width, channels] repeated scale[1] times downwards "
        "and scale[2] times to the right.",
    .params = {{"scale", PARAM_PAIR, true, 1, NULL}},
    .shape = upsample_nearest_shape,
    .forward = upsample_nearest_forward,
    .backward = upsample_nearest_backward};

const Op *const ISA_NAME(ops_pool)[] = {&op_max_pool2d, &op_avg_pool2d, &op_upsample_nearest, NULL};
