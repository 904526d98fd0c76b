/* Floor 3: normalisation over a batch: statistics over all axes but the last, each channel for
 * itself. Variances are the biased ones. Statistics are made of differences to a number that is
 * near the mean, and a mean is kept in two parts, of which the second is what the first, rounded,
 * lacks: so a small spread about a large mean keeps its digits, and equal numbers have none. */
#include "ops/families.h"
#include "ops/norm.h"

/* x of at least one axis; weight and bias, where given, as long as its last. */
static bool batch_norm_shape(const Call *c, Shape *out, Error *e) {
  const Shape *x = &c->in[0]->shape;
  char text[SHAPE_TEXT];
  if (x->dims < 1 || x->size[x->dims - 1] < 1)
    return error_set(e, "x: expected [*, channels], got %s", shape_text(x, text));
  int64_t channels = x->size[x->dims - 1];
  *out = *x;
  return check_channels(c, channels, e) && check_eps(c, e);
}

static int64_t last_size(const Tensor *t) { return t->shape.size[t->shape.dims - 1]; }

/* batch_norm_train, m and v the mean and variance of a channel, r = 1 / sqrt(v + eps):
 *   y = (x - m) r w + b
 *   db = sum dy,   dw = sum dy (x - m) r,   dx = w r (dy - mean(dy) - (x - m) r mean(dy (x - m) r))
 */

/* What the gradient before the activation is made of. */
typedef enum Mask {
  OPEN,   /* dy itself: there is no activation */
  BY_Y,   /* dy and the activation's output */
  BY_NORM /* dy and what the activation got, computed once more: no array is read for it */
} Mask;

/* One pass over the rows of a batch; all channel vectors are repeated through a block. Forward may
 * add a residual and apply an activation; backward sees dy (+ more) behind that activation, whose
 * output was y, and leaves the gradient before it in `masked` where that is wanted. */
typedef struct BatchNorm {
  Channels c;
  TailKind activation;
  Mask mask;
  real activation_slope;
  const real *x, *residual, *dy, *more, *y;
  real *out, *masked;
  real *mean, *norm_scale, *norm_shift, *scale, *shift, *slope; /* repeated through a block */
  double *partial, *partial_dy;                                 /* (chunks, channels) */
} BatchNorm;

/* relu and leaky_relu as elementwise.c has them. */
VEC_INLINE Vec activated(Vec v, const TailKind activation, real slope) {
  if (activation == TAIL_RELU) return vec_select(v < 0, vec_zero(), v);
  if (activation == TAIL_LEAKY_RELU) return vec_select(v <= 0, slope * v, v);
  return v;
}
/* The gradient before an activation; the sign of its output is that of its input. */
VEC_INLINE Vec before(Vec dy, Vec y, const TailKind activation, real slope) {
  if (activation == TAIL_RELU) return vec_select(y <= 0, vec_zero(), dy);
  if (activation == TAIL_LEAKY_RELU) return vec_select(y > 0, dy, slope * dy);
  return dy;
}

/* The norm of values whose differences to the mean are d. */
VEC_INLINE Vec normed(Vec d, const real *scale, const real *shift) {
  return d * vec_load(scale) + vec_load(shift);
}

VEC_INLINE Vec load_lanes(const real *p, int lanes) {
  return lanes == LANES ? vec_load(p) : vec_load_part(p, lanes);
}

VEC_INLINE void store_lanes(real *p, Vec v, int lanes) {
  if (lanes == LANES) vec_store(p, v);
  else vec_store_part(p, v, lanes);
}

/* Of a vector of dy, from element `at` on and in column v of a block, the gradient before the
 * activation; d as normed has it. */
VEC_INLINE Vec gradient_at(const BatchNorm *b, Vec dy, int64_t at, int64_t v, int lanes, Vec d,
                           const Mask mask, const TailKind activation) {
  if (mask == OPEN) return dy;
  Vec y =
      mask == BY_Y ? load_lanes(b->y + at, lanes) : normed(d, b->norm_scale + v, b->norm_shift + v);
  return before(dy, y, activation, b->activation_slope);
}

/* What add_chunk adds up: differences to the mean and their squares; or dy, also with `more`, and
 * its products with the differences. */
typedef enum Terms { MOMENTS, OF_DY, OF_BOTH } Terms;

/* ... `lanes` of them from element `at` on, in column v of a block: the difference, and the other
 * factor of the product, which is left in `masked` where that is wanted. */
VEC_INLINE Vec terms_at(const BatchNorm *b, int64_t at, int64_t v, int lanes, Vec *other,
                        const Terms terms, const Mask mask, const TailKind activation) {
  Vec d = load_lanes(b->x + at, lanes) - load_lanes(b->mean + v, lanes), g = d;
  if (terms != MOMENTS) {
    g = load_lanes(b->dy + at, lanes);
    if (terms == OF_BOTH) g += load_lanes(b->more + at, lanes);
    g = gradient_at(b, g, at, v, lanes, d, mask, activation);
    if ((mask == BY_Y || terms == OF_BOTH) && b->masked) store_lanes(b->masked + at, g, lanes);
  }
  *other = g;
  return d;
}

/* Adds those of the blocks from element `at` to `end`, in `vectors` vectors from column v on. */
VEC_INLINE void add_strip(const BatchNorm *b, int64_t at, int64_t end, int64_t v, const int vectors,
                          real *sum, const Terms terms, const Mask mask,
                          const TailKind activation) {
  int64_t width = b->c.vectors * LANES;
  Vec product[CHANNEL_STRIP], total[CHANNEL_STRIP];
  VEC_UNROLL for (int k = 0; k < vectors; k++) product[k] = total[k] = vec_zero();
  for (int64_t i = at + v; i < end; i += width) {
    VEC_UNROLL for (int k = 0; k < vectors; k++) {
      Vec g, d = terms_at(b, i + k * LANES, v + k * LANES, LANES, &g, terms, mask, activation);
      product[k] += g * d;
      total[k] += g;
    }
  }
  VEC_UNROLL for (int k = 0; k < vectors; k++) {
    real *here = sum + v + k * LANES;
    vec_store(here, vec_load(here) + product[k]);
    vec_store(here + width, vec_load(here + width) + total[k]);
  }
}

/* Rows that fill no block; so few that one function does for all. */
static __attribute__((noinline)) void add_rows(const BatchNorm *b, int64_t begin, int64_t end,
                                               int64_t to, Terms terms, Mask mask,
                                               TailKind activation) {
  int64_t n = b->c.channels;
  for (; begin < end; begin++)
    for (int64_t i = 0; i < n; i++) {
      Vec g, d = terms_at(b, begin * n + i, i, 1, &g, terms, mask, activation);
      b->partial[to + i] += (double)(g[0] * d[0]);
      b->partial_dy[to + i] += (double)g[0];
    }
}

/* partial = sum (x - mean)^2 and sum (x - mean), or sum dy (x - mean) and sum dy */
VEC_INLINE void add_chunk(const BatchNorm *shared, int64_t begin, int64_t end, int thread,
                          const Terms terms, const Mask mask, const TailKind activation) {
  enum { STRIP = CHANNEL_STRIP };
  BatchNorm own = *shared, *b = &own; /* which no store changes, as the compiler sees */
  const Channels *c = &b->c;
  int64_t n = c->channels, width = c->vectors * LANES, to = begin / c->chunk * n;
  real *sum = parallel_scratch(thread);
  memset(sum, 0, (size_t)(2 * width) * sizeof(real));
  for (int64_t blocks; (blocks = (end - begin) / c->block) > 0; begin += blocks * c->block) {
    if (blocks > CHANNEL_TILE) blocks = CHANNEL_TILE;
    int64_t at = begin * n, stop = at + blocks * width, v = 0;
    for (; v + STRIP * LANES <= width; v += STRIP * LANES)
      add_strip(b, at, stop, v, STRIP, sum, terms, mask, activation);
    for (; v < width; v += LANES) add_strip(b, at, stop, v, 1, sum, terms, mask, activation);
  }
  channels_fold(c, sum, b->partial + to);
  channels_fold(c, sum + width, b->partial_dy + to);
  if (begin < end) add_rows(b, begin, end, to, terms, mask, activation);
}

/* What map_chunk makes: out = act((x - mean) norm_scale + norm_shift + residual), the product
 * rounded for itself where SINGLE; or, dy being the gradient before the activation,
 * out = dy scale + shift + (x - mean) slope */
typedef enum Map { FORWARD, SINGLE, BACK } Map;

/* `lanes` elements from `at` on, in column v of a block. */
VEC_INLINE void map_vector(const BatchNorm *b, int64_t at, int64_t v, int lanes, const Map map,
                           const Mask mask, const TailKind activation) {
  const real *more = map != BACK && b->residual ? b->residual + at : NULL;
  Vec d = load_lanes(b->x + at, lanes) - vec_load(b->mean + v), y;
  if (map == BACK) {
    Vec g = gradient_at(b, load_lanes(b->dy + at, lanes), at, v, lanes, d, mask, activation);
    y = g * vec_load(b->scale + v) + (d * vec_load(b->slope + v) + vec_load(b->shift + v));
  } else {
    if (map == SINGLE)
      y = vec_rounded(d * vec_load(b->norm_scale + v)) + vec_load(b->norm_shift + v);
    else y = normed(d, b->norm_scale + v, b->norm_shift + v);
    if (more) y += load_lanes(more, lanes);
    y = activated(y, activation, b->activation_slope);
  }
  store_lanes(b->out + at, y, lanes);
}

VEC_INLINE void map_chunk(const BatchNorm *shared, int64_t begin, int64_t end, const Map map,
                          const Mask mask, const TailKind activation) {
  BatchNorm own = *shared, *b = &own;
  int64_t n = b->c.channels, width = b->c.vectors * LANES, at = begin * n, stop = end * n;
  for (; at + width <= stop; at += width)
    for (int64_t v = 0; v < width; v += LANES)
      map_vector(b, at + v, v, LANES, map, mask, activation);
  for (int64_t v = 0; at + v < stop; v += LANES) {
    int64_t left = stop - at - v;
    map_vector(b, at + v, v, left < LANES ? (int)left : LANES, map, mask, activation);
  }
}

static void batch_moments(void *context, int64_t begin, int64_t end, int thread) {
  add_chunk(context, begin, end, thread, MOMENTS, OPEN, TAIL_NONE);
}
VEC_INLINE void sums_by(const BatchNorm *b, int64_t begin, int64_t end, int thread,
                        const Terms terms, const Mask mask) {
  if (b->activation == TAIL_RELU) add_chunk(b, begin, end, thread, terms, mask, TAIL_RELU);
  else add_chunk(b, begin, end, thread, terms, mask, TAIL_LEAKY_RELU);
}
static void batch_sums(void *context, int64_t begin, int64_t end, int thread) {
  const BatchNorm *b = context;
  if (b->mask == OPEN) add_chunk(b, begin, end, thread, OF_DY, OPEN, TAIL_NONE);
  else if (b->mask == BY_Y)
    if (b->more) sums_by(b, begin, end, thread, OF_BOTH, BY_Y);
    else sums_by(b, begin, end, thread, OF_DY, BY_Y);
  else if (b->more) sums_by(b, begin, end, thread, OF_BOTH, BY_NORM);
  else sums_by(b, begin, end, thread, OF_DY, BY_NORM);
}
VEC_INLINE void map_chunks(const BatchNorm *b, int64_t begin, int64_t end, const Map map,
                           const Mask mask) {
  if (b->activation == TAIL_RELU) map_chunk(b, begin, end, map, mask, TAIL_RELU);
  else if (b->activation == TAIL_LEAKY_RELU) map_chunk(b, begin, end, map, mask, TAIL_LEAKY_RELU);
  else map_chunk(b, begin, end, map, OPEN, TAIL_NONE);
}
static void batch_map(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  map_chunks(context, begin, end, FORWARD, OPEN);
}
static void batch_map_single(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  map_chunks(context, begin, end, SINGLE, OPEN);
}
static void batch_back(void *context, int64_t begin, int64_t end, int thread) {
  const BatchNorm *b = context;
  (void)thread;
  if (b->mask == BY_NORM) map_chunks(b, begin, end, BACK, BY_NORM);
  else if (b->mask == BY_Y) map_chunks(b, begin, end, BACK, BY_Y);
  else map_chunk(b, begin, end, BACK, OPEN, TAIL_NONE);
}

/* Working memory of one call: the partial sums and the repeated channel vectors. */
static Tensor *batch_space(BatchNorm *b, int64_t channels, Error *e) {
  b->c = channels_of(b->c.rows, channels);
  int64_t part = b->c.chunks * channels, width = b->c.vectors * LANES;
  Tensor *space = channels_space(2 * part + 6 * width, e);
  if (!space) return NULL;
  if (!parallel_reserve(2 * width * (int64_t)sizeof(real))) {
    tensor_release(space);
    error_set(e, "out of memory");
    return NULL;
  }
  b->partial = space->data;
  b->partial_dy = b->partial + part;
  b->mean = (void *)(b->partial_dy + part);
  b->norm_scale = b->mean + width;
  b->norm_shift = b->norm_scale + width;
  b->scale = b->norm_shift + width;
  b->shift = b->scale + width;
  b->slope = b->shift + width;
  return space;
}

/* An absent weight is 1, an absent bias 0. */
static real channel_weight(const Call *c, int64_t i) { return c->in[1] ? reals(c->in[1])[i] : 1; }
static real channel_bias(const Call *c, int64_t i) { return c->in[2] ? reals(c->in[2])[i] : 0; }

/* What a channel's statistics leave for backward: extras of the call. SHIFT is what is added to
 * (x - mean) weight inverse. */
enum { MEAN, VARIANCE, MEAN_REST, INVERSE, SHIFT, STATISTICS };

/* About the means: of some rows only, from all over the batch, as differences to the first, so that
 * equal numbers are their own mean. What is in `partial` is lost. */
static void means_of_some(const BatchNorm *b, real *means) {
  enum { SOME = 32 };
  int64_t n = b->c.channels, rows = b->c.rows, count = rows < SOME ? rows : SOME;
  int64_t step = rows > SOME ? (int64_t)(0.618 * (double)rows) : 1;
  double *sum = b->partial;
  memset(sum, 0, (size_t)n * sizeof *sum);
  for (int64_t k = 0; k < count; k++) {
    const real *x = b->x + k * step % rows * n;
    for (int64_t i = 0; i < n; i++) sum[i] += (double)x[i] - (double)b->x[i];
  }
  for (int64_t i = 0; i < n; i++) means[i] = (real)((double)b->x[i] + sum[i] / (double)count);
}

/* Statistics of all channels, about the means of some rows; once more, about the means that this
 * gives, where one of them is farther away than the numbers spread. */
static void batch_statistics(BatchNorm *b, const Call *c) {
  int64_t n = b->c.channels, rows = b->c.rows;
  real *near = reals(c->extra[MEAN]);
  bool far = rows > 0;
  if (far) means_of_some(b, near);
  for (int pass = 0; pass < 2 && far; pass++) {
    far = false;
    channels_repeat(&b->c, near, b->mean);
    parallel_for(rows, b->c.chunk, batch_moments, b);
    channels_add_up(&b->c, b->partial);
    channels_add_up(&b->c, b->partial_dy);
    for (int64_t i = 0; i < n; i++) {
      double left = b->partial_dy[i] / (double)rows;
      Moments m = moments_of(near[i], b->partial_dy[i], b->partial[i], 1 / (double)rows);
      if (left * left > m.variance) far = true;
      if (!isfinite(m.variance)) m = moments_plain(b->x + i, rows, n);
      near[i] = (real)m.mean;
      reals(c->extra[MEAN_REST])[i] = (real)(m.mean - (double)near[i]);
      reals(c->extra[VARIANCE])[i] = (real)m.variance;
      reals(c->extra[INVERSE])[i] = inverse_spread(m.variance, c->number[0]);
    }
  }
}

static bool batch_norm_train_prepare(Call *c, Error *e) {
  int64_t n = last_size(c->in[0]), rows = c->in[0]->numel / n;
  BatchNorm b = {.c = {.rows = rows}, .x = reals(c->in[0])};
  for (int k = 0; k < STATISTICS; k++) {
    if (!(c->extra[k] = vector_new(n, e))) return false;
    memset(reals(c->extra[k]), 0, (size_t)n * sizeof(real));
  }
  Tensor *space = batch_space(&b, n, e);
  if (!space) return false;
  batch_statistics(&b, c);
  tensor_release(space);
  const real *rest = reals(c->extra[MEAN_REST]), *inverse = reals(c->extra[INVERSE]);
  for (int64_t i = 0; i < n; i++) {
    real scale = channel_weight(c, i) * inverse[i];
    reals(c->extra[SHIFT])[i] = channel_bias(c, i) - rest[i] * scale;
  }
  return true;
}

/* The vectors of the norm, as the statistics have them. */
static void set_norm(const BatchNorm *b, const Call *c) {
  int64_t n = b->c.channels;
  const real *inverse = reals(c->extra[INVERSE]);
  for (int64_t i = 0; i < n; i++) b->scale[i] = channel_weight(c, i) * inverse[i];
  channels_repeat(&b->c, b->scale, b->norm_scale);
  channels_repeat(&b->c, reals(c->extra[SHIFT]), b->norm_shift);
  channels_repeat(&b->c, reals(c->extra[MEAN]), b->mean);
}

static void set_tail(BatchNorm *b, const Tail *tail) {
  b->activation = tail->activation;
  b->activation_slope = (real)tail->slope;
  b->residual = tail->residual ? reals(tail->residual) : NULL;
  b->y = tail->y ? reals(tail->y) : NULL;
}

static bool batch_norm_train_finish(const Call *c, const Tail *tail, Tensor *y, Error *e) {
  int64_t n = last_size(y), rows = y->numel / n;
  BatchNorm b = {.c = {.rows = rows}, .x = reals(c->in[0]), .out = reals(y)};
  set_tail(&b, tail);
  Tensor *space = batch_space(&b, n, e);
  if (!space) return false;
  set_norm(&b, c);
  parallel_for(rows, channels_grain(&b.c), batch_map, &b);
  tensor_release(space);
  return true;
}

static bool batch_norm_train_forward(Call *c, Tensor *y, Error *e) {
  const Tail none = {0};
  return batch_norm_train_prepare(c, e) && batch_norm_train_finish(c, &none, y, e);
}

static bool batch_norm_train_tail_backward(const Call *c, const Tail *tail, const Tensor *dy,
                                           Tensor *const *dx, Error *e) {
  int64_t n = last_size(dy), rows = dy->numel / n;
  BatchNorm b = {.c = {.rows = rows}, .x = reals(c->in[0]), .dy = reals(dy)};
  const real *rest = reals(c->extra[MEAN_REST]), *inverse = reals(c->extra[INVERSE]);
  set_tail(&b, tail);
  b.mask = tail->activation == TAIL_NONE ? OPEN : tail->residual ? BY_Y : BY_NORM;
  b.more = tail->more ? reals(tail->more) : NULL;
  if (tail->dresidual) b.masked = reals(tail->dresidual);
  else if (b.more && dx[0]) b.masked = reals(dx[0]); /* there it is on the way */
  Tensor *space = batch_space(&b, n, e);
  if (!space) return false;
  set_norm(&b, c);
  parallel_for(rows, b.c.chunk, batch_sums, &b);
  channels_add_up(&b.c, b.partial);
  channels_add_up(&b.c, b.partial_dy);
  for (int64_t i = 0; i < n; i++) {
    double r = (double)inverse[i], wr = (double)channel_weight(c, i) * r;
    double total = rows > 0 ? b.partial_dy[i] : 0;                          /* sum dy */
    double product = rows > 0 ? b.partial[i] - (double)rest[i] * total : 0; /* sum dy (x - m) */
    double steep = -wr * (r * product / (double)rows) * r;
    if (dx[1]) reals(dx[1])[i] = (real)(product * r);
    if (dx[2]) reals(dx[2])[i] = (real)total;
    for (int64_t k = i; k < b.c.block * n; k += n) {
      b.scale[k] = (real)wr;
      b.slope[k] = (real)steep;
      b.shift[k] = (real)(-wr * total / (double)rows - (double)rest[i] * steep);
    }
  }
  if (dx[0]) {
    b.out = reals(dx[0]);
    if (b.masked) b.dy = b.masked, b.mask = OPEN;
    parallel_for(rows, channels_grain(&b.c), batch_back, &b);
  }
  tensor_release(space);
  return true;
}

static bool batch_norm_train_backward(const Call *c, const Tensor *y, const Tensor *dy,
                                      Tensor *const *dx, Error *e) {
  (void)y;
  const Tail none = {0};
  return batch_norm_train_tail_backward(c, &none, dy, dx, e);
}

static const Op op_batch_norm_train = {
    .name = "batch_norm_train",
    .inputs = "x weight? bias?",
    .doc =
        "(x - mean) / sqrt(variance + eps) * weight + bias, with the mean and the biased variance "
        "of each channel (the last axis) over all other axes; weight and bias may be left out.",
    .save = SAVE_IN0 | SAVE_IN1,
    .results = 2, /* mean and variance */
    PARAMS({"eps", PARAM_NUMBER, false, 1e-5, NULL}),
    .shape = batch_norm_shape,
    .forward = batch_norm_train_forward,
    .prepare = batch_norm_train_prepare,
    .finish = batch_norm_train_finish,
    .backward = batch_norm_train_backward,
    .tail_backward = batch_norm_train_tail_backward};

/* ---- with statistics that are given ---- */

static bool batch_norm_eval_shape(const Call *c, Shape *out, Error *e) {
  static const char *const names[] = {"mean", "scale", "shift"};
  const Shape *x = &c->in[0]->shape;
  char text[SHAPE_TEXT];
  for (int i = 1; i < 4; i++) {
    const Shape *s = &c->in[i]->shape;
    if (x->dims < 1 || s->dims != 1 || s->size[0] != x->size[x->dims - 1])
      return error_set(e, "%s: expected one number for each channel of x, got %s", names[i - 1],
                       shape_text(s, text));
  }
  *out = *x;
  return true;
}

static bool batch_norm_eval_prepare(Call *c, Error *e) {
  (void)c, (void)e;
  return true;
}

static bool batch_norm_eval_finish(const Call *c, const Tail *tail, Tensor *y, Error *e) {
  int64_t rows = y->numel / last_size(y);
  BatchNorm b = {.c = {.rows = rows}, .x = reals(c->in[0]), .out = reals(y)};
  set_tail(&b, tail);
  Tensor *space = batch_space(&b, last_size(y), e);
  if (!space) return false;
  channels_repeat(&b.c, reals(c->in[1]), b.mean);
  channels_repeat(&b.c, reals(c->in[2]), b.norm_scale);
  channels_repeat(&b.c, reals(c->in[3]), b.norm_shift);
  parallel_for(rows, channels_grain(&b.c), batch_map_single, &b);
  tensor_release(space);
  return true;
}

static bool batch_norm_eval_forward(Call *c, Tensor *y, Error *e) {
  const Tail none = {0};
  return y->numel == 0 || batch_norm_eval_finish(c, &none, y, e);
}

static const Op op_batch_norm_eval = {
    .name = "batch_norm_eval",
    .inputs = "x mean scale shift",
    .doc = "(x - mean) * scale + shift, each channel (the last axis) for itself, to the bits of "
           "these three ops; without a gradient.",
    .flags = OP_HIDDEN,
    .shape = batch_norm_eval_shape,
    .forward = batch_norm_eval_forward,
    .prepare = batch_norm_eval_prepare,
    .finish = batch_norm_eval_finish};

/* ---- running statistics ---- */

enum { KEEP, FACTOR, SHARE }; /* its numbers */

static bool running_shape(const Call *c, Shape *out, Error *e) {
  char text[SHAPE_TEXT], wanted[SHAPE_TEXT];
  *out = c->in[0]->shape;
  if (shape_equal(out, &c->in[1]->shape)) return true;
  return error_set(e, "new: expected %s, got %s", shape_text(out, wanted),
                   shape_text(&c->in[1]->shape, text));
}

static bool running_forward(Call *c, Tensor *y, Error *e) {
  const real keep = (real)c->number[KEEP], factor = (real)c->number[FACTOR];
  const real share = (real)c->number[SHARE], *old = reals(c->in[0]), *new = reals(c->in[1]);
  (void)e;
  for (int64_t i = 0; i < y->numel; i += LANES) {
    int n = y->numel - i < LANES ? (int)(y->numel - i) : LANES;
    Vec kept = vec_rounded(vec_load_part(old + i, n) * keep);
    Vec come = vec_rounded(vec_rounded(vec_load_part(new + i, n) * factor) * share);
    vec_store_part(reals(y) + i, kept + come, n);
  }
  return true;
}

static const Op op_running = {
    .name = "running",
    .inputs = "old new",
    .doc = "old * keep + new * factor * share, to the bits of these ops; without a gradient.",
    .flags = OP_ELEMENTWISE | OP_HIDDEN,
    PARAMS({"keep", PARAM_NUMBER, true, 0, NULL}, {"factor", PARAM_NUMBER, true, 0, NULL},
           {"share", PARAM_NUMBER, true, 0, NULL}),
    .shape = running_shape,
    .forward = running_forward};

const Op *const ISA_NAME(ops_batch_norm)[] = {&op_batch_norm_train, &op_batch_norm_eval,
                                              &op_running, NULL};
