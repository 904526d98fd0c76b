/* Measures the machine's peak of fused multiply-adds in float32: `peak ISA THREADS` prints GFLOP/s.
 * Each thread works on fourteen independent sums of full vectors that never leave the registers,
 * which hides the latency of the units; twelve hide it not quite where a product and a sum are two
 * instructions. Nothing of latent is in here. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUMS = 14, MAX_THREADS = 256 };
static const int64_t ROUNDS = 4000000;

typedef void Loop(int64_t rounds, float *out);

/* Fourteen variables and not an array, which the compiler would keep in memory. The empty asm keeps
 * it from shortening the chains. */
#define EACH(X)                                                                                    \
  X(s0) X(s1) X(s2) X(s3) X(s4) X(s5) X(s6) X(s7) X(s8) X(s9) X(s10) X(s11) X(s12) X(s13)
#define DECLARE(s) Vector s = a;
#define STEP(s) s = s * a + b;
#define KEEP(s) __asm__("" : "+" REGISTER(s));
#define COLLECT(s) total += s;
#define LOOP(name, lanes, target)                                                                  \
  target static void name(int64_t rounds, float *out) {                                            \
    typedef float Vector __attribute__((vector_size(4 * lanes)));                                  \
    Vector a = {0}, b = {0}, total = {0};                                                          \
    for (int l = 0; l < lanes; l++) a[l] = 0.999f, b[l] = 0.001f;                                  \
    EACH(DECLARE)                                                                                  \
    for (int64_t r = 0; r < rounds; r++) {                                                         \
      EACH(STEP)                                                                                   \
      EACH(KEEP)                                                                                   \
    }                                                                                              \
    EACH(COLLECT)                                                                                  \
    *out = total[0];                                                                               \
  }

#if defined __x86_64__
#define REGISTER "v"
LOOP(loop_baseline, 4, )
LOOP(loop_avx2, 8, __attribute__((target("avx2,fma"))))
LOOP(loop_avx512, 16, __attribute__((target("avx512f,fma"))))
#elif defined __aarch64__
#define REGISTER "w"
LOOP(loop_baseline, 4, )
#else
#define REGISTER "m"
LOOP(loop_baseline, 4, )
#endif

static const struct Kind {
  const char *name;
  int lanes;
  Loop *loop;
} kinds[] = {
#if defined __x86_64__
    {"avx512", 16, loop_avx512},
    {"avx2", 8, loop_avx2},
#endif
    {"baseline", 4, loop_baseline}};

static Loop *chosen;

static void *run(void *out) {
  chosen(ROUNDS, out);
  return NULL;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds_with(int threads) {
  static float out[MAX_THREADS][16]; /* a cache line each */
  pthread_t id[MAX_THREADS];
  int started = 0;
  double start = now();
  while (started < threads - 1 && !pthread_create(&id[started], NULL, run, out[started])) started++;
  if (started < threads - 1) exit(1);
  run(out[started]);
  for (int i = 0; i < started; i++) pthread_join(id[i], NULL);
  return now() - start;
}

int main(int argc, char **argv) {
  int threads = argc > 2 ? atoi(argv[2]) : 1;
  if (threads < 1 || threads > MAX_THREADS) return 1;
  for (size_t i = 0; argc > 1 && i < sizeof kinds / sizeof kinds[0]; i++) {
    if (strcmp(kinds[i].name, argv[1]) != 0) continue;
    chosen = kinds[i].loop;
    double best = 1e9;
    for (int r = 0; r < 25; r++) {
      double s = seconds_with(threads);
      if (s < best) best = s;
    }
    double flops = 2.0 * SUMS * kinds[i].lanes * (double)ROUNDS * threads;
    printf("%.1f\n", flops / best / 1e9);
    return 0;
  }
  fprintf(stderr, "usage: peak baseline|avx2|avx512 threads\n");
  return 1;
}
