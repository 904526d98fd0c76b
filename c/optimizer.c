/* Floor 3: optimiser steps. Each is a plain loop that the compiler turns into vectors; the numbers
 * of a step are rounded to `real` once, before it. */
#include "optimizer.h"

#include "parallel.h"

#include <math.h>

enum {
  STEP_GRAIN = 1 << 14, /* elements a chunk: smaller parameters stay on one thread */
  SUM_CHUNKS = 256,
  SUM_LANES = 16
};

#ifdef LATENT_DOUBLE
#define SQUARE_ROOT sqrt
#else
#define SQUARE_ROOT sqrtf
#endif

typedef struct Step {
  real *weight, *first, *second; /* first and second: the rule's state */
  const real *grad;
  real lr, decay, eps;
  real keep1, add1, keep2, add2; /* how much of the old state stays, how much of the new comes in */
  real correction, shrink;
  bool nesterov;
} Step;

/* g = grad + decay w;  w -= lr g */
static void sgd_plain(void *context, int64_t begin, int64_t end, int thread) {
  const Step *s = context;
  (void)thread;
  real *restrict w = s->weight;
  const real *restrict grad = s->grad;
  real lr = s->lr, decay = s->decay;
  for (int64_t i = begin; i < end; i++) w[i] -= lr * (grad[i] + decay * w[i]);
}

/* v = momentum v + (1 - dampening) g, without dampening in the first step
 * w -= lr v,  Nesterov: w -= lr (g + momentum v) */
static void sgd_momentum(void *context, int64_t begin, int64_t end, int thread) {
  const Step *s = context;
  (void)thread;
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
 * w = shrink w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps) */
static void adam(void *context, int64_t begin, int64_t end, int thread) {
  const Step *s = context;
  (void)thread;
  real *restrict w = s->weight, *restrict mean = s->first, *restrict square = s->second;
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
    w[i] = shrink * w[i] - lr * m / (SQUARE_ROOT(v) / correction + eps);
  }
}

/* v = alpha v + (1 - alpha) g^2;  w -= lr g / (sqrt(v) + eps) */
static void rmsprop(void *context, int64_t begin, int64_t end, int thread) {
  const Step *s = context;
  (void)thread;
  real *restrict w = s->weight, *restrict square = s->second;
  const real *restrict grad = s->grad;
  real lr = s->lr, decay = s->decay, eps = s->eps, keep = s->keep2, add = s->add2;
  for (int64_t i = begin; i < end; i++) {
    real g = grad[i] + decay * w[i];
    real v = keep * square[i] + add * g * g;
    square[i] = v;
    w[i] -= lr * g / (SQUARE_ROOT(v) + eps);
  }
}

void ISA_NAME(optimizer_sgd)(const SgdOptions *o, int64_t step, int64_t n, real *weight,
                             const real *grad, real *velocity) {
  Step s = {.weight = weight, .grad = grad, .first = velocity, .nesterov = o->nesterov};
  s.lr = (real)o->lr;
  s.decay = (real)o->weight_decay;
  s.keep1 = (real)o->momentum;
  s.add1 = step > 1 ? (real)(1 - o->dampening) : 1;
  parallel_for(n, STEP_GRAIN, o->momentum != 0 ? sgd_momentum : sgd_plain, &s);
}

void ISA_NAME(optimizer_adam)(const AdamOptions *o, int64_t step, int64_t n, real *weight,
                              const real *grad, real *mean, real *square) {
  Step s = {.weight = weight, .grad = grad, .first = mean, .second = square};
  s.lr = (real)(o->lr / (1 - pow(o->beta1, (double)step)));
  s.correction = (real)sqrt(1 - pow(o->beta2, (double)step));
  s.eps = (real)o->eps;
  s.decay = o->decoupled ? 0 : (real)o->weight_decay;
  s.shrink = o->decoupled ? (real)(1 - o->lr * o->weight_decay) : 1;
  s.keep1 = (real)o->beta1, s.add1 = (real)(1 - o->beta1);
  s.keep2 = (real)o->beta2, s.add2 = (real)(1 - o->beta2);
  parallel_for(n, STEP_GRAIN, adam, &s);
}

void ISA_NAME(optimizer_rmsprop)(const RmspropOptions *o, int64_t n, real *weight, const real *grad,
                                 real *square) {
  Step s = {.weight = weight, .grad = grad, .second = square};
  s.lr = (real)o->lr;
  s.decay = (real)o->weight_decay;
  s.eps = (real)o->eps;
  s.keep2 = (real)o->alpha, s.add2 = (real)(1 - o->alpha);
  parallel_for(n, STEP_GRAIN, rmsprop, &s);
}

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

double ISA_NAME(optimizer_sum_squares)(const real *x, int64_t n) {
  Sum s = {.x = x, .grain = (n + SUM_CHUNKS - 1) / SUM_CHUNKS};
  if (s.grain < STEP_GRAIN) s.grain = STEP_GRAIN;
  parallel_for(n, s.grain, sum_chunk, &s);
  double sum = 0;
  for (int64_t i = 0; i * s.grain < n; i++) sum += s.part[i];
  return sum;
}
