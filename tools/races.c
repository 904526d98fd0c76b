/* The pool of threads under stress, and the ops that share one row's work through memory of their
 * own: `make races` runs this under ThreadSanitizer, once on futexes and once on the portable way.
 * Jobs of random sizes on random numbers of threads, with pauses in
 * which workers fall asleep; every item must have been worked on once when parallel_for returns.
 * Then the same in a child of fork, and with a signal that interrupts. */
#include "base/parallel.h"
#include "base/places.h"
#include "base/signals.h"
#include "ops/nonzero.h"
#include "ops/sorting.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ITEMS = 4096, JOBS = 3000 };
static const int counts[] = {1, 2, 3, 7, 16, 64};

/* Plain memory: who works on an item unseen by the others, or too late, is a data race. */
static int seen[ITEMS];
static int job;
static bool send; /* the signal, from the job's middle */

static uint64_t state = 1;
static int64_t below(int64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (int64_t)(state >> 33) % n;
}

static void work(void *context, int64_t begin, int64_t end, int thread) {
  if (thread < 0 || thread >= parallel_threads()) abort();
  if (send && begin == 0) signals_send(SIGINT);
  for (int64_t i = begin; i < end; i++) seen[i] += *(int *)context;
}

static void fail(const char *what, int64_t n, int64_t grain) {
  fprintf(stderr, "races: %s: job %d of %lld items, grain %lld, %d threads\n", what, job,
          (long long)n, (long long)grain, parallel_threads());
  exit(1);
}

static void pause_some_time(void) {
  static const int64_t nanoseconds[] = {0, 0, 0, 20000, 200000, 400000};
  struct timespec t = {0, nanoseconds[below(6)]};
  if (t.tv_nsec > 0) nanosleep(&t, NULL);
}

static void one_job(void) {
  int64_t n = 1 + below(below(4) == 0 ? ITEMS : 200), grain = 1 + below(below(4) == 0 ? 100 : 4);
  int add = 1;
  if (below(3) == 0) parallel_set_threads(counts[below(6)], NULL);
  for (int64_t i = 0; i < n; i++) seen[i] = 0;
  pause_some_time();
  parallel_for(n, grain, work, &add);
  for (int64_t i = 0; i < n; i++)
    if (seen[i] != 1) fail(seen[i] ? "worked on twice" : "left out", n, grain);
}

static void jobs(int count) {
  for (job = 0; job < count; job++) one_job();
}

/* Only what follows the signal may be left out, and that is told. */
static void interrupted_job(void) {
  int64_t n = 1 + below(ITEMS), left = 0;
  int add = 1;
  for (int64_t i = 0; i < n; i++) seen[i] = 0;
  parallel_may_stop();
  send = true;
  parallel_for(n, 1, work, &add);
  send = false;
  bool stopped = parallel_was_stopped();
  signals_clear();
  for (int64_t i = 0; i < n; i++) left += seen[i] == 0;
  if (seen[0] != 1 || (left > 0) != stopped) fail("interrupted otherwise than told", n, 1);
}

static void in_child(void) {
  pid_t child = fork();
  if (child == 0) {
    jobs(JOBS / 10);
    _exit(0);
  }
  int status;
  if (waitpid(child, &status, 0) != child || status != 0) fail("a child of fork fails", 0, 0);
}

/* ---- rows ---- */

enum { ROW = 100003 };

static Tensor *row(Dtype dtype) {
  Error e;
  Shape shape = {1, {ROW}};
  Tensor *t = tensor_new(dtype, &shape, &e);
  if (!t) fail(e.text, ROW, 0);
  return t;
}

static void row_on(int count, const Tensor *x, Tensor *y, Tensor *places) {
  Error e;
  parallel_set_threads(count, NULL);
  if (!sort_along(x, 0, false, y, places, &e)) fail(e.text, ROW, 0);
  if (!places_check(places, 1, ROW, "places", &e)) fail(e.text, ROW, 0);
  search_sorted(y, x, false, places);
  if (nonzero_count(x) < ROW && !nonzero_places(x, int64s(places), &e)) fail(e.text, ROW, 0);
}

static void rows(void) {
  static const Dtype types[] = {DTYPE_F32, DTYPE_F64, DTYPE_U8, DTYPE_I64};
  for (int k = 0; k < 4; k++) {
    Tensor *x = row(types[k]), *one = row(types[k]), *more = row(types[k]);
    Tensor *places[] = {row(DTYPE_I64), row(DTYPE_I64)};
    for (int64_t i = 0; i < ROW; i++) tensor_put(x, i, number_whole(below(200)));
    row_on(1, x, one, places[0]);
    row_on(7, x, more, places[1]);
    if (memcmp(one->data, more->data, ROW * dtype_size(types[k])) ||
        memcmp(places[0]->data, places[1]->data, ROW * sizeof(int64_t)))
      fail("a row is another one", ROW, 0);
    tensor_release(x), tensor_release(one), tensor_release(more);
    tensor_release(places[0]), tensor_release(places[1]);
  }
}

int main(void) {
  Error e;
  if (!parallel_choose_threads(&e)) return fprintf(stderr, "races: %s\n", e.text), 1;
  parallel_set_threads(7, NULL);
  jobs(JOBS);
  for (int i = 0; i < 3; i++) in_child();
  jobs(JOBS);
  rows();
  signals_trap((int[]){SIGINT, 0});
  signals_set_raising(true);
  for (job = 0; job < 200; job++) interrupted_job();
  signals_untrap();
  printf("races: %d jobs\n", 2 * JOBS + 200);
  return 0;
}
