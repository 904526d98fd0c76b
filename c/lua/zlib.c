/* Floor 5: zlib for what is packed in files: gzip data sets, members of zip archives, PNG. */
#include "lua/check.h"

#include <zlib.h>

enum { CHUNK = 1 << 16 };

/* ---- streams ---- */

#define META_ZSTREAM META_PREFIX "ZStream"

/* In a userdata: where a buffer cannot grow, Lua raises, and the collector ends the stream. Its
 * user value is the string that it reads. */
typedef struct ZStream {
  z_stream z;
  int (*end)(z_streamp);
  bool members;     /* gzip: further ones may follow the first */
  const char *name; /* of the format, for messages */
  int status;
} ZStream;

static int l_zstream_gc(lua_State *L) {
  ZStream *s = luaL_checkudata(L, 1, META_ZSTREAM);
  if (s->end) s->end(&s->z);
  s->end = NULL;
  return 0;
}

/* A stream that reads the string at stack index 1. */
static ZStream *zstream_new(lua_State *L, const char *data, size_t size) {
  ZStream *s = lua_newuserdatauv(L, sizeof *s, 1);
  *s = (ZStream){.z = {.next_in = (Bytef *)data, .avail_in = (uInt)size}, .status = Z_OK};
  luaL_setmetatable(L, META_ZSTREAM);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
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

/* A stream that unpacks the string at stack index 1, in the format named at index 2. */
static ZStream *inflater_new(lua_State *L, const char *name) {
  size_t size;
  const char *data = check_input(L, name, &size);
  int format = luaL_checkoption(L, 2, "gzip", formats);
  ZStream *s = zstream_new(L, data, size);
  if (inflateInit2(&s->z, format == 0 ? 15 + 32 : window_bits(format)) != Z_OK)
    raise_error(L, "%s: no memory", name);
  s->end = inflateEnd;
  s->members = format == 0;
  s->name = format == 2 ? "deflate" : formats[format];
  return s;
}

/* What follows a gzip member: another one to be read on, or zeros that pad a file (true and
 * *status is Z_STREAM_END). */
static bool next_member(z_stream *z, int *status) {
  while (z->avail_in > 0 && *z->next_in == 0) z->next_in++, z->avail_in--;
  if (z->avail_in == 0) return true;
  if (z->avail_in < 2 || z->next_in[0] != 0x1f || z->next_in[1] != 0x8b) return false;
  *status = inflateReset(z);
  return true;
}

/* The next bytes, fewer than `want` only at the end: NULL, or what is wrong. */
static const char *pull(ZStream *s, void *to, uInt want, size_t *got) {
  z_stream *z = &s->z;
  z->next_out = to;
  z->avail_out = want;
  while (s->status == Z_OK && z->avail_out > 0) {
    uInt before = z->avail_out;
    s->status = inflate(z, Z_NO_FLUSH);
    if (s->status == Z_OK && z->avail_out == before && z->avail_in == 0) s->status = Z_BUF_ERROR;
    if (s->status == Z_STREAM_END && !(s->members ? next_member(z, &s->status) : z->avail_in == 0))
      return "something else follows its end";
  }
  *got = want - z->avail_out;
  if (s->status == Z_OK || s->status == Z_STREAM_END) return NULL;
  return z->msg ? z->msg : "ends too early";
}

static int push_damage(lua_State *L, const ZStream *s, const char *why) {
  /* zlib takes its window when it first needs it: that is no damage of the data. */
  if (s->status == Z_MEM_ERROR) raise_error(L, "inflate: out of memory");
  lua_pushnil(L);
  lua_pushfstring(L, "damaged %s data: %s", s->name, why);
  return 2;
}

/* inflate(string [, format [, limit]]) -> the content of packed data, or nil, message. "gzip" reads
 * gzip (all its members) and zlib data, "zlib" that alone, "raw" deflate data without a frame.
 * Content of more than `limit` bytes is an error, found before much more memory is taken. */
static int l_inflate(lua_State *L) {
  lua_settop(L, 3);
  lua_Integer limit = luaL_optinteger(L, 3, LUA_MAXINTEGER);
  ZStream *s = inflater_new(L, "inflate");
  const char *why = NULL;
  uint64_t total = 0;
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  for (size_t got = CHUNK; got == CHUNK && !why; total += got) {
    got = 0;
    why = pull(s, luaL_prepbuffsize(&out, CHUNK), CHUNK, &got);
    luaL_addsize(&out, got);
    if (!why && total + got > (limit < 0 ? 0 : (uint64_t)limit))
      why = "holds more than was expected";
  }
  inflateEnd(&s->z);
  s->end = NULL;
  luaL_pushresult(&out);
  return why ? push_damage(L, s, why) : 1;
}

/* inflater(string [, format]) -> a stream of what `inflate` gives at once */
static int l_inflater(lua_State *L) {
  lua_settop(L, 2);
  inflater_new(L, "inflater");
  return 1;
}

/* stream:read(count) -> the next bytes, fewer than `count` only at the end; or nil, message */
static int l_zstream_read(lua_State *L) {
  ZStream *s = luaL_checkudata(L, 1, META_ZSTREAM);
  lua_Integer count = luaL_checkinteger(L, 2);
  if (count < 0 || (lua_Unsigned)count > UINT32_MAX)
    raise_error(L, "read: count: expected less than 4 GB, got %lld", (long long)count);
  if (!s->end) raise_error(L, "read: the stream was closed");
  luaL_Buffer out;
  char *to = luaL_buffinitsize(L, &out, (size_t)count);
  size_t got = 0;
  const char *why = pull(s, to, (uInt)count, &got);
  luaL_pushresultsize(&out, got);
  return why ? push_damage(L, s, why) : 1;
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

static const luaL_Reg functions[] = {{"inflate", l_inflate},
                                     {"inflater", l_inflater},
                                     {"deflate", l_deflate},
                                     {"crc32", l_crc32},
                                     {NULL, NULL}};

void open_zlib(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  luaL_newmetatable(L, META_ZSTREAM);
  lua_pushcfunction(L, l_zstream_gc);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  lua_pushcfunction(L, l_zstream_read);
  lua_setfield(L, -2, "read");
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
