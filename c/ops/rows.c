/* Floor 3: the loops of broadcast.h over elements, and what the graph and the optimisers do with
 * whole tensors. */
#include "ops/rows.h"

#include "base/parallel.h"
#include "ops/broadcast.h"

#include <stdlib.h>

enum { GRAIN = 16384 /* elements of a parallel chunk */, LINE = 16 /* of the cache, elements */ };

typedef struct Apply {
  const BroadcastPlan *plan;
  int64_t pieces; /* of a row */
  real *y;
  const real *in[BROADCAST_INPUTS];
  RowKernel *kernel;
} Apply;

static void apply_part(const Apply *a, int64_t r, int64_t first, int64_t n) {
  const BroadcastPlan *p = a->plan;
  int64_t offset[BROADCAST_INPUTS], step[BROADCAST_INPUTS];
  const real *in[BROADCAST_INPUTS];
  broadcast_offsets(p, r, offset);
  for (int i = 0; i < p->inputs; i++) {
    step[i] = p->stride[i][p->dims - 1];
    in[i] = a->in[i] + offset[i] + first * step[i];
  }
  a->kernel(a->y + r * p->row + first, in, step, n);
}

/* Pieces of long rows, or whole short ones. */
static void apply_pieces(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Apply *a = context;
  for (int64_t k = begin; k < end; k++) {
    int64_t r = a->pieces == 1 ? k : k / a->pieces;
    int64_t first = (k - r * a->pieces) * GRAIN, left = a->plan->row - first;
    apply_part(a, r, first, left < GRAIN ? left : GRAIN);
  }
}

void broadcast_apply(Tensor *y, const Tensor *const *in, int inputs, RowKernel *kernel) {
  if (y->numel == 0) return;
  const Shape *shape[BROADCAST_INPUTS];
  BroadcastPlan plan;
  Apply a = {.plan = &plan, .y = reals(y), .kernel = kernel};
  for (int i = 0; i < inputs; i++) {
    shape[i] = &in[i]->shape;
    a.in[i] = reals(in[i]);
  }
  broadcast_plan(&plan, &y->shape, shape, inputs);
  a.pieces = (plan.row + GRAIN - 1) / GRAIN;
  parallel_for(plan.rows * a.pieces, plan.row < GRAIN ? GRAIN / plan.row : 1, apply_pieces, &a);
}

/* A sum over axes, cut along one that stays: each output is one part's alone. */
typedef struct BroadcastSum {
  const BroadcastPlan *plan; /* of what is summed; inputs: the sums and what is summed */
  int cut;                   /* the axis; -1: there is none */
  const real *x;
  double *sum;
} BroadcastSum;

static void sum_part(void *context, int64_t begin, int64_t end, int thread) {
  const BroadcastSum *b = context;
  BroadcastPlan p = *b->plan;
  const real *x = b->x;
  double *sum = b->sum;
  (void)thread;
  if (b->cut >= 0) {
    p.size[b->cut] = end - begin;
    sum += begin * p.stride[0][b->cut];
    x += begin * p.stride[1][b->cut];
  }
  int last = p.dims - 1;
  int64_t row = p.size[last], rows = 1, at[MAX_DIMS] = {0};
  for (int d = 0; d < last; d++) rows *= p.size[d];
  for (int64_t r = 0; r < rows; r++) {
    if (p.stride[0][last] == 0) {
      double whole = 0;
      for (int64_t i = 0; i < row; i++) whole += (double)x[i];
      *sum += whole;
    } else {
      for (int64_t i = 0; i < row; i++) sum[i] += (double)x[i];
    }
    for (int d = last - 1; d >= 0; d--) {
      sum += p.stride[0][d];
      x += p.stride[1][d];
      if (++at[d] < p.size[d]) break;
      sum -= at[d] * p.stride[0][d];
      x -= at[d] * p.stride[1][d];
      at[d] = 0;
    }
  }
}

/* The longest axis that stays; the last only where it is the only one, for its parts are parts of
 * rows. */
static int axis_to_cut(const BroadcastPlan *p) {
  int cut = -1;
  for (int d = 0; d < p->dims; d++) {
    bool better = cut < 0 || (d < p->dims - 1 && p->size[d] > p->size[cut]);
    if (p->stride[0][d] != 0 && better) cut = d;
  }
  return cut;
}

bool broadcast_sum(const Tensor *from, Tensor *to, double n, Error *e) {
  const Shape *shape[] = {&to->shape, &from->shape};
  BroadcastPlan p;
  broadcast_plan(&p, &from->shape, shape, 2);
  /* In double precision: a bias may gather a million terms. */
  double *sum = calloc((size_t)to->numel + 1, sizeof *sum);
  if (!sum) return error_set(e, "out of memory");
  BroadcastSum b = {.plan = &p, .cut = axis_to_cut(&p), .x = reals(from), .sum = sum};
  int64_t items = b.cut < 0 ? 1 : p.size[b.cut], least = b.cut == p.dims - 1 ? LINE : 1;
  int64_t grain = GRAIN / (from->numel / (items + 1) + 1) + 1;
  if (from->numel > 0) parallel_for(items, grain > least ? grain : least, sum_part, &b);
  for (int64_t i = 0; i < to->numel; i++) reals(to)[i] = (real)(sum[i] / n);
  free(sum);
  return true;
}

typedef struct Whole {
  real *to;
  const real *from;
  real factor;
} Whole;

static void add_chunk(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Whole *w = context;
  real *restrict a = w->to;
  const real *restrict b = w->from;
  for (int64_t i = begin; i < end; i++) a[i] += b[i];
}

/* The sum with zeros: of -0 it is 0. `from` may be `to`. */
static void first_chunk(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Whole *w = context;
  for (int64_t i = begin; i < end; i++) w->to[i] = 0 + w->from[i];
}

void ISA_NAME(add_into)(Tensor *to, const Tensor *from, bool fresh) {
  Whole w = {.to = reals(to), .from = reals(from)};
  parallel_for(to->numel, GRAIN, fresh ? first_chunk : add_chunk, &w);
}

static void scale_chunk(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Whole *w = context;
  real *x = w->to, by = w->factor;
  for (int64_t i = begin; i < end; i++) x[i] *= by;
}

void ISA_NAME(scale)(Tensor *t, double factor) {
  parallel_for(t->numel, GRAIN, scale_chunk, &(Whole){.to = reals(t), .factor = (real)factor});
}
