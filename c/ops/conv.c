/* Floor 3: convolution and its transpose. Images are [batch, height, width, channels], weights
 * [height, width, in, out]. The two ops are adjoint: each is the other's gradient by its input, and
 * so both stand on the same three ways (c/simd): down from the big image to the small one, up
 * again, and to the gradient of the weight between them. In groups of channels, each by itself, the
 * weight of conv2d is [height, width, in / groups, out], that of its transpose [height, width, in,
 * out / groups]. */
#include "ops/families.h"
#include "ops/pairs.h"
#include "ops/winograd.h"

#include "simd/channels.h"
#include "simd/conv_depth.h"
#ifdef LATENT_DOUBLE
#include "simd/conv_plain.h"
#else
#include "simd/conv_gradient.h"
#endif

enum { LARGEST = 1 << 30 };

/* Places in Call.integer. */
enum { STRIDE = 0, PADDING = 2, DILATION = 4, GROUPS = 6 };
enum { OUTPUT_PADDING = 4, TRANSPOSED_DILATION = 6, TRANSPOSED_GROUPS = 8 }; /* conv_transpose2d */

static const char axis_name[2][7] = {"height", "width"};

/* Channels that fall into groups; `shared` is the axis of the weight that the groups share out. */
static bool check_groups(const Call *c, int64_t groups, int shared, Error *e) {
  int64_t in = c->in[0]->shape.size[3], of_weight = c->in[1]->shape.size[shared];
  if (groups > 0 && in % groups == 0 && of_weight % groups == 0) return true;
  return error_set(
      e, "groups: expected a divisor of %lld channels and of %lld of the weight, got %lld",
      (long long)in, (long long)of_weight, (long long)groups);
}

/* Ranks, groups, channels and bias; at least one pixel and one channel everywhere but in the batch.
 */
static bool check_inputs(const Call *c, int64_t groups, int shared, Error *e) {
  const Shape *x = &c->in[0]->shape, *w = &c->in[1]->shape;
  char text[SHAPE_TEXT];
  if (x->dims != 4)
    return error_set(e, "x: expected [batch, height, width, channels], got %s",
                     shape_text(x, text));
  if (w->dims != 4)
    return error_set(e, "weight: expected [height, width, in, out], got %s", shape_text(w, text));
  for (int d = 1; d < 4; d++)
    if (x->size[d] < 1 || x->size[d] > LARGEST)
      return error_set(e, "x: expected at least one row, column and channel, got %s",
                       shape_text(x, text));
  if (groups != 1 && !check_groups(c, groups, shared, e)) return false;
  int64_t in = shared == 3 ? x->size[3] / groups : x->size[3];
  if (w->size[2] != in)
    return error_set(e, "weight: expected [*, *, %lld, *] for an input of %lld channels%s, got %s",
                     (long long)in, (long long)x->size[3], groups > 1 ? " in groups" : "",
                     shape_text(w, text));
  for (int d = 0; d < 4; d++)
    if (w->size[d] < 1 || w->size[d] > LARGEST_PARAM)
      return error_set(e, "weight: expected sizes from 1 to %d, got %s", (int)LARGEST_PARAM,
                       shape_text(w, text));
  const Tensor *bias = c->inputs > 2 ? c->in[2] : NULL;
  int64_t out = shared == 3 ? w->size[3] : w->size[3] * groups;
  if (bias && (bias->shape.dims != 1 || bias->shape.size[0] != out))
    return error_set(e, "bias: expected [%lld], got %s", (long long)out,
                     shape_text(&bias->shape, text));
  return true;
}

/* Offsets inside one row of windows are 32 bits wide. */
static bool check_reach(const ConvGeometry *g, Error *e) {
  double rows = (double)(g->kernel[0] * g->dilation[0] + g->stride[0]);
  double width = (double)(conv_max(g->big[1], g->small[1]) + 2 * g->padding[1] +
                          g->kernel[1] * g->dilation[1] + g->stride[1]);
  double channels = (double)conv_max(g->big_channels, g->small_channels);
  if (rows * width * channels < 2147483648.0) return true;
  return error_set(e, "too large: a row of windows has 2^31 elements or more");
}

static void set_pairs(ConvGeometry *g, const Call *c, int dilation) {
  for (int d = 0; d < 2; d++) {
    g->kernel[d] = c->in[1]->shape.size[d];
    g->stride[d] = c->integer[STRIDE + d];
    g->padding[d] = c->integer[PADDING + d];
    g->dilation[d] = c->integer[dilation + d];
  }
}

static bool check_pairs(const Call *c, int dilation, Error *e) {
  return check_pair("stride", c->integer + STRIDE, 1, e) &&
         check_pair("padding", c->integer + PADDING, 0, e) &&
         check_pair("dilation", c->integer + dilation, 1, e);
}

static Shape image_shape(int64_t batch, const int64_t size[2], int64_t channels) {
  return (Shape){4, {batch, size[0], size[1], channels}};
}

typedef enum { BIG, SMALL, WEIGHT } ConvArray;

/* One of the three arrays is made of the others, and of a bias or NULL. */
typedef struct Task {
  ConvArray made;
  real *array[3];
  const real *bias;
} Task;

static bool make_ready(const ConvGeometry *g, const Task *t, bool directly, ConvStages *s,
                       Error *e) {
  bool up = t->made == BIG, taken = false;
  real *big = t->array[BIG], *small = t->array[SMALL], *w = t->array[WEIGHT];
  real *source = up ? small : big, *result = t->array[t->made];
  *s = (ConvStages){0};
  if (t->made == WEIGHT) {
    if (!directly && !ISA_NAME(winograd_weight_gradient)(g, big, small, w, s, &taken, e))
      return false;
    return taken || conv_weight_gradient(g, big, small, w, s, e);
  }
  if (!directly && !ISA_NAME(winograd_correlate)(g, up, source, w, t->bias, result, s, &taken, e))
    return false;
  return taken || conv_correlate(g, up, source, w, t->bias, result, s, e);
}

static bool run_directly(const ConvGeometry *g, const Task *t, Error *e) {
  ConvStages s;
  if (!make_ready(g, t, true, &s, e)) return false;
  conv_run(&s, 1, NULL);
  tensor_release(s.space);
  return true;
}

/* One task or two, and what else is to be done. By Winograd's tiles where they pay: their sums mix
 * neighbouring pixels, so that one infinity or overflow spoils a whole tile; then all is computed
 * again, directly. */
static bool run(const ConvGeometry *g, const Task *tasks, int count, const ParallelRange *beside,
                Error *e) {
  ConvStages stages[2];
  int ready = 0;
  while (ready < count && make_ready(g, &tasks[ready], false, &stages[ready], e)) ready++;
  bool ok = ready == count;
  if (ok) conv_run(stages, count, beside);
  for (int i = 0; i < ready; i++) {
    bool broken = ok && stages[i].broken && *stages[i].broken;
    tensor_release(stages[i].space);
    if (broken) ok = run_directly(g, &tasks[i], e);
  }
  return ok;
}

/* ---- groups: each has images and a weight of its own, copied out of the whole ones ---- */

/* An array of `rows` rows, in each of which the groups have `part` elements side by side; in `own`
 * each group has its rows together. */
typedef struct Grouped {
  int64_t rows, part, groups;
  real *whole, *own;
  bool back; /* from own to whole */
} Grouped;

static void copy_groups(void *context, int64_t begin, int64_t end, int thread) {
  const Grouped *a = context;
  int64_t n = a->part; /* often too few for memcpy to pay */
  (void)thread;
  for (int64_t k = 0; k < a->groups; k++)
    for (int64_t i = begin; i < end; i++) {
      real *restrict whole = a->whole + (i * a->groups + k) * n;
      real *restrict own = a->own + (k * a->rows + i) * n;
      if (a->back)
        for (int64_t j = 0; j < n; j++) whole[j] = own[j];
      else
        for (int64_t j = 0; j < n; j++) own[j] = whole[j];
    }
}

static void regroup(Grouped *a, bool back) {
  enum { CHUNK = 1 << 14 };
  int64_t grain = conv_max(CHUNK / (a->groups * a->part), 1);
  a->back = back;
  parallel_for(a->rows, parallel_whole(a->rows, grain), copy_groups, a);
}

static bool in_groups(const ConvGeometry *whole, const Task *t, Error *e) {
  ConvGeometry g = *whole;
  int64_t n = g.groups, taps = g.kernel[0] * g.kernel[1];
  g.groups = 1;
  g.big_channels /= n;
  g.small_channels /= n;
  bool rows = g.weight_small == 1; /* of conv2d: a weight's row has all outputs */
  g.weight_big = rows ? g.small_channels : 1;
  g.weight_small = rows ? 1 : g.big_channels;
  Grouped a[] = {
      {g.batch * g.big[0] * g.big[1], g.big_channels, n, t->array[BIG], NULL, false},
      {g.batch * g.small[0] * g.small[1], g.small_channels, n, t->array[SMALL], NULL, false},
      {rows ? taps * g.big_channels : taps,
       rows ? g.small_channels : g.big_channels * g.small_channels, n, t->array[WEIGHT], NULL,
       false}};
  int64_t size[3], used = 0;
  for (int k = 0; k < 3; k++) {
    size[k] = a[k].rows * a[k].part;
    workspace_take(NULL, &used, size[k] * n * (int64_t)sizeof(real));
  }
  Tensor *space = workspace_new(used, e);
  if (!space) return false;
  used = 0;
  for (int k = 0; k < 3; k++) {
    a[k].own = workspace_take(space->data, &used, size[k] * n * (int64_t)sizeof(real));
    if (k != (int)t->made) regroup(&a[k], false);
  }
  bool done = true;
  for (int64_t k = 0; k < n && done; k++) {
    Task own = {.made = t->made};
    for (int i = 0; i < 3; i++) own.array[i] = a[i].own + k * size[i];
    if (t->bias) own.bias = t->bias + k * (t->made == BIG ? g.big_channels : g.small_channels);
    done = run(&g, &own, 1, NULL, e);
  }
  if (done) regroup(&a[t->made], true);
  tensor_release(space);
  return done;
}

/* Is each channel a group? */
static bool is_depthwise(const ConvGeometry *g) {
  return g->groups > 1 && g->groups == g->big_channels && g->groups == g->small_channels &&
         depth_takes(g->groups);
}

static bool run_grouped(const ConvGeometry *g, const Task *t, Error *e) {
  if (!is_depthwise(g)) return in_groups(g, t, e);
  real *big = t->array[BIG], *small = t->array[SMALL], *w = t->array[WEIGHT];
  if (t->made == WEIGHT) return depth_weight_gradient(g, big, small, w, e);
  bool up = t->made == BIG;
  depth_correlate(g, up, up ? small : big, w, t->bias, t->array[t->made]);
  return true;
}

static bool run_all(const ConvGeometry *g, const Task *tasks, int count,
                    const ParallelRange *beside, Error *e) {
  if (g->groups == 1) return run(g, tasks, count, beside, e);
  bool ok = true;
  for (int i = 0; i < count && ok; i++) ok = run_grouped(g, &tasks[i], e);
  if (ok) conv_run(NULL, 0, beside);
  return ok;
}

/* ---- both ops ---- */

/* Both gradients, those that are wanted, and that of the bias: sums over the batch and the pixels.
 */
static bool gradients(const ConvGeometry *g, Task to_x, Task to_w, const Tensor *dy,
                      Tensor *const *dx, Tensor *db, Error *e) {
  Task tasks[2];
  int count = 0;
  to_x.array[to_x.made] = dx[0] ? reals(dx[0]) : NULL;
  to_w.array[to_w.made] = dx[1] ? reals(dx[1]) : NULL;
  if (dx[0]) tasks[count++] = to_x;
  if (dx[1]) tasks[count++] = to_w;
  if (!db) return run_all(g, tasks, count, NULL, e);
  ChannelSum sum;
  if (!channel_sum_begin(&sum, reals(dy), dy->numel / db->numel, db->numel, e)) return false;
  ParallelRange beside = channel_sum_range(&sum);
  bool ok = run_all(g, tasks, count, &beside, e);
  if (ok) channels_total(&sum.c, sum.partial, reals(db));
  tensor_release(sum.space);
  return ok;
}

static const real *bias_of(const Call *c) {
  return c->inputs > 2 && c->in[2] ? reals(c->in[2]) : NULL;
}

static Tensor *bias_wanted(const Call *c, Tensor *const *dx) {
  return c->inputs > 2 ? dx[2] : NULL;
}

/* conv2d, S stride, P padding, D dilation:
 *   y[n, i, j, o] = b[o] + sum over u, v, c of x[n, i S - P + u D, j S - P + v D, c] w[u, v, c, o]
 *   dx: the transposed convolution of dy
 *   dw[u, v, c, o] = sum over n, i, j of x[...] dy[n, i, j, o]
 *   db[o] = sum over n, i, j of dy[n, i, j, o] */

static ConvGeometry conv2d_geometry(const Call *c) {
  const int64_t *x = c->in[0]->shape.size, *w = c->in[1]->shape.size;
  ConvGeometry g = {.batch = x[0],
                    .groups = c->integer[GROUPS],
                    .big_channels = x[3],
                    .small_channels = w[3],
                    .big = {x[1], x[2]},
                    .weight_big = w[3],
                    .weight_small = 1};
  set_pairs(&g, c, 4);
  for (int d = 0; d < 2; d++) {
    int64_t free = g.big[d] + 2 * g.padding[d] - (g.kernel[d] - 1) * g.dilation[d] - 1;
    g.small[d] = free < 0 ? 0 : free / g.stride[d] + 1;
  }
  return g;
}

static bool conv2d_shape(const Call *c, Shape *out, Error *e) {
  if (!check_inputs(c, c->integer[GROUPS], 3, e) || !check_pairs(c, DILATION, e)) return false;
  ConvGeometry g = conv2d_geometry(c);
  for (int d = 0; d < 2; d++)
    if (g.small[d] < 1)
      return error_set(e,
                       "weight: a kernel of %s %lld (dilation %lld) does not fit an input of %s "
                       "%lld (padding %lld)",
                       axis_name[d], (long long)g.kernel[d], (long long)g.dilation[d], axis_name[d],
                       (long long)g.big[d], (long long)g.padding[d]);
  *out = image_shape(g.batch, g.small, g.small_channels);
  return check_reach(&g, e);
}

static bool conv2d_forward(Call *c, Tensor *y, Error *e) {
  ConvGeometry g = conv2d_geometry(c);
  Task t = {SMALL, {reals(c->in[0]), reals(y), reals(c->in[1])}, bias_of(c)};
  return run_all(&g, &t, 1, NULL, e);
}

static bool conv2d_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                            Error *e) {
  (void)y;
  ConvGeometry g = conv2d_geometry(c);
  Task to_x = {BIG, {[SMALL] = reals(dy), [WEIGHT] = reals(c->in[1])}, NULL};
  Task to_w = {WEIGHT, {[BIG] = reals(c->in[0]), [SMALL] = reals(dy)}, NULL};
  return gradients(&g, to_x, to_w, dy, dx, bias_wanted(c, dx), e);
}

static const Op op_conv2d = {
    .name = "conv2d",
    .inputs = "x weight bias?",
    .doc =
        "Convolution of images [batch, height, width, in] with a weight [height, width, in, out]; "
        "the kernel is not flipped. A size becomes (size + 2 padding - dilation (kernel - 1) - 1)"
        " / stride + 1, rounded down. In groups of channels, each by itself, the weight is "
        "[height, "
        "width, in / groups, out].",
    .save = SAVE_IN0 | SAVE_IN1,
    PARAMS({"stride", PARAM_PAIR, false, 1, NULL}, {"padding", PARAM_PAIR, false, 0, NULL},
           {"dilation", PARAM_PAIR, false, 1, NULL}, {"groups", PARAM_INT, false, 1, NULL}),
    .shape = conv2d_shape,
    .forward = conv2d_forward,
    .backward = conv2d_backward};

const Op *const ISA_NAME(ops_conv)[] = {&op_conv2d, NULL};

/* conv_transpose2d, the adjoint of conv2d in x:
 *   y[n, i S - P + u D, j S - P + v D, o] += x[n, i, j, c] w[u, v, c, o],   y = b[o] to begin with
 *   dx: the convolution of dy   dw[u, v, c, o] = sum over n, i, j of x[n, i, j, c] dy[...]
 *   db[o] = sum over n, i, j of dy[n, i, j, o] */

static ConvGeometry conv_transpose2d_geometry(const Call *c) {
  const int64_t *x = c->in[0]->shape.size, *w = c->in[1]->shape.size;
  int64_t groups = c->integer[TRANSPOSED_GROUPS];
  ConvGeometry g = {.batch = x[0],
                    .groups = groups,
                    .big_channels = w[3] * groups,
                    .small_channels = w[2],
                    .small = {x[1], x[2]},
                    .weight_big = 1,
                    .weight_small = w[3]};
  set_pairs(&g, c, 6);
  for (int d = 0; d < 2; d++)
    g.big[d] = (g.small[d] - 1) * g.stride[d] - 2 * g.padding[d] +
               (g.kernel[d] - 1) * g.dilation[d] + c->integer[OUTPUT_PADDING + d] + 1;
  return g;
}

static bool conv_transpose2d_shape(const Call *c, Shape *out, Error *e) {
  const int64_t *more = c->integer + OUTPUT_PADDING;
  if (!check_inputs(c, c->integer[TRANSPOSED_GROUPS], 2, e) ||
      !check_pairs(c, TRANSPOSED_DILATION, e))
    return false;
  if (!check_pair("output_padding", more, 0, e)) return false;
  ConvGeometry g = conv_transpose2d_geometry(c);
  for (int d = 0; d < 2; d++) {
    if (more[d] >= g.stride[d] && more[d] >= g.dilation[d])
      return error_set(e,
                       "output_padding: expected less than the stride or the dilation, got "
                       "{%lld, %lld} with stride {%lld, %lld}",
                       (long long)more[0], (long long)more[1], (long long)g.stride[0],
                       (long long)g.stride[1]);
    if (g.big[d] < 1 || g.big[d] > LARGEST)
      return error_set(e, "padding: {%lld, %lld} leaves an output of %s %lld",
                       (long long)g.padding[0], (long long)g.padding[1], axis_name[d],
                       (long long)g.big[d]);
  }
  *out = image_shape(g.batch, g.big, g.big_channels);
  return check_reach(&g, e);
}

static bool conv_transpose2d_forward(Call *c, Tensor *y, Error *e) {
  ConvGeometry g = conv_transpose2d_geometry(c);
  Task t = {BIG, {reals(y), reals(c->in[0]), reals(c->in[1])}, bias_of(c)};
  return run_all(&g, &t, 1, NULL, e);
}

static bool conv_transpose2d_backward(const Call *c, const Tensor *y, const Tensor *dy,
                                      Tensor *const *dx, Error *e) {
  (void)y;
  ConvGeometry g = conv_transpose2d_geometry(c);
  Task to_x = {SMALL, {[BIG] = reals(dy), [WEIGHT] = reals(c->in[1])}, NULL};
  Task to_w = {WEIGHT, {[BIG] = reals(dy), [SMALL] = reals(c->in[0])}, NULL};
  return gradients(&g, to_x, to_w, dy, dx, bias_wanted(c, dx), e);
}

static const Op op_conv_transpose2d = {
    .name = "conv_transpose2d",
    .inputs = "x weight bias?",
    .doc =
        "Transposed convolution, the adjoint of conv2d, of images [batch, height, width, in] with "
        "a weight [height, width, in, out]. A size becomes (size - 1) stride - 2 padding + "
        "dilation "
        "(kernel - 1) + output_padding + 1. In groups of channels the weight is [height, width, "
        "in, "
        "out / groups].",
    .save = SAVE_IN0 | SAVE_IN1,
    PARAMS({"stride", PARAM_PAIR, false, 1, NULL}, {"padding", PARAM_PAIR, false, 0, NULL},
           {"output_padding", PARAM_PAIR, false, 0, NULL}, {"dilation", PARAM_PAIR, false, 1, NULL},
           {"groups", PARAM_INT, false, 1, NULL}),
    .shape = conv_transpose2d_shape,
    .forward = conv_transpose2d_forward,
    .backward = conv_transpose2d_backward};

const Op *const ISA_NAME(ops_conv_transpose)[] = {&op_conv_transpose2d, NULL};
