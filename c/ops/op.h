/* Floor 3: what an operation is. Every differentiable formula of the library is one constant Op,
 * forward beside backward, in a file of c/ops. The table drives the Lua binding, the reference and
 * the specs. Knows tensors and threads; nothing of the graph or of Lua.
 *
 * Types. A row says nothing of float32 and float64: its file is compiled for each, `real` is the
 * type there, and an application runs the row of its inputs' type. The rule, which dispatch.c
 * carries out, looks at all inputs but places (OP_PLACES), which may have any type:
 * - one floating type: the row of that type. Two of them are an error.
 * - whole types (u8, i64) alone: the row of that name in whole.c, where there is one; its inputs
 * are then i64 (a u8 is widened), but for OP_ANY, which takes them as they are.
 * - otherwise OP_ANY takes whole inputs as they are, also beside floating ones, in the row of the
 *   floating type (the default one where no input is floating); OP_WIDEN gets them converted to
 *   that type; every other row refuses them.
 * The output has the row's type (i64 in whole.c) unless `dtype` says another, such as DTYPE_I64 for
 * places, which forward writes with int64s(y) and others read with place_at. A gradient has the
 * type of its value. */
#ifndef LATENT_OP_H
#define LATENT_OP_H

#include "base/tensor.h"

enum { CALL_INTS = 20, CALL_NUMBERS = 8, CALL_EXTRAS = 8, MAX_FIXED_INPUTS = 5 };

typedef enum {
  PARAM_NUMBER, /* one number */
  PARAM_INT,    /* one int: a whole number */
  PARAM_BOOL,   /* one int: 0 or 1 */
  PARAM_AXIS,   /* one int: counted from 0 here, from 1 or from the end (-1) in Lua; -1 for none,
                   which is a fallback of 0 */
  PARAM_PAIR,   /* two ints: n or {height, width} */
  PARAM_INTS,   /* nine ints: a count, then up to MAX_DIMS whole numbers */
  PARAM_AXES,   /* like PARAM_INTS, axes */
  PARAM_CHOICE  /* one int: position in `choices`, names separated by spaces */
} ParamKind;

/* One parameter. Its values land in Call.number or Call.integer, in the order of the table. */
typedef struct Param {
  const char *name;
  ParamKind kind;
  bool required;
  double fallback; /* what an absent one becomes, as Lua would write it (both halves of a pair) */
  const char *choices;
} Param;

/* The parameters in a row of the op table: PARAMS({"axis", PARAM_AXIS, true, 0, NULL}). */
#define PARAMS(...)                                                                                \
  .params = (const Param[]){__VA_ARGS__},                                                          \
  .param_count = (int)(sizeof((const Param[]){__VA_ARGS__}) / sizeof(Param))

typedef struct Op Op;

/* One application of an op: what it is given, and what it leaves for backward. */
typedef struct Call {
  const Op *op;
  int inputs;
  Dtype dtype; /* of the row: set where the row is chosen */
  /* Absent optional inputs are NULL. In backward an input that the op does not list in `save` is a
   * shell: shape, no data. */
  const Tensor *const *in;
  bool record; /* backward may follow: forward must leave its extras */
  int64_t integer[CALL_INTS];
  double number[CALL_NUMBERS];
  bool later;                 /* where the op can, its last step may wait: see Op.finish */
  Tensor *extra[CALL_EXTRAS]; /* made by forward for backward (argmax, statistics, masks); owned */
} Call;

enum {
  OP_ELEMENTWISE = 1, /* output has the inputs' broadcast shape and may overwrite input 1 */
  OP_BROADCAST = 2,   /* backward fills dx in the OUTPUT's shape; the graph sums it down */
  OP_ANY = 4,         /* takes inputs of every type as they are */
  OP_RESHAPE = 8,     /* backward is the same elements in the input's shape */
  OP_HIDDEN = 16,     /* no public function of its own */
  OP_PLACES = 32,     /* the second input, or the only one, lists places or labels (places.h) */
  OP_WIDEN = 64,      /* gets whole inputs converted to its floating type */
  OP_PART = 128       /* the output stands for a part of its input, but is a copy where no view */
};

/* What may be done in the last pass of an op before it: the sum with another tensor of its shape,
 * then an activation. */
typedef enum { TAIL_NONE, TAIL_ADD, TAIL_RELU, TAIL_LEAKY_RELU } TailKind;

typedef struct Tail {
  TailKind activation;
  double slope;           /* of a leaky one: not below 0, so that the output tells the sign */
  const Tensor *residual; /* what is added first, or NULL; backward: of no data */
  const Tensor *y;        /* backward: the output of the activation */
  const Tensor *more;     /* ... what is to be added to its gradient first, or NULL */
  Tensor *dresidual;      /* ... and where the gradient before the activation goes, or NULL */
} Tail;

enum { SAVE_NONE = 0, SAVE_IN0 = 1, SAVE_IN1 = 2, SAVE_IN2 = 4, SAVE_OUT = 1 << 16 };

struct Op {
  const char *name;
  const char *inputs; /* names separated by spaces, "?" after an optional one, "xs*" for a list */
  const char *doc;    /* one or two sentences and the formula */
  unsigned flags;
  unsigned save;                    /* which inputs, and whether the output, backward reads */
  unsigned (*saves)(const Call *c); /* the same where the parameters tell; NULL: `save` */
  int results; /* how many of forward's extras the caller gets beside the output, as constants */
  const Param *params; /* PARAMS sets both */
  int param_count;
  /* Checks shapes and parameters (the Error names what was expected and what came) and sets the
   * output's shape. NULL: the broadcast shape of all inputs. */
  bool (*shape)(const Call *c, Shape *out, Error *e);
  Dtype (*dtype)(const Call *c); /* of the output; NULL: c->dtype */
  /* Where the output is a view of input 0: the offset in elements, or -1 for "compute it". */
  int64_t (*view)(const Call *c);
  /* Writes every element of y. False when memory is short, or an element is outside the op's domain
   * and is best found while the elements pass by. */
  bool (*forward)(Call *c, Tensor *y, Error *e);
  /* Of an op whose forward ends in a pass over y, that pass, with what follows it; and what goes
   * before, which leaves in the extras all that the pass needs beside the inputs. NULL: it has
   * none.
   */
  bool (*prepare)(Call *c, Error *e);
  bool (*finish)(const Call *c, const Tail *tail, Tensor *y, Error *e);
  /* Writes (not adds) every element of each dx[i] that is not NULL. y is NULL unless SAVE_OUT.
   * NULL: not differentiable. */
  bool (*backward)(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx, Error *e);
  /* The same of an op with `finish`, given the gradient behind its tail; dx[0] and tail->dresidual
   * may be dy or tail->more, but not the same of these. */
  bool (*tail_backward)(const Call *c, const Tail *tail, const Tensor *dy, Tensor *const *dx,
                        Error *e);
  TailKind tail; /* what this op is behind one with `finish` */
  /* Where element k of the output is one of input 0's, which `extra` says: its place, from 0. */
  int64_t (*winner)(const Call *c, int64_t k);
};

#endif
