/* Floor 2: sums over all but the last axis, and values that repeat along it. Rows of c channels are
 * seen as blocks of whole vectors: after c / gcd(c, LANES) of them the same channels come again, so
 * that any number of channels fills the vectors. */
#ifndef LATENT_SIMD_CHANNELS_H
#define LATENT_SIMD_CHANNELS_H

#include "base/ranges.h"
#include "simd/vec.h"

#include <string.h>

enum {
  CHANNEL_CHUNK = 1 << 15, /* elements of a chunk, about */
  CHANNEL_LEAST = 1 << 13  /* ... where more threads want smaller ones */
};

typedef struct Channels {
  int64_t rows, channels;
  int64_t vectors; /* of a block: at least eight, so that their sums overlap in time */
  int64_t block;   /* its rows */
  int64_t chunk;   /* rows of a parallel chunk */
  int64_t chunks;
} Channels;

static inline Channels channels_of(int64_t rows, int64_t channels) {
  int64_t a = channels, b = LANES;
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  Channels c = {.rows = rows, .channels = channels, .vectors = channels / a};
  if (c.vectors < 8) c.vectors *= (8 + c.vectors - 1) / c.vectors;
  c.block = c.vectors * LANES / channels;
  c.chunk = CHANNEL_CHUNK / (c.block * channels) * c.block;
  if (c.chunk == 0) c.chunk = c.block;
  c.chunks = (rows + c.chunk - 1) / c.chunk;
  return c;
}

/* Rows of a parallel chunk where no sums are made, which may depend on the threads: several chunks
 * are cut where the threads are more. */
static inline int64_t channels_grain(const Channels *c) {
  int64_t blocks = c->rows / c->block / parallel_threads() + 1;
  int64_t least = CHANNEL_LEAST / (c->block * c->channels);
  if (blocks < least) blocks = least;
  return c->chunks > 1 && blocks * c->block < c->chunk ? blocks * c->block : c->chunk;
}

/* The channels' values, repeated through a block. */
static inline void channels_repeat(const Channels *c, const real *values, real *block) {
  for (int64_t r = 0; r < c->block; r++)
    memcpy(block + r * c->channels, values, (size_t)c->channels * sizeof(real));
}

/* A block of lane sums to sums of channels, in order. From here on sums are doubles: they may be
 * small against their terms, and are few. */
static inline void channels_fold(const Channels *c, const real *block, double *sums) {
  for (int64_t i = 0; i < c->channels; i++) sums[i] = (double)block[i];
  for (int64_t r = 1; r < c->block; r++)
    for (int64_t i = 0; i < c->channels; i++) sums[i] += (double)block[r * c->channels + i];
}

/* The blocks of a chunk are visited in tiles, a tile in strips: of so many vectors at most the
 * sums, two kinds of them, stay in registers while the tile's blocks pass by. */
enum { CHANNEL_STRIP = VEC_BYTES == 64 ? 8 : 4, CHANNEL_TILE = 16 };

typedef struct ChannelSum {
  Channels c;
  const real *x;
  Tensor *space;
  double *partial; /* (chunks, channels), in it */
} ChannelSum;

/* Adds the blocks from x on to `end`, in `vectors` vectors from column v on. */
VEC_INLINE void channel_sum_strip(const real *x, const real *end, int64_t v, int64_t width,
                                  const int vectors, real *sums) {
  Vec sum[CHANNEL_STRIP];
  VEC_UNROLL for (int k = 0; k < vectors; k++) sum[k] = vec_load(sums + v + k * LANES);
  for (x += v; x < end; x += width)
    VEC_UNROLL for (int k = 0; k < vectors; k++) sum[k] += vec_load(x + k * LANES);
  VEC_UNROLL for (int k = 0; k < vectors; k++) vec_store(sums + v + k * LANES, sum[k]);
}

static void channel_sum_chunk(void *context, int64_t begin, int64_t end, int thread) {
  enum { STRIP = CHANNEL_STRIP };
  const ChannelSum *s = context;
  const Channels *c = &s->c;
  int64_t width = c->vectors * LANES;
  real *sum = parallel_scratch(thread);
  double *partial = s->partial + begin / c->chunk * c->channels;
  memset(sum, 0, (size_t)c->vectors * sizeof(Vec));
  for (int64_t blocks; (blocks = (end - begin) / c->block) > 0; begin += blocks * c->block) {
    if (blocks > CHANNEL_TILE) blocks = CHANNEL_TILE;
    const real *x = s->x + begin * c->channels, *stop = x + blocks * width;
    int64_t v = 0;
    for (; v + STRIP * LANES <= width; v += STRIP * LANES)
      channel_sum_strip(x, stop, v, width, STRIP, sum);
    for (; v < width; v += LANES) channel_sum_strip(x, stop, v, width, 1, sum);
  }
  channels_fold(c, sum, partial);
  for (; begin < end; begin++)
    for (int64_t i = 0; i < c->channels; i++) partial[i] += (double)s->x[begin * c->channels + i];
}

/* Partial sums of chunks, added in order into those of the first. */
static inline void channels_add_up(const Channels *c, double *partial) {
  for (int64_t k = 1; k < c->chunks; k++)
    for (int64_t i = 0; i < c->channels; i++) partial[i] += partial[k * c->channels + i];
}
static inline void channels_total(const Channels *c, double *partial, real *sums) {
  channels_add_up(c, partial);
  for (int64_t i = 0; i < c->channels; i++) sums[i] = c->chunks > 0 ? (real)partial[i] : 0;
}

/* Memory for n doubles. */
static inline Tensor *channels_space(int64_t n, Error *e) {
  Shape shape = {1, {n * (int64_t)(sizeof(double) / sizeof(real))}};
  return tensor_new(DTYPE_REAL, &shape, e);
}

/* The sums over the rows of x, in one range of work: what that leaves in `partial`, channels_total
 * adds up. */
static inline bool channel_sum_begin(ChannelSum *s, const real *x, int64_t rows, int64_t channels,
                                     Error *e) {
  *s = (ChannelSum){.c = channels_of(rows, channels), .x = x};
  if (!parallel_reserve(s->c.vectors * (int64_t)sizeof(Vec))) return error_set(e, "out of memory");
  s->space = channels_space(s->c.chunks * channels, e);
  if (!s->space) return false;
  s->partial = s->space->data;
  return true;
}
static inline ParallelRange channel_sum_range(ChannelSum *s) {
  return (ParallelRange){s->c.rows, s->c.chunk, channel_sum_chunk, s};
}

#endif
