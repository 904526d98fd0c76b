#include "base/blas.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_BUFFERS = 64 };

static char folder[PATH_MAX]; /* of this library */
static BlasTable table;
static bool loaded;
static int buffers;             /* how many products have their memory */
static int most = MOST_BUFFERS; /* as many will have it at most */

void blas_prepare(void) {
  Dl_info here;
  if (!dladdr(&loaded, &here) || !realpath(here.dli_fname, folder)) folder[0] = 0;
  char *slash = strrchr(folder, '/');
  if (slash) *slash = 0;
}

/* ---- loading ---- */

/* A variable of the environment for the time of a call; what the user has set is set again
 * afterwards, for the programs that this one starts. */
typedef struct Told {
  const char *name, *value;
  char *before;
  bool is_told;
} Told;

static bool tell(Told *t) {
  const char *set = getenv(t->name);
  t->before = set ? strdup(set) : NULL;
  if (set && !t->before) return false;
  return t->is_told = setenv(t->name, t->value, 1) == 0;
}

static void tell_no_more(Told *t) {
  if (t->is_told && t->before) setenv(t->name, t->before, 1);
  else if (t->is_told) unsetenv(t->name);
  free(t->before);
}

/* Of a processor that came after it OpenBLAS knows nothing and takes its kernels for SSE, with
 * which linear algebra takes twice the time. So it is told those of the processor's instruction
 * set, unless the user has said which; for processors that it knows its own choice has the same
 * ones or such as are within 5 %. A name that it does not know it passes over. NULL: it chooses. */
static const char *kernels_wanted(void) {
  const char *set = getenv("OPENBLAS_CORETYPE");
  if (set && *set) return NULL;
#ifdef LATENT_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
  return NULL;
}

/* OpenBLAS starts its threads while it is loaded: it is told before to start none. */
static void *open_alone(const char *path) {
  Told threads = {.name = "OPENBLAS_NUM_THREADS", .value = "1"};
  Told kernels = {.name = "OPENBLAS_CORETYPE", .value = kernels_wanted()};
  void *library = NULL;
  if (tell(&threads) && (!kernels.value || tell(&kernels)))
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  tell_no_more(&kernels);
  tell_no_more(&threads);
  return library;
}

static bool load(Error *e) {
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s/blas.so", folder);
  void *library = open_alone(path);
  void *fill = library ? dlsym(library, BLAS_FILL) : NULL;
  if (!fill) {
    const char *why = dlerror();
    return error_set(e, "the BLAS cannot be loaded: %s", why ? why : "out of memory");
  }
  BlasFill *function;
  memcpy(&function, &fill, sizeof function); /* ISO C has no cast from an object to a function */
  function(&table);
  if (table.set_threads) table.set_threads(1); /* where another had loaded it before */
  return loaded = true;
}

/* ---- the memory of products ----
 *
 * OpenBLAS takes the memory of a product when it begins, a hundred megabytes of addresses, and
 * where the system refuses it asks again, for ever. So it is made to take as much as all threads
 * will need at once, here, after it has been seen that the system grants it. How much that is only
 * it knows. */

/* Is there much more than any known OpenBLAS asks for? */
static bool plenty(int n) {
  const size_t each = (size_t)256 << 20;
  if ((size_t)n > SIZE_MAX / each) return false;
  void *p =
      mmap(NULL, (size_t)n * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return false;
  munmap(p, (size_t)n * each);
  return true;
}

/* In a child with this process's memory and limits: takes buffers, and writes a byte for each. */
static void rehearse(int n, int out) {
  signal(SIGALRM, SIG_DFL); /* never outlives a parent that was killed */
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  alarm(60);
  for (int i = 0; i < n; i++) {
    table.take_buffer(0);
    if (write(out, "", 1) != 1) break;
  }
  _exit(0);
}

/* The next byte; false where none comes within a second: the child asks for ever, or has ended.
 */
static bool next_byte(int in) {
  struct pollfd wait = {.fd = in, .events = POLLIN};
  char byte;
  int ready;
  do ready = poll(&wait, 1, 1000);
  while (ready < 0 && errno == EINTR);
  return ready == 1 && read(in, &byte, 1) == 1;
}

/* How many of n buffers does the system grant? */
static int granted(int n) {
  int end[2], count = 0;
  if (plenty(n)) return n;
  if (pipe(end) != 0) return 0;
  pid_t child = fork();
  if (child == 0) rehearse(n, end[1]);
  close(end[1]);
  if (child > 0) {
    while (count < n && next_byte(end[0])) count++;
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
  }
  close(end[0]);
  return count;
}

/* Makes `buffers` n, or as near as the system allows. What it has refused once is not asked for
 * again, unless nothing goes without. */
static void reserve(int n) {
  void *buffer[MOST_BUFFERS];
  if (n > most) n = most;
  if (n <= buffers) return;
  if (table.take_buffer && table.give_buffer) {
    int wanted = n;
    n = granted(wanted);
    if (n > 1 && n < wanted) n--; /* the rest needs memory too */
    if (n < wanted && n + buffers > 0) most = n > buffers ? n : buffers;
    for (int i = 0; i < n; i++) buffer[i] = table.take_buffer(0);
    for (int i = 0; i < n; i++) table.give_buffer(buffer[i]);
  }
  if (n > buffers) buffers = n;
}

const BlasTable *blas_ready(int *threads, Error *e) {
  if (!loaded && !load(e)) return NULL;
  reserve(*threads);
  if (buffers == 0) {
    error_set(e, "out of memory: the BLAS needs more than the system grants");
    return NULL;
  }
  if (*threads > buffers) *threads = buffers;
  return &table;
}

bool blas_is_loaded(void) { return loaded; }

bool blas_describe(char *text, size_t size, Error *e) {
  int threads = 1;
  if (!blas_ready(&threads, e)) return false;
  const char *config = table.config ? table.config() : "a BLAS that is not OpenBLAS";
  const char *core = table.core_name ? table.core_name() : "of unknown name";
  /* The configuration begins with name and version. */
  const char *space = strchr(config, ' '), *end = space ? strchr(space + 1, ' ') : NULL;
  if (!table.config || !end) end = config + strlen(config);
  snprintf(text, size, "%.*s, kernel %s", (int)(end - config), config, core);
  return true;
}
