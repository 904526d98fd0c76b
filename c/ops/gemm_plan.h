/* Floor 3: how a matrix product is computed: which way round, as what, cut into which jobs. None of
 * this changes a bit of the result but the choice of dot products, which is made by the sizes: sums
 * are never cut but at TILE_DEPTH, so the jobs may depend on the number of threads. */
#ifndef LATENT_GEMM_PLAN_H
#define LATENT_GEMM_PLAN_H

#include "base/shortcuts.h"
#include "ops/gemm.h"
#include "simd/gemm_dot.h"
#include "simd/gemm_pack.h"

enum {
  BLOCK_PANELS = TILE_ROWS > 4 ? 8 : 12, /* rows of a job: its part of a fits the second cache */
  BLOCK_STRIPS = TILE_TURNS ? 512 : 32,  /* columns of a job, in strips */
  /* So few panels stay together, so that each strip of b has one job, ... */
  THIN_PANELS = 192 / TILE_ROWS,
  THIN_JOBS = 8,     /* ... where there are as many jobs all the same, one for each thread; */
  TURNED_PANELS = 4, /* so few that b is turned over within the jobs, however few these are */
  FLAT_STRIPS = TILE_TURNS ? 12 : 4, /* so few strips, so that each panel of a has one job; ... */
  FLAT_NUMBERS = 1 << 17, /* ... not much more than one a thread, where all pass more of b */
  JOBS = 64,              /* as many jobs are made, as long as ... */
  JOB_PRODUCTS = 1 << 19, /* ... each has twice as many products; */
  TURNING_JOBS = 8,       /* for turning tiles so many a thread: with all columns a job packs a */
  RESULT_PRODUCTS = 32,   /* what writing a number of c costs, in products, ... */
  TURNED_PRODUCTS = 16,   /* ... and turning one of b */
  DEEP_LEAST = 8,         /* blocks of depth from which on a product may be cut by these, ... */
  DEEP_NUMBERS = 1 << 17, /* ... as long as the sums of all are no more than that */
  SMALL_COLUMNS = 128,    /* the most of a small product */
  /* From so many products, columns and terms on turning tiles are worth packing a. */
  TURNING_PRODUCTS = 1 << 16,
  TURNING_COLUMNS = 4 * TILE_COLUMNS,
  TURNING_DEPTH = 24,
  PAGE = 4096 / (int)sizeof(real)
};

typedef enum Way { BY_DOTS, SMALL, IN_BLOCKS } Way;

/* A product with strides in the place of transpositions. Its columns are cut into strips, of which
 * the first `direct` are read where they lie, the first `wide` of them in long pieces. */
typedef struct Plan {
  Way way;
  int64_t m, n, k, count;
  Part a, b;
  int64_t a_next, b_next, c_next;
  real *c;
  int64_t c_row, c_column;
  const real *bias;
  bool bias_rows, add;
  int64_t panels, strips, depths; /* of rows, of columns, of the products of a sum */
  int64_t direct, wide, wide_columns;
  TileFunction *wide_tile;
  bool a_in_job, b_in_job; /* packed by the one job that wants it */
  bool a_lies;             /* a is read as it lies: one panel or two, dense along the depth */
  bool deep;               /* a job has one block of depth; `sums`: those of all but the first */
  real *packed_a, *packed_b, *sums;
  int64_t packed, own; /* numbers in memory: for all jobs, and of each of them */
  int64_t block_panels, block_strips, row_blocks, column_blocks; /* jobs */
  int64_t work;                                                  /* of one, in products */
} Plan;

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t parts(int64_t n, int64_t size) { return (n + size - 1) / size; }

/* Panels are equally high, as far as that goes; ... */
static int64_t equal_row(const Plan *p, int64_t panel) { return p->m * panel / p->panels; }
/* ... packed ones as high as can be where the highest tile is the better one by far. */
static int64_t panel_row(const Plan *p, int64_t panel) {
  return TILE_TURNS ? min(panel * TILE_ROWS, p->m) : equal_row(p, panel);
}

static int64_t strip_column(const Plan *p, int64_t strip) {
  int64_t wide = min(strip, p->wide);
  return wide * p->wide_columns + (strip - wide) * TILE_COLUMNS;
}

static int64_t packed_strips(const Plan *p) { return p->strips - p->direct; }

/* How many panels are packed before the jobs. */
static int64_t panels_of_a(const Plan *p) {
  return p->a_in_job || p->a_lies ? 0 : p->count * p->depths * p->panels;
}
static int64_t panels_of_b(const Plan *p) {
  return p->b_in_job ? 0 : (p->b_next == 0 ? 1 : p->count) * p->depths * packed_strips(p);
}

/* ---- small products ---- */

enum { MOST_PANELS = THIN_PANELS > BLOCK_PANELS ? THIN_PANELS : BLOCK_PANELS };

/* Those of which nothing is worth packing: a is read where it lies, and b where its rows are dense
 * and can be read in parts. The products of a batch are shared out whole. */
static bool is_small(const Plan *p) {
  bool wide = p->m <= WIDE_ROWS && p->n > TILE_COLUMNS;
  bool turns = TILE_TURNS && p->n >= TURNING_COLUMNS && p->k >= TURNING_DEPTH;
  return !wide && p->k <= TILE_DEPTH && p->n <= SMALL_COLUMNS && p->m <= MOST_PANELS * TILE_ROWS &&
         p->m * p->n * p->k < (turns ? TURNING_PRODUCTS : 2 * JOB_PRODUCTS) &&
         shortcut(PRODUCT_SMALL);
}

static bool lies_small(const Plan *p) {
  int64_t rest = p->n % TILE_COLUMNS;
  return p->b.column == 1 && (PARTS_LOAD || rest % LANES == 0);
}

static void plan_small(Plan *p) {
  p->way = SMALL;
  p->panels = parts(p->m, TILE_ROWS);
  p->strips = parts(p->n, TILE_COLUMNS);
  p->own = lies_small(p) ? 0 : p->strips * TILE_COLUMNS * p->k;
}

/* ---- few columns: dot products ---- */

static bool is_dots(const Plan *p) {
  bool deep = p->k >= DOT_DEPTH || p->b.row == 1;
  return deep && p->n <= DOT_COLUMNS && p->a.column == 1 && shortcut(PRODUCT_BY_DOTS);
}

static void plan_dots(Plan *p) {
  p->way = BY_DOTS;
  if (p->b.row != 1) p->packed = (p->b_next == 0 ? 1 : p->count) * p->n * p->k;
}

/* ---- panels and strips ---- */

/* For one panel of rows, or two, those of b are read where they lie, for few of them in long
 * pieces. The last columns of b are packed all the same where they are no whole vector. */
static void plan_strips(Plan *p) {
  bool apart = p->b.row % PAGE != 0; /* else b's rows evict one another from the caches */
  int64_t most = apart ? 2 * TILE_ROWS : TILE_ROWS;
  bool few = p->b.column == 1 && p->m <= most && shortcut(PRODUCT_DIRECT);
  bool far = p->m == 1 && p->n >= LONG_LEAST;
  p->wide_columns = far ? long_columns(p->n) : WIDE_COLUMNS;
  p->wide_tile = far ? long_1 : p->m <= WIDE_ROWS ? wide_tiles[p->m] : NULL;
  p->wide = few && p->wide_tile ? p->n / p->wide_columns : 0;
  int64_t left = p->n - p->wide * p->wide_columns;
  p->strips = p->wide + parts(left, TILE_COLUMNS);
  bool whole = left % LANES == 0;
  p->direct = few ? p->wide + (whole ? parts(left, TILE_COLUMNS) : left / TILE_COLUMNS) : 0;
}

/* What has few panels is cut by columns first, so that each strip of b has one job, which packs it.
 * Where b has to be turned over for that, as long as the strips share the threads well. */
static bool is_thin(const Plan *p) {
  if (p->panels > THIN_PANELS || (p->m > p->n && p->strips <= FLAT_STRIPS)) return false;
  int64_t well = 2 * (int64_t)parallel_threads();
  return p->b.column == 1 || p->panels <= TURNED_PANELS || p->strips >= well;
}

/* Rows and columns are cut until there are jobs enough, what has few strips by rows. */
static void plan_jobs(Plan *p) {
  int64_t threads = parallel_threads(), few = threads < THIN_JOBS ? THIN_JOBS : threads;
  bool thin = is_thin(p), flat = !thin && p->strips <= FLAT_STRIPS, dense = p->b.column == 1;
  bool far = flat && p->n * p->k > FLAT_NUMBERS;
  int64_t least = thin && !dense ? p->panels : thin || flat ? 2 : 1;
  int64_t many = TILE_TURNS ? min(JOBS, TURNING_JOBS * threads) : JOBS;
  p->block_panels = thin ? p->panels : BLOCK_PANELS;
  p->block_strips = min(BLOCK_STRIPS, p->strips);
  for (;;) {
    p->row_blocks = parts(p->panels, p->block_panels);
    p->column_blocks = parts(p->strips, p->block_strips);
    int64_t rows = p->block_panels * TILE_ROWS, columns = p->block_strips * TILE_COLUMNS;
    p->work = rows * columns * (p->k + RESULT_PRODUCTS);
    if (thin && !dense) p->work += columns * p->k * TURNED_PRODUCTS;
    int64_t jobs = p->count * p->row_blocks * p->column_blocks;
    bool enough = jobs >= (far || (thin && p->block_strips == 1) ? few : many);
    if (enough || p->work < 2 * (int64_t)JOB_PRODUCTS) break;
    bool by_columns = thin || p->block_panels <= least || (!flat && columns > rows);
    if (by_columns && p->block_strips > 1) p->block_strips = (p->block_strips + 1) / 2;
    else if (p->block_panels > least) p->block_panels = (p->block_panels + 1) / 2;
    else break;
  }
  p->a_in_job = p->column_blocks == 1;
  p->b_in_job = (p->row_blocks == 1 || (thin && dense)) && (p->count == 1 || p->b_next != 0);
}

/* Where rows and columns make few jobs of much depth, each block of depth is a job, or several: all
 * of b is read once, in its order. What the blocks leave is added up in theirs, as one job would
 * have done. */
static void plan_deep(Plan *p) {
  int64_t jobs = p->count * p->row_blocks * p->column_blocks;
  bool whole = p->c_row == 1 ? p->c_column == p->m : p->c_row == p->n;
  p->deep = p->count == 1 && whole && p->depths >= DEEP_LEAST && p->panels <= MOST_PANELS &&
            jobs < JOBS && p->work >= 4 * (int64_t)JOB_PRODUCTS &&
            (p->depths - 1) * p->m * p->n <= DEEP_NUMBERS;
  if (!p->deep) return;
  p->a_in_job = p->b_in_job = true;
  p->block_panels = p->panels;
  p->row_blocks = 1;
  for (p->block_strips = p->strips;; p->block_strips = (p->block_strips + 1) / 2) {
    int64_t columns = p->block_strips * TILE_COLUMNS;
    p->column_blocks = parts(p->strips, p->block_strips);
    p->work = columns * (p->m * (TILE_DEPTH + RESULT_PRODUCTS) +
                         (p->b.column == 1 ? 0 : TILE_DEPTH * TURNED_PRODUCTS));
    bool enough = p->depths * p->column_blocks >= JOBS || p->work < 2 * (int64_t)JOB_PRODUCTS;
    if (enough || p->block_strips == 1) break;
  }
}

static void plan_blocks(Plan *p) {
  p->way = IN_BLOCKS;
  p->depths = parts(p->k, TILE_DEPTH);
  p->panels = parts(p->m, TILE_ROWS);
  plan_strips(p);
  plan_jobs(p);
  plan_deep(p);
  p->a_lies = !TILE_TURNS && p->a.row == 1 && p->a.column == p->m && p->panels <= 2;
  if (p->a_lies) p->a_in_job = false;
  p->packed = panels_of_a(p) * PANEL_A + panels_of_b(p) * PANEL_B;
  if (p->deep) p->packed += (p->depths - 1) * p->m * p->n;
  p->own = (p->a_in_job ? p->block_panels * PANEL_A : 0) + (p->b_in_job ? PANEL_B : 0);
}

/* ---- which way round ---- */

/* What the tiles of m rows and n columns cost beside the products that they make: each takes at
 * least the time that its first sum needs. */
static double cost(int64_t m, int64_t n) {
  enum { LATENCY = 8 };
  int64_t panels = parts(m, TILE_ROWS), vecs = parts(n, LANES);
  double height = (double)m / (double)panels, whole = (double)(vecs / TILE_VECS);
  double full = height * TILE_VECS > LATENCY ? height * TILE_VECS : LATENCY;
  double rest = height * (double)(vecs % TILE_VECS);
  double part = rest > LATENCY ? rest : rest > 0 ? LATENCY : 0;
  return (double)panels * (whole * full + part);
}

/* What it costs to lay numbers out anew, turned over or as they are: vectors of them are loaded,
 * shuffled and stored. */
static double laying(double numbers, bool turned) {
  int shuffles = 0;
  while (turned && 1 << shuffles < LANES) shuffles++;
  return numbers * 0.6 * (shuffles + 2) / LANES;
}

/* The same for panels of a: for turning tiles it is done by depth, and twice. */
static double laying_a(double numbers, bool by_depth) {
  return TILE_TURNS ? 1.5 * laying(numbers, !by_depth) : laying(numbers, false);
}

/* Turned over, c is written by columns; rows whole pages apart evict one another then. */
static bool is_better_over(const Product *p) {
  if (p->m > 4 * TILE_COLUMNS && p->n > 4 * TILE_COLUMNS) return false;
  /* These would become dot products, of other bits than those of more rows. */
  if (p->n == 1 && p->m <= DOT_COLUMNS) return false;
  if (!shortcut(PRODUCT_OVER)) return false;
  double m = (double)p->m, n = (double)p->n, k = (double)p->k;
  double straight = cost(p->m, p->n) * k + laying_a(m * k, p->a_transposed);
  double over = cost(p->n, p->m) * k + laying_a(n * k, !p->b_transposed);
  if (p->b_transposed) straight += laying(k * n, true);
  if (!p->a_transposed) over += laying(k * m, true);
  over += laying(m * n, true) * (p->n % PAGE == 0 ? 8 : 1);
  return over < 0.95 * straight;
}

static Plan plan_of(const Product *p) {
  Plan plan = {.m = p->m,
               .n = p->n,
               .k = p->k,
               .count = p->count,
               .a = p->a_transposed ? (Part){p->a, 1, p->m} : (Part){p->a, p->k, 1},
               .b = p->b_transposed ? (Part){p->b, 1, p->k} : (Part){p->b, p->n, 1},
               .a_next = p->a_next,
               .b_next = p->b_next,
               .c_next = p->c_next,
               .c = p->c,
               .c_row = p->n,
               .c_column = 1,
               .bias = p->bias,
               .add = p->add};
  bool few_over = p->m <= DOT_COLUMNS && p->b_transposed && shortcut(PRODUCT_BY_DOTS);
  if (is_dots(&plan) || (!few_over && !is_better_over(p))) return plan;
  Plan over = plan;
  over.m = plan.n, over.n = plan.m;
  over.a = (Part){plan.b.from, plan.b.column, plan.b.row};
  over.b = (Part){plan.a.from, plan.a.column, plan.a.row};
  over.a_next = plan.b_next, over.b_next = plan.a_next;
  over.c_row = 1, over.c_column = p->n;
  over.bias_rows = true;
  return over;
}

#endif
