#include "graph/graph.h"

#include "ops/broadcast.h"
#include "ops/dispatch.h"
#include "base/dtype.h"
#include "base/parallel.h"
#include "graph/profile.h"
#include "base/signals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WHERE_SIZE = 160 };

/* Where the gradient of an input goes: on to the node that made it, or into a leaf. */
typedef struct Edge {
  Node *node;
  Var *leaf;
} Edge;

struct Node {
  int refs;
  bool queued, spent;
  uint64_t order; /* nodes are made after their inputs: descending order is topological */
  Call call;
  Edge *edges;
  Tensor **in; /* saved inputs, or shells */
  uint32_t *versions;
  Tensor *output; /* shares storage only: holding the variable itself would be a cycle */
  uint32_t output_version, extra_versions[CALL_EXTRAS];
  Shape shape; /* of the output */
  Tensor *grad;
  char *where;
  Node *next; /* in the list of nodes that wait to be freed */
};

static struct {
  bool paused; /* inside no_grad */
  bool trap;
  WhereFunction *where;
  bool walking; /* inside graph_backward */
  uint64_t nodes;
} graph;

bool graph_recording(void) { return !graph.paused; }
void graph_set_recording(bool on) { graph.paused = !on; }
bool graph_trapping(void) { return graph.trap; }

void graph_trap_nonfinite(bool on, WhereFunction *where) {
  graph.trap = on;
  graph.where = where;
}

/* ---- variables and nodes: life and death ---- */

Var *var_new(Tensor *value, Error *e) {
  Var *v = malloc(sizeof *v);
  if (!v) {
    tensor_release(value);
    error_set(e, "out of memory");
    return NULL;
  }
  *v = (Var){.refs = 1, .value = value};
  return v;
}

Var *var_retain(Var *v) {
  v->refs++;
  return v;
}

/* Drops all that backward would need. Nodes that lose their last holder are put on the list. */
static void node_clear(Node *n, Node **list) {
  for (int i = 0; i < n->call.inputs; i++) {
    Node *source = n->edges[i].node;
    if (source && --source->refs == 0) {
      source->next = *list;
      *list = source;
    }
    if (n->edges[i].leaf) var_release(n->edges[i].leaf);
    n->edges[i] = (Edge){0};
    tensor_release(n->in[i]);
    n->in[i] = NULL;
  }
  for (int i = 0; i < CALL_EXTRAS; i++) {
    tensor_release(n->call.extra[i]);
    n->call.extra[i] = NULL;
  }
  tensor_release(n->output);
  tensor_release(n->grad);
  n->output = n->grad = NULL;
}

/* Frees a list of nodes, and what only they held, without recursion: a chain may be very long. */
static void nodes_free(Node *list) {
  while (list) {
    Node *n = list;
    list = n->next;
    node_clear(n, &list);
    free(n->where);
    free(n);
  }
}

static void node_release(Node *n) {
  if (!n || --n->refs > 0) return;
  n->next = NULL;
  nodes_free(n);
}

void var_release(Var *v) {
  if (!v || --v->refs > 0) return;
  tensor_release(v->value);
  tensor_release(v->grad);
  node_release(v->node);
  free(v);
}

static Node *node_new(const Call *c) {
  size_t count = (size_t)c->inputs, each = sizeof(Edge) + sizeof(Tensor *) + sizeof(uint32_t);
  Node *n = calloc(1, sizeof *n + count * each);
  if (!n) return NULL;
  n->refs = 1;
  n->order = ++graph.nodes;
  n->call = *c;
  memset(n->call.extra, 0, sizeof n->call.extra);
  n->edges = (Edge *)(n + 1);
  n->in = (Tensor **)(n->edges + count);
  n->versions = (uint32_t *)(n->in + count);
  n->call.in = (const Tensor *const *)n->in;
  return n;
}

/* ---- forward ---- */

static bool output_shape(const Call *c, Shape *shape, Error *e) {
  if (c->op->shape) return c->op->shape(c, shape, e);
  *shape = c->in[0]->shape;
  for (int i = 1; i < c->inputs; i++) {
    char a[SHAPE_TEXT], b[SHAPE_TEXT];
    if (!shape_broadcast(shape, &c->in[i]->shape, shape))
      return error_set(e, "shapes %s and %s do not fit together", shape_text(shape, a),
                       shape_text(&c->in[i]->shape, b));
  }
  return true;
}

bool graph_check(Call *c, Shape *shape, Error *e) {
  int convert;
  return op_choose(c, &convert, e) && output_shape(c, shape, e);
}

/* Chooses the row and gets `in` converted to what it takes, places apart. What differs from the
 * inputs' own values afterwards is the caller's to release, with release_converted. */
static bool choose(Call *c, Var *const *inputs, const Tensor **in, Error *e) {
  int convert;
  for (int i = 0; i < c->inputs; i++) in[i] = inputs[i] ? inputs[i]->value : NULL;
  c->in = in;
  if (!op_choose(c, &convert, e)) return false;
  for (int i = 0; i < c->inputs && convert >= 0; i++) {
    if (!in[i] || in[i]->dtype == (Dtype)convert || op_takes_places(c->op, i)) continue;
    const Tensor *own = in[i];
    if ((in[i] = tensor_as(own, (Dtype)convert, e))) continue;
    in[i] = own;
    return false;
  }
  return true;
}

static void release_converted(const Call *c, Var *const *inputs, const Tensor **in) {
  for (int i = 0; i < c->inputs; i++)
    if (in[i] && in[i] != inputs[i]->value) tensor_release((Tensor *)in[i]);
}

static Dtype output_dtype(const Call *c) { return c->op->dtype ? c->op->dtype(c) : c->dtype; }

/* Of an empty result there is nothing to compute but what else the caller wants: an axis of it may
 * be as long as any, and the ops' loops over it would never end. */
static Tensor *compute(Call *c, bool extras, Error *e) {
  Shape shape;
  if (!output_shape(c, &shape, e)) return NULL;
  int64_t offset = c->op->view ? c->op->view(c) : -1;
  if (offset >= 0) return tensor_view(c->in[0], &shape, offset, e);
  Tensor *y = tensor_new(output_dtype(c), &shape, e);
  if (!y || (y->numel == 0 && !extras)) return y;
  parallel_may_stop();
  bool ok = c->op->forward(c, y, e);
  if (parallel_was_stopped()) ok = error_set(e, "interrupted");
  if (!ok) {
    tensor_release(y);
    return NULL;
  }
  return y;
}

static bool wants_node(const Call *c, Var *const *inputs) {
  if (graph.paused || !c->op->backward) return false;
  for (int i = 0; i < c->inputs; i++)
    if (inputs[i] && var_wants_grad(inputs[i])) return true;
  return false;
}

static bool save_inputs(Node *n, const Tensor *const *in, Var *const *inputs, Error *e) {
  for (int i = 0; i < n->call.inputs; i++) {
    Var *v = inputs[i];
    if (!v) continue;
    bool saved = i < 16 && (n->call.op->save & (1u << i));
    n->in[i] = saved ? tensor_retain((Tensor *)in[i]) : tensor_shell(in[i], e);
    if (!n->in[i]) return false;
    if (saved) n->versions[i] = in[i]->storage->version;
    if (v->node) {
      n->edges[i].node = v->node;
      v->node->refs++;
    } else if (v->requires_grad) {
      n->edges[i].leaf = var_retain(v);
    }
  }
  return true;
}

bool graph_record(Call *c, Var *const *inputs, Var *output, Error *e) {
  Node *n = node_new(c);
  if (!n) return error_set(e, "out of memory");
  memcpy(n->call.extra, c->extra, sizeof c->extra);
  for (int i = 0; i < CALL_EXTRAS; i++)
    if (c->extra[i]) n->extra_versions[i] = c->extra[i]->storage->version;
  memset(c->extra, 0, sizeof c->extra);
  n->shape = output->value->shape;
  if (!save_inputs(n, c->in, inputs, e)) {
    node_release(n);
    return false;
  }
  if (c->op->save & SAVE_OUT) {
    n->output = tensor_retain(output->value);
    n->output_version = output->value->storage->version;
  }
  if (graph.trap && graph.where && (n->where = calloc(1, WHERE_SIZE)))
    graph.where(n->where, WHERE_SIZE);
  output->node = n;
  return true;
}

Var *graph_apply_keeping(Call *c, Var *const *inputs, Tensor *extras[CALL_EXTRAS], Error *e) {
  const Tensor *fixed[MAX_FIXED_INPUTS];
  const Tensor **in = fixed;
  if (c->inputs > MAX_FIXED_INPUTS && !(in = malloc((size_t)c->inputs * sizeof *in))) {
    error_set(e, "out of memory");
    return NULL;
  }
  Var *out = NULL;
  Span span = profile_begin();
  bool chosen = choose(c, inputs, in, e);
  c->record = chosen && wants_node(c, inputs);
  Tensor *y = chosen ? compute(c, extras != NULL, e) : NULL;
  if (y) profile_end_op(span, c, &y->shape, PROFILE_FORWARD, 1);
  if (y) out = var_new(y, e);
  if (extras)
    for (int i = 0; i < CALL_EXTRAS; i++)
      extras[i] = out && c->extra[i] ? tensor_retain(c->extra[i]) : NULL;
  if (out && c->record && !graph_record(c, inputs, out, e)) {
    var_release(out);
    out = NULL;
  }
  for (int i = 0; i < CALL_EXTRAS; i++) {
    tensor_release(c->extra[i]);
    if (out || !extras) continue;
    tensor_release(extras[i]);
    extras[i] = NULL;
  }
  release_converted(c, inputs, in);
  if (in != fixed) free(in);
  return out;
}

Var *graph_apply(Call *c, Var *const *inputs, Error *e) {
  return graph_apply_keeping(c, inputs, NULL, e);
}

bool graph_change(Var *v, Var *const *sources, int count, Error *e) {
  if (!graph.paused && var_wants_grad(v))
    return error_set(e,
                     "a tensor that %s cannot be changed in place; do it inside no_grad, "
                     "or on a copy (:clone())",
                     v->node ? "is part of a graph" : "wants a gradient");
  for (int i = 0; i < count && !graph.paused; i++)
    if (var_wants_grad(sources[i]))
      return error_set(e, "in-place changes record nothing, and the source wants a gradient; use "
                          "its :detach(), or no_grad");
  v->value->storage->version++;
  return true;
}

/* The result must be one that the target can be. */
static bool check_in_place(const Call *c, const Tensor *target, Shape *shape, Error *e) {
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  if (!output_shape(c, shape, e)) return false;
  if (!shape_equal(shape, &target->shape))
    return error_set(e, "the result has shape %s and does not fit into %s in place",
                     shape_text(shape, a), shape_text(&target->shape, b));
  if (output_dtype(c) != target->dtype)
    return error_set(e, "the result is %s and does not fit into %s in place",
                     dtype_name(output_dtype(c)), dtype_name(target->dtype));
  return true;
}

bool graph_apply_in_place(Call *c, Var *const *inputs, Error *e) {
  const Tensor *in[MAX_FIXED_INPUTS] = {0};
  Tensor *target = inputs[0]->value;
  Shape shape;
  c->record = false;
  bool ok = choose(c, inputs, in, e) && check_in_place(c, target, &shape, e) &&
            graph_change(inputs[0], inputs + 1, c->inputs - 1, e);
  for (int i = 1; i < c->inputs && ok; i++) {
    /* Another view of the target would be read after parts of it are overwritten. */
    bool same = in[i]->data == target->data && in[i]->numel == target->numel;
    if (in[i]->storage != target->storage || same) continue;
    ok = (in[i] = tensor_copy(in[i], e)) != NULL; /* released with what was converted */
  }
  if (ok) {
    Span span = profile_begin();
    ok = target->numel == 0 || c->op->forward(c, target, e);
    profile_end_op(span, c, &shape, PROFILE_FORWARD, 1);
  }
  release_converted(c, inputs, in);
  for (int i = 0; i < CALL_EXTRAS; i++) tensor_release(c->extra[i]);
  return ok;
}

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

static void add_into(Tensor *to, const Tensor *from) {
  real *restrict a = reals(to);
  const real *restrict b = reals(from);
  for (int64_t i = 0; i < to->numel; i++) a[i] += b[i];
  to->storage->version++;
}

/* *slot += dx; takes over dx. A first gradient is kept as it is unless others share its storage. */
static bool gather(Tensor **slot, Tensor *dx, Error *e) {
  bool shared = dx->refs > 1 || dx->storage->refs > 1;
  if (*slot) {
    add_into(*slot, dx);
  } else if (!shared) {
    *slot = dx;
    return true;
  } else {
    *slot = tensor_copy(dx, e);
  }
  tensor_release(dx);
  return *slot != NULL;
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
    if (discard) {
      tensor_release(leaf->grad);
      leaf->grad = NULL;
    }
    var_release(leaf);
  }
}

static bool deliver(Heap *heap, Node *n, int i, Tensor *dx, Error *e) {
  Edge *edge = &n->edges[i];
  if (!shape_equal(&dx->shape, &n->in[i]->shape)) {
    Tensor *sum = tensor_new(dx->dtype, &n->in[i]->shape, e);
    bool ok = sum && broadcast_sum(dx, sum, 1, e);
    tensor_release(dx);
    if (!ok) {
      tensor_release(sum);
      return false;
    }
    dx = sum;
  }
  if (edge->leaf && signals_raising() && !touch(edge->leaf, e)) {
    tensor_release(dx);
    return false;
  }
  if (!gather(edge->node ? &edge->node->grad : &edge->leaf->grad, dx, e)) return false;
  return !edge->node || edge->node->queued || heap_push(heap, edge->node, e);
}

static bool check_saved(const Node *n, Error *e) {
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
  if (!graph.trap) return true;
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

static bool gradients(const Node *n, Tensor **dx, Error *e) {
  const Op *op = n->call.op;
  bool nothing =
      n->grad->numel == 0 && op->forward; /* an op written in Lua is asked all the same */
  for (int i = 0; i < n->call.inputs; i++) {
    if (!n->edges[i].node && !n->edges[i].leaf) continue;
    if (op->flags & OP_RESHAPE) dx[i] = tensor_view(n->grad, &n->in[i]->shape, 0, e);
    else
      dx[i] =
          tensor_new(n->in[i]->dtype, op->flags & OP_BROADCAST ? &n->shape : &n->in[i]->shape, e);
    if (!dx[i]) return false;
    /* Nothing depends on an empty result. */
    if (nothing) tensor_fill(dx[i], number_real(0));
  }
  return nothing || op->flags & OP_RESHAPE || op->backward(&n->call, n->output, n->grad, dx, e);
}

/* How many of the products that backward may compute are wanted: those for inputs 1 and 2. */
static int products_wanted(const Node *n) {
  int count = 0;
  for (int i = 0; i < 2 && i < n->call.inputs; i++)
    if (n->edges[i].node || n->edges[i].leaf) count++;
  return count;
}

static bool backward_node(Heap *heap, Node *n, Error *e) {
  if (!check_saved(n, e)) return false;
  Tensor *fixed[MAX_FIXED_INPUTS] = {0}, **dx = fixed;
  int inputs = n->call.inputs;
  if (inputs > MAX_FIXED_INPUTS && !(dx = calloc((size_t)inputs, sizeof *dx)))
    return error_set(e, "out of memory");
  Span span = profile_begin();
  bool ok = gradients(n, dx, e);
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

bool graph_backward(Var *root, const Tensor *seed, Error *e) {
  if (graph.walking)
    return error_set(e, "a backward is running already (an op's backward cannot start another)");
  if (!var_wants_grad(root))
    return error_set(e, "nothing here wants a gradient (make parameters with lt.param, and compute "
                        "outside no_grad)");
  Tensor *start = seed_for(root, seed, e);
  if (!start) return false;
  if (!root->node) return gather(&root->grad, start, e);
  Heap heap = {0};
  graph.walking = true;
  bool ok = gather(&root->node->grad, start, e) && heap_push(&heap, root->node, e);
  while (heap.count > 0) {
    Node *n = heap_pop(&heap);
    if (ok && signals_interrupting()) ok = error_set(e, "interrupted");
    if (ok) ok = backward_node(&heap, n, e);
    Node *orphans = NULL;
    n->spent = true;
    node_clear(n, &orphans);
    nodes_free(orphans);
    node_release(n);
  }
  free(heap.item);
  forget_touched(!ok && signals_interrupting());
  graph.walking = false;
  return ok;
}
