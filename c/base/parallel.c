#include "base/parallel.h"

#include "base/cpus.h"
#include "base/futex.h"
#include "base/regions.h"
#include "base/signals.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a thread that waits looks before it goes to sleep. A worker: longer than a training step
 * takes from one parallel region to the next. The calling thread at the end of a job: about as long
 * as a chunk takes. Where processors are short, looking only keeps others from their work. */
enum { PATIENCE_NS = 200000, PATIENCE_AT_END_NS = 50000, PATIENCE_CROWDED_NS = 5000 };
/* They are short where there are more threads, and for a time after somebody has made use of it
 * that a thread, waiting for longer than this, let others go first between two looks. */
enum { LOOKS = 16, ALONE_NS = 30000, GIVEN_AWAY_NS = 20000, CROWDED_NS = 20000000 };

/* Of a worker. The system's own choice is four times that, of which a bounded address space holds
 * few. */
enum { STACK_BYTES = 2 << 20 };

/* Two cache lines, for processors fetch them in pairs: what one thread writes often shares them
 * with nothing that another one reads. */
enum { APART = 128 };

/* The present job. It is written while no worker is at work, and read by those that have taken it.
 */
typedef struct Job {
  ParallelBody *body;
  void *context;
  int64_t n, grain, chunks;
  int threads; /* that take part: 0, the calling one, up to this */
} Job;
static _Alignas(APART) Job job;

/* What a worker is doing. FREE, it waits for an offer, and it alone makes that ASLEEP. The calling
 * thread offers a job (OFFERED; CALLED to one asleep, which somebody has to wake and then says
 * OFFERED) and takes the offer back when there is nothing left to do. Only who has TAKEN it in time
 * is waited for: AWAITED while the calling thread sleeps. Leaving, the worker says FREE. */
typedef enum Turn { FREE, ASLEEP, OFFERED, CALLED, TAKEN, AWAITED } Turn;

/* Of each thread; 0 is the calling one. The chunks of a job are dealt out in equal parts. A thread
 * takes from the front of its own and, when that is empty, from the back of the others'. */
typedef struct Slot {
  _Alignas(APART) atomic_uint turn;
  atomic_uint_fast64_t part; /* lower half: its first chunk, upper half: the one behind its last */
  int64_t crowded_until;     /* it alone knows: until when others want its processor */
} Slot;
static Slot slots[MAX_THREADS];

static _Alignas(APART) atomic_int sleepers; /* workers asleep, or about to be */
static int workers;                         /* started so far, besides the calling thread */
static atomic_int threads;    /* wanted, the calling thread included; 0 before they are chosen */
static atomic_int processors; /* that this process may use */
static char threads_from[160];

static void *scratch[MAX_THREADS];
static size_t scratch_bytes[MAX_THREADS];

/* ---- chunks ---- */

static atomic_bool may_stop, stopped;

static void run_chunk(const Job *j, int64_t begin, int thread) {
  int64_t end = begin + j->grain;
  if (atomic_load_explicit(&may_stop, memory_order_relaxed) && signals_interrupting())
    atomic_store(&stopped, true);
  else j->body(j->context, begin, end < j->n ? end : j->n, thread);
}

/* One chunk after the other, each of them timed. */
static void run_watched(const Job *j) {
  regions_begin();
  for (int64_t begin = 0; begin < j->n; begin += j->grain) {
    run_chunk(j, begin, 0);
    regions_chunk();
  }
}

void parallel_may_stop(void) {
  atomic_store(&stopped, false);
  atomic_store(&may_stop, true);
}

bool parallel_was_stopped(void) {
  atomic_store(&may_stop, false);
  return atomic_load(&stopped);
}

static inline uint64_t part_of(uint64_t first, uint64_t end) { return end << 32 | first; }

/* Takes a chunk of slot `of`; -1 where none is left. */
static int64_t claim(int of, bool front) {
  uint64_t part = atomic_load(&slots[of].part);
  for (;;) {
    uint64_t first = part & UINT32_MAX, end = part >> 32;
    if (first >= end) return -1;
    uint64_t rest = front ? part_of(first + 1, end) : part_of(first, end - 1);
    if (atomic_compare_exchange_weak(&slots[of].part, &part, rest))
      return (int64_t)(front ? first : end - 1);
  }
}

static void run_chunks(int thread) {
  for (int i = 0; i < job.threads; i++) {
    int of = (thread + i) % job.threads;
    for (int64_t chunk; (chunk = claim(of, i == 0)) >= 0;)
      run_chunk(&job, chunk * job.grain, thread);
  }
}

/* ---- waiting ---- */

static inline void cpu_pause(void) {
#if defined __x86_64__ || defined __i386__
  __builtin_ia32_pause();
#elif defined __aarch64__
  __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Lets another thread have the processor; whether one did. */
static bool give_way(Slot *own, int64_t now) {
  sched_yield();
  int64_t later = nanoseconds();
  if (later - now < GIVEN_AWAY_NS) return false;
  own->crowded_until = later + CROWDED_NS;
  return true;
}

/* Looks until the turn is another one, and returns it; or `now` after a while. `own`: of the thread
 * that looks. */
static unsigned watch(Slot *own, atomic_uint *turn, unsigned now, int64_t patience) {
  int64_t start = 0;
  for (;;) {
    for (int i = 0; i < LOOKS; i++) {
      unsigned seen = atomic_load(turn);
      if (seen != now) return seen;
      cpu_pause();
    }
    int64_t time = nanoseconds();
    if (start == 0) start = time;
    if (threads > processors || time < own->crowded_until) patience = PATIENCE_CROWDED_NS;
    if (time - start >= patience || (time - start >= ALONE_NS && give_way(own, time))) return now;
  }
}

static bool change(atomic_uint *turn, unsigned from, unsigned to) {
  return atomic_compare_exchange_strong(turn, &from, to);
}

/* Returns when the worker has taken a job. */
static void await_offer(Slot *own) {
  atomic_uint *turn = &own->turn;
  for (;;) {
    unsigned seen = watch(own, turn, FREE, PATIENCE_NS);
    if (seen == FREE) {
      atomic_fetch_add(&sleepers, 1);
      if (change(turn, FREE, ASLEEP))
        while (atomic_load(turn) == ASLEEP) futex_wait(turn, ASLEEP);
      atomic_fetch_sub(&sleepers, 1);
      seen = atomic_load(turn);
    }
    if ((seen == OFFERED || seen == CALLED) && change(turn, seen, TAKEN)) return;
  }
}

/* Each thread wakes two others, so that none of them has many to wake; they have been called before
 * it was offered anything. */
static void wake_others(int thread) {
  if (atomic_load(&sleepers) == 0) return;
  for (int t = 2 * thread + 1; t <= 2 * thread + 2 && t < job.threads; t++)
    if (change(&slots[t].turn, CALLED, OFFERED)) futex_wake(&slots[t].turn);
}

static void *worker_main(void *argument) {
  int thread = (int)(intptr_t)argument;
  Slot *own = &slots[thread];
  for (;;) {
    await_offer(own);
    wake_others(thread);
    run_chunks(thread);
    if (atomic_exchange(&own->turn, FREE) == AWAITED) futex_wake(&own->turn);
  }
  return NULL;
}

/* Returns when the worker is not in the job any more. */
static void await_leaving(atomic_uint *turn) {
  if (atomic_load(turn) != TAKEN) return;
  if (watch(&slots[0], turn, TAKEN, PATIENCE_AT_END_NS) != TAKEN) return;
  if (change(turn, TAKEN, AWAITED))
    while (atomic_load(turn) == AWAITED) futex_wait(turn, AWAITED);
}

/* ---- workers ---- */

/* A child of fork has no workers; it starts its own when it needs them. */
static void forget_workers(void) {
  workers = 0;
  atomic_store(&sleepers, 0);
  for (int t = 0; t < MAX_THREADS; t++) atomic_store(&slots[t].turn, FREE);
  futex_forget();
}

/* As many as the calling thread and they are `count`, or as the system grants. */
static void start_workers(int count) {
  static bool prepared;
  if (!prepared) {
    const char *why;
    processors = cpus_available(&why);
    pthread_atfork(NULL, NULL, forget_workers);
    prepared = true;
  }
  while (workers < count - 1) {
    pthread_t id;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int thread = workers + 1;
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

static void offer(int thread) {
  atomic_uint *turn = &slots[thread].turn;
  if (!change(turn, FREE, OFFERED)) atomic_store(turn, CALLED);
}

/* The last first: who takes an offer at once finds those that it is to wake. */
static void offer_to_all(void) {
  uint64_t chunks = (uint64_t)job.chunks, count = (uint64_t)job.threads;
  for (uint64_t t = 0; t < count; t++)
    atomic_store(&slots[t].part, part_of(chunks * t / count, chunks * (t + 1) / count));
  for (int t = job.threads - 1; t > 0; t--) offer(t);
}

static void take_back(atomic_uint *turn) {
  for (unsigned seen; (seen = atomic_load(turn)) == OFFERED || seen == CALLED;)
    if (change(turn, seen, seen == OFFERED ? FREE : ASLEEP)) return;
}

void parallel_for(int64_t n, int64_t grain, ParallelBody *body, void *context) {
  if (n <= 0) return;
  Job j = {body, context, n, grain, (n + grain - 1) / grain, parallel_threads()};
  if (regions_running) {
    run_watched(&j);
    return;
  }
  if (j.threads > j.chunks) j.threads = (int)j.chunks;
  if (j.chunks > UINT32_MAX) j.threads = 1;
  if (j.threads > workers + 1) start_workers(j.threads);
  if (j.threads > workers + 1) j.threads = workers + 1;
  if (j.threads == 1) {
    for (int64_t begin = 0; begin < n; begin += grain) run_chunk(&j, begin, 0);
    return;
  }
  job = j;
  offer_to_all();
  wake_others(0);
  run_chunks(0);
  for (int t = 1; t < j.threads; t++) take_back(&slots[t].turn);
  for (int t = 1; t < j.threads; t++) await_leaving(&slots[t].turn);
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
