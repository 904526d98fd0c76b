#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* How often a waiting thread looks before it goes to sleep: some tens of microseconds. Long enough
 * to catch the next small job of a training step, short enough that a busy machine loses nothing. */
enum { SPIN = 4000 };

typedef struct Job {
  ParallelBody *body;
  void *context;
  int64_t n, grain, chunks;
} Job;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t work, done;
  Job job;
  atomic_uint_fast64_t generation; /* counts jobs; a change is the signal to start */
  atomic_int_fast64_t next;        /* the next chunk to claim */
  atomic_int busy;                 /* workers that have not finished the present job */
  atomic_int sleepers;             /* workers asleep on `work` */
  int workers;                     /* started so far, besides the calling thread */
  int threads;                     /* wanted, the calling thread included */
} team = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .work = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

/* What each worker takes as the past when it starts; it must not take up a job before its time. */
static uint_fast64_t born[MAX_THREADS];

static void *scratch[MAX_THREADS];
static size_t scratch_bytes[MAX_THREADS];

static inline void cpu_pause(void) {
#if defined __x86_64__ || defined __i386__
  __builtin_ia32_pause();
#elif defined __aarch64__
  __asm__ volatile("yield");
#endif
}

static void run_chunks(const Job *job, int thread) {
  for (;;) {
    int64_t chunk = atomic_fetch_add(&team.next, 1);
    if (chunk >= job->chunks) return;
    int64_t begin = chunk * job->grain, end = begin + job->grain;
    job->body(job->context, begin, end < job->n ? end : job->n, thread);
  }
}

/* Waits until a job newer than `seen` is there and returns its number. */
static uint_fast64_t await_job(uint_fast64_t seen) {
  for (int i = 0; i < SPIN; i++) {
    uint_fast64_t now = atomic_load(&team.generation);
    if (now != seen) return now;
    cpu_pause();
  }
  pthread_mutex_lock(&team.lock);
  atomic_fetch_add(&team.sleepers, 1);
  while (atomic_load(&team.generation) == seen) pthread_cond_wait(&team.work, &team.lock);
  atomic_fetch_sub(&team.sleepers, 1);
  pthread_mutex_unlock(&team.lock);
  return atomic_load(&team.generation);
}

static void *worker_main(void *argument) {
  int thread = (int)(intptr_t)argument;
  uint_fast64_t seen = born[thread];
  for (;;) {
    seen = await_job(seen);
    if (thread < team.threads) run_chunks(&team.job, thread);
    if (atomic_fetch_sub(&team.busy, 1) == 1) {
      pthread_mutex_lock(&team.lock);
      pthread_cond_signal(&team.done);
      pthread_mutex_unlock(&team.lock);
    }
  }
  return NULL;
}

/* A child of fork has no workers; it starts its own when it needs them. */
static void forget_workers(void) {
  team.workers = 0;
  atomic_store(&team.busy, 0);
  atomic_store(&team.sleepers, 0);
  pthread_mutex_init(&team.lock, NULL);
  pthread_cond_init(&team.work, NULL);
  pthread_cond_init(&team.done, NULL);
}

static void start_workers(void) {
  static bool prepared;
  if (!prepared) {
    pthread_atfork(NULL, NULL, forget_workers);
    prepared = true;
  }
  while (team.workers < team.threads - 1) {
    pthread_t id;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int thread = team.workers + 1;
    born[thread] = atomic_load(&team.generation);
    int failed = pthread_create(&id, &attributes, worker_main, (void *)(intptr_t)thread);
    pthread_attr_destroy(&attributes);
    if (failed) {
      team.threads = team.workers + 1; /* go on with those that the system granted */
      return;
    }
    team.workers++;
  }
}

static void await_workers(void) {
  for (int i = 0; i < SPIN; i++) {
    if (atomic_load(&team.busy) == 0) return;
    cpu_pause();
  }
  pthread_mutex_lock(&team.lock);
  while (atomic_load(&team.busy) != 0) pthread_cond_wait(&team.done, &team.lock);
  pthread_mutex_unlock(&team.lock);
}

void parallel_for(int64_t n, int64_t grain, ParallelBody *body, void *context) {
  if (n <= 0) return;
  Job job = {body, context, n, grain, (n + grain - 1) / grain};
  atomic_store(&team.next, 0);
  if (job.chunks == 1 || parallel_threads() == 1) {
    run_chunks(&job, 0);
    return;
  }
  start_workers();
  team.job = job;
  atomic_store(&team.busy, team.workers);
  pthread_mutex_lock(&team.lock);
  atomic_fetch_add(&team.generation, 1);
  if (atomic_load(&team.sleepers) > 0) pthread_cond_broadcast(&team.work);
  pthread_mutex_unlock(&team.lock);
  run_chunks(&job, 0);
  await_workers();
}

int parallel_threads(void) {
  if (team.threads == 0) {
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                            : (int)sysconf(_SC_NPROCESSORS_ONLN);
    parallel_set_threads(cores);
  }
  return team.threads;
}

void parallel_set_threads(int n) { team.threads = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n; }

bool parallel_reserve(size_t bytes) {
  for (int t = 0; t < parallel_threads(); t++) {
    if (scratch_bytes[t] >= bytes) continue;
    void *fresh;
    if (posix_memalign(&fresh, 64, bytes) != 0) return false;
    free(scratch[t]);
    scratch[t] = fresh;
    scratch_bytes[t] = bytes;
  }
  return true;
}

void *parallel_scratch(int thread) { return scratch[thread]; }
