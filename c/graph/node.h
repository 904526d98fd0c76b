/* Floor 4: what a node of the tape holds, for the files that make nodes, walk back over them or
 * show them to Lua. */
#ifndef LATENT_GRAPH_NODE_H
#define LATENT_GRAPH_NODE_H

#include "graph/graph.h"

/* Where the gradient of an input goes: on to the node that made it, or into a leaf. */
typedef struct Edge {
  Node *node;
  Var *leaf;
} Edge;

struct Node {
  int refs;
  int users; /* nodes whose inputs it made */
  bool queued, spent;
  bool kept;      /* the host keeps something for it: hooks, or what to compute again */
  uint64_t order; /* nodes are made after their inputs: descending order is topological */
  Call call;
  Edge *edges;
  Tensor **in; /* saved inputs, or shells */
  uint32_t *versions;
  Tensor *output; /* shares storage only: holding the variable itself would be a cycle */
  uint32_t output_version, extra_versions[CALL_EXTRAS];
  Shape shape; /* of the output */
  Tensor *grad;
  Tensor *late; /* to be added to grad: a tensor that nobody else holds */
  char *where;
  Node *next; /* in the list of nodes that wait to be freed */
};

extern const GraphHost *graph_host_functions;
extern const Op op_checkpoint;

Node *node_new(const Call *c);
Node *node_retain(Node *n);
void node_release(Node *n);
/* Drops what backward would need: a second one over the node is refused. */
void node_spend(Node *n);

/* Fails where the node is spent, or a value that it saved has changed since. */
bool node_check(const Node *n, Error *e);
/* The gradients of the inputs, given that of the output: dx[i], which the caller owns then, for
 * each input that wants one and, unless `wanted` is NULL, is wanted; the other places are left as
 * they are. The caller has zeroed them, and releases what is there also after a failure. */
bool node_gradients(Node *n, const Tensor *dy, const bool *wanted, Tensor **dx, Error *e);

#endif
