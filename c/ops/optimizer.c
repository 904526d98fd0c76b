/* Floor 3: the optimisers' rows. Each step is a plain loop that the compiler turns into vectors;
 * its numbers are rounded to `real` once, before it. */
#include "ops/optimizer.h"

#include "base/parallel.h"

#include <math.h>

enum {
  STEP_GRAIN = 1 << 14, /* elements of a parallel chunk */
  ROOT_GRAIN = 1 << 13, /* ... of a rule that divides by roots, */
  STEP_CUT = 64,        /* which ends at a multiple of this or with the parameter */
  SUM_CHUNKS = 256,
  SUM_LANES = 16
};

#ifdef LATENT_DOUBLE
#define SQUARE_ROOT sqrt
#else
#define SQUARE_ROOT sqrtf
#endif

/* What the loops of a step read. */
typedef struct Step {
  real *weight, *first, *second, *third; /* of a parameter; first, second, third: its state */
  const real *grad;
  real lr, decay, eps;
  real keep1, add1, keep2, add2; /* how much of the old state stays, how much of the new comes in */
  real correction, shrink, momentum;
  bool nesterov;
} Step;

/* g = grad + decay w;  w -= lr g */
static void sgd_plain(const Step *s, int64_t begin, int64_t end) {
  real *restrict w = s->weight;
  const real *restrict grad = s->grad;
  real lr = s->lr, decay = s->decay;
  for (int64_t i = begin; i < end; i++) w[i] -= lr * (grad[i] + decay * w[i]);
}

/* v = momentum v + (1 - dampening) g, without dampening in the first step
 * w -= lr v,  Nesterov: w -= lr (g + momentum v) */
static void sgd_momentum(const Step *s, int64_t begin, int64_t end) {
  real *restrict w = s->weight, *restrict velocity = s->first;
  const real *restrict grad = s->grad;
  real lr = s->lr, decay = s->decay, keep = s->keep1, add = s->add1;
  /* The step's direction: a of g and b of v. */
  real a = s->nesterov ? 1 : 0, b = s->nesterov ? keep : 1;
  for (int64_t i = begin; i < end; i++) {
    real g = grad[i] + decay * w[i];
    real v = keep * velocity[i] + add * g;
    velocity[i] = v;
    w[i] -= lr * (a * g + b * v);
  }
}

/* m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 * w = shrink w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps), or with the largest v
 * so far in the denominator (Reddi, Kale and Kumar, 2018) */
static inline void adam(const Step *s, int64_t begin, int64_t end, const bool largest) {
  real *restrict w = s->weight, *restrict mean = s->first, *restrict square = s->second;
  real *restrict most = s->third;
  const real *restrict grad = s->grad;
  real lr = s->lr, decay = s->decay, eps = s->eps, shrink = s->shrink;
  real correction = s->correction;
  real keep1 = s->keep1, add1 = s->add1, keep2 = s->keep2, add2 = s->add2;
  for (int64_t i = begin; i < end; i++) {
    real g = grad[i] + decay * w[i];
    real m = keep1 * mean[i] + add1 * g;
    real v = keep2 * square[i] + add2 * g * g;
    mean[i] = m;
    square[i] = v;
    if (largest) v = most[i] = v > most[i] ? v : most[i];
    w[i] = shrink * w[i] - lr * m / (SQUARE_ROOT(v) / correction + eps);
  }
}

static void adam_rule(const Step *s, int64_t begin, int64_t end) {
  if (s->third) adam(s, begin, end, true);
  else adam(s, begin, end, false);
}

/* v = alpha v + (1 - alpha) g^2;  w -= lr g / (sqrt(v) + eps) */
static void rmsprop(const Step *s, int64_t begin, int64_t end) {
  real *restrict w = s->weight, *restrict square = s->first;
  const real *restrict grad = s->grad;
  real lr = s->lr, decay = s->decay, eps = s->eps, keep = s->keep1, add = s->add1;
  for (int64_t i = begin; i < end; i++) {
    real g = grad[i] + decay * w[i];
    real v = keep * square[i] + add * g * g;
    square[i] = v;
    w[i] -= lr * g / (SQUARE_ROOT(v) + eps);
  }
}

/* The same with v less the square of the mean gradient m, where that is kept (Graves, 2013), and
 * with momentum b where that is kept:
 * m = alpha m + (1 - alpha) g;  b = momentum b + g / (sqrt(v - m^2) + eps);  w -= lr b */
static void rmsprop_more(const Step *s, int64_t begin, int64_t end) {
  real *restrict w = s->weight, *restrict square = s->first, *restrict mean = s->second;
  real *restrict velocity = s->third;
  const real *restrict grad = s->grad;
  real lr = s->lr, decay = s->decay, eps = s->eps, keep = s->keep1, add = s->add1;
  for (int64_t i = begin; i < end; i++) {
    real g = grad[i] + decay * w[i];
    real v = keep * square[i] + add * g * g;
    square[i] = v;
    if (mean) {
      real m = mean[i] + add * (g - mean[i]);
      mean[i] = m;
      v = v > m * m ? v - m * m : 0;
    }
    real direction = g / (SQUARE_ROOT(v) + eps);
    if (velocity) direction = velocity[i] = s->momentum * velocity[i] + direction;
    w[i] -= lr * direction;
  }
}

static void rmsprop_rule(const Step *s, int64_t begin, int64_t end) {
  (s->second || s->third ? rmsprop_more : rmsprop)(s, begin, end);
}

/* v = v + g^2;  w -= lr g / (sqrt(initial + v) + eps) */
static void adagrad(const Step *s, int64_t begin, int64_t end) {
  real *restrict w = s->weight, *restrict sum = s->first;
  const real *restrict grad = s->grad;
  real lr = s->lr, decay = s->decay, eps = s->eps, initial = s->add1;
  for (int64_t i = begin; i < end; i++) {
    real g = grad[i] + decay * w[i];
    sum[i] += g * g;
    w[i] -= lr * g / (SQUARE_ROOT(initial + sum[i]) + eps);
  }
}

/* ---- a step over all parameters ---- */

typedef void Rule(const Step *s, int64_t begin, int64_t end);
typedef struct Run {
  const OptimizerStep *o;
  Step s;
  Rule *rule;
} Run;

/* An element's place in its loop decides whether it is computed in a vector or as one of the last
 * few: where chunks are cut between vectors, it is always the same. */
static int64_t cut_at(int64_t at, int64_t n) {
  return at <= 0 ? 0 : at >= n ? n : at / STEP_CUT * STEP_CUT;
}

/* [begin, end) of all parameters in a row. */
static void run_parts(void *context, int64_t begin, int64_t end, int thread) {
  const Run *r = context;
  (void)thread;
  int64_t first = 0;
  for (int64_t i = 0; i < r->o->count && first < end; first += r->o->parts[i++].n) {
    const OptimizerPart *p = &r->o->parts[i];
    int64_t from = cut_at(begin - first, p->n), to = cut_at(end - first, p->n);
    if (from >= to) continue;
    Step s = r->s;
    s.weight = p->weight, s.grad = p->grad;
    s.first = p->array[0], s.second = p->array[1], s.third = p->array[2];
    r->rule(&s, from, to);
  }
}

static void run_step(const OptimizerStep *o, const Step *s, Rule *rule, int64_t grain) {
  Run r = {o, *s, rule};
  int64_t n = 0;
  for (int64_t i = 0; i < o->count; i++) n += o->parts[i].n;
  parallel_for(n, grain, run_parts, &r);
}

/* Uphill is downhill of the negative: -g + decay w = -(g - decay w), so lr and decay change signs,
 * and the loops do not know of it. */
static Step step_of(double lr, double decay, double maximize) {
  double sign = maximize != 0 ? -1 : 1;
  return (Step){.lr = (real)(sign * lr), .decay = (real)(sign * decay)};
}

/* ---- the rows ---- */

enum { SGD_LR, SGD_MOMENTUM, SGD_DAMPENING, SGD_DECAY, SGD_NESTEROV, SGD_MAXIMIZE };

static const char *sgd_check(const double *p) {
  bool fits = p[SGD_MOMENTUM] != 0 && p[SGD_DAMPENING] == 0;
  return p[SGD_NESTEROV] != 0 && !fits ? "nesterov: expected momentum above 0 and no dampening"
                                       : NULL;
}

static void sgd_step(const OptimizerStep *o) {
  const double *p = o->number;
  Step s = step_of(p[SGD_LR], p[SGD_DECAY], p[SGD_MAXIMIZE]);
  s.nesterov = p[SGD_NESTEROV] != 0;
  s.keep1 = (real)p[SGD_MOMENTUM];
  s.add1 = o->step > 1 ? (real)(1 - p[SGD_DAMPENING]) : 1;
  run_step(o, &s, p[SGD_MOMENTUM] != 0 ? sgd_momentum : sgd_plain, STEP_GRAIN);
}

static const Optimizer sgd_row = {.name = "SGD",
                                  .numbers = {{"lr", NUMBER_LEAST_ZERO, 0.01, NULL},
                                              {"momentum", NUMBER_LEAST_ZERO, 0, NULL},
                                              {"dampening", NUMBER_LEAST_ZERO, 0, NULL},
                                              {"weight_decay", NUMBER_LEAST_ZERO, 0, NULL},
                                              {"nesterov", NUMBER_FLAG, 0, NULL},
                                              {"maximize", NUMBER_FLAG, 0, NULL}},
                                  .arrays = {"velocity"},
                                  .check = sgd_check,
                                  .step = sgd_step};

enum {
  ADAM_LR,
  ADAM_BETA1,
  ADAM_BETA2,
  ADAM_EPS,
  ADAM_DECAY,
  ADAM_DECOUPLED,
  ADAM_AMSGRAD,
  ADAM_MAXIMIZE
};

/* Decoupled: the decay acts on the weights, not through the gradient. */
static void adam_step(const OptimizerStep *o) {
  const double *p = o->number;
  bool decoupled = p[ADAM_DECOUPLED] != 0;
  double lr = p[ADAM_LR] / (1 - pow(p[ADAM_BETA1], (double)o->step));
  Step s = step_of(lr, decoupled ? 0 : p[ADAM_DECAY], p[ADAM_MAXIMIZE]);
  s.correction = (real)sqrt(1 - pow(p[ADAM_BETA2], (double)o->step));
  s.eps = (real)p[ADAM_EPS];
  s.shrink = decoupled ? (real)(1 - p[ADAM_LR] * p[ADAM_DECAY]) : 1;
  s.keep1 = (real)p[ADAM_BETA1], s.add1 = (real)(1 - p[ADAM_BETA1]);
  s.keep2 = (real)p[ADAM_BETA2], s.add2 = (real)(1 - p[ADAM_BETA2]);
  run_step(o, &s, adam_rule, ROOT_GRAIN);
}

#define ADAM_ROW(ROW, NAME, DECAY, DECOUPLED)                                                      \
  static const Optimizer ROW = {.name = NAME,                                                      \
                                .numbers = {{"lr", NUMBER_LEAST_ZERO, 1e-3, NULL},                 \
                                            {"beta1", NUMBER_BELOW_ONE, 0.9, "betas"},             \
                                            {"beta2", NUMBER_BELOW_ONE, 0.999, "betas"},           \
                                            {"eps", NUMBER_LEAST_ZERO, 1e-8, NULL},                \
                                            {"weight_decay", NUMBER_LEAST_ZERO, DECAY, NULL},      \
                                            {"decoupled", NUMBER_FIXED, DECOUPLED, NULL},          \
                                            {"amsgrad", NUMBER_FLAG, 0, NULL},                     \
                                            {"maximize", NUMBER_FLAG, 0, NULL}},                   \
                                .arrays = {"mean", "square", "most"},                              \
                                .needs = {NULL, NULL, "amsgrad"},                                  \
                                .step = adam_step};
ADAM_ROW(adam_row, "Adam", 0, 0)
ADAM_ROW(adamw_row, "AdamW", 0.01, 1)

enum {
  RMSPROP_LR,
  RMSPROP_ALPHA,
  RMSPROP_EPS,
  RMSPROP_DECAY,
  RMSPROP_MOMENTUM,
  RMSPROP_CENTERED,
  RMSPROP_MAXIMIZE
};

static void rmsprop_step(const OptimizerStep *o) {
  const double *p = o->number;
  Step s = step_of(p[RMSPROP_LR], p[RMSPROP_DECAY], p[RMSPROP_MAXIMIZE]);
  s.eps = (real)p[RMSPROP_EPS];
  s.keep1 = (real)p[RMSPROP_ALPHA], s.add1 = (real)(1 - p[RMSPROP_ALPHA]);
  s.momentum = (real)p[RMSPROP_MOMENTUM];
  run_step(o, &s, rmsprop_rule, ROOT_GRAIN);
}

static const Optimizer rmsprop_row = {.name = "RMSprop",
                                      .numbers = {{"lr", NUMBER_LEAST_ZERO, 0.01, NULL},
                                                  {"alpha", NUMBER_BELOW_ONE, 0.99, NULL},
                                                  {"eps", NUMBER_LEAST_ZERO, 1e-8, NULL},
                                                  {"weight_decay", NUMBER_LEAST_ZERO, 0, NULL},
                                                  {"momentum", NUMBER_LEAST_ZERO, 0, NULL},
                                                  {"centered", NUMBER_FLAG, 0, NULL},
                                                  {"maximize", NUMBER_FLAG, 0, NULL}},
                                      .arrays = {"square", "mean", "velocity"},
                                      .needs = {NULL, "centered", "momentum"},
                                      .step = rmsprop_step};

enum {
  ADAGRAD_LR,
  ADAGRAD_LR_DECAY,
  ADAGRAD_DECAY,
  ADAGRAD_INITIAL,
  ADAGRAD_EPS,
  ADAGRAD_MAXIMIZE
};

static void adagrad_step(const OptimizerStep *o) {
  const double *p = o->number;
  double lr = p[ADAGRAD_LR] / (1 + (double)(o->step - 1) * p[ADAGRAD_LR_DECAY]);
  Step s = step_of(lr, p[ADAGRAD_DECAY], p[ADAGRAD_MAXIMIZE]);
  s.eps = (real)p[ADAGRAD_EPS];
  s.add1 = (real)p[ADAGRAD_INITIAL];
  run_step(o, &s, adagrad, ROOT_GRAIN);
}

static const Optimizer adagrad_row = {
    .name = "Adagrad",
    .numbers = {{"lr", NUMBER_LEAST_ZERO, 0.01, NULL},
                {"lr_decay", NUMBER_LEAST_ZERO, 0, NULL},
                {"weight_decay", NUMBER_LEAST_ZERO, 0, NULL},
                {"initial_accumulator_value", NUMBER_LEAST_ZERO, 0, NULL},
                {"eps", NUMBER_LEAST_ZERO, 1e-10, NULL},
                {"maximize", NUMBER_FLAG, 0, NULL}},
    .arrays = {"sum"},
    .step = adagrad_step};

const Optimizer *const ISA_NAME(optimizers)[] = {&sgd_row,     &adam_row,    &adamw_row,
                                                 &rmsprop_row, &adagrad_row, NULL};

/* ---- the norm of a gradient ---- */

typedef struct Sum {
  const real *x;
  int64_t grain;
  double part[SUM_CHUNKS];
} Sum;

static void sum_chunk(void *context, int64_t begin, int64_t end, int thread) {
  Sum *s = context;
  (void)thread;
  double lane[SUM_LANES] = {0};
  int64_t i = begin;
  for (; i + SUM_LANES <= end; i += SUM_LANES)
    for (int j = 0; j < SUM_LANES; j++) lane[j] += (double)s->x[i + j] * (double)s->x[i + j];
  for (; i < end; i++) lane[i % SUM_LANES] += (double)s->x[i] * (double)s->x[i];
  double sum = 0;
  for (int j = 0; j < SUM_LANES; j++) sum += lane[j];
  s->part[begin / s->grain] = sum;
}

double ISA_NAME(optimizer_sum_squares)(const void *x, int64_t n) {
  Sum s = {.x = x, .grain = (n + SUM_CHUNKS - 1) / SUM_CHUNKS};
  if (s.grain < STEP_GRAIN) s.grain = STEP_GRAIN;
  parallel_for(n, s.grain, sum_chunk, &s);
  double sum = 0;
  for (int64_t i = 0; i * s.grain < n; i++) sum += s.part[i];
  return sum;
}
