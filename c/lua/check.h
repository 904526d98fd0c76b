/* Floor 5: what all bindings share: tensors in boxes, arguments, and errors that are raised at the
 * line of the user. The files of this floor are the only ones that know Lua. */
#ifndef LATENT_LUA_CHECK_H
#define LATENT_LUA_CHECK_H

#include "graph/graph.h"
#include "base/dtype.h"
#include "base/random.h"

#include <lauxlib.h>
#include <lua.h>

#define META_PREFIX "latent.core."
#define META_TENSOR META_PREFIX "Tensor"
#define META_SHAPE META_PREFIX "Shape"
#define META_GENERATOR META_PREFIX "Generator"
#define META_CONTEXT META_PREFIX "Context"

/* The userdata behind a Lua tensor; var is NULL before it is filled and after it is closed. Every
 * op asks of each argument whether it is one: no other userdata has that address in its first word,
 * and no name is looked up for it. */
typedef struct Box {
  const void *kind;
  Var *var;
} Box;

/* Raises "where: message" at the first stack frame that is neither C nor one of the library's own
 * Lua files. Never returns. */
int raise_error(lua_State *L, const char *format, ...) __attribute__((noreturn));
/* Is the function that runs called from such a frame? */
bool user_called(lua_State *L);
/* The place of that frame, "file.lua:12", or "" where there is none. */
void user_place(lua_State *L, char *text, size_t size);

/* Pushes an empty box. Everything that can raise an error comes before the core is called; the
 * core's result goes into the box; then box_filled looks whether Lua's collector should run. */
Box *box_new(lua_State *L);
/* Lets go of what a box holds: whatever was found in it counts no more. Finalisers call this too.
 */
void box_close(Box *box);
unsigned box_closings(void); /* how often so far */
/* The box at an index; NULL where there is none. */
Box *box_at(lua_State *L, int index);
/* Makes the table at the top the metatable of boxes. */
void box_set_metatable(lua_State *L);
void box_filled(lua_State *L);
/* Called behind a backward, which leaves the most garbage: the values on the way to the loss. */
void box_backward_done(lua_State *L);
/* box_new, var_new and box_filled for a tensor that the caller owns; name is for the error. */
int push_tensor(lua_State *L, Box *box, Tensor *t, const char *name, const Error *e);

bool is_tensor(lua_State *L, int index);
/* The tensor at an index; raises "name: arg: expected a tensor, got nil". */
Var *check_tensor(lua_State *L, int index, const char *name, const char *arg);
/* The same for one of which the elements are not read: they may not be computed yet
 * (graph/later.h).
 */
Var *check_waiting(lua_State *L, int index, const char *name, const char *arg);
/* A tensor, but a number or a (nested) table of numbers is turned into a tensor on the spot, of the
 * default type. */
Var *check_tensor_like(lua_State *L, int index, const char *name, const char *arg);
/* ... of a floating type, or beside whole numbers of i64 where all are integers to Lua. */
Var *check_tensor_as(lua_State *L, int index, const char *name, const char *arg, Dtype dtype);
/* The same for places and labels: of i64, where all are whole. */
Var *check_places(lua_State *L, int index, const char *name, const char *arg);
bool is_number_like(lua_State *L, int index); /* a number or a table */
/* Replaces the number or table at an index by a tensor; raises what the type cannot hold. */
Var *tensor_from_lua(lua_State *L, int index, const char *name, Dtype dtype);
Number number_at(lua_State *L, int index);
/* Pushes element i: an integer of i64, a float of the other types. */
void push_number(lua_State *L, const Tensor *t, int64_t i);

/* Marks a copy that the user may take for a part of another tensor, where the function that runs
 * was called by a line of theirs; `by` is a constant. See parts.c. */
void mark_part(lua_State *L, const Tensor *part, const Tensor *whole, const char *by);
/* ... the tensor, or the tensors of the list, at an index. */
void mark_parts(lua_State *L, int index, const Tensor *whole, const char *by);

/* What the makers of tensors take as options. */
typedef struct Making {
  Dtype dtype;
  Generator *generator; /* NULL: none is taken */
  bool named;           /* a type's bare name stands for {dtype = name} */
} Making;
/* Reads the options in the last argument, where it stands at `first` or later; returns the index of
 * the last argument before them. */
int check_making(lua_State *L, int first, const char *name, Making *m);

/* Refuses more than n arguments. */
void check_count(lua_State *L, int n, const char *name);
int64_t check_whole(lua_State *L, int index, const char *name, const char *arg);
double check_real(lua_State *L, int index, const char *name, const char *arg);
/* A shape from numbers (from `index` up to `last`) or one table of numbers. */
void check_shape(lua_State *L, int index, int last, const char *name, Shape *shape);
/* Refuses a key of the table at an index that is no place of its list: a name beside the items
 * would be dropped in silence. */
void check_list(lua_State *L, int index, const char *name, const char *arg);
/* Has the list at an index items, and names beside them? */
bool has_names(lua_State *L, int index);
/* How an argument reads in a message: `nil`, `"text"`, `3.5`, `a table`, `a tensor [2, 3]`. */
const char *describe(lua_State *L, int index, char *text, size_t size);

/* The generator in field "generator" of the table at an index, or the default one. */
Generator *check_generator(lua_State *L, int index, const char *name);

/* The userdata that a method is called on: raises "state: expected a generator, got nil; write
 * g:state(...), with a colon". */
void *check_self(lua_State *L, const char *meta, const char *name, const char *wanted,
                 const char *variable);

/* Registration, one function a file; each adds to the module table on the stack's top. */
void open_errors(lua_State *L);
void open_check(lua_State *L);
void open_calls(lua_State *L);
void open_tensor(lua_State *L);
void open_access(lua_State *L);
void open_ops(lua_State *L);
void open_parts(lua_State *L);
void open_graph(lua_State *L);
void open_nodes(lua_State *L);
void open_custom(lua_State *L);
void open_random(lua_State *L);
void open_numeric(lua_State *L);
void open_profile(lua_State *L);
void open_system(lua_State *L);
void open_files(lua_State *L);
void open_mapped(lua_State *L);
void open_locale(lua_State *L);
void open_signals(lua_State *L);
void open_channel(lua_State *L);
void open_zlib(lua_State *L);
void open_picture(lua_State *L);

#endif
