/* Floor 5: what the bindings of the graph tell each other. */
#ifndef LATENT_LUA_GRAPH_H
#define LATENT_LUA_GRAPH_H

#include "graph/node.h"

#include <lua.h>

/* The Lua state in which backward runs now, for ops that are written in Lua. */
lua_State *graph_host(void);
/* The node in the box at an index. */
Node *check_node(lua_State *L, int index);
/* Is the op written in Lua? */
bool is_custom(const Op *op);
/* node_gradients, with L as that state. */
bool graph_run_in(lua_State *L, Node *n, const Tensor *dy, const bool *wanted, Tensor **dx,
                  Error *e);
/* Called before an op is applied: the state whose line a node remembers while the trap is on. */
void graph_trace(lua_State *L);

#endif
