/* Floor 3: matrix products: the factors are packed into panels, then jobs go through blocks of
 * tiles. A factor that only one job wants is packed there, b by the first tiles that read it. Small
 * products are read as they lie; what has few columns is turned over, so that the tiles are as full
 * as they can be. */
#include "ops/gemm.h"

#include "base/parallel.h"
#include "base/shortcuts.h"
#include "simd/gemm_dot.h"
#include "simd/gemm_pack.h"

enum {
  SLAB_BYTES = 32 << 20, /* the most that is packed at once */
  BLOCK_PANELS = 8,      /* rows of a job, in panels: its part of a fits the second cache */
  BLOCK_STRIPS = 32,     /* columns of a job, in strips */
  /* So few panels stay together, so that each strip of b has one job, ... */
  THIN_PANELS = 192 / TILE_ROWS,
  THIN_JOBS = 8,          /* ... where there are as many jobs all the same; */
  FLAT_STRIPS = 4,        /* so few strips, so that each panel of a has one */
  JOBS = 64,              /* as many jobs are made, as long as ... */
  JOB_PRODUCTS = 1 << 19, /* ... each has twice as many products */
  PACK_JOB = 1 << 15,     /* numbers of a job that packs */
  SMALL_COLUMNS = 128,    /* the most of a small product */
  SMALL_START = 1 << 10,  /* so many products are worth what one needs beside its own */
  PAGE = 4096 / (int)sizeof(real),
  FEW = 4 * PANEL_A + 2 * PANEL_B /* so many packed numbers need no memory from elsewhere */
};

/* A product with strides in the place of transpositions. Its columns are cut into strips, of which
 * the first `direct` are read where they lie, the first `wide` of them in long pieces. */
typedef struct Plan {
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
  real *packed_a, *packed_b;
  int64_t block_panels, block_strips, row_blocks, column_blocks; /* jobs */
} Plan;

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t parts(int64_t n, int64_t size) { return (n + size - 1) / size; }

/* ---- rows, columns and depth, cut ---- */

/* Panels are equally high, as far as that goes. */
static int64_t panel_row(const Plan *p, int64_t panel) { return p->m * panel / p->panels; }

static int64_t strip_column(const Plan *p, int64_t strip) {
  int64_t wide = min(strip, p->wide);
  return wide * p->wide_columns + (strip - wide) * TILE_COLUMNS;
}

static int64_t depth_of(const Plan *p, int64_t block) {
  return min(TILE_DEPTH, p->k - block * TILE_DEPTH);
}

static int64_t packed_strips(const Plan *p) { return p->strips - p->direct; }

static real *panel_of_a(const Plan *p, int64_t z, int64_t depth, int64_t panel) {
  return p->packed_a + ((z * p->depths + depth) * p->panels + panel) * PANEL_A;
}

static real *panel_of_b(const Plan *p, int64_t z, int64_t depth, int64_t strip) {
  int64_t same = p->b_next == 0 ? 0 : z;
  return p->packed_b +
         ((same * p->depths + depth) * packed_strips(p) + strip - p->direct) * PANEL_B;
}

/* ---- packing ---- */

static void pack_panel_a(const Plan *p, int64_t z, int64_t depth, int64_t panel, real *to) {
  int64_t row = panel_row(p, panel), end = panel_row(p, panel + 1);
  Part part = p->a;
  part.from += z * p->a_next + row * part.row + depth * TILE_DEPTH * part.column;
  pack_a(&part, (int)(end - row), depth_of(p, depth), part.column != 1, to);
}

static const real *lying_b(const Plan *p, int64_t z, int64_t depth, int64_t strip) {
  return p->b.from + z * p->b_next + depth * TILE_DEPTH * p->b.row +
         strip_column(p, strip) * p->b.column;
}

static void pack_panel_b(const Plan *p, int64_t z, int64_t depth, int64_t strip, real *to) {
  Part part = p->b;
  part.from = lying_b(p, z, depth, strip);
  pack_b(&part, depth_of(p, depth), (int)min(TILE_COLUMNS, p->n - strip_column(p, strip)), to);
}

/* How many panels are packed before the jobs. */
static int64_t panels_of_a(const Plan *p) {
  return p->a_in_job ? 0 : p->count * p->depths * p->panels;
}
static int64_t panels_of_b(const Plan *p) {
  return p->b_in_job ? 0 : (p->b_next == 0 ? 1 : p->count) * p->depths * packed_strips(p);
}

static void pack_panels(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Plan *p = context;
  int64_t in_a = panels_of_a(p);
  for (int64_t i = begin; i < end; i++) {
    bool of_a = i < in_a;
    int64_t item = of_a ? i : i - in_a, side = of_a ? p->panels : packed_strips(p);
    int64_t at = item % side, depth = item / side % p->depths, z = item / side / p->depths;
    if (of_a) pack_panel_a(p, z, depth, at, panel_of_a(p, z, depth, at));
    else pack_panel_b(p, z, depth, p->direct + at, panel_of_b(p, z, depth, p->direct + at));
  }
}

/* ---- multiplying ---- */

enum { MOST_PANELS = THIN_PANELS > BLOCK_PANELS ? THIN_PANELS : BLOCK_PANELS };

/* The part of a result that a job computes: some panels by some strips, of one product. */
typedef struct Area {
  int64_t z, top, panels, first, last;
  int64_t rows[MOST_PANELS + 1]; /* where the panels begin */
} Area;

/* Where an area reads a strip of b. */
typedef struct Source {
  const real *b;
  int64_t row;
  bool lies;
  real *copy; /* that the first panel makes for the others; NULL: none */
} Source;

static Source source_of(const Plan *p, const Area *area, int64_t depth, int64_t strip, real *own) {
  int64_t left = p->n - strip_column(p, strip);
  if (strip >= p->direct && !p->b_in_job)
    return (Source){panel_of_b(p, area->z, depth, strip), TILE_COLUMNS, false, NULL};
  const real *lying = lying_b(p, area->z, depth, strip);
  if (strip < p->direct) return (Source){lying, p->b.row, true, NULL};
  if (p->b.column == 1 && (left >= TILE_COLUMNS || left == LANES))
    return (Source){lying, p->b.row, true, area->panels > 1 ? own : NULL};
  pack_panel_b(p, area->z, depth, strip, own);
  return (Source){own, TILE_COLUMNS, false, NULL};
}

/* One strip of b by all panels of the area, one depth. */
static void multiply_strip(const Plan *p, const Area *area, int64_t depth, int64_t strip,
                           const real *a, Source s) {
  int64_t column = strip_column(p, strip), width = strip < p->wide ? p->wide_columns : TILE_COLUMNS;
  real *c = p->c + area->z * p->c_next + column * p->c_column;
  Tile t = {.depth = depth_of(p, depth),
            .a_step = TILE_ROWS,
            .b = s.b,
            .b_step = s.row,
            .copy = s.copy,
            .c_row = p->c_row,
            .c_column = p->c_column,
            .columns = (int)min(width, p->n - column),
            .by_depth = p->a.column != 1,
            .add = p->add || depth > 0,
            .bias_rows = p->bias_rows};
  for (int64_t i = 0; i < area->panels; i++, a += PANEL_A) {
    int64_t row = area->rows[i], rows = area->rows[i + 1] - row;
    bool copies = s.copy && i == 0, soon = i < 2; /* the next strip; then the next panel */
    t.a = a;
    t.c = c + row * p->c_row;
    t.next = a + PANEL_A;
    if (soon) t.next = s.lies ? s.b + width + i * TILE_LINE : s.b + PANEL_B + i * (PANEL_B / 2);
    t.next_step = soon && s.lies ? s.row : TILE_LINE;
    t.bias = p->bias ? p->bias + (p->bias_rows ? row : column) : NULL;
    (strip < p->wide ? p->wide_tile : copies ? tiles_copying[rows] : tiles[rows])(&t);
    if (copies) t.b = s.copy, t.b_step = TILE_COLUMNS;
  }
}

/* An area, one depth; `own`: for what this job packs. */
static void multiply_area(const Plan *p, const Area *area, int64_t depth, real *own) {
  const real *a = own;
  if (!p->a_in_job) a = panel_of_a(p, area->z, depth, area->top);
  else
    for (int64_t i = 0; i < area->panels; i++, own += PANEL_A)
      pack_panel_a(p, area->z, depth, area->top + i, own);
  for (int64_t strip = area->first; strip < area->last; strip++)
    multiply_strip(p, area, depth, strip, a, source_of(p, area, depth, strip, own));
}

/* A strip of b stays in the first cache while the panels of a pass it. */
static void multiply_block(void *context, int64_t begin, int64_t end, int thread) {
  const Plan *p = context;
  for (int64_t job = begin; job < end; job++) {
    int64_t rest = job / p->row_blocks;
    Area area = {.z = rest / p->column_blocks,
                 .top = job % p->row_blocks * p->block_panels,
                 .first = rest % p->column_blocks * p->block_strips};
    area.panels = min(p->block_panels, p->panels - area.top);
    area.last = min(area.first + p->block_strips, p->strips);
    for (int64_t i = 0; i <= area.panels; i++) area.rows[i] = panel_row(p, area.top + i);
    for (int64_t depth = 0; depth < p->depths; depth++)
      multiply_area(p, &area, depth, parallel_scratch(thread));
  }
}

/* ---- small products ---- */

/* Those of which nothing is worth packing: a is read where it lies, and b where its rows are dense
 * and can be read in parts. The products of a batch are shared out whole. */
static bool is_small(const Plan *p) {
  bool wide = p->m <= WIDE_ROWS && p->n > TILE_COLUMNS;
  return !wide && p->k <= TILE_DEPTH && p->n <= SMALL_COLUMNS && p->m <= MOST_PANELS * TILE_ROWS &&
         p->m * p->n * p->k < 2 * JOB_PRODUCTS && shortcut(PRODUCT_SMALL);
}

static bool lies_small(const Plan *p) {
  int64_t rest = p->n % TILE_COLUMNS;
  return p->b.column == 1 && (PARTS_LOAD || rest == 0 || rest == LANES);
}

static void small_tile(const Plan *p, const int64_t *rows, int64_t z, int64_t panel, int64_t column,
                       Tile *t) {
  int64_t row = rows[panel];
  t->columns = (int)min(TILE_COLUMNS, p->n - column);
  t->a = p->a.from + z * p->a_next + row * p->a.row;
  t->c = p->c + z * p->c_next + row * p->c_row + column * p->c_column;
  t->bias = p->bias ? p->bias + (p->bias_rows ? row : column) : NULL;
  tiles_lying[rows[panel + 1] - row](t);
}

/* One of a batch. Rows of a that lie side by side share lines of the cache, which stay there while
 * the strips of b pass; else a strip stays while the panels of a pass. */
static void small_product(const Plan *p, const int64_t *rows, int64_t z, const real *b,
                          int64_t strip_step, Tile *t) {
  bool by_panels = p->a.column != 1;
  int64_t outer = by_panels ? p->panels : p->strips, inner = by_panels ? p->strips : p->panels;
  for (int64_t i = 0; i < outer; i++)
    for (int64_t j = 0; j < inner; j++) {
      int64_t panel = by_panels ? i : j, strip = by_panels ? j : i;
      t->b = b + strip * strip_step;
      small_tile(p, rows, z, panel, strip * TILE_COLUMNS, t);
    }
}

static void multiply_small(void *context, int64_t begin, int64_t end, int thread) {
  const Plan *p = context;
  int64_t rows[MOST_PANELS + 1], turned = TILE_COLUMNS * p->k;
  for (int64_t i = 0; i <= p->panels; i++) rows[i] = panel_row(p, i);
  bool lies = lies_small(p);
  real *own = parallel_scratch(thread);
  Tile t = {.depth = p->k,
            .a_row = p->a.row,
            .a_step = p->a.column,
            .b_step = lies ? p->b.row : TILE_COLUMNS,
            .next_step = TILE_LINE,
            .c_row = p->c_row,
            .c_column = p->c_column,
            .add = p->add,
            .bias_rows = p->bias_rows};
  for (int64_t z = begin; z < end; z++) {
    const real *b = p->b.from + z * p->b_next;
    t.next = b + p->b_next;
    if (!lies && (z == begin || p->b_next != 0))
      for (int64_t strip = 0; strip < p->strips; strip++)
        pack_panel_b(p, z, 0, strip, own + strip * turned);
    if (lies) small_product(p, rows, z, b, TILE_COLUMNS, &t);
    else small_product(p, rows, z, own, turned, &t);
  }
}

static bool run_small(Plan *p, Error *e) {
  p->panels = parts(p->m, TILE_ROWS);
  p->strips = parts(p->n, TILE_COLUMNS);
  int64_t own = lies_small(p) ? 0 : p->strips * TILE_COLUMNS * p->k;
  if (!parallel_reserve(own * (int64_t)sizeof(real))) return error_set(e, "out of memory");
  parallel_for(p->count, parts(JOB_PRODUCTS, p->m * p->n * p->k + SMALL_START), multiply_small, p);
  return true;
}

/* ---- few columns: dot products ---- */

/* b, (columns, depth): where it does not lie so, it has been copied. */
static const real *columns_of_b(const Plan *p, int64_t z, int64_t *row) {
  *row = p->packed_b ? p->k : p->b.column;
  if (!p->packed_b) return p->b.from + z * p->b_next;
  return p->packed_b + (p->b_next == 0 ? 0 : z) * p->n * p->k;
}

static void write_dots(const Plan *p, int64_t z, int64_t row, int64_t rows, const real *sums) {
  real *c = p->c + z * p->c_next + row * p->c_row;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < p->n; j++) {
      real *to = c + i * p->c_row + j * p->c_column;
      real start = p->add ? *to : p->bias ? p->bias[p->bias_rows ? row + i : j] : 0;
      *to = sums[i * DOT_COLUMNS + j] + start;
    }
}

static void multiply_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Plan *p = context;
  real sums[DOT_ROWS * DOT_COLUMNS];
  for (int64_t at = begin, rows; at < end; at += rows) {
    int64_t z = at / p->m, row = at % p->m, left = min(end - at, p->m - row);
    Dots d = {.depth = p->k, .x_row = p->a.row, .sums = sums};
    d.x = p->a.from + z * p->a_next + row * p->a.row;
    d.y = columns_of_b(p, z, &d.y_row);
    rows = left >= DOT_ROWS ? DOT_ROWS : 1;
    (rows == 1 ? dots_row : dots_rows)[p->n](&d);
    write_dots(p, z, row, rows, sums);
  }
}

static void copy_columns(Plan *p) {
  int64_t copies = p->b_next == 0 ? 1 : p->count;
  for (int64_t z = 0; z < copies; z++)
    for (int64_t j = 0; j < p->n; j++)
      for (int64_t k = 0; k < p->k; k++)
        p->packed_b[(z * p->n + j) * p->k + k] =
            p->b.from[z * p->b_next + k * p->b.row + j * p->b.column];
}

static bool run_dots(Plan *p, Error *e) {
  Shape size = {1, {(p->b_next == 0 ? 1 : p->count) * p->n * p->k}};
  Tensor *copy = NULL;
  if (p->b.row != 1) {
    if (!(copy = tensor_new(DTYPE_REAL, &size, e))) return false;
    p->packed_b = reals(copy);
    copy_columns(p);
  }
  int64_t rows = parts(JOB_PRODUCTS, p->k * p->n);
  parallel_for(p->count * p->m, parts(rows, DOT_ROWS) * DOT_ROWS, multiply_rows, p);
  tensor_release(copy);
  return true;
}

/* ---- planning ---- */

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
  p->direct = few ? p->wide + left / TILE_COLUMNS + (left % TILE_COLUMNS == LANES) : 0;
}

/* Rows and columns are cut until there are jobs enough. What has few panels is cut by columns
 * first, so that each strip of b has one job, which packs it; what has few strips by rows. */
static void plan_jobs(Plan *p) {
  bool low = p->m <= p->n || p->strips > FLAT_STRIPS, dense = p->b.column == 1;
  bool thin = p->panels <= THIN_PANELS && low, flat = !thin && p->strips <= FLAT_STRIPS;
  int64_t least = thin && !dense ? p->panels : thin || flat ? 2 : 1;
  p->block_panels = thin ? p->panels : BLOCK_PANELS;
  p->block_strips = min(BLOCK_STRIPS, p->strips);
  for (;;) {
    p->row_blocks = parts(p->panels, p->block_panels);
    p->column_blocks = parts(p->strips, p->block_strips);
    int64_t rows = p->block_panels * TILE_ROWS, columns = p->block_strips * TILE_COLUMNS;
    int64_t jobs = p->count * p->row_blocks * p->column_blocks;
    bool enough = jobs >= (thin && p->block_strips == 1 ? THIN_JOBS : JOBS);
    if (enough || rows * columns * p->k < 2 * (int64_t)JOB_PRODUCTS) break;
    bool by_columns = thin || p->block_panels <= least || (!flat && columns > rows);
    if (by_columns && p->block_strips > 1) p->block_strips = (p->block_strips + 1) / 2;
    else if (p->block_panels > least) p->block_panels = (p->block_panels + 1) / 2;
    else break;
  }
  p->a_in_job = p->column_blocks == 1;
  p->b_in_job = (p->row_blocks == 1 || (thin && dense)) && (p->count == 1 || p->b_next != 0);
}

static bool is_dots(const Plan *p) {
  bool deep = p->k >= DOT_DEPTH || p->b.row == 1;
  return deep && p->n <= DOT_COLUMNS && p->a.column == 1 && shortcut(PRODUCT_BY_DOTS);
}

static bool run(Plan *p, Error *e) {
  p->depths = parts(p->k, TILE_DEPTH);
  p->panels = parts(p->m, TILE_ROWS);
  plan_strips(p);
  plan_jobs(p);
  int64_t own = (p->a_in_job ? p->block_panels * PANEL_A : 0) + (p->b_in_job ? PANEL_B : 0);
  if (!parallel_reserve(own * (int64_t)sizeof(real))) return error_set(e, "out of memory");
  int64_t in_a = panels_of_a(p), in_b = panels_of_b(p);
  Shape size = {1, {in_a * PANEL_A + in_b * PANEL_B}};
  real few[FEW] __attribute__((aligned(64)));
  Tensor *packed = size.size[0] <= FEW ? NULL : tensor_new(DTYPE_REAL, &size, e);
  if (!packed && size.size[0] > FEW) return false;
  p->packed_a = packed ? reals(packed) : few;
  p->packed_b = p->packed_a + in_a * PANEL_A;
  parallel_for(in_a + in_b, parts(PACK_JOB, TILE_DEPTH * TILE_ROWS), pack_panels, p);
  int64_t jobs = p->count * p->row_blocks * p->column_blocks;
  int64_t products = p->m * p->n * p->k * p->count / jobs;
  parallel_for(jobs, parts(JOB_PRODUCTS, products + 1), multiply_block, p);
  tensor_release(packed);
  return true;
}

/* What the tiles of m rows and n columns cost beside the products that they make: each takes at
 * least the time that its first sum needs. */
static double cost(int64_t m, int64_t n) {
  enum { LATENCY = 8 };
  int64_t panels = parts(m, TILE_ROWS), vecs = parts(n, LANES);
  double height = (double)m / (double)panels, whole = (double)(vecs / TILE_VECS);
  double full = height * TILE_VECS > LATENCY ? height * TILE_VECS : LATENCY;
  double half = height > LATENCY ? height : LATENCY;
  return (double)panels * (whole * full + (double)(vecs % TILE_VECS) * half);
}

/* What it costs to lay numbers out anew, turned over or as they are: vectors of them are loaded,
 * shuffled and stored. */
static double laying(double numbers, bool turned) {
  int shuffles = 0;
  while (turned && 1 << shuffles < LANES) shuffles++;
  return numbers * 0.6 * (shuffles + 2) / LANES;
}

/* Turned over, c is written by columns; rows whole pages apart evict one another then. */
static bool is_better_over(const Product *p) {
  if (p->m > 4 * TILE_COLUMNS && p->n > 4 * TILE_COLUMNS) return false;
  /* These would become dot products, of other bits than those of more rows. */
  if (p->n == 1 && p->m <= DOT_COLUMNS) return false;
  if (!shortcut(PRODUCT_OVER)) return false;
  double m = (double)p->m, n = (double)p->n, k = (double)p->k;
  double straight = cost(p->m, p->n) * k + laying(m * k, false);
  double over = cost(p->n, p->m) * k + laying(n * k, false);
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

/* The part of a plan whose rows, columns, products and batches begin and end somewhere. */
typedef struct Range {
  int64_t begin, end;
} Range;

static Plan slab_of(const Plan *p, Range z, Range m, Range n, Range k) {
  Plan slab = *p;
  slab.count = z.end - z.begin;
  slab.m = m.end - m.begin, slab.n = n.end - n.begin, slab.k = k.end - k.begin;
  slab.a.from += z.begin * p->a_next + m.begin * p->a.row + k.begin * p->a.column;
  slab.b.from += z.begin * p->b_next + k.begin * p->b.row + n.begin * p->b.column;
  slab.c += z.begin * p->c_next + m.begin * p->c_row + n.begin * p->c_column;
  if (p->bias) slab.bias += p->bias_rows ? m.begin : n.begin;
  slab.add = p->add || k.begin > 0;
  return slab;
}

/* How many of `all` fit, each of so many bytes: a multiple of `unit`. */
static int64_t fitting(int64_t all, int64_t unit, int64_t bytes) {
  int64_t n = SLAB_BYTES / (bytes > 0 ? bytes : 1) * unit;
  return n < unit ? unit : min(n, all);
}

/* The sums of no products. */
static void fill(const Product *p) {
  for (int64_t z = 0; z < p->count; z++)
    for (int64_t i = 0; i < p->m; i++) {
      real *row = p->c + z * p->c_next + i * p->n;
      if (p->bias) memcpy(row, p->bias, (size_t)p->n * sizeof *row);
      else memset(row, 0, (size_t)p->n * sizeof *row);
    }
}

bool ISA_NAME(gemm)(const Product *product, Error *e) {
  if (product->m == 0 || product->n == 0 || product->count == 0) return true;
  if (product->k == 0) {
    if (!product->add) fill(product);
    return true;
  }
  Plan p = plan_of(product);
  if (is_dots(&p)) return run_dots(&p, e);
  if (is_small(&p)) return run_small(&p, e);
  const int64_t word = sizeof(real), one = 2 * word * TILE_DEPTH;
  int64_t rows = fitting(p.m, TILE_ROWS, one * TILE_ROWS);
  int64_t columns = fitting(p.n, TILE_COLUMNS, one * TILE_COLUMNS);
  int64_t depth = fitting(p.k, TILE_DEPTH, one / 2 * (rows + columns));
  int64_t count = fitting(p.count, 1, word * depth * (rows + columns));
  for (int64_t z = 0; z < p.count; z += count)
    for (int64_t i = 0; i < p.m; i += rows)
      for (int64_t j = 0; j < p.n; j += columns)
        for (int64_t k = 0; k < p.k; k += depth) {
          Plan slab =
              slab_of(&p, (Range){z, min(z + count, p.count)}, (Range){i, min(i + rows, p.m)},
                      (Range){j, min(j + columns, p.n)}, (Range){k, min(k + depth, p.k)});
          if (!run(&slab, e)) return false;
        }
  return true;
}

GemmTile *const *ISA_NAME(gemm_tiles)(void) { return tiles; }
