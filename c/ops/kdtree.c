/* Floor 3: a binary tree of boxes. A node's points are halved along the axis in which a sample of
 * them spreads most, at the sample's median; leaves hold a few vectors of points, by coordinate.
 *
 * The answers are those of looking at all points, to the last bit. A box's bound goes through the
 * same roundings as a distance, each of which keeps the order of its operands, so a bound is never
 * above the computed distance of a point inside. At a bound equal to the k-th distance a box still
 * matters if it holds a smaller index. */
#include "ops/kdtree.h"

#include <stdlib.h>
#include <string.h>

enum {
  LEAF = 4 * LANES, /* points that are not split any more */
  SAMPLE = 31,      /* points that decide about a split */
  DEEPEST = 64      /* where splitting stops whatever the points: no sample does that badly twice */
};

typedef struct Node {
  real low[KDTREE_DIMS], high[KDTREE_DIMS];
  int32_t least;      /* the smallest index inside */
  int32_t begin, end; /* places of a leaf's points */
  int32_t child;      /* the first of two neighbouring children, or 0 */
} Node;

struct KdTree {
  int dims;
  int32_t count, nodes, room;
  Node *node;
  int32_t *index; /* (count): the points in the order of the leaves */
  real *at[KDTREE_DIMS];
  real *coordinates; /* (dims, count), and a vector more to load from */
};

/* While the tree is built. */
typedef struct Builder {
  KdTree *tree;
  const real *points;
  int32_t *spare;
} Builder;

static real coordinate(const Builder *b, int32_t place, int d) {
  return b->points[(int64_t)b->tree->index[place] * b->tree->dims + d];
}

/* Moves the points whose coordinate is below the pivot to the front; both parts keep their order,
 * which puts small indices into early leaves. Without branches on the data. Returns the middle. */
static int32_t split_at(Builder *b, int32_t begin, int32_t end, int d, real pivot) {
  int32_t *index = b->tree->index, left = begin, right = 0;
  for (int32_t i = begin; i < end; i++) {
    int32_t p = index[i];
    bool below = b->points[(int64_t)p * b->tree->dims + d] < pivot;
    index[left] = p;
    b->spare[right] = p;
    left += below;
    right += !below;
  }
  memcpy(index + left, b->spare, (size_t)right * sizeof *index);
  return left;
}

static int compare_reals(const void *a, const void *b) {
  real x = *(const real *)a, y = *(const real *)b;
  return (x > y) - (x < y);
}

/* A split at the median of a sample; false where the sample's points are equal. */
static bool split_by_sample(Builder *b, int32_t begin, int32_t end, int32_t *middle) {
  real value[SAMPLE], widest = 0, pivot = 0;
  int axis = -1;
  for (int d = 0; d < b->tree->dims; d++) {
    for (int64_t i = 0; i < SAMPLE; i++)
      value[i] = coordinate(b, begin + (int32_t)(i * (end - begin - 1) / (SAMPLE - 1)), d);
    real low = value[0], high = value[0];
    for (int i = 1; i < SAMPLE; i++) {
      low = value[i] < low ? value[i] : low;
      high = value[i] > high ? value[i] : high;
    }
    if (!(high - low > widest)) continue;
    axis = d;
    widest = high - low;
    qsort(value, SAMPLE, sizeof *value, compare_reals);
    pivot = value[SAMPLE / 2] > low ? value[SAMPLE / 2] : high;
  }
  if (axis >= 0) *middle = split_at(b, begin, end, axis, pivot);
  return axis >= 0;
}

/* A split in the middle of the widest axis, or of the list where all points are equal. */
static int32_t split_by_box(Builder *b, int32_t begin, int32_t end) {
  real widest = 0, pivot = 0;
  int axis = -1;
  for (int d = 0; d < b->tree->dims; d++) {
    real low = coordinate(b, begin, d), high = low;
    for (int32_t i = begin + 1; i < end; i++) {
      real x = coordinate(b, i, d);
      low = x < low ? x : low;
      high = x > high ? x : high;
    }
    if (!(high - low > widest)) continue;
    axis = d;
    widest = high - low;
    pivot = low / 2 + high / 2;
    if (!(pivot > low && pivot <= high)) pivot = high;
  }
  return axis >= 0 ? split_at(b, begin, end, axis, pivot) : begin + (end - begin) / 2;
}

static bool reserve_children(KdTree *t, int32_t at) {
  if (t->nodes + 2 > t->room) {
    Node *node = realloc(t->node, 2 * (size_t)t->room * sizeof *node);
    if (!node) return false;
    t->node = node;
    t->room *= 2;
  }
  t->node[at].child = t->nodes;
  t->nodes += 2;
  return true;
}

static void finish_leaf(Builder *b, Node *n, int32_t begin, int32_t end) {
  KdTree *t = b->tree;
  *n = (Node){.least = t->index[begin], .begin = begin, .end = end};
  for (int32_t i = begin; i < end; i++)
    if (t->index[i] < n->least) n->least = t->index[i];
  for (int d = 0; d < t->dims; d++) {
    n->low[d] = n->high[d] = coordinate(b, begin, d);
    for (int32_t i = begin; i < end; i++) {
      real x = t->at[d][i] = coordinate(b, i, d);
      n->low[d] = x < n->low[d] ? x : n->low[d];
      n->high[d] = x > n->high[d] ? x : n->high[d];
    }
  }
}

static void join_children(KdTree *t, Node *n) {
  const Node *a = &t->node[n->child], *b = a + 1;
  n->least = a->least < b->least ? a->least : b->least;
  for (int d = 0; d < t->dims; d++) {
    n->low[d] = a->low[d] < b->low[d] ? a->low[d] : b->low[d];
    n->high[d] = a->high[d] > b->high[d] ? a->high[d] : b->high[d];
  }
}

/* Node number `at` over the places [begin, end). */
static bool build(Builder *b, int32_t at, int32_t begin, int32_t end, int depth) {
  KdTree *t = b->tree;
  if (end - begin <= LEAF || depth == DEEPEST) {
    finish_leaf(b, &t->node[at], begin, end);
    return true;
  }
  int32_t middle;
  if (!split_by_sample(b, begin, end, &middle)) middle = split_by_box(b, begin, end);
  if (!reserve_children(t, at)) return false;
  int32_t child = t->node[at].child;
  if (!build(b, child, begin, middle, depth + 1) || !build(b, child + 1, middle, end, depth + 1))
    return false;
  join_children(t, &t->node[at]);
  return true;
}

/* Lists the finite points: NaN and infinity have no place between boxes. */
static void take_finite(KdTree *t, const real *points, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    bool finite = true;
    for (int d = 0; d < t->dims; d++) finite = finite && isfinite(points[i * t->dims + d]);
    t->index[t->count] = (int32_t)i;
    t->count += finite;
  }
}

KdTree *ISA_NAME(kdtree_new)(const real *points, int64_t n, int dims) {
  KdTree *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->dims = dims;
  t->room = 2 + (int32_t)(n / LEAF) * 4;
  t->nodes = 1;
  t->node = calloc((size_t)t->room, sizeof *t->node);
  t->index = malloc(((size_t)n + 1) * sizeof *t->index);
  t->coordinates = calloc((size_t)n * (size_t)dims + LANES, sizeof(real));
  Builder b = {t, points, malloc(((size_t)n + 1) * sizeof *b.spare)};
  bool ok = t->node && t->index && t->coordinates && b.spare;
  if (ok) {
    for (int d = 0; d < dims; d++) t->at[d] = t->coordinates + d * n;
    take_finite(t, points, n);
    ok = t->count == 0 || build(&b, 0, 0, t->count, 0);
  }
  free(b.spare);
  if (ok) return t;
  ISA_NAME(kdtree_free)(t);
  return NULL;
}

void ISA_NAME(kdtree_free)(KdTree *t) {
  if (!t) return;
  free(t->node);
  free(t->index);
  free(t->coordinates);
  free(t);
}

/* The squared distance of a query from a box, 0 inside, in every lane: with vectors because the
 * points' distances are. */
static real bound(const KdTree *t, const Node *n, const real *query) {
  Vec sum = vec_zero();
  for (int d = 0; d < t->dims; d++) {
    Vec x = vec_fill(query[d]), below = vec_fill(n->low[d]) - x, above = x - vec_fill(n->high[d]);
    Vec outside = vec_select(below > above, below, above);
    sum = nearest_add_square(sum, vec_select(outside > vec_zero(), outside, vec_zero()));
  }
  return sum[0];
}

static bool matters(const Node *n, real bound, const Nearest *best) {
  if (best->count < best->k) return true;
  return bound < best->distance[0] || (bound == best->distance[0] && n->least < best->index[0]);
}

static void search_leaf(const KdTree *t, const Node *n, const real *query, Nearest *best) {
  for (int32_t i = n->begin; i < n->end; i += LANES) {
    Vec sum = vec_zero();
    for (int d = 0; d < t->dims; d++)
      sum = nearest_add_square(sum, vec_load(t->at[d] + i) - vec_fill(query[d]));
    /* The last vector may reach into the next leaf. */
    int lanes = n->end - i < LANES ? n->end - i : LANES;
    if (!nearest_any(sum <= vec_fill(nearest_limit(best)))) continue;
    for (int lane = 0; lane < lanes; lane++)
      if (sum[lane] <= nearest_limit(best) && !isinf(sum[lane]))
        nearest_offer(best, t->index[i + lane], sum[lane]);
  }
}

void ISA_NAME(kdtree_search)(const KdTree *t, const real *query, Nearest *best) {
  struct {
    const Node *node;
    real bound;
  } stack[DEEPEST + 2];
  int waiting = 0;
  if (t->count > 0) {
    stack[waiting].node = t->node;
    stack[waiting++].bound = 0;
  }
  while (waiting > 0) {
    const Node *n = stack[--waiting].node;
    real to_n = stack[waiting].bound;
    while (n->child && matters(n, to_n, best)) {
      const Node *near = &t->node[n->child], *far = near + 1;
      real to_near = bound(t, near, query), to_far = bound(t, far, query);
      bool turned = to_far < to_near;
      stack[waiting].node = turned ? near : far;
      stack[waiting++].bound = turned ? to_near : to_far;
      n = turned ? far : near;
      to_n = turned ? to_far : to_near;
    }
    if (!n->child && matters(n, to_n, best)) search_leaf(t, n, query, best);
  }
}
