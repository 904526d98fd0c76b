/* Floor 1: lists of words separated by spaces, and which word of a list was meant by one that is
 * not in it. */
#ifndef LATENT_WORDS_H
#define LATENT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Copies word number i of such a list, cut to `size`, without its mark (`?` or `*`, put into *mark
 * unless that is NULL); false where there is none. */
bool word_at(const char *words, int i, char *word, size_t size, char *mark);

/* Start with {.given = word}, offer every word of the list, read `found` (NULL: none is near). */
typedef struct Nearest {
  const char *given;
  const char *found;
  int distance;
} Nearest;

void nearest_offer(Nearest *n, const char *candidate);

#endif
