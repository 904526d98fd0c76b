#include "base/spares.h"

Spares *spares_all;

void spares_trim(void) {
  for (Spares *s = spares_all; s; s = s->next)
    while (s->count > 0) free(spare_take(s, 0));
}
