#include "graph/node.h"

#include "ops/dispatch.h"
#include "base/dtype.h"
#include "graph/later.h"
#include "graph/profile.h"
#include "base/signals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- backward ---- */

/* The nodes whose gradients are being gathered, the newest on top. */
typedef struct Heap {
  Node **item;
  size_t count, room;
} Heap;

static bool heap_push(Heap *h, Node *n, Error *e) {
  if (h->count == h->room) {
    size_t room = h->room ? 2 * h->room : 64;
    Node **item = realloc(h->item, room * sizeof *item);
    if (!item) return error_set(e, "out of memory");
    h->item = item;
    h->room = room;
  }
  size_t i = h->count++;
  while (i > 0 && h->item[(i - 1) / 2]->order < n->order) {
    h->item[i] = h->item[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  h->item[i] = n;
  n->refs++;
  n->queued = true;
  return true;
}

static Node *heap_pop(Heap *h) {
  Node *top = h->item[0], *last = h->item[--h->count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
    if (child + 1 < h->count && h->item[child + 1]->order > h->item[child]->order) child++;
    if (h->item[child]->order <= last->order) break;
    h->item[i] = h->item[child];
  }
  h->item[i] = last;
  top->queued = false;
  return top;
}

static bool held_once(const Tensor *t) { return t->refs == 1 && t->storage->refs == 1; }

/* *slot += dx; takes over dx. A first gradient is kept as it is unless others share its storage. */
static bool gather(Tensor **slot, Tensor *dx, Error *e) {
  bool shared = !held_once(dx);
  if (*slot) {
    if (!later_settle_uses((*slot)->storage, e)) {
      tensor_release(dx);
      return false;
    }
    isa(dx->dtype)->add_into(*slot, dx, false);
    (*slot)->storage->version++;
  } else if (!shared) {
    *slot = dx;
    dx->storage->part_by = NULL; /* of nothing, as a gradient */
    return true;
  } else {
    *slot = tensor_copy(dx, e);
  }
  tensor_release(dx);
  return *slot != NULL;
}

Tensor *var_grad(Var *v) {
  if (v->zeroed) tensor_fill(v->grad, number_real(0));
  v->zeroed = false;
  return v->grad;
}

bool var_zero_grad(Var *v, Error *e) {
  if (!v->grad) return true;
  if (!later_settle_uses(v->grad->storage, e)) return false;
  v->zeroed = held_once(v->grad);
  if (!v->zeroed) tensor_fill(v->grad, number_real(0));
  v->grad->storage->version++;
  return true;
}

/* In the place of zeros that nobody has written dx comes itself, where it is its storage's alone:
 * it lies in the cache. */
static bool gather_leaf(Var *leaf, Tensor *dx, Error *e) {
  if (!leaf->zeroed) return gather(&leaf->grad, dx, e);
  bool shared = !held_once(dx);
  Tensor *sum = shared ? leaf->grad : dx, *other = shared ? dx : leaf->grad;
  isa(dx->dtype)->add_into(sum, dx, true);
  leaf->grad = sum;
  leaf->zeroed = false;
  sum->storage->version++;
  sum->storage->part_by = NULL;
  tensor_release(other);
  return true;
}

/* The leaves whose gradients this backward has changed, noted where an interruption may come. */
static struct {
  Var **leaf;
  size_t count, room;
} touched;

static bool touch(Var *leaf, Error *e) {
  if (touched.count == touched.room) {
    size_t room = touched.room ? 2 * touched.room : 64;
    Var **grown = realloc(touched.leaf, room * sizeof(Var *));
    if (!grown) return error_set(e, "out of memory");
    touched.leaf = grown;
    touched.room = room;
  }
  touched.leaf[touched.count++] = var_retain(leaf);
  return true;
}

/* A gradient that is half a sum would be taken for a whole one: there is none, then. */
static void forget_touched(bool discard) {
  while (touched.count > 0) {
    Var *leaf = touched.leaf[--touched.count];
    tensor_release(leaf->pending);
    leaf->pending = NULL;
    if (discard) {
      tensor_release(leaf->grad);
      leaf->grad = NULL;
      leaf->zeroed = false;
    }
    var_release(leaf);
  }
}

/* A gradient in the shape of a broadcast, as one of the input's shape. */
static bool sum_down(Tensor **dx, const Shape *shape, Error *e) {
  if (shape_equal(&(*dx)->shape, shape)) return true;
  Tensor *sum = tensor_new((*dx)->dtype, shape, e);
  if (!sum || !isa((*dx)->dtype)->broadcast_sum(*dx, sum, 1, e)) {
    tensor_release(sum);
    return false;
  }
  tensor_release(*dx);
  *dx = sum;
  return true;
}

static bool is_activation(const Node *n) {
  return n->call.op->tail == TAIL_RELU || n->call.op->tail == TAIL_LEAKY_RELU;
}

static bool add_late(Node *n, Error *e) {
  Tensor *late = n->late;
  n->late = NULL;
  return !late || gather(&n->grad, late, e);
}

/* A second gradient of an activation waits: what goes back through that may add it in passing. */
static bool gather_node(Node *n, Tensor *dx, Error *e) {
  if (!add_late(n, e)) {
    tensor_release(dx);
    return false;
  }
  if (!n->grad || !is_activation(n) || n->kept || !held_once(dx)) return gather(&n->grad, dx, e);
  n->late = dx;
  return true;
}

static bool deliver(Heap *heap, Node *n, int i, Tensor *dx, Error *e) {
  Edge *edge = &n->edges[i];
  if (!sum_down(&dx, &n->in[i]->shape, e)) {
    tensor_release(dx);
    return false;
  }
  bool noted = edge->leaf && (edge->leaf->key || signals_raising());
  if (noted && !touch(edge->leaf, e)) {
    tensor_release(dx);
    return false;
  }
  Var *leaf = edge->leaf;
  if (!edge->node) return leaf->key ? gather(&leaf->pending, dx, e) : gather_leaf(leaf, dx, e);
  if (!gather_node(edge->node, dx, e)) return false;
  return edge->node->queued || heap_push(heap, edge->node, e);
}

/* Hands the whole gradients of leaves with hooks through them, and on. */
static bool settle_hooked(Error *e) {
  bool ok = true;
  for (size_t i = 0; i < touched.count && ok; i++) {
    Var *leaf = touched.leaf[i];
    Tensor *whole = leaf->pending;
    leaf->pending = NULL;
    if (!whole) continue;
    ok = graph_host_functions->hooks(leaf->key, &whole, e);
    if (ok) ok = gather_leaf(leaf, whole, e);
    else tensor_release(whole);
  }
  return ok;
}

bool node_check(const Node *n, Error *e) {
  const char *name = n->call.op->name;
  if (n->spent)
    return error_set(e,
                     "%s: its part of the graph was freed by an earlier backward; "
                     "run the forward pass again",
                     name);
  bool same = !n->output || n->output->storage->version == n->output_version;
  for (int i = 0; i < n->call.inputs && same; i++)
    if (n->in[i] && n->in[i]->storage) same = n->in[i]->storage->version == n->versions[i];
  for (int i = 0; i < CALL_EXTRAS && same; i++)
    if (n->call.extra[i]) same = n->call.extra[i]->storage->version == n->extra_versions[i];
  if (same) return true;
  return error_set(e,
                   "%s: a value that its gradient needs was changed in place after the forward "
                   "pass",
                   name);
}

static bool check_finite(const Node *n, const Tensor *dx, int i, Error *e) {
  if (!graph_trapping()) return true;
  for (int64_t k = 0; k < dx->numel; k++) {
    if (isfinite(value_at(dx, k))) continue;
    char name[32];
    op_input_name(n->call.op, i, name, sizeof name);
    return error_set(e, "%s: the gradient of %s is not finite (%g); the op was applied at %s",
                     n->call.op->name, name, value_at(dx, k),
                     n->where && *n->where ? n->where : "an unknown place");
  }
  return true;
}

static bool gradients(const Node *n, const Tensor *dy, const bool *wanted, Tensor **dx, Error *e) {
  const Op *op = n->call.op;
  bool nothing = dy->numel == 0 && op->forward; /* an op written in Lua is asked all the same */
  for (int i = 0; i < n->call.inputs; i++) {
    if ((!n->edges[i].node && !n->edges[i].leaf) || (wanted && !wanted[i])) continue;
    if (op->flags & OP_RESHAPE) dx[i] = tensor_view(dy, &n->in[i]->shape, 0, e);
    else
      dx[i] =
          tensor_new(n->in[i]->dtype, op->flags & OP_BROADCAST ? &n->shape : &n->in[i]->shape, e);
    if (!dx[i]) return false;
    /* Nothing depends on an empty result. */
    if (nothing) tensor_fill(dx[i], number_real(0));
  }
  return nothing || op->flags & OP_RESHAPE || op->backward(&n->call, n->output, dy, dx, e);
}

/* How many of the products that backward may compute are wanted: those for inputs 1 and 2. */
static int products_wanted(const Node *n) {
  int count = 0;
  for (int i = 0; i < 2 && i < n->call.inputs; i++)
    if (n->edges[i].node || n->edges[i].leaf) count++;
  return count;
}

bool node_gradients(Node *n, const Tensor *dy, const bool *wanted, Tensor **dx, Error *e) {
  if (!node_check(n, e)) return false;
  if (!shape_equal(&dy->shape, &n->shape))
    return error_set(e, "%s: a gradient of another shape came", n->call.op->name);
  Span span = profile_begin();
  bool ok = gradients(n, dy, wanted, dx, e);
  for (int i = 0; i < n->call.inputs && ok; i++)
    if (dx[i]) ok = check_finite(n, dx[i], i, e) && sum_down(&dx[i], &n->in[i]->shape, e);
  profile_end_op(span, &n->call, &n->shape, PROFILE_BACKWARD, products_wanted(n));
  return ok;
}

/* What computes the output of a checkpoint again takes its place in the walk. */
static bool replay_node(Heap *heap, Node *n, Error *e) {
  Var *y = graph_host_functions->replay(n->order, e);
  if (!y) return false;
  Tensor *dy = n->grad;
  n->grad = NULL;
  bool ok = y->node && gather(&y->node->grad, dy, e) && heap_push(heap, y->node, e);
  var_release(y);
  return ok;
}

/* ---- an op and its tail in one pass ---- */

/* What made input i, where the gradient of n is all that reaches it and nobody asks for that. */
static Node *sole_source(const Node *n, int i) {
  Node *from = i < n->call.inputs ? n->edges[i].node : NULL;
  bool alone = from && from->users == 1 && !from->kept && !from->grad && !from->spent;
  return alone ? from : NULL;
}

/* An op with a tail, whose node is `norm`: n, or an activation behind a sum, `sum`, or either. */
typedef struct Tailed {
  Node *norm, *sum;
  int residual; /* the input of the sum that is not of norm */
  Tail tail;
} Tailed;

/* Of the two in a sum; NULL unless both have its shape, so that its gradient is theirs. */
static Node *summand(const Node *sum, int *residual) {
  for (int i = 0; i < 2; i++) {
    Node *norm = sole_source(sum, i);
    *residual = 1 - i;
    if (norm && norm->call.op->tail_backward && shape_equal(&sum->in[1 - i]->shape, &sum->shape) &&
        shape_equal(&norm->shape, &sum->shape))
      return norm;
  }
  return NULL;
}

static bool tailed(const Node *n, Tailed *t) {
  *t = (Tailed){0};
  if (graph_trapping() || n->grad->numel == 0 || !is_activation(n) || !n->output) return false;
  Node *from = sole_source(n, 0);
  if (!from) return false;
  t->tail = (Tail){.activation = n->call.op->tail, .slope = n->call.number[0], .y = n->output};
  if (from->call.op->tail_backward) t->norm = from;
  else if (from->call.op->tail == TAIL_ADD && (t->norm = summand(from, &t->residual))) {
    t->sum = from;
    t->tail.residual = from->in[t->residual];
  }
  return t->norm != NULL;
}

static bool deliver_all(Heap *heap, Node *n, Tensor **dx, Error *e) {
  bool ok = true;
  for (int i = 0; i < n->call.inputs; i++) {
    if (dx[i] && ok) ok = deliver(heap, n, i, dx[i], e);
    else tensor_release(dx[i]);
  }
  return ok;
}

/* A tensor for one more gradient like n's: one that came, to be overwritten, where nobody holds it
 * who would read it later. */
static Tensor *gradient_like(const Node *n, Error *e) {
  if (held_once(n->grad)) return tensor_retain(n->grad);
  if (n->late && held_once(n->late)) return tensor_retain(n->late);
  return tensor_new(n->grad->dtype, &n->shape, e);
}

/* Goes back through the tail and the op before it at once. */
static bool backward_tailed(Heap *heap, Node *n, Tailed *t, Error *e) {
  Tensor *dx[MAX_FIXED_INPUTS] = {0}, *sides[2] = {0};
  Node *norm = t->norm;
  if (!node_check(norm, e) || (t->sum && !node_check(t->sum, e))) return false;
  Span span = profile_begin();
  bool ok = true;
  const Edge *side = t->sum ? &t->sum->edges[t->residual] : NULL;
  if (side && (side->node || side->leaf)) {
    t->tail.dresidual = sides[t->residual] = gradient_like(n, e);
    ok = t->tail.dresidual != NULL;
  }
  for (int i = 0; i < norm->call.inputs && ok; i++)
    if (norm->edges[i].node || norm->edges[i].leaf) {
      dx[i] = i == 0 ? gradient_like(n, e) : tensor_new(norm->in[i]->dtype, &norm->in[i]->shape, e);
      ok = dx[i] != NULL;
    }
  t->tail.more = n->late;
  if (ok) ok = norm->call.op->tail_backward(&norm->call, &t->tail, n->grad, dx, e);
  tensor_release(n->grad);
  tensor_release(n->late);
  n->grad = n->late = NULL;
  if (ok && t->sum) ok = deliver_all(heap, t->sum, sides, e);
  else tensor_release(sides[0]), tensor_release(sides[1]);
  if (ok) ok = deliver_all(heap, norm, dx, e);
  else
    for (int i = 0; i < MAX_FIXED_INPUTS; i++) tensor_release(dx[i]);
  profile_end_op(span, &norm->call, &norm->shape, PROFILE_BACKWARD, 0);
  node_retain(norm); /* the sum may be all that holds it */
  if (t->sum) node_spend(t->sum);
  node_spend(norm);
  node_release(norm);
  return ok;
}

static bool backward_node(Heap *heap, Node *n, Error *e) {
  if (!node_check(n, e)) return false;
  if (n->kept && !(add_late(n, e) && graph_host_functions->hooks(n->order, &n->grad, e)))
    return false;
  if (n->call.op == &op_checkpoint) return replay_node(heap, n, e);
  Tailed t;
  if (tailed(n, &t)) return backward_tailed(heap, n, &t, e);
  if (!add_late(n, e)) return false;
  Tensor *fixed[MAX_FIXED_INPUTS] = {0}, **dx = fixed;
  int inputs = n->call.inputs;
  if (inputs > MAX_FIXED_INPUTS && !(dx = calloc((size_t)inputs, sizeof *dx)))
    return error_set(e, "out of memory");
  Span span = profile_begin();
  bool ok = gradients(n, n->grad, NULL, dx, e);
  tensor_release(n->grad); /* a reshape's input may now own the storage alone */
  n->grad = NULL;
  for (int i = 0; i < inputs && ok; i++) {
    if (!dx[i]) continue;
    ok = check_finite(n, dx[i], i, e);
    if (!ok) break;
    ok = deliver(heap, n, i, dx[i], e);
    dx[i] = NULL;
  }
  for (int i = 0; i < inputs; i++) tensor_release(dx[i]);
  profile_end_op(span, &n->call, &n->shape, PROFILE_BACKWARD, products_wanted(n));
  if (dx != fixed) free(dx);
  return ok;
}

static Tensor *seed_for(const Var *root, const Tensor *seed, Error *e) {
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  if (seed && !shape_equal(&seed->shape, &root->value->shape)) {
    error_set(e, "gradient: expected shape %s, got %s", shape_text(&root->value->shape, a),
              shape_text(&seed->shape, b));
    return NULL;
  }
  if (seed && seed->dtype != root->value->dtype) {
    error_set(e, "gradient: expected %s, got %s", dtype_name(root->value->dtype),
              dtype_name(seed->dtype));
    return NULL;
  }
  if (seed) return tensor_copy(seed, e);
  if (root->value->numel != 1) {
    error_set(e,
              "expected a scalar (one element), got shape %s; reduce it with :sum() or :mean(), "
              "or give a gradient",
              shape_text(&root->value->shape, a));
    return NULL;
  }
  Tensor *one = tensor_new(root->value->dtype, &root->value->shape, e);
  if (one) tensor_fill(one, number_real(1));
  return one;
}

static bool walking;

bool graph_backward(Var *root, const Tensor *seed, Error *e) {
  if (walking)
    return error_set(e, "a backward is running already (an op's backward cannot start another)");
  if (!var_wants_grad(root))
    return error_set(e, "nothing here wants a gradient (make parameters with lt.param, and compute "
                        "outside no_grad)");
  Tensor *start = seed_for(root, seed, e);
  if (!start) return false;
  if (!root->node) {
    if (!root->key || graph_host_functions->hooks(root->key, &start, e))
      return gather_leaf(root, start, e);
    tensor_release(start);
    return false;
  }
  Heap heap = {0};
  walking = true;
  bool ok = gather(&root->node->grad, start, e) && heap_push(&heap, root->node, e);
  while (heap.count > 0) {
    Node *n = heap_pop(&heap);
    if (ok && signals_interrupting()) ok = error_set(e, "interrupted");
    if (ok) ok = backward_node(&heap, n, e);
    node_spend(n);
    node_release(n);
  }
  free(heap.item);
  ok = ok && settle_hooked(e);
  forget_touched(!ok && signals_interrupting());
  walking = false;
  return ok;
}
