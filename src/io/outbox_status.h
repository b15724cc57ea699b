// What `status` shows, read from the database: bounded work however long the queue is, and nothing
// asked of the daemons themselves, who leave their own report there (outbox_report).
#ifndef IO_OUTBOX_STATUS_H
#define IO_OUTBOX_STATUS_H

#include "base/str.h"
#include "io/outbox.h"

#include <stddef.h>
#include <stdint.h>

// One part of the answer: a member of the document and its value as JSON.
struct outbox_section {
    const char *name;
    struct str json;
};
typedef void (*outbox_status_fn)(void *ctx, const struct pgconn_failure *failure,
                                 const struct outbox_section *sections, size_t count);
// An instance that was not seen for `silent_s` counts as gone.
void outbox_status(struct outbox *outbox, int64_t silent_s, outbox_status_fn done, void *ctx);

// Leaves this instance's own report, a JSON object, in its row; failures are of no consequence.
void outbox_report(struct outbox *outbox, const char *json);

#endif
