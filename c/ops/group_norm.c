/* Floor 3: group_norm, over groups of neighbouring channels of each item and all its places; its
 * statistics are made as those of batch_norm.c. An item's places are cut into pieces, whose sums
 * are kept for each channel and added in their order. */
#include "ops/families.h"
#include "ops/norm.h"

/* group_norm, m and v the mean and variance of an item's group, n its numbers, r = 1 / sqrt(v +
 * eps), h = (x - m) r: y = h w + b,   dx = r (g - mean(g) - h mean(g h)) with g = dy w,   dw = sum
 * dy h,   db = sum dy
 */

static bool group_norm_shape(const Call *c, Shape *out, Error *e) {
  const Shape *x = &c->in[0]->shape;
  char text[SHAPE_TEXT];
  if (x->dims < 2 || x->size[x->dims - 1] < 1)
    return error_set(e, "x: expected [batch, ..., channels], got %s", shape_text(x, text));
  int64_t channels = x->size[x->dims - 1], groups = c->integer[0];
  if (groups < 1 || channels % groups != 0)
    return error_set(e, "groups: expected a divisor of the %lld channels, got %lld",
                     (long long)channels, (long long)groups);
  *out = *x;
  return check_channels(c, channels, e) && check_eps(c, e);
}

/* What is known of an item's group. */
typedef struct Group {
  real mean, rest;   /* the mean in two parts */
  real inverse;      /* r */
  real slope, shift; /* backward: dx = dy w r + (x - mean) slope + shift */
} Group;

typedef struct GroupNorm {
  Channels c; /* its rows: the places of an item, its chunks the pieces */
  int64_t items, groups;
  double eps;
  const real *x, *dy, *weight, *bias;
  real *out;
  Group *group; /* (items, groups) */
  double *sums; /* (items, pieces, 2, channels) */
  bool far;     /* a mean was found far from where the differences were taken */
} GroupNorm;

/* Adds up `blocks` blocks from x on, in `vectors` vectors from column v on: differences to `near`
 * and their squares; on the way back dy, which is not read else, and its products with them. */
VEC_INLINE void group_strip(const real *x, const real *dy, const real *near, int64_t blocks,
                            int64_t v, int64_t width, const int vectors, const bool back,
                            real *sums) {
  Vec total[CHANNEL_STRIP], product[CHANNEL_STRIP];
  VEC_UNROLL for (int k = 0; k < vectors; k++) total[k] = product[k] = vec_zero();
  for (int64_t i = 0; i < blocks; i++) VEC_UNROLL for (int k = 0; k < vectors; k++) {
      int64_t at = i * width + v + k * LANES;
      Vec d = vec_load(x + at) - vec_load(near + v + k * LANES), g = d;
      if (back) g = vec_load(dy + at);
      total[k] += g;
      product[k] += g * d;
    }
  VEC_UNROLL for (int k = 0; k < vectors; k++) {
    vec_store(sums + v + k * LANES, total[k]);
    vec_store(sums + width + v + k * LANES, product[k]);
  }
}

VEC_INLINE void group_add(const GroupNorm *g, const real *x, const real *dy, int64_t rows,
                          const real *near, real *space, double *sums, const bool back) {
  const Channels *c = &g->c;
  int64_t n = c->channels, width = c->vectors * LANES, blocks = rows / c->block, v = 0;
  for (; v + CHANNEL_STRIP * LANES <= width; v += CHANNEL_STRIP * LANES)
    group_strip(x, dy, near, blocks, v, width, CHANNEL_STRIP, back, space);
  for (; v < width; v += LANES) group_strip(x, dy, near, blocks, v, width, 1, back, space);
  channels_fold(c, space, sums);
  channels_fold(c, space + width, sums + n);
  for (int64_t i = blocks * c->block; i < rows; i++)
    for (int64_t k = 0; k < n; k++) {
      real d = x[i * n + k] - near[k], factor = back ? dy[i * n + k] : d;
      sums[k] += (double)factor;
      sums[n + k] += (double)(factor * d);
    }
}

/* A number of each group, for its channels, through a block. */
#define GROUP_FILL(name, value)                                                                    \
  static void name(const GroupNorm *g, const Group *own, real *block) {                            \
    int64_t n = g->c.channels, each = n / g->groups;                                               \
    for (int64_t first = 0; first < n; first += each, own++)                                       \
      for (int64_t k = first; k < first + each; k++) block[k] = value;                             \
    for (int64_t r = 1; r < g->c.block; r++)                                                       \
      memcpy(block + r * n, block, (size_t)n * sizeof(real));                                      \
  }
GROUP_FILL(fill_mean, own->mean)
GROUP_FILL(fill_scale, own->inverse *(g->weight ? g->weight[k] : 1))
GROUP_FILL(fill_norm_shift,
           (g->bias ? g->bias[k] : 0) - own->rest * own->inverse * (g->weight ? g->weight[k] : 1))
GROUP_FILL(fill_slope, own->slope)
GROUP_FILL(fill_shift, own->shift)

/* A piece of an item: where it begins, and how many of its rows there are. */
static int64_t piece_at(const GroupNorm *g, int64_t i, int64_t *item, int64_t *rows) {
  int64_t first = i % g->c.chunks * g->c.chunk;
  *item = i / g->c.chunks;
  *rows = g->c.rows - first < g->c.chunk ? g->c.rows - first : g->c.chunk;
  return (*item * g->c.rows + first) * g->c.channels;
}

static void group_sums(void *context, int64_t begin, int64_t end, int thread) {
  const GroupNorm *g = context;
  int64_t width = g->c.vectors * LANES;
  real *near = parallel_scratch(thread), *space = near + width;
  for (int64_t i = begin, item, rows; i < end; i++) {
    int64_t at = piece_at(g, i, &item, &rows);
    double *sums = g->sums + i * 2 * g->c.channels;
    fill_mean(g, g->group + item * g->groups, near);
    const real *x = g->x + at;
    if (g->dy) group_add(g, x, g->dy + at, rows, near, space, sums, true);
    else group_add(g, x, x, rows, near, space, sums, false);
  }
}

/* out = (x - mean) slope + shift, where dy is given dy scale more */
VEC_INLINE void group_map(const real *x, const real *dy, real *out, int64_t n, int64_t width,
                          const real *mean, const real *slope, const real *shift,
                          const real *scale) {
  for (int64_t at = 0; at < n; at += width)
    for (int64_t v = 0; v < width && at + v < n; v += LANES) {
      int lanes = n - at - v < LANES ? (int)(n - at - v) : LANES;
      bool whole = lanes == LANES;
      const real *from = x + at + v;
      Vec d = (whole ? vec_load(from) : vec_load_part(from, lanes)) - vec_load(mean + v);
      Vec y = d * vec_load(slope + v) + vec_load(shift + v);
      if (dy) {
        const real *more = dy + at + v;
        y += (whole ? vec_load(more) : vec_load_part(more, lanes)) * vec_load(scale + v);
      }
      if (whole) vec_store(out + at + v, y);
      else vec_store_part(out + at + v, y, lanes);
    }
}

static void group_values(void *context, int64_t begin, int64_t end, int thread) {
  const GroupNorm *g = context;
  int64_t width = g->c.vectors * LANES;
  real *mean = parallel_scratch(thread), *slope = mean + width, *shift = slope + width;
  real *scale = shift + width;
  for (int64_t i = begin, item, rows; i < end; i++) {
    int64_t at = piece_at(g, i, &item, &rows), n = rows * g->c.channels;
    const Group *group = g->group + item * g->groups;
    fill_mean(g, group, mean);
    if (g->dy) {
      fill_slope(g, group, slope);
      fill_shift(g, group, shift);
      fill_scale(g, group, scale);
      group_map(g->x + at, g->dy + at, g->out + at, n, width, mean, slope, shift, scale);
    } else {
      fill_scale(g, group, slope);
      fill_norm_shift(g, group, shift);
      group_map(g->x + at, NULL, g->out + at, n, width, mean, slope, shift, NULL);
    }
  }
}

/* The sums of an item's pieces, added to those of the first. */
static double *item_sums(const GroupNorm *g, int64_t item) {
  int64_t n = 2 * g->c.channels;
  double *sums = g->sums + item * g->c.chunks * n;
  for (int64_t p = 1; p < g->c.chunks; p++)
    for (int64_t k = 0; k < n; k++) sums[k] += sums[p * n + k];
  return sums;
}

/* Moments of which the usual way overflows, as moments_plain. */
static Moments group_moments_plain(const GroupNorm *g, int64_t item, int64_t first, int64_t each) {
  int64_t n = g->c.channels;
  double share = 1 / (double)(g->c.rows * each);
  const real *x = g->x + item * g->c.rows * n + first;
  Moments m = {0};
  for (int64_t i = 0; i < g->c.rows; i++)
    for (int64_t k = 0; k < each; k++) m.mean += (double)x[i * n + k] * share;
  for (int64_t i = 0; i < g->c.rows; i++)
    for (int64_t k = 0; k < each; k++) {
      double d = (double)x[i * n + k] - m.mean;
      m.variance += d * d * share;
    }
  return m;
}

/* The statistics of items, from sums about Group.mean; g->far where they are to be made once more,
 * about the means that this gives. */
static void item_statistics(void *context, int64_t begin, int64_t end, int thread) {
  GroupNorm *g = context;
  int64_t n = g->c.channels, each = n / g->groups;
  double share = 1 / (double)(g->c.rows * each);
  (void)thread;
  for (int64_t item = begin; item < end; item++) {
    const double *sums = item_sums(g, item);
    for (int64_t k = 0; k < g->groups; k++) {
      Group *own = &g->group[item * g->groups + k];
      double sum = 0, squares = 0;
      for (int64_t i = k * each; i < (k + 1) * each; i++) {
        sum += sums[i];
        squares += sums[n + i];
      }
      Moments m = moments_of(own->mean, sum, squares, share);
      if (sum * share * sum > 0.75 * squares) __atomic_store_n(&g->far, true, __ATOMIC_RELAXED);
      if (!isfinite(m.variance)) m = group_moments_plain(g, item, k * each, each);
      own->mean = (real)m.mean;
      own->rest = (real)(m.mean - (double)own->mean);
      own->inverse = inverse_spread(m.variance, g->eps);
    }
  }
}

/* What the gradients of items' groups are made of; dy's sums become those of the weight. */
static void item_gradients(void *context, int64_t begin, int64_t end, int thread) {
  GroupNorm *g = context;
  int64_t n = g->c.channels, each = n / g->groups;
  double share = 1 / (double)(g->c.rows * each);
  (void)thread;
  for (int64_t item = begin; item < end; item++) {
    double *sums = item_sums(g, item);
    for (int64_t k = 0; k < g->groups; k++) {
      Group *own = &g->group[item * g->groups + k];
      double r = (double)own->inverse, sum = 0, product = 0;
      for (int64_t i = k * each; i < (k + 1) * each; i++) {
        double w = g->weight ? (double)g->weight[i] : 1;
        sums[n + i] = (sums[n + i] - (double)own->rest * sums[i]) * r;
        sum += w * sums[i];
        product += w * sums[n + i];
      }
      double slope = -r * r * product * share;
      own->slope = (real)slope;
      own->shift = (real)(-r * sum * share - (double)own->rest * slope);
    }
  }
}

/* Memory for the sums, and that of the threads. */
static Tensor *group_space(GroupNorm *g, const Tensor *x, Error *e) {
  int64_t n = x->shape.size[x->shape.dims - 1], items = x->shape.size[0], places = 1;
  for (int d = 1; d < x->shape.dims - 1; d++) places *= x->shape.size[d];
  g->c = channels_of(places, n);
  g->items = items;
  g->x = reals(x);
  Tensor *space = channels_space(items * g->c.chunks * 2 * n, e);
  if (!space) return NULL;
  if (!parallel_reserve(4 * g->c.vectors * (int64_t)sizeof(Vec))) {
    tensor_release(space);
    error_set(e, "out of memory");
    return NULL;
  }
  g->sums = space->data;
  return space;
}

/* Pieces, or items by themselves, that make a chunk. */
static int64_t group_grain(int64_t elements) {
  return elements < CHANNEL_CHUNK ? CHANNEL_CHUNK / (elements + 1) + 1 : 1;
}

static void for_pieces(GroupNorm *g, ParallelBody *body) {
  int64_t rows = g->c.rows < g->c.chunk ? g->c.rows : g->c.chunk;
  int64_t n = g->items * g->c.chunks, grain = group_grain(rows * g->c.channels);
  parallel_for(n, grain, body, g);
}

static void for_items(GroupNorm *g, ParallelBody *body) {
  parallel_for(g->items, group_grain(2 * g->c.chunks * g->c.channels), body, g);
}

static bool group_norm_forward(Call *c, Tensor *y, Error *e) {
  GroupNorm g = {.groups = c->integer[0],
                 .eps = c->number[0],
                 .weight = c->in[1] ? reals(c->in[1]) : NULL,
                 .bias = c->in[2] ? reals(c->in[2]) : NULL,
                 .out = reals(y)};
  Tensor *space = group_space(&g, c->in[0], e);
  int64_t count = g.items * g.groups, each = g.c.channels / g.groups;
  bool ok = space && (c->extra[0] = vector_new(count * 5, e)) != NULL;
  if (ok && y->numel > 0) {
    g.group = c->extra[0]->data;
    for (int64_t i = 0; i < count; i++)
      g.group[i].mean = g.x[i / g.groups * g.c.rows * g.c.channels + i % g.groups * each];
    for (int pass = 0; pass < 2; pass++) {
      for_pieces(&g, group_sums);
      for_items(&g, item_statistics);
      if (!g.far) break;
    }
    for_pieces(&g, group_values);
  }
  tensor_release(space);
  return ok;
}

static bool group_norm_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                                Error *e) {
  (void)y;
  GroupNorm g = {.groups = c->integer[0],
                 .dy = reals(dy),
                 .weight = c->in[1] ? reals(c->in[1]) : NULL,
                 .group = c->extra[0]->data};
  Tensor *space = group_space(&g, c->in[0], e);
  if (!space) return false;
  if (dy->numel > 0) {
    for_pieces(&g, group_sums);
    for_items(&g, item_gradients);
    g.out = dx[0] ? reals(dx[0]) : NULL;
    if (dx[0]) for_pieces(&g, group_values);
  }
  int64_t n = g.c.channels;
  for (int64_t k = 0; k < n; k++) {
    double sum = 0, product = 0;
    for (int64_t i = 0; i < g.items && g.c.chunks > 0; i++) {
      const double *sums = g.sums + i * g.c.chunks * 2 * n;
      sum += sums[k];
      product += sums[n + k];
    }
    if (dx[1]) reals(dx[1])[k] = (real)product;
    if (dx[2]) reals(dx[2])[k] = (real)sum;
  }
  tensor_release(space);
  return true;
}

static const Op op_group_norm = {
    .name = "group_norm",
    .inputs = "x weight? bias?",
    .doc = "(x - mean) / sqrt(variance + eps) * weight + bias of [batch, ..., channels], with the "
           "mean and the biased variance of each item's groups of neighbouring channels, over all "
           "its places; weight and bias are [channels].",
    .save = SAVE_IN0 | SAVE_IN1,
    PARAMS({"groups", PARAM_INT, true, 0, NULL}, {"eps", PARAM_NUMBER, false, 1e-5, NULL}),
    .shape = group_norm_shape,
    .forward = group_norm_forward,
    .backward = group_norm_backward};

const Op *const ISA_NAME(ops_group_norm)[] = {&op_group_norm, NULL};
