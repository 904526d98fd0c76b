#include "ops/sorting.h"

#include "base/dtype.h"
#include "base/parallel.h"

#include <math.h>
#include <string.h>

/* ---- keys: whole numbers in the order of the elements ---- */

static const uint64_t TOP = UINT64_C(1) << 63;

static uint64_t key_of(double v) {
  uint64_t bits;
  if (isnan(v)) return UINT64_MAX;
  v += 0; /* -0 becomes 0 */
  memcpy(&bits, &v, sizeof bits);
  return bits & TOP ? ~bits : bits | TOP;
}
static uint64_t key_of_single(float v) {
  uint32_t bits;
  if (isnan(v)) return UINT32_MAX;
  v += 0;
  memcpy(&bits, &v, sizeof bits);
  return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

/* ---- sort: lines of items, each 32 bits of a key above the 32 of its place ----
 *
 * By one digit after the other, from the lowest; one that all keys share is passed over. A line is
 * cut into chunks whose items are counted, and then go where those of the same digit in the chunks
 * before them end. Where keys differ in more than 32 bits, their lower halves come first. */

enum { SHORT_LINE = 32, FEW = 1 << 11, FEW_BITS = 8, MANY_BITS = 11 };
/* Elements of a chunk of whole lines; of a line that is sorted by all threads, and of its chunks.
 */
enum { LINES_GRAIN = 4096, LONG_LINE = 1 << 16, SHARED_LINE = 1 << 14, CHUNK = 1 << 13 };
enum { MOST_CHUNKS = 2 * MAX_THREADS };

typedef struct Sort {
  const Tensor *x;
  Tensor *y, *index;
  AxisView v;
  bool descending;
} Sort;

/* The keys of a line. */
typedef struct Keys {
  Dtype dtype;
  const void *data; /* the first element */
  int64_t step;
  uint64_t flip;  /* of all bits, for descending order */
  uint64_t least; /* is taken off */
  int half;       /* from which bit on they become items' keys */
} Keys;

static inline uint64_t key_at(const Keys *keys, int64_t place) {
  int64_t i = place * keys->step;
  switch (keys->dtype) {
  case DTYPE_F32: return key_of_single(((const float *)keys->data)[i]) ^ keys->flip;
  case DTYPE_F64: return key_of(((const double *)keys->data)[i]) ^ keys->flip;
  case DTYPE_U8: return ((const uint8_t *)keys->data)[i] ^ keys->flip;
  default: return (uint64_t)((const int64_t *)keys->data)[i] ^ TOP ^ keys->flip;
  }
}
static bool keys_are_wide(const Sort *s) { return dtype_size(s->x->dtype) == sizeof(uint64_t); }

static Keys keys_of_line(const Sort *s, int64_t start) {
  uint64_t all = keys_are_wide(s) ? UINT64_MAX : UINT32_MAX;
  return (Keys){.dtype = s->x->dtype,
                .data = (const char *)s->x->data + (size_t)start * dtype_size(s->x->dtype),
                .step = s->v.inner,
                .flip = s->descending ? all : 0};
}

typedef struct Chunk {
  uint64_t least, most; /* keys */
  uint32_t differing;   /* bits of the items' keys that are not those of the first element */
} Chunk;

typedef struct Line {
  const Sort *s;
  int64_t start; /* its first element */
  Keys keys;
  uint64_t *items, *spare;
  uint32_t *count; /* [chunks, 1 << bits] */
  bool shared;     /* with the other threads */
  int64_t chunk;   /* items */
  Chunk *chunks;
  int digit, bits;
} Line;

static int64_t chunks_of(const Line *l) { return (l->s->v.n + l->chunk - 1) / l->chunk; }

static void each_chunk(Line *l, ParallelBody *body) {
  if (l->shared) parallel_for(l->s->v.n, l->chunk, body, l);
  else body(l, 0, l->s->v.n, 0);
}

static void find_range(void *context, int64_t begin, int64_t end, int thread) {
  const Line *l = context;
  const Keys keys = l->keys;
  uint64_t least = UINT64_MAX, most = 0;
  (void)thread;
  for (int64_t k = begin; k < end; k++) {
    uint64_t key = key_at(&keys, k);
    if (key < least) least = key;
    if (key > most) most = key;
  }
  l->chunks[begin / l->chunk].least = least;
  l->chunks[begin / l->chunk].most = most;
}

/* Items of the half, in the order of the elements or, for the second one, of the first. */
static void make_items(void *context, int64_t begin, int64_t end, int thread) {
  const Line *l = context;
  const Keys keys = l->keys;
  uint64_t *items = l->items;
  uint32_t first = (uint32_t)((key_at(&keys, 0) - keys.least) >> keys.half), differing = 0;
  (void)thread;
  for (int64_t k = begin; k < end; k++) {
    uint32_t place = keys.half ? (uint32_t)items[k] : (uint32_t)k;
    uint32_t key = (uint32_t)((key_at(&keys, place) - keys.least) >> keys.half);
    differing |= key ^ first;
    items[k] = (uint64_t)key << 32 | place;
  }
  l->chunks[begin / l->chunk].differing = differing;
}

/* The present digit of an item. */
typedef struct Digit {
  int shift;
  uint32_t mask;
} Digit;

static Digit digit_of_line(const Line *l) {
  return (Digit){32 + l->digit, (UINT32_C(1) << l->bits) - 1};
}
static inline uint32_t digit_of(Digit d, uint64_t item) {
  return (uint32_t)(item >> d.shift) & d.mask;
}

static void count_digits(void *context, int64_t begin, int64_t end, int thread) {
  const Line *l = context;
  const uint64_t *items = l->items;
  uint32_t *count = l->count + (begin / l->chunk << l->bits);
  Digit d = digit_of_line(l);
  (void)thread;
  memset(count, 0, sizeof *count << l->bits);
  for (int64_t k = begin; k < end; k++) count[digit_of(d, items[k])]++;
}

/* Counts become the places where the first item of each digit goes. */
static void place_digits(const Line *l) {
  int64_t digits = INT64_C(1) << l->bits;
  uint32_t place = 0, *end = l->count + chunks_of(l) * digits;
  for (uint32_t *first = l->count; first < l->count + digits; first++)
    for (uint32_t *count = first; count < end; count += digits) {
      uint32_t here = *count;
      *count = place;
      place += here;
    }
}

static void move_items(void *context, int64_t begin, int64_t end, int thread) {
  const Line *l = context;
  const uint64_t *restrict items = l->items;
  uint64_t *restrict spare = l->spare;
  uint32_t *place = l->count + (begin / l->chunk << l->bits);
  Digit d = digit_of_line(l);
  (void)thread;
  for (int64_t k = begin; k < end; k++) spare[place[digit_of(d, items[k])]++] = items[k];
}

static void swap_items(Line *l) {
  uint64_t *swap = l->items;
  l->items = l->spare;
  l->spare = swap;
}

static void sort_items(Line *l) {
  each_chunk(l, make_items);
  uint32_t differing = 0;
  for (int64_t c = 0; c < chunks_of(l); c++) differing |= l->chunks[c].differing;
  l->bits = l->s->v.n < FEW ? FEW_BITS : MANY_BITS;
  for (l->digit = 0; l->digit < 32; l->digit += l->bits) {
    if (digit_of(digit_of_line(l), (uint64_t)differing << 32) == 0) continue;
    each_chunk(l, count_digits);
    place_digits(l);
    each_chunk(l, move_items);
    swap_items(l);
  }
}

/* y_k = x at the place of item k, both lines of elements `step` apart */
#define COPY_IN_ORDER(TYPE)                                                                        \
  static inline void copy_##TYPE(TYPE *restrict y, const TYPE *restrict x, const uint64_t *items,  \
                                 int64_t begin, int64_t end, const int64_t step) {                 \
    for (int64_t k = begin; k < end; k++) y[k * step] = x[(uint32_t)items[k] * step];              \
  }
COPY_IN_ORDER(uint8_t)
COPY_IN_ORDER(uint32_t)
COPY_IN_ORDER(uint64_t)

static inline void write_results(const Line *l, int64_t begin, int64_t end, const int64_t step) {
  const uint64_t *items = l->items;
  int64_t *restrict to = int64s(l->s->index) + l->start;
  size_t size = dtype_size(l->s->x->dtype), first = (size_t)l->start * size;
  void *y = (char *)l->s->y->data + first;
  const void *x = (const char *)l->s->x->data + first;
  for (int64_t k = begin; k < end; k++) to[k * step] = (uint32_t)items[k] + INT64_C(1);
  if (size == sizeof(uint8_t)) copy_uint8_t(y, x, items, begin, end, step);
  else if (size == sizeof(uint32_t)) copy_uint32_t(y, x, items, begin, end, step);
  else copy_uint64_t(y, x, items, begin, end, step);
}

/* The results, in the order of the items. */
static void write_line(void *context, int64_t begin, int64_t end, int thread) {
  const Line *l = context;
  (void)thread;
  if (l->s->v.inner == 1) write_results(l, begin, end, 1);
  else write_results(l, begin, end, l->s->v.inner);
}

/* Of a short line each key is compared with all before it: no branch depends on what they are. */
static void sort_short(Line *l) {
  uint64_t key[SHORT_LINE];
  int64_t rank[SHORT_LINE], n = l->s->v.n;
  for (int64_t i = 0; i < n; i++) {
    uint64_t own = key_at(&l->keys, i);
    int64_t after = 0;
    for (int64_t k = 0; k < i; k++) {
      int64_t above = key[k] > own;
      rank[k] += above;
      after += above;
    }
    key[i] = own;
    rank[i] = i - after;
  }
  for (int64_t i = 0; i < n; i++) l->items[rank[i]] = (uint64_t)i;
}

static void sort_long(Line *l) {
  uint64_t least = 0, most = UINT32_MAX;
  if (keys_are_wide(l->s)) {
    each_chunk(l, find_range);
    least = UINT64_MAX, most = 0;
    for (int64_t c = 0; c < chunks_of(l); c++) {
      if (l->chunks[c].least < least) least = l->chunks[c].least;
      if (l->chunks[c].most > most) most = l->chunks[c].most;
    }
  }
  l->keys.least = least;
  sort_items(l);
  if (most - least <= UINT32_MAX) return;
  l->keys.half = 32;
  sort_items(l);
}

static void sort_line(Line *l) {
  l->keys = keys_of_line(l->s, l->start);
  if (l->s->v.n <= SHORT_LINE) sort_short(l);
  else sort_long(l);
  each_chunk(l, write_line);
}

static int64_t line_start(const Sort *s, int64_t line) {
  return line / s->v.inner * s->v.n * s->v.inner + line % s->v.inner;
}

/* What a line needs beside its counts, in words of 64 bits: its items, twice. */
static void lay_out(Line *l, uint64_t *memory) {
  l->items = memory;
  l->spare = memory + l->s->v.n;
  l->count = (uint32_t *)(memory + 2 * l->s->v.n);
}
static int64_t bytes_of_line(int64_t n, int64_t chunks) {
  return 2 * n * (int64_t)sizeof(uint64_t) + chunks * (int64_t)(sizeof(uint32_t) << MANY_BITS);
}

/* Items: lines. */
static void sort_lines(void *context, int64_t begin, int64_t end, int thread) {
  const Sort *s = context;
  Chunk whole;
  Line l = {.s = s, .chunk = s->v.n, .chunks = &whole};
  for (int64_t line = begin; line < end; line++) {
    l.start = line_start(s, line);
    lay_out(&l, parallel_scratch(thread));
    sort_line(&l);
  }
}

/* One line after the other, each by all threads. */
static bool sort_shared(const Sort *s, int64_t lines, Error *e) {
  Chunk chunks[MOST_CHUNKS];
  int64_t count = s->v.n / CHUNK + 1, most = 2 * parallel_threads();
  if (parallel_threads() == 1) count = 1;
  if (count > most) count = most;
  Shape shape = {.dims = 1, .size = {bytes_of_line(s->v.n, count)}};
  Tensor *memory = tensor_new(DTYPE_U8, &shape, e);
  if (!memory) return false;
  for (int64_t line = 0; line < lines; line++) {
    Line l = {.s = s,
              .start = line_start(s, line),
              .shared = true,
              .chunk = (s->v.n + count - 1) / count,
              .chunks = chunks};
    lay_out(&l, memory->data);
    sort_line(&l);
  }
  tensor_release(memory);
  return true;
}

bool sort_along(const Tensor *x, int64_t axis, bool descending, Tensor *y, Tensor *index,
                Error *e) {
  Sort s = {
      .x = x, .y = y, .index = index, .v = axis_view(&x->shape, axis), .descending = descending};
  int64_t lines = s.v.outer * s.v.inner;
  if (s.v.n > UINT32_MAX)
    return error_set(e, "x: expected at most %lld elements along the axis, got %lld",
                     (long long)UINT32_MAX, (long long)s.v.n);
  if (s.v.n > LONG_LINE || (s.v.n > SHARED_LINE && lines < parallel_threads()))
    return sort_shared(&s, lines, e);
  if (!parallel_reserve(bytes_of_line(s.v.n, 1))) return error_set(e, "out of memory");
  parallel_for(lines, LINES_GRAIN / s.v.n + 1, sort_lines, &s);
  return true;
}

/* ---- search ---- */

enum { SEARCH_GRAIN = 1 << 10, TOGETHER = 8 };

typedef struct Search {
  const Tensor *sorted, *values;
  bool behind;
  int64_t n, each; /* elements of a row of `sorted`, and of the values that belong to it */
  Tensor *y;
} Search;

/* The places of up to TOGETHER values, counted from 0. They walk through the row together, each
 * halving what is left for it: the processor need not wait for the memory of one before it asks for
 * that of the next. BEFORE: whether element a lies before the place of value b. */
#define SEARCH(NAME, TYPE, BEFORE, BEFORE_OR_EQUAL)                                                \
  static void NAME(const TYPE *row, int64_t n, const TYPE *values, int64_t count, bool behind,     \
                   int64_t low[TOGETHER]) {                                                        \
    TYPE v[TOGETHER] = {0};                                                                        \
    memcpy(v, values, (size_t)count * sizeof *v);                                                  \
    for (int i = 0; i < TOGETHER; i++) low[i] = 0;                                                 \
    for (int64_t left = n, half; left > 0; left -= half) {                                         \
      half = (left + 1) / 2;                                                                       \
      for (int i = 0; i < TOGETHER; i++) {                                                         \
        TYPE a = row[low[i] + half - 1], b = v[i];                                                 \
        int64_t before = behind ? (BEFORE_OR_EQUAL) : (BEFORE);                                    \
        low[i] += half & -before; /* not a branch that half of the values take */                  \
      }                                                                                            \
    }                                                                                              \
  }
#define FLOATING_SEARCH(NAME, TYPE)                                                                \
  SEARCH(NAME, TYPE, (a < b) | ((b != b) & (a == a)), (a <= b) | (b != b))

FLOATING_SEARCH(search_singles, float)
FLOATING_SEARCH(search_doubles, double)
SEARCH(search_whole, int64_t, a < b, a <= b)

/* Of one value, whatever the types are. */
static int64_t search_mixed(const Search *s, int64_t start, int64_t value) {
  int64_t low = 0;
  uint64_t key = key_of(value_at(s->values, value));
  for (int64_t left = s->n, half; left > 0; left -= half) {
    half = (left + 1) / 2;
    uint64_t there = key_of(value_at(s->sorted, start + low + half - 1));
    if (s->behind ? there <= key : there < key) low += half;
  }
  return low;
}

/* The places of up to TOGETHER values of the same row. */
static void search_few(const Search *s, int64_t start, int64_t value, int64_t count,
                       int64_t low[TOGETHER]) {
  Dtype dtype = s->sorted->dtype;
  const size_t size = dtype_size(dtype);
  const void *row = (const char *)s->sorted->data + (size_t)start * size;
  const void *values = (const char *)s->values->data + (size_t)value * size;
  if (dtype != s->values->dtype || dtype == DTYPE_U8)
    for (int64_t i = 0; i < count; i++) low[i] = search_mixed(s, start, value + i);
  else if (dtype == DTYPE_F32) search_singles(row, s->n, values, count, s->behind, low);
  else if (dtype == DTYPE_F64) search_doubles(row, s->n, values, count, s->behind, low);
  else search_whole(row, s->n, values, count, s->behind, low);
}

/* Items: values. */
static void search_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Search *s = context;
  (void)thread;
  while (begin < end) {
    int64_t row = begin / s->each, count = (row + 1) * s->each - begin, low[TOGETHER];
    if (count > end - begin) count = end - begin;
    if (count > TOGETHER) count = TOGETHER;
    search_few(s, row * s->n, begin, count, low);
    for (int64_t i = 0; i < count; i++) int64s(s->y)[begin + i] = low[i] + 1;
    begin += count;
  }
}

void search_sorted(const Tensor *sorted, const Tensor *values, bool behind, Tensor *y) {
  const Shape *s = &sorted->shape, *v = &values->shape;
  Search search = {.sorted = sorted,
                   .values = values,
                   .behind = behind,
                   .n = s->size[s->dims - 1],
                   .each = s->dims > 1 ? v->size[v->dims - 1] : values->numel,
                   .y = y};
  parallel_for(values->numel, SEARCH_GRAIN, search_chunk, &search);
}
