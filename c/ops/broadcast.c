#include "ops/broadcast.h"

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
