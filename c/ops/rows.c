/* Floor 3: the loops of broadcast.h over elements, and what the graph and the optimisers do with
 * whole tensors. */
#include "ops/rows.h"

#include "base/parallel.h"
#include "ops/broadcast.h"

#include <stdlib.h>

enum { GRAIN = 16384 /* elements of a parallel chunk */ };

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

bool broadcast_sum(const Tensor *from, Tensor *to, double n, Error *e) {
  const Shape *shape[] = {&to->shape};
  BroadcastPlan p;
  broadcast_plan(&p, &from->shape, shape, 1);
  /* In double precision: a bias may gather a million terms. */
  double *sum = calloc((size_t)to->numel + 1, sizeof *sum);
  if (!sum) return error_set(e, "out of memory");
  const real *x = reals(from);
  for (int64_t r = 0; r < p.rows && from->numel > 0; r++, x += p.row) {
    int64_t offset[BROADCAST_INPUTS];
    broadcast_offsets(&p, r, offset);
    double *s = sum + offset[0];
    if (p.stride[0][p.dims - 1] == 0) {
      double row = 0;
      for (int64_t i = 0; i < p.row; i++) row += (double)x[i];
      *s += row;
    } else {
      for (int64_t i = 0; i < p.row; i++) s[i] += (double)x[i];
    }
  }
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

void ISA_NAME(add_into)(Tensor *to, const Tensor *from) {
  parallel_for(to->numel, GRAIN, add_chunk, &(Whole){.to = reals(to), .from = reals(from)});
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
