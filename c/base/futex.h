/* Floor 1: a thread sleeps until a word in memory changes, without a lock that it would have to
 * take again when it wakes. */
#ifndef LATENT_FUTEX_H
#define LATENT_FUTEX_H

#include <stdatomic.h>

/* Sleeps while the word has the value: until a wake after it has changed, or for no reason, which
 * the caller finds out by looking again. */
void futex_wait(atomic_uint *word, unsigned value);
/* Wakes the one thread that may sleep on the word, which has changed before. */
void futex_wake(atomic_uint *word);
/* In a child of fork, where nobody sleeps. */
void futex_forget(void);

#endif
