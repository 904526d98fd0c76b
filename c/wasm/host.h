/* Floor 6: what the two files of the host share. */
#ifndef LATENT_WASM_HOST_H
#define LATENT_WASM_HOST_H

#include <stdbool.h>

/* From here on the user's wish to end a call is asked for, or no longer. */
void host_ask(bool on);
/* Whether the user wants an end; stays so until it is cleared. */
bool host_stops(void);

#endif
