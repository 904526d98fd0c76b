/* base/signals.h where nothing arrives by itself: while a call may be interrupted, the host is
 * asked whether the user wants an end, which counts as SIGINT. */
#include "wasm/host.h"

#include "base/signals.h"

#include <stddef.h>
#include <string.h>

enum { INTERRUPT = 2 /* SIGINT, wherever there are signals */ };

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

int signal_number(const char *name) { return strcmp(name, "INT") == 0 ? INTERRUPT : 0; }
const char *signal_name(int number) { return number == INTERRUPT ? "INT" : NULL; }

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
