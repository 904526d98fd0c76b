#include "base/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

static const struct {
  const char *name;
  int number;
} kinds[] = {{"INT", SIGINT},   {"TERM", SIGTERM}, {"HUP", SIGHUP},
             {"QUIT", SIGQUIT}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* Two signals within this time are one: timeout(1), for example, sends its signal to the program
 * and then to the whole process group. */
static const int64_t one_press = INT64_C(300) * 1000 * 1000; /* nanoseconds */

typedef struct Level {
  bool raising; /* the mode before */
  bool trapped[KINDS];
  struct sigaction former[KINDS];
} Level;

static Level level[SIGNAL_LEVELS];
static int depth;
static pthread_t owner; /* the thread that runs Lua */
/* Lock-free, so the handler may use them. */
static atomic_int pending;
static atomic_bool raising;
static atomic_int_fast64_t first;  /* when the pending one came */
static atomic_int_fast64_t second; /* when a Ctrl-C came behind it, 0 for never */
static void (*_Atomic on_interrupt)(void);

int signal_number(const char *name) {
  for (int i = 0; i < KINDS; i++)
    if (strcmp(kinds[i].name, name) == 0) return kinds[i].number;
  return 0;
}

const char *signal_name(int number) {
  for (int i = 0; i < KINDS; i++)
    if (kinds[i].number == number) return kinds[i].name;
  return NULL;
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Whether nobody serves the first, and the user insists. While computations are interrupted a
 * second Ctrl-C does no harm, for a foreign C function may be about to return; the third ends what
 * cannot be interrupted. */
static bool insists(int number) {
  int64_t time = now();
  if (time - atomic_load(&first) <= one_press) return false;
  if (!atomic_load(&raising) || number != SIGINT) return true;
  int64_t before = atomic_load(&second);
  if (!before) atomic_store(&second, time);
  return before && time - before > one_press;
}

static void handle(int number) {
  /* A library's thread may have been handed it. */
  if (!pthread_equal(pthread_self(), owner)) {
    pthread_kill(owner, number);
    return;
  }
  int error = errno;
  if (!atomic_load(&pending)) {
    atomic_store(&first, now());
    atomic_store(&second, 0);
    atomic_store(&pending, number);
  } else if (insists(number)) {
    signal(number, SIG_DFL);
    raise(number);
  }
  void (*interrupt)(void) = atomic_load(&on_interrupt);
  if (atomic_load(&raising) && interrupt) interrupt();
  errno = error;
}

bool signals_trap(const int *numbers) {
  if (depth == SIGNAL_LEVELS) return false;
  Level *l = &level[depth++];
  *l = (Level){.raising = signals_set_raising(false)};
  owner = pthread_self();
  struct sigaction action = {.sa_handler = handle}; /* no SA_RESTART: blocking reads return */
  sigfillset(&action.sa_mask);
  for (; *numbers; numbers++)
    for (int i = 0; i < KINDS; i++) {
      if (kinds[i].number != *numbers || l->trapped[i]) continue;
      l->trapped[i] = sigaction(*numbers, &action, &l->former[i]) == 0;
    }
  return true;
}

void signals_untrap(void) {
  if (depth == 0) return;
  const Level *l = &level[--depth];
  for (int i = 0; i < KINDS; i++)
    if (l->trapped[i]) sigaction(kinds[i].number, &l->former[i], NULL);
  signals_set_raising(l->raising);
  int number = atomic_exchange(&pending, 0);
  if (number) raise(number);
}

int signals_depth(void) { return depth; }
int signals_pending(void) { return atomic_load(&pending); }
void signals_clear(void) { atomic_store(&pending, 0); }
bool signals_send(int number) { return raise(number) == 0; }
bool signals_set_raising(bool on) { return atomic_exchange(&raising, on); }
bool signals_raising(void) { return atomic_load(&raising); }
void signals_on_interrupt(void (*f)(void)) { atomic_store(&on_interrupt, f); }
bool signals_interrupting(void) { return atomic_load(&raising) && atomic_load(&pending); }
