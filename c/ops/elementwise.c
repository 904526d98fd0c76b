/* Floor 3: functions of one tensor, element by element. */
#include "simd/isa.h"
#include "base/parallel.h"
#include "simd/math.h"
#include "ops/families.h"

enum { GRAIN = 16384 /* elements of a parallel chunk */ };

/* The formulas see x, y, dy and the op's numbers p[0], p[1]; p0 and p1 are these as reals, read
 * before the loop, which a condition would otherwise keep from becoming one of vectors. */
typedef struct Map {
  const real *x, *y, *dy;
  real *out;
  const double *p;
} Map;

static void run(const Map *map, int64_t n, ParallelBody *body) {
  parallel_for(n, GRAIN, body, (void *)map);
}

/* Defines the forward and backward of y = FORMULA, dx = dy * GRADIENT. An unused name in a formula
 * is normal: most derivatives need either x or y. */
#define ELEMENTWISE(NAME, FORMULA, GRADIENT)                                                       \
  static void NAME##_rows(void *context, int64_t begin, int64_t end, int thread) {                 \
    (void)thread;                                                                                  \
    const Map *m = context;                                                                        \
    const double *p = m->p;                                                                        \
    const real p0 = (real)p[0], p1 = (real)p[1];                                                   \
    (void)p, (void)p0, (void)p1;                                                                   \
    EACH_ALONE for (int64_t i = begin; i < end; i++) {                                             \
      real x = m->x[i];                                                                            \
      m->out[i] = (real)(FORMULA);                                                                 \
    }                                                                                              \
  }                                                                                                \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    (void)e;                                                                                       \
    Map m = {.x = reals(c->in[0]), .out = reals(y), .p = c->number};                               \
    run(&m, y->numel, NAME##_rows);                                                                \
    return true;                                                                                   \
  }                                                                                                \
  static void NAME##_gradient_rows(void *context, int64_t begin, int64_t end, int thread) {        \
    (void)thread;                                                                                  \
    const Map *m = context;                                                                        \
    const double *p = m->p;                                                                        \
    const real p0 = (real)p[0], p1 = (real)p[1];                                                   \
    (void)p, (void)p0, (void)p1;                                                                   \
    const real *restrict xs = m->x, *restrict ys = m->y, *restrict dys = m->dy;                    \
    real *restrict out = m->out;                                                                   \
    EACH_ALONE for (int64_t i = begin; i < end; i++) {                                             \
      real x = xs ? xs[i] : 0, y = ys ? ys[i] : 0, dy = dys[i];                                    \
      (void)x;                                                                                     \
      (void)y;                                                                                     \
      out[i] = (real)(GRADIENT);                                                                   \
    }                                                                                              \
  }                                                                                                \
  static bool NAME##_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx, \
                              Error *e) {                                                          \
    (void)e;                                                                                       \
    Map m = {.x = c->in[0]->storage ? reals(c->in[0]) : NULL,                                      \
             .y = y ? reals(y) : NULL,                                                             \
             .dy = reals(dy),                                                                      \
             .out = reals(dx[0]),                                                                  \
             .p = c->number};                                                                      \
    run(&m, dy->numel, NAME##_gradient_rows);                                                      \
    return true;                                                                                   \
  }

#define ROW(NAME, SAVE, DOC, ...)                                                                  \
  static const Op op_##NAME = {.name = #NAME,                                                      \
                               .inputs = "x",                                                      \
                               .doc = DOC,                                                         \
                               .flags = OP_ELEMENTWISE,                                            \
                               .save = SAVE,                                                       \
                               .params = {__VA_ARGS__},                                            \
                               .forward = NAME##_forward,                                          \
                               .backward = NAME##_backward};

/* It takes a product of names for the declaration of a pointer. */
/* clang-format off */

/* negation: y = -x */
ELEMENTWISE(neg, -x, -dy)
ROW(neg, SAVE_NONE, "-x, element by element.")

/* exponential: y = e^x, dx = dy y */
ELEMENTWISE(exp, real_exp(x), dy * y)
ROW(exp, SAVE_OUT, "e^x, element by element.")

/* natural logarithm: dx = dy / x */
ELEMENTWISE(log, real_log(x), dy / x)
ROW(log, SAVE_IN0, "The natural logarithm of x.")

/* square root: dx = dy / (2 y) */
ELEMENTWISE(sqrt, real_sqrt(x), dy / (2 * y))
ROW(sqrt, SAVE_OUT, "The square root of x.")

/* square: dx = 2 x dy */
ELEMENTWISE(square, x * x, 2 * x * dy)
ROW(square, SAVE_IN0, "x^2, element by element.")

/* absolute value: dx = dy sign(x), 0 at 0 and NaN */
ELEMENTWISE(abs, real_abs(x), x > 0 ? dy : x < 0 ? -dy : 0 * dy)
ROW(abs, SAVE_IN0, "|x|; its gradient at 0 is 0.")

/* sine and cosine */
ELEMENTWISE(sin, real_sin(x), dy * real_cos(x))
ROW(sin, SAVE_IN0, "The sine of x, in radians.")
ELEMENTWISE(cos, real_cos(x), -dy * real_sin(x))
ROW(cos, SAVE_IN0, "The cosine of x, in radians.")

/* hyperbolic tangent: dx = dy (1 - y^2) */
ELEMENTWISE(tanh, real_tanh(x), dy * (1 - y * y))
ROW(tanh, SAVE_OUT, "The hyperbolic tangent of x.")

/* sigmoid: y = 1 / (1 + e^-x), dx = dy y (1 - y) */
ELEMENTWISE(sigmoid, real_sigmoid(x), dy * y * (1 - y))
ROW(sigmoid, SAVE_OUT, "1 / (1 + e^-x)")

/* rectifier: y = max(x, 0); NaN passes through */
ELEMENTWISE(relu, x < 0 ? 0 : x, y <= 0 ? 0 : dy)
ROW(relu, SAVE_OUT, "max(x, 0)")

/* leaky rectifier: y = x where x > 0, slope x elsewhere; NaN is elsewhere */
ELEMENTWISE(leaky_relu, x <= 0 ? p0 * x : x, x > 0 ? dy : p0 * dy)
ROW(leaky_relu, SAVE_IN0, "x where positive, slope * x elsewhere.",
    {"slope", PARAM_NUMBER, false, 0.01, NULL})

/* exponential linear unit: y = x where x > 0, alpha (e^x - 1) elsewhere */
ELEMENTWISE(elu, x > 0 ? x : p0 * real_expm1(x), x > 0 ? dy : dy * p0 * real_exp(x))
ROW(elu, SAVE_IN0, "x where positive, alpha * (e^x - 1) elsewhere.",
    {"alpha", PARAM_NUMBER, false, 1, NULL})

/* x for a product with a weight that is 0 from here on: infinity times it would be NaN. NaN stays.
 */
enum { FADED = 1000 };
static inline real above_faded(real x) { return x < -FADED ? -FADED : x; }
static inline real within_faded(real x) { return x > FADED ? FADED : above_faded(x); }

/* the normal distribution function */
static inline real normal_below(real x) {
  return (real)0.5 * (1 + real_erf(x * (real)0.70710678118654752));
}

/* Gaussian error linear unit (Hendrycks and Gimpel, 2016): y = x Phi(x), dx = dy (Phi(x) + x
 * phi(x)) */
ELEMENTWISE(gelu, (real)0.5 * above_faded(x) * (1 + real_erf(x * (real)0.70710678118654752)),
            dy * (normal_below(x) +
                 within_faded(x) * (real)0.39894228040143268 * real_exp((real)-0.5 * x * x)))
ROW(gelu, SAVE_IN0, "x * Phi(x), Phi the normal distribution function (the exact form).")

/* SiLU, swish: y = x s(x), dx = dy s(x) (1 + x (1 - s(x))), s the sigmoid */
ELEMENTWISE(silu, above_faded(x) * real_sigmoid(x),
            dy * real_sigmoid(x) * (1 + within_faded(x) * (1 - real_sigmoid(x))))
ROW(silu, SAVE_IN0, "x * sigmoid(x)")

/* softplus: y = log(1 + e^x), dx = dy sigmoid(x) */
ELEMENTWISE(softplus, real_softplus(x), dy * real_sigmoid(x))
ROW(softplus, SAVE_IN0, "log(1 + e^x), without overflow.")

/* power with a fixed exponent: dx = dy p x^(p-1) */
ELEMENTWISE(pow, real_pow(x, p0),
            p[0] == 0 ? 0 * dy : dy * p0 * real_pow(x, (real)(p[0] - 1)))
ROW(pow, SAVE_IN0, "x^exponent, the exponent being a number.",
    {"exponent", PARAM_NUMBER, true, 0, NULL})

static bool clamp_shape(const Call *c, Shape *out, Error *e) {
  double low = c->number[0], high = c->number[1];
  if (!(low <= high) || (isinf(low) && isinf(high)))
    return error_set(e, "expected min, max or both, min not above max; got %g and %g", low, high);
  *out = c->in[0]->shape;
  return true;
}

/* clamp: y = min(max(x, min), max); the gradient passes inside, the bounds included; NaN is not */
ELEMENTWISE(clamp, x < p0 ? p0 : x > p1 ? p1 : x,
            x >= p0 && x <= p1 ? dy : 0)
static const Op op_clamp = {.name = "clamp",
                            .inputs = "x",
                            .doc = "x limited to [min, max]; either bound may be left out.",
                            .flags = OP_ELEMENTWISE,
                            .save = SAVE_IN0,
                            .params = {{"min", PARAM_NUMBER, false, -INFINITY, NULL},
                                       {"max", PARAM_NUMBER, false, INFINITY, NULL}},
                            .shape = clamp_shape,
                            .forward = clamp_forward,
                            .backward = clamp_backward};

/* Steps: their gradient is zero wherever it exists. */
ELEMENTWISE(floor, real_floor(x), 0 * dy)
ROW(floor, SAVE_NONE, "The largest whole number not above x; gradient 0.")
ELEMENTWISE(ceil, real_ceil(x), 0 * dy)
ROW(ceil, SAVE_NONE, "The smallest whole number not below x; gradient 0.")
ELEMENTWISE(round, real_round(x), 0 * dy)
ROW(round, SAVE_NONE, "The nearest whole number, halves to the even one; gradient 0.")
ELEMENTWISE(sign, x > 0 ? 1 : x < 0 ? -1 : x, 0 * dy)
ROW(sign, SAVE_NONE, "-1, 0 or 1; gradient 0.")
/* clang-format on */

const Op *const ISA_NAME(ops_elementwise)[] = {
    &op_neg,  &op_exp,     &op_log,   &op_sqrt,       &op_square, &op_abs,  &op_sin,  &op_cos,
    &op_tanh, &op_sigmoid, &op_relu,  &op_leaky_relu, &op_elu,    &op_gelu, &op_silu, &op_softplus,
    &op_pow,  &op_clamp,   &op_floor, &op_ceil,       &op_round,  &op_sign, NULL};
