#include "graph/node.h"

#include "ops/dispatch.h"
#include "base/dtype.h"
#include "base/parallel.h"
#include "base/spares.h"
#include "graph/later.h"
#include "graph/profile.h"

#include <stdlib.h>
#include <string.h>

enum { WHERE_SIZE = 160 };

static struct {
  bool paused; /* inside no_grad */
  bool trap;
  WhereFunction *where;
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

static Spares spare_vars, spare_nodes;

Var *var_new(Tensor *value, Error *e) {
  Var *v = spare_take(&spare_vars, sizeof *v);
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

const GraphHost *graph_host_functions;
void graph_set_host(const GraphHost *host) { graph_host_functions = host; }
uint64_t graph_count(void) { return graph.nodes; }

uint64_t graph_key(Var *v) {
  if (v->node) {
    v->node->kept = true;
    return v->node->order;
  }
  if (!v->key) v->key = ++graph.nodes;
  return v->key;
}

/* Drops all that backward would need. Nodes that lose their last holder are put on the list. */
static void node_clear(Node *n, Node **list) {
  if (n->kept) graph_host_functions->forget(n->order);
  n->kept = false;
  for (int i = 0; i < n->call.inputs; i++) {
    Node *source = n->edges[i].node;
    if (source) source->users--;
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
  tensor_release(n->late);
  n->output = n->grad = n->late = NULL;
}

/* Frees a list of nodes, and what only they held, without recursion: a chain may be very long. */
static void nodes_free(Node *list) {
  while (list) {
    Node *n = list;
    list = n->next;
    if (!n->spent) node_clear(n, &list);
    tensor_release(n->grad); /* of a spent one: what came afterwards */
    tensor_release(n->late);
    free(n->where);
    if (n->call.inputs <= MAX_FIXED_INPUTS) spare_give(&spare_nodes, n);
    else free(n);
  }
}

void node_release(Node *n) {
  if (!n || --n->refs > 0) return;
  n->next = NULL;
  nodes_free(n);
}

Node *node_retain(Node *n) {
  n->refs++;
  return n;
}

void node_spend(Node *n) {
  Node *orphans = NULL;
  n->spent = true;
  node_clear(n, &orphans);
  nodes_free(orphans);
}

void var_release(Var *v) {
  if (!v || --v->refs > 0) return;
  bool waits = later_waits(v->value);
  tensor_release(v->value);
  tensor_release(v->grad);
  tensor_release(v->pending);
  node_release(v->node);
  spare_give(&spare_vars, v);
  if (waits) later_drop_unused();
}

Node *node_new(const Call *c) {
  bool few = c->inputs <= MAX_FIXED_INPUTS; /* those have room for as many as there may be */
  size_t count = few ? MAX_FIXED_INPUTS : (size_t)c->inputs;
  size_t size = sizeof(Node) + count * (sizeof(Edge) + sizeof(Tensor *) + sizeof(uint32_t));
  Node *n = few ? spare_take(&spare_nodes, size) : malloc(size);
  if (!n) return NULL;
  memset(n, 0, size);
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
  bool settled = true;
  Tensor *y;
  if (later_count > 0 && later_follow(c, &y, &settled, e)) return y;
  if (!settled) return NULL;
  if (offset >= 0) return tensor_view(c->in[0], &shape, offset, e);
  if (c->later && c->op->finish && !graph.trap && shape_numel(&shape) > 0) {
    parallel_may_stop();
    bool ok = c->op->prepare(c, e);
    if (parallel_was_stopped()) ok = error_set(e, "interrupted");
    return ok ? later_new(c, &shape, e) : NULL;
  }
  y = tensor_new(output_dtype(c), &shape, e);
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

static unsigned saves(const Call *c) { return c->op->saves ? c->op->saves(c) : c->op->save; }

static bool save_inputs(Node *n, const Tensor *const *in, Var *const *inputs, Error *e) {
  for (int i = 0; i < n->call.inputs; i++) {
    Var *v = inputs[i];
    if (!v) continue;
    bool saved = i < 16 && (saves(&n->call) & (1u << i));
    n->in[i] = saved ? tensor_retain((Tensor *)in[i]) : tensor_shell(in[i], e);
    if (!n->in[i]) return false;
    if (saved) n->versions[i] = in[i]->storage->version;
    if (v->node) {
      n->edges[i].node = v->node;
      v->node->refs++;
      v->node->users++;
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
  if (saves(c) & SAVE_OUT) {
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
  const char *by = v->value->storage->part_by;
  if (by)
    return error_set(e,
                     "%s copied these elements, and the tensor they came from would not change; "
                     "write x[{...}] = value for that, or :clone() for a tensor of your own",
                     by);
  if (!later_settle_uses(v->value->storage, e)) return false;
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
