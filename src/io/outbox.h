// The outbox in the database: every SQL statement of the daemon is behind this header. Calls are
// answered later through the loop, in the order they were made, and never block; each ends with one
// call of its function, with `failure` NULL if it was committed. Results are borrowed for that
// call.
#ifndef IO_OUTBOX_H
#define IO_OUTBOX_H

#include "base/err.h"
#include "base/log.h"
#include "domain/cursor.h"
#include "domain/lease.h"
#include "domain/mapping.h"
#include "domain/peers.h"
#include "domain/update.h"
#include "io/pgconn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OUTBOX_SCHEMA_VERSION = 5 }; // the newest migration this program knows

struct outbox;

struct outbox_options {
    const char *instance;          // unique name of this process
    const char *version;           // of the program, for the instance list
    const char *source_relation;   // NULL: none
    const char *source_key;        // its column with the Imprint id
    const struct mapping *mapping; // whose columns are read from the source; borrowed
    bool delete_done;              // retention 0: done rows are deleted as they settle
    int64_t timeout_ns;            // of a statement
};

// `conn` is borrowed and must outlive the outbox. Texts are copied.
struct outbox *outbox_create(struct pgconn *conn, const struct outbox_options *options);
void outbox_destroy(struct outbox *outbox);

// Another source, mapping or retention; instance, version and timeout stay. Not while a hello is
// under way, and until the next one there is no source. Calls under way end as they began, so what
// a fold then brings has the columns of the mapping before.
void outbox_reconfigure(struct outbox *outbox, const struct outbox_options *options);

// The event db.error: a call failed, and what it was for is tried again. Of what fails again and
// again for one reason (a full disk, a lock) it comes once a minute. `during`: a literal.
void outbox_log_failure(struct outbox *outbox, struct log *log, const char *during,
                        const struct pgconn_failure *failure);

// ---- hello: what kind of database this is; first call on each new connection, and after
// outbox_reconfigure

enum outbox_schema {
    OUTBOX_SCHEMA_RIGHT,
    OUTBOX_SCHEMA_MISSING,
    OUTBOX_SCHEMA_OLD,
    OUTBOX_SCHEMA_NEW,
};

enum outbox_source {
    OUTBOX_SOURCE_NONE, // not configured
    OUTBOX_SOURCE_READY,
    OUTBOX_SOURCE_MISSING,    // no such relation
    OUTBOX_SOURCE_NO_COLUMN,  // it has no such key column
    OUTBOX_SOURCE_WRONG_TYPE, // the key column's type cannot hold an Imprint id
    OUTBOX_SOURCE_WRONG_KIND, // materialized view or foreign table: not the same snapshot
};

struct outbox_hello {
    enum outbox_schema schema;
    int64_t schema_version; // found; 0: none
    enum outbox_source source;
    int64_t last_id;    // of the outbox's sequence: rows up to here are there already
    bool behind_pooler; // LISTEN would belong to nobody
    // Another cluster or timeline than at the hello before: a failover or a restore, so rows that
    // were read may never have been, and their ids be used again.
    bool new_history;
};
typedef void (*outbox_hello_fn)(void *ctx, const struct pgconn_failure *failure,
                                const struct outbox_hello *hello);
void outbox_hello(struct outbox *outbox, outbox_hello_fn done, void *ctx);

// False, with what to do about it, unless the schema is the one this program knows.
bool outbox_schema_is_right(const struct outbox_hello *hello, struct err *err) MUST_CHECK;

const char *outbox_source_reason(enum outbox_source source);

// Asks to be notified (imprint_sync channel) on this connection.
typedef void (*outbox_done_fn)(void *ctx, const struct pgconn_failure *failure);
void outbox_listen(struct outbox *outbox, outbox_done_fn done, void *ctx);

// ---- poll: which customers have something due ------------------------------------------------

struct outbox_lane {
    size_t lane; // cursor_lane_of
    struct cursor_place from;
    struct cursor_place to; // due_us INT64_MAX: no limit but now
};

struct outbox_poll {
    const struct outbox_lane *lanes; // read ahead
    size_t lane_count;
    const struct outbox_lane *sweep; // and behind
    size_t sweep_count;
    const char *const *skip; // customers in memory
    size_t skip_count;
    int64_t limit;      // most rows
    bool skip_thin;     // thin rows are held
    int64_t idle_for_s; // from before the poll on, the daemon counts as idle so long; 0: it does
                        // not; negative: as it was
};

struct outbox_lane_read {
    size_t lane;
    struct cursor_place last; // as `from` when nothing was found
    bool exhausted;
};

struct outbox_polled {
    int64_t now_us; // the database's clock, before it looked
    const struct outbox_lane_read *lanes;
    const struct outbox_lane_read *sweep;
    const char *const *keys; // distinct, in the order of priority and due time
    size_t key_count;
};
typedef void (*outbox_polled_fn)(void *ctx, const struct pgconn_failure *failure,
                                 const struct outbox_polled *polled);
void outbox_poll(struct outbox *outbox, const struct outbox_poll *poll, outbox_polled_fn done,
                 void *ctx);

// ---- fold: the pending rows of these customers, and their source rows, in one snapshot -------

struct outbox_row {
    int64_t id;
    int64_t attempts;
    bool thin;
    bool too_big;       // payload over 1 MiB, not fetched
    struct str payload; // JSON; empty when thin or too big
};

struct outbox_customer {
    struct str key;
    struct str customer_id; // of its newest row
    int slot;
    int priority;   // the most urgent of its rows'
    int64_t age_ns; // of its oldest row
    const struct outbox_row *rows;
    size_t row_count;
    bool thin;             // at least one row is
    int64_t source_count;  // source rows found: 1, or 0, or 2 for several
    struct str source;     // JSON
    struct str dead_ids;   // "{1,2}": older dead thin rows
    struct str state_hash; // 64 hex digits, or empty: of what was last accepted
};
typedef void (*outbox_folded_fn)(void *ctx, const struct pgconn_failure *failure,
                                 const struct outbox_customer *customers, size_t count);
enum outbox_fold_mode {
    OUTBOX_FOLD_SOURCE,    // thin rows with their source row
    OUTBOX_FOLD_HOLD_THIN, // thin rows are left alone
    OUTBOX_FOLD_NO_SOURCE, // thin rows, but the source is not read: to settle what it cannot give
};
// Customers that are not due (a retry waits) or have no row any more are left out.
void outbox_fold(struct outbox *outbox, const char *const *keys, size_t count,
                 enum outbox_fold_mode mode, outbox_folded_fn done, void *ctx);

// ---- for render: what would be sent ------------------------------------------------------------

struct outbox_found {
    struct str customer_id; // of an outbox row that was asked for; else empty
    bool found;             // that outbox row
    bool thin;
    struct str payload;
    int64_t source_count; // source rows of the customer, if the source was read
    struct str source;
};
typedef void (*outbox_found_fn)(void *ctx, const struct pgconn_failure *failure,
                                const struct outbox_found *found);
// Needs a source that hello found ready.
void outbox_find_source(struct outbox *outbox, const char *customer_id, outbox_found_fn done,
                        void *ctx);
void outbox_find_row(struct outbox *outbox, int64_t id, outbox_found_fn done, void *ctx);

// For check: the plan by which one customer is read from the source, as domain/plan.h reads it. It
// scans only what has no index. Needs a source that hello found ready.
typedef void (*outbox_plan_fn)(void *ctx, const struct pgconn_failure *failure, struct str plan);
void outbox_plan_source(struct outbox *outbox, outbox_plan_fn done, void *ctx);

// ---- settle: what became of them ---------------------------------------------------------------

struct outbox_settled {
    const bool *more; // by index: the customer has further rows that are due
    const bool *lost; // its slot is another's now: nothing was written
};
typedef void (*outbox_settled_fn)(void *ctx, const struct pgconn_failure *failure,
                                  const struct outbox_settled *settled);
// The updates are borrowed until the call. With `texts` false their error texts are left out, for
// a batch of one whose text the database refused.
void outbox_settle(struct outbox *outbox, struct update *const *updates, size_t count, bool texts,
                   outbox_settled_fn done, void *ctx);

// ---- leases ------------------------------------------------------------------------------------

struct outbox_beat { // all borrowed until the call returns
    const struct lease *lease;
    const struct lease_wish *wish;
    int wants;
    bool yields; // a backfill: leaves the slots to instances of `run`
    bool pool_open;
    int64_t throttle_ns;            // the API told this instance to stay away so long; 0: no news
    const struct peer *const *gone; // instances to strike off the list
    size_t gone_count;
};
struct outbox_beaten {
    const struct lease_row *leases;
    size_t lease_count;
    const struct peer_row *peers; // in the order in which they started
    size_t peer_count;
    int64_t last_id;
    int64_t paused_ns;    // how much longer an operator's pause lasts; INT64_MAX: until resume
    int64_t throttled_ns; // and what the API told another instance
};
typedef void (*outbox_beat_fn)(void *ctx, const struct pgconn_failure *failure,
                               const struct outbox_beaten *beaten);
void outbox_heartbeat(struct outbox *outbox, const struct outbox_beat *beat, outbox_beat_fn done,
                      void *ctx);
// The instance leaves; its leases have been given back.
void outbox_goodbye(struct outbox *outbox, outbox_done_fn done, void *ctx);

// ---- what the operator sees --------------------------------------------------------------------

struct outbox_counts {
    int64_t pending; // exact up to 100,000, an estimate beyond
    int64_t due;
    int64_t retrying;
    int64_t thin; // of the pending ones that were counted
    int64_t dead;
    int64_t oldest_s;   // age of the oldest pending row
    int64_t xmin_age_s; // of the oldest transaction that holds vacuum back, as far as visible
};
typedef void (*outbox_counts_fn)(void *ctx, const struct pgconn_failure *failure,
                                 const struct outbox_counts *counts);
void outbox_count(struct outbox *outbox, outbox_counts_fn done, void *ctx);

// Walks on from behind row `after`, `limit` rows at most, and deletes the done ones that settled
// longer than `retention_ns` ago. `last_id`: where it came to; 0: to the end.
typedef void (*outbox_pruned_fn)(void *ctx, const struct pgconn_failure *failure, int64_t deleted,
                                 int64_t last_id);
void outbox_prune(struct outbox *outbox, int64_t retention_ns, int64_t after, int64_t limit,
                  outbox_pruned_fn done, void *ctx);

// Compares what was asked to be watched with the triggers that are there.
struct outbox_watch_fault {
    const char *watched;
    const char *trigger;
    const char *problem;
};
typedef void (*outbox_watch_fn)(void *ctx, const struct pgconn_failure *failure,
                                const struct outbox_watch_fault *faults, size_t count);
void outbox_watch_check(struct outbox *outbox, outbox_watch_fn done, void *ctx);

// Trigger calls that failed and so enqueued nothing, behind the one with id `after`; what is older
// than a week is deleted.
struct outbox_watch_error {
    const char *watched;
    const char *sqlstate;
    int64_t count;
    int64_t last_id;
};
typedef void (*outbox_watch_errors_fn)(void *ctx, const struct pgconn_failure *failure,
                                       const struct outbox_watch_error *errors, size_t count);
void outbox_watch_errors(struct outbox *outbox, int64_t after, outbox_watch_errors_fn done,
                         void *ctx);

#endif
