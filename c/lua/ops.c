/* Floor 5: every row of the op table as a Lua function: tensors first, then parameters in the
 * table's order, the rest by name in one options table. */
#include "ops/dispatch.h"
#include "graph/later.h"
#include "lua/check.h"
#include "lua/graph.h"
#include "base/words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every call asks of a row, found once: names are looked up where something is wrong. */
typedef struct Signature {
  const Op *op;
  int inputs, params; /* how many */
  bool optional[MAX_FIXED_INPUTS], places[MAX_FIXED_INPUTS];
  char name[40]; /* in messages: with a _ behind it where the op is done in place */
  bool list;     /* the only parameter is a list: numbers in a row are its items */
  bool later;    /* the value may wait for what comes next */
} Signature;

static bool is_list(const Param *p) { return p->kind == PARAM_INTS || p->kind == PARAM_AXES; }

static Signature signature_of(const Op *op) {
  Signature s = {.op = op, .params = op->param_count};
  char name[32], mark;
  while (s.inputs < MAX_FIXED_INPUTS && word_at(op->inputs, s.inputs, name, sizeof name, &mark)) {
    s.optional[s.inputs] = mark == '?';
    s.places[s.inputs] = op_takes_places(op, s.inputs);
    s.inputs++;
  }
  s.list = s.params == 1 && is_list(&op->params[0]);
  return s;
}

static const Signature *called(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* ---- names ---- */

static void unknown_option(lua_State *L, const Op *op, const char *given) {
  char list[256] = "";
  Nearest nearest = {.given = given};
  for (int i = 0; i < op->param_count; i++) {
    size_t used = strlen(list);
    snprintf(list + used, sizeof list - used, i ? ", %s" : "%s", op->params[i].name);
    nearest_offer(&nearest, op->params[i].name);
  }
  if (!*list) raise_error(L, "%s: unknown option \"%s\"; it takes none", op->name, given);
  if (nearest.found)
    raise_error(L, "%s: unknown option \"%s\" (did you mean \"%s\"?); options: %s", op->name, given,
                nearest.found, list);
  raise_error(L, "%s: unknown option \"%s\"; options: %s", op->name, given, list);
}

/* ---- parameters ---- */

typedef struct Slots {
  int integer, number; /* the next free places in the call */
  int mixed;           /* the argument that is a list with options beside it; 0: none is */
} Slots;

static int64_t axis_from_lua(lua_State *L, const Op *op, int64_t axis, int dims) {
  if (dims == 0) raise_error(L, "%s: axis: a scalar has none, got %d", op->name, (int)axis);
  if (axis == 0 || axis < -dims || axis > dims)
    raise_error(L, "%s: axis: expected 1..%d or -%d..-1, got %d", op->name, dims, dims, (int)axis);
  return axis > 0 ? axis - 1 : dims + axis;
}

static int first_dims(const Call *c) { return c->inputs && c->in[0] ? c->in[0]->shape.dims : 0; }

/* A list from one table or one number at an index, or from all arguments up to `last`. */
static void read_list(lua_State *L, const Call *c, const Param *p, int index, int last, bool mixed,
                      int64_t *to) {
  bool table = lua_type(L, index) == LUA_TTABLE;
  int dims = first_dims(c);
  if (table && !mixed) check_list(L, index, c->op->name, p->name);
  int64_t count = table ? (int64_t)lua_rawlen(L, index) : last - index + 1;
  if (count > MAX_DIMS)
    raise_error(L, "%s: %s: expected at most %d numbers, got %d", c->op->name, p->name, MAX_DIMS,
                (int)count);
  to[0] = count;
  for (int64_t i = 0; i < count; i++) {
    if (table) lua_rawgeti(L, index, i + 1);
    else lua_pushvalue(L, index + (int)i);
    int64_t n = check_whole(L, -1, c->op->name, p->name);
    to[1 + i] = p->kind == PARAM_AXES ? axis_from_lua(L, c->op, n, dims) : n;
    lua_pop(L, 1);
  }
}

/* Is there a table of two integers in their order and nothing else? One walk tells. */
static bool is_plain_pair(lua_State *L, int index, int64_t *to) {
  int i = 0, top = lua_gettop(L);
  lua_pushnil(L);
  for (; lua_next(L, index); lua_pop(L, 1)) {
    bool next = i < 2 && lua_isinteger(L, -2) && lua_tointeger(L, -2) == i + 1;
    if (!next || !lua_isinteger(L, -1)) break;
    to[i++] = lua_tointeger(L, -1);
  }
  bool ended = lua_gettop(L) == top;
  lua_settop(L, top);
  return ended && i == 2;
}

static void read_pair(lua_State *L, const Call *c, const Param *p, int index, bool mixed,
                      int64_t *to) {
  if (lua_type(L, index) != LUA_TTABLE) {
    to[0] = to[1] = check_whole(L, index, c->op->name, p->name);
    return;
  }
  if (is_plain_pair(L, index, to)) return;
  if (lua_rawlen(L, index) != 2)
    raise_error(L, "%s: %s: expected a whole number or {height, width}, got a table of %d",
                c->op->name, p->name, (int)lua_rawlen(L, index));
  if (!mixed) check_list(L, index, c->op->name, p->name);
  for (int i = 0; i < 2; i++) {
    lua_rawgeti(L, index, i + 1);
    to[i] = check_whole(L, -1, c->op->name, p->name);
    lua_pop(L, 1);
  }
}

static int64_t read_choice(lua_State *L, const Call *c, const Param *p, int index) {
  char word[32], got[80];
  const char *given = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
  for (int i = 0; word_at(p->choices, i, word, sizeof word, NULL); i++)
    if (strcmp(given, word) == 0) return i;
  raise_error(L, "%s: %s: expected one of %s, got %s", c->op->name, p->name, p->choices,
              describe(L, index, got, sizeof got));
}

static bool read_flag(lua_State *L, const Call *c, const Param *p, int index) {
  char got[80];
  if (lua_type(L, index) != LUA_TBOOLEAN)
    raise_error(L, "%s: %s: expected true or false, got %s", c->op->name, p->name,
                describe(L, index, got, sizeof got));
  return lua_toboolean(L, index);
}

static void fall_back(lua_State *L, Call *c, const Param *p, int64_t *to) {
  if (p->required) raise_error(L, "%s: %s is missing", c->op->name, p->name);
  if (p->kind == PARAM_INTS || p->kind == PARAM_AXES) to[0] = 0;
  else if (p->kind == PARAM_AXIS) to[0] = (int64_t)p->fallback - 1;
  else to[0] = to[1] = (int64_t)p->fallback;
}

/* Reads one parameter from the stack (index 0: absent, its fallback) into its slots. */
static void read_param(lua_State *L, Call *c, const Param *p, int index, int last, Slots *s) {
  static const int width[] = {[PARAM_INT] = 1,
                              [PARAM_BOOL] = 1,
                              [PARAM_AXIS] = 1,
                              [PARAM_PAIR] = 2,
                              [PARAM_INTS] = 1 + MAX_DIMS,
                              [PARAM_AXES] = 1 + MAX_DIMS,
                              [PARAM_CHOICE] = 1};
  bool absent = index == 0;
  if (p->kind == PARAM_NUMBER) {
    if (absent && p->required) raise_error(L, "%s: %s is missing", c->op->name, p->name);
    c->number[s->number++] = absent ? p->fallback : check_real(L, index, c->op->name, p->name);
    return;
  }
  int64_t spare[2] = {0}, *slot = c->integer + s->integer, *to = absent ? spare : slot;
  if (absent) fall_back(L, c, p, to);
  else switch (p->kind) {
    case PARAM_BOOL: *to = read_flag(L, c, p, index); break;
    case PARAM_CHOICE: *to = read_choice(L, c, p, index); break;
    case PARAM_PAIR: read_pair(L, c, p, index, index == s->mixed, to); break;
    case PARAM_INTS:
    case PARAM_AXES: read_list(L, c, p, index, last, index == s->mixed, to); break;
    case PARAM_AXIS:
      *to = axis_from_lua(L, c->op, check_whole(L, index, c->op->name, p->name), first_dims(c));
      break;
    default: *to = check_whole(L, index, c->op->name, p->name);
    }
  if (absent) memcpy(slot, spare, sizeof *slot * (width[p->kind] == 2 ? 2 : 1));
  s->integer += width[p->kind];
}

/* Is there a plain table without a first element: the options? */
static bool is_options(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE) return false;
  bool list = lua_rawgeti(L, index, 1) != LUA_TNIL;
  lua_pop(L, 1);
  return !list;
}

/* May options stand beside its items? */
static bool takes_names(const Param *p) { return is_list(p) || p->kind == PARAM_PAIR; }

static bool is_empty(lua_State *L, int index) {
  lua_pushnil(L);
  if (!lua_next(L, index)) return true;
  lua_pop(L, 2);
  return false;
}

static void check_options(lua_State *L, const Op *op, int index, bool mixed) {
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (mixed && lua_isinteger(L, -2)) continue;
    if (lua_type(L, -2) != LUA_TSTRING)
      raise_error(L, "%s: expected an options table with names, such as {%s = ...}", op->name,
                  op->param_count > 0 ? op->params[0].name : "option");
    bool known = false;
    for (int i = 0; i < op->param_count && !known; i++)
      known = strcmp(op->params[i].name, lua_tostring(L, -2)) == 0;
    if (!known) unknown_option(L, op, lua_tostring(L, -2));
  }
}

/* Reads all parameters from the arguments `first`..top. */
static void read_params(lua_State *L, const Signature *sig, Call *c, int first) {
  int top = lua_gettop(L), options = 0, count = sig->params;
  bool list = sig->list;
  while (top >= first && lua_isnil(L, top)) top--;
  /* an empty table in the place of a list is the empty list: a scalar's shape */
  if (top >= first && is_options(L, top) && !(list && is_empty(L, top))) options = top--;
  Slots s = {0};
  /* x:sum{1, 2, keepdim = true} */
  int place = top - first;
  if (!options && place >= 0 && place < count && takes_names(&c->op->params[place]) &&
      lua_type(L, top) == LUA_TTABLE && has_names(L, top))
    options = s.mixed = top;
  if (options) check_options(L, c->op, options, s.mixed > 0);
  if (top - first + 1 > count && !list)
    raise_error(L, "%s: too many arguments: expected at most %d after the tensors, got %d",
                c->op->name, count, top - first + 1);
  for (int i = 0; i < count; i++) {
    const Param *p = &c->op->params[i];
    bool positional = first + i <= top && !lua_isnil(L, first + i);
    if (options && lua_getfield(L, options, p->name) != LUA_TNIL) {
      if (positional) raise_error(L, "%s: %s is given twice", c->op->name, p->name);
      read_param(L, c, p, lua_gettop(L), lua_gettop(L), &s);
    } else if (positional) {
      read_param(L, c, p, first + i, list ? top : first + i, &s);
    } else {
      read_param(L, c, p, 0, 0, &s);
    }
    if (options) lua_pop(L, 1);
  }
}

/* ---- application ---- */

/* The inputs of an op with a fixed number of them, and where on the stack they lie (0: absent). */
typedef struct Inputs {
  Var *var[MAX_FIXED_INPUTS];
  const Tensor *value[MAX_FIXED_INPUTS];
  int slot[MAX_FIXED_INPUTS];
  unsigned closings; /* of boxes before they were read */
} Inputs;

/* Makes the numbers and tables among the inputs to tensors of the type that the others ask for. */
static void read_numbers(lua_State *L, const Call *c, Inputs *in) {
  char name[32] = "";
  Dtype dtype;
  Error e;
  if (!op_dtype(c->op, in->value, c->inputs, &dtype, &e))
    raise_error(L, "%s: %s", c->op->name, e.text);
  for (int i = 0; i < c->inputs; i++) {
    if (in->value[i] || !in->slot[i]) continue;
    word_at(c->op->inputs, i, name, sizeof name, NULL);
    in->var[i] = check_tensor_as(L, in->slot[i], c->op->name, name, dtype);
    in->value[i] = in->var[i]->value;
  }
}

/* Input i, where nothing is to be done or said about it; else NULL. An op that may be done together
 * with the one before it gets a value that still waits. */
static Var *plain_input(lua_State *L, const Signature *s, int index) {
  const Box *box = box_at(L, index);
  bool plain = box && box->var && (s->op->tail || !later_waits(box->var->value));
  return plain ? box->var : NULL;
}

static Var *check_input(lua_State *L, const Signature *s, int i, int index) {
  char name[32] = "";
  word_at(s->op->inputs, i, name, sizeof name, NULL);
  if (s->places[i]) return check_places(L, index, s->op->name, name);
  return (s->op->tail ? check_waiting : check_tensor)(L, index, s->op->name, name);
}

/* Reads the inputs; returns the index of what follows. */
static int read_inputs(lua_State *L, const Signature *s, Call *c, Inputs *in) {
  int index = 1;
  bool numbers = false;
  c->inputs = s->inputs;
  in->closings = box_closings();
  for (int i = 0; i < s->inputs; i++) {
    Var *v = plain_input(L, s, index);
    bool absent = !v && s->optional[i] && (lua_isnoneornil(L, index) || is_options(L, index));
    bool number = !v && !s->places[i] && is_number_like(L, index);
    if (!v && !absent && !number) v = check_input(L, s, i, index);
    in->slot[i] = absent ? 0 : index;
    in->var[i] = v;
    in->value[i] = v ? v->value : NULL;
    numbers = numbers || (number && !absent);
    if (!absent || lua_isnil(L, index)) index++;
  }
  c->in = in->value;
  if (numbers) read_numbers(L, c, in);
  return index;
}

/* Looks the inputs up once more, where a tensor was closed. Whatever allocates may run the
 * collector, and with it finalisers that do so; from here to the end of the op nothing does. */
static void settle_inputs(lua_State *L, const Signature *s, Inputs *in) {
  if (in->closings == box_closings()) return;
  for (int i = 0; i < s->inputs; i++) {
    Var *v = in->slot[i] ? plain_input(L, s, in->slot[i]) : NULL;
    if (!v && in->slot[i]) v = check_input(L, s, i, in->slot[i]);
    in->var[i] = v;
    in->value[i] = v ? v->value : NULL;
  }
}

static int fill(lua_State *L, Box *box, Call *c, Var **inputs) {
  Error e;
  graph_trace(L);
  box->var = graph_apply(c, inputs, &e);
  if (!box->var) return raise_error(L, "%s: %s", c->op->name, e.text);
  if (c->op->flags & OP_PART) mark_part(L, box->var->value, inputs[0]->value, c->op->name);
  box_filled(L);
  return 1;
}

static int apply(lua_State *L, const Signature *s, Call *c, Inputs *in) {
  Box *box = box_new(L);
  settle_inputs(L, s, in);
  return fill(L, box, c, in->var);
}

static int l_apply(lua_State *L) {
  const Signature *s = called(L);
  Call c = {.op = s->op};
  Inputs in;
  read_params(L, s, &c, read_inputs(L, s, &c, &in));
  return apply(L, s, &c, &in);
}

/* An op whose parameters have been read. */
typedef struct Bound {
  Signature signature;
  Call call;
} Bound;

static int l_apply_bound(lua_State *L) {
  const Bound *b = lua_touserdata(L, lua_upvalueindex(1));
  Call c = b->call;
  Inputs in;
  read_inputs(L, &b->signature, &c, &in);
  return apply(L, &b->signature, &c, &in);
}

/* bound(name, ...) -> an op of fixed inputs as a function of these alone, with the parameters given
 * here; raises as the op does where one is wrong. Not for axes, which inputs have. */
static int l_bound(lua_State *L) {
  Call c = {.op = isa_op(luaL_checkstring(L, 1))};
  if (!c.op) raise_error(L, "bound: expected the name of an op");
  const Signature s = signature_of(c.op);
  read_params(L, &s, &c, 2);
  Bound *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (Bound){s, c};
  lua_pushcclosure(L, l_apply_bound, 1);
  return 1;
}

/* check_op(name, ...): raises what the op would raise about these arguments, and computes nothing:
 * whether an error came from them or from the computing (memory, Ctrl-C) is not told otherwise. */
static int l_check_op(lua_State *L) {
  Call c = {.op = isa_op(luaL_checkstring(L, 1))};
  Inputs in;
  Shape shape;
  Error e;
  if (!c.op || strchr(c.op->inputs, '*'))
    raise_error(L, "check_op: expected an op of fixed inputs");
  lua_remove(L, 1);
  const Signature s = signature_of(c.op);
  read_params(L, &s, &c, read_inputs(L, &s, &c, &in));
  settle_inputs(L, &s, &in);
  if (!graph_check(&c, &shape, &e)) raise_error(L, "%s: %s", c.op->name, e.text);
  return 0;
}

/* name_(x, ...): the result goes into x, which is returned. */
static int l_apply_in_place(lua_State *L) {
  const Signature *s = called(L);
  Call c = {.op = s->op};
  Inputs in;
  Error e;
  const char *name = s->name;
  check_tensor(L, 1, name, NULL);
  read_params(L, s, &c, read_inputs(L, s, &c, &in));
  settle_inputs(L, s, &in);
  for (int i = 0; i < c.inputs; i++) /* nothing waits for what is done in place */
    if (in.slot[i]) check_tensor(L, in.slot[i], name, NULL);
  if (!graph_apply_in_place(&c, in.var, &e)) return raise_error(L, "%s: %s", name, e.text);
  lua_settop(L, 1);
  return 1;
}

static void read_items(lua_State *L, Call *c, Var **inputs, const Tensor **in) {
  for (int i = 0; i < c->inputs; i++) {
    char item[32];
    snprintf(item, sizeof item, "item %d", i + 1);
    lua_rawgeti(L, 1, i + 1);
    inputs[i] = check_tensor(L, -1, c->op->name, item);
    in[i] = inputs[i]->value;
    lua_pop(L, 1);
  }
  c->in = in;
}

/* An op on a list: the first argument is a table of tensors. The arrays live in a userdata, which
 * an error leaves to the collector. */
static int l_apply_list(lua_State *L) {
  const Signature *s = called(L);
  Call c = {.op = s->op};
  char got[80];
  if (lua_type(L, 1) != LUA_TTABLE || lua_rawlen(L, 1) == 0)
    return raise_error(L, "%s: expected a list of tensors, such as {x, y}, got %s", c.op->name,
                       lua_type(L, 1) == LUA_TTABLE ? "an empty table"
                                                    : describe(L, 1, got, sizeof got));
  c.inputs = (int)lua_rawlen(L, 1);
  check_list(L, 1, c.op->name, NULL); /* {x, y, axis = 2} would be joined along the first axis */
  size_t n = (size_t)c.inputs;
  Var **inputs = lua_newuserdatauv(L, n * (sizeof(Var *) + sizeof(Tensor *)), 0);
  const Tensor **in = (const Tensor **)(inputs + n);
  lua_insert(L, 2);
  read_items(L, &c, inputs, in);
  read_params(L, s, &c, 3);
  Box *box = box_new(L);
  read_items(L, &c, inputs, in); /* again, as settle_inputs does */
  return fill(L, box, &c, inputs);
}

/* An op with further results, such as batch_norm_train's mean and variance. */
static int l_apply_with_results(lua_State *L) {
  const Signature *s = called(L);
  Call c = {.op = s->op, .later = s->later};
  Inputs in;
  Tensor *extras[CALL_EXTRAS];
  Error e;
  read_params(L, s, &c, read_inputs(L, s, &c, &in));
  Box *box[1 + CALL_EXTRAS];
  int last = c.op->results;
  luaL_checkstack(L, last + 8, NULL);
  for (int i = 0; i <= last; i++) box[i] = box_new(L);
  settle_inputs(L, s, &in);
  graph_trace(L);
  box[0]->var = graph_apply_keeping(&c, in.var, extras, &e);
  if (!box[0]->var) return raise_error(L, "%s: %s", c.op->name, e.text);
  bool whole = true;
  for (int i = 1; i <= last; i++) {
    box[i]->var = extras[i - 1] ? var_new(extras[i - 1], &e) : NULL;
    whole = whole && box[i]->var;
  }
  for (int i = last; i < CALL_EXTRAS; i++) tensor_release(extras[i]);
  if (!whole) return raise_error(L, "%s: out of memory", c.op->name);
  box_filled(L);
  return 1 + last;
}

/* ---- the table, as Lua sees it ---- */

static void push_words(lua_State *L, const char *words, bool marks) {
  char word[32], mark;
  lua_newtable(L);
  for (int i = 0; word_at(words, i, word, sizeof word, &mark); i++) {
    if (marks && mark) lua_pushfstring(L, "%s%c", word, mark);
    else lua_pushstring(L, word);
    lua_rawseti(L, -2, i + 1);
  }
}

static void push_param(lua_State *L, const Param *p) {
  static const char *const kinds[] = {"number", "int",  "bool", "axis",
                                      "pair",   "ints", "axes", "choice"};
  lua_newtable(L);
  lua_pushstring(L, p->name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, kinds[p->kind]);
  lua_setfield(L, -2, "kind");
  lua_pushboolean(L, p->required);
  lua_setfield(L, -2, "required");
  lua_pushnumber(L, p->fallback);
  lua_setfield(L, -2, "default");
  if (p->choices) {
    push_words(L, p->choices, false);
    lua_setfield(L, -2, "choices");
  }
}

static void push_op(lua_State *L, const Op *op) {
  lua_newtable(L);
  lua_pushstring(L, op->name);
  lua_setfield(L, -2, "name");
  push_words(L, op->inputs, true);
  lua_setfield(L, -2, "inputs");
  lua_pushstring(L, op->doc);
  lua_setfield(L, -2, "doc");
  lua_pushboolean(L, op->backward != NULL);
  lua_setfield(L, -2, "differentiable");
  lua_pushboolean(L, (op->flags & OP_ELEMENTWISE) != 0);
  lua_setfield(L, -2, "elementwise");
  lua_newtable(L);
  for (int i = 0; i < op->param_count; i++) {
    push_param(L, &op->params[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "params");
}

/* registry() -> a list of {name, inputs, params, doc, differentiable, elementwise} */
static int l_registry(lua_State *L) {
  lua_newtable(L);
  int count = 0;
  for (const Op *const *const *f = isa(DTYPE_F32)->families; *f; f++)
    for (const Op *const *op = *f; *op; op++) {
      if ((*op)->flags & OP_HIDDEN) continue;
      push_op(L, *op);
      lua_rawseti(L, -2, ++count);
    }
  return 1;
}

/* Sets a function for an op in the table at the top: its name and what it has behind that. */
static void set_function(lua_State *L, const Op *op, const char *behind, lua_CFunction f) {
  lua_pushfstring(L, "%s%s", op->name, behind);
  Signature *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = signature_of(op);
  s->later = strcmp(behind, "_later") == 0;
  snprintf(s->name, sizeof s->name, "%s%s", op->name, behind);
  lua_pushcclosure(L, f, 1);
  lua_settable(L, -3);
}

static void set_functions(lua_State *L, const Op *op) {
  bool list = strchr(op->inputs, '*') != NULL;
  set_function(L, op, "", list ? l_apply_list : op->results > 0 ? l_apply_with_results : l_apply);
  if (op->finish) set_function(L, op, "_later", l_apply_with_results);
  if (op->flags & OP_ELEMENTWISE) set_function(L, op, "_", l_apply_in_place);
}

void open_ops(lua_State *L) {
  Error e;
  if (!isa_choose(&e)) raise_error(L, "latent: %s", e.text);
  lua_pushcfunction(L, l_registry);
  lua_setfield(L, -2, "registry");
  lua_pushcfunction(L, l_check_op);
  lua_setfield(L, -2, "check_op");
  lua_pushcfunction(L, l_bound);
  lua_setfield(L, -2, "bound");
  lua_newtable(L);
  for (const Op *const *const *f = isa(DTYPE_F32)->families; *f; f++)
    for (const Op *const *op = *f; *op; op++) set_functions(L, *op);
  lua_setfield(L, -2, "ops");
}
