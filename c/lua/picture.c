/* Floor 5: pixels of pictures as tensors. Headers and chunks are Lua's: see lua/latent/image. */
#include "lua/check.h"
#include "ops/dispatch.h"
#include "ops/picture.h"

/* A whole number of the table at index 1; what it means was checked in Lua. */
static lua_Integer field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  lua_Integer value = luaL_checkinteger(L, -1);
  lua_pop(L, 1);
  return value;
}

/* A string of the table at index 1, which stays alive in there; NULL where there is none. */
static const uint8_t *text_field(lua_State *L, const char *name, int *size) {
  lua_getfield(L, 1, name);
  size_t length = 0;
  const char *text = lua_tolstring(L, -1, &length);
  *size = (int)length;
  lua_pop(L, 1);
  return (const uint8_t *)text;
}

static void read_png(lua_State *L, Png *p) {
  luaL_checktype(L, 1, LUA_TTABLE);
  *p = (Png){.width = (int)field(L, "width"),
             .height = (int)field(L, "height"),
             .depth = (int)field(L, "depth"),
             .color = (int)field(L, "color")};
  lua_getfield(L, 1, "interlaced");
  p->interlaced = lua_toboolean(L, -1);
  lua_getfield(L, 1, "in_color");
  p->in_color = lua_toboolean(L, -1);
  int size;
  p->palette = text_field(L, "palette", &size);
  p->colours = size / 3;
  p->alphas = text_field(L, "alphas", &p->alpha_count);
  p->has_clear = lua_getfield(L, 1, "clear") == LUA_TTABLE;
  for (int i = 0; i < 3 && p->has_clear; i++) {
    lua_geti(L, -1, i + 1);
    p->clear[i] = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 3);
}

/* The tensor (height, width), or (height, width, channels) of several, that a picture goes into, in
 * a new box on the stack. */
static float *new_picture(lua_State *L, int height, int width, int channels, const char *name) {
  Error e;
  Shape shape = {.dims = channels > 1 ? 3 : 2, .size = {height, width, channels}};
  Box *box = box_new(L);
  push_tensor(L, box, tensor_new(DTYPE_F32, &shape, &e), name, &e);
  return box->var->value->data;
}

/* The tensor on the stack's top, in the default type, or nil and what is wrong with the picture. */
static int finish(lua_State *L, bool ok, const Error *e) {
  if (ok && dtype_default() != DTYPE_F32) {
    Error full;
    Box *box = box_new(L);
    const Tensor *t = check_tensor(L, -2, "picture", NULL)->value;
    return push_tensor(L, box, tensor_as(t, dtype_default(), &full), "picture", &full);
  }
  if (ok) return 1;
  lua_pushnil(L);
  lua_pushstring(L, e->text);
  return 2;
}

/* png_size(picture) -> the bytes that its unpacked rows have */
static int l_png_size(lua_State *L) {
  Png p;
  read_png(L, &p);
  lua_pushinteger(L, (lua_Integer)png_size(&p));
  return 1;
}

/* png_pixels(picture, rows) -> tensor (height, width), or (height, width, 3) where the picture has
 * in_color, or nil, message */
static int l_png_pixels(lua_State *L) {
  size_t size;
  const char *rows = luaL_checklstring(L, 2, &size);
  Png p;
  read_png(L, &p);
  if ((int64_t)size != png_size(&p)) raise_error(L, "png_pixels: %zu bytes of rows", size);
  uint8_t *scratch = lua_newuserdatauv(L, 2 * (size_t)png_row_size(&p), 0);
  float *out = new_picture(L, p.height, p.width, p.in_color ? 3 : 1, "png_pixels");
  Error e;
  return finish(L, png_pixels(&p, (const uint8_t *)rows, scratch, out, &e), &e);
}

/* pgm_pixels(picture, bytes, is_text) -> tensor (height, width), or (height, width, 3) of a picture
 * of three channels, or nil, message. The picture says where in the bytes its pixels begin. */
static int l_pgm_pixels(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 2, &size);
  int width = (int)field(L, "width"), height = (int)field(L, "height");
  int most = (int)field(L, "most"), channels = (int)field(L, "channels");
  int64_t at = field(L, "at"), left = (int64_t)size - at + 1;
  int64_t count = (int64_t)width * height * channels;
  bool text = lua_toboolean(L, 3);
  if (at < 1 || left < (text ? 0 : count * (most > 255 ? 2 : 1)))
    raise_error(L, "pgm_pixels: %zu bytes", size);
  float *out = new_picture(L, height, width, channels, "pgm_pixels");
  bytes += at - 1;
  Error e;
  bool ok = text ? pgm_text(bytes, (size_t)left, count, most, out, &e)
                 : pgm_bytes((const uint8_t *)bytes, count, most, out, &e);
  return finish(L, ok, &e);
}

static const luaL_Reg functions[] = {{"png_size", l_png_size},
                                     {"png_pixels", l_png_pixels},
                                     {"pgm_pixels", l_pgm_pixels},
                                     {NULL, NULL}};

void open_picture(lua_State *L) { luaL_setfuncs(L, functions, 0); }
