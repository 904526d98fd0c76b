/* Floor 3: exact nearest neighbours. Many queries in few dimensions go through a tree; in more
 * dimensions a tree would visit nearly everything, and all points are looked at, several queries
 * against several vectors of training points at a time.
 *
 * Distances are sums of squared differences, not |a|^2 - 2ab + |b|^2: equal points are at distance
 * zero exactly, and ties are real ties. */
#include "ops/knn.h"

#include "ops/kdtree.h"
#include "base/parallel.h"

enum {
  GROUP = 4,                /* queries that share a pass over a tile */
  TILE = 8 * LANES,         /* training points in a tile */
  QUERY_GRAIN = 64 * GROUP, /* queries a chunk: repays turning the tiles around */
  TILE_STEP = 2 * LANES     /* points whose sums are in registers at a time */
};

typedef struct Search {
  const real *train, *query;
  int64_t n;
  int dims, k;
  int32_t *index;
  real *distance;
  const KdTree *tree;
} Search;

static Nearest nearest_of(const Search *s, int64_t query) {
  return (Nearest){
      .index = s->index + query * s->k, .distance = s->distance + query * s->k, .k = s->k};
}

/* Turns `count` points around, (point, dim) to (dim, point); the rest of the tile is at infinity.
 */
static void turn_tile(const real *points, int64_t count, int dims, real *restrict tile) {
  for (int64_t p = 0; p < TILE; p++)
    for (int d = 0; d < dims; d++)
      tile[(int64_t)d * TILE + p] = p < count ? points[p * dims + d] : (real)INFINITY;
}

/* distance[q] (TILE) from each query of the group to the tile's points; returns in least[q] the
 * least of each lane, so that most tiles need no second look. */
static void tile_distances(const real *tile, int dims, const real *const query[GROUP],
                           real distance[GROUP][TILE], Vec least[GROUP]) {
  for (int q = 0; q < GROUP; q++) least[q] = vec_fill((real)INFINITY);
  for (int p = 0; p < TILE; p += TILE_STEP) {
    Vec low[GROUP], high[GROUP];
    for (int q = 0; q < GROUP; q++) low[q] = high[q] = vec_zero();
    for (int d = 0; d < dims; d++) {
      const real *row = tile + (int64_t)d * TILE + p;
      Vec a = vec_load(row), b = vec_load(row + LANES);
      for (int q = 0; q < GROUP; q++) {
        Vec x = vec_fill(query[q][d]), to_a = a - x, to_b = b - x;
        low[q] = nearest_add_square(low[q], to_a);
        high[q] = nearest_add_square(high[q], to_b);
      }
    }
    for (int q = 0; q < GROUP; q++) {
      vec_store(distance[q] + p, low[q]);
      vec_store(distance[q] + p + LANES, high[q]);
      least[q] = vec_select(low[q] < least[q], low[q], least[q]);
      least[q] = vec_select(high[q] < least[q], high[q], least[q]);
    }
  }
}

/* Up to GROUP queries starting at `first` against one tile that begins at point `start`.
 * `thorough`: take infinite and NaN distances too. */
static void search_tile(const Search *s, const real *tile, int64_t start, int64_t first, int count,
                        Nearest *best, bool thorough) {
  const real *query[GROUP];
  for (int q = 0; q < GROUP; q++) query[q] = s->query + (first + (q < count ? q : 0)) * s->dims;
  real distance[GROUP][TILE];
  Vec least[GROUP];
  tile_distances(tile, s->dims, query, distance, least);
  int valid = s->n - start < TILE ? (int)(s->n - start) : TILE;
  for (int q = 0; q < count; q++) {
    if (!thorough && !nearest_any(least[q] < vec_fill(nearest_limit(&best[q])))) continue;
    for (int p = 0; p < valid; p++)
      if (thorough || distance[q][p] < nearest_limit(&best[q]))
        nearest_offer(&best[q], (int32_t)(start + p), distance[q][p]);
  }
}

/* The queries [begin, end) against all points. */
static void search_all(const Search *s, int64_t begin, int64_t end, Nearest *best, real *tile,
                       bool thorough) {
  for (int64_t start = 0; start < s->n; start += TILE) {
    int64_t count = s->n - start < TILE ? s->n - start : TILE;
    turn_tile(s->train + start * s->dims, count, s->dims, tile);
    for (int64_t i = begin; i < end; i += GROUP) {
      int group = end - i < GROUP ? (int)(end - i) : GROUP;
      search_tile(s, tile, start, i, group, best + (i - begin), thorough);
    }
  }
}

static void search_tree(const Search *s, int64_t query, Nearest *best) {
  const real *x = s->query + query * s->dims;
  for (int d = 0; d < s->dims; d++)
    if (!isfinite(x[d])) return; /* nothing is at a finite distance */
  ISA_NAME(kdtree_search)(s->tree, x, best);
}

static void search_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Search *s = context;
  real *tile = parallel_scratch(thread);
  Nearest best[QUERY_GRAIN];
  for (int64_t i = begin; i < end; i++) best[i - begin] = nearest_of(s, i);
  if (!s->tree) search_all(s, begin, end, best, tile, false);
  for (int64_t i = begin; i < end; i++) {
    Nearest *b = &best[i - begin];
    if (s->tree) search_tree(s, i, b);
    if (b->count < s->k) { /* fewer distances are finite: once more with the others */
      b->count = 0;
      search_all(s, i, i + 1, b, tile, true);
    }
    nearest_sort(b);
  }
}

/* Whether a tree repays its building: a point costs about as much there as in 200 comparisons. */
static bool tree_pays(const Search *s, int64_t queries) {
  return s->dims >= 1 && s->dims <= KDTREE_DIMS && s->n >= 1024 && queries >= 256 &&
         s->k <= s->n / 32;
}

bool ISA_NAME(knn)(const void *train, int64_t n, const void *query, int64_t m, int dims, int k,
                   int32_t *index, void *distance, Error *e) {
  if (n > INT32_MAX) return error_set(e, "train: more than %d points", INT32_MAX);
  if (k < 1 || k > n)
    return error_set(e, "k: expected 1 to %lld (the training points), got %d", (long long)n, k);
  if (!parallel_reserve((int64_t)dims * TILE * (int64_t)sizeof(real)))
    return error_set(e, "out of memory");
  Search s = {train, query, n, dims, k, index, distance, NULL};
  KdTree *tree = NULL;
  if (tree_pays(&s, m)) {
    tree = ISA_NAME(kdtree_new)(train, n, dims);
    if (!tree) return error_set(e, "out of memory");
  }
  s.tree = tree;
  parallel_for(m, QUERY_GRAIN, search_chunk, &s);
  ISA_NAME(kdtree_free)(tree);
  return true;
}
