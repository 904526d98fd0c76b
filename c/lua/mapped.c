/* Floor 5: tensors whose elements stay in a file. */
#include "lua/check.h"
#include "base/dtype.h"
#include "base/mapped.h"

/* map_file(path, offset, shape, dtype) -> a tensor; nil, message where the file has not the bytes.
 * The offset is a multiple of the element's size. */
static int l_map_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1), *dtype = luaL_checkstring(L, 4);
  int64_t offset = check_whole(L, 2, "map_file", "offset");
  Shape shape;
  Error e;
  check_shape(L, 3, 3, "map_file", &shape);
  Dtype kind;
  if (!dtype_named(dtype, &kind) || offset < 0 || offset % (int64_t)dtype_size(kind) != 0)
    raise_error(L, "map_file: %s from byte %lld on", dtype, (long long)offset);
  Box *box = box_new(L);
  Tensor *t = mapped_open(path, offset, kind, &shape, &e);
  if (t) return push_tensor(L, box, t, "map_file", &e);
  lua_pushnil(L);
  lua_pushstring(L, e.text);
  return 2;
}

void open_mapped(lua_State *L) {
  lua_pushcfunction(L, l_map_file);
  lua_setfield(L, -2, "map_file");
}
