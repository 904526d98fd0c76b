#include "base/parallel.h"

#include "base/cpus.h"
#include "base/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often a waiting thread looks before it goes to sleep: some tens of microseconds. Long enough
 * to catch the next small job of a training step, short enough that a busy machine loses nothing.
 */
enum { SPIN = 1500 };

/* Of a worker. The system's own choice is four times that, of which a bounded address space holds
 * few. */
enum { STACK_BYTES = 2 << 20 };

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
static atomic_int threads; /* wanted, the calling thread included; 0 before they are chosen */
static char threads_from[160];

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
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
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
      parallel_set_threads(workers + 1, "as many as the system granted");
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

/* ---- how many ---- */

/* The number in a variable; 0 where it is not set or empty, -1 where it is none. OpenMP's may be a
 * list, for nested levels: the first counts. */
static long number_in(const char *variable, bool list) {
  const char *text = getenv(variable);
  if (!text || !*text) return 0;
  char *end;
  long n = strtol(text, &end, 10);
  end += strspn(end, " \t");
  return end > text && n > 0 && (*end == 0 || (list && *end == ',')) ? n : -1;
}

bool parallel_choose_threads(Error *e) {
  static const char *const own = "LATENT_NUM_THREADS", *const general = "OMP_NUM_THREADS";
  long n = number_in(own, false), others = number_in(general, true);
  if (n < 0 || n > MAX_THREADS)
    return error_set(e, "%s=%.40s: expected a whole number from 1 to %d", own, getenv(own),
                     MAX_THREADS);
  if (threads > 0) return true;
  const char *why = own;
  if (n == 0 && others > 0) n = others, why = general;
  if (n == 0) n = cpus_available(&why);
  parallel_set_threads(n < MAX_THREADS ? (int)n : MAX_THREADS, why);
  size_t used = strlen(threads_from);
  if (others < 0 && why != own) /* it was written for other programs, which go on without it too */
    snprintf(threads_from + used, sizeof threads_from - used, " (%s=%.40s is no number of threads)",
             general, getenv(general));
  return true;
}

int parallel_threads(void) { return threads; }

void parallel_set_threads(int n, const char *why) {
  threads = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
  if (why) snprintf(threads_from, sizeof threads_from, "%s", why);
}

const char *parallel_threads_from(void) { return threads_from; }

bool parallel_reserve(int64_t bytes) {
  if ((uint64_t)bytes > SIZE_MAX / 2) return false;
  for (int t = 0; t < parallel_threads(); t++) {
    if (scratch_bytes[t] >= (size_t)bytes) continue;
    void *fresh;
    if (posix_memalign(&fresh, 64, (size_t)bytes) != 0) return false;
    free(scratch[t]);
    scratch[t] = fresh;
    scratch_bytes[t] = (size_t)bytes;
  }
  return true;
}

void *parallel_scratch(int thread) { return scratch[thread]; }

void parallel_trim(void) {
  for (int t = 0; t < MAX_THREADS; t++) {
    free(scratch[t]);
    scratch[t] = NULL;
    scratch_bytes[t] = 0;
  }
}
