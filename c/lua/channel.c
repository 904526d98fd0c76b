/* Floor 5: messages over two pipes, as the notebook's kernel and the program that computes for it
 * exchange them: four bytes of length, the greatest first, and the text. Signals break none in two:
 * Lua's own files lose what they have read or written when one comes. */
#include "lua/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <signal.h>
#include <sys/prctl.h>
#endif

enum { HEAD = 4 };

typedef enum { DONE, ENDED, INTERRUPTED } Outcome;

/* Reads `size` bytes. With `patient` false a signal ends it before the first of them. */
static Outcome read_all(int fd, char *to, size_t size, bool patient) {
  size_t got = 0;
  while (got < size) {
    ssize_t n = read(fd, to + got, size - got);
    if (n > 0) got += (size_t)n;
    else if (n == 0 || errno != EINTR) return ENDED;
    else if (!patient && got == 0) return INTERRUPTED;
  }
  return DONE;
}

static bool write_all(int fd, const char *from, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, from, size);
    if (n > 0) {
      from += n;
      size -= (size_t)n;
    } else if (n == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

/* Pushes the next message: nil where there is none any more, false where a signal came first. */
static int push_message(lua_State *L, int fd, bool patient) {
  unsigned char head[HEAD];
  Outcome outcome = read_all(fd, (char *)head, HEAD, patient);
  if (outcome == INTERRUPTED) {
    lua_pushboolean(L, false);
    return 1;
  }
  size_t size = 0;
  for (int i = 0; i < HEAD; i++) size = size << 8 | head[i];
  luaL_Buffer b;
  char *text = outcome == DONE ? luaL_buffinitsize(L, &b, size) : NULL;
  if (!text || read_all(fd, text, size, true) != DONE) {
    lua_pushnil(L);
    return 1;
  }
  luaL_pushresultsize(&b, size);
  return 1;
}

static bool send_message(lua_State *L, int fd, int index, const char *name) {
  size_t size;
  const char *text = luaL_checklstring(L, index, &size);
  if (size > UINT32_MAX)
    raise_error(L, "%s: expected at most 4 GB, got %.1f GB", name, (double)size / 1e9);
  unsigned char head[HEAD];
  for (int i = 0; i < HEAD; i++) head[i] = (unsigned char)(size >> 8 * (HEAD - 1 - i));
  return write_all(fd, (const char *)head, HEAD) && write_all(fd, text, size);
}

/* channel(fd, ...): programs that are started do not get these files, and this process ends with
 * the one that started it, where the system can do that. */
static int l_channel(lua_State *L) {
  for (int i = 1; i <= lua_gettop(L); i++) {
    int fd = (int)luaL_checkinteger(L, i);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
      raise_error(L, "channel: file %d: %s", fd, strerror(errno));
  }
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  return 0;
}

/* receive(fd) -> a message; nil at the end; false where a signal came before it */
static int l_receive(lua_State *L) { return push_message(L, (int)luaL_checkinteger(L, 1), false); }

/* send(fd, text) -> whether the other side took it */
static int l_send(lua_State *L) {
  lua_pushboolean(L, send_message(L, (int)luaL_checkinteger(L, 1), 2, "send"));
  return 1;
}

/* exchange(to, from, text) -> the answer, or nil. In one piece: an interruption of the Lua code
 * around it comes before the question or behind its answer. */
static int l_exchange(lua_State *L) {
  int to = (int)luaL_checkinteger(L, 1), from = (int)luaL_checkinteger(L, 2);
  if (send_message(L, to, 3, "exchange")) return push_message(L, from, true);
  lua_pushnil(L);
  return 1;
}

static const luaL_Reg functions[] = {{"channel", l_channel},
                                     {"receive", l_receive},
                                     {"send", l_send},
                                     {"exchange", l_exchange},
                                     {NULL, NULL}};

void open_channel(lua_State *L) { luaL_setfuncs(L, functions, 0); }
