#include "parallel.h"

#include "signals.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* How often a waiting thread looks before it goes to sleep: some tens of microseconds. Long enough
 * to catch the next small job of a training step, short enough that a busy machine loses nothing.
 */
enum { SPIN = 1500 };

/* The present job. Workers copy it while it may already be the next one's turn to be written, so
 * the fields are atomic, and a copy counts only if the ticket still names the same job afterwards.
 */
static struct {
  _Atomic(ParallelBody *) body;
  _Atomic(void *) context;
  atomic_int_fast64_t n, grain, chunks;
} shared_job;

/* Upper half: the number of the job, odd while the job is being written; lower half: its next
 * chunk. Claiming a chunk of a job that is over is thereby impossible, and nobody waits for a
 * worker that claimed none. */
static atomic_uint_fast64_t ticket;
static atomic_int_fast64_t finished; /* chunks of the present job */
static atomic_int sleepers;          /* workers asleep on `work` */
static atomic_bool caller_sleeps;    /* on `done` */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static int workers;        /* started so far, besides the calling thread */
static atomic_int threads; /* wanted, the calling thread included; 0 before the first look */

static inline uint64_t ticket_of(uint64_t number) { return number << 32; }
static inline uint64_t job_of(uint64_t t) { return t >> 32; }
static inline bool is_ready(uint64_t number) { return number % 2 == 0; }
static inline int64_t chunk_of(uint64_t t) { return (int64_t)(t & 0xffffffffu); }

typedef struct Job {
  ParallelBody *body;
  void *context;
  int64_t n, grain, chunks;
} Job;

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

static atomic_bool may_stop, stopped;

static void run_chunk(const Job *job, int64_t begin, int thread) {
  int64_t end = begin + job->grain;
  if (atomic_load_explicit(&may_stop, memory_order_relaxed) && signals_interrupting())
    atomic_store(&stopped, true);
  else job->body(job->context, begin, end < job->n ? end : job->n, thread);
}

void parallel_may_stop(void) {
  atomic_store(&stopped, false);
  atomic_store(&may_stop, true);
}

bool parallel_was_stopped(void) {
  atomic_store(&may_stop, false);
  return atomic_load(&stopped);
}

/* Claims and runs chunks of job number `number` until none is left. */
static void run_chunks(const Job *job, uint64_t number, int thread) {
  uint64_t t = atomic_load(&ticket);
  for (;;) {
    int64_t chunk = chunk_of(t);
    if (job_of(t) != number || chunk >= job->chunks) return;
    if (!atomic_compare_exchange_weak(&ticket, &t, t + 1)) continue;
    run_chunk(job, chunk * job->grain, thread);
    if (atomic_fetch_add(&finished, 1) + 1 == job->chunks && atomic_load(&caller_sleeps)) {
      pthread_mutex_lock(&lock);
      pthread_cond_signal(&done);
      pthread_mutex_unlock(&lock);
    }
    t = atomic_load(&ticket);
  }
}

/* Waits until there is a job newer than `seen` and returns its number. */
static uint64_t await_job(uint64_t seen) {
  for (int i = 0; i < SPIN; i++) {
    uint64_t now = job_of(atomic_load(&ticket));
    if (now != seen && is_ready(now)) return now;
    cpu_pause();
  }
  pthread_mutex_lock(&lock);
  atomic_fetch_add(&sleepers, 1);
  uint64_t now;
  while ((now = job_of(atomic_load(&ticket))) == seen || !is_ready(now))
    pthread_cond_wait(&work, &lock);
  atomic_fetch_sub(&sleepers, 1);
  pthread_mutex_unlock(&lock);
  return now;
}

static void *worker_main(void *argument) {
  int thread = (int)(intptr_t)argument;
  uint64_t seen = born[thread];
  for (;;) {
    seen = await_job(seen);
    Job job = {atomic_load(&shared_job.body), atomic_load(&shared_job.context),
               atomic_load(&shared_job.n), atomic_load(&shared_job.grain),
               atomic_load(&shared_job.chunks)};
    if (job_of(atomic_load(&ticket)) == seen && thread < threads) run_chunks(&job, seen, thread);
  }
  return NULL;
}

/* A child of fork has no workers; it starts its own when it needs them. */
static void forget_workers(void) {
  workers = 0;
  atomic_store(&sleepers, 0);
  pthread_mutex_init(&lock, NULL);
  pthread_cond_init(&work, NULL);
  pthread_cond_init(&done, NULL);
}

static void start_workers(void) {
  static bool prepared;
  if (!prepared) {
    pthread_atfork(NULL, NULL, forget_workers);
    prepared = true;
  }
  while (workers < threads - 1) {
    pthread_t id;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int thread = workers + 1;
    born[thread] = job_of(atomic_load(&ticket));
    /* Signals are for the thread that runs Lua: workers inherit a mask that blocks them all. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&id, &attributes, worker_main, (void *)(intptr_t)thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (failed) {
      threads = workers + 1; /* go on with those that the system granted */
      return;
    }
    workers++;
  }
}

static void await_chunks(int64_t chunks) {
  for (int i = 0; i < SPIN; i++) {
    if (atomic_load(&finished) == chunks) return;
    cpu_pause();
  }
  pthread_mutex_lock(&lock);
  atomic_store(&caller_sleeps, true);
  while (atomic_load(&finished) != chunks) pthread_cond_wait(&done, &lock);
  atomic_store(&caller_sleeps, false);
  pthread_mutex_unlock(&lock);
}

static void publish(const Job *job, uint64_t number) {
  atomic_store(&ticket, ticket_of(number - 1));
  atomic_store(&finished, 0);
  atomic_store(&shared_job.body, job->body);
  atomic_store(&shared_job.context, job->context);
  atomic_store(&shared_job.n, job->n);
  atomic_store(&shared_job.grain, job->grain);
  atomic_store(&shared_job.chunks, job->chunks);
  atomic_store(&ticket, ticket_of(number));
  if (atomic_load(&sleepers) == 0) return;
  pthread_mutex_lock(&lock);
  pthread_cond_broadcast(&work);
  pthread_mutex_unlock(&lock);
}

void parallel_for(int64_t n, int64_t grain, ParallelBody *body, void *context) {
  if (n <= 0) return;
  Job job = {body, context, n, grain, (n + grain - 1) / grain};
  if (job.chunks == 1 || parallel_threads() == 1) {
    for (int64_t begin = 0; begin < n; begin += grain) run_chunk(&job, begin, 0);
    return;
  }
  start_workers();
  uint64_t number = (job_of(atomic_load(&ticket)) + 2) & 0xffffffffu;
  publish(&job, number);
  run_chunks(&job, number, 0);
  await_chunks(job.chunks);
}

int parallel_threads(void) {
  if (threads == 0) {
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
    parallel_set_threads(cores);
  }
  return threads;
}

void parallel_set_threads(int n) { threads = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n; }

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
