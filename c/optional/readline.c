/* The module latent.readline: line editing by GNU readline or libedit, for the prompt alone. A
 * library of its own, so that the core links neither. */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#ifdef LATENT_LIBEDIT
#include <editline/readline.h>
#else
#include <readline/history.h>
#include <readline/readline.h>
#endif

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

enum { LOOK = 200 /* milliseconds between two looks at the signal flag */ };

/* readline has one line at a time, and so has this. */
static struct {
  lua_State *L;
  bool finished;
  char *line; /* NULL at the end of the input */
} reader;

static void take_line(char *line) {
  reader.line = line;
  reader.finished = true;
  rl_callback_handler_remove();
}

/* ---- completion: complete(text up to the cursor) -> list of words, where they start ---- */

static char *copy(const char *text) {
  char *fresh = malloc(strlen(text) + 1);
  if (fresh) strcpy(fresh, text);
  return fresh;
}

/* What all words of the list at the stack's top begin with. */
static size_t common_length(lua_State *L, lua_Integer count) {
  lua_rawgeti(L, -1, 1);
  const char *first = lua_tostring(L, -1);
  lua_pop(L, 1); /* the list keeps it */
  size_t length = strlen(first);
  for (lua_Integer i = 2; i <= count; i++) {
    lua_rawgeti(L, -1, i);
    const char *word = lua_tostring(L, -1);
    size_t same = 0;
    while (same < length && word[same] == first[same]) same++;
    length = same;
    lua_pop(L, 1);
  }
  return length;
}

/* readline's form of a list: the common beginning, the words, NULL; all malloc'd. */
static char **matches_of(lua_State *L) {
  lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
  if (count == 0) return NULL;
  char **matches = calloc((size_t)count + 2, sizeof *matches);
  if (!matches) return NULL;
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, -1, i);
    matches[i] = copy(lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  matches[0] = copy(matches[1]);
  if (matches[0]) matches[0][common_length(L, count)] = 0;
  if (count == 1) {
    free(matches[1]);
    matches[1] = NULL;
  }
  return matches;
}

/* Checks that the completion function's first result is a list of strings. */
static bool is_word_list(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE) return false;
  lua_Integer count = (lua_Integer)lua_rawlen(L, index);
  bool good = true;
  for (lua_Integer i = 1; i <= count && good; i++) {
    good = lua_rawgeti(L, index, i) == LUA_TSTRING;
    lua_pop(L, 1);
  }
  return good;
}

static char **complete(const char *text, int start, int end) {
  (void)start;
  lua_State *L = reader.L;
  int top = lua_gettop(L);
  char **matches = NULL;
  if (strspn(rl_line_buffer, " ") >= (size_t)end) { /* nothing yet: Tab indents */
    rl_insert_text("  ");
    return NULL;
  }
  rl_attempted_completion_over = 1; /* no file names of its own */
  rl_completion_append_character = 0;
  lua_pushvalue(L, 2);
  lua_pushlstring(L, rl_line_buffer, (size_t)end);
  lua_pushstring(L, text);
  if (lua_pcall(L, 2, 1, 0) == LUA_OK && is_word_list(L, -1)) matches = matches_of(L);
  lua_settop(L, top);
  return matches;
}

/* ---- reading ---- */

static bool is_pending(lua_State *L) {
  lua_pushvalue(L, 3);
  bool pending = lua_pcall(L, 0, 1, 0) == LUA_OK && lua_toboolean(L, -1);
  lua_pop(L, 1);
  return pending;
}

/* Between two keys readline has no signal handlers: after Ctrl-Z and `fg` the terminal is as the
 * shell set it, and a new size of the window is not known. */
static void look_after_terminal(int fd) {
  static struct winsize last;
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) == 0) {
    bool changed = last.ws_col && (size.ws_col != last.ws_col || size.ws_row != last.ws_row);
    last = size;
    if (changed) rl_resize_terminal();
  }
  struct termios mode;
  if (tcgetattr(fd, &mode) != 0 || !(mode.c_lflag & ICANON)) return;
  rl_deprep_terminal();
  rl_prep_terminal(1);
  rl_forced_update_display();
}

/* Leaves the line as it stands on the screen and forgets it. */
static void abandon(void) {
  FILE *out = rl_outstream ? rl_outstream : stdout;
  fputs("^C\n", out); /* first: readline goes to the line's beginning when it lets go */
  fflush(out);
#ifndef LATENT_LIBEDIT
  rl_free_line_state();
  rl_callback_sigcleanup();
#endif
  rl_callback_handler_remove();
}

/* read(prompt, complete, pending) -> the line, nil at the end of the input, or false where
 * pending() said that a signal came. complete(text up to the cursor, word) -> list of words. */
static int l_read(lua_State *L) {
  const char *prompt = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  luaL_checkstack(L, 16, "readline");
  reader.L = L;
  reader.finished = false;
  rl_attempted_completion_function = complete;
  rl_callback_handler_install(prompt, take_line);
  while (!reader.finished) {
    struct pollfd input = {.fd = fileno(rl_instream ? rl_instream : stdin), .events = POLLIN};
    int ready = poll(&input, 1, LOOK);
    look_after_terminal(input.fd);
    if (is_pending(L)) { /* what was typed after it stays for the next line */
      abandon();
      lua_pushboolean(L, 0);
      return 1;
    }
    if (ready > 0) rl_callback_read_char();
    else if (ready < 0 && errno != EINTR) break;
  }
  if (!reader.finished) rl_callback_handler_remove();
  if (!reader.finished || !reader.line) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushstring(L, reader.line);
  free(reader.line);
  return 1;
}

/* add_history(line) */
static int l_add_history(lua_State *L) {
  add_history(luaL_checkstring(L, 1));
  return 0;
}

static const luaL_Reg functions[] = {
    {"read", l_read}, {"add_history", l_add_history}, {NULL, NULL}};

int luaopen_latent_readline(lua_State *L);
__attribute__((visibility("default"))) int luaopen_latent_readline(lua_State *L) {
  setlocale(LC_CTYPE, ""); /* for letters of several bytes; numbers stay as C writes them */
  rl_catch_signals = 0;    /* the core's flag sees them */
  rl_readline_name = "latent";
  rl_basic_word_break_characters = " \t\n\"\\'`@$><=;|&{(,[+-*/%^#~)}].:";
#ifndef LATENT_LIBEDIT
  rl_completer_quote_characters = NULL;
  rl_basic_quote_characters = "";
  rl_variable_bind("blink-matching-paren", "off");
#endif
  luaL_newlib(L, functions);
#ifdef LATENT_LIBEDIT
  lua_pushliteral(L, "libedit");
#else
  lua_pushfstring(L, "GNU readline %s", rl_library_version);
#endif
  lua_setfield(L, -2, "version");
  return 1;
}
