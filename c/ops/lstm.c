/* Floor 3: a layer of long short-term memory in one direction (Hochreiter and Schmidhuber, 1997),
 * all its steps. What the inputs give to the gates comes made: it needs no state, and is one
 * product. */
#include "base/parallel.h"
#include "ops/families.h"
#include "ops/gemm.h"
#include "simd/math.h"
#include "simd/workspace.h"

#include <string.h>

/* At each step, with a = gates[t] + h[t - 1] weight, in four parts of equal length:
 *   i, f, o = sigmoid(a1, a2, a4), g = tanh(a3),   c[t] = f c[t - 1] + i g,   h[t] = o tanh(c[t])
 * The output is all h and, behind them, the last c. */

enum { REVERSE = 0, GATES = 4, LSTM_GRAIN = 1 << 9 /* elements of a state in a chunk */ };

static bool lstm_shape(const Call *c, Shape *out, Error *e) {
  const Shape *gates = &c->in[0]->shape, *state = &c->in[1]->shape, *weight = &c->in[2]->shape;
  char text[SHAPE_TEXT];
  if (weight->dims != 2 || weight->size[0] < 1 || weight->size[1] != GATES * weight->size[0])
    return error_set(e, "weight: expected [hidden, 4 hidden], got %s", shape_text(weight, text));
  int64_t hidden = weight->size[0];
  if (gates->dims != 3 || gates->size[0] < 1 || gates->size[2] != GATES * hidden)
    return error_set(e, "gates: expected [time, batch, %lld], got %s", (long long)(GATES * hidden),
                     shape_text(gates, text));
  Shape wanted = {3, {2, gates->size[1], hidden}};
  if (!shape_equal(state, &wanted))
    return error_set(e, "state: expected [2, %lld, %lld], got %s", (long long)gates->size[1],
                     (long long)hidden, shape_text(state, text));
  *out = (Shape){3, {gates->size[0] + 1, gates->size[1], hidden}};
  return true;
}

/* One step of a batch. */
typedef struct LstmStep {
  int64_t hidden;
  real *gates;           /* (batch, 4, hidden): a, then i, f, g, o; then their gradients */
  const real *before;    /* c[t - 1] */
  real *cell, *out;      /* c[t] and h[t] */
  const real *dout;      /* ... h's gradient from the output */
  real *dhidden, *dcell; /* ... from the step behind; dcell becomes that of c[t - 1] */
  const real *activated; /* i, f, g, o, of which `gates` gets the gradients */
} LstmStep;

static void step_rows(void *context, int64_t begin, int64_t end, int thread) {
  const LstmStep *s = context;
  int64_t n = s->hidden;
  (void)thread;
  for (int64_t row = begin; row < end; row++) {
    real *restrict a = s->gates + row * GATES * n, *restrict out = s->out + row * n;
    const real *before = s->before + row * n; /* may be the cell's own place */
    real *cell = s->cell + row * n;
    for (int64_t k = 0; k < 2 * n; k++) a[k] = real_sigmoid(a[k]);
    for (int64_t k = 2 * n; k < 3 * n; k++) a[k] = real_tanh(a[k]);
    for (int64_t k = 3 * n; k < 4 * n; k++) a[k] = real_sigmoid(a[k]);
    for (int64_t k = 0; k < n; k++) cell[k] = a[n + k] * before[k] + a[k] * a[2 * n + k];
    for (int64_t k = 0; k < n; k++) out[k] = a[3 * n + k] * real_tanh(cell[k]);
  }
}

static void step_back_rows(void *context, int64_t begin, int64_t end, int thread) {
  const LstmStep *s = context;
  int64_t n = s->hidden;
  (void)thread;
  for (int64_t row = begin; row < end; row++) {
    const real *restrict a = s->activated + row * GATES * n, *restrict cell = s->cell + row * n;
    const real *restrict dout = s->dout + row * n, *restrict before = s->before + row * n;
    const real *restrict dhidden = s->dhidden + row * n;
    real *restrict da = s->gates + row * GATES * n, *restrict dcell = s->dcell + row * n;
    for (int64_t k = 0; k < n; k++) {
      real i = a[k], f = a[n + k], g = a[2 * n + k], o = a[3 * n + k];
      real dh = dout[k] + dhidden[k], turned = real_tanh(cell[k]);
      real dc = dcell[k] + dh * o * (1 - turned * turned);
      da[k] = dc * g * i * (1 - i);
      da[n + k] = dc * before[k] * f * (1 - f);
      da[2 * n + k] = dc * i * (1 - g * g);
      da[3 * n + k] = dh * turned * o * (1 - o);
      dcell[k] = dc * f;
    }
  }
}

/* Less than two chunks are not worth a region. */
static void for_rows(LstmStep *s, int64_t batch, ParallelBody *body) {
  int64_t grain = LSTM_GRAIN / s->hidden + 1;
  parallel_for(batch, 2 * grain > batch ? batch : grain, body, s);
}

/* The sizes of a call. */
typedef struct Lstm {
  int64_t time, batch, hidden, state, row; /* elements of a state and of a step's gates */
  bool reverse;
} Lstm;

static Lstm lstm_of(const Call *c) {
  const int64_t *size = c->in[0]->shape.size;
  int64_t hidden = c->in[2]->shape.size[0];
  return (Lstm){size[0],          size[1],           hidden,
                size[1] * hidden, size[1] * size[2], c->integer[REVERSE] != 0};
}

/* Step number k in its order. */
static int64_t place(const Lstm *l, int64_t k) { return l->reverse ? l->time - 1 - k : k; }

/* Forward leaves what backward reads: i, f, g, o of all steps, and all c, the first one included.
 */
static bool lstm_forward(Call *c, Tensor *y, Error *e) {
  Lstm l = lstm_of(c);
  const real *gates = reals(c->in[0]), *state = reals(c->in[1]);
  real *h = reals(y), *last = h + l.time * l.state;
  Shape all = c->in[0]->shape, cells = y->shape;
  if (!c->record) all.size[0] = 1;
  Tensor *activated = tensor_new(DTYPE_REAL, &all, e);
  if (!activated) return false;
  c->extra[0] = activated;
  if (c->record && !(c->extra[1] = tensor_new(DTYPE_REAL, &cells, e))) return false;
  real *kept = c->record ? reals(c->extra[1]) : NULL;
  size_t bytes = (size_t)l.state * sizeof(real);
  memcpy(kept ? kept : last, state + l.state, bytes);
  for (int64_t k = 0; k < l.time; k++) {
    int64_t t = place(&l, k);
    real *a = reals(activated) + (c->record ? t * l.row : 0);
    memcpy(a, gates + t * l.row, (size_t)l.row * sizeof(real));
    Product p = {.m = l.batch,
                 .n = GATES * l.hidden,
                 .k = l.hidden,
                 .a = k == 0 ? state : h + place(&l, k - 1) * l.state,
                 .b = reals(c->in[2]),
                 .c = a,
                 .add = true,
                 .count = 1};
    if (!ISA_NAME(gemm_all)(&p, 1, NULL, e)) return false;
    LstmStep s = {.hidden = l.hidden,
                  .gates = a,
                  .before = kept ? kept + k * l.state : last,
                  .cell = kept ? kept + (k + 1) * l.state : last,
                  .out = h + t * l.state};
    for_rows(&s, l.batch, step_rows);
  }
  if (kept) memcpy(last, kept + l.time * l.state, bytes);
  return true;
}

/* dw = the sum over the steps of h[t - 1]^T da[t]: of the first, and of all others at once. */
static bool weight_gradient(const Lstm *l, const Call *c, const real *h, const real *da, real *dw,
                            Error *e) {
  int64_t first = place(l, 0);
  Product p[] = {{.m = l->hidden,
                  .n = GATES * l->hidden,
                  .k = l->batch,
                  .a = reals(c->in[1]),
                  .a_transposed = true,
                  .b = da + first * l->row,
                  .c = dw,
                  .count = 1},
                 {.m = l->hidden,
                  .n = GATES * l->hidden,
                  .k = (l->time - 1) * l->batch,
                  .a = l->reverse ? h + l->state : h,
                  .a_transposed = true,
                  .b = l->reverse ? da : da + l->row,
                  .c = dw,
                  .add = true,
                  .count = 1}};
  return ISA_NAME(gemm_all)(&p[0], 1, NULL, e) &&
         (l->time == 1 || ISA_NAME(gemm_all)(&p[1], 1, NULL, e));
}

/* The weight turned over, once for all steps. */
static void turn(const Lstm *l, const real *weight, real *turned) {
  int64_t n = l->hidden, wide = GATES * n;
  for (int64_t j = 0; j < wide; j += 8)
    for (int64_t i = 0; i < n; i++)
      for (int64_t k = j; k < j + 8 && k < wide; k++) turned[k * n + i] = weight[i * wide + k];
}

/* From the last step to the first; dhidden and dcell end as the first state's gradients. */
static bool steps_back(const Lstm *l, const Call *c, const real *dy, const real *turned, real *da,
                       real *dhidden, real *dcell, Error *e) {
  const real *activated = reals(c->extra[0]);
  real *cells = reals(c->extra[1]);
  memset(dhidden, 0, (size_t)l->state * sizeof(real));
  memcpy(dcell, dy + l->time * l->state, (size_t)l->state * sizeof(real));
  for (int64_t k = l->time - 1; k >= 0; k--) {
    int64_t t = place(l, k);
    LstmStep s = {.hidden = l->hidden,
                  .gates = da + t * l->row,
                  .activated = activated + t * l->row,
                  .before = cells + k * l->state,
                  .cell = cells + (k + 1) * l->state,
                  .dout = dy + t * l->state,
                  .dhidden = dhidden,
                  .dcell = dcell};
    for_rows(&s, l->batch, step_back_rows);
    Product p = {.m = l->batch,
                 .n = l->hidden,
                 .k = GATES * l->hidden,
                 .a = s.gates,
                 .b = turned,
                 .c = dhidden,
                 .count = 1};
    if (!ISA_NAME(gemm_all)(&p, 1, NULL, e)) return false;
  }
  return true;
}

static bool lstm_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  Lstm l = lstm_of(c);
  int64_t gates = dx[0] ? 0 : l.time * l.row, states = dx[1] ? 0 : 2 * l.state;
  int64_t weights = GATES * l.hidden * l.hidden;
  Tensor *space = workspace_new((weights + gates + states) * (int64_t)sizeof(real), e);
  if (!space) return false;
  real *turned = reals(space), *rest = turned + weights;
  turn(&l, reals(c->in[2]), turned);
  real *da = dx[0] ? reals(dx[0]) : rest;
  real *dstate = dx[1] ? reals(dx[1]) : rest + gates;
  bool ok = steps_back(&l, c, reals(dy), turned, da, dstate, dstate + l.state, e) &&
            (!dx[2] || weight_gradient(&l, c, reals(y), da, reals(dx[2]), e));
  tensor_release(space);
  return ok;
}

static const Op op_lstm = {
    .name = "lstm",
    .inputs = "gates state weight",
    .flags = OP_HIDDEN,
    .doc = "All steps of a layer of long short-term memory: gates [time, batch, 4 hidden] are what "
           "its inputs give to the gates (input, forget, cell, output), state [2, batch, hidden] h "
           "and c to begin with, weight [hidden, 4 hidden]. The states h of all steps, and behind "
           "them the last c: [time + 1, batch, hidden].",
    .save = SAVE_IN0 | SAVE_IN1 | SAVE_IN2 | SAVE_OUT,
    PARAMS({"reverse", PARAM_BOOL, false, 0, NULL}),
    .shape = lstm_shape,
    .forward = lstm_forward,
    .backward = lstm_backward};

const Op *const ISA_NAME(ops_lstm)[] = {&op_lstm, NULL};
