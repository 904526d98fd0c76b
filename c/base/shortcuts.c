#include "base/shortcuts.h"

const char *const shortcut_names[SHORTCUTS] = {
    "conv in pairs",  "conv spread",   "conv by dots",   "conv open",      "conv ahead",
    "conv along",     "conv winograd", "gradient dense", "gradient along", "block doubling",
    "block few",      "block sparse",  "pool shared",    "pool apart",     "product by dots",
    "product direct", "product over",  "product small"};
unsigned shortcuts_off;
