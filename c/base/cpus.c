#include "base/cpus.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- lines and words of the system's files ---- */

/* Calls `see` with each line of folder/name. */
typedef void See(char *line, void *context);
static void each_line(const char *folder, const char *name, See *see, void *context) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return;
  FILE *file = fopen(path, "re");
  char *line = NULL;
  size_t room = 0;
  if (!file) return;
  while (getline(&line, &room, file) > 0) {
    line[strcspn(line, "\n")] = 0;
    see(line, context);
  }
  free(line);
  fclose(file);
}

/* Is the word one of a list separated by commas? */
static bool listed(const char *list, const char *word) {
  size_t length = strlen(word);
  for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
    if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == 0)) return true;
  return false;
}

/* Spaces in the paths of mountinfo are written \040, backslashes \134, and so on. */
static void unescape(char *text) {
  char *to = text;
  for (const char *at = text; *at; to++) {
    unsigned code;
    if (*at == '\\' && sscanf(at + 1, "%3o", &code) == 1) *to = (char)code, at += 4;
    else *to = *at++;
  }
  *to = 0;
}

/* ---- cgroups: version 2 has one tree, version 1 one for each set of controllers ---- */

typedef struct Search {
  bool unified;        /* looking for version 2 */
  char path[PATH_MAX]; /* of the process's cgroup, in the whole tree */
  double quota;
} Search;

/* A line of `cgroup`: "0::/path" of version 2, "4:cpu,cpuacct:/path" of version 1. */
static void see_cgroup(char *line, void *context) {
  Search *s = context;
  char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
  if (!path) return;
  *controllers++ = *path++ = 0;
  if (s->unified ? strcmp(line, "0") == 0 && !*controllers : listed(controllers, "cpu"))
    snprintf(s->path, sizeof s->path, "%s", path);
}

typedef struct Numbers {
  double value[2];
  int count;
} Numbers;

static void see_numbers(char *line, void *context) {
  Numbers *n = context;
  n->count = sscanf(line, "%lf %lf", &n->value[0], &n->value[1]); /* "max" is none */
}

/* quota / period, as a cgroup's own files tell it. */
static double quota_of(const char *folder, bool unified) {
  Numbers quota = {0}, period = {0};
  if (unified) {
    each_line(folder, "cpu.max", see_numbers, &quota);
    return quota.count == 2 && quota.value[0] > 0 && quota.value[1] > 0
               ? quota.value[0] / quota.value[1]
               : INFINITY;
  }
  each_line(folder, "cpu.cfs_quota_us", see_numbers, &quota);
  each_line(folder, "cpu.cfs_period_us", see_numbers, &period);
  return quota.count > 0 && period.count > 0 && quota.value[0] > 0 && period.value[0] > 0
             ? quota.value[0] / period.value[0]
             : INFINITY; /* -1 is no limit */
}

/* Every cgroup limits what is below it: from the process's own up to the root of what is mounted.
 */
static void climb(Search *s, const char *root, const char *mount) {
  char folder[2 * PATH_MAX];
  size_t top = strlen(mount), skipped = strcmp(root, "/") == 0 ? 0 : strlen(root);
  const char *below = s->path + skipped;
  /* In a container without a namespace of its own, what is mounted is the container's cgroup. */
  if (strncmp(s->path, root, skipped) != 0 || (*below && *below != '/') || strstr(s->path, "/.."))
    below = "";
  snprintf(folder, sizeof folder, "%s%s", mount, below);
  for (;;) {
    s->quota = fmin(s->quota, quota_of(folder, s->unified));
    char *slash = strrchr(folder, '/');
    if (!slash || (size_t)(slash - folder) < top) return;
    *slash = 0;
  }
}

/* A line of `mountinfo`: number, parent, device, root, mount point, options, ..., -, type, source,
 * and the file system's options. */
static void see_mount(char *line, void *context) {
  Search *s = context;
  char root[PATH_MAX], mount[PATH_MAX], type[32], options[1024] = "";
  char *rest = strstr(line, " - ");
  if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount) != 2) return;
  if (sscanf(rest, " - %31s %*s %1023s", type, options) < 1) return;
  if (s->unified ? strcmp(type, "cgroup2") != 0
                 : strcmp(type, "cgroup") != 0 || !listed(options, "cpu"))
    return;
  unescape(root);
  unescape(mount);
  climb(s, root, mount);
}

double cpus_quota(const char *folder) {
  double quota = INFINITY;
  for (int version = 1; version <= 2; version++) {
    Search s = {.unified = version == 2, .quota = INFINITY};
    each_line(folder, "cgroup", see_cgroup, &s);
    if (s.path[0]) each_line(folder, "mountinfo", see_mount, &s);
    quota = fmin(quota, s.quota);
  }
  return quota;
}

int cpus_available(const char **why) {
  int count = (int)sysconf(_SC_NPROCESSORS_ONLN);
  *why = "the processors of this machine";
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < count) {
    count = CPU_COUNT(&set);
    *why = "the processors that this process may use";
  }
  /* Rounded down: workers wait for one another, and one whose time is used up stops all of them. */
  double quota = cpus_quota("/proc/self");
  if (quota < count) {
    count = (int)quota;
    *why = "the CPU quota of this process's cgroup";
  }
#endif
  return count < 1 ? 1 : count;
}
