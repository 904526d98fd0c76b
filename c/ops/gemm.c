/* Floor 3: matrix products: the factors are packed into panels, then jobs go through blocks of
 * tiles. A factor that only one job wants is packed there, b by the first tiles that read it. Small
 * products are read as they lie; what has few columns is turned over, so that the tiles are as full
 * as they can be. */
#include "ops/gemm.h"

#include "ops/gemm_plan.h"

#include <string.h>

enum {
  SLAB_BYTES = 32 << 20, /* the most of one product that is packed at once */
  PACK_JOB = 1 << 14,    /* numbers of a job that packs */
  SMALL_START = 1 << 10, /* so many products are worth what a small one needs beside its own */
  /* Of so many packed numbers the second product's are packed while the first one is computed: all
   * at once would not stay in the caches. */
  TOGETHER = 1 << 20,
  FEW = 4 * PANEL_A + 2 * PANEL_B /* so many need no memory from elsewhere */
};

static int64_t depth_of(const Plan *p, int64_t block) {
  return min(TILE_DEPTH, p->k - block * TILE_DEPTH);
}

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

static const real *lying_a(const Plan *p, int64_t z, int64_t depth) {
  return p->a.from + z * p->a_next + depth * TILE_DEPTH * p->a.column;
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

static void pack_panels_a(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Plan *p = context;
  for (int64_t i = begin; i < end; i++) {
    int64_t panel = i % p->panels, depth = i / p->panels % p->depths, z = i / p->panels / p->depths;
    pack_panel_a(p, z, depth, panel, panel_of_a(p, z, depth, panel));
  }
}

static void pack_panels_b(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Plan *p = context;
  for (int64_t i = begin; i < end; i++) {
    int64_t side = packed_strips(p), strip = p->direct + i % side;
    int64_t depth = i / side % p->depths, z = i / side / p->depths;
    pack_panel_b(p, z, depth, strip, panel_of_b(p, z, depth, strip));
  }
}

/* ---- multiplying ---- */

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
  if (p->b.column == 1 && (left >= TILE_COLUMNS || left % LANES == 0))
    return (Source){lying, p->b.row, true, area->panels > 1 ? own : NULL};
  pack_panel_b(p, area->z, depth, strip, own);
  return (Source){own, TILE_COLUMNS, false, NULL};
}

/* For turning tiles, which fetch nothing beside a packed strip: a part of the strip after it, into
 * the second cache. */
static void fetch_strip(const real *strip, int64_t panel) {
  enum { LINES = PANEL_B / TILE_LINE / BLOCK_PANELS };
  const real *from = strip + PANEL_B + panel * LINES * TILE_LINE;
  for (int i = 0; i < LINES; i++) __builtin_prefetch(from + i * TILE_LINE, 0, 2);
}

/* One strip of b by all panels of the area, one depth. */
static void multiply_strip(const Plan *p, const Area *area, int64_t depth, int64_t strip,
                           const real *a, Source s) {
  int64_t column = strip_column(p, strip), width = strip < p->wide ? p->wide_columns : TILE_COLUMNS;
  bool first = depth == 0, apart = p->deep && !first;
  real *c = apart ? p->sums + (depth - 1) * p->m * p->n : p->c + area->z * p->c_next;
  Tile t = {.depth = depth_of(p, depth),
            .a_step = p->a_lies ? p->a.column : TILE_ROWS,
            .b = s.b,
            .b_step = s.row,
            .copy = s.copy,
            .c_row = p->c_row,
            .c_column = p->c_column,
            .columns = (int)min(width, p->n - column),
            .by_depth = p->a.column != 1,
            .add = !apart && (p->add || !first),
            .bias_rows = p->bias_rows};
  c += column * p->c_column;
  for (int64_t i = 0; i < area->panels; i++) {
    int64_t row = area->rows[i], rows = area->rows[i + 1] - row;
    bool copies = s.copy && i == 0, soon = i < 2; /* the next strip; then the next panel */
    if (TILE_TURNS && !s.lies && !p->b_in_job) fetch_strip(s.b, i);
    t.a = a + (p->a_lies ? row : i * PANEL_A);
    t.c = c + row * p->c_row;
    t.next = t.a + PANEL_A;
    if (soon) t.next = s.lies ? s.b + width + i * TILE_LINE : s.b + PANEL_B + i * (PANEL_B / 2);
    t.next_step = soon && s.lies ? s.row : TILE_LINE;
    t.bias = p->bias && first ? p->bias + (p->bias_rows ? row : column) : NULL;
    (strip < p->wide ? p->wide_tile : panel_tile(rows, copies))(&t);
    if (copies) t.b = s.copy, t.b_step = TILE_COLUMNS;
  }
}

/* An area, one depth; `own`: for what this job packs. */
static void multiply_area(const Plan *p, const Area *area, int64_t depth, real *own) {
  const real *a = own;
  if (p->a_lies) a = lying_a(p, area->z, depth);
  else if (!p->a_in_job) a = panel_of_a(p, area->z, depth, area->top);
  else
    for (int64_t i = 0; i < area->panels; i++, own += PANEL_A)
      pack_panel_a(p, area->z, depth, area->top + i, own);
  for (int64_t strip = area->first; strip < area->last; strip++)
    multiply_strip(p, area, depth, strip, a, source_of(p, area, depth, strip, own));
}

static Area area_of(const Plan *p, int64_t z, int64_t row_block, int64_t column_block) {
  Area area = {.z = z, .top = row_block * p->block_panels, .first = column_block * p->block_strips};
  area.panels = min(p->block_panels, p->panels - area.top);
  area.last = min(area.first + p->block_strips, p->strips);
  for (int64_t i = 0; i <= area.panels; i++) area.rows[i] = panel_row(p, area.top + i);
  return area;
}

/* A strip of b stays in the first cache while the panels of a pass it. */
static void multiply_block(void *context, int64_t begin, int64_t end, int thread) {
  const Plan *p = context;
  for (int64_t job = begin; job < end; job++) {
    int64_t rest = job / p->row_blocks;
    Area area = area_of(p, rest / p->column_blocks, job % p->row_blocks, rest % p->column_blocks);
    for (int64_t depth = 0; depth < p->depths; depth++)
      multiply_area(p, &area, depth, parallel_scratch(thread));
  }
}

static void multiply_depth(void *context, int64_t begin, int64_t end, int thread) {
  const Plan *p = context;
  for (int64_t job = begin; job < end; job++) {
    Area area = area_of(p, 0, 0, job % p->column_blocks);
    multiply_area(p, &area, job / p->column_blocks, parallel_scratch(thread));
  }
}

/* The sums of all depths, in the order in which one job would add them. */
static void join_depths(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Plan *p = context;
  for (int64_t depth = 1; depth < p->depths; depth++) {
    const real *restrict sums = p->sums + (depth - 1) * p->m * p->n;
    real *restrict c = p->c;
    for (int64_t i = begin; i < end; i++) c[i] += sums[i];
  }
}

/* ---- small products ---- */

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
  for (int64_t i = 0; i <= p->panels; i++) rows[i] = equal_row(p, i);
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

/* ---- few columns: dot products ---- */

/* b, (columns, depth): where it does not lie so, it has been copied. */
static const real *columns_of_b(const Plan *p, int64_t z, int64_t *row) {
  *row = p->packed > 0 ? p->k : p->b.column;
  if (p->packed == 0) return p->b.from + z * p->b_next;
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

static void copy_columns(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Plan *p = context;
  for (int64_t z = begin; z < end; z++)
    for (int64_t j = 0; j < p->n; j++)
      for (int64_t k = 0; k < p->k; k++)
        p->packed_b[(z * p->n + j) * p->k + k] =
            p->b.from[z * p->b_next + k * p->b.row + j * p->b.column];
}

/* ---- regions ---- */

typedef struct Region {
  int count;
  bool alone; /* no work for two threads */
  ParallelRange range[2 * PRODUCTS + 1];
} Region;

static void add_range(Region *r, int64_t n, int64_t grain, ParallelBody *body, Plan *p) {
  r->range[r->count++] = (ParallelRange){n, grain, body, p};
}

static void run_region(Region *r) {
  parallel_ranges(r->range, r->count, r->alone);
  r->count = 0;
}

/* What is packed before the jobs. */
static void add_packing(Region *r, Plan *p) {
  int64_t depth = min(p->k, TILE_DEPTH), b = p->n * p->k;
  if (p->way == BY_DOTS) add_range(r, p->packed / b, parts(PACK_JOB, b), copy_columns, p);
  if (p->way != IN_BLOCKS) return;
  add_range(r, panels_of_a(p), parts(PACK_JOB, depth * TILE_ROWS), pack_panels_a, p);
  add_range(r, panels_of_b(p), parts(PACK_JOB, depth * TILE_COLUMNS), pack_panels_b, p);
}

static void add_multiplying(Region *r, Plan *p) {
  int64_t rows = parts(JOB_PRODUCTS, p->k * p->n), blocks = p->row_blocks * p->column_blocks;
  int64_t together = parts(JOB_PRODUCTS, p->work + 1);
  if (p->way == SMALL)
    add_range(r, p->count, parts(JOB_PRODUCTS, p->m * p->n * p->k + SMALL_START), multiply_small,
              p);
  else if (p->way == BY_DOTS)
    add_range(r, p->count * p->m, parts(rows, DOT_ROWS) * DOT_ROWS, multiply_rows, p);
  else if (p->deep) add_range(r, blocks * p->depths, together, multiply_depth, p);
  else add_range(r, blocks * p->count, together, multiply_block, p);
}

static void lay_out(Plan *p, real *memory) {
  p->packed_a = p->packed_b = memory;
  if (p->way != IN_BLOCKS) return;
  p->packed_b += panels_of_a(p) * PANEL_A;
  p->sums = p->packed_b + panels_of_b(p) * PANEL_B;
}

static bool is_little(const Plan *plans, int count) {
  int64_t products = 0;
  for (const Plan *p = plans; p < plans + count; p++)
    products += p->count * p->m * p->n * (p->k + RESULT_PRODUCTS);
  return products < 2 * JOB_PRODUCTS;
}

static void run_planned(Plan *plans, int count, const ParallelRange *beside, bool apart) {
  bool alone = is_little(plans, count);
  Region now = {.alone = alone}, next = {.alone = alone}, join = {.alone = alone};
  if (beside) next.range[next.count++] = *beside;
  for (Plan *p = plans; p < plans + count; p++) {
    add_packing(&now, p);
    add_multiplying(&next, p);
    if (p->deep) add_range(&join, p->m * p->n, parts(PACK_JOB, p->depths), join_depths, p);
    if (!apart) continue;
    run_region(&now);
    now = next;
    next.count = 0;
  }
  run_region(&now);
  run_region(&next);
  run_region(&join);
}

static bool run(Plan *plans, int count, const ParallelRange *beside, Error *e) {
  real few[FEW] __attribute__((aligned(64)));
  Shape size = {1, {0}};
  int64_t own = 0;
  for (int i = 0; i < count; i++) {
    size.size[0] += plans[i].packed;
    if (plans[i].own > own) own = plans[i].own;
  }
  if (!parallel_reserve(own * (int64_t)sizeof(real))) return error_set(e, "out of memory");
  Tensor *packed = size.size[0] <= FEW ? NULL : tensor_new(DTYPE_REAL, &size, e);
  if (!packed && size.size[0] > FEW) return false;
  real *memory = packed ? reals(packed) : few;
  for (int i = 0; i < count; memory += plans[i++].packed) lay_out(&plans[i], memory);
  run_planned(plans, count, beside, size.size[0] > TOGETHER);
  tensor_release(packed);
  return true;
}

/* ---- slabs ---- */

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

/* The sizes of the slabs that one is cut into. */
typedef struct Slabs {
  int64_t rows, columns, depth, count;
} Slabs;

static Slabs slabs_of(const Plan *p) {
  const int64_t word = sizeof(real), one = 2 * word * TILE_DEPTH, copies = TILE_TURNS ? 2 : 1;
  Slabs s;
  s.rows = fitting(p->m, TILE_ROWS, one * TILE_ROWS);
  s.columns = fitting(p->n, TILE_COLUMNS, one * TILE_COLUMNS);
  s.depth = fitting(p->k, TILE_DEPTH, one / 2 * (copies * s.rows + s.columns));
  s.count = fitting(p->count, 1, word * s.depth * (copies * s.rows + s.columns));
  return s;
}

static bool is_one_slab(const Plan *p) {
  Slabs s = slabs_of(p);
  return s.rows >= p->m && s.columns >= p->n && s.depth >= p->k && s.count >= p->count;
}

static bool run_slabs(const Plan *p, Error *e) {
  Slabs s = slabs_of(p);
  for (int64_t z = 0; z < p->count; z += s.count)
    for (int64_t i = 0; i < p->m; i += s.rows)
      for (int64_t j = 0; j < p->n; j += s.columns)
        for (int64_t k = 0; k < p->k; k += s.depth) {
          Plan slab =
              slab_of(p, (Range){z, min(z + s.count, p->count)}, (Range){i, min(i + s.rows, p->m)},
                      (Range){j, min(j + s.columns, p->n)}, (Range){k, min(k + s.depth, p->k)});
          plan_blocks(&slab);
          if (!run(&slab, 1, NULL, e)) return false;
        }
  return true;
}

bool ISA_NAME(gemm_all)(const Product *products, int count, const ParallelRange *beside, Error *e) {
  Plan plans[PRODUCTS];
  int together = 0;
  for (int i = 0; i < count; i++) {
    const Product *product = &products[i];
    if (product->m == 0 || product->n == 0 || product->count == 0) continue;
    if (product->k == 0) {
      if (!product->add) fill(product);
      continue;
    }
    Plan p = plan_of(product);
    if (is_dots(&p)) plan_dots(&p);
    else if (is_small(&p)) plan_small(&p);
    else if (is_one_slab(&p)) plan_blocks(&p);
    else if (!run_slabs(&p, e)) return false;
    else continue;
    plans[together++] = p;
  }
  return run(plans, together, beside, e);
}

GemmTile *const *ISA_NAME(gemm_tiles)(void) { return tiles; }
