// What one instance does for all now and then: deletes old rows, looks whether the triggers are
// still there, and tells of those that failed.
#ifndef APP_CHORES_H
#define APP_CHORES_H

#include "base/log.h"
#include "io/loop.h"
#include "io/outbox.h"

#include <stdbool.h>
#include <stdint.h>

struct chores;

struct chores_parts { // all borrowed
    struct loop *loop;
    struct log *log;
    struct outbox *outbox;
};

struct chores *chores_create(const struct chores_parts *parts);
void chores_destroy(struct chores *chores);

// Once a turn, when the daemon is ready. `mine`: they are this instance's to do, and the database
// keeps up. `retention_ns`: outbox.retention; 0: there is nothing to prune.
void chores_pump(struct chores *chores, bool mine, int64_t retention_ns);

#endif
