// What the command line said, for all commands together; each reads what its row allows.
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct options {
    const char *config_path;
    bool help;
    bool once;            // run
    bool print;           // migrate, check
    bool print_defaults;  // check
    bool offline;         // check
    bool api;             // check
    bool json;            // check, status, dead list, dead show
    bool explain;         // render
    const char *customer; // render, dead
    const char *row;      // render
    const char *until;    // pause
    bool watch;           // status
    const char *id;       // dead
    const char *type;     // dead
    const char *param;    // dead
    const char *since;    // dead
    const char *limit;    // dead
    bool all;             // dead
    bool each;            // dead list
    bool reveal;          // dead show
    bool dry_run;         // dead retry
    bool force;           // dead retry
    bool yes;             // dead discard
    const char *where;    // backfill
    const char *customers;
    const char *overlap;
    const char *rate;
    const char *ahead;
    const char *name;

    char *const *operands; // report: the words behind the options
    size_t operand_count;
};

// The commands; each returns the exit code.
int migrate_run(const struct options *options);
int check_run(const struct options *options);
int render_run(const struct options *options);
int pause_run(const struct options *options);
int resume_run(const struct options *options);
int status_run(const struct options *options);
int dead_list_run(const struct options *options);
int dead_show_run(const struct options *options);
int dead_retry_run(const struct options *options);
int dead_discard_run(const struct options *options);
int backfill_run(const struct options *options);
int backfill_list_run(const struct options *options);
int backfill_pause_run(const struct options *options);
int backfill_resume_run(const struct options *options);
int backfill_cancel_run(const struct options *options);
int report_page_run(const struct options *options);
int prune_run(const struct options *options);
int version_run(const struct options *options);

#endif
