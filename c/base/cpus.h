/* Floor 1: how many processors this process may use: by the system's count, its affinity, and the
 * quota of the cgroup that a container put it into. Knows nothing of threads. */
#ifndef LATENT_CPUS_H
#define LATENT_CPUS_H

/* At least 1. *why: what decided, in words. */
int cpus_available(const char **why);

/* The processors' time that the cgroups of a process grant it, in processors; infinity where
 * nothing limits it. `folder` is what the system tells about the process: "/proc/self". */
double cpus_quota(const char *folder);

#endif
