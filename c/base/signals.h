/* Floor 1: signals that ask for an end, such as Ctrl-C. A trapped signal only sets a flag. In the
 * mode "flag" somebody looks at it when a step is whole; in the mode "raise" long computations stop
 * early, and the bindings raise an error. Knows nothing of tensors or Lua. */
#ifndef LATENT_SIGNALS_H
#define LATENT_SIGNALS_H

#include <stdbool.h>

enum { SIGNAL_LEVELS = 8 };

/* The number of "INT", "TERM", ...; 0 for a name that is not known. And back; NULL for 0. */
int signal_number(const char *name);
const char *signal_name(int number);

/* From now on these signals (0 ends the list) only set the flag, in the mode "flag". Traps nest:
 * each signals_untrap undoes the latest one. False beyond SIGNAL_LEVELS. */
bool signals_trap(const int *numbers);
/* Restores what was there before the latest trap, mode and handlers; a signal that is still pending
 * is sent again, to the former handler: no Ctrl-C is lost. */
void signals_untrap(void);
int signals_depth(void);

int signals_pending(void); /* the first that came since the last clear, 0 for none */
void signals_clear(void);
bool signals_send(int number); /* to this thread */

/* Sets the mode and returns the former: whether a trapped signal interrupts computations. */
bool signals_set_raising(bool on);
/* What the handler calls in the mode "raise"; it must be safe there. */
void signals_on_interrupt(void (*f)(void));
bool signals_raising(void);
/* Whether a computation should stop now. Any thread may ask. */
bool signals_interrupting(void);

#endif
