// `imprint-sync run`: the service, from its start to its stop.
#ifndef APP_DAEMON_H
#define APP_DAEMON_H

#include <stdbool.h>

struct walk;

struct daemon_options {
    const char *config_path;
    bool once;
    struct walk *walk; // a backfill to carry, until it has ended; borrowed; NULL: none
};

// Runs until it is told to stop, or with `once` until nothing is due any more. Returns the exit
// code: 0; 65 with `once` when rows died; 69 with `once` when database or API cannot be reached;
// 78 when configuration, schema or rights are wrong; 1 for the rest.
int daemon_run(const struct daemon_options *options);

#endif
