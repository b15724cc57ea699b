// What the commands about backfills share: what was asked for, and the run in the database.
#ifndef APP_BACKFILL_H
#define APP_BACKFILL_H

#include "app/backfill_ids.h"
#include "app/options.h"
#include "app/session.h"
#include "app/settings.h"
#include "config/config.h"
#include "io/outbox_backfill.h"

#include <stdbool.h>
#include <stdint.h>

enum { BACKFILL_NAME_SIZE = 65 };

struct backfill {
    const struct options *options;
    struct config *config;
    struct session *session;
    struct outbox_hello hello;
    char holder[SETTINGS_INSTANCE_SIZE]; // this process
    char name[BACKFILL_NAME_SIZE];
    const char *scope_name; // "all", or NULL: none was given
    char *argument;         // owned; as it was given
    char *since;            // owned; what became of --since
    char *where;            // owned
    struct ids *ids;        // owned
    int64_t overlap_ns;
    char *rate_text; // owned; NULL: none
    struct config_rate rate;
    int64_t limit; // INT64_MAX: none
    int64_t ahead; // 0: not given
    bool force;
    int64_t run_id;
    int64_t total; // negative: unknown
    bool total_exact;
};

struct outbox_scope backfill_scope(const struct backfill *backfill);

// Customers in the scope, exact up to 100,000, then the planner's estimate; with a limit no more.
bool backfill_count(struct backfill *backfill, struct err *err) MUST_CHECK;

// --dry-run: how many, how long, and three requests without their values.
bool backfill_sample(struct backfill *backfill, struct err *err) MUST_CHECK;

#endif
