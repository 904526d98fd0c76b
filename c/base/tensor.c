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

enum { POOL_CLASSES = 4 * 64, SMALLEST = 256 };

/* A pooled storage. It lies apart from its data: what comes and goes is then handled without a look
 * at pages that a step has driven out of the caches. */
typedef struct Buffer {
  Storage storage;
  struct Buffer *next; /* in the pool */
  int pool_class;
  uint32_t given_back; /* the age of the pool at that time */
} Buffer;

static Buffer *pool[POOL_CLASSES];
static MemoryStats stats;
static uint32_t pool_age;

/* Ages after which an idle buffer goes, and after which it goes where the pool is too full. */
enum { IDLE = 16, IDLE_TOO_FULL = 3 };
static size_t crest[IDLE]; /* the most live bytes in each of the latest ages */

MemoryStats memory_stats(void) { return stats; }

/* The class of the smallest size that holds n bytes. */
static int size_class(size_t n) {
  if (n <= SMALLEST) return 0;
  int power = 63 - __builtin_clzll((unsigned long long)((n - 1) / SMALLEST));
  size_t quarter = ((size_t)SMALLEST << power) / 4;
  return 4 * power + (int)((n - 1) / quarter) - 3;
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

static Buffer *buffer_take(size_t n) {
  int k = size_class(n);
  size_t bytes = class_bytes(k);
  Buffer *b = pool[k];
  if (b) {
    pool[k] = b->next;
    stats.pooled_bytes -= bytes;
  } else {
    if (!(b = buffer_allocate(k))) {
      memory_trim(); /* what the pool keeps may be what is missing */
      if (!(b = buffer_allocate(k))) return NULL;
    }
    stats.system_allocs++;
  }
  stats.live_bytes += bytes;
  stats.taken_bytes += bytes;
  if (stats.live_bytes > stats.peak_bytes) stats.peak_bytes = stats.live_bytes;
  size_t *highest = &crest[pool_age % IDLE];
  if (stats.live_bytes > *highest) *highest = stats.live_bytes;
  return b;
}

static void buffer_give(Buffer *b) {
  size_t bytes = class_bytes(b->pool_class);
  b->given_back = pool_age;
  b->next = pool[b->pool_class];
  pool[b->pool_class] = b;
  stats.live_bytes -= bytes;
  stats.pooled_bytes += bytes;
}

/* Frees the buffers of a list that is sorted by age, the oldest last, from the given place on. */
static void buffers_free(Buffer **list) {
  while (*list) {
    Buffer *b = *list;
    *list = b->next;
    stats.pooled_bytes -= class_bytes(b->pool_class);
    free(b->storage.data);
    free(b);
  }
}

void memory_trim(void) {
  spares_trim();
  for (int k = 0; k < POOL_CLASSES; k++) buffers_free(&pool[k]);
}

/* A steady program holds about as much as is live in its fullest moment. More than twice that was
 * left behind by one whose sizes change. */
static bool pool_is_too_full(void) {
  size_t most = 0;
  for (int i = 0; i < IDLE; i++) most = crest[i] > most ? crest[i] : most;
  return stats.live_bytes + stats.pooled_bytes > 2 * most;
}

/* Frees the buffers that nobody has used for so many ages. */
static void buffers_expire(uint32_t idle) {
  for (int k = 0; k < POOL_CLASSES; k++) {
    Buffer **place = &pool[k];
    while (*place && pool_age - (*place)->given_back < idle) place = &(*place)->next;
    buffers_free(place);
  }
}

void memory_age(void) {
  uint32_t idle = IDLE;
  pool_age++;
  crest[pool_age % IDLE] = stats.live_bytes;
  buffers_expire(idle);
  /* the oldest first: what a steady program uses now stays, whatever another left behind */
  while (idle > IDLE_TOO_FULL && pool_is_too_full()) buffers_expire(--idle);
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
    if (n > most_elements / s->size[d])
      return error_set(e, "shape %s is too large", shape_text(s, text));
    n *= s->size[d];
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
  *t = (Tensor){.refs = 1, .dtype = dtype, .shape = *shape, .numel = shape_numel(shape)};
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

void tensor_release(Tensor *t) {
  if (!t || --t->refs > 0) return;
  storage_release(t->storage);
  spare_give(&spares, t);
}
