/* Floor 4: the tape. Applying an op to variables makes a node that remembers what backward needs;
 * graph_backward walks the nodes from the newest to the oldest, adds into the gradients of the
 * leaves and frees the tape as it goes. Knows ops and tensors; nothing of Lua. */
#ifndef LATENT_GRAPH_H
#define LATENT_GRAPH_H

#include "ops/op.h"

typedef struct Node Node;

/* A value with its place in the graph: what a Lua tensor stands for. Leaves have no node. */
typedef struct Var {
  int refs;
  bool requires_grad; /* a leaf whose gradient is wanted */
  bool zeroed;        /* the gradient is zeros that have not been written: see var_grad */
  Tensor *value;
  Tensor *grad;    /* of a leaf; NULL before the first backward */
  Node *node;      /* what made the value; NULL if nothing wants its gradient */
  uint64_t key;    /* of a leaf whose gradient passes through hooks; 0 otherwise */
  Tensor *pending; /* of such a leaf: what the backward that runs has gathered so far */
} Var;

/* Takes over the caller's reference to value, also when it fails. */
Var *var_new(Tensor *value, Error *e);
Var *var_retain(Var *v);
void var_release(Var *v);
/* The gradient of a leaf, to be read or changed; NULL where there is none. */
Tensor *var_grad(Var *v);
/* Zeroes it, where there is one. Nothing is written unless others hold it: the next backward writes
 * over what is there. */
bool var_zero_grad(Var *v, Error *e);
static inline bool var_wants_grad(const Var *v) { return v->requires_grad || v->node; }

/* Does the op take these inputs (c->in) and parameters? Sets the row and the output's shape.
 * Computes nothing. */
bool graph_check(Call *c, Shape *shape, Error *e);

/* Runs the op of c on the inputs (NULL where an optional one is absent); c holds op and parameters.
 * The call's extras are released before it returns, unless `extras` asks for them. */
Var *graph_apply(Call *c, Var *const *inputs, Error *e);
Var *graph_apply_keeping(Call *c, Var *const *inputs, Tensor *extras[CALL_EXTRAS], Error *e);

/* Runs an elementwise op with its first input as the output; nothing is recorded. */
bool graph_apply_in_place(Call *c, Var *const *inputs, Error *e);

/* Enters a result computed elsewhere (an op written in Lua) into the tape; c->in has the inputs'
 * values. Takes over c's extras. */
bool graph_record(Call *c, Var *const *inputs, Var *output, Error *e);

/* What the floor above keeps for nodes and leaves, by their keys, and does when it is their turn.
 */
typedef struct GraphHost {
  /* A gradient that is complete; the hooks may replace it. */
  bool (*hooks)(uint64_t key, Tensor **grad, Error *e);
  /* The output of a checkpoint, computed once more and recorded. */
  Var *(*replay)(uint64_t key, Error *e);
  void (*forget)(uint64_t key); /* the node will not come back */
} GraphHost;
void graph_set_host(const GraphHost *host);
/* The key of the node that made v, or of a leaf; from now on the host is asked about it. */
uint64_t graph_key(Var *v);

/* The number of the newest node; those made later have larger ones. */
uint64_t graph_count(void);
/* y, which was computed since so many nodes, as the output of a single node in the place of all
 * that computed it: backward asks the host to compute it again. NULL and e filled where memory is
 * short. */
Var *graph_checkpoint(Var *y, uint64_t since, Error *e);

/* Adds d(root)/d(leaf), times seed, into every leaf; a NULL seed is 1 and asks for a scalar. */
bool graph_backward(Var *root, const Tensor *seed, Error *e);

/* An in-place change of v, made of the sources: refused while v is part of a graph, or a source
 * wants a gradient that nothing would carry, and recording is on; and where v is a copy that the
 * user may take for a part of another tensor (part_by). Call before the change; it bumps
 * the version, which a backward through an earlier use of the value notices. */
bool graph_change(Var *v, Var *const *sources, int count, Error *e);

bool graph_recording(void);
void graph_set_recording(bool on);

/* With a trap, backward fails at the first gradient that is not finite, and names the op and the
 * place (as `where` told it when the node was made). */
typedef void WhereFunction(char *text, size_t size);
void graph_trap_nonfinite(bool on, WhereFunction *where);
bool graph_trapping(void);

#endif
