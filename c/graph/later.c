#include "graph/later.h"

#include "base/dtype.h"
#include "base/parallel.h"

#include <stdlib.h>

int later_count;

/* At most so many wait: they are searched one by one, and hold what they are computed from. */
enum { MOST = 256, LITTLE = 8 };

/* A value that waits: `call` has computed all but the pass over it, and `tail` is done in that. */
typedef struct Later {
  Tensor *value;
  Call call;
  const Tensor *in[MAX_FIXED_INPUTS];
  Tail tail;
} Later;

static Later *list;
static int room;

/* Holds what a value is to be computed from; NULL is allowed. */
static const Tensor *hold(const Tensor *t) {
  if (t) tensor_retain((Tensor *)t)->storage->awaited++;
  return t;
}

static void let_go(const Tensor *t) {
  if (!t) return;
  t->storage->awaited--;
  tensor_release((Tensor *)t);
}

static void later_drop(Later *l) {
  for (int i = 0; i < l->call.inputs; i++) let_go(l->in[i]);
  for (int i = 0; i < CALL_EXTRAS; i++) let_go(l->call.extra[i]);
  let_go(l->tail.residual);
  tensor_release(l->value);
  Later last = list[--later_count];
  if (l == &list[later_count]) return;
  *l = last;
  l->call.in = l->in;
}

void later_drop_unused(void) {
  for (int i = later_count - 1; i >= 0; i--)
    if (list[i].value->refs == 1) later_drop(&list[i]);
}

static Later *later_of(const Tensor *t) {
  for (int i = 0; i < later_count; i++)
    if (list[i].value == t) return &list[i];
  return NULL;
}

/* Adds a value of what c and the tail say. */
static Tensor *later_add(const Call *c, const Tail *tail, const Shape *shape, Error *e) {
  later_drop_unused();
  if (later_count == room) {
    int wanted = room ? 2 * room : 16;
    Later *grown = realloc(list, (size_t)wanted * sizeof *grown);
    if (!grown) {
      error_set(e, "out of memory");
      return NULL;
    }
    list = grown;
    room = wanted;
    for (int i = 0; i < later_count; i++) list[i].call.in = list[i].in;
  }
  const Tensor like = {.dtype = c->dtype, .shape = *shape};
  Tensor *value = tensor_shell(&like, e);
  if (!value) return NULL;
  Later *l = &list[later_count++];
  *l = (Later){.value = tensor_retain(value), .call = *c, .tail = *tail};
  l->call.in = l->in;
  for (int i = 0; i < c->inputs; i++) l->in[i] = hold(c->in[i]);
  for (int i = 0; i < CALL_EXTRAS; i++) hold(c->extra[i]);
  hold(tail->residual);
  return value;
}

static Tensor *finished(const Later *l, const Tail *tail, Error *e) {
  Tensor *y = tensor_new(l->value->dtype, &l->value->shape, e);
  if (!y) return NULL;
  parallel_may_stop();
  bool ok = l->call.op->finish(&l->call, tail, y, e);
  if (parallel_was_stopped()) ok = error_set(e, "interrupted");
  if (ok) return y;
  tensor_release(y);
  return NULL;
}

bool later_settle(Tensor *t, Error *e) {
  Later *l = later_waits(t) ? later_of(t) : NULL;
  if (!l) return true;
  Tensor *y = finished(l, &l->tail, e);
  if (!y) return false;
  t->storage = y->storage;
  t->data = y->data;
  t->storage->refs++;
  tensor_release(y);
  later_drop(l);
  return true;
}

Tensor *later_new(const Call *c, const Shape *shape, Error *e) {
  later_drop_unused();
  if (later_count >= MOST && !later_settle(list[0].value, e)) return NULL;
  return later_add(c, &(Tail){0}, shape, e);
}

static bool uses(const Later *l, const Storage *s) {
  for (int i = 0; i < l->call.inputs; i++)
    if (l->in[i] && l->in[i]->storage == s) return true;
  for (int i = 0; i < CALL_EXTRAS; i++)
    if (l->call.extra[i] && l->call.extra[i]->storage == s) return true;
  return l->tail.residual && l->tail.residual->storage == s;
}

/* Gives l copies of what it reads of a storage, where that is little (a weight): the value may be
 * garbage, and an optimiser's step would compute it for nobody. */
static bool copy_little(Later *l, const Storage *s, Error *e) {
  for (int i = 0; i < l->call.inputs; i++) {
    const Tensor *t = l->in[i];
    if (!t || t->storage != s || t->numel > l->value->numel / LITTLE) continue;
    Tensor *copy = tensor_copy(t, e);
    if (!copy) return false;
    let_go(t);
    l->in[i] = hold(copy);
    tensor_release(copy);
  }
  return true;
}

bool later_settle_uses(const Storage *s, Error *e) {
  if (s->awaited == 0) return true;
  later_drop_unused();
  for (int i = later_count - 1; i >= 0 && s->awaited > 0; i--) {
    if (!copy_little(&list[i], s, e)) return false;
    if (uses(&list[i], s) && !later_settle(list[i].value, e)) return false;
  }
  return true;
}

/* A sum waits on: with one that waits already, and that has no sum yet. */
static Tensor *follow_sum(const Call *c, Error *e) {
  Later *l = later_of(c->in[0]);
  const Tensor *other = c->in[1];
  if (!l || l->tail.residual) l = later_of(other), other = c->in[0];
  if (!l || l->tail.residual || other == l->value || later_count >= MOST) return NULL;
  if (!shape_equal(&other->shape, &l->value->shape) || other->dtype != l->value->dtype) return NULL;
  if (!later_settle((Tensor *)other, e)) return NULL;
  l = later_of(other == c->in[1] ? c->in[0] : c->in[1]); /* settling moves the list */
  Call call = l->call;
  const Tensor *in[MAX_FIXED_INPUTS];
  for (int i = 0; i < call.inputs; i++) in[i] = l->in[i];
  call.in = in;
  return later_add(&call, &(Tail){.residual = other}, &l->value->shape, e);
}

static Tensor *follow_activation(const Call *c, Error *e) {
  const Later *l = later_of(c->in[0]);
  bool leaky = c->op->tail == TAIL_LEAKY_RELU;
  if (!l || (leaky && !(c->number[0] >= 0))) return NULL;
  Tail tail = l->tail;
  tail.activation = c->op->tail;
  tail.slope = leaky ? c->number[0] : 0;
  return finished(l, &tail, e);
}

bool later_follow(const Call *c, Tensor **y, bool *settled, Error *e) {
  *settled = true;
  *y = c->op->tail == TAIL_NONE  ? NULL
       : c->op->tail == TAIL_ADD ? follow_sum(c, e)
                                 : follow_activation(c, e);
  if (*y) return true;
  for (int i = 0; i < c->inputs && *settled; i++)
    if (c->in[i]) *settled = later_settle((Tensor *)c->in[i], e);
  return false;
}
