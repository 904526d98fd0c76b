/* Floor 5: ops whose forward and backward are Lua functions. What forward saves lives in the node,
 * as tensors and numbers, so that a call leaves nothing in Lua's registry. */
#include "lua/check.h"
#include "lua/graph.h"
#include "ops/dispatch.h"
#include "graph/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A definition lives as long as the process: nodes point at it. */
typedef struct LuaOp {
  Op op;
  int forward, backward; /* references in the registry */
  char name[64];
} LuaOp;

/* The ctx of one call: up to CALL_EXTRAS values, each a tensor or a number. */
typedef struct Context {
  int count;
  Tensor *tensor[CALL_EXTRAS];
  Var *var[CALL_EXTRAS]; /* the tensor with its history, where backward is recorded itself */
  double number[CALL_EXTRAS];
} Context;

/* What of a call's saved values is in its Call.integer: their count, then for each which input it
 * is, from 1, or one of these. */
enum { SAVED = 0, IS_NEITHER = 0, IS_OUTPUT = -1 };

static Context *context_new(lua_State *L) {
  Context *ctx = lua_newuserdatauv(L, sizeof *ctx, 0);
  memset(ctx, 0, sizeof *ctx);
  luaL_setmetatable(L, META_CONTEXT);
  return ctx;
}

static int l_context_gc(lua_State *L) {
  Context *ctx = luaL_checkudata(L, 1, META_CONTEXT);
  for (int i = 0; i < ctx->count; i++) {
    tensor_release(ctx->tensor[i]);
    var_release(ctx->var[i]);
  }
  ctx->count = 0;
  return 0;
}

/* ctx:save(...): tensors and numbers that backward needs */
static int l_save(lua_State *L) {
  Context *ctx = check_self(L, META_CONTEXT, "save", "context", "ctx");
  for (int i = 2; i <= lua_gettop(L); i++) {
    if (ctx->count == CALL_EXTRAS)
      raise_error(L, "ctx:save: expected at most %d values", CALL_EXTRAS);
    bool number = lua_type(L, i) == LUA_TNUMBER;
    Tensor *t = number ? NULL : check_tensor(L, i, "ctx:save", NULL)->value;
    ctx->number[ctx->count] = number ? lua_tonumber(L, i) : 0;
    ctx->tensor[ctx->count++] = t ? tensor_retain(t) : NULL;
  }
  return 0;
}

/* ctx:saved(): what was saved, in the same order */
static int l_saved(lua_State *L) {
  Context *ctx = check_self(L, META_CONTEXT, "saved", "context", "ctx");
  Error e;
  for (int i = 0; i < ctx->count; i++) {
    if (ctx->var[i]) {
      box_new(L)->var = var_retain(ctx->var[i]);
    } else if (ctx->tensor[i]) {
      Box *box = box_new(L);
      push_tensor(L, box, tensor_retain(ctx->tensor[i]), "ctx:saved", &e);
    } else {
      lua_pushnumber(L, ctx->number[i]);
    }
  }
  return ctx->count;
}

/* ---- backward: called by the graph, inside a protected call ---- */

typedef struct BackwardCall {
  const Call *call;
  const Tensor *dy;
  Tensor *const *dx;
} BackwardCall;

/* A gradient or nil for each input: one that is forgotten is no zero, one too many has no input. */
static void check_gradients(lua_State *L, const BackwardCall *b, int first) {
  const Call *c = b->call;
  int count = lua_gettop(L) - first + 1, needed = c->inputs;
  char got[80];
  while (count > c->inputs && lua_isnil(L, -1)) {
    lua_pop(L, 1);
    count--;
  }
  while (needed > 0 && !b->dx[needed - 1]) needed--;
  if (count > c->inputs || count < needed)
    raise_error(L,
                "%s: backward: expected a gradient or nil for each of %d input%s, got %d value%s",
                c->op->name, c->inputs, c->inputs == 1 ? "" : "s", count, count == 1 ? "" : "s");
  for (int i = 0; i < count; i++)
    if (!lua_isnil(L, first + i) && !is_tensor(L, first + i))
      raise_error(L, "%s: backward: input %d: expected a gradient or nil, got %s", c->op->name,
                  i + 1, describe(L, first + i, got, sizeof got));
  lua_settop(L, first + c->inputs - 1);
}

static int run_backward(lua_State *L) {
  BackwardCall *b = lua_touserdata(L, 1);
  const LuaOp *def = (const LuaOp *)b->call->op;
  const char *name = def->name;
  char want[SHAPE_TEXT], got[SHAPE_TEXT];
  Error e;
  lua_rawgeti(L, LUA_REGISTRYINDEX, def->backward);
  Context *ctx = context_new(L);
  for (ctx->count = 0; ctx->count < (int)b->call->integer[SAVED]; ctx->count++) {
    Tensor *t = b->call->extra[ctx->count];
    ctx->tensor[ctx->count] = t ? tensor_retain(t) : NULL;
    ctx->number[ctx->count] = b->call->number[ctx->count];
  }
  Box *dy = box_new(L);
  push_tensor(L, dy, tensor_view(b->dy, &b->dy->shape, 0, &e), name, &e);
  lua_call(L, 2, LUA_MULTRET);
  check_gradients(L, b, 2);
  for (int i = 0; i < b->call->inputs; i++) {
    Tensor *to = b->dx[i];
    int at = 2 + i;
    if (!to) continue;
    if (lua_isnil(L, at)) {
      tensor_fill(to, number_real(0));
      continue;
    }
    const Tensor *from = check_tensor(L, at, name, "backward")->value;
    if (!shape_equal(&from->shape, &to->shape) || from->dtype != to->dtype)
      raise_error(L, "%s: backward: expected a gradient %s %s for input %d, got %s %s", name,
                  dtype_name(to->dtype), shape_text(&to->shape, want), i + 1,
                  dtype_name(from->dtype), shape_text(&from->shape, got));
    tensor_convert(from, to, NULL);
  }
  return 0;
}

static bool lua_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y;
  BackwardCall b = {c, dy, dx};
  return graph_call_host(run_backward, &b, false, e);
}

bool is_custom(const Op *op) { return op->backward == lua_backward; }

/* A saved value with its history; NULL for a number, and for what stays without one. */
static Var *var_of(Node *n, int i, Error *e) {
  Tensor *t = n->call.extra[i];
  int64_t from = n->call.integer[SAVED + 1 + i];
  const Edge *edge = from > 0 ? &n->edges[from - 1] : NULL;
  Node *source = from == IS_OUTPUT ? n : edge ? edge->node : NULL;
  if (edge && edge->leaf) return var_retain(edge->leaf);
  Var *v = var_new(tensor_retain(t), e);
  if (v && source) v->node = node_retain(source);
  return v;
}

/* custom_backward(node, dy) -> what backward(ctx, dy) of an op written in Lua returns, recorded.
 * Saved inputs and a saved output come back with their history; of another tensor nobody knows what
 * it depends on. */
static int l_custom_backward(lua_State *L) {
  Node *n = check_node(L, 1);
  const LuaOp *def = (const LuaOp *)n->call.op;
  Error e;
  if (!node_check(n, &e)) raise_error(L, "grad: %s", e.text);
  lua_rawgeti(L, LUA_REGISTRYINDEX, def->backward);
  Context *ctx = context_new(L);
  for (int i = 0; i < (int)n->call.integer[SAVED]; i++) {
    Tensor *t = n->call.extra[i];
    if (t && dtype_is_floating(t->dtype) && n->call.integer[SAVED + 1 + i] == IS_NEITHER)
      raise_error(L,
                  "grad: %s: its gradient has none: it saves a tensor that is neither an input of "
                  "its nor its output, and may depend on them; save these, and compute the rest "
                  "in backward",
                  def->name);
    ctx->number[i] = n->call.number[i];
    if (t && !(ctx->var[i] = var_of(n, i, &e))) raise_error(L, "grad: %s", e.text);
    ctx->count++;
  }
  lua_pushvalue(L, 2);
  lua_call(L, 2, LUA_MULTRET);
  return lua_gettop(L) - 2;
}

/* ---- forward ---- */

/* Runs forward(ctx, ...) without recording; leaves ctx and its result on the stack. */
static void run_forward(lua_State *L, const LuaOp *def, int arguments) {
  bool recording = graph_recording();
  lua_rawgeti(L, LUA_REGISTRYINDEX, def->forward);
  context_new(L);
  lua_pushvalue(L, -1);
  lua_insert(L, -3); /* ctx, forward, ctx */
  for (int i = 1; i <= arguments; i++) lua_pushvalue(L, i);
  graph_set_recording(false);
  Span span = profile_begin();
  int status = lua_pcall(L, arguments + 1, 1, 0);
  profile_end(span, def->name, PROFILE_FORWARD);
  graph_set_recording(recording);
  if (status != LUA_OK) lua_error(L);
}

static bool any_wants_grad(Var *const *inputs, int count) {
  for (int i = 0; i < count; i++)
    if (var_wants_grad(inputs[i])) return graph_recording();
  return false;
}

/* The tensors among the arguments, and their values. */
static void read_inputs(lua_State *L, const LuaOp *def, int arguments, Call *c, Var **inputs,
                        const Tensor **in) {
  c->inputs = 0;
  for (int i = 1; i <= arguments; i++) {
    if (!is_tensor(L, i)) continue;
    if (c->inputs == MAX_FIXED_INPUTS)
      raise_error(L, "%s: expected at most %d tensors", def->name, MAX_FIXED_INPUTS);
    inputs[c->inputs] = check_tensor(L, i, def->name, NULL);
    in[c->inputs] = inputs[c->inputs]->value;
    c->inputs++;
  }
}

static int l_call(lua_State *L) {
  const LuaOp *def = lua_touserdata(L, lua_upvalueindex(1));
  int arguments = lua_gettop(L);
  Var *inputs[MAX_FIXED_INPUTS];
  const Tensor *in[MAX_FIXED_INPUTS];
  Call c = {.op = &def->op, .in = in};
  luaL_checkstack(L, arguments + 8, def->name);
  read_inputs(L, def, arguments, &c, inputs, in);
  run_forward(L, def, arguments);
  Context *ctx = lua_touserdata(L, -2);
  char got[80];
  if (!is_tensor(L, -1))
    raise_error(L, "%s: forward: expected to get a tensor back, got %s", def->name,
                describe(L, -1, got, sizeof got));
  Tensor *result = check_tensor(L, -1, def->name, "forward")->value;
  if (!dtype_is_floating(result->dtype))
    raise_error(L, "%s: forward: expected %s, got %s", def->name, dtype_name(dtype_default()),
                dtype_name(result->dtype));
  Error e;
  Box *box = box_new(L);
  push_tensor(L, box, tensor_retain(result), def->name, &e);
  read_inputs(L, def, arguments, &c, inputs, in); /* again: forward may have closed some */
  if (!any_wants_grad(inputs, c.inputs)) return 1;
  c.integer[SAVED] = ctx->count;
  for (int i = 0; i < ctx->count; i++) {
    if (ctx->tensor[i] == result) c.integer[SAVED + 1 + i] = IS_OUTPUT;
    for (int k = 0; k < c.inputs; k++)
      if (ctx->tensor[i] == inputs[k]->value) c.integer[SAVED + 1 + i] = k + 1;
  }
  memcpy(c.number, ctx->number, sizeof c.number);
  for (int i = 0; i < ctx->count; i++)
    c.extra[i] = ctx->tensor[i] ? tensor_retain(ctx->tensor[i]) : NULL;
  graph_trace(L);
  bool ok = graph_record(&c, inputs, box->var, &e);
  for (int i = 0; i < CALL_EXTRAS; i++) tensor_release(c.extra[i]);
  if (!ok) raise_error(L, "%s: %s", def->name, e.text);
  return 1;
}

static void check_function(lua_State *L, const char *field) {
  char got[80];
  if (lua_getfield(L, 1, field) != LUA_TFUNCTION)
    raise_error(L, "op: %s: expected a function, got %s", field, describe(L, -1, got, sizeof got));
}

static void check_fields(lua_State *L) {
  static const char *const known[] = {"name", "forward", "backward"};
  char got[80];
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    bool found = false;
    for (int i = 0; i < 3 && lua_type(L, -2) == LUA_TSTRING && !found; i++)
      found = strcmp(lua_tostring(L, -2), known[i]) == 0;
    if (!found)
      raise_error(L, "op: unknown field %s; fields: name, forward, backward",
                  describe(L, -2, got, sizeof got));
  }
}

/* op{name = "double", forward = function(ctx, x, ...), backward = function(ctx, dy)} -> a function.
 * backward returns a gradient (or nil) for each tensor that forward was given. */
static int l_op(lua_State *L) {
  char got[80];
  if (lua_type(L, 1) != LUA_TTABLE)
    raise_error(L, "op: expected a table with forward and backward, got %s",
                describe(L, 1, got, sizeof got));
  check_fields(L);
  check_function(L, "forward");
  check_function(L, "backward");
  if (lua_getfield(L, 1, "name") != LUA_TNIL && lua_type(L, -1) != LUA_TSTRING)
    raise_error(L, "op: name: expected a string, got %s", describe(L, -1, got, sizeof got));
  const char *name = lua_isnil(L, -1) ? "op" : lua_tostring(L, -1);
  LuaOp *def = lua_newuserdatauv(L, sizeof *def, 0);
  memset(def, 0, sizeof *def);
  snprintf(def->name, sizeof def->name, "%s", name);
  def->op = (Op){.name = def->name, .inputs = "x a b c d", .backward = lua_backward};
  lua_insert(L, 2); /* table, def, forward, backward, name */
  lua_pop(L, 1);
  def->backward = luaL_ref(L, LUA_REGISTRYINDEX);
  def->forward = luaL_ref(L, LUA_REGISTRYINDEX);
  luaL_ref(L, LUA_REGISTRYINDEX); /* the definition itself */
  lua_pushlightuserdata(L, def);
  lua_pushcclosure(L, l_call, 1);
  return 1;
}

void open_custom(lua_State *L) {
  static const luaL_Reg methods[] = {{"save", l_save}, {"saved", l_saved}, {NULL, NULL}};
  luaL_newmetatable(L, META_CONTEXT);
  lua_pushcfunction(L, l_context_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, l_op);
  lua_setfield(L, -2, "op");
  lua_pushcfunction(L, l_custom_backward);
  lua_setfield(L, -2, "custom_backward");
}
