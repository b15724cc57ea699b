// SIGHUP, first half: everything is read and checked before anything changes. What can go wrong
// with the files goes wrong here, and is logged.
#ifndef APP_RELOAD_H
#define APP_RELOAD_H

#include "app/keyfile.h"
#include "base/log.h"
#include "config/config.h"
#include "config/keys.h"

#include <stdbool.h>
#include <stddef.h>

struct reload {
    struct config *config; // owned; what is in force next: keys that need a restart are as before
    struct keyfile keyfile;
    const char *changed[KEYS_MAX]; // keys whose values change
    size_t changed_count;
    const char *restart[KEYS_MAX]; // keys whose values would, but for the need of a restart
    size_t restart_count;
};

// Reads the file at `path` and those that it names, the key's too. False when something is wrong
// with them: there is then an event daemon.reload for each error.
bool reload_read(struct reload *reload, const char *path, const struct config *before,
                 struct log *log) MUST_CHECK;
void reload_free(struct reload *reload); // also after it failed

// The event of a reload that is taken over.
void reload_log_taken(const struct reload *reload, bool new_key, struct log *log);

#endif
