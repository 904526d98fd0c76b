/* Floor 1: what a tensor is. Shapes, reference-counted storage, the pool that recycles buffers, the
 * count of live bytes, and Error. Knows nothing of operations, gradients or Lua.
 *
 * Everything here belongs to the one thread that runs Lua; worker threads only touch element data.
 */
#ifndef LATENT_TENSOR_H
#define LATENT_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_DIMS = 8, SHAPE_TEXT = 160, RANGE_TEXT = 32 };

/* Two floating types and two of whole numbers. What a type can hold, and how it is named, stands in
 * dtype.h; how an op's type is chosen, in ops/op.h. */
typedef enum { DTYPE_F32, DTYPE_F64, DTYPE_U8, DTYPE_I64 } Dtype;

/* The floating type of the numeric files, which are compiled once for each: see simd/isa.h. */
#ifdef LATENT_REAL
#ifdef LATENT_DOUBLE
typedef double real;
#define DTYPE_REAL DTYPE_F64
#else
typedef float real;
#define DTYPE_REAL DTYPE_F32
#endif
#endif

typedef struct Error {
  char text[512];
} Error;

/* Fills the error (which may be NULL) and returns false, so that a check reads
 * `return error_set(e, ...)`. */
bool error_set(Error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct Shape {
  int dims;
  int64_t size[MAX_DIMS];
} Shape;

/* The most elements that a shape may have; its zeros, which make it empty, left out. */
extern const int64_t most_elements;

int64_t shape_numel(const Shape *s);
/* Refuses negative sizes and products that no memory could hold (or that would overflow). */
bool shape_check(const Shape *s, Error *e);
bool shape_equal(const Shape *a, const Shape *b);
/* Writes "[128, 784]" and returns its argument. */
const char *shape_text(const Shape *s, char text[SHAPE_TEXT]);
/* Writes what may be counted from 1 to n, "1..3", and returns it; "none (there are 0)" where that
 * is nothing. */
const char *range_text(int64_t n, char text[RANGE_TEXT]);
/* NumPy's rule: sizes are aligned at the right and must be equal or one. */
bool shape_broadcast(const Shape *a, const Shape *b, Shape *out);

typedef struct Storage {
  int refs;
  uint32_t version; /* bumped by every in-place change */
  uint32_t visit;   /* the last walk over tensors that met it: which so finds what it meets twice */
  int awaited;      /* how often it is read by values that the graph has yet to compute */
  /* What copied the elements out of a tensor of which the user may take this for a part ("slice");
   * NULL where it is nothing of the kind. A change in place would be lost, and is refused. */
  const char *part_by;
  size_t bytes;
  void *data;                      /* aligned to 64 bytes */
  void (*free)(struct Storage *s); /* of what is no buffer of the pool; else NULL */
} Storage;

/* Row-major and contiguous, always; a view is another Tensor on the same storage. */
typedef struct Tensor {
  int refs;
  Dtype dtype;
  Shape shape;
  int64_t numel;
  Storage *storage; /* NULL in a shell: a tensor of which only the shape is known */
  void *data;       /* first element, inside storage->data */
} Tensor;

#ifdef LATENT_REAL
static inline real *reals(const Tensor *t) { return t->data; }
#endif
static inline uint8_t *bytes_of(const Tensor *t) { return t->data; }
static inline int64_t *int64s(const Tensor *t) { return t->data; }
static inline size_t dtype_size(Dtype d) { return d == DTYPE_U8 ? 1 : d == DTYPE_F32 ? 4 : 8; }
static inline bool dtype_is_floating(Dtype d) { return d == DTYPE_F32 || d == DTYPE_F64; }
static inline const char *dtype_name(Dtype d) {
  static const char *const names[] = {"float32", "float64", "u8", "i64"};
  return names[d];
}

/* The elements are not initialised. NULL (and e filled) when memory or the sizes forbid it. */
Tensor *tensor_new(Dtype dtype, const Shape *shape, Error *e);
/* A view of t's storage starting `offset` elements into t. */
Tensor *tensor_view(const Tensor *t, const Shape *shape, int64_t offset, Error *e);
/* A tensor of elements that lie in a storage of their own kind, `offset` bytes into it. Takes over
 * the caller's reference to it, also when it fails. */
Tensor *tensor_of(Storage *s, Dtype dtype, const Shape *shape, size_t offset, Error *e);
Tensor *tensor_shell(const Tensor *t, Error *e);
Tensor *tensor_retain(Tensor *t);
void tensor_free(Tensor *t); /* of one that nobody holds any more */
static inline void tensor_release(Tensor *t) {
  if (t && --t->refs == 0) tensor_free(t);
}

typedef struct MemoryStats {
  size_t live_bytes;      /* held by tensors now */
  size_t pooled_bytes;    /* kept for reuse */
  size_t peak_bytes;      /* highest live_bytes so far */
  uint64_t taken_bytes;   /* of all tensors so far */
  uint64_t system_allocs; /* how often a buffer came from the system and not from the pool */
} MemoryStats;

MemoryStats memory_stats(void);
/* Gives the pooled buffers back to the system. */
void memory_trim(void);
/* Called after each collection: gives back the buffers that nobody has used for some collections;
 * more than a few, because how full the moment before a collection is varies from one to the next.
 * Where a program collects by itself, what it takes counts instead. */
void memory_age(void);

#endif
