/* Floor 5: what the bindings of the graph tell each other. */
#ifndef LATENT_LUA_GRAPH_H
#define LATENT_LUA_GRAPH_H

#include <lua.h>

/* The Lua state in which backward runs now, for ops that are written in Lua. */
lua_State *graph_host(void);
/* Called before an op is applied: the state whose line a node remembers while the trap is on. */
void graph_trace(lua_State *L);

#endif
