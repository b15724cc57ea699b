// What a table of single keys cannot see: keys that must agree with each other, with the files they
// name, and with what must never stand in a configuration.
#ifndef CONFIG_CROSSCHECK_H
#define CONFIG_CROSSCHECK_H

#include "config/config.h"
#include "config/keys.h"
#include "config/problems.h"

// Keys that are broken already are left out, so that one mistake gives one message; those whose
// file cannot be used become broken. Cuts the slash at the end of imprint.base_url.
void crosscheck_run(struct config *config, struct keys_seen *seen, struct problems *problems);

#endif
