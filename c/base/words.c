#include "base/words.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 40 };

static int smaller(int a, int b) { return a < b ? a : b; }
static int letter(char c) { return tolower((unsigned char)c); }

/* How many letters have to be changed, added, left out or exchanged with their neighbour to turn
 * one word into the other (Damerau's distance); capitals do not count. */
static int distance(const char *a, const char *b) {
  int m = (int)strlen(a), n = (int)strlen(b), row[3][LONGEST + 1];
  int *above2 = row[0], *above = row[1], *now = row[2];
  for (int j = 0; j <= n; j++) above[j] = j;
  for (int i = 1; i <= m; i++) {
    now[0] = i;
    for (int j = 1; j <= n; j++) {
      int change = above[j - 1] + (letter(a[i - 1]) != letter(b[j - 1]));
      now[j] = smaller(change, smaller(above[j], now[j - 1]) + 1);
      if (i > 1 && j > 1 && letter(a[i - 1]) == letter(b[j - 2]) &&
          letter(a[i - 2]) == letter(b[j - 1]))
        now[j] = smaller(now[j], above2[j - 2] + 1);
    }
    int *free = above2;
    above2 = above, above = now, now = free;
  }
  return above[n];
}

/* What PyTorch, NumPy, pandas, Keras and matplotlib call it, and its names here. */
static const char *const elsewhere[][2] = {
    {"dim", "axis"},          {"dim", "axes"},          {"dims", "axis"},
    {"dims", "axes"},         {"batch_size", "batch"},  {"learning_rate", "lr"},
    {"num_epochs", "epochs"}, {"max_epochs", "epochs"}, {"num_layers", "layers"},
    {"dataloader", "loader"}, {"criterion", "loss"},    {"validation_data", "validate"},
    {"monitor", "watch"},     {"verbose", "progress"},  {"max_norm", "clip"},
    {"random_state", "seed"}, {"sep", "separator"},     {"delimiter", "separator"},
    {"na_values", "missing"}, {"xlim", "xrange"},       {"ylim", "yrange"},
    {"figsize", "width"},
};

static bool is_elsewhere(const char *word, const char *here) {
  for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
    if (strcmp(word, elsewhere[i][0]) == 0 && strcmp(here, elsewhere[i][1]) == 0) return true;
  return false;
}

void nearest_offer(Nearest *n, const char *candidate) {
  size_t length = strlen(n->given);
  if (length > LONGEST || strlen(candidate) > LONGEST) return;
  bool same = is_elsewhere(n->given, candidate);
  int d = same ? 0 : distance(n->given, candidate), limit = length < 6 ? 1 : (int)length / 3;
  if (d > limit || (n->found && d >= n->distance)) return;
  n->found = candidate;
  n->distance = d;
}

bool word_at(const char *words, int i, char *word, size_t size, char *mark) {
  while (i-- > 0) {
    words = strchr(words, ' ');
    if (!words) return false;
    words++;
  }
  size_t n = strcspn(words, " ?*");
  if (n == 0) return false;
  if (mark) *mark = words[n] == '?' || words[n] == '*' ? words[n] : 0;
  if (n >= size) n = size - 1;
  memcpy(word, words, n); /* at every call of an op: snprintf would cost more than a small op */
  word[n] = 0;
  return true;
}
