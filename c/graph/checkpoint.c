/* Floor 4: many nodes as one that remembers nothing but where they began. */
#include "graph/node.h"

#include <stdlib.h>

const Op op_checkpoint = {.name = "checkpoint", .inputs = "xs*"};

/* Nodes that were made since a moment, and what of before they read. */
typedef struct Part {
  Node **node;
  size_t nodes, nodes_room;
  Edge *edge;
  size_t edges, edges_room;
} Part;

static bool grow(void **list, size_t count, size_t *room, size_t size) {
  if (count < *room) return true;
  size_t more = *room ? 2 * *room : 64;
  void *grown = realloc(*list, more * size);
  if (!grown) return false;
  *list = grown;
  *room = more;
  return true;
}

/* Each node once: `queued` marks those that were seen. */
static bool add_node(Part *p, Node *n) {
  if (n->queued) return true;
  if (!grow((void **)&p->node, p->nodes, &p->nodes_room, sizeof(Node *))) return false;
  n->queued = true;
  p->node[p->nodes++] = n;
  return true;
}

static bool add_edge(Part *p, Edge edge) {
  for (size_t i = 0; i < p->edges; i++)
    if (p->edge[i].node == edge.node && p->edge[i].leaf == edge.leaf) return true;
  if (!grow((void **)&p->edge, p->edges, &p->edges_room, sizeof(Edge))) return false;
  p->edge[p->edges++] = edge;
  return true;
}

static bool gather_part(Part *p, Node *last, uint64_t since) {
  bool ok = add_node(p, last);
  for (size_t at = 0; at < p->nodes && ok; at++) {
    Node *n = p->node[at];
    for (int i = 0; i < n->call.inputs && ok; i++) {
      Edge edge = n->edges[i];
      if (edge.node && edge.node->order > since) ok = add_node(p, edge.node);
      else if (edge.node || edge.leaf) ok = add_edge(p, edge);
    }
  }
  for (size_t i = 0; i < p->nodes; i++) p->node[i]->queued = false;
  return ok;
}

/* The node of a part: its leaves are saved, so that a change of theirs is noticed. */
static Node *node_of(const Part *p, const Shape *shape) {
  Call c = {.op = &op_checkpoint, .inputs = (int)p->edges};
  Node *n = node_new(&c);
  if (!n) return NULL;
  n->shape = *shape;
  for (size_t i = 0; i < p->edges; i++) {
    n->edges[i] = p->edge[i];
    if (n->edges[i].node) node_retain(n->edges[i].node);
    Var *leaf = n->edges[i].leaf;
    if (!leaf) continue;
    var_retain(leaf);
    n->in[i] = tensor_retain(leaf->value);
    n->versions[i] = leaf->value->storage->version;
  }
  return n;
}

Var *graph_checkpoint(Var *y, uint64_t since, Error *e) {
  if (!y->node || y->node->order <= since) return var_retain(y);
  Part part = {0};
  Node *n = gather_part(&part, y->node, since) ? node_of(&part, &y->value->shape) : NULL;
  free(part.node);
  free(part.edge);
  if (!n) {
    error_set(e, "out of memory");
    return NULL;
  }
  Var *v = var_new(tensor_retain(y->value), e);
  if (v) v->node = n;
  else node_release(n);
  return v;
}
