/* A disk that fails: preloaded into a program, it counts the calls that change what lies in one
 * folder, and lets some of them go wrong. For tools/faults and the specs, Linux only.
 *
 *   FAULT_DIR=/folder     only calls on files below it count; absolute
 *   FAULT=kind,n,m        what happens from the n-th call on, m times
 *   FAULT_COUNT=/file     gets the number of calls when the program ends
 *
 * Kinds: ENOSPC and EIO (half of what was to be written arrives, then the error; a rename, mkdir,
 * open, fsync or ftruncate fails, a close loses half of the file), LOST (a write that arrives
 * nowhere and is reported as made), UNDONE (a rename that is not carried out and reported as made),
 * DONE (one that is carried out and reported as failed), KILL (SIGKILL in the middle of a write,
 * before anything else). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long calls;
static long first = -1, times;
static char kind[16];
static const char *folder;
/* A file of which a write was cut short: the next one on it fails. */
static int cut_off = -1;

/* The C library's own function of the name. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  unsetenv("LD_PRELOAD"); /* this program alone, not those that it starts */
  folder = getenv("FAULT_DIR");
  const char *fault = getenv("FAULT");
  if (fault && sscanf(fault, "%15[A-Z],%ld,%ld", kind, &first, &times) != 3) abort();
}

__attribute__((destructor)) static void end(void) {
  const char *path = getenv("FAULT_COUNT");
  if (!path) return;
  folder = NULL;
  FILE *file = REAL(fopen)(path, "w");
  if (!file) return;
  fprintf(file, "%ld\n", calls);
  REAL(fclose)(file);
}

static bool is_below(const char *path) {
  return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static bool is_open_below(int fd) {
  char name[64], path[4096];
  if (!folder || fd < 0) return false;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length <= 0) return false;
  path[length] = 0;
  return is_below(path);
}

static bool is(const char *name) { return strcmp(kind, name) == 0; }

/* Counts a call; whether it is one that goes wrong. */
static bool is_hit(bool counts) {
  if (!counts) return false;
  calls++;
  return first >= 0 && calls >= first && calls - first < times;
}

static void die(void) { kill(getpid(), SIGKILL); }

/* The error of a call that is hit, or 0 where this kind leaves it alone. */
static int error_of(void) {
  if (is("KILL")) die();
  return is("ENOSPC") ? ENOSPC : is("EIO") ? EIO : 0;
}

ssize_t write(int fd, const void *data, size_t size) {
  if (fd == cut_off) {
    cut_off = -1;
    errno = is("EIO") ? EIO : ENOSPC;
    return -1;
  }
  if (!is_hit(is_open_below(fd))) return REAL(write)(fd, data, size);
  if (is("LOST")) return (ssize_t)size;
  bool cuts = is("ENOSPC") || is("EIO") || is("KILL");
  if (!cuts) return REAL(write)(fd, data, size);
  ssize_t written = REAL(write)(fd, data, size / 2);
  int error = error_of();
  if (written > 0) {
    cut_off = fd;
    return written;
  }
  errno = error;
  return -1;
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
  if (!is_hit(is_open_below(fileno(file)))) return REAL(fwrite)(data, size, count, file);
  if (is("LOST")) return count;
  if (!is("ENOSPC") && !is("EIO") && !is("KILL")) return REAL(fwrite)(data, size, count, file);
  size_t written = REAL(fwrite)(data, size, count / 2, file);
  if (is("KILL")) fflush(file);
  errno = error_of();
  return written;
}

int fclose(FILE *file) {
  int fd = fileno(file);
  bool writes = fd >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
  bool hit = is_hit(writes && is_open_below(fd));
  int error = hit ? error_of() : 0;
  struct stat s;
  if (error && fflush(file) == 0 && fstat(fd, &s) == 0 && REAL(ftruncate)(fd, s.st_size / 2) != 0)
    error = errno;
  int status = REAL(fclose)(file);
  if (!error) return status;
  errno = error;
  return EOF;
}

/* The others either fail or do what they do. */
#define FAIL_IF(counts, failure)                                                                   \
  do {                                                                                             \
    int error_ = is_hit(counts) ? error_of() : 0;                                                  \
    if (error_) {                                                                                  \
      errno = error_;                                                                              \
      return failure;                                                                              \
    }                                                                                              \
  } while (0)

int fsync(int fd) {
  FAIL_IF(is_open_below(fd), -1);
  return REAL(fsync)(fd);
}

int ftruncate(int fd, off_t size) {
  FAIL_IF(is_open_below(fd), -1);
  return REAL(ftruncate)(fd, size);
}

int mkdir(const char *path, mode_t mode) {
  FAIL_IF(is_below(path), -1);
  return REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
  if (!is_hit(is_below(to))) return REAL(rename)(from, to);
  if (is("UNDONE")) return 0;
  int error = error_of();
  if (is("DONE") && REAL(rename)(from, to) == 0) error = EIO;
  if (!error) return REAL(rename)(from, to);
  errno = error;
  return -1;
}

/* Only a kill comes here: a file that cannot be removed is no error that a program could mend. */
int unlink(const char *path) {
  if (is_hit(is_below(path)) && is("KILL")) die();
  return REAL(unlink)(path);
}

int remove(const char *path) {
  if (is_hit(is_below(path)) && is("KILL")) die();
  return REAL(remove)(path);
}

#define OPEN(name)                                                                                 \
  int name(const char *path, int flags, ...) {                                                     \
    va_list rest;                                                                                  \
    va_start(rest, flags);                                                                         \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                      \
    va_end(rest);                                                                                  \
    FAIL_IF((flags & O_CREAT) && is_below(path), -1);                                              \
    return REAL(name)(path, flags, mode);                                                          \
  }
OPEN(open)
OPEN(open64)

#define FOPEN(name)                                                                                \
  FILE *name(const char *restrict path, const char *restrict mode) {                               \
    FAIL_IF(mode[0] != 'r' && is_below(path), NULL);                                               \
    return REAL(name)(path, mode);                                                                 \
  }
FOPEN(fopen)
FOPEN(fopen64)
