#include "lua/check.h"

#include "base/blas.h"
#include "base/places.h"
#include "base/words.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

/* The folder of the library's Lua files, as their chunk names give it, and a function that puts the
 * name by which the user knows a function into a message; set by the Lua face. */
static const char home_key, rename_key;

static bool is_user_frame(lua_State *L, lua_Debug *ar, const char *home) {
  lua_getinfo(L, "Sl", ar);
  if (ar->currentline < 0) return false;
  return !home || strncmp(ar->source, home, strlen(home)) != 0;
}

/* The level of the first frame outside the library, or -1. */
static int user_level(lua_State *L, lua_Debug *ar) {
  int found = -1;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key);
  const char *home = lua_tostring(L, -1);
  for (int level = 0; found < 0 && lua_getstack(L, level, ar); level++)
    if (is_user_frame(L, ar, home)) found = level;
  lua_pop(L, 1);
  return found;
}

void user_place(lua_State *L, char *text, size_t size) {
  lua_Debug ar;
  text[0] = 0;
  if (user_level(L, &ar) >= 0) snprintf(text, size, "%s:%d", ar.short_src, ar.currentline);
}

/* Raises the message at the top at the user's line, under the name of the function called there: an
 * op inside `lt.std` speaks of std. */
static int raise_top(lua_State *L) {
  lua_Debug user, called;
  char place[128] = "";
  int level = user_level(L, &user);
  if (level >= 0) snprintf(place, sizeof place, "%s:%d: ", user.short_src, user.currentline);
  if (level > 0 && lua_getstack(L, level - 1, &called)) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rename_key); /* nil while the library is being loaded */
    lua_getinfo(L, "f", &called);
    lua_pushvalue(L, -3);
    if (lua_pcall(L, 2, 1, 0) != LUA_OK || lua_type(L, -1) != LUA_TSTRING) lua_pop(L, 1);
  }
  lua_pushstring(L, place);
  lua_pushvalue(L, -2);
  lua_concat(L, 2);
  return lua_error(L);
}

int raise_error(lua_State *L, const char *format, ...) {
  char message[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  luaL_checkstack(L, 8, NULL);
  lua_pushstring(L, message);
  raise_top(L);
  __builtin_unreachable();
}

/* raise(message): of any length, as the list of what does not fit into a model is */
static int l_raise(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  return raise_top(L);
}

/* set_home(folder, rename) */
static int l_set_home(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &rename_key);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &home_key);
  return 0;
}

/* "a module", as the metatable calls it, or "a table" */
static void describe_object(lua_State *L, int index, char *text, size_t size) {
  const char *name = luaL_typename(L, index);
  int field = luaL_getmetafield(L, index, "__name");
  if (field == LUA_TSTRING) name = lua_tostring(L, -1);
  snprintf(text, size, "%s %s", strchr("AEIOUaeiou", name[0]) ? "an" : "a", name);
  if (field != LUA_TNIL) lua_pop(L, 1);
}

const char *describe(lua_State *L, int index, char *text, size_t size) {
  char shape[SHAPE_TEXT];
  Box *box;
  switch (lua_type(L, index)) {
  case LUA_TNUMBER: snprintf(text, size, "%.14g", lua_tonumber(L, index)); break;
  case LUA_TBOOLEAN: snprintf(text, size, "%s", lua_toboolean(L, index) ? "true" : "false"); break;
  case LUA_TSTRING: snprintf(text, size, "\"%.60s\"", lua_tostring(L, index)); break;
  case LUA_TNONE:
  case LUA_TNIL: snprintf(text, size, "nil"); break;
  default:
    box = luaL_testudata(L, index, META_TENSOR);
    if (!box) describe_object(L, index, text, size);
    else if (!box->var) snprintf(text, size, "a closed tensor");
    else snprintf(text, size, "a tensor %s", shape_text(&box->var->value->shape, shape));
  }
  return text;
}

/* ---- boxes ---- */

Box *box_new(lua_State *L) {
  Box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->var = NULL;
  luaL_setmetatable(L, META_TENSOR);
  return box;
}

/* What the collector is to know of tensors' bytes. */
enum { SLACK = 32 << 20, CACHED = 3 << 20, OLD_AGE = 16 };
static struct {
  bool running;      /* a finaliser may make tensors */
  size_t after_full; /* live bytes that the last full collection left */
  size_t after_any;  /* ... or the last one of either kind */
  size_t patience;   /* bytes to grow by until the next young collection */
  size_t freed;      /* bytes that young collections have reclaimed since the last full one */
  size_t unaged;     /* ... and since the pool's buffers last grew older */
  unsigned count;    /* of collections so far */
} memory = {.patience = CACHED};

static void collect_fully(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  memory_age();
  memory.unaged = memory.freed = 0;
  memory.after_full = memory_stats().live_bytes;
}

/* In generational mode a step of size 0 looks at young objects alone: some microseconds, for
 * buffers that come back while they still lie in the cache. Where it finds little, as in the middle
 * of a training step or in incremental mode, later ones wait longer: what lives through two of them
 * counts as old, and only a full collection frees it. One is due at the latest when OLD_AGE times
 * the bytes that may pile up have gone through young ones: these keep the pile from growing. */
static void collect_young(lua_State *L, size_t live) {
  size_t grown = live - memory.after_any;
  lua_gc(L, LUA_GCSTEP, 0);
  size_t left = memory_stats().live_bytes, freed = left < live ? live - left : 0;
  if (freed < grown / 2) memory.patience *= 2;
  memory.freed += freed;
  memory.unaged += freed;
  if (memory.unaged <= SLACK) return;
  memory_age();
  memory.unaged = 0;
}

void box_filled(lua_State *L) {
  size_t live = memory_stats().live_bytes, half = memory.after_full / 2;
  size_t pile = half > SLACK ? half : SLACK;
  if (live < memory.after_full) memory.after_full = live;
  if (live < memory.after_any) memory.after_any = live;
  bool full = live - memory.after_full > pile || memory.freed / OLD_AGE > pile;
  if (memory.running || (!full && live - memory.after_any <= memory.patience)) return;
  memory.running = true;
  if (full) collect_fully(L);
  else collect_young(L, live);
  memory.running = false;
  if (++memory.count % 64 == 0) memory.patience = CACHED; /* the program may have changed */
  memory.after_any = memory_stats().live_bytes;
}

int push_tensor(lua_State *L, Box *box, Tensor *t, const char *name, const Error *e) {
  Error full;
  if (t) {
    e = &full;
    box->var = var_new(t, &full);
  }
  if (!box->var) return raise_error(L, "%s: %s", name, e->text);
  box_filled(L);
  return 1;
}

bool is_tensor(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TUSERDATA && luaL_testudata(L, index, META_TENSOR);
}

/* "name: arg: " or "name: " where arg is NULL */
static void prefix(char *text, size_t size, const char *name, const char *arg) {
  snprintf(text, size, arg ? "%s: %s" : "%s", name, arg);
}

Var *check_tensor(lua_State *L, int index, const char *name, const char *arg) {
  char got[80], where[120];
  Box *box = lua_type(L, index) == LUA_TUSERDATA ? luaL_testudata(L, index, META_TENSOR) : NULL;
  if (box && box->var) return box->var;
  prefix(where, sizeof where, name, arg);
  if (box) raise_error(L, "%s: closed tensor", where);
  raise_error(L, "%s: expected a tensor, got %s", where, describe(L, index, got, sizeof got));
}

/* ---- arguments ---- */

void check_count(lua_State *L, int n, const char *name) {
  if (lua_gettop(L) > n)
    raise_error(L, "%s: expected at most %d argument%s, got %d", name, n, n == 1 ? "" : "s",
                lua_gettop(L));
}

double check_real(lua_State *L, int index, const char *name, const char *arg) {
  char got[80];
  if (lua_type(L, index) != LUA_TNUMBER)
    raise_error(L, "%s: %s: expected a number, got %s", name, arg,
                describe(L, index, got, sizeof got));
  return lua_tonumber(L, index);
}

int64_t check_whole(lua_State *L, int index, const char *name, const char *arg) {
  char got[80];
  int whole = 0;
  lua_Integer n = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &whole) : 0;
  if (!whole)
    raise_error(L, "%s: %s: expected a whole number, got %s", name, arg,
                describe(L, index, got, sizeof got));
  return n;
}

/* The length of the list at an index; -1 where the table has no elements, but names. */
static int64_t list_length(lua_State *L, int index) {
  int64_t n = (int64_t)lua_rawlen(L, index);
  if (n > 0) return n;
  index = lua_absindex(L, index);
  lua_pushnil(L);
  if (lua_next(L, index) == 0) return 0;
  lua_pop(L, 2);
  return -1;
}

void check_shape(lua_State *L, int index, int last, const char *name, Shape *shape) {
  bool table = lua_type(L, index) == LUA_TTABLE;
  int64_t count = table ? list_length(L, index) : last - index + 1;
  if (table) {
    if (count < 0) raise_error(L, "%s: shape: expected a list of sizes, got names", name);
    /* a shape that is a nested table: refuse what is no list of numbers */
    lua_rawgeti(L, index, 1);
    if (count > 0 && lua_type(L, -1) != LUA_TNUMBER)
      raise_error(L, "%s: shape: expected a list of sizes", name);
    lua_pop(L, 1);
  }
  if (count > MAX_DIMS)
    raise_error(L, "%s: shape: expected at most %d axes, got %d", name, MAX_DIMS, (int)count);
  shape->dims = 0;
  for (int64_t i = 0; i < count; i++) {
    if (table) lua_rawgeti(L, index, i + 1);
    else lua_pushvalue(L, index + (int)i);
    shape->size[shape->dims++] = check_whole(L, -1, name, "shape");
    if (shape->size[i] < 0)
      raise_error(L, "%s: shape: expected sizes of at least 0, got %d", name, (int)shape->size[i]);
    lua_pop(L, 1);
  }
}

/* ---- tensors from numbers and nested tables ---- */

/* Raises what is wrong with the table at the top, which is no list: an object, or names. */
static void refuse_table(lua_State *L, const char *name) {
  char got[80];
  bool plain = strcmp(describe(L, -1, got, sizeof got), "a table") == 0;
  raise_error(L, "%s: expected a tensor or a list of numbers, got %s", name,
              plain ? "a table with names" : got);
}

/* Reads the sizes along the first elements; anything ragged is found when the values are read. */
static void table_shape(lua_State *L, int index, const char *name, Shape *shape) {
  shape->dims = 0;
  lua_pushvalue(L, index);
  while (lua_type(L, -1) == LUA_TTABLE) {
    if (shape->dims == MAX_DIMS) raise_error(L, "%s: tables are nested too deeply", name);
    int64_t n = list_length(L, -1);
    if (n < 0) refuse_table(L, name);
    shape->size[shape->dims++] = n;
    lua_rawgeti(L, -1, 1);
    lua_replace(L, -2);
  }
  lua_pop(L, 1);
}

/* What of a table's numbers a real must hold as they are. */
typedef enum { ANY_VALUE, PLACES } Exactness;

/* Refuses a whole number that a real would round to another. */
static void check_place(lua_State *L, const char *name) {
  double v = lua_tonumber(L, -1);
  if (!(fabs(v) > (double)REAL_EXACT && isfinite(v))) return;
  char got[80];
  raise_error(L, "%s: " REAL_NAME " counts exactly only to %lld, got %s", name,
              (long long)REAL_EXACT, describe(L, -1, got, sizeof got));
}

static void read_values(lua_State *L, const char *name, const Shape *shape, int depth,
                        Exactness exact, real **to) {
  char got[80];
  if (depth == shape->dims) {
    if (lua_type(L, -1) != LUA_TNUMBER)
      raise_error(L, "%s: expected numbers, got %s", name, describe(L, -1, got, sizeof got));
    if (exact == PLACES) check_place(L, name);
    *(*to)++ = (real)lua_tonumber(L, -1);
    return;
  }
  if (lua_type(L, -1) != LUA_TTABLE || (int64_t)lua_rawlen(L, -1) != shape->size[depth])
    raise_error(L, "%s: ragged table: expected %d elements at depth %d, got %s%d", name,
                (int)shape->size[depth], depth + 1,
                lua_type(L, -1) == LUA_TTABLE ? "" : "something else than a table, ",
                lua_type(L, -1) == LUA_TTABLE ? (int)lua_rawlen(L, -1) : 0);
  luaL_checkstack(L, 2, name);
  for (int64_t i = 1; i <= shape->size[depth]; i++) {
    lua_rawgeti(L, -1, i);
    read_values(L, name, shape, depth + 1, exact, to);
    lua_pop(L, 1);
  }
}

/* Replaces the number or table at an index by a tensor. */
static Var *tensor_from_lua(lua_State *L, int index, const char *name, Exactness exact) {
  Shape shape;
  Error e;
  index = lua_absindex(L, index);
  table_shape(L, index, name, &shape);
  Box *box = box_new(L);
  push_tensor(L, box, tensor_new(DTYPE_REAL, &shape, &e), name, &e);
  real *to = reals(box->var->value);
  lua_pushvalue(L, index);
  read_values(L, name, &shape, 0, exact, &to);
  lua_pop(L, 1);
  lua_replace(L, index);
  return box->var;
}

static Var *check_like(lua_State *L, int index, const char *name, const char *arg,
                       Exactness exact) {
  int type = lua_type(L, index);
  if (type == LUA_TNUMBER || type == LUA_TTABLE) return tensor_from_lua(L, index, name, exact);
  return check_tensor(L, index, name, arg);
}

Var *check_tensor_like(lua_State *L, int index, const char *name, const char *arg) {
  return check_like(L, index, name, arg, ANY_VALUE);
}

Var *check_places(lua_State *L, int index, const char *name, const char *arg) {
  if (lua_type(L, index) == LUA_TUSERDATA) return check_tensor(L, index, name, arg);
  char where[120];
  prefix(where, sizeof where, name, arg);
  return check_like(L, index, where, NULL, PLACES);
}

Generator *check_generator(lua_State *L, int index, const char *name) {
  if (lua_type(L, index) != LUA_TTABLE || lua_getfield(L, index, "generator") == LUA_TNIL)
    return random_default();
  Generator *g = luaL_testudata(L, -1, META_GENERATOR);
  char got[80];
  if (!g)
    raise_error(L, "%s: generator: expected one made by lt.generator(seed), got %s", name,
                describe(L, -1, got, sizeof got));
  lua_pop(L, 1); /* the table still holds it */
  return g;
}

/* nearest(word, list) -> the word of the list that is most like it, or nil where none is near */
static int l_nearest(lua_State *L) {
  Nearest nearest = {.given = luaL_checkstring(L, 1)};
  luaL_checktype(L, 2, LUA_TTABLE);
  for (lua_Integer i = 1; lua_geti(L, 2, i) == LUA_TSTRING; i++) {
    nearest_offer(&nearest, lua_tostring(L, -1)); /* the list keeps the word alive */
    lua_pop(L, 1);
  }
  lua_pushstring(L, nearest.found);
  return 1;
}

/* check_tensor(value, name) -> value; raises "name: expected a tensor, got ..." or "name: closed
 * tensor" */
static int l_check_tensor(lua_State *L) {
  check_tensor(L, 1, luaL_checkstring(L, 2), NULL);
  lua_settop(L, 1);
  return 1;
}

/* fits(value, least, most [, last]) -> is it an open float tensor of so many axes, the last of that
 * size? Layers ask at every call, so nothing is made for it. */
static int l_fits(lua_State *L) {
  const Box *box = is_tensor(L, 1) ? lua_touserdata(L, 1) : NULL;
  bool fits = box && box->var && box->var->value->dtype == DTYPE_REAL;
  if (fits) {
    const Shape *s = &box->var->value->shape;
    fits = s->dims >= lua_tointeger(L, 2) && s->dims <= lua_tointeger(L, 3);
    if (fits && !lua_isnoneornil(L, 4))
      fits = s->dims > 0 && s->size[s->dims - 1] == lua_tointeger(L, 4);
  }
  lua_pushboolean(L, fits);
  return 1;
}

/* unchanged(list) -> does each table still have its value? The list is {table, key, value, table,
 * key, value, ...}, with false for none. */
static int l_unchanged(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  bool same = true;
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
  for (lua_Integer i = 1; i < n && same; i += 3) {
    lua_rawgeti(L, 1, i);
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_rawgeti(L, 1, i + 1);
    lua_rawget(L, -2);
    lua_rawgeti(L, 1, i + 2);
    same = lua_toboolean(L, -1) ? lua_rawequal(L, -1, -2) : !lua_toboolean(L, -2);
    lua_settop(L, 1);
  }
  lua_pushboolean(L, same);
  return 1;
}

/* ---- the module ---- */

static const luaL_Reg functions[] = {{"raise", l_raise},
                                     {"set_home", l_set_home},
                                     {"nearest", l_nearest},
                                     {"check_tensor", l_check_tensor},
                                     {"fits", l_fits},
                                     {"unchanged", l_unchanged},
                                     {NULL, NULL}};

#ifdef LATENT_DOUBLE
int luaopen_latent_core64(lua_State *L);
__attribute__((visibility("default"))) int luaopen_latent_core64(lua_State *L)
#else
int luaopen_latent_core(lua_State *L);
__attribute__((visibility("default"))) int luaopen_latent_core(lua_State *L)
#endif
{
  blas_prepare();
  luaL_newlib(L, functions);
  open_tensor(L);
  open_access(L);
  open_ops(L);
  open_graph(L);
  open_custom(L);
  open_random(L);
  open_numeric(L);
  open_profile(L);
  open_system(L);
  open_files(L);
  open_locale(L);
  open_signals(L);
  open_zlib(L);
  open_picture(L);
  return 1;
}
