// What the command line said, for all commands together; each reads what its row allows.
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include <stdbool.h>

struct options {
    const char *config_path;
    bool once;            // run
    bool print;           // migrate, check
    bool print_defaults;  // check
    bool offline;         // check
    bool api;             // check
    bool json;            // check
    bool explain;         // render
    const char *customer; // render
    const char *row;      // render
    const char *until;    // pause
};

// The commands; each returns the exit code.
int migrate_run(const struct options *options);
int check_run(const struct options *options);
int render_run(const struct options *options);
int pause_run(const struct options *options);
int resume_run(const struct options *options);
int version_run(const struct options *options);

#endif
