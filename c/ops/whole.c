/* Floor 3: what ops do with whole numbers. Each row has the name, inputs and parameters of the row
 * for floating types that it stands beside, and no gradient. Sums and products that i64 cannot hold
 * wrap around, as in C's unsigned arithmetic. */
#include "ops/whole.h"

#include "base/dtype.h"
#include "ops/axis.h"
#include "ops/broadcast.h"
#include "ops/dispatch.h"

#include <math.h>
#include <string.h>

/* ---- element by element ---- */

typedef void WholeKernel(int64_t *y, const int64_t *const *in, const int64_t *step, int64_t n);

static bool each(Call *c, Tensor *y, WholeKernel *kernel) {
  const Shape *shape[BROADCAST_INPUTS];
  BroadcastPlan p;
  for (int i = 0; i < c->inputs; i++) shape[i] = &c->in[i]->shape;
  broadcast_plan(&p, &y->shape, shape, c->inputs);
  for (int64_t r = 0; r < p.rows && y->numel > 0; r++) {
    int64_t offset[BROADCAST_INPUTS], step[BROADCAST_INPUTS];
    const int64_t *in[BROADCAST_INPUTS];
    broadcast_offsets(&p, r, offset);
    for (int i = 0; i < c->inputs; i++) {
      in[i] = int64s(c->in[i]) + offset[i];
      step[i] = p.stride[i][p.dims - 1];
    }
    kernel(int64s(y) + r * p.row, in, step, p.row);
  }
  return true;
}

/* Signed overflow is undefined in C; unsigned is not. */
static int64_t sum_of(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static int64_t difference(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static int64_t product(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

/* A row of y = EXPRESSION of the elements a, b and d of the inputs that it has. */
#define EACH(NAME, INPUTS, EXPRESSION, ...)                                                        \
  static void NAME##_row(int64_t *y, const int64_t *const *in, const int64_t *step, int64_t n) {   \
    for (int64_t i = 0; i < n; i++) {                                                              \
      __VA_ARGS__                                                                                  \
      y[i] = (EXPRESSION);                                                                         \
    }                                                                                              \
  }                                                                                                \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    (void)e;                                                                                       \
    return each(c, y, NAME##_row);                                                                 \
  }                                                                                                \
  static const Op whole_##NAME = {.name = #NAME,                                                   \
                                  .inputs = INPUTS,                                                \
                                  .flags = OP_ELEMENTWISE | OP_BROADCAST,                          \
                                  .forward = NAME##_forward};

#define A int64_t a = in[0][step[0] * i];
#define B int64_t b = in[1][step[1] * i];
#define D int64_t d = in[2][step[2] * i];

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

static bool compare(Call *c, Tensor *y, int wanted) {
  const Shape *shape[] = {&c->in[0]->shape, &c->in[1]->shape};
  BroadcastPlan p;
  broadcast_plan(&p, &y->shape, shape, 2);
  uint8_t *to = bytes_of(y);
  for (int64_t r = 0; r < p.rows && y->numel > 0; r++) {
    int64_t at[BROADCAST_INPUTS];
    broadcast_offsets(&p, r, at);
    for (int64_t i = 0; i < p.row; i++) {
      int64_t a = at[0] + i * p.stride[0][p.dims - 1], b = at[1] + i * p.stride[1][p.dims - 1];
      *to++ = (order(c->in[0], a, c->in[1], b) & wanted) != 0;
    }
  }
  return true;
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

/* y gets the values, or their places counted from 1; the first of equals. */
static bool extremes(const Call *c, Tensor *y, bool largest, bool places) {
  AxisView v = axis_view(&c->in[0]->shape, c->integer[AXIS]);
  for (int64_t o = 0; o < v.outer; o++)
    for (int64_t i = 0; i < v.inner; i++) {
      const int64_t *x = int64s(c->in[0]) + o * v.n * v.inner + i;
      int64_t best = 0;
      for (int64_t k = 1; k < v.n; k++) {
        int64_t value = x[k * v.inner], most = x[best * v.inner];
        if (largest ? value > most : value < most) best = k;
      }
      int64s(y)[o * v.inner + i] = places ? best + 1 : x[best * v.inner];
    }
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

static bool running(const Call *c, Tensor *y, int64_t combine(int64_t, int64_t)) {
  AxisView v = axis_view(&y->shape, c->integer[AXIS]);
  const int64_t *x = int64s(c->in[0]);
  for (int64_t i = 0; i < y->numel; i++) {
    bool first = i / v.inner % v.n == 0;
    int64s(y)[i] = first ? x[i] : combine(int64s(y)[i - v.inner], x[i]);
  }
  return true;
}
static bool cumsum_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  return running(c, y, sum_of);
}
static bool cumprod_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  return running(c, y, product);
}

static bool prod_shape(const Call *c, Shape *out, Error *e) {
  if (!axis_check(&c->in[0]->shape, c->integer[AXIS], e)) return false;
  axis_reduce(&c->in[0]->shape, c->integer[AXIS], c->integer[KEEPDIM], out);
  return true;
}
static bool prod_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  AxisView v = axis_view(&c->in[0]->shape, c->integer[AXIS]);
  for (int64_t i = 0; i < y->numel; i++) {
    const int64_t *x = int64s(c->in[0]) + i / v.inner * v.n * v.inner + i % v.inner;
    int64_t all = 1;
    for (int64_t k = 0; k < v.n; k++) all = product(all, x[k * v.inner]);
    int64s(y)[i] = all;
  }
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
