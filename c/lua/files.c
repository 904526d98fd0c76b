/* Floor 5: files as Lua's own library does not know them: what a name stands for, files that are
 * made anew and whose writer is known to live, locks, lines that are written whole or not at all.
 */
#include "lua/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_HOLD META_PREFIX "Hold"

/* nil and what the system says of the error. */
static int failed(lua_State *L, int error) {
  lua_pushnil(L);
  lua_pushstring(L, strerror(error));
  return 2;
}

/* ---- names ---- */

static const char *kind_of(mode_t mode) {
  if (S_ISREG(mode)) return "file";
  if (S_ISDIR(mode)) return "folder";
  if (S_ISLNK(mode)) return "link";
  if (S_ISFIFO(mode)) return "fifo";
  return S_ISSOCK(mode) ? "socket" : "device";
}

/* file_info(path, nofollow) -> {kind, mode, uid, gid, links, size, id}, of a link itself where
 * nofollow; or nil, message. Two names of one file have the same id. */
static int l_file_info(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat s;
  int status = lua_toboolean(L, 2) ? lstat(path, &s) : stat(path, &s);
  if (status != 0) return failed(L, errno);
  const struct {
    const char *name;
    lua_Integer value;
  } numbers[] = {{"mode", s.st_mode & 07777},
                 {"uid", s.st_uid},
                 {"gid", s.st_gid},
                 {"links", (lua_Integer)s.st_nlink},
                 {"size", s.st_size}};
  lua_createtable(L, 0, 7);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    lua_pushinteger(L, numbers[i].value);
    lua_setfield(L, -2, numbers[i].name);
  }
  lua_pushstring(L, kind_of(s.st_mode));
  lua_setfield(L, -2, "kind");
  lua_pushfstring(L, "%I:%I", (LUAI_UACINT)s.st_dev, (LUAI_UACINT)s.st_ino);
  lua_setfield(L, -2, "id");
  return 1;
}

static bool is_dir(const char *path) {
  struct stat s;
  return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static int l_is_dir(lua_State *L) {
  lua_pushboolean(L, is_dir(luaL_checkstring(L, 1)));
  return 1;
}

/* can_write(path): whether this process may write what the name stands for */
static int l_can_write(lua_State *L) {
  lua_pushboolean(L, access(luaL_checkstring(L, 1), W_OK) == 0);
  return 1;
}

/* read_link(path) -> what a symbolic link points to; nil where it is none */
static int l_read_link(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  char target[4096];
  ssize_t length = readlink(path, target, sizeof target);
  if (length <= 0 || (size_t)length == sizeof target) return 0;
  lua_pushlstring(L, target, (size_t)length);
  return 1;
}

/* mkdir(path) -> true, also where it is there already, and whether it was made; or nil, message */
static int l_mkdir(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  bool made = mkdir(path, 0777) == 0;
  if (!made && !(errno == EEXIST && is_dir(path))) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(errno));
    return 2;
  }
  lua_pushboolean(L, 1);
  lua_pushboolean(L, made);
  return 2;
}

static int close_folder(lua_State *L) {
  DIR **folder = lua_touserdata(L, 1);
  if (*folder) closedir(*folder);
  *folder = NULL;
  return 0;
}

/* list(folder, part) -> the names in a folder that contain a text; or nil, message */
static int l_list(lua_State *L) {
  const char *path = luaL_checkstring(L, 1), *part = luaL_checkstring(L, 2);
  DIR **folder = lua_newuserdatauv(L, sizeof *folder, 0);
  *folder = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, close_folder);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  *folder = opendir(path);
  if (!*folder) return failed(L, errno);
  lua_newtable(L);
  lua_Integer count = 0;
  for (const struct dirent *entry; (entry = readdir(*folder)) != NULL;)
    if (strstr(entry->d_name, part)) {
      lua_pushstring(L, entry->d_name);
      lua_rawseti(L, -2, ++count);
    }
  closedir(*folder);
  *folder = NULL;
  return 1;
}

/* ---- holds: locks of files that end with the process, however it ends ---- */

/* A descriptor with an advisory lock on it; -1 where there is none. Its user value may be a path: a
 * hold that is collected before it was let go removes that file, if it is the one that is held. */
static int *new_hold(lua_State *L) {
  int *fd = lua_newuserdatauv(L, sizeof *fd, 1);
  *fd = -1;
  luaL_setmetatable(L, META_HOLD);
  return fd;
}

static bool is_same_file(int fd, const char *path) {
  struct stat open_one, named;
  return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 && open_one.st_dev == named.st_dev &&
         open_one.st_ino == named.st_ino;
}

/* let_go(hold, path): unlocks, and where a path is given removes the file before that, if it is the
 * one that is held; harmless where that has been done */
static int l_let_go(lua_State *L) {
  int *fd = luaL_checkudata(L, 1, META_HOLD);
  const char *path = luaL_optstring(L, 2, NULL);
  if (*fd >= 0 && path && is_same_file(*fd, path)) unlink(path);
  if (*fd >= 0) close(*fd);
  *fd = -1;
  return 0;
}

static int collect_hold(lua_State *L) {
  lua_settop(L, 1);
  if (lua_getiuservalue(L, 1, 1) != LUA_TSTRING) lua_settop(L, 1);
  return l_let_go(L);
}

/* hold(path, create) -> a hold of the file or folder, made where it is missing and `create`; or
 * nil, message and "held" where another has it, "unsupported" where the file system knows no locks.
 */
static int l_hold(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (lua_toboolean(L, 2) ? O_CREAT : 0);
  int *hold = new_hold(L);
  for (;;) {
    *hold = open(path, flags, 0666);
    if (*hold < 0 && errno == EISDIR) *hold = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*hold < 0) return failed(L, errno);
    if (flock(*hold, LOCK_EX | LOCK_NB) != 0) {
      int error = errno;
      close(*hold);
      *hold = -1;
      failed(L, error);
      lua_pushstring(L, error == EWOULDBLOCK ? "held" : "unsupported");
      return 3;
    }
    /* Who had it before may have removed it meanwhile: then it is another file's lock. */
    if (is_same_file(*hold, path)) return 1;
    close(*hold);
    *hold = -1;
    if (!lua_toboolean(L, 2)) return failed(L, ENOENT);
  }
}

/* note(hold, text) -> true when the text is all that the held file has; or nil, message */
static int l_note(lua_State *L) {
  const int *fd = luaL_checkudata(L, 1, META_HOLD);
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  if (ftruncate(*fd, 0) != 0 || pwrite(*fd, text, size, 0) != (ssize_t)size)
    return failed(L, errno);
  lua_pushboolean(L, 1);
  return 1;
}

/* alive(pid): whether a process of this number runs on this machine */
static int l_alive(lua_State *L) {
  lua_Integer pid = luaL_checkinteger(L, 1);
  lua_pushboolean(L, pid > 0 && pid < 1 << 30 && (kill((pid_t)pid, 0) == 0 || errno == EPERM));
  return 1;
}

static int l_pid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static int l_host(lua_State *L) {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  lua_pushstring(L, name);
  return 1;
}

/* ---- open files ---- */

static int close_stream(lua_State *L) {
  luaL_Stream *file = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  return luaL_fileresult(L, fclose(file->f) == 0, NULL);
}

/* A file as Lua's io library has them, closed as yet. */
static luaL_Stream *new_stream(lua_State *L) {
  luaL_Stream *file = lua_newuserdatauv(L, sizeof *file, 0);
  file->closef = NULL;
  luaL_setmetatable(L, LUA_FILEHANDLE);
  return file;
}

static bool fill_stream(luaL_Stream *file, int fd) {
  file->f = fdopen(fd, "wb");
  if (!file->f) {
    int error = errno;
    close(fd);
    errno = error;
    return false;
  }
  file->closef = close_stream;
  return true;
}

/* create(path, mode) -> a file that did not exist before, open for writing, and a hold of it that
 * lasts beyond its closing, so that others see that its writer lives; or nil, message, exists. An
 * error between here and let_go (memory, say) leaves no file behind: the collector removes it. */
static int l_create(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  mode_t mode = (mode_t)luaL_optinteger(L, 2, 0666);
  luaL_Stream *file = new_stream(L);
  int *hold = new_hold(L);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) {
    failed(L, errno);
    lua_pushboolean(L, errno == EEXIST);
    return 3;
  }
  /* Whoever clears what dead writers left may have come between. */
  bool lost = flock(fd, LOCK_EX | LOCK_NB) != 0 ? errno == EWOULDBLOCK : !is_same_file(fd, path);
  if (lost) {
    close(fd);
    failed(L, EEXIST);
    lua_pushboolean(L, 1);
    return 3;
  }
  *hold = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* shares the lock */
  if (*hold < 0 || !fill_stream(file, fd)) {
    int error = errno;
    if (*hold < 0) close(fd);
    unlink(path);
    return failed(L, error);
  }
  return 2;
}

/* open_special(path) -> what exists and is no plain file, or is to be added to, open for writing at
 * its end; or nil, message. A FIFO without a reader is refused: it would be waited for, for ever.
 */
static int l_open_special(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  luaL_Stream *file = new_stream(L);
  int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0 && errno == ENXIO) {
    lua_pushnil(L);
    lua_pushliteral(L, "nobody reads from it");
    return 2;
  }
  if (fd < 0) return failed(L, errno);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  if (!fill_stream(file, fd)) return failed(L, errno);
  return 1;
}

/* keep_owner(file, info): gives a new file the owner, as far as this process may, and the mode of
 * the one whose place it will take; true, or nil, message where the mode cannot be kept */
static int l_keep_owner(lua_State *L) {
  luaL_Stream *file = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  lua_getfield(L, 2, "uid");
  lua_getfield(L, 2, "gid");
  lua_getfield(L, 2, "mode");
  uid_t uid = (uid_t)lua_tointeger(L, -3);
  gid_t gid = (gid_t)lua_tointeger(L, -2);
  mode_t mode = (mode_t)lua_tointeger(L, -1) & 0777;
  int fd = fileno(file->f);
  struct stat s;
  if (fstat(fd, &s) != 0) return failed(L, errno);
  /* Only root can give a file away; a member of both groups keeps at least the group. */
  bool kept = s.st_uid == uid && s.st_gid == gid;
  if (!kept && fchown(fd, uid, gid) != 0) kept = fchown(fd, (uid_t)-1, gid) == 0;
  if (fstat(fd, &s) != 0) return failed(L, errno);
  /* Another group must not get what was that group's: it is as all others are. */
  if (s.st_gid != gid) mode = (mode & ~(mode_t)070) | (mode & 07) << 3;
  if ((s.st_mode & 07777) != mode && fchmod(fd, mode) != 0) return failed(L, errno);
  lua_pushboolean(L, 1);
  return 1;
}

/* sync(file or folder's name) -> true when what was written is on the disk; or nil, message */
static int l_sync(lua_State *L) {
  int status;
  if (lua_type(L, 1) == LUA_TSTRING) {
    int fd = open(lua_tostring(L, 1), O_RDONLY | O_CLOEXEC);
    status = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0) close(fd);
  } else {
    luaL_Stream *file = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    if (!file->closef) raise_error(L, "sync: the file is closed");
    status = fflush(file->f) == 0 ? fsync(fileno(file->f)) : -1;
  }
  /* A pipe or a device has nothing to wait for. */
  return luaL_fileresult(L, status == 0 || errno == EINVAL || errno == ENOTSUP, NULL);
}

static bool write_all(int fd, const char *text, size_t size) {
  while (size > 0) {
    ssize_t written = write(fd, text, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text += written;
    size -= (size_t)written;
  }
  return true;
}

/* append(file, text) -> true; or nil, message and how many bytes of the text stand in the file all
 * the same. Nothing is buffered, and from a plain file what was written in vain is taken back. */
static int l_append(lua_State *L) {
  luaL_Stream *file = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  if (!file->closef) raise_error(L, "append: the file is closed");
  int fd = fileno(file->f);
  struct stat before, after;
  bool plain = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
  struct sigaction ignore = {.sa_handler = SIG_IGN}, former;
  sigaction(SIGPIPE, &ignore, &former); /* a reader that died is an error, not a death */
  bool written = write_all(fd, text, size);
  int error = errno;
  sigaction(SIGPIPE, &former, NULL);
  if (written) {
    lua_pushboolean(L, 1);
    return 1;
  }
  off_t left = 0;
  if (plain && fstat(fd, &after) == 0 && after.st_size > before.st_size &&
      ftruncate(fd, before.st_size) != 0)
    left = after.st_size - before.st_size;
  failed(L, error);
  lua_pushinteger(L, left);
  return 3;
}

static const luaL_Reg functions[] = {{"file_info", l_file_info},
                                     {"is_dir", l_is_dir},
                                     {"can_write", l_can_write},
                                     {"read_link", l_read_link},
                                     {"mkdir", l_mkdir},
                                     {"list", l_list},
                                     {"hold", l_hold},
                                     {"let_go", l_let_go},
                                     {"note", l_note},
                                     {"alive", l_alive},
                                     {"pid", l_pid},
                                     {"host", l_host},
                                     {"create", l_create},
                                     {"open_special", l_open_special},
                                     {"keep_owner", l_keep_owner},
                                     {"sync", l_sync},
                                     {"append", l_append},
                                     {NULL, NULL}};

void open_files(lua_State *L) {
  luaL_newmetatable(L, META_HOLD);
  lua_pushcfunction(L, collect_hold);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
