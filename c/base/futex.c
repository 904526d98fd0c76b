#include "base/futex.h"

/* 0 takes the portable way where the system has its own, too: `make races` tries both. */
#ifndef LATENT_FUTEX
#ifdef __linux__
#define LATENT_FUTEX 1
#else
#define LATENT_FUTEX 0
#endif
#endif

#if LATENT_FUTEX

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void futex_wait(atomic_uint *word, unsigned value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void futex_wake(atomic_uint *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void futex_forget(void) {}

#else

#include <pthread.h>

/* One place for all words: who is woken for another's sake looks, and sleeps again. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void futex_wait(atomic_uint *word, unsigned value) {
  pthread_mutex_lock(&lock);
  if (atomic_load(word) == value) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

void futex_wake(atomic_uint *word) {
  (void)word;
  pthread_mutex_lock(&lock);
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

void futex_forget(void) {
  pthread_mutex_init(&lock, NULL);
  pthread_cond_init(&changed, NULL);
}

#endif
