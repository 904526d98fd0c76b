/* Floor 3: a tensor seen along one axis: [outer, n, inner]. For ops that work along an axis, or
 * over all elements (axis -1: one row of everything). */
#ifndef LATENT_OPS_AXIS_H
#define LATENT_OPS_AXIS_H

#include "../op.h"

typedef struct AxisView {
  int64_t outer, n, inner;
} AxisView;

static inline AxisView axis_view(const Shape *s, int64_t axis) {
  AxisView v = {1, 1, 1};
  if (axis < 0) {
    v.n = shape_numel(s);
    return v;
  }
  for (int d = 0; d < s->dims; d++) {
    int64_t *part = d < axis ? &v.outer : d == axis ? &v.n : &v.inner;
    *part *= s->size[d];
  }
  return v;
}

/* Refuses an axis that the shape does not have. */
static inline bool axis_check(const Shape *s, int64_t axis, Error *e) {
  char text[SHAPE_TEXT];
  if (axis < s->dims) return true;
  return error_set(e, "axis: expected 1..%d (or negative, from the end) for shape %s, got %lld",
                   s->dims, shape_text(s, text), (long long)axis + 1);
}

/* The shape with one axis (or all, for -1) removed, or kept as size 1. */
static inline void axis_reduce(const Shape *s, int64_t axis, bool keep, Shape *out) {
  Shape r = {0};
  for (int d = 0; d < s->dims; d++) {
    if (axis >= 0 && d != axis) r.size[r.dims++] = s->size[d];
    else if (keep) r.size[r.dims++] = 1;
  }
  *out = r;
}

#endif
