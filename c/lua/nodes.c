/* Floor 5: the nodes of the tape, for the library's Lua: what gradients of gradients, hooks and
 * checkpoints are made of. */
#include "graph/node.h"
#include "lua/check.h"
#include "lua/graph.h"
#include "base/words.h"

#include <string.h>

#define META_NODE META_PREFIX "Node"

/* ---- nodes in boxes ---- */

static void push_node(lua_State *L, Node *n) {
  Node **box = lua_newuserdatauv(L, sizeof(Node *), 0);
  *box = node_retain(n);
  luaL_setmetatable(L, META_NODE);
}

Node *check_node(lua_State *L, int index) { return *(Node **)luaL_checkudata(L, index, META_NODE); }

static int l_node_gc(lua_State *L) {
  Node **box = luaL_checkudata(L, 1, META_NODE);
  node_release(*box);
  *box = NULL;
  return 0;
}

/* A variable that the caller gives up. */
static void push_var(lua_State *L, Box *box, Var *v, const Error *e) {
  if (!v) raise_error(L, "grad: %s", e->text);
  box->var = v;
  box_filled(L);
}

/* A value and the node that made it, NULL for none, as a tensor. */
static void push_value(lua_State *L, Tensor *value, Node *node) {
  Error e;
  Box *box = box_new(L);
  Var *v = var_new(tensor_retain(value), &e);
  if (v && node) v->node = node_retain(node);
  push_var(L, box, v, &e);
}

/* node(x) -> the node that made x, its number; of a leaf an address that tells it from others */
static int l_node(lua_State *L) {
  Var *v = check_tensor(L, 1, "grad", NULL);
  if (!v->node) {
    lua_pushnil(L);
    lua_pushlightuserdata(L, v);
    return 2;
  }
  push_node(L, v->node);
  lua_pushinteger(L, (lua_Integer)v->node->order);
  return 2;
}

/* node_edges(node) -> a list that has for each input the node that made it, the address of a leaf
 * or false, and one of the nodes' numbers, or false */
static int l_node_edges(lua_State *L) {
  Node *n = check_node(L, 1);
  Error e;
  if (n->spent && !node_check(n, &e)) raise_error(L, "grad: %s", e.text);
  lua_createtable(L, n->call.inputs, 0);
  lua_createtable(L, n->call.inputs, 0);
  for (int i = 0; i < n->call.inputs; i++) {
    const Edge *edge = &n->edges[i];
    if (edge->node) push_node(L, edge->node);
    else if (edge->leaf) lua_pushlightuserdata(L, edge->leaf);
    else lua_pushboolean(L, false);
    lua_rawseti(L, -3, i + 1);
    if (edge->node) lua_pushinteger(L, (lua_Integer)edge->node->order);
    else lua_pushboolean(L, false);
    lua_rawseti(L, -2, i + 1);
  }
  return 2;
}

/* ---- what a node holds ---- */

static int64_t push_numbers(lua_State *L, const int64_t *from, int64_t count, int64_t add) {
  lua_createtable(L, (int)count, 0);
  for (int64_t i = 0; i < count; i++) {
    lua_pushinteger(L, from[i] + add);
    lua_rawseti(L, -2, i + 1);
  }
  return 1 + MAX_DIMS;
}

/* Pushes a parameter as the op takes it; returns how many of the whole numbers are its. */
static int64_t push_param(lua_State *L, const Param *p, const int64_t *integer, double number) {
  char word[32] = "";
  switch (p->kind) {
  case PARAM_NUMBER: lua_pushnumber(L, number); return 0;
  case PARAM_BOOL: lua_pushboolean(L, integer[0] != 0); return 1;
  case PARAM_INTS: return push_numbers(L, integer + 1, integer[0], 0);
  case PARAM_AXES: return push_numbers(L, integer + 1, integer[0], 1);
  case PARAM_PAIR: push_numbers(L, integer, 2, 0); return 2;
  case PARAM_AXIS:
    if (integer[0] < 0) lua_pushnil(L);
    else lua_pushinteger(L, integer[0] + 1);
    return 1;
  case PARAM_CHOICE:
    word_at(p->choices, (int)integer[0], word, sizeof word, NULL);
    lua_pushstring(L, word);
    return 1;
  default: lua_pushinteger(L, integer[0]); return 1;
  }
}

static void push_params(lua_State *L, const Call *c) {
  const int64_t *integer = c->integer;
  const double *number = c->number;
  lua_newtable(L);
  for (int i = 0; i < c->op->param_count; i++) {
    const Param *p = &c->op->params[i];
    integer += push_param(L, p, integer, *number);
    lua_setfield(L, -2, p->name);
    if (p->kind == PARAM_NUMBER) number++;
  }
}

/* Input i where its value is known: connected to what made it. A leaf is itself. */
static void push_input(lua_State *L, const Node *n, int i) {
  const Tensor *t = n->in[i];
  if (!t || !t->storage) lua_pushboolean(L, false);
  else if (n->edges[i].leaf) box_new(L)->var = var_retain(n->edges[i].leaf);
  else push_value(L, n->in[i], n->edges[i].node);
}

static void push_inputs(lua_State *L, const Node *n) {
  for (int i = 0; i < n->call.inputs; i++) {
    push_input(L, n, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_createtable(L, n->call.inputs, 0);
  for (int i = 0; i < n->call.inputs; i++) {
    if (n->in[i]) push_numbers(L, n->in[i]->shape.size, n->in[i]->shape.dims, 0);
    else lua_pushboolean(L, false);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "shapes");
}

/* node_read(node) -> {name =, custom = is it written in Lua, shape = of the output, shapes = of the
 * inputs, params = by name, y = the output where it is saved, extras = {tensor or false, ...}, and
 * at 1, 2, ... the inputs that are saved, or false} */
static int l_node_read(lua_State *L) {
  Node *n = check_node(L, 1);
  Error e;
  if (!node_check(n, &e)) raise_error(L, "grad: %s", e.text);
  lua_newtable(L);
  lua_pushstring(L, n->call.op->name);
  lua_setfield(L, -2, "name");
  lua_pushboolean(L, is_custom(n->call.op));
  lua_setfield(L, -2, "custom");
  push_numbers(L, n->shape.size, n->shape.dims, 0);
  lua_setfield(L, -2, "shape");
  push_inputs(L, n);
  push_params(L, &n->call);
  lua_setfield(L, -2, "params");
  if (n->output) {
    push_value(L, n->output, n);
    lua_setfield(L, -2, "y");
  }
  lua_newtable(L);
  for (int i = 0; i < CALL_EXTRAS; i++) {
    if (n->call.extra[i]) push_value(L, n->call.extra[i], NULL);
    else lua_pushboolean(L, false);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "extras");
  return 1;
}

/* node_winners(node) -> for each element of the output the place, counted from 1 row by row, of the
 * element of the input that it is */
static int l_node_winners(lua_State *L) {
  Node *n = check_node(L, 1);
  const Call *c = &n->call;
  Error e;
  if (!c->op->winner) raise_error(L, "grad: %s: its elements are no input's", c->op->name);
  if (!node_check(n, &e)) raise_error(L, "grad: %s", e.text);
  Shape list = {.dims = 1, .size = {shape_numel(&n->shape)}};
  Box *box = box_new(L);
  push_tensor(L, box, tensor_new(DTYPE_I64, &list, &e), "grad", &e);
  for (int64_t k = 0; k < list.size[0]; k++) int64s(box->var->value)[k] = c->op->winner(c, k) + 1;
  return 1;
}

/* ---- walking ---- */

/* node_gradients(node, dy, wanted) -> by place the gradients of the inputs for which the list
 * `wanted` says true */
static int l_node_gradients(lua_State *L) {
  Node *n = check_node(L, 1);
  Var *dy = check_tensor(L, 2, "grad", "gradient");
  size_t count = (size_t)n->call.inputs;
  Error e;
  bool *wanted = lua_newuserdatauv(L, count * sizeof *wanted + 1, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 3, (lua_Integer)i + 1);
    wanted[i] = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  Tensor **dx = lua_newuserdatauv(L, count * sizeof *dx + 1, 0);
  memset(dx, 0, count * sizeof *dx);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    if (!wanted[i]) continue;
    box_new(L);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  bool ok = graph_run_in(L, n, dy->value, wanted, dx, &e);
  for (size_t i = 0; i < count; i++) {
    if (!dx[i]) continue;
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    Box *box = lua_touserdata(L, -1);
    box->var = var_new(dx[i], &e);
    ok = ok && box->var;
    lua_pop(L, 1);
  }
  if (!ok) raise_error(L, "grad: %s", e.text);
  box_filled(L);
  return 1;
}

/* node_spend(node): frees what it saved */
static int l_node_spend(lua_State *L) {
  node_spend(check_node(L, 1));
  return 0;
}

/* with_recording(on, f, ...): f's results, with recording on or off meanwhile */
static int l_with_recording(lua_State *L) {
  bool before = graph_recording();
  graph_set_recording(lua_toboolean(L, 1));
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  graph_set_recording(before);
  if (status != LUA_OK) return lua_error(L);
  return lua_gettop(L) - 1;
}

/* ---- what Lua keeps for nodes and leaves ---- */

static lua_State *keeper;  /* the main state: a node may be freed in any */
static char KEPT, RUNNERS; /* their addresses are keys of the registry */

static void forget(uint64_t key) {
  if (lua_rawgetp(keeper, LUA_REGISTRYINDEX, &KEPT) == LUA_TTABLE) {
    lua_pushnil(keeper);
    lua_rawseti(keeper, -2, (lua_Integer)key);
  }
  lua_pop(keeper, 1);
}

typedef struct HostCall {
  const char *runner;
  uint64_t key;
  Tensor **grad; /* of hooks */
  Var *result;   /* of replay */
} HostCall;

static int run_host(lua_State *L) {
  HostCall *call = lua_touserdata(L, 1);
  Error e;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &RUNNERS);
  lua_getfield(L, -1, call->runner);
  lua_pushinteger(L, (lua_Integer)call->key);
  if (call->grad) push_tensor(L, box_new(L), tensor_retain(*call->grad), "grad", &e);
  lua_call(L, call->grad ? 2 : 1, 1);
  if (call->grad && lua_isnil(L, -1)) return 0;
  Var *v = check_tensor(L, -1, call->runner, NULL);
  if (!call->grad) {
    call->result = var_retain(v);
    return 0;
  }
  tensor_retain(v->value);
  tensor_release(*call->grad);
  *call->grad = v->value;
  return 0;
}

static bool hooks(uint64_t key, Tensor **grad, Error *e) {
  HostCall call = {.runner = "hooks", .key = key, .grad = grad};
  return graph_call_host(run_host, &call, false, e);
}

static Var *replay(uint64_t key, Error *e) {
  HostCall call = {.runner = "replay", .key = key};
  return graph_call_host(run_host, &call, true, e) ? call.result : NULL;
}

/* graph_key(x) -> the number by which hooks of x are kept, and whether x is a leaf */
static int l_graph_key(lua_State *L) {
  Var *v = check_tensor(L, 1, "register_hook", NULL);
  lua_pushinteger(L, (lua_Integer)graph_key(v));
  lua_pushboolean(L, !v->node);
  return 2;
}

static int l_graph_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)graph_count());
  return 1;
}

/* checkpointed(y, since) -> y as the output of one node in the place of those made since */
static int l_checkpointed(lua_State *L) {
  Error e;
  Box *box = box_new(L);
  Var *y = check_tensor(L, 1, "checkpoint", NULL);
  push_var(L, box, graph_checkpoint(y, (uint64_t)luaL_checkinteger(L, 2), &e), &e);
  return 1;
}

/* version(x) -> a number that every change in place makes another */
static int l_version(lua_State *L) {
  lua_pushinteger(L, check_tensor(L, 1, "checkpoint", NULL)->value->storage->version);
  return 1;
}

static const luaL_Reg functions[] = {{"node", l_node},
                                     {"node_edges", l_node_edges},
                                     {"node_read", l_node_read},
                                     {"node_winners", l_node_winners},
                                     {"node_gradients", l_node_gradients},
                                     {"node_spend", l_node_spend},
                                     {"with_recording", l_with_recording},
                                     {"graph_key", l_graph_key},
                                     {"graph_count", l_graph_count},
                                     {"checkpointed", l_checkpointed},
                                     {"version", l_version},
                                     {NULL, NULL}};

void open_nodes(lua_State *L) {
  static const GraphHost host = {hooks, replay, forget};
  luaL_newmetatable(L, META_NODE);
  lua_pushcfunction(L, l_node_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  keeper = lua_tothread(L, -1);
  lua_pop(L, 1);
  graph_set_host(&host);
  luaL_setfuncs(L, functions, 0);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &KEPT);
  lua_setfield(L, -2, "kept"); /* by key, what belongs to a node of the tape */
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &RUNNERS);
  lua_setfield(L, -2, "runners"); /* hooks(key, gradient) and replay(key), from the library's Lua */
}
