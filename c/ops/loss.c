/* Floor 3: losses, forward and backward in one pass each. Their last parameter says how the terms
 * are put together: "mean", "sum" or "none". */
#include "../isa.h"
#include "../parallel.h"
#include "../simd/math.h"
#include "families.h"

#include <stdlib.h>
#include <string.h>

enum { REDUCE_MEAN, REDUCE_SUM, REDUCE_NONE, CHUNK = 4096, SUM_LANES = 16 };
#define REDUCTIONS "mean sum none"

static real gradient_scale(int64_t reduction, const Tensor *dy, int64_t terms) {
  return reduction == REDUCE_MEAN  ? reals(dy)[0] / (real)(terms ? terms : 1)
         : reduction == REDUCE_SUM ? reals(dy)[0]
                                   : 1;
}

/* ---- losses that are a sum over elements of f(x, t, u) ---- */

typedef struct Elements {
  const real *x, *t, *u, *dy; /* u and dy may be NULL */
  real *out;                  /* where the terms go, or */
  double *part;               /* their sum, chunk by chunk */
  ParallelBody *term;
  real scale;
} Elements;

/* Defines the term NAME of x, t and u as a body for parallel_for, with the formula inlined. Sums
 * run in several lanes, so that one addition need not wait for the one before. */
#define TERM(NAME, FORMULA)                                                                        \
  static inline real NAME##_of(real x, real t, real u) {                                           \
    (void)x, (void)t, (void)u;                                                                     \
    return (FORMULA);                                                                              \
  }                                                                                                \
  static void NAME(void *context, int64_t begin, int64_t end, int thread) {                        \
    (void)thread;                                                                                  \
    const Elements *s = context;                                                                   \
    const real *restrict x = s->x, *restrict t = s->t, *restrict u = s->u ? s->u : s->x;           \
    real *restrict out = s->out, scale = s->scale;                                                 \
    if (out) {                                                                                     \
      for (int64_t i = begin; i < end; i++) out[i] = NAME##_of(x[i], t[i], u[i]) * scale;          \
      for (int64_t i = begin; i < end && s->dy; i++) out[i] *= s->dy[i];                           \
      return;                                                                                      \
    }                                                                                              \
    double lane[SUM_LANES] = {0}, sum = 0;                                                         \
    int64_t i = begin;                                                                             \
    for (; i + SUM_LANES <= end; i += SUM_LANES)                                                   \
      for (int k = 0; k < SUM_LANES; k++)                                                          \
        lane[k] += (double)NAME##_of(x[i + k], t[i + k], u[i + k]);                                \
    for (; i < end; i++) sum += (double)NAME##_of(x[i], t[i], u[i]);                               \
    for (int k = 0; k < SUM_LANES; k++) sum += lane[k];                                            \
    s->part[begin / CHUNK] = sum;                                                                  \
  }

/* Forward: y = the reduced terms. */
static bool reduce_terms(Elements s, int64_t n, int64_t reduction, Tensor *y, Error *e) {
  if (reduction == REDUCE_NONE) {
    s.out = reals(y);
    s.scale = 1;
    parallel_for(n, CHUNK, s.term, &s);
    return true;
  }
  int64_t chunks = (n + CHUNK - 1) / CHUNK;
  if (!(s.part = calloc((size_t)chunks + 1, sizeof *s.part))) return error_set(e, "out of memory");
  parallel_for(n, CHUNK, s.term, &s);
  double sum = 0;
  for (int64_t i = 0; i < chunks; i++) sum += s.part[i];
  free(s.part);
  reals(y)[0] = (real)(reduction == REDUCE_MEAN ? sum / (double)(n ? n : 1) : sum);
  return true;
}

/* Backward: dx = dy times the terms of a derivative. */
static void spread_terms(Elements s, int64_t n, int64_t reduction, const Tensor *dy, Tensor *dx) {
  s.out = reals(dx);
  s.scale = gradient_scale(reduction, dy, n);
  if (reduction == REDUCE_NONE) s.dy = reals(dy);
  parallel_for(n, CHUNK, s.term, &s);
}

static bool loss_shape(const Call *c, const char *name, int64_t reduction, Shape *out, Error *e) {
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  if (!shape_equal(&c->in[0]->shape, &c->in[1]->shape))
    return error_set(e, "%s: expected shape %s, got %s", name, shape_text(&c->in[0]->shape, a),
                     shape_text(&c->in[1]->shape, b));
  *out = reduction == REDUCE_NONE ? c->in[0]->shape : (Shape){0};
  return true;
}

/* mean squared error: (x - t)^2,   dx = 2 (x - t) dy,   dt = -dx */
TERM(squared_error, (x - t) * (x - t))
TERM(squared_error_dx, 2 * (x - t))
static bool mse_shape(const Call *c, Shape *out, Error *e) {
  return loss_shape(c, "target", c->integer[0], out, e);
}
static bool mse_forward(Call *c, Tensor *y, Error *e) {
  Elements s = {.x = reals(c->in[0]), .t = reals(c->in[1]), .term = squared_error};
  return reduce_terms(s, c->in[0]->numel, c->integer[0], y, e);
}
static bool mse_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y, (void)e;
  for (int i = 0; i < 2; i++) {
    if (!dx[i]) continue;
    Elements s = {.x = reals(c->in[i]), .t = reals(c->in[1 - i]), .term = squared_error_dx};
    spread_terms(s, c->in[0]->numel, c->integer[0], dy, dx[i]);
  }
  return true;
}
static const Op op_mse_loss = {
    .name = "mse_loss",
    .inputs = "input target",
    .doc = "(input - target)^2 for two tensors of one shape, averaged over all elements; "
           "reduction = \"sum\" adds them up, \"none\" keeps their shape.",
    .save = SAVE_IN0 | SAVE_IN1,
    .params = {{"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}},
    .shape = mse_shape,
    .forward = mse_forward,
    .backward = mse_backward};

/* binary cross-entropy from logits: log(1 + e^x) - t x,   dx = (sigmoid(x) - t) dy,   dt = -x dy */
TERM(bce, real_softplus(x) - t * x)
TERM(bce_dx, real_sigmoid(x) - t)
TERM(bce_dt, -x)
static bool bce_forward(Call *c, Tensor *y, Error *e) {
  Elements s = {.x = reals(c->in[0]), .t = reals(c->in[1]), .term = bce};
  return reduce_terms(s, c->in[0]->numel, c->integer[0], y, e);
}
static bool bce_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y, (void)e;
  ParallelBody *const term[] = {bce_dx, bce_dt};
  for (int i = 0; i < 2; i++) {
    if (!dx[i]) continue;
    Elements s = {.x = reals(c->in[0]), .t = reals(c->in[1]), .term = term[i]};
    spread_terms(s, c->in[0]->numel, c->integer[0], dy, dx[i]);
  }
  return true;
}
static const Op op_bce_with_logits = {
    .name = "bce_with_logits",
    .inputs = "x target",
    .doc = "The cross-entropy of a Bernoulli variable whose log-odds are x, against targets in [0, "
           "1]: log(1 + e^x) - target x, averaged over all elements.",
    .save = SAVE_IN0 | SAVE_IN1,
    .params = {{"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}},
    .shape = mse_shape,
    .forward = bce_forward,
    .backward = bce_backward};

/* Gaussian negative log-likelihood, v the log-variance, up to log(2 pi) / 2:
 * (v + (t - mu)^2 e^-v) / 2,   dmu = (mu - t) e^-v,   dv = (1 - (t - mu)^2 e^-v) / 2,   dt = -dmu
 * In the terms x is mu, t is v and u is the target. */
#define NLL ((real)0.5 * (t + (u - x) * (u - x) * real_exp(-t)))
TERM(nll, NLL)
TERM(nll_with_constant, NLL + (real)0.91893853320467274178)
TERM(nll_dmu, (x - u) * real_exp(-t))
TERM(nll_dv, (real)0.5 * (1 - (u - x) * (u - x) * real_exp(-t)))
TERM(nll_dt, (u - x) * real_exp(-t))

enum { NLL_CONSTANT, NLL_REDUCTION };

static bool nll_shape(const Call *c, Shape *out, Error *e) {
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  if (!shape_equal(&c->in[0]->shape, &c->in[2]->shape))
    return error_set(e, "target: expected shape %s, got %s", shape_text(&c->in[0]->shape, a),
                     shape_text(&c->in[2]->shape, b));
  return loss_shape(c, "log_var", c->integer[NLL_REDUCTION], out, e);
}
static bool nll_forward(Call *c, Tensor *y, Error *e) {
  Elements s = {.x = reals(c->in[0]), .t = reals(c->in[1]), .u = reals(c->in[2])};
  s.term = c->integer[NLL_CONSTANT] ? nll_with_constant : nll;
  return reduce_terms(s, c->in[0]->numel, c->integer[NLL_REDUCTION], y, e);
}
static bool nll_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y, (void)e;
  ParallelBody *const term[] = {nll_dmu, nll_dv, nll_dt};
  for (int i = 0; i < 3; i++) {
    if (!dx[i]) continue;
    Elements s = {.x = reals(c->in[0]), .t = reals(c->in[1]), .u = reals(c->in[2])};
    s.term = term[i];
    spread_terms(s, c->in[0]->numel, c->integer[NLL_REDUCTION], dy, dx[i]);
  }
  return true;
}
static const Op op_gaussian_nll = {
    .name = "gaussian_nll",
    .inputs = "mu log_var target",
    .doc = "-log N(target; mu, e^log_var), averaged over all elements; constant = true adds log(2 "
           "pi) / 2 an element.",
    .save = SAVE_IN0 | SAVE_IN1 | SAVE_IN2,
    .params = {{"constant", PARAM_BOOL, false, 0, NULL},
               {"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}},
    .shape = nll_shape,
    .forward = nll_forward,
    .backward = nll_backward};

/* ---- KL divergence of N(mu, e^v) from N(0, 1) (Kingma and Welling, 2014) ----
 * summed over the last axis, mean over the others:
 * -1/2 sum(1 + v - mu^2 - e^v),   dmu = mu dy,   dv = (e^v - 1) / 2 dy */

/* Above this log-variance e^v - 1 goes on as a straight line: a log-variance that ran away would
 * otherwise be infinite and poison every weight. */
enum { STEEPEST = 80 };
static real excess_variance(real v) { /* e^v - 1, exact near 0 */
  return v > STEEPEST ? real_exp(STEEPEST) * (1 + v - STEEPEST) : real_expm1(v);
}
static real excess_variance_slope(real v) { return real_exp(v > STEEPEST ? STEEPEST : v); }

static int64_t latent_dims(const Tensor *mu) { return mu->shape.size[mu->shape.dims - 1]; }
static int64_t code_count(const Tensor *mu) {
  return latent_dims(mu) ? mu->numel / latent_dims(mu) : 0;
}

static bool kl_shape(const Call *c, Shape *out, Error *e) {
  if (c->in[0]->shape.dims < 1) return error_set(e, "mu: expected [..., latent], got a scalar");
  if (!loss_shape(c, "log_var", c->integer[0], out, e)) return false;
  if (c->integer[0] == REDUCE_NONE) out->dims--;
  return true;
}
static bool kl_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  const real *mu = reals(c->in[0]), *v = reals(c->in[1]);
  int64_t n = latent_dims(c->in[0]), rows = code_count(c->in[0]);
  double total = 0;
  for (int64_t r = 0; r < rows; r++) {
    double sum = 0;
    for (int64_t i = r * n; i < (r + 1) * n; i++)
      sum += (double)(mu[i] * mu[i] + (excess_variance(v[i]) - v[i]));
    if (c->integer[0] == REDUCE_NONE) reals(y)[r] = (real)(sum / 2);
    total += sum / 2;
  }
  if (c->integer[0] == REDUCE_MEAN) total /= (double)(rows ? rows : 1);
  if (c->integer[0] != REDUCE_NONE) reals(y)[0] = (real)total;
  return true;
}
static bool kl_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                        Error *e) {
  (void)y, (void)e;
  const real *mu = reals(c->in[0]), *v = reals(c->in[1]);
  int64_t n = latent_dims(c->in[0]), rows = code_count(c->in[0]);
  real scale = gradient_scale(c->integer[0], dy, rows);
  for (int64_t i = 0; i < rows * n; i++) {
    real d = scale * (c->integer[0] == REDUCE_NONE ? reals(dy)[i / n] : 1);
    if (dx[0]) reals(dx[0])[i] = d * mu[i];
    if (dx[1]) reals(dx[1])[i] = d * (real)0.5 * (excess_variance_slope(v[i]) - 1);
  }
  return true;
}
static const Op op_gaussian_kl = {
    .name = "gaussian_kl",
    .inputs = "mu log_var",
    .doc =
        "KL(N(mu, e^log_var) || N(0, 1)) in nats: summed over the last axis (the latent "
        "dimensions), mean over all others (the batch). Above a log-variance of 80 e^log_var goes "
        "on as a straight line.",
    .save = SAVE_IN0 | SAVE_IN1,
    .params = {{"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}},
    .shape = kl_shape,
    .forward = kl_forward,
    .backward = kl_backward};

/* ---- cross-entropy from logits [n, classes] and labels [n] (values 0 .. classes - 1) ----
 * -log softmax(x)[label],   dx = (softmax(x) - one_hot(label)) dy */

static int64_t label_of(const Tensor *labels, int64_t i) {
  return (int64_t)(labels->dtype == DTYPE_U8 ? bytes_of(labels)[i] : reals(labels)[i]);
}

static bool cross_entropy_shape(const Call *c, Shape *out, Error *e) {
  const Tensor *x = c->in[0], *labels = c->in[1];
  char a[SHAPE_TEXT];
  if (x->dtype != DTYPE_REAL)
    return error_set(e, "x: expected %s, got %s", REAL_NAME, dtype_name(x->dtype));
  if (x->shape.dims != 2 || x->shape.size[1] < 1)
    return error_set(e, "x: expected logits [batch, classes], got %s", shape_text(&x->shape, a));
  int64_t rows = x->shape.size[0], classes = x->shape.size[1];
  if (labels->shape.dims != 1 || labels->numel != rows)
    return error_set(e, "labels: expected [%lld], got %s", (long long)rows,
                     shape_text(&labels->shape, a));
  for (int64_t i = 0; i < rows; i++) {
    double v = labels->dtype == DTYPE_U8 ? bytes_of(labels)[i] : (double)reals(labels)[i];
    if (!(v >= 0 && v < (double)classes && v == (double)(int64_t)v))
      return error_set(e, "labels: expected whole numbers 0..%lld, got %g at position %lld",
                       (long long)classes - 1, v, (long long)i + 1);
  }
  *out = (Shape){0};
  if (c->integer[0] == REDUCE_NONE) *out = (Shape){.dims = 1, .size = {rows}};
  return true;
}

/* softmax of a row into p; returns log sum e^x */
static double row_softmax(const real *x, int64_t n, real *p) {
  real m = x[0];
  for (int64_t i = 1; i < n; i++) m = x[i] > m ? x[i] : m;
  real sum = p[0] = real_exp(x[0] - m);
  for (int64_t i = 1; i < n; i++) sum += p[i] = real_exp(x[i] - m);
  for (int64_t i = 0; i < n; i++) p[i] /= sum;
  return (double)m + (double)real_log(sum);
}

static bool cross_entropy_forward(Call *c, Tensor *y, Error *e) {
  const Tensor *x = c->in[0];
  int64_t rows = x->shape.size[0], classes = x->shape.size[1];
  Tensor *p = tensor_new(DTYPE_REAL, &x->shape, e); /* kept: the gradient is made of it */
  if (!p) return false;
  double total = 0;
  for (int64_t r = 0; r < rows; r++) {
    const real *row = reals(x) + r * classes;
    double term =
        row_softmax(row, classes, reals(p) + r * classes) - (double)row[label_of(c->in[1], r)];
    if (c->integer[0] == REDUCE_NONE) reals(y)[r] = (real)term;
    total += term;
  }
  if (c->integer[0] == REDUCE_MEAN) total /= (double)(rows ? rows : 1);
  if (c->integer[0] != REDUCE_NONE) reals(y)[0] = (real)total;
  c->extra[0] = p;
  return true;
}
static bool cross_entropy_backward(const Call *c, const Tensor *y, const Tensor *dy,
                                   Tensor *const *dx, Error *e) {
  (void)y, (void)e;
  if (dx[1]) memset(dx[1]->data, 0, (size_t)dx[1]->numel * sizeof(real));
  if (!dx[0]) return true;
  int64_t rows = dx[0]->shape.size[0], classes = dx[0]->shape.size[1];
  real scale = gradient_scale(c->integer[0], dy, rows);
  for (int64_t r = 0; r < rows; r++) {
    const real *p = reals(c->extra[0]) + r * classes;
    real *d = reals(dx[0]) + r * classes;
    real row = scale * (c->integer[0] == REDUCE_NONE ? reals(dy)[r] : 1);
    for (int64_t i = 0; i < classes; i++) d[i] = row * p[i];
    d[label_of(c->in[1], r)] -= row;
  }
  return true;
}
static const Op op_cross_entropy = {
    .name = "cross_entropy",
    .inputs = "x labels",
    .doc = "-log softmax(x)[label] for logits x [batch, classes] and class labels [batch] with "
           "values 0..classes-1, averaged over the batch.",
    .flags = OP_U8,
    .save = SAVE_IN1,
    .params = {{"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}},
    .shape = cross_entropy_shape,
    .forward = cross_entropy_forward,
    .backward = cross_entropy_backward};

const Op *const ISA_NAME(ops_loss)[] = {&op_mse_loss,    &op_cross_entropy, &op_bce_with_logits,
                                        &op_gaussian_kl, &op_gaussian_nll,  NULL};
