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
  for (int i = 1; i < 3; i++) {
    const Shape *s = c->in[i] ? &c->in[i]->shape : NULL;
    if (s && (s->dims != 1 || s->size[0] != channels))
      return error_set(e, "%s: expected [%lld], got %s", input_name[i], (long long)channels,
                       shape_text(s, text));
  }
  *out = *x;
  return check_eps(c, e);
}

static int64_t last_size(const Tensor *t) { return t->shape.size[t->shape.dims - 1]; }

/* batch_norm_train, m and v the mean and variance of a channel, r = 1 / sqrt(v + eps):
 *   y = (x - m) r w + b
 *   db = sum dy,   dw = sum dy (x - m) r,   dx = w r (dy - mean(dy) - (x - m) r mean(dy (x - m) r))
 */

/* One pass over the rows of a batch; all channel vectors are repeated through a block. Forward may
 * add a residual and apply an activation; backward sees dy behind that activation, whose output was
 * y, and leaves the gradient before it in `masked` where that is wanted. */
typedef struct BatchNorm {
  Channels c;
  TailKind activation;
  real activation_slope;
  const real *x, *residual, *dy, *y;
  real *out, *masked;
  const real *mean, *scale, *shift, *slope;
  double *partial, *partial_dy; /* (chunks, channels) */
  real *vectors;                /* four of them */
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

/* A vector of the gradient before the activation, from element `at` on. */
VEC_INLINE Vec gradient_at(const BatchNorm *b, int64_t at, int lanes, const TailKind activation) {
  bool whole = lanes == LANES;
  Vec dy = whole ? vec_load(b->dy + at) : vec_load_part(b->dy + at, lanes);
  if (activation == TAIL_NONE) return dy;
  Vec y = whole ? vec_load(b->y + at) : vec_load_part(b->y + at, lanes);
  return before(dy, y, activation, b->activation_slope);
}

/* Adds the terms of `count` blocks from element `at` on; several at once, because the sums, too
 * many for the registers, come from memory and go back there. Without `back` they are those of the
 * statistics: differences and their squares. */
enum { MANY = 4 };
VEC_INLINE void add_blocks(const BatchNorm *b, int64_t at, const int count, real *sum, real *sum_dy,
                           const bool back, const TailKind activation) {
  int64_t width = b->c.vectors * LANES;
  for (int64_t v = 0; v < width; v += LANES) {
    Vec mean = vec_load(b->mean + v), product = vec_zero(), total = vec_zero();
    VEC_UNROLL for (int k = 0; k < count; k++) {
      int64_t i = at + k * width + v;
      Vec d = vec_load(b->x + i) - mean, g = back ? gradient_at(b, i, LANES, activation) : d;
      if (activation != TAIL_NONE && b->masked) vec_store(b->masked + i, g);
      product += g * d;
      total += g;
    }
    vec_store(sum + v, vec_load(sum + v) + product);
    vec_store(sum_dy + v, vec_load(sum_dy + v) + total);
  }
}

/* partial = sum (x - mean)^2 and sum (x - mean), or `back`: sum dy (x - mean) and sum dy */
VEC_INLINE void add_chunk(const BatchNorm *b, int64_t begin, int64_t end, int thread,
                          const bool back, const TailKind activation) {
  const Channels *c = &b->c;
  int64_t n = c->channels, width = c->vectors * LANES, to = begin / c->chunk * n;
  real *sum = parallel_scratch(thread), *sum_dy = sum + width;
  memset(sum, 0, (size_t)(2 * width) * sizeof(real));
  for (; begin + MANY * c->block <= end; begin += MANY * c->block)
    add_blocks(b, begin * n, MANY, sum, sum_dy, back, activation);
  for (; begin + c->block <= end; begin += c->block)
    add_blocks(b, begin * n, 1, sum, sum_dy, back, activation);
  channels_fold(c, sum, b->partial + to);
  channels_fold(c, sum_dy, b->partial_dy + to);
  for (; begin < end; begin++)
    for (int64_t i = 0; i < n; i++) {
      int64_t at = begin * n + i;
      real d = b->x[at] - b->mean[i], g = back ? gradient_at(b, at, 1, activation)[0] : d;
      if (activation != TAIL_NONE && b->masked) b->masked[at] = g;
      b->partial[to + i] += (double)(g * d);
      b->partial_dy[to + i] += (double)g;
    }
}

/* What map_chunk makes: out = act((x - mean) scale + shift + residual), the product rounded for
 * itself where SINGLE; or, dy being the gradient before the activation,
 * out = dy scale + shift + (x - mean) slope */
typedef enum Map { FORWARD, SINGLE, BACK } Map;

VEC_INLINE void map_chunk(const BatchNorm *b, int64_t begin, int64_t end, const Map map,
                          const TailKind activation) {
  int64_t n = b->c.channels, width = b->c.vectors * LANES;
  for (int64_t at = begin * n, left; at < end * n; at += width)
    for (int64_t v = 0; v < width && (left = end * n - at - v) > 0; v += LANES) {
      int lanes = left < LANES ? (int)left : LANES;
      bool whole = lanes == LANES;
      const real *x = b->x + at + v, *more = b->residual ? b->residual + at + v : NULL;
      Vec d = (whole ? vec_load(x) : vec_load_part(x, lanes)) - vec_load(b->mean + v);
      Vec scale = vec_load(b->scale + v), shift = vec_load(b->shift + v), y;
      if (map == BACK) {
        Vec g = gradient_at(b, at + v, lanes, activation);
        y = g * scale + (d * vec_load(b->slope + v) + shift);
      } else {
        y = d * scale;
        y = (map == SINGLE ? vec_rounded(y) : y) + shift;
        if (more) y += whole ? vec_load(more) : vec_load_part(more, lanes);
        y = activated(y, activation, b->activation_slope);
      }
      if (whole) vec_store(b->out + at + v, y);
      else vec_store_part(b->out + at + v, y, lanes);
    }
}

static void batch_moments(void *context, int64_t begin, int64_t end, int thread) {
  add_chunk(context, begin, end, thread, false, TAIL_NONE);
}
static void batch_sums(void *context, int64_t begin, int64_t end, int thread) {
  const BatchNorm *b = context;
  if (b->activation == TAIL_RELU) add_chunk(b, begin, end, thread, true, TAIL_RELU);
  else if (b->activation == TAIL_LEAKY_RELU)
    add_chunk(b, begin, end, thread, true, TAIL_LEAKY_RELU);
  else add_chunk(b, begin, end, thread, true, TAIL_NONE);
}
VEC_INLINE void map_chunks(const BatchNorm *b, int64_t begin, int64_t end, const Map map) {
  if (b->activation == TAIL_RELU) map_chunk(b, begin, end, map, TAIL_RELU);
  else if (b->activation == TAIL_LEAKY_RELU) map_chunk(b, begin, end, map, TAIL_LEAKY_RELU);
  else map_chunk(b, begin, end, map, TAIL_NONE);
}
static void batch_map(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  map_chunks(context, begin, end, FORWARD);
}
static void batch_map_single(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  map_chunks(context, begin, end, SINGLE);
}
static void batch_back(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  map_chunks(context, begin, end, BACK);
}

/* Working memory of one call: the partial sums and four repeated channel vectors. */
static Tensor *batch_space(BatchNorm *b, int64_t channels, Error *e) {
  b->c = channels_of(b->c.rows, channels);
  int64_t part = b->c.chunks * channels, width = b->c.vectors * LANES;
  Tensor *space = channels_space(2 * part + 4 * width, e);
  if (!space) return NULL;
  if (!parallel_reserve(2 * width * (int64_t)sizeof(real))) {
    tensor_release(space);
    error_set(e, "out of memory");
    return NULL;
  }
  b->partial = space->data;
  b->partial_dy = b->partial + part;
  b->vectors = (void *)(b->partial_dy + part);
  return space;
}

static real *batch_vector(const BatchNorm *b, int i) {
  return b->vectors + i * b->c.vectors * LANES;
}

/* An absent weight is 1, an absent bias 0. */
static real channel_weight(const Call *c, int64_t i) { return c->in[1] ? reals(c->in[1])[i] : 1; }
static real channel_bias(const Call *c, int64_t i) { return c->in[2] ? reals(c->in[2])[i] : 0; }

/* What a channel's statistics leave for backward: extras of the call. */
enum { MEAN, VARIANCE, MEAN_REST, INVERSE, STATISTICS };

/* Statistics of all channels, about the first row and then about the mean that this gives. */
static void batch_statistics(BatchNorm *b, real *const statistic[STATISTICS], double eps) {
  int64_t n = b->c.channels, rows = b->c.rows;
  real *near = statistic[MEAN], *repeated = batch_vector(b, 0);
  if (rows > 0) memcpy(near, b->x, (size_t)n * sizeof(real));
  for (int pass = 0; pass < 2 && rows > 0; pass++) {
    channels_repeat(&b->c, near, repeated);
    b->mean = repeated;
    parallel_for(rows, b->c.chunk, batch_moments, b);
    channels_add_up(&b->c, b->partial);
    channels_add_up(&b->c, b->partial_dy);
    for (int64_t i = 0; i < n; i++) {
      Moments m = moments_of(near[i], b->partial_dy[i], b->partial[i], 1 / (double)rows);
      if (!isfinite(m.variance)) m = moments_plain(b->x + i, rows, n);
      near[i] = (real)m.mean;
      statistic[MEAN_REST][i] = (real)(m.mean - (double)near[i]);
      statistic[VARIANCE][i] = (real)m.variance;
      if (pass > 0) statistic[INVERSE][i] = inverse_spread(m.variance, eps);
    }
  }
}

static bool batch_norm_train_prepare(Call *c, Error *e) {
  int64_t n = last_size(c->in[0]), rows = c->in[0]->numel / n;
  BatchNorm b = {.c = {.rows = rows}, .x = reals(c->in[0])};
  real *statistic[STATISTICS];
  for (int k = 0; k < STATISTICS; k++) {
    if (!(c->extra[k] = vector_new(n, e))) return false;
    statistic[k] = reals(c->extra[k]);
    memset(statistic[k], 0, (size_t)n * sizeof(real));
  }
  Tensor *space = batch_space(&b, n, e);
  if (space) batch_statistics(&b, statistic, c->number[0]);
  tensor_release(space);
  return space != NULL;
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
  const real *rest = reals(c->extra[MEAN_REST]), *inverse = reals(c->extra[INVERSE]);
  set_tail(&b, tail);
  Tensor *space = batch_space(&b, n, e);
  if (!space) return false;
  real *scale = batch_vector(&b, 1), *shift = batch_vector(&b, 2);
  for (int64_t i = 0; i < n; i++) {
    scale[i] = channel_weight(c, i) * inverse[i];
    shift[i] = channel_bias(c, i) - rest[i] * scale[i];
  }
  for (int64_t r = 1; r < b.c.block; r++) {
    memcpy(scale + r * n, scale, (size_t)n * sizeof(real));
    memcpy(shift + r * n, shift, (size_t)n * sizeof(real));
  }
  channels_repeat(&b.c, reals(c->extra[MEAN]), batch_vector(&b, 0));
  b.mean = batch_vector(&b, 0);
  b.scale = scale;
  b.shift = shift;
  parallel_for(rows, b.c.chunk, batch_map, &b);
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
  b.masked = tail->dresidual ? reals(tail->dresidual) : NULL;
  Tensor *space = batch_space(&b, n, e);
  if (!space) return false;
  real *scale = batch_vector(&b, 1), *shift = batch_vector(&b, 2), *slope = batch_vector(&b, 3);
  channels_repeat(&b.c, reals(c->extra[MEAN]), batch_vector(&b, 0));
  b.mean = batch_vector(&b, 0);
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
      scale[k] = (real)wr;
      slope[k] = (real)steep;
      shift[k] = (real)(-wr * total / (double)rows - (double)rest[i] * steep);
    }
  }
  if (dx[0]) {
    b.scale = scale;
    b.shift = shift;
    b.slope = slope;
    b.out = reals(dx[0]);
    if (b.masked) b.dy = b.masked, b.activation = TAIL_NONE;
    parallel_for(rows, b.c.chunk, batch_back, &b);
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
    .params = {{"eps", PARAM_NUMBER, false, 1e-5, NULL}},
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
  for (int i = 0; i < 3; i++) channels_repeat(&b.c, reals(c->in[1 + i]), batch_vector(&b, i));
  b.mean = batch_vector(&b, 0);
  b.scale = batch_vector(&b, 1);
  b.shift = batch_vector(&b, 2);
  parallel_for(rows, b.c.chunk, batch_map_single, &b);
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

const Op *const ISA_NAME(ops_batch_norm)[] = {&op_batch_norm_train, &op_batch_norm_eval, NULL};
