/* Floor 3: functions of two or three tensors with broadcasting, and comparisons.
 * Gradients come out in the output's shape; the graph sums them down to the inputs'. */
#include "ops/broadcast.h"
#include "simd/isa.h"
#include "base/parallel.h"
#include "simd/math.h"
#include "ops/families.h"

#include <string.h>

/* A row of y = EXPRESSION(a, b); a loop for each way in which a or b may stand still. Both never
 * do, for one of them is as long as y. */
#define BINARY_ROW(NAME, EXPRESSION)                                                               \
  static void NAME(real *y, const real *const *in, const int64_t *step, int64_t n) {               \
    const real *as = in[0], *bs = in[1];                                                           \
    if (step[0] && step[1]) {                                                                      \
      EACH_ALONE for (int64_t i = 0; i < n; i++) {                                                 \
        real a = as[i], b = bs[i];                                                                 \
        y[i] = (EXPRESSION);                                                                       \
      }                                                                                            \
    } else if (step[0]) {                                                                          \
      real b = *bs;                                                                                \
      EACH_ALONE for (int64_t i = 0; i < n; i++) {                                                 \
        real a = as[i];                                                                            \
        y[i] = (EXPRESSION);                                                                       \
      }                                                                                            \
    } else {                                                                                       \
      real a = *as;                                                                                \
      EACH_ALONE for (int64_t i = 0; i < n; i++) {                                                 \
        real b = bs[i];                                                                            \
        y[i] = (EXPRESSION);                                                                       \
      }                                                                                            \
    }                                                                                              \
  }

BINARY_ROW(add_row, a + b)
BINARY_ROW(sub_row, a - b)
BINARY_ROW(mul_row, a *b)
BINARY_ROW(div_row, a / b)
BINARY_ROW(negative_div_row, -a / b)
BINARY_ROW(negative_mul_row, -a *b)
BINARY_ROW(maximum_row, a != a || a > b ? a : b)
BINARY_ROW(minimum_row, a != a || a < b ? a : b)
/* the share of the gradient that goes to a: a tie is split in halves, beside NaN all goes to both
 */
BINARY_ROW(greater_share_row, a == b ? (real)0.5 : a < b ? 0 : 1)
/* the quotient rounded down, and to 0: the remainder goes first, so that the division is exact */
static inline real floor_quotient(real a, real b) {
  real r = real_fmod(a, b), q = real_round((a - r) / b);
  if (r != 0 && (r < 0) != (b < 0)) q -= 1;
  return b == 0 ? a / b : q == 0 ? real_copysign(0, a / b) : q;
}
/* what it leaves: of b's sign, as Lua's % */
static inline real floor_remainder(real a, real b) {
  real r = real_fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
BINARY_ROW(floor_div_row, floor_quotient(a, b))
BINARY_ROW(trunc_div_row, real_trunc(a / b))
BINARY_ROW(remainder_row, floor_remainder(a, b))
BINARY_ROW(fmod_row, real_fmod(a, b))
BINARY_ROW(pow_row, real_pow(a, b))
BINARY_ROW(atan2_row, real_atan2(a, b))
BINARY_ROW(xlogy_row, a == 0 && b == b ? 0 : a * real_log(b))
BINARY_ROW(keep_where_row, a != 0 ? b : 0)
BINARY_ROW(drop_where_row, a != 0 ? 0 : b)

static void zero(Tensor *t) { memset(t->data, 0, (size_t)t->numel * sizeof(real)); }

static void binary(Tensor *y, const Tensor *a, const Tensor *b, RowKernel *row) {
  const Tensor *in[] = {a, b};
  broadcast_apply(y, in, 2, row);
}

static void copy_row(real *y, const real *const *in, const int64_t *step, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = in[0][step[0] * i];
}

static void negative_row(real *y, const real *const *in, const int64_t *step, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = -in[0][step[0] * i];
}

static void copy(Tensor *y, const Tensor *x) { broadcast_apply(y, &x, 1, copy_row); }

#define FORWARD(NAME)                                                                              \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    (void)e;                                                                                       \
    binary(y, c->in[0], c->in[1], NAME##_row);                                                     \
    return true;                                                                                   \
  }

#define ROW(NAME, FLAGS, SAVE, DOC) TAIL_ROW(NAME, TAIL_NONE, FLAGS, SAVE, DOC)
#define TAIL_ROW(NAME, TAIL, FLAGS, SAVE, DOC)                                                     \
  static const Op op_##NAME = {.name = #NAME,                                                      \
                               .inputs = "a b",                                                    \
                               .doc = DOC,                                                         \
                               .flags = OP_ELEMENTWISE | OP_BROADCAST | FLAGS,                     \
                               .save = SAVE,                                                       \
                               .tail = TAIL,                                                       \
                               .forward = NAME##_forward,                                          \
                               .backward = NAME##_backward};

/* addition: da = dy, db = dy */
FORWARD(add)
static bool add_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)c, (void)y, (void)e;
  if (dx[0]) copy(dx[0], dy);
  if (dx[1]) copy(dx[1], dy);
  return true;
}
TAIL_ROW(add, TAIL_ADD, OP_WIDEN, SAVE_NONE,
         "a + b, element by element. Axes of size 1, and those that are missing in front, are "
         "broadcast.")

/* subtraction: da = dy, db = -dy */
FORWARD(sub)
static bool sub_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)c, (void)y, (void)e;
  if (dx[0]) copy(dx[0], dy);
  if (dx[1]) broadcast_apply(dx[1], &dy, 1, negative_row);
  return true;
}
ROW(sub, OP_WIDEN, SAVE_NONE, "a - b, element by element, broadcast as in add.")

/* multiplication: da = dy b, db = dy a */
FORWARD(mul)
static bool mul_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y, (void)e;
  if (dx[0]) binary(dx[0], dy, c->in[1], mul_row);
  if (dx[1]) binary(dx[1], dy, c->in[0], mul_row);
  return true;
}
ROW(mul, OP_WIDEN, SAVE_IN0 | SAVE_IN1,
    "a * b, element by element, broadcast as in add (matrices: matmul).")

/* division: da = dy / b, db = -dy y / b; rounded it is made of steps */
enum { ROUND_NONE, ROUND_FLOOR, ROUND_TRUNC };
static bool div_forward(Call *c, Tensor *y, Error *e) {
  static RowKernel *const row[] = {div_row, floor_div_row, trunc_div_row};
  (void)e;
  binary(y, c->in[0], c->in[1], row[c->integer[0]]);
  return true;
}
static bool div_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)e;
  for (int i = 0; i < 2 && c->integer[0] != ROUND_NONE; i++)
    if (dx[i]) zero(dx[i]);
  if (c->integer[0] != ROUND_NONE) return true;
  if (dx[0]) binary(dx[0], dy, c->in[1], div_row);
  if (dx[1]) {
    binary(dx[1], dy, y, mul_row);
    binary(dx[1], dx[1], c->in[1], negative_div_row);
  }
  return true;
}
static const Op op_div = {
    .name = "div",
    .inputs = "a b",
    .doc = "a / b, element by element, broadcast as in add; rounded down with rounding_mode = "
           "\"floor\" (a // b), to 0 with \"trunc\", where no gradient goes through it.",
    .flags = OP_ELEMENTWISE | OP_BROADCAST | OP_WIDEN,
    .save = SAVE_IN1 | SAVE_OUT,
    PARAMS({"rounding_mode", PARAM_CHOICE, false, ROUND_NONE, "none floor trunc"}),
    .forward = div_forward,
    .backward = div_backward};

/* what division leaves, q = a / b rounded down or to 0: y = a - q b,   da = dy, db = -dy q */
static bool rest_backward(const Call *c, const Tensor *dy, Tensor *const *dx, RowKernel *quotient) {
  if (dx[0]) copy(dx[0], dy);
  if (!dx[1]) return true;
  binary(dx[1], c->in[0], c->in[1], quotient);
  binary(dx[1], dx[1], dy, negative_mul_row);
  return true;
}
FORWARD(remainder)
static bool remainder_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                               Error *e) {
  (void)y, (void)e;
  return rest_backward(c, dy, dx, floor_div_row);
}
ROW(remainder, OP_WIDEN, SAVE_IN0 | SAVE_IN1,
    "What a // b leaves of a, of b's sign: a - floor(a / b) b, exactly; a % b.")
FORWARD(fmod)
static bool fmod_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  (void)y, (void)e;
  return rest_backward(c, dy, dx, trunc_div_row);
}
ROW(fmod, OP_WIDEN, SAVE_IN0 | SAVE_IN1,
    "What a / b, rounded to 0, leaves of a, of a's sign, as C's fmod.")

/* Two inputs of which each has a derivative of its own, a row of a, b and dy. */
#define DERIVATIVES(NAME, DA, DB)                                                                  \
  static void NAME##_da_row(real *y, const real *const *in, const int64_t *step, int64_t n) {      \
    EACH_ALONE for (int64_t i = 0; i < n; i++) {                                                   \
      real a = in[0][step[0] * i], b = in[1][step[1] * i], dy = in[2][step[2] * i];                \
      y[i] = (DA);                                                                                 \
    }                                                                                              \
  }                                                                                                \
  static void NAME##_db_row(real *y, const real *const *in, const int64_t *step, int64_t n) {      \
    EACH_ALONE for (int64_t i = 0; i < n; i++) {                                                   \
      real a = in[0][step[0] * i], b = in[1][step[1] * i], dy = in[2][step[2] * i];                \
      y[i] = (DB);                                                                                 \
    }                                                                                              \
  }                                                                                                \
  static bool NAME##_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx, \
                              Error *e) {                                                          \
    (void)y, (void)e;                                                                              \
    const Tensor *in[] = {c->in[0], c->in[1], dy};                                                 \
    if (dx[0]) broadcast_apply(dx[0], in, 3, NAME##_da_row);                                       \
    if (dx[1]) broadcast_apply(dx[1], in, 3, NAME##_db_row);                                       \
    return true;                                                                                   \
  }

/* power: da = dy b a^(b-1), db = dy a^b log a; 0 where b is, and where a is and b is not negative
 */
FORWARD(pow)
DERIVATIVES(pow, b == 0 ? 0 * dy : dy * (b * real_pow(a, b - 1)),
            a == 0 && b >= 0 ? 0 * dy : dy * (real_pow(a, b) * real_log(a)))
static const Op op_pow_tensor = {.name = "pow_tensor",
                                 .inputs = "a b",
                                 .doc = "a^b, element by element: what pow is of two tensors.",
                                 .flags = OP_ELEMENTWISE | OP_BROADCAST | OP_HIDDEN | OP_WIDEN,
                                 .save = SAVE_IN0 | SAVE_IN1,
                                 .forward = pow_forward,
                                 .backward = pow_backward};

/* the angle of the point (b, a): da = dy b / (a^2 + b^2), db = -dy a / (a^2 + b^2), by the ratio of
 * the smaller to the larger, whose square cannot overflow */
static inline real share_of_squares(real a, real b) { /* a / (a^2 + b^2), 0 at the origin */
  if (a == 0 && b == 0) return 0;
  real q = real_abs(a) > real_abs(b) ? b / a : a / b;
  return real_abs(a) > real_abs(b) ? 1 / (a * (1 + q * q)) : q / (b * (1 + q * q));
}
FORWARD(atan2)
DERIVATIVES(atan2, dy *share_of_squares(b, a), -dy *share_of_squares(a, b))
ROW(atan2, OP_WIDEN, SAVE_IN0 | SAVE_IN1,
    "The angle in (-pi, pi] of the point with abscissa b and ordinate a.")

/* a log b, 0 where a is: da = dy log b, db = dy a / b */
FORWARD(xlogy)
DERIVATIVES(xlogy, a == 0 && b <= 0 ? 0 * dy : dy * real_log(b), dy *(a / b))
ROW(xlogy, OP_WIDEN, SAVE_IN0 | SAVE_IN1,
    "a * log(b), 0 where a is 0 although log(b) may be infinite.")

/* the larger and the smaller of two; of equal ones each gets half of the gradient */
static bool larger_backward(const Call *c, int first, const Tensor *dy, Tensor *const *dx) {
  for (int i = 0; i < 2; i++) {
    if (!dx[i]) continue;
    const Tensor *a = c->in[first == i ? 0 : 1], *b = c->in[first == i ? 1 : 0];
    binary(dx[i], a, b, greater_share_row);
    binary(dx[i], dx[i], dy, mul_row);
  }
  return true;
}
FORWARD(maximum)
static bool maximum_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                             Error *e) {
  (void)y, (void)e;
  return larger_backward(c, 0, dy, dx);
}
ROW(maximum, OP_WIDEN, SAVE_IN0 | SAVE_IN1,
    "The larger of a and b; of a tie each gets half the gradient.")
FORWARD(minimum)
static bool minimum_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                             Error *e) {
  (void)y, (void)e;
  return larger_backward(c, 1, dy, dx);
}
ROW(minimum, OP_WIDEN, SAVE_IN0 | SAVE_IN1,
    "The smaller of a and b; of a tie each gets half the gradient.")

/* choice: y = a where the condition is not zero, else b */
static void where_row(real *y, const real *const *in, const int64_t *step, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    y[i] = in[0][step[0] * i] != 0 ? in[1][step[1] * i] : in[2][step[2] * i];
}
static bool where_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  broadcast_apply(y, c->in, 3, where_row);
  return true;
}
static bool where_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                           Error *e) {
  (void)y, (void)e;
  if (dx[0]) zero(dx[0]); /* a condition is a step */
  if (dx[1]) binary(dx[1], c->in[0], dy, keep_where_row);
  if (dx[2]) binary(dx[2], c->in[0], dy, drop_where_row);
  return true;
}
static const Op op_where = {.name = "where",
                            .inputs = "condition a b",
                            .doc = "a where the condition is not zero, b elsewhere.",
                            .flags = OP_BROADCAST | OP_WIDEN,
                            .save = SAVE_IN0,
                            .forward = where_forward,
                            .backward = where_backward};

/* comparisons: 1 where true, 0 where false, as bytes; no gradient */
typedef void CompareKernel(uint8_t *y, const real *a, const real *b, int64_t a_step, int64_t b_step,
                           int64_t n);

typedef struct Compare {
  BroadcastPlan plan;
  const real *a, *b;
  uint8_t *y;
  CompareKernel *kernel;
} Compare;

static void compare_part(const Compare *m, int64_t r, int64_t first, int64_t n) {
  const BroadcastPlan *p = &m->plan;
  int64_t at[BROADCAST_INPUTS], a = p->stride[0][p->dims - 1], b = p->stride[1][p->dims - 1];
  broadcast_offsets(p, r, at);
  m->kernel(m->y + r * p->row + first, m->a + at[0] + first * a, m->b + at[1] + first * b, a, b, n);
}

static void compare_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Compare *m = context;
  for (int64_t r = begin; r < end; r++) compare_part(m, r, 0, m->plan.row);
}

static void compare_elements(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  compare_part(context, 0, begin, end - begin);
}

static bool compare(Call *c, Tensor *y, CompareKernel *kernel) {
  enum { GRAIN = 16384 };
  const Shape *shape[] = {&c->in[0]->shape, &c->in[1]->shape};
  Compare m = {.a = reals(c->in[0]), .b = reals(c->in[1]), .y = bytes_of(y), .kernel = kernel};
  if (y->numel == 0) return true;
  broadcast_plan(&m.plan, &y->shape, shape, 2);
  int64_t row = m.plan.row;
  if (m.plan.rows == 1) parallel_for(row, GRAIN, compare_elements, &m);
  else parallel_for(m.plan.rows, row < GRAIN ? GRAIN / row : 1, compare_rows, &m);
  return true;
}

static Dtype truth(const Call *c) {
  (void)c;
  return DTYPE_U8;
}

#define COMPARISON(NAME, OPERATOR, DOC)                                                            \
  static void NAME##_row(uint8_t *restrict y, const real *a, const real *b, int64_t a_step,        \
                         int64_t b_step, int64_t n) {                                              \
    if (a_step && b_step) {                                                                        \
      for (int64_t i = 0; i < n; i++) y[i] = a[i] OPERATOR b[i];                                   \
    } else if (a_step) {                                                                           \
      real same = *b;                                                                              \
      for (int64_t i = 0; i < n; i++) y[i] = a[i] OPERATOR same;                                   \
    } else {                                                                                       \
      real same = *a;                                                                              \
      for (int64_t i = 0; i < n; i++) y[i] = same OPERATOR b[b_step * i];                          \
    }                                                                                              \
  }                                                                                                \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    (void)e;                                                                                       \
    return compare(c, y, NAME##_row);                                                              \
  }                                                                                                \
  static const Op op_##NAME = {                                                                    \
      .name = #NAME, .inputs = "a b", .doc = DOC, .dtype = truth, .forward = NAME##_forward};

COMPARISON(eq, ==, "1 where a equals b, else 0, as u8; broadcast as in add.")
COMPARISON(ne, !=, "1 where a differs from b, else 0.")
COMPARISON(lt, <, "1 where a is less than b, else 0.")
COMPARISON(le, <=, "1 where a is at most b, else 0.")
COMPARISON(gt, >, "1 where a is greater than b, else 0.")
COMPARISON(ge, >=, "1 where a is at least b, else 0.")

const Op *const ISA_NAME(ops_arithmetic)[] = {
    &op_add,   &op_sub,   &op_mul,     &op_div,     &op_remainder, &op_fmod, &op_pow_tensor,
    &op_atan2, &op_xlogy, &op_maximum, &op_minimum, &op_where,     &op_eq,   &op_ne,
    &op_lt,    &op_le,    &op_gt,      &op_ge,      NULL};
