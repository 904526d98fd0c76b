/* Floor 3: exact nearest neighbours by looking at all of them, several queries against several
 * vectors of training points at a time. No tree: it would have to be exact for thousands of equal
 * points too, and in 16 dimensions it would visit nearly everything.
 *
 * Distances are sums of squared differences, not |a|^2 - 2ab + |b|^2: equal points are at distance
 * zero exactly, and ties are real ties. */
#include "knn.h"

#include "parallel.h"
#include "simd/vec.h"

#include <math.h>

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
} Search;

/* The k best of one query so far, in the caller's arrays. */
typedef struct Best {
  int32_t *index;
  real *distance;
  int count;
} Best;

/* x - 0 and not 0 + x: the compiler may leave the former out. */
VEC_INLINE Vec spread(real x) { return x - vec_zero(); }

static bool any(VecMask mask) {
  lane_int found = 0;
  for (int i = 0; i < LANES; i++) found |= mask[i];
  return found != 0;
}

/* Whether distance a goes before distance b; of two equal ones neither does. */
static bool nearer(real a, real b) { return a < b || (isnan(b) && !isnan(a)); }

static void best_insert(Best *best, int k, int32_t index, real distance) {
  if (best->count == k && !nearer(distance, best->distance[k - 1])) return;
  int at = best->count < k ? best->count++ : k - 1;
  for (; at > 0 && nearer(distance, best->distance[at - 1]); at--) {
    best->index[at] = best->index[at - 1];
    best->distance[at] = best->distance[at - 1];
  }
  best->index[at] = index;
  best->distance[at] = distance;
}

/* What a point must come below to be of interest: everything finite until k are found. */
static real best_threshold(const Best *best, int k) {
  return best->count < k ? (real)INFINITY : best->distance[k - 1];
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
  for (int q = 0; q < GROUP; q++) least[q] = spread((real)INFINITY);
  for (int p = 0; p < TILE; p += TILE_STEP) {
    Vec low[GROUP], high[GROUP];
    for (int q = 0; q < GROUP; q++) low[q] = high[q] = vec_zero();
    for (int d = 0; d < dims; d++) {
      const real *row = tile + (int64_t)d * TILE + p;
      Vec a = vec_load(row), b = vec_load(row + LANES);
      for (int q = 0; q < GROUP; q++) {
        Vec x = spread(query[q][d]), to_a = a - x, to_b = b - x;
        low[q] += to_a * to_a;
        high[q] += to_b * to_b;
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
                        Best *best, bool thorough) {
  const real *query[GROUP];
  for (int q = 0; q < GROUP; q++) query[q] = s->query + (first + (q < count ? q : 0)) * s->dims;
  real distance[GROUP][TILE];
  Vec least[GROUP];
  tile_distances(tile, s->dims, query, distance, least);
  int valid = s->n - start < TILE ? (int)(s->n - start) : TILE;
  for (int q = 0; q < count; q++) {
    if (!thorough && !any(least[q] < spread(best_threshold(&best[q], s->k)))) continue;
    for (int p = 0; p < valid; p++)
      if (thorough || distance[q][p] < best_threshold(&best[q], s->k))
        best_insert(&best[q], s->k, (int32_t)(start + p), distance[q][p]);
  }
}

static void search_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Search *s = context;
  real *tile = parallel_scratch(thread);
  Best best[QUERY_GRAIN];
  for (int64_t i = begin; i < end; i++)
    best[i - begin] = (Best){s->index + i * s->k, s->distance + i * s->k, 0};
  for (int64_t start = 0; start < s->n; start += TILE) {
    int64_t count = s->n - start < TILE ? s->n - start : TILE;
    turn_tile(s->train + start * s->dims, count, s->dims, tile);
    for (int64_t i = begin; i < end; i += GROUP) {
      int group = end - i < GROUP ? (int)(end - i) : GROUP;
      search_tile(s, tile, start, i, group, best + (i - begin), false);
    }
  }
  /* Where fewer than k distances are finite, once more with the others. */
  for (int64_t i = begin; i < end; i++) {
    if (best[i - begin].count == s->k) continue;
    best[i - begin].count = 0;
    for (int64_t start = 0; start < s->n; start += TILE) {
      int64_t count = s->n - start < TILE ? s->n - start : TILE;
      turn_tile(s->train + start * s->dims, count, s->dims, tile);
      search_tile(s, tile, start, i, 1, best + (i - begin), true);
    }
  }
}

bool ISA_NAME(knn)(const real *train, int64_t n, const real *query, int64_t m, int dims, int k,
                   int32_t *index, real *distance, Error *e) {
  if (n > INT32_MAX) return error_set(e, "train: more than %d points", INT32_MAX);
  if (k < 1 || k > n)
    return error_set(e, "k: expected 1 to %lld (the training points), got %d", (long long)n, k);
  if (!parallel_reserve((size_t)dims * TILE * sizeof(real))) return error_set(e, "out of memory");
  Search s = {train, query, n, dims, k, index, distance};
  parallel_for(m, QUERY_GRAIN, search_chunk, &s);
  return true;
}
