/* Floor 4: values that wait for what comes next. An op whose last step is a pass over its output
 * (Op.finish) may leave that pass undone: its value is a shell then, and a sum, a rectifier or both
 * that follow are done in the same pass. The tape does not notice: each op has its node. Whoever
 * reads a value settles it first, which runs the pass as it stands. */
#ifndef LATENT_LATER_H
#define LATENT_LATER_H

#include "ops/op.h"

/* How many values wait. */
extern int later_count;

/* May the value wait? One that does has no elements yet. */
static inline bool later_waits(const Tensor *t) { return later_count > 0 && !t->storage; }

/* The value of c, whose op has been prepared, to be computed when it is wanted. NULL and e filled
 * where memory is short. */
Tensor *later_new(const Call *c, const Shape *shape, Error *e);

/* The value of c where an input of it waits and c can be done in that one's pass: in *y, NULL after
 * an error. False: c is to be computed as ever; its inputs are settled then, unless `settled` says
 * that this failed. */
bool later_follow(const Call *c, Tensor **y, bool *settled, Error *e);

/* Forgets the values that nobody holds any more, and with them what they would be computed from. */
void later_drop_unused(void);
/* Computes the value if it waits. */
bool later_settle(Tensor *t, Error *e);
/* ... all that would be computed from elements of a storage that is about to change. */
bool later_settle_uses(const Storage *s, Error *e);

#endif
