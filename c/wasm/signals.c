/* base/signals.h where nothing arrives by itself: while a call may be interrupted, the host is
 * asked whether the user wants an end, which counts as SIGINT. */
#include "wasm/host.h"

#include "base/signals.h"

#include <stddef.h>
#include <string.h>

enum { INTERRUPT = 2 /* INT */ };

__attribute__((import_module("latent"), import_name("interrupted"))) int host_interrupted(void);

static bool modes[SIGNAL_LEVELS]; /* before each trap */
static int depth;
static bool raising, asking, pending;

void host_ask(bool on) {
  asking = on;
  pending = false;
}

bool host_stops(void) {
  if (asking && !pending) pending = host_interrupted() != 0;
  return pending;
}

/* The others may be trapped too; they never come. By their numbers. */
static const char *const names[] = {NULL, "HUP", "INT", "QUIT", "TERM", "USR1", "USR2"};
enum { NAMES = sizeof names / sizeof names[0] };

int signal_number(const char *name) {
  for (int i = 1; i < NAMES; i++)
    if (strcmp(names[i], name) == 0) return i;
  return 0;
}

const char *signal_name(int number) { return number > 0 && number < NAMES ? names[number] : NULL; }

bool signals_trap(const int *numbers) {
  (void)numbers;
  if (depth == SIGNAL_LEVELS) return false;
  modes[depth++] = signals_set_raising(false);
  return true;
}

void signals_untrap(void) {
  if (depth > 0) raising = modes[--depth];
}

int signals_depth(void) { return depth; }
int signals_pending(void) { return depth > 0 && host_stops() ? INTERRUPT : 0; }
void signals_clear(void) { pending = false; }
bool signals_send(int number) { return pending = number == INTERRUPT; }

bool signals_set_raising(bool on) {
  bool before = raising;
  raising = on;
  return before;
}

bool signals_raising(void) { return raising; }
void signals_on_interrupt(void (*f)(void)) { (void)f; }
bool signals_interrupting(void) { return raising && host_stops(); }
