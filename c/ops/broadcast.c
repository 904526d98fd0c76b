#include "ops/broadcast.h"

#include "base/parallel.h"

#include <stdlib.h>

enum { GRAIN = 16384 /* elements of a parallel chunk */ };

void broadcast_plan(BroadcastPlan *p, const Shape *out, const Shape *const *in, int inputs) {
  *p = (BroadcastPlan){.inputs = inputs};
  int64_t step[BROADCAST_INPUTS];
  for (int i = 0; i < inputs; i++) step[i] = 1;
  /* From the last axis to the first; the plan is built backwards and turned round at the end. */
  for (int d = 1; d <= out->dims; d++) {
    int64_t n = out->size[out->dims - d], stride[BROADCAST_INPUTS];
    bool merge = p->dims > 0;
    for (int i = 0; i < inputs; i++) {
      int64_t size = d <= in[i]->dims ? in[i]->size[in[i]->dims - d] : 1;
      stride[i] = size == 1 ? 0 : step[i];
      step[i] *= size;
      if (merge) merge = stride[i] == p->stride[i][p->dims - 1] * p->size[p->dims - 1];
    }
    if (n == 1) continue;
    if (merge) {
      p->size[p->dims - 1] *= n;
      continue;
    }
    for (int i = 0; i < inputs; i++) p->stride[i][p->dims] = stride[i];
    p->size[p->dims++] = n;
  }
  if (p->dims == 0) p->size[p->dims++] = 1;
  for (int a = 0, b = p->dims - 1; a < b; a++, b--) {
    int64_t t = p->size[a];
    p->size[a] = p->size[b];
    p->size[b] = t;
    for (int i = 0; i < inputs; i++) {
      t = p->stride[i][a];
      p->stride[i][a] = p->stride[i][b];
      p->stride[i][b] = t;
    }
  }
  p->row = p->size[p->dims - 1];
  p->rows = 1;
  for (int d = 0; d < p->dims - 1; d++) p->rows *= p->size[d];
}

void broadcast_offsets(const BroadcastPlan *p, int64_t r, int64_t offset[BROADCAST_INPUTS]) {
  for (int i = 0; i < p->inputs; i++) offset[i] = 0;
  for (int d = p->dims - 2; d >= 0; d--) {
    int64_t at = r % p->size[d];
    r /= p->size[d];
    for (int i = 0; i < p->inputs; i++) offset[i] += at * p->stride[i][d];
  }
}

typedef struct Apply {
  const BroadcastPlan *plan;
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

static void apply_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Apply *a = context;
  for (int64_t r = begin; r < end; r++) apply_part(a, r, 0, a->plan->row);
}

static void apply_elements(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  apply_part(context, 0, begin, end - begin);
}

void broadcast_apply(Tensor *y, const Tensor *const *in, int inputs, RowKernel *kernel) {
  if (y->numel == 0) return;
  const Shape *shape[BROADCAST_INPUTS];
  BroadcastPlan plan;
  Apply a = {&plan, reals(y), {0}, kernel};
  for (int i = 0; i < inputs; i++) {
    shape[i] = &in[i]->shape;
    a.in[i] = reals(in[i]);
  }
  broadcast_plan(&plan, &y->shape, shape, inputs);
  if (plan.rows == 1) parallel_for(plan.row, GRAIN, apply_elements, &a);
  else parallel_for(plan.rows, plan.row < GRAIN ? GRAIN / plan.row : 1, apply_rows, &a);
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
