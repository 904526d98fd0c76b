#include "base/random.h"

#include "base/parallel.h"

#include <math.h>

/* Grains: blocks of a parallel chunk. */
enum { BLOCK = 4, FILL_GRAIN = 512, NORMAL_GRAIN = 128 };

typedef struct Words {
  uint32_t w[BLOCK];
} Words;

static Words philox(uint64_t seed, uint64_t counter) {
  uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0;
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)b;
    c3 = (uint32_t)a;
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return (Words){{c0, c1, c2, c3}};
}

static Generator shared;

Generator *random_default(void) { return &shared; }

void random_seed(Generator *g, uint64_t seed) { *g = (Generator){.seed = seed}; }

typedef void Convert(const Words *words, float out[BLOCK], double p);

typedef struct Fill {
  Generator generator;
  float *floats;   /* these ... */
  double *doubles; /* ... or these */
  int64_t n, grain;
  Convert *convert;
  double p;
} Fill;

static void fill_body(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Fill *f = context;
  for (int64_t b = begin; b < end; b++) {
    Words words = philox(f->generator.seed, f->generator.block + (uint64_t)b);
    float four[BLOCK];
    f->convert(&words, four, f->p);
    for (int64_t i = 0, at = BLOCK * b; i < BLOCK && at < f->n; i++, at++) {
      if (f->floats) f->floats[at] = four[i];
      else f->doubles[at] = (double)four[i];
    }
  }
}

static void fill(Generator *g, Fill f) {
  int64_t blocks = (f.n + BLOCK - 1) / BLOCK;
  f.generator = *g;
  parallel_for(blocks, f.grain, fill_body, &f);
  g->block += (uint64_t)blocks;
}

static float unit(uint32_t w) { return (float)(w >> 8) * 0x1p-24f; }

static void to_uniform(const Words *words, float out[BLOCK], double p) {
  (void)p;
  for (int i = 0; i < BLOCK; i++) out[i] = unit(words->w[i]);
}

static void to_bernoulli(const Words *words, float out[BLOCK], double p) {
  for (int i = 0; i < BLOCK; i++) out[i] = unit(words->w[i]) < (float)p;
}

static void to_normal(const Words *words, float out[BLOCK], double p) {
  (void)p;
  for (int i = 0; i < BLOCK; i += 2) {
    /* 1 - u lies in (0, 1]: the logarithm stays finite */
    float radius = sqrtf(-2.0f * logf(1.0f - (float)(words->w[i] >> 8) * 0x1p-24f));
    float angle = 6.28318530717958648f * ((float)(words->w[i + 1] >> 8) * 0x1p-24f);
    out[i] = radius * cosf(angle);
    out[i + 1] = radius * sinf(angle);
  }
}

#define FILLS(TYPE, FIELD)                                                                         \
  void random_uniform_##TYPE(Generator *g, TYPE *out, int64_t n) {                                 \
    fill(g, (Fill){.FIELD = out, .n = n, .grain = FILL_GRAIN, .convert = to_uniform});             \
  }                                                                                                \
  void random_normal_##TYPE(Generator *g, TYPE *out, int64_t n) {                                  \
    fill(g, (Fill){.FIELD = out, .n = n, .grain = NORMAL_GRAIN, .convert = to_normal});            \
  }                                                                                                \
  void random_bernoulli_##TYPE(Generator *g, TYPE *out, int64_t n, double p) {                     \
    fill(g, (Fill){.FIELD = out, .n = n, .grain = FILL_GRAIN, .convert = to_bernoulli, .p = p});   \
  }

FILLS(float, floats)
FILLS(double, doubles)

void random_permutation(Generator *g, int64_t *out, int64_t n, int64_t first) {
  for (int64_t i = 0; i < n; i++) out[i] = first + i;
  for (int64_t i = n - 1; i > 0; i--) { /* Fisher and Yates */
    Words words = philox(g->seed, g->block++);
    /* 64 random bits against at most 2^40 items: the bias of the remainder is below 2^-24 */
    uint64_t r = ((uint64_t)words.w[0] << 32 | words.w[1]) % (uint64_t)(i + 1);
    int64_t swap = out[i];
    out[i] = out[r];
    out[r] = swap;
  }
}
