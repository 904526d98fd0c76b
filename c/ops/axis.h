/* Floor 3: a tensor seen along one axis: [outer, n, inner]. For ops that work along an axis, or
 * over all elements (axis -1: one row of everything). */
#ifndef LATENT_OPS_AXIS_H
#define LATENT_OPS_AXIS_H

#include "ops/op.h"

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

/* The shape of extremes; parameters axis, keepdim. Refuses an axis without elements. */
static inline bool axis_extreme_shape(const Call *c, Shape *out, Error *e) {
  const Shape *s = &c->in[0]->shape;
  char text[SHAPE_TEXT];
  if (!axis_check(s, c->integer[0], e)) return false;
  if (axis_view(s, c->integer[0]).n == 0)
    return error_set(e, "x: expected at least one element to choose from, got shape %s",
                     shape_text(s, text));
  axis_reduce(s, c->integer[0], c->integer[1], out);
  return true;
}

/* ---- several axes: a list at the beginning of a call's integers; none is all of them ---- */

static inline bool axes_have(const Call *c, int axis) {
  int64_t count = c->integer[0];
  if (count == 0) return true;
  for (int64_t i = 1; i <= count; i++)
    if (c->integer[i] == axis) return true;
  return false;
}

/* The input's shape with these axes of size 1. */
static inline Shape axes_kept(const Call *c) {
  Shape s = c->in[0]->shape;
  for (int d = 0; d < s.dims; d++)
    if (axes_have(c, d)) s.size[d] = 1;
  return s;
}

/* The shape without these axes (or, to keep them, with size 1); refuses what is no list of axes. */
static inline bool axes_shape(const Call *c, bool keep, Shape *out, Error *e) {
  const Shape *s = &c->in[0]->shape;
  for (int64_t i = 1; i <= c->integer[0]; i++) {
    if (!axis_check(s, c->integer[i], e)) return false;
    for (int64_t k = 1; k < i; k++)
      if (c->integer[k] == c->integer[i])
        return error_set(e, "axis: %lld is given twice", (long long)c->integer[i] + 1);
  }
  Shape r = {0};
  for (int d = 0; d < s->dims; d++) {
    if (!axes_have(c, d)) r.size[r.dims++] = s->size[d];
    else if (keep) r.size[r.dims++] = 1;
  }
  *out = r;
  return true;
}

/* How many elements become one. */
static inline double axes_terms(const Call *c) {
  double n = 1;
  for (int d = 0; d < c->in[0]->shape.dims; d++)
    if (axes_have(c, d)) n *= (double)c->in[0]->shape.size[d];
  return n;
}

#endif
