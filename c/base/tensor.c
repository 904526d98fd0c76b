#include "base/tensor.h"

#include "base/spares.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

bool error_set(Error *e, const char *format, ...) {
  if (!e) return false;
  va_list args;
  va_start(args, format);
  vsnprintf(e->text, sizeof e->text, format, args);
  va_end(args);
  return false;
}

/* ---- shapes ---- */

int64_t shape_numel(const Shape *s) {
  int64_t n = 1;
  for (int d = 0; d < s->dims; d++) n *= s->size[d];
  return n;
}

bool shape_equal(const Shape *a, const Shape *b) {
  return a->dims == b->dims && memcmp(a->size, b->size, (size_t)a->dims * sizeof a->size[0]) == 0;
}

const char *shape_text(const Shape *s, char text[SHAPE_TEXT]) {
  int used = snprintf(text, SHAPE_TEXT, "[");
  for (int d = 0; d < s->dims; d++)
    used += snprintf(text + used, (size_t)(SHAPE_TEXT - used), d ? ", %lld" : "%lld",
                     (long long)s->size[d]);
  snprintf(text + used, (size_t)(SHAPE_TEXT - used), "]");
  return text;
}

const char *range_text(int64_t n, char text[RANGE_TEXT]) {
  snprintf(text, RANGE_TEXT, n > 0 ? "1..%lld" : "none (there are %lld)", (long long)n);
  return text;
}

bool shape_broadcast(const Shape *a, const Shape *b, Shape *out) {
  Shape s = {.dims = a->dims > b->dims ? a->dims : b->dims};
  for (int d = 1; d <= s.dims; d++) { /* counted from the right */
    int64_t x = d <= a->dims ? a->size[a->dims - d] : 1;
    int64_t y = d <= b->dims ? b->size[b->dims - d] : 1;
    if (x != y && x != 1 && y != 1) return false;
    s.size[s.dims - d] = x == 1 ? y : x;
  }
  *out = s;
  return true;
}

/* ---- storage: a pool of size classes, four to each power of two ---- */

enum { POOL_CLASSES = 4 * 64, SMALLEST_POWER = 8, SMALLEST = 1 << SMALLEST_POWER };

/* A pooled storage. It lies apart from its data: what comes and goes is then handled without a look
 * at pages that a step has driven out of the caches. */
typedef struct Buffer {
  Storage storage;
  struct Buffer *next; /* in the pool */
  int pool_class;
  uint64_t given_back; /* when: stats.taken_bytes, the pool's clock */
} Buffer;

static Buffer *pool[POOL_CLASSES]; /* the latest first */
static MemoryStats stats;

/* The pool's memory of what was needed: its latest ages. One ends behind a collection, and where a
 * program takes much without any that the core hears of, when it has taken that many times what it
 * needed at once. In a small program there is nothing to be saved. */
enum { AGES = 16, AGE_TAKES = 8, SMALL_POOL = 16 << 20 };

typedef struct Age {
  uint64_t start; /* on the pool's clock */
  size_t crest;   /* the most live bytes */
} Age;
static Age ages[AGES];
static unsigned present;
static uint64_t age_ends = (uint64_t)AGE_TAKES * SMALL_POOL;

MemoryStats memory_stats(void) { return stats; }

/* The class of the smallest size that holds n bytes. */
static int size_class(size_t n) {
  if (n <= SMALLEST) return 0;
  int power = 63 - __builtin_clzll((unsigned long long)((n - 1) / SMALLEST));
  int quarter = SMALLEST_POWER + power - 2; /* a power of two: no division for every tensor */
  return 4 * power + (int)((n - 1) >> quarter) - 3;
}

/* That size: 2^p * (4 + quarter) / 4. */
static size_t class_bytes(int k) { return ((size_t)SMALLEST << k / 4) / 4 * (size_t)(4 + k % 4); }

/* Large buffers lie in large pages where the system has them: fewer pages to be handed out when a
 * buffer is first written, and fewer to be looked up when a kernel goes through it by columns. */
static void *data_allocate(size_t bytes) {
  void *data;
#ifdef MADV_HUGEPAGE
  enum { HUGE_PAGE = 2 << 20 };
  if (bytes >= 2 * HUGE_PAGE) {
    if (posix_memalign(&data, HUGE_PAGE, bytes) != 0) return NULL;
    madvise(data, bytes, MADV_HUGEPAGE); /* a wish: where it is refused nothing is lost */
    return data;
  }
#endif
  return posix_memalign(&data, 64, bytes) == 0 ? data : NULL;
}

static Buffer *buffer_allocate(int k) {
  Buffer *b = malloc(sizeof *b);
  void *data = b ? data_allocate(class_bytes(k)) : NULL;
  if (!data) {
    free(b);
    return NULL;
  }
  b->storage.data = data;
  b->pool_class = k;
  return b;
}

static void buffer_free(Buffer *b) {
  stats.pooled_bytes -= class_bytes(b->pool_class);
  free(b->storage.data);
  free(b);
}

/* Frees the buffers that were given back before that time. */
static void buffers_expire(uint64_t time) {
  for (int k = 0; k < POOL_CLASSES; k++) {
    Buffer **place = &pool[k];
    while (*place && (*place)->given_back >= time) place = &(*place)->next;
    while (*place) {
      Buffer *b = *place;
      *place = b->next;
      buffer_free(b);
    }
  }
}

void memory_trim(void) {
  spares_trim();
  buffers_expire(UINT64_MAX);
}

/* A steady program holds hardly more than is live in its fullest moment, for what is free in one
 * moment is used again in another. More than twice that was left behind by one whose sizes change:
 * it goes, what has been idle for longest first, before `more` bytes are added. */
static void pool_limit(size_t more) {
  size_t most = SMALL_POOL / 2;
  for (int i = 0; i < AGES; i++) most = ages[i].crest > most ? ages[i].crest : most;
  uint64_t idle = stats.taken_bytes - ages[(present + 1) % AGES].start;
  while ((uint64_t)stats.live_bytes + stats.pooled_bytes + more > 2 * (uint64_t)most && idle > 0) {
    buffers_expire(stats.taken_bytes - idle);
    idle = idle * 3 / 4;
  }
  age_ends = ages[present % AGES].start + (uint64_t)AGE_TAKES * most;
}

void memory_age(void) {
  present++;
  ages[present % AGES] = (Age){stats.taken_bytes, stats.live_bytes};
  buffers_expire(ages[(present + 1) % AGES].start);
  pool_limit(0);
}

/* One that the pool has not. */
static Buffer *buffer_new(int k) {
  pool_limit(class_bytes(k));
  Buffer *b = buffer_allocate(k);
  if (!b) {
    memory_trim(); /* what the pool keeps may be what is missing */
    b = buffer_allocate(k);
  }
  if (b) stats.system_allocs++;
  return b;
}

static Buffer *buffer_take(size_t n) {
  int k = size_class(n);
  size_t bytes = class_bytes(k);
  Buffer *b = pool[k];
  if (b) {
    pool[k] = b->next;
    stats.pooled_bytes -= bytes;
  } else if (!(b = buffer_new(k))) {
    return NULL;
  }
  stats.live_bytes += bytes;
  stats.taken_bytes += bytes;
  if (stats.live_bytes > stats.peak_bytes) stats.peak_bytes = stats.live_bytes;
  size_t *crest = &ages[present % AGES].crest;
  if (stats.live_bytes > *crest) *crest = stats.live_bytes;
  if (stats.taken_bytes > age_ends) memory_age();
  return b;
}

static void buffer_give(Buffer *b) {
  size_t bytes = class_bytes(b->pool_class);
  b->given_back = stats.taken_bytes;
  b->next = pool[b->pool_class];
  pool[b->pool_class] = b;
  stats.live_bytes -= bytes;
  stats.pooled_bytes += bytes;
}

static Storage *storage_new(size_t bytes) {
  Buffer *b = buffer_take(bytes);
  if (!b) return NULL;
  b->storage = (Storage){.refs = 1, .bytes = bytes, .data = b->storage.data};
  return &b->storage;
}

static void storage_release(Storage *s) {
  if (!s || --s->refs > 0) return;
  if (s->free) s->free(s);
  else buffer_give((Buffer *)s);
}

/* ---- tensors ---- */

/* Any memory is smaller, and the bytes of as many doubles, rounded up and with a header, are still
 * a size_t where that has 32 bits. */
const int64_t most_elements = SIZE_MAX / 4 / sizeof(double) < (UINT64_C(1) << 40)
                                  ? SIZE_MAX / 4 / sizeof(double)
                                  : INT64_C(1) << 40;

/* Sizes whose product would overflow, or exceed any memory, are refused before they are used. A
 * zero among them changes nothing: products of the others are taken, and shapes made by leaving it
 * out. */
bool shape_check(const Shape *s, Error *e) {
  char text[SHAPE_TEXT];
  int64_t n = 1;
  for (int d = 0; d < s->dims; d++) {
    if (s->size[d] < 0) return error_set(e, "negative size in shape %s", shape_text(s, text));
    if (s->size[d] == 0) continue;
    if (__builtin_mul_overflow(n, s->size[d], &n) || n > most_elements)
      return error_set(e, "shape %s is too large", shape_text(s, text));
  }
  return true;
}

static Spares spares;

static Tensor *tensor_raw(Dtype dtype, const Shape *shape, Error *e) {
  Tensor *t = spare_take(&spares, sizeof *t);
  if (!t) {
    error_set(e, "out of memory");
    return NULL;
  }
  t->refs = 1;
  t->dtype = dtype;
  t->shape = *shape;
  t->numel = shape_numel(shape);
  t->storage = NULL;
  t->data = NULL;
  return t;
}

Tensor *tensor_new(Dtype dtype, const Shape *shape, Error *e) {
  if (!shape_check(shape, e)) return NULL;
  Tensor *t = tensor_raw(dtype, shape, e);
  if (!t) return NULL;
  t->storage = storage_new((size_t)t->numel * dtype_size(dtype));
  if (!t->storage) {
    char text[SHAPE_TEXT];
    error_set(e, "out of memory: a tensor of shape %s needs %lld bytes", shape_text(shape, text),
              (long long)t->numel * (long long)dtype_size(dtype));
    spare_give(&spares, t);
    return NULL;
  }
  t->data = t->storage->data;
  return t;
}

Tensor *tensor_view(const Tensor *t, const Shape *shape, int64_t offset, Error *e) {
  Tensor *v = tensor_raw(t->dtype, shape, e);
  if (!v) return NULL;
  v->storage = t->storage;
  v->storage->refs++;
  v->data = (char *)t->data + (size_t)offset * dtype_size(t->dtype);
  return v;
}

Tensor *tensor_of(Storage *s, Dtype dtype, const Shape *shape, size_t offset, Error *e) {
  Tensor *t = tensor_raw(dtype, shape, e);
  if (!t) {
    storage_release(s);
    return NULL;
  }
  t->storage = s;
  t->data = (char *)s->data + offset;
  return t;
}

Tensor *tensor_shell(const Tensor *t, Error *e) { return tensor_raw(t->dtype, &t->shape, e); }

Tensor *tensor_retain(Tensor *t) {
  t->refs++;
  return t;
}

void tensor_free(Tensor *t) {
  storage_release(t->storage);
  spare_give(&spares, t);
}
