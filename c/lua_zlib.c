/* Floor 5: zlib for what is packed in files: gzip data sets, members of zip archives, PNG. */
#include "lua_check.h"

#include <zlib.h>

enum { CHUNK = 1 << 16 };

/* ---- streams ---- */

#define META_ZSTREAM META_PREFIX "ZStream"

/* In a userdata: where a buffer cannot grow, Lua raises, and the collector ends the stream. */
typedef struct ZStream {
  z_stream z;
  int (*end)(z_streamp);
} ZStream;

static int l_zstream_gc(lua_State *L) {
  ZStream *s = luaL_checkudata(L, 1, META_ZSTREAM);
  if (s->end) s->end(&s->z);
  s->end = NULL;
  return 0;
}

static ZStream *zstream_new(lua_State *L, const char *data, size_t size) {
  ZStream *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (ZStream){.z = {.next_in = (Bytef *)data, .avail_in = (uInt)size}};
  luaL_setmetatable(L, META_ZSTREAM);
  return s;
}

static const char *const formats[] = {"gzip", "zlib", "raw", NULL};

/* What zlib wants to hear for each of them. */
static int window_bits(int format) { return format == 0 ? 15 + 16 : format == 1 ? 15 : -15; }

/* The string at stack index 1, which zlib counts in 32 bits. */
static const char *check_input(lua_State *L, const char *name, size_t *size) {
  const char *data = luaL_checklstring(L, 1, size);
  if (*size > UINT32_MAX) raise_error(L, "%s: expected less than 4 GB", name);
  return data;
}

/* ---- inflate ---- */

/* What follows a gzip member: another one to be read on, or zeros that pad a file (true and
 * *status is Z_STREAM_END). */
static bool next_member(z_stream *z, int *status) {
  while (z->avail_in > 0 && *z->next_in == 0) z->next_in++, z->avail_in--;
  if (z->avail_in == 0) return true;
  if (z->avail_in < 2 || z->next_in[0] != 0x1f || z->next_in[1] != 0x8b) return false;
  *status = inflateReset(z);
  return true;
}

/* Unpacks all of z into out, `limit` bytes at most: NULL, or what is wrong. */
static const char *unpack(z_stream *z, luaL_Buffer *out, bool members, uint64_t limit) {
  int status = Z_OK;
  uint64_t total = 0;
  while (status == Z_OK) {
    z->next_out = (Bytef *)luaL_prepbuffsize(out, CHUNK);
    z->avail_out = CHUNK;
    status = inflate(z, Z_NO_FLUSH);
    size_t got = CHUNK - z->avail_out;
    luaL_addsize(out, got);
    total += got;
    if (total > limit) return "holds more than was expected";
    if (status == Z_BUF_ERROR || (status == Z_OK && got == 0)) break;
    if (status == Z_STREAM_END && !(members ? next_member(z, &status) : z->avail_in == 0))
      return "something else follows its end";
  }
  if (status == Z_STREAM_END) return NULL;
  return z->msg ? z->msg : "ends too early";
}

/* inflate(string [, format [, limit]]) -> the content of packed data, or nil, message. "gzip" reads
 * gzip (all its members) and zlib data, "zlib" that alone, "raw" deflate data without a frame.
 * Content of more than `limit` bytes is an error, found before much more memory is taken. */
static int l_inflate(lua_State *L) {
  size_t size;
  const char *data = check_input(L, "inflate", &size);
  int format = luaL_checkoption(L, 2, "gzip", formats);
  lua_Integer limit = luaL_optinteger(L, 3, LUA_MAXINTEGER);
  ZStream *s = zstream_new(L, data, size);
  if (inflateInit2(&s->z, format == 0 ? 15 + 32 : window_bits(format)) != Z_OK)
    raise_error(L, "inflate: no memory");
  s->end = inflateEnd;
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  const char *why = unpack(&s->z, &out, format == 0, limit < 0 ? 0 : (uint64_t)limit);
  inflateEnd(&s->z);
  s->end = NULL;
  luaL_pushresult(&out);
  if (!why) return 1;
  lua_pushnil(L);
  lua_pushfstring(L, "damaged %s data: %s", format == 2 ? "deflate" : formats[format], why);
  return 2;
}

/* ---- deflate ---- */

/* deflate(string [, format [, level]]) -> the string packed as "gzip", "zlib" or "raw" */
static int l_deflate(lua_State *L) {
  size_t size;
  const char *data = check_input(L, "deflate", &size);
  int format = luaL_checkoption(L, 2, "zlib", formats);
  lua_Integer level = luaL_optinteger(L, 3, 6);
  if (level < 0 || level > 9)
    raise_error(L, "deflate: level: expected 0..9, got %lld", (long long)level);
  ZStream *s = zstream_new(L, data, size);
  if (deflateInit2(&s->z, (int)level, Z_DEFLATED, window_bits(format), 8, Z_DEFAULT_STRATEGY) !=
      Z_OK)
    raise_error(L, "deflate: no memory");
  s->end = deflateEnd;
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  int status = Z_OK;
  while (status == Z_OK) {
    s->z.next_out = (Bytef *)luaL_prepbuffsize(&out, CHUNK);
    s->z.avail_out = CHUNK;
    status = deflate(&s->z, Z_FINISH);
    luaL_addsize(&out, CHUNK - s->z.avail_out);
  }
  deflateEnd(&s->z);
  s->end = NULL;
  luaL_pushresult(&out);
  return 1;
}

/* crc32(string [, of what came before]) -> the checksum of zip and PNG */
static int l_crc32(lua_State *L) {
  size_t size;
  const char *data = luaL_checklstring(L, 1, &size);
  uLong crc = (uLong)luaL_optinteger(L, 2, 0);
  lua_pushinteger(L, (lua_Integer)crc32_z(crc, (const Bytef *)data, size));
  return 1;
}

static const luaL_Reg functions[] = {
    {"inflate", l_inflate}, {"deflate", l_deflate}, {"crc32", l_crc32}, {NULL, NULL}};

void open_zlib(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  luaL_newmetatable(L, META_ZSTREAM);
  lua_pushcfunction(L, l_zstream_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
