/* Floor 1: which word of a list was meant by one that is not in it. */
#ifndef LATENT_WORDS_H
#define LATENT_WORDS_H

/* Start with {.given = word}, offer every word of the list, read `found` (NULL: none is near). */
typedef struct Nearest {
  const char *given;
  const char *found;
  int distance;
} Nearest;

void nearest_offer(Nearest *n, const char *candidate);

#endif
