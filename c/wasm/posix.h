/* Forced before the core's files: what c/lua/files.c takes from POSIX and WASI does not have. The
 * files lie in memory and belong to this one program, so locks are always granted, owners and modes
 * are always right, and no pipe breaks. */
#ifndef LATENT_WASM_POSIX_H
#define LATENT_WASM_POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define F_DUPFD_CLOEXEC 1030

/* Another descriptor of the same open file; -1 where there is none. */
__attribute__((import_module("latent"), import_name("dup"))) int host_dup(int fd);

struct sigaction {
  void (*sa_handler)(int number);
};

static inline int posix_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  int argument = command == F_GETFL ? 0 : va_arg(arguments, int);
  va_end(arguments);
  if (command != F_DUPFD_CLOEXEC) return fcntl(fd, command, argument);
  int copy = host_dup(fd);
  if (copy < 0) errno = EBADF;
  return copy;
}
#define fcntl posix_fcntl

static inline int flock(int fd, int operation) { return (void)fd, (void)operation, 0; }
static inline int fchown(int fd, uid_t uid, gid_t gid) { return (void)fd, (void)uid, (void)gid, 0; }
static inline int fchmod(int fd, mode_t mode) { return (void)fd, (void)mode, 0; }
static inline int posix_gethostname(char *name, size_t size) {
  strncpy(name, "browser", size);
  return 0;
}
#define gethostname posix_gethostname

static inline int kill(pid_t pid, int number) {
  (void)pid, (void)number;
  errno = ESRCH;
  return -1;
}
static inline int sigaction(int number, const struct sigaction *action, struct sigaction *former) {
  return (void)number, (void)action, (void)former, 0;
}

#endif
