/* Floor 3: pixels of PNG and PGM pictures as numbers in 0..1, grey or red, green
 * and blue, transparent parts before white. */
#include "ops/picture.h"

#include <stdlib.h>
#include <string.h>

/* ---- PNG: rows ---- */

/* Pixels that follow one another in the data: every dx-th from x0 on, every dy-th row from y0 on.
 */
typedef struct Pass {
  int x0, y0, dx, dy;
} Pass;

static const Pass whole = {0, 0, 1, 1};
/* Adam7 */
static const Pass interlaced[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                  {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

static int pass_count(const Png *p) { return p->interlaced ? 7 : 1; }
static const Pass *pass_at(const Png *p, int i) { return p->interlaced ? &interlaced[i] : &whole; }
static int pass_width(const Png *p, const Pass *s) {
  return (p->width - s->x0 + s->dx - 1) / s->dx;
}
static int pass_height(const Png *p, const Pass *s) {
  return (p->height - s->y0 + s->dy - 1) / s->dy;
}

static int channels_of(const Png *p) {
  static const int channels[] = {1, 0, 3, 1, 2, 0, 4};
  return channels[p->color];
}

static int64_t row_size(const Png *p, int width) {
  return ((int64_t)width * channels_of(p) * p->depth + 7) / 8;
}

int64_t png_row_size(const Png *p) { return row_size(p, p->width); }

int64_t png_size(const Png *p) {
  int64_t size = 0;
  for (int i = 0; i < pass_count(p); i++) {
    int width = pass_width(p, pass_at(p, i)), height = pass_height(p, pass_at(p, i));
    if (width > 0 && height > 0) size += height * (1 + row_size(p, width));
  }
  return size;
}

/* The one of left, above and corner that is nearest to left + above - corner. */
static int paeth(int left, int above, int corner) {
  int dl = abs(above - corner), da = abs(left - corner), dc = abs(left + above - 2 * corner);
  if (dl <= da && dl <= dc) return left;
  return da <= dc ? above : corner;
}

/* row (n) from its filtered bytes: each filter adds what stands left (`step` bytes before), above,
 * or both. False where there is no such filter. */
static bool unfilter(int filter, const uint8_t *from, const uint8_t *restrict above, int64_t n,
                     int64_t step, uint8_t *restrict row) {
  if (filter > 4) return false;
  memcpy(row, from, (size_t)n);
  for (int64_t i = 0; i < n && filter == 2; i++) row[i] = (uint8_t)(row[i] + above[i]);
  for (int64_t i = 0; i < n && filter != 0 && filter != 2; i++) {
    int left = i < step ? 0 : row[i - step], corner = i < step ? 0 : above[i - step];
    int add = filter == 1   ? left
              : filter == 3 ? (left + above[i]) / 2
                            : paeth(left, above[i], corner);
    row[i] = (uint8_t)(row[i] + add);
  }
  return true;
}

/* ---- PNG: pixels ---- */

/* Rec. 601 luma of the stored values, which is what grey conversions commonly mean. */
static double luma(double r, double g, double b) { return 0.299 * r + 0.587 * g + 0.114 * b; }

/* Before white. */
static double blend(double value, double alpha) { return value * alpha + (1 - alpha); }

static int sample(const uint8_t *row, int64_t i, int depth) {
  if (depth == 8) return row[i];
  if (depth == 16) return row[2 * i] << 8 | row[2 * i + 1];
  int64_t bit = i * depth;
  return row[bit >> 3] >> (8 - depth - (bit & 7)) & ((1 << depth) - 1);
}

/* The grey of every value that a sample of 8 bits or less can have; of a palette, of its colours.
 */
static void fill_greys(const Png *p, float greys[256]) {
  for (int v = 0; v < 256; v++) {
    if (p->color != PNG_PALETTE) {
      bool clear = p->has_clear && v == p->clear[0];
      greys[v] = (float)(clear ? 1 : (double)v / ((1 << p->depth) - 1));
    } else if (v < p->colours) {
      const uint8_t *c = p->palette + 3 * v;
      int alpha = v < p->alpha_count ? p->alphas[v] : 255;
      greys[v] = (float)blend(luma(c[0], c[1], c[2]) / 255, alpha / 255.0);
    }
  }
}

/* Pixel x of a row of several channels, or of 16 bits. */
static double pixel(const Png *p, const uint8_t *row, int64_t x) {
  double most = (1 << p->depth) - 1;
  int n = channels_of(p), s[4] = {0};
  for (int c = 0; c < n; c++) s[c] = sample(row, x * n + c, p->depth);
  bool clear = p->has_clear && s[0] == p->clear[0];
  if (p->color == PNG_GREY) return clear ? 1 : s[0] / most;
  if (p->color == PNG_GREY_ALPHA) return blend(s[0] / most, s[1] / most);
  double value = luma(s[0], s[1], s[2]) / most;
  if (p->color == PNG_RGB_ALPHA) return blend(value, s[3] / most);
  return clear && s[1] == p->clear[1] && s[2] == p->clear[2] ? 1 : value;
}

/* Pixel x of any row as red, green and blue; false where a palette lacks it. */
static bool pixel_in_color(const Png *p, const uint8_t *row, int64_t x, float *out) {
  double most = (1 << p->depth) - 1, alpha = 1;
  int n = channels_of(p), s[4] = {0};
  for (int c = 0; c < n; c++) s[c] = sample(row, x * n + c, p->depth);
  double rgb[3] = {s[0] / most, s[0] / most, s[0] / most};
  if (p->color == PNG_PALETTE) {
    if (s[0] >= p->colours) return false;
    for (int c = 0; c < 3; c++) rgb[c] = p->palette[3 * s[0] + c] / 255.0;
    if (s[0] < p->alpha_count) alpha = p->alphas[s[0]] / 255.0;
  } else if (n >= 3) {
    for (int c = 0; c < 3; c++) rgb[c] = s[c] / most;
  }
  if (p->color == PNG_GREY_ALPHA || p->color == PNG_RGB_ALPHA) alpha = s[n - 1] / most;
  bool clear = p->has_clear && s[0] == p->clear[0] && p->color != PNG_PALETTE;
  if (clear && (n == 1 || (s[1] == p->clear[1] && s[2] == p->clear[2]))) alpha = 0;
  for (int c = 0; c < 3; c++) out[c] = (float)blend(rgb[c], alpha);
  return true;
}

/* The row's pixels, `dx` apart; false where a palette lacks one of the colours. */
static bool put_row(const Png *p, const float greys[256], const uint8_t *row, int width, int dx,
                    float *out) {
  if (p->in_color) {
    for (int64_t x = 0; x < width; x++)
      if (!pixel_in_color(p, row, x, out + 3 * x * dx)) return false;
    return true;
  }
  if (channels_of(p) > 1 || p->depth == 16) {
    for (int64_t x = 0; x < width; x++) out[x * dx] = (float)pixel(p, row, x);
    return true;
  }
  int most = p->color == PNG_PALETTE ? p->colours - 1 : 255;
  for (int64_t x = 0; x < width; x++) {
    int v = sample(row, x, p->depth);
    if (v > most) return false;
    out[x * dx] = greys[v];
  }
  return true;
}

bool png_pixels(const Png *p, const uint8_t *rows, uint8_t *scratch, float *out, Error *e) {
  float greys[256];
  fill_greys(p, greys);
  int64_t step = channels_of(p) * p->depth / 8 > 0 ? channels_of(p) * p->depth / 8 : 1;
  uint8_t *row = scratch, *above = scratch + png_row_size(p);
  for (int i = 0; i < pass_count(p); i++) {
    const Pass *s = pass_at(p, i);
    int width = pass_width(p, s), height = width > 0 ? pass_height(p, s) : 0;
    int64_t n = row_size(p, width);
    memset(above, 0, (size_t)png_row_size(p));
    for (int y = 0; y < height; y++, rows += n + 1) {
      if (!unfilter(rows[0], rows + 1, above, n, step, row))
        return error_set(e, "row %d has filter %d, which does not exist", y + 1, rows[0]);
      int64_t place = (int64_t)(s->y0 + y * s->dy) * p->width + s->x0;
      float *to = out + (p->in_color ? 3 : 1) * place;
      if (!put_row(p, greys, row, width, s->dx, to))
        return error_set(e, "a pixel has a colour that its palette lacks");
      uint8_t *next = above;
      above = row, row = next;
    }
  }
  return true;
}

/* ---- PGM ---- */

static bool put_value(int64_t i, int64_t value, int most, float *out, Error *e) {
  if (value > most)
    return error_set(e, "pixel %lld is %lld, above its largest value %d", (long long)i + 1,
                     (long long)value, most);
  out[i] = (float)((double)value / most);
  return true;
}

bool pgm_bytes(const uint8_t *bytes, int64_t count, int most, float *out, Error *e) {
  for (int64_t i = 0; i < count; i++) {
    int value = most > 255 ? bytes[2 * i] << 8 | bytes[2 * i + 1] : bytes[i];
    if (!put_value(i, value, most, out, e)) return false;
  }
  return true;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Behind white space and comments, which run from # to the line's end. */
static const char *skip_space(const char *at, const char *end) {
  bool comment = false;
  for (; at < end && (comment || is_space(*at) || *at == '#'); at++)
    comment = comment ? *at != '\n' : *at == '#';
  return at;
}

bool pgm_text(const char *text, size_t size, int64_t count, int most, float *out, Error *e) {
  const char *at = text, *end = text + size;
  for (int64_t i = 0; i < count; i++) {
    at = skip_space(at, end);
    if (at == end || !is_digit(*at))
      return error_set(e, "ends after %lld pixels, expected %lld", (long long)i, (long long)count);
    int64_t value = 0;
    for (; at < end && is_digit(*at); at++)
      if (value < INT64_MAX / 100) value = 10 * value + (*at - '0');
    if (!put_value(i, value, most, out, e)) return false;
  }
  return true;
}
