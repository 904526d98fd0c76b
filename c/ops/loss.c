/* Floor 3: losses, forward and backward in one pass each. Their last parameter says how the terms
 * are put together: "mean", "sum" or "none". */
#include "simd/isa.h"
#include "base/parallel.h"
#include "base/places.h"
#include "simd/math.h"
#include "simd/rows.h"
#include "ops/families.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { REDUCE_MEAN, REDUCE_SUM, REDUCE_NONE, CHUNK = 4096, SUM_LANES = 16, SUM_BLOCK = 256 };
/* How many CHUNKs are worth a parallel one: of terms that are a few multiplications, and of those
 * with a power of e. The sums of CHUNKs are the same in either. */
enum { CHEAP = 8, DEAR = 2 };
enum { ROW_GRAIN = 4096 /* elements of a parallel chunk of rows, about */ };
#define REDUCTIONS "mean sum none"

static real gradient_scale(int64_t reduction, const Tensor *dy, int64_t terms) {
  return reduction == REDUCE_MEAN  ? reals(dy)[0] / (real)terms
         : reduction == REDUCE_SUM ? reals(dy)[0]
                                   : 1;
}

/* ---- losses that are a sum over elements of f(x, t, u) ---- */

typedef struct Elements {
  const real *x, *t, *u, *dy; /* u and dy may be NULL */
  real *out;                  /* where the terms go, or */
  double *part;               /* their sum, chunk by chunk */
  ParallelBody *term;
  int64_t chunks; /* of a parallel one: CHEAP or DEAR */
  real scale;
} Elements;

/* Defines the term NAME of x, t and u as a body for parallel_for, with the formula inlined. Sums
 * run in several lanes, so that one addition need not wait for the one before. TYPE is that of the
 * term: double where it may be too large for a real although the mean of all is not. */
#define TERM(NAME, TYPE, FORMULA)                                                                  \
  static inline TYPE NAME##_of(real x, real t, real u) {                                           \
    (void)x, (void)t, (void)u;                                                                     \
    return (FORMULA);                                                                              \
  }                                                                                                \
  static void NAME(void *context, int64_t begin, int64_t end, int thread) {                        \
    (void)thread;                                                                                  \
    const Elements *s = context;                                                                   \
    const real *restrict x = s->x, *restrict t = s->t, *restrict u = s->u ? s->u : s->x;           \
    real *restrict out = s->out, scale = s->scale;                                                 \
    if (out) {                                                                                     \
      for (int64_t i = begin; i < end; i++) out[i] = (real)NAME##_of(x[i], t[i], u[i]) * scale;    \
      for (int64_t i = begin; i < end && s->dy; i++) out[i] *= s->dy[i];                           \
      return;                                                                                      \
    }                                                                                              \
    double lane[SUM_LANES] = {0}, sum = 0;                                                         \
    int64_t i = begin;                                                                             \
    for (; i + SUM_BLOCK <= end; i += SUM_BLOCK) {                                                 \
      TYPE terms[SUM_BLOCK];                                                                       \
      for (int k = 0; k < SUM_BLOCK; k++) terms[k] = NAME##_of(x[i + k], t[i + k], u[i + k]);      \
      for (int b = 0; b < SUM_BLOCK; b += SUM_LANES)                                               \
        for (int k = 0; k < SUM_LANES; k++) lane[k] += (double)terms[b + k];                       \
    }                                                                                              \
    for (; i + SUM_LANES <= end; i += SUM_LANES)                                                   \
      for (int k = 0; k < SUM_LANES; k++)                                                          \
        lane[k] += (double)NAME##_of(x[i + k], t[i + k], u[i + k]);                                \
    for (; i < end; i++) sum += (double)NAME##_of(x[i], t[i], u[i]);                               \
    for (int k = 0; k < SUM_LANES; k++) sum += lane[k];                                            \
    s->part[begin / CHUNK] = sum;                                                                  \
  }

typedef struct Group {
  ParallelBody *body;
  void *context;
} Group;

static void run_group(void *context, int64_t begin, int64_t end, int thread) {
  const Group *g = context;
  for (int64_t i = begin; i < end; i += CHUNK)
    g->body(g->context, i, end - i < CHUNK ? end : i + CHUNK, thread);
}

static void each_chunk(const Elements *s, int64_t n, ParallelBody *body, void *context) {
  parallel_for(n, s->chunks * CHUNK, run_group, &(Group){body, context});
}

/* Forward: y = the reduced terms. `context`, which the body is run on, is or begins with s. */
static bool reduce_terms(Elements *s, ParallelBody *body, void *context, int64_t n,
                         int64_t reduction, Tensor *y, Error *e) {
  if (reduction == REDUCE_NONE) {
    s->out = reals(y);
    s->scale = 1;
    each_chunk(s, n, body, context);
    return true;
  }
  int64_t chunks = (n + CHUNK - 1) / CHUNK;
  s->part = calloc((size_t)chunks + 1, sizeof *s->part);
  if (!s->part) return error_set(e, "out of memory");
  each_chunk(s, n, body, context);
  double sum = 0;
  for (int64_t i = 0; i < chunks; i++) sum += s->part[i];
  free(s->part);
  reals(y)[0] = (real)(reduction == REDUCE_MEAN ? sum / (double)n : sum); /* of nothing: NaN */
  return true;
}

/* Backward: dx = dy times the terms of a derivative. */
static void spread_terms(Elements s, int64_t n, int64_t reduction, const Tensor *dy, Tensor *dx) {
  s.out = reals(dx);
  s.scale = gradient_scale(reduction, dy, n);
  if (reduction == REDUCE_NONE) s.dy = reals(dy);
  each_chunk(&s, n, s.term, &s);
}

/* ---- losses whose terms are those of rows ---- */

typedef struct LossRows {
  const Call *c;
  int64_t n, grain; /* elements of a row; rows of a parallel chunk */
  double *term;     /* forward */
  const Tensor *dy; /* backward */
  Tensor *const *dx;
  real scale;
} LossRows;

static int64_t row_grain(int64_t n) { return ROW_GRAIN / (n + 1) + 1; }

/* y = the reduced terms, added in the order of the rows. */
static bool reduce_rows(LossRows *s, int64_t rows, ParallelBody *body, int64_t reduction, Tensor *y,
                        Error *e) {
  s->term = malloc((size_t)rows * sizeof *s->term + 1);
  if (!s->term) return error_set(e, "out of memory");
  parallel_for(rows, s->grain, body, s);
  double total = 0;
  for (int64_t r = 0; r < rows; r++) {
    if (reduction == REDUCE_NONE) reals(y)[r] = (real)s->term[r];
    total += s->term[r];
  }
  free(s->term);
  if (reduction == REDUCE_MEAN) total /= (double)rows;
  if (reduction != REDUCE_NONE) reals(y)[0] = (real)total;
  return true;
}

/* What the gradient of a row is multiplied by. */
static real row_scale(const LossRows *s, int64_t r) {
  return s->scale * (s->c->integer[0] == REDUCE_NONE ? reals(s->dy)[r] : 1);
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
static inline double square(real x) { return (double)x * (double)x; }
TERM(squared_error, double, square(x - t))
TERM(squared_error_dx, real, 2 * (x - t))
static bool mse_shape(const Call *c, Shape *out, Error *e) {
  return loss_shape(c, "target", c->integer[0], out, e);
}
static bool mse_forward(Call *c, Tensor *y, Error *e) {
  Elements s = {.x = reals(c->in[0]), .t = reals(c->in[1]), .chunks = CHEAP};
  return reduce_terms(&s, squared_error, &s, c->in[0]->numel, c->integer[0], y, e);
}
static bool mse_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y, (void)e;
  for (int i = 0; i < 2; i++) {
    if (!dx[i]) continue;
    Elements s = {
        .x = reals(c->in[i]), .t = reals(c->in[1 - i]), .term = squared_error_dx, .chunks = CHEAP};
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
    PARAMS({"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}),
    .shape = mse_shape,
    .forward = mse_forward,
    .backward = mse_backward};

/* binary cross-entropy from logits: log(1 + e^x) - t x,   dx = (sigmoid(x) - t) dy,   dt = -x dy
 * Written as |x| w + log(1 + e^-|x|), w the share of the wrong side: nothing large is subtracted
 * from something large, and an infinite x costs nothing where its side is right. */
static inline real wrong_side(real x, real t) { return x > 0 ? 1 - t : t; }
static inline real wrong_part(real x, real t) {
  return wrong_side(x, t) == 0 ? 0 : real_abs(x) * wrong_side(x, t);
}
static inline real bce_slope(real x, real t) {
  real e = real_exp(-real_abs(x)), s = e / (1 + e); /* sigmoid(-|x|) */
  return x > 0 ? (1 - t) - s : s - t;
}
TERM(bce, real, wrong_part(x, t) + real_log1p_of_share(real_exp(-real_abs(x))) + (x != x ? x : 0))
TERM(bce_dx, real, bce_slope(x, t))
TERM(bce_dt, real, -x)

/* What images and interpolations may be off by, as their rounding: still a probability. */
static const real PROBABILITY_SLACK = (real)1e-6;
static bool is_probability(real t) { return t >= -PROBABILITY_SLACK && t <= 1 + PROBABILITY_SLACK; }

/* The terms of a chunk, and whether a target of theirs, fresh in the cache, is no probability. */
typedef struct CheckedTerms {
  Elements terms;
  atomic_bool odd;
} CheckedTerms;

static void bce_checked(void *context, int64_t begin, int64_t end, int thread) {
  CheckedTerms *c = context;
  bce(&c->terms, begin, end, thread);
  const real *t = c->terms.t;
  int odd = 0;
  for (int64_t i = begin; i < end; i++) odd |= !is_probability(t[i]);
  if (odd) atomic_store_explicit(&c->odd, true, memory_order_relaxed);
}

static bool bce_forward(Call *c, Tensor *y, Error *e) {
  CheckedTerms s = {.terms = {.x = reals(c->in[0]), .t = reals(c->in[1]), .chunks = DEAR}};
  if (!reduce_terms(&s.terms, bce_checked, &s, c->in[0]->numel, c->integer[0], y, e)) return false;
  for (int64_t i = 0; atomic_load(&s.odd) && i < c->in[1]->numel; i++)
    if (!is_probability(s.terms.t[i]))
      return error_set(e, "target: expected probabilities in [0, 1], got %g at position %lld",
                       (double)s.terms.t[i], (long long)i + 1);
  return true;
}
static bool bce_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y, (void)e;
  ParallelBody *const term[] = {bce_dx, bce_dt};
  for (int i = 0; i < 2; i++) {
    if (!dx[i]) continue;
    Elements s = {.x = reals(c->in[0]), .t = reals(c->in[1]), .term = term[i], .chunks = DEAR};
    spread_terms(s, c->in[0]->numel, c->integer[0], dy, dx[i]);
  }
  return true;
}
static const Op op_bce_with_logits = {
    .name = "bce_with_logits",
    .inputs = "x target",
    .doc =
        "The cross-entropy of a Bernoulli variable whose log-odds are x, against targets in [0, "
        "1]: log(1 + e^x) - target x, averaged over all elements. Other targets are refused (1e-6 "
        "beyond is rounding).",
    .save = SAVE_IN0 | SAVE_IN1,
    PARAMS({"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}),
    .shape = mse_shape,
    .forward = bce_forward,
    .backward = bce_backward};

/* Gaussian negative log-likelihood, v the log-variance, up to log(2 pi) / 2:
 * (v + (t - mu)^2 e^-v) / 2,   dmu = (mu - t) e^-v,   dv = (1 - (t - mu)^2 e^-v) / 2,   dt = -dmu
 * In the terms x is mu, t is v and u is the target. e^-v is applied as e^(-v/2) twice, which is
 * finite for twice as many v, and not at all where the error is 0. */
static inline real standard_square(real d, real v) {
  real z = d == 0 ? 0 : d * real_exp((real)-0.5 * v);
  return z * z;
}
static inline real weighted_error(real d, real v) {
  real inverse_sigma = real_exp((real)-0.5 * v);
  return d == 0 ? 0 : d * inverse_sigma * inverse_sigma;
}
#define NLL ((real)0.5 * (t + standard_square(u - x, t)))
TERM(nll, real, NLL)
TERM(nll_with_constant, real, NLL + (real)0.91893853320467274178)
TERM(nll_dmu, real, weighted_error(x - u, t))
TERM(nll_dv, real, (real)0.5 * (1 - standard_square(u - x, t)))
TERM(nll_dt, real, weighted_error(u - x, t))

enum { NLL_CONSTANT, NLL_REDUCTION };

static bool nll_shape(const Call *c, Shape *out, Error *e) {
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  if (!shape_equal(&c->in[0]->shape, &c->in[2]->shape))
    return error_set(e, "target: expected shape %s, got %s", shape_text(&c->in[0]->shape, a),
                     shape_text(&c->in[2]->shape, b));
  return loss_shape(c, "log_var", c->integer[NLL_REDUCTION], out, e);
}
static bool nll_forward(Call *c, Tensor *y, Error *e) {
  Elements s = {.x = reals(c->in[0]), .t = reals(c->in[1]), .u = reals(c->in[2]), .chunks = DEAR};
  ParallelBody *term = c->integer[NLL_CONSTANT] ? nll_with_constant : nll;
  return reduce_terms(&s, term, &s, c->in[0]->numel, c->integer[NLL_REDUCTION], y, e);
}
static bool nll_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y, (void)e;
  ParallelBody *const term[] = {nll_dmu, nll_dv, nll_dt};
  for (int i = 0; i < 3; i++) {
    if (!dx[i]) continue;
    Elements s = {.x = reals(c->in[0]), .t = reals(c->in[1]), .u = reals(c->in[2]), .chunks = DEAR};
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
    PARAMS({"constant", PARAM_BOOL, false, 0, NULL},
           {"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}),
    .shape = nll_shape,
    .forward = nll_forward,
    .backward = nll_backward};

/* ---- KL divergence of N(mu, e^v) from N(0, 1) (Kingma and Welling, 2014) ----
 * summed over the last axis, mean over the others:
 * -1/2 sum(1 + v - mu^2 - e^v),   dmu = mu dy,   dv = (e^v - 1) / 2 dy */

/* Above this log-variance e^v goes on as a straight line: a log-variance that ran away would
 * otherwise be infinite and poison every weight. */
enum { STEEPEST = 80 };
static double excess_variance(real v) { /* e^v - 1 - v */
  double steepest = (double)real_exp(STEEPEST);
  return v > STEEPEST ? (steepest - 1) * (double)v - (STEEPEST - 1) * steepest - 1
                      : (double)real_expm1_rest(v);
}
static real excess_variance_slope(real v) { return real_expm1(v > STEEPEST ? STEEPEST : v); }

static int64_t latent_dims(const Tensor *mu) { return mu->shape.size[mu->shape.dims - 1]; }
static int64_t code_count(const Tensor *mu) {
  int64_t rows = 1;
  for (int d = 0; d < mu->shape.dims - 1; d++) rows *= mu->shape.size[d];
  return rows;
}

static bool kl_shape(const Call *c, Shape *out, Error *e) {
  if (c->in[0]->shape.dims < 1) return error_set(e, "mu: expected [..., latent], got a scalar");
  if (!loss_shape(c, "log_var", c->integer[0], out, e)) return false;
  if (c->integer[0] == REDUCE_NONE) out->dims--;
  return true;
}
static void kl_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const LossRows *s = context;
  const real *mu = reals(s->c->in[0]), *v = reals(s->c->in[1]);
  for (int64_t r = begin; r < end; r++) {
    double sum = 0;
    for (int64_t i = r * s->n; i < (r + 1) * s->n; i++)
      sum += square(mu[i]) + excess_variance(v[i]);
    s->term[r] = sum / 2;
  }
}
static bool kl_forward(Call *c, Tensor *y, Error *e) {
  int64_t n = latent_dims(c->in[0]);
  LossRows s = {.c = c, .n = n, .grain = row_grain(n)};
  int64_t rows = code_count(c->in[0]);
  if (s.n > 0 || c->integer[0] == REDUCE_NONE)
    return reduce_rows(&s, rows, kl_rows, c->integer[0], y, e);
  /* codes without numbers may be very many */
  reals(y)[0] = c->integer[0] == REDUCE_MEAN && rows == 0 ? (real)NAN : 0;
  return true;
}
static void kl_gradient_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const LossRows *s = context;
  const real *mu = reals(s->c->in[0]), *v = reals(s->c->in[1]);
  real *dmu = s->dx[0] ? reals(s->dx[0]) : NULL, *dv = s->dx[1] ? reals(s->dx[1]) : NULL;
  for (int64_t r = begin; r < end; r++) {
    real d = row_scale(s, r);
    for (int64_t i = r * s->n; i < (r + 1) * s->n; i++) {
      if (dmu) dmu[i] = d * mu[i];
      if (dv) dv[i] = d * (real)0.5 * excess_variance_slope(v[i]);
    }
  }
}
static bool kl_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                        Error *e) {
  (void)y, (void)e;
  int64_t n = latent_dims(c->in[0]), rows = code_count(c->in[0]);
  LossRows s = {.c = c, .n = n, .grain = row_grain(n), .dy = dy, .dx = dx};
  s.scale = gradient_scale(c->integer[0], dy, rows);
  if (n > 0) parallel_for(rows, s.grain, kl_gradient_rows, &s);
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
    PARAMS({"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}),
    .shape = kl_shape,
    .forward = kl_forward,
    .backward = kl_backward};

/* ---- cross-entropy from logits [n, classes] and labels [n] (values 0 .. classes - 1) ----
 * -log softmax(x)[label],   dx = (softmax(x) - one_hot(label)) dy */

static bool cross_entropy_shape(const Call *c, Shape *out, Error *e) {
  const Tensor *x = c->in[0], *labels = c->in[1];
  char a[SHAPE_TEXT];
  if (x->shape.dims != 2 || x->shape.size[1] < 1)
    return error_set(e, "x: expected logits [batch, classes], got %s", shape_text(&x->shape, a));
  int64_t rows = x->shape.size[0], classes = x->shape.size[1];
  if (labels->shape.dims != 1 || labels->numel != rows)
    return error_set(e, "labels: expected [%lld], got %s", (long long)rows,
                     shape_text(&labels->shape, a));
  if (!places_check(labels, 0, classes - 1, "labels", e)) return false;
  *out = (Shape){0};
  if (c->integer[0] == REDUCE_NONE) *out = (Shape){.dims = 1, .size = {rows}};
  return true;
}

/* softmax of a row into p; returns -log p[label] = (m - x[label]) + log sum e^(x - m), m the
 * largest: its distance to the label is exact in double precision, even at 3e38 */
static double row_softmax(const real *x, int64_t n, int64_t label, real *p) {
  bool nan;
  real m = row_largest(x, n, 1, &nan);
  real sum = 0;
  if (n < 2 * LANES) { /* a few classes: calls of vectors would cost more */
    for (int64_t i = 0; i < n; i++) sum += p[i] = real_exp(x[i] - m);
  } else {
    EACH_ALONE for (int64_t i = 0; i < n; i++) p[i] = real_exp(x[i] - m);
    sum = (real)row_sum(p, n);
  }
  for (int64_t i = 0; i < n; i++) p[i] /= sum;
  return ((double)m - (double)x[label]) + (double)real_log(sum);
}

static void cross_entropy_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const LossRows *s = context;
  const real *x = reals(s->c->in[0]);
  real *p = reals(s->c->extra[0]);
  for (int64_t r = begin; r < end; r++)
    s->term[r] = row_softmax(x + r * s->n, s->n, place_at(s->c->in[1], r), p + r * s->n);
}
static bool cross_entropy_forward(Call *c, Tensor *y, Error *e) {
  const Tensor *x = c->in[0];
  int64_t n = x->shape.size[1];
  LossRows s = {.c = c, .n = n, .grain = row_grain(n)};
  c->extra[0] = tensor_new(DTYPE_REAL, &x->shape, e); /* p, which the gradient is made of */
  return c->extra[0] && reduce_rows(&s, x->shape.size[0], cross_entropy_rows, c->integer[0], y, e);
}
static void cross_entropy_gradient_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const LossRows *s = context;
  for (int64_t r = begin; r < end; r++) {
    const real *p = reals(s->c->extra[0]) + r * s->n;
    real *d = reals(s->dx[0]) + r * s->n, row = row_scale(s, r);
    for (int64_t i = 0; i < s->n; i++) d[i] = row * p[i];
    d[place_at(s->c->in[1], r)] -= row;
  }
}
static bool cross_entropy_backward(const Call *c, const Tensor *y, const Tensor *dy,
                                   Tensor *const *dx, Error *e) {
  (void)y, (void)e;
  if (dx[1]) memset(dx[1]->data, 0, (size_t)dx[1]->numel * sizeof(real));
  if (!dx[0]) return true;
  int64_t rows = dx[0]->shape.size[0], n = dx[0]->shape.size[1];
  LossRows s = {.c = c, .n = n, .grain = row_grain(n), .dy = dy, .dx = dx};
  s.scale = gradient_scale(c->integer[0], dy, rows);
  parallel_for(rows, s.grain, cross_entropy_gradient_rows, &s);
  return true;
}
static const Op op_cross_entropy = {
    .name = "cross_entropy",
    .inputs = "x labels",
    .doc = "-log softmax(x)[label] for logits x [batch, classes] and class labels [batch] with "
           "values 0..classes-1, averaged over the batch.",
    .flags = OP_PLACES,
    .save = SAVE_IN0 | SAVE_IN1, /* x for a gradient of the gradient */
    PARAMS({"reduction", PARAM_CHOICE, false, 0, REDUCTIONS}),
    .shape = cross_entropy_shape,
    .forward = cross_entropy_forward,
    .backward = cross_entropy_backward};

const Op *const ISA_NAME(ops_loss)[] = {&op_mse_loss,    &op_cross_entropy, &op_bce_with_logits,
                                        &op_gaussian_kl, &op_gaussian_nll,  NULL};
