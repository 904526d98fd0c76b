/* Floor 3: what ops do with whole numbers. Each row has the name, inputs and parameters of the row
 * for floating types that it stands beside, and no gradient. Sums and products that i64 cannot hold
 * wrap around, as in C's unsigned arithmetic. */
#include "ops/whole.h"

#include "base/dtype.h"
#include "base/parallel.h"
#include "ops/axis.h"
#include "ops/broadcast.h"
#include "ops/dispatch.h"

#include <math.h>
#include <string.h>

/* ---- element by element ---- */

/* A walk over the elements of y and those of the inputs that belong to them. */
typedef struct Walk Walk;
/* n of them from element `at` of y on; of each input where they begin, and the step, 0 or 1. */
typedef void WalkRow(const Walk *w, int64_t at, const int64_t *begin, const int64_t *step,
                     int64_t n);
typedef void WholeKernel(int64_t *y, const int64_t *const *in, const int64_t *step, int64_t n);

struct Walk {
  const Call *c;
  Tensor *y;
  WalkRow *row;
  WholeKernel *kernel; /* of each_row */
  int wanted;          /* of compare_row */
  BroadcastPlan plan;
};

/* Items: elements of y. */
static void walk_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Walk *w = context;
  const BroadcastPlan *p = &w->plan;
  (void)thread;
  for (int64_t n; begin < end; begin += n) {
    int64_t at[BROADCAST_INPUTS], step[BROADCAST_INPUTS] = {1, 1, 1};
    int64_t row = begin > 0 ? begin / p->row : 0, k = begin - row * p->row;
    broadcast_offsets(p, row, at);
    for (int i = 0; i < w->c->inputs; i++) {
      step[i] = p->stride[i][p->dims - 1];
      at[i] += k * step[i];
    }
    n = p->row - k < end - begin ? p->row - k : end - begin;
    w->row(w, begin, at, step, n);
  }
}

static bool walk(Walk *w) {
  enum { GRAIN = 1 << 14 };
  const Shape *shape[BROADCAST_INPUTS];
  for (int i = 0; i < w->c->inputs; i++) shape[i] = &w->c->in[i]->shape;
  broadcast_plan(&w->plan, &w->y->shape, shape, w->c->inputs);
  if (w->y->numel > GRAIN) parallel_for(w->y->numel, GRAIN, walk_chunk, w);
  else walk_chunk(w, 0, w->y->numel, 0);
  return true;
}

static void each_row(const Walk *w, int64_t at, const int64_t *begin, const int64_t *step,
                     int64_t n) {
  const int64_t *in[BROADCAST_INPUTS];
  for (int i = 0; i < w->c->inputs; i++) in[i] = int64s(w->c->in[i]) + begin[i];
  w->kernel(int64s(w->y) + at, in, step, n);
}

static bool each(Call *c, Tensor *y, WholeKernel *kernel) {
  return walk(&(Walk){.c = c, .y = y, .row = each_row, .kernel = kernel});
}

/* Signed overflow is undefined in C; unsigned is not. */
static int64_t sum_of(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static int64_t difference(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static int64_t product(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

/* A row of y = EXPRESSION of the elements a, b and d of the inputs that it has; where all of them
 * go on by steps of 1, a loop of vectors. */
#define EACH(NAME, INPUTS, EXPRESSION, ...)                                                        \
  static inline void NAME##_steps(int64_t *y, const int64_t *const *in, const int64_t step_a,      \
                                  const int64_t step_b, const int64_t step_d, int64_t n) {         \
    (void)step_a, (void)step_b, (void)step_d;                                                      \
    for (int64_t i = 0; i < n; i++) {                                                              \
      __VA_ARGS__                                                                                  \
      y[i] = (EXPRESSION);                                                                         \
    }                                                                                              \
  }                                                                                                \
  static void NAME##_row(int64_t *y, const int64_t *const *in, const int64_t *step, int64_t n) {   \
    if (step[0] == 1 && step[1] == 1 && step[2] == 1) NAME##_steps(y, in, 1, 1, 1, n);             \
    else NAME##_steps(y, in, step[0], step[1], step[2], n);                                        \
  }                                                                                                \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    (void)e;                                                                                       \
    return each(c, y, NAME##_row);                                                                 \
  }                                                                                                \
  static const Op whole_##NAME = {.name = #NAME,                                                   \
                                  .inputs = INPUTS,                                                \
                                  .flags = OP_ELEMENTWISE | OP_BROADCAST,                          \
                                  .forward = NAME##_forward};

#define A int64_t a = in[0][step_a * i];
#define B int64_t b = in[1][step_b * i];
#define D int64_t d = in[2][step_d * i];

EACH(add, "a b", sum_of(a, b), A B)
EACH(sub, "a b", difference(a, b), A B)
EACH(mul, "a b", product(a, b), A B)
EACH(maximum, "a b", a > b ? a : b, A B)
EACH(minimum, "a b", a < b ? a : b, A B)
EACH(where, "condition a b", a != 0 ? b : d, A B D)
EACH(neg, "x", difference(0, a), A)
EACH(abs, "x", a < 0 ? difference(0, a) : a, A)

/* ---- division: parameter rounding_mode ---- */

/* A quotient rounded down or to 0, or what it leaves. */
typedef int64_t Divide(int64_t a, int64_t b);

/* b is not 0; by -1 the least number has no quotient but itself, as its negative. */
static int64_t trunc_div(int64_t a, int64_t b) { return b == -1 ? difference(0, a) : a / b; }
static int64_t fmod_of(int64_t a, int64_t b) { return b == -1 ? 0 : a % b; }
static int64_t floor_div(int64_t a, int64_t b) {
  int64_t rest = fmod_of(a, b);
  return trunc_div(a, b) - (rest != 0 && (rest < 0) != (b < 0));
}
static int64_t remainder_of(int64_t a, int64_t b) {
  int64_t rest = fmod_of(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/* Without `divide` the quotient is that of doubles. */
static bool divide_all(const Call *c, Tensor *y, Divide *divide, Error *e) {
  const Shape *shape[] = {&c->in[0]->shape, &c->in[1]->shape};
  BroadcastPlan p;
  broadcast_plan(&p, &y->shape, shape, 2);
  for (int64_t r = 0, k = 0; r < p.rows && y->numel > 0; r++) {
    int64_t at[BROADCAST_INPUTS];
    broadcast_offsets(&p, r, at);
    for (int64_t i = 0; i < p.row; i++, k++) {
      int64_t a = int64s(c->in[0])[at[0] + i * p.stride[0][p.dims - 1]];
      int64_t b = int64s(c->in[1])[at[1] + i * p.stride[1][p.dims - 1]];
      if (divide && b == 0)
        return error_set(e, "b: 0 at position %lld, which whole numbers cannot be divided by",
                         (long long)k + 1);
      if (divide) int64s(y)[k] = divide(a, b);
      else tensor_put(y, k, number_real((double)a / (double)b));
    }
  }
  return true;
}

enum { ROUND_NONE, ROUND_FLOOR, ROUND_TRUNC };

static Dtype quotient_dtype(const Call *c) {
  return c->integer[0] == ROUND_NONE ? dtype_default() : DTYPE_I64;
}
static bool div_forward(Call *c, Tensor *y, Error *e) {
  static Divide *const divide[] = {NULL, floor_div, trunc_div};
  return divide_all(c, y, divide[c->integer[0]], e);
}
static bool remainder_forward(Call *c, Tensor *y, Error *e) {
  return divide_all(c, y, remainder_of, e);
}
static bool fmod_forward(Call *c, Tensor *y, Error *e) { return divide_all(c, y, fmod_of, e); }

static const Op whole_div = {
    .name = "div",
    .inputs = "a b",
    .flags = OP_ELEMENTWISE | OP_BROADCAST,
    PARAMS({"rounding_mode", PARAM_CHOICE, false, ROUND_NONE, "none floor trunc"}),
    .dtype = quotient_dtype,
    .forward = div_forward};
static const Op whole_remainder = {.name = "remainder",
                                   .inputs = "a b",
                                   .flags = OP_ELEMENTWISE | OP_BROADCAST,
                                   .forward = remainder_forward};
static const Op whole_fmod = {.name = "fmod",
                              .inputs = "a b",
                              .flags = OP_ELEMENTWISE | OP_BROADCAST,
                              .forward = fmod_forward};

/* ---- comparisons, also of whole numbers with floating ones, exact ---- */

enum { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8 };

static int order_of(int64_t a, int64_t b) { return a < b ? LESS : a > b ? GREATER : EQUAL; }

/* The order of a whole number and a double, neither rounded to the other's type. */
static int order_with(int64_t a, double b) {
  if (isnan(b)) return UNORDERED;
  if (b >= (double)INT64_MAX) return LESS;
  if (b < (double)INT64_MIN) return GREATER;
  int64_t whole = (int64_t)b;
  double fraction = b - (double)whole;
  if (a != whole) return order_of(a, whole);
  return fraction > 0 ? LESS : fraction < 0 ? GREATER : EQUAL;
}

static int64_t whole_at(const Tensor *t, int64_t i) {
  return t->dtype == DTYPE_U8 ? bytes_of(t)[i] : int64s(t)[i];
}

/* One of the two is of a whole type. */
static int order(const Tensor *a, int64_t i, const Tensor *b, int64_t k) {
  if (dtype_is_floating(b->dtype)) return order_with(whole_at(a, i), value_at(b, k));
  if (!dtype_is_floating(a->dtype)) return order_of(whole_at(a, i), whole_at(b, k));
  int turned = order_with(whole_at(b, k), value_at(a, i));
  return turned == LESS ? GREATER : turned == GREATER ? LESS : turned;
}

static inline void compare_steps(uint8_t *restrict y, const int64_t *a, const int64_t a_step,
                                 const int64_t *b, const int64_t b_step, int64_t n, int wanted) {
  for (int64_t i = 0; i < n; i++) {
    int64_t u = a[i * a_step], v = b[i * b_step];
    y[i] = (((u < v) * LESS | (u == v) * EQUAL | (u > v) * GREATER) & wanted) != 0;
  }
}

/* The usual steps become loops of vectors. */
static void compare_whole(uint8_t *y, const int64_t *a, int64_t a_step, const int64_t *b,
                          int64_t b_step, int64_t n, int wanted) {
  if (a_step == 1 && b_step == 1) compare_steps(y, a, 1, b, 1, n, wanted);
  else if (a_step == 1) compare_steps(y, a, 1, b, 0, n, wanted);
  else compare_steps(y, a, 0, b, b_step, n, wanted);
}

static void compare_row(const Walk *w, int64_t at, const int64_t *begin, const int64_t *step,
                        int64_t n) {
  const Tensor *a = w->c->in[0], *b = w->c->in[1];
  uint8_t *to = bytes_of(w->y) + at;
  if (a->dtype == DTYPE_I64 && b->dtype == DTYPE_I64) {
    compare_whole(to, int64s(a) + begin[0], step[0], int64s(b) + begin[1], step[1], n, w->wanted);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    int found = order(a, begin[0] + i * step[0], b, begin[1] + i * step[1]);
    to[i] = (found & w->wanted) != 0;
  }
}

static bool compare(Call *c, Tensor *y, int wanted) {
  return walk(&(Walk){.c = c, .y = y, .row = compare_row, .wanted = wanted});
}

static Dtype truth(const Call *c) {
  (void)c;
  return DTYPE_U8;
}

#define COMPARISON(NAME, WANTED)                                                                   \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    (void)e;                                                                                       \
    return compare(c, y, WANTED);                                                                  \
  }                                                                                                \
  static const Op whole_##NAME = {                                                                 \
      .name = #NAME, .inputs = "a b", .flags = OP_ANY, .dtype = truth, .forward = NAME##_forward};

COMPARISON(eq, EQUAL)
COMPARISON(ne, LESS | GREATER | UNORDERED)
COMPARISON(lt, LESS)
COMPARISON(le, LESS | EQUAL)
COMPARISON(gt, GREATER)
COMPARISON(ge, GREATER | EQUAL)

/* ---- sums: parameters axis (one or several), keepdim ---- */

enum { SUM_KEEPDIM = 1 + MAX_DIMS };

static bool sum_shape(const Call *c, Shape *out, Error *e) {
  return axes_shape(c, c->integer[SUM_KEEPDIM], out, e);
}

static bool sum_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  const Tensor *x = c->in[0];
  Shape kept = axes_kept(c);
  const Shape *shape[] = {&kept};
  BroadcastPlan p;
  broadcast_plan(&p, &x->shape, shape, 1);
  tensor_fill(y, number_whole(0));
  const int64_t *from = int64s(x);
  for (int64_t r = 0; r < p.rows && x->numel > 0; r++, from += p.row) {
    int64_t offset[BROADCAST_INPUTS], step = p.stride[0][p.dims - 1];
    broadcast_offsets(&p, r, offset);
    int64_t *to = int64s(y) + offset[0];
    for (int64_t i = 0; i < p.row; i++) to[i * step] = sum_of(to[i * step], from[i]);
  }
  return true;
}

static const Op whole_sum = {
    .name = "sum",
    .inputs = "x",
    PARAMS({"axis", PARAM_AXES, false, 0, NULL}, {"keepdim", PARAM_BOOL, false, 0, NULL}),
    .shape = sum_shape,
    .forward = sum_forward};

/* ---- extremes: parameters axis, keepdim ---- */

enum { AXIS, KEEPDIM };

/* Lines along an axis, each worked on by itself. */
typedef struct Lines {
  AxisView v;
  const int64_t *x;
  int64_t *y;
  bool largest, places;
} Lines;

static void each_line(const Lines *l, ParallelBody *body) {
  enum { GRAIN = 1 << 14 }; /* elements */
  parallel_for(l->v.outer * l->v.inner, GRAIN / (l->v.n + 1) + 1, body, (void *)l);
}
static int64_t line_start(const Lines *l, int64_t line) {
  return line / l->v.inner * l->v.n * l->v.inner + line % l->v.inner;
}

static void extreme_lines(void *context, int64_t begin, int64_t end, int thread) {
  const Lines *l = context;
  (void)thread;
  for (int64_t line = begin; line < end; line++) {
    const int64_t *x = l->x + line_start(l, line);
    int64_t best = 0, step = l->v.inner;
    for (int64_t k = 1; k < l->v.n; k++) {
      int64_t value = x[k * step], most = x[best * step];
      if (l->largest ? value > most : value < most) best = k;
    }
    l->y[line] = l->places ? best + 1 : x[best * step];
  }
}

/* y gets the values, or their places counted from 1; the first of equals. */
static bool extremes(const Call *c, Tensor *y, bool largest, bool places) {
  each_line(&(Lines){axis_view(&c->in[0]->shape, c->integer[AXIS]), int64s(c->in[0]), int64s(y),
                     largest, places},
            extreme_lines);
  return true;
}

#define EXTREME(NAME, LARGEST, PLACES)                                                             \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    (void)e;                                                                                       \
    return extremes(c, y, LARGEST, PLACES);                                                        \
  }                                                                                                \
  static const Op whole_##NAME = {                                                                 \
      .name = #NAME,                                                                               \
      .inputs = "x",                                                                               \
      PARAMS({"axis", PARAM_AXIS, false, 0, NULL}, {"keepdim", PARAM_BOOL, false, 0, NULL}),       \
      .shape = axis_extreme_shape,                                                                 \
      .forward = NAME##_forward};

EXTREME(max, true, false)
EXTREME(min, false, false)
EXTREME(argmax, true, true)
EXTREME(argmin, false, true)

/* ---- running sums and products, and products: parameters axis, keepdim ---- */

static bool running_shape(const Call *c, Shape *out, Error *e) {
  *out = c->in[0]->shape;
  return axis_check(out, c->integer[AXIS], e);
}

/* y_k = x_1 combined with the others up to x_k */
#define RUNNING(NAME, COMBINE)                                                                     \
  static void NAME##_lines(void *context, int64_t begin, int64_t end, int thread) {                \
    const Lines *l = context;                                                                      \
    (void)thread;                                                                                  \
    for (int64_t line = begin; line < end; line++) {                                               \
      int64_t at = line_start(l, line), carried = l->x[at], step = l->v.inner;                     \
      l->y[at] = carried;                                                                          \
      for (int64_t k = 1; k < l->v.n; k++)                                                         \
        l->y[at + k * step] = carried = COMBINE(carried, l->x[at + k * step]);                     \
    }                                                                                              \
  }                                                                                                \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    (void)e;                                                                                       \
    each_line(&(Lines){.v = axis_view(&y->shape, c->integer[AXIS]),                                \
                       .x = int64s(c->in[0]),                                                      \
                       .y = int64s(y)},                                                            \
              NAME##_lines);                                                                       \
    return true;                                                                                   \
  }
RUNNING(cumsum, sum_of)
RUNNING(cumprod, product)

static bool prod_shape(const Call *c, Shape *out, Error *e) {
  if (!axis_check(&c->in[0]->shape, c->integer[AXIS], e)) return false;
  axis_reduce(&c->in[0]->shape, c->integer[AXIS], c->integer[KEEPDIM], out);
  return true;
}
static void prod_lines(void *context, int64_t begin, int64_t end, int thread) {
  const Lines *l = context;
  (void)thread;
  for (int64_t line = begin; line < end; line++) {
    const int64_t *x = l->x + line_start(l, line);
    int64_t all = 1;
    for (int64_t k = 0; k < l->v.n; k++) all = product(all, x[k * l->v.inner]);
    l->y[line] = all;
  }
}
static bool prod_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  each_line(&(Lines){.v = axis_view(&c->in[0]->shape, c->integer[AXIS]),
                     .x = int64s(c->in[0]),
                     .y = int64s(y)},
            prod_lines);
  return true;
}

static const Op whole_cumsum = {.name = "cumsum",
                                .inputs = "x",
                                PARAMS({"axis", PARAM_AXIS, true, 0, NULL}),
                                .shape = running_shape,
                                .forward = cumsum_forward};
static const Op whole_cumprod = {.name = "cumprod",
                                 .inputs = "x",
                                 PARAMS({"axis", PARAM_AXIS, true, 0, NULL}),
                                 .shape = running_shape,
                                 .forward = cumprod_forward};
static const Op whole_prod = {
    .name = "prod",
    .inputs = "x",
    PARAMS({"axis", PARAM_AXIS, false, 0, NULL}, {"keepdim", PARAM_BOOL, false, 0, NULL}),
    .shape = prod_shape,
    .forward = prod_forward};

const Op *const ops_whole[] = {
    &whole_cumsum, &whole_cumprod, &whole_prod,      &whole_add,    &whole_sub,
    &whole_mul,    &whole_maximum, &whole_minimum,   &whole_where,  &whole_neg,
    &whole_abs,    &whole_div,     &whole_remainder, &whole_fmod,   &whole_eq,
    &whole_ne,     &whole_lt,      &whole_le,        &whole_gt,     &whole_ge,
    &whole_sum,    &whole_max,     &whole_min,       &whole_argmax, &whole_argmin,
    NULL};
