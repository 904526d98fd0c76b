/* The module latent.mpicore: what lua/latent/mpi.lua needs of MPI. A library of its own, so that
 * the core links none. No call here waits inside MPI: all are begun, and then tested again and
 * again, so that Ctrl-C, a rank that has left and a time limit are seen while others are waited
 * for.
 *
 * A rank that ends with a status other than 0 ends the whole job; with 0 it tells the others that
 * it leaves, and how many calls it has made, so that none of them waits for a call it never makes.
 */
#include "lua/check.h"

#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 28, LEAVING = 1, GRACE = 5, SPINS = 512 };

static struct {
  bool running;
  int rank, size;
  pid_t process;         /* a child made by fork has no place in the job */
  MPI_Comm calls, peers; /* for what all do together, and what two do */
  int64_t made;          /* collective calls so far */
  int64_t *left;         /* by rank: how many it had made when it left; -1 while it is there */
  double *left_at;
  double limit; /* seconds that a call may wait; 0 for ever */
  int look;     /* a Lua function, called while waiting: Ctrl-C raises in it */
} job;

/* ---- results: true, or nil and a message ---- */

static int done(lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static int failed(lua_State *L, int code) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  lua_pushnil(L);
  lua_pushlstring(L, text, (size_t)length);
  return 2;
}

/* ---- waiting ---- */

typedef struct Wait {
  MPI_Request *requests;
  int count;
  int peer; /* the one rank that is waited for; -1 in a collective call */
} Wait;

static void hear_leaving(void) {
  for (;;) {
    int there = 0;
    MPI_Status status;
    if (MPI_Iprobe(MPI_ANY_SOURCE, LEAVING, job.peers, &there, &status) != MPI_SUCCESS || !there)
      return;
    int64_t made = 0;
    MPI_Recv(&made, 1, MPI_INT64_T, status.MPI_SOURCE, LEAVING, job.peers, MPI_STATUS_IGNORE);
    job.left[status.MPI_SOURCE] = made;
    job.left_at[status.MPI_SOURCE] = MPI_Wtime();
  }
}

/* A rank that has left and that this call waits for; -1 where there is none. */
static int missing_rank(const Wait *w) {
  hear_leaving();
  for (int r = 0; r < job.size; r++) {
    if (job.left[r] < 0) continue;
    if (w->peer < 0 && job.left[r] < job.made) return r;
    /* What it sent before may still be on its way. */
    if (w->peer == r && MPI_Wtime() - job.left_at[r] > GRACE) return r;
  }
  return -1;
}

/* 0, or the number of results of a failure. */
static int look_around(lua_State *L, const Wait *w, double begun) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, job.look);
  lua_call(L, 0, 0);
  int missing = missing_rank(w);
  if (missing >= 0) {
    lua_pushnil(L);
    lua_pushfstring(L, "rank %d has ended its program, and rank %d waits for it", missing,
                    job.rank);
    return 2;
  }
  if (job.limit > 0 && MPI_Wtime() - begun > job.limit) {
    lua_pushnil(L);
    lua_pushfstring(L,
                    "rank %d has waited for %d seconds (LATENT_MPI_TIMEOUT): a rank hangs, works "
                    "for longer than that, or cannot be reached",
                    job.rank, (int)job.limit);
    return 2;
  }
  return 0;
}

static int wait_for(lua_State *L, Wait w) {
  double begun = MPI_Wtime(), looked = begun;
  for (unsigned turn = 1;; turn++) {
    int over = 0;
    int code = MPI_Testall(w.count, w.requests, &over, MPI_STATUSES_IGNORE);
    if (code != MPI_SUCCESS) return failed(L, code);
    if (over) return 0;
    if (turn < SPINS) continue;
    sched_yield(); /* there may be more ranks than processors */
    if (turn % 64 != 0) continue;
    double now = MPI_Wtime();
    if (now - begun > 0.5) usleep(200);
    if (now - looked < 0.05) continue;
    looked = now;
    int results = look_around(L, &w, begun);
    if (results) return results;
  }
}

static int wait_one(lua_State *L, int code, MPI_Request *request, int peer) {
  if (code != MPI_SUCCESS) return failed(L, code);
  return wait_for(L, (Wait){request, 1, peer});
}

/* ---- the beginning and the end ---- */

static void say_goodbye(void) {
  size_t n = (size_t)job.size;
  MPI_Request *requests = malloc(2 * n * sizeof *requests);
  if (!requests) return;
  int count = 0, over = 0;
  for (int r = 0; r < job.size; r++) {
    if (r == job.rank) continue;
    MPI_Isend(&job.made, 1, MPI_INT64_T, r, LEAVING, job.peers, &requests[count++]);
    if (job.left[r] < 0)
      MPI_Irecv(&job.left[r], 1, MPI_INT64_T, r, LEAVING, job.peers, &requests[count++]);
  }
  /* Until all have come this far. One that fails in the meantime ends this process, too. */
  while (!over && MPI_Testall(count, requests, &over, MPI_STATUSES_IGNORE) == MPI_SUCCESS)
    if (!over) usleep(500);
  free(requests);
}

/* At the end of the process, when what it had to say of an error has been said. */
static void leave(int status, void *unused) {
  (void)unused;
  if (!job.running || getpid() != job.process) return;
  job.running = false;
  if (status == 0) {
    say_goodbye();
    MPI_Finalize();
  } else {
    fprintf(stderr, "latent: rank %d of %d ended with status %d, and with it the job\n", job.rank,
            job.size, status);
    fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, status);
  }
}

#ifndef __GLIBC__
/* Here the status is not known. The others, who wait for a rank that has failed, hear that it has
 * left, and fail too. */
static void leave_as_done(void) { leave(0, NULL); }
#endif

/* init(look, limit) -> rank, size, library; once, in a process that a launcher of MPI has started
 */
static int l_init(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  job.limit = luaL_checknumber(L, 2);
  int provided = 0, length = 0;
  int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
  if (code != MPI_SUCCESS) return failed(L, code);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_dup(MPI_COMM_WORLD, &job.calls);
  MPI_Comm_dup(MPI_COMM_WORLD, &job.peers);
  MPI_Comm_rank(MPI_COMM_WORLD, &job.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &job.size);
  job.left = malloc((size_t)job.size * sizeof *job.left);
  job.left_at = calloc((size_t)job.size, sizeof *job.left_at);
  if (!job.left || !job.left_at) return luaL_error(L, "mpi: out of memory");
  for (int r = 0; r < job.size; r++) job.left[r] = -1;
  lua_pushvalue(L, 1);
  job.look = luaL_ref(L, LUA_REGISTRYINDEX);
  job.process = getpid();
  job.running = true;
#ifdef __GLIBC__
  on_exit(leave, NULL);
#else
  atexit(leave_as_done);
#endif
  char library[MPI_MAX_LIBRARY_VERSION_STRING];
  MPI_Get_library_version(library, &length);
  lua_pushinteger(L, job.rank);
  lua_pushinteger(L, job.size);
  lua_pushlstring(L, library, (size_t)length);
  return 3;
}

/* abort(status): ends all ranks */
static int l_abort(lua_State *L) {
  int status = (int)luaL_checkinteger(L, 1);
  fflush(NULL);
  job.running = false;
  MPI_Abort(MPI_COMM_WORLD, status);
  return 0;
}

/* limit(seconds) -> what it was before */
static int l_limit(lua_State *L) {
  lua_pushnumber(L, job.limit);
  job.limit = luaL_checknumber(L, 1);
  return 1;
}

/* ---- bytes ---- */

static int l_barrier(lua_State *L) {
  MPI_Request request;
  job.made++;
  int code = MPI_Ibarrier(job.calls, &request);
  int results = wait_one(L, code, &request, -1);
  return results ? results : done(L);
}

/* Everybody's fixed-size block, in the order of the ranks. */
static int all_blocks(lua_State *L, const void *own, void *all, int bytes) {
  MPI_Request request;
  job.made++;
  int code = MPI_Iallgather(own, bytes, MPI_BYTE, all, bytes, MPI_BYTE, job.calls, &request);
  return wait_one(L, code, &request, -1);
}

enum { BLOCK = 256, HEAD = 8 };

static int push_all(lua_State *L, const char *all, const int *counts, const int *places) {
  lua_createtable(L, job.size, 0);
  for (int r = 0; r < job.size; r++) {
    lua_pushlstring(L, all + places[r], (size_t)counts[r]);
    lua_rawseti(L, -2, r + 1);
  }
  return 1;
}

/* The texts that fit into no block: a second call. The table of counts is on the stack. */
static int gather_long(lua_State *L, const char *text, size_t length, int *counts, int *places) {
  int64_t total = 0;
  for (int r = 0; r < job.size; r++) {
    places[r] = (int)total;
    total += counts[r];
    if (total > CHUNK) {
      lua_pushnil(L);
      lua_pushfstring(L, "more than %d bytes in all", CHUNK);
      return 2;
    }
  }
  char *all = lua_newuserdatauv(L, (size_t)total + 1, 0);
  MPI_Request request;
  job.made++;
  int code = MPI_Iallgatherv(text, (int)length, MPI_BYTE, all, counts, places, MPI_BYTE, job.calls,
                             &request);
  int results = wait_one(L, code, &request, -1);
  return results ? results : push_all(L, all, counts, places);
}

/* all_gather(text) -> the texts of all ranks; short ones in a single call */
static int l_all_gather(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  if (length > CHUNK) return luaL_error(L, "more than %d bytes", CHUNK);
  size_t n = (size_t)job.size;
  char own[BLOCK] = {0}, *all = lua_newuserdatauv(L, n * BLOCK, 0);
  int *counts = lua_newuserdatauv(L, 2 * n * sizeof(int), 0), *places = counts + n;
  int64_t size = (int64_t)length;
  memcpy(own, &size, HEAD);
  if (length <= BLOCK - HEAD) memcpy(own + HEAD, text, length);
  int results = all_blocks(L, own, all, BLOCK);
  if (results) return results;
  bool fit = true;
  for (size_t r = 0; r < n; r++) {
    memcpy(&size, all + r * BLOCK, HEAD);
    counts[r] = (int)size;
    places[r] = (int)(r * BLOCK + HEAD);
    fit = fit && size <= BLOCK - HEAD;
  }
  return fit ? push_all(L, all, counts, places) : gather_long(L, text, length, counts, places);
}

/* broadcast_bytes(text at the root, root) -> the root's text */
static int l_broadcast_bytes(lua_State *L) {
  int root = (int)luaL_checkinteger(L, 2);
  size_t length = 0;
  const char *text = root == job.rank ? luaL_checklstring(L, 1, &length) : NULL;
  int64_t size = (int64_t)length;
  MPI_Request request;
  job.made++;
  int results =
      wait_one(L, MPI_Ibcast(&size, 1, MPI_INT64_T, root, job.calls, &request), &request, -1);
  if (results) return results;
  char *bytes = lua_newuserdatauv(L, (size_t)size + 1, 0);
  if (text) memcpy(bytes, text, length);
  for (int64_t at = 0; at < size; at += CHUNK) {
    int count = (int)(size - at < CHUNK ? size - at : CHUNK);
    int code = MPI_Ibcast(bytes + at, count, MPI_BYTE, root, job.calls, &request);
    results = wait_one(L, code, &request, -1);
    if (results) return results;
  }
  lua_pushlstring(L, bytes, (size_t)size);
  return 1;
}

/* send_bytes(text, to, tag) */
static int l_send_bytes(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  int to = (int)luaL_checkinteger(L, 2), tag = (int)luaL_checkinteger(L, 3);
  if (length > CHUNK) return luaL_error(L, "more than %d bytes", CHUNK);
  MPI_Request request;
  int code = MPI_Isend(text, (int)length, MPI_BYTE, to, tag, job.calls, &request);
  int results = wait_one(L, code, &request, to);
  return results ? results : done(L);
}

/* probe(from or -1, tag) -> rank that has sent, or nothing; does not wait */
static int l_probe(lua_State *L) {
  int from = (int)luaL_checkinteger(L, 1), tag = (int)luaL_checkinteger(L, 2), there = 0;
  MPI_Status status;
  int code = MPI_Iprobe(from < 0 ? MPI_ANY_SOURCE : from, tag, job.calls, &there, &status);
  if (code != MPI_SUCCESS) return failed(L, code);
  if (!there) return 0;
  lua_pushinteger(L, status.MPI_SOURCE);
  return 1;
}

/* receive_bytes(from, tag) -> text */
static int l_receive_bytes(lua_State *L) {
  int from = (int)luaL_checkinteger(L, 1), tag = (int)luaL_checkinteger(L, 2), length = 0;
  double begun = MPI_Wtime(), looked = begun;
  MPI_Status status;
  for (int there = 0;;) {
    int code = MPI_Iprobe(from, tag, job.calls, &there, &status);
    if (code != MPI_SUCCESS) return failed(L, code);
    if (there) break;
    double now = MPI_Wtime();
    if (now - begun > 0.5) usleep(200);
    else sched_yield();
    if (now - looked < 0.05) continue;
    looked = now;
    int results = look_around(L, &(Wait){NULL, 0, from}, begun);
    if (results) return results;
  }
  MPI_Get_count(&status, MPI_BYTE, &length);
  char *bytes = lua_newuserdatauv(L, (size_t)length + 1, 0);
  MPI_Request request;
  int code = MPI_Irecv(bytes, length, MPI_BYTE, from, tag, job.calls, &request);
  int results = wait_one(L, code, &request, from);
  if (results) return results;
  lua_pushlstring(L, bytes, (size_t)length);
  return 1;
}

/* ---- tensors, in place ---- */

static Tensor *tensor_at(lua_State *L, int index) {
  Box *box = luaL_checkudata(L, index, META_TENSOR);
  if (!box->var) luaL_error(L, "a closed tensor");
  return box->var->value;
}

static MPI_Datatype type_of(lua_State *L, const Tensor *t) {
  const char *name = dtype_name(t->dtype);
  if (strcmp(name, "float32") == 0) return MPI_FLOAT;
  if (strcmp(name, "float64") == 0) return MPI_DOUBLE;
  if (strcmp(name, "i64") == 0) return MPI_INT64_T;
  if (strcmp(name, "u8") != 0) luaL_error(L, "tensors of %s cannot be sent in place", name);
  return MPI_UINT8_T;
}

static void *piece(const Tensor *t, int64_t at) {
  return (char *)t->data + (size_t)at * dtype_size(t->dtype);
}

static int count_of(const Tensor *t, int64_t at) {
  return (int)(t->numel - at < CHUNK ? t->numel - at : CHUNK);
}

/* broadcast(tensor, root) */
static int l_broadcast(lua_State *L) {
  Tensor *t = tensor_at(L, 1);
  MPI_Datatype type = type_of(L, t);
  int root = (int)luaL_checkinteger(L, 2);
  job.made++;
  for (int64_t at = 0; at < t->numel; at += CHUNK) {
    MPI_Request request;
    int code = MPI_Ibcast(piece(t, at), count_of(t, at), type, root, job.calls, &request);
    int results = wait_one(L, code, &request, -1);
    if (results) return results;
  }
  t->storage->version++;
  return done(L);
}

static MPI_Op op_of(lua_State *L, const char *name) {
  if (strcmp(name, "max") == 0) return MPI_MAX;
  if (strcmp(name, "min") == 0) return MPI_MIN;
  if (strcmp(name, "sum") != 0) luaL_error(L, "unknown operation %s", name);
  return MPI_SUM;
}

/* all_reduce(tensor, "sum" | "max" | "min"), in the order that MPI finds fastest */
static int l_all_reduce(lua_State *L) {
  Tensor *t = tensor_at(L, 1);
  MPI_Datatype type = type_of(L, t);
  MPI_Op op = op_of(L, luaL_checkstring(L, 2));
  job.made++;
  for (int64_t at = 0; at < t->numel; at += CHUNK) {
    MPI_Request request;
    int code =
        MPI_Iallreduce(MPI_IN_PLACE, piece(t, at), count_of(t, at), type, op, job.calls, &request);
    int results = wait_one(L, code, &request, -1);
    if (results) return results;
  }
  t->storage->version++;
  return done(L);
}

enum { TREE = 2, VALUES = 3 };

static int exchange(lua_State *L, const void *out, int64_t send, void *in, int64_t receive,
                    MPI_Datatype type, int peer) {
  MPI_Request requests[2];
  int code = MPI_Irecv(in, (int)receive, type, peer, TREE, job.peers, &requests[0]);
  if (code == MPI_SUCCESS)
    code = MPI_Isend(out, (int)send, type, peer, TREE, job.peers, &requests[1]);
  if (code != MPI_SUCCESS) return failed(L, code);
  return wait_for(L, (Wait){requests, 2, peer});
}

/* x[from + i] += room[i], of two tensors of one floating type */
static void add_piece(Tensor *x, int64_t from, int64_t n, const Tensor *room) {
  if (dtype_size(x->dtype) == sizeof(double)) {
    double *to = piece(x, from);
    const double *more = room->data;
    for (int64_t i = 0; i < n; i++) to[i] += more[i];
  } else {
    float *to = piece(x, from);
    const float *more = room->data;
    for (int64_t i = 0; i < n; i++) to[i] += more[i];
  }
}

/* Sums over a binary tree of the ranks, neighbours first, for sizes that are powers of two: in each
 * round two ranks share what they hold and each adds one half of it, until each has a piece of the
 * total; then the pieces go back the same way. Each element is added up in the order of the tree,
 * whoever adds it, and twice the tensor's bytes pass through each rank, as in any all-reduce. */
static int tree_sum(lua_State *L, Tensor *x, Tensor *room, MPI_Datatype type) {
  int64_t first[32], count[32];
  int rounds = 0, results;
  int64_t from = 0, length = x->numel;
  for (int step = 1; step < job.size; step *= 2, rounds++) {
    int peer = job.rank ^ step;
    int64_t low = length / 2, high = length - low;
    bool lower = (job.rank & step) == 0;
    first[rounds] = from;
    count[rounds] = length;
    int64_t kept = lower ? low : high, given = lower ? high : low;
    results = exchange(L, piece(x, lower ? from + low : from), given, room->data, kept, type, peer);
    if (results) return results;
    if (!lower) from += low;
    length = kept;
    add_piece(x, from, kept, room);
  }
  while (rounds-- > 0) {
    int peer = job.rank ^ (1 << rounds);
    int64_t low = count[rounds] / 2, start = first[rounds];
    bool lower = (job.rank & (1 << rounds)) == 0;
    int64_t theirs = lower ? start + low : start;
    int64_t size = lower ? count[rounds] - low : low;
    results = exchange(L, piece(x, from), length, piece(x, theirs), size, type, peer);
    if (results) return results;
    from = start;
    length = count[rounds];
  }
  return 0;
}

/* tree_sum(tensor, room): the sum over all ranks, in the order of a binary tree; room is a tensor
 * of the same floating type and at least (n + 1) / 2 elements */
static int l_tree_sum(lua_State *L) {
  Tensor *t = tensor_at(L, 1), *room = tensor_at(L, 2);
  MPI_Datatype type = type_of(L, t);
  if ((type != MPI_FLOAT && type != MPI_DOUBLE) || type_of(L, room) != type ||
      t->numel > INT32_MAX || room->numel < (t->numel + 1) / 2 || (job.size & (job.size - 1)) != 0)
    return luaL_error(L, "tree_sum: wrong tensors or number of ranks");
  job.made++;
  int results = tree_sum(L, t, room, type);
  if (results) return results;
  t->storage->version++;
  return done(L);
}

/* send(tensor, to); receive(tensor, from): as parts of a call that all ranks make */
static int pass(lua_State *L, bool sends) {
  Tensor *t = tensor_at(L, 1);
  MPI_Datatype type = type_of(L, t);
  int peer = (int)luaL_checkinteger(L, 2);
  for (int64_t at = 0; at < t->numel; at += CHUNK) {
    MPI_Request request;
    int n = count_of(t, at);
    int code = sends ? MPI_Isend(piece(t, at), n, type, peer, VALUES, job.peers, &request)
                     : MPI_Irecv(piece(t, at), n, type, peer, VALUES, job.peers, &request);
    int results = wait_one(L, code, &request, peer);
    if (results) return results;
  }
  if (!sends) t->storage->version++;
  return done(L);
}
static int l_send(lua_State *L) { return pass(L, true); }
static int l_receive(lua_State *L) { return pass(L, false); }

static const luaL_Reg functions[] = {{"init", l_init},
                                     {"abort", l_abort},
                                     {"limit", l_limit},
                                     {"barrier", l_barrier},
                                     {"all_gather", l_all_gather},
                                     {"broadcast_bytes", l_broadcast_bytes},
                                     {"send_bytes", l_send_bytes},
                                     {"receive_bytes", l_receive_bytes},
                                     {"probe", l_probe},
                                     {"broadcast", l_broadcast},
                                     {"all_reduce", l_all_reduce},
                                     {"tree_sum", l_tree_sum},
                                     {"send", l_send},
                                     {"receive", l_receive},
                                     {NULL, NULL}};

int luaopen_latent_mpicore(lua_State *L);
__attribute__((visibility("default"))) int luaopen_latent_mpicore(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
