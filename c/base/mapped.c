#include "base/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0 /* macOS: nothing is reserved there in any case */
#endif

static void unmap(Storage *s) {
  munmap(s->data, s->bytes);
  free(s);
}

/* Whether the file has the bytes from offset on. */
static bool has_bytes(int fd, int64_t offset, int64_t bytes, Error *e) {
  struct stat s;
  if (fstat(fd, &s) != 0) return error_set(e, "%s", strerror(errno));
  if (!S_ISREG(s.st_mode)) return error_set(e, "is no plain file");
  if (offset >= 0 && s.st_size >= offset && s.st_size - offset >= bytes) return true;
  return error_set(e, "has %lld bytes, expected %lld from byte %lld on", (long long)s.st_size,
                   (long long)bytes, (long long)offset);
}

static Storage *map(int fd, int64_t start, size_t bytes, Error *e) {
  Storage *s = malloc(sizeof *s);
  if (!s) {
    error_set(e, "out of memory");
    return NULL;
  }
  void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, start);
  if (data == MAP_FAILED) {
    error_set(e, "cannot be mapped: %s", strerror(errno));
    free(s);
    return NULL;
  }
  *s = (Storage){.refs = 1, .bytes = bytes, .data = data, .free = unmap};
  return s;
}

Tensor *mapped_open(const char *path, int64_t offset, Dtype dtype, const Shape *shape, Error *e) {
  if (!shape_check(shape, e)) return NULL;
  int64_t bytes = shape_numel(shape) * (int64_t)dtype_size(dtype);
  if (bytes == 0) return tensor_new(dtype, shape, e);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    error_set(e, "cannot be opened: %s", strerror(errno));
    return NULL;
  }
  Storage *s = NULL;
  int64_t start = offset - offset % sysconf(_SC_PAGESIZE);
  if (has_bytes(fd, offset, bytes, e)) s = map(fd, start, (size_t)(offset - start + bytes), e);
  close(fd); /* the mapping keeps the file */
  return s ? tensor_of(s, dtype, shape, (size_t)(offset - start), e) : NULL;
}
