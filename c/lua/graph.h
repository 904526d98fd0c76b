/* Floor 5: what the bindings of the graph tell each other. */
#ifndef LATENT_LUA_GRAPH_H
#define LATENT_LUA_GRAPH_H

#include "graph/node.h"

#include <lua.h>

/* Calls f in the Lua state in which backward runs now, for ops that are written in Lua: with `what`
 * as its light userdata, and the recording on or off. False, with the error's text, where it
 * raises. */
bool graph_call_host(lua_CFunction f, void *what, bool record, Error *e);
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
