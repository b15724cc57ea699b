// Backfill runs: pages of keys read from the source, and enqueued as thin rows. A run has one
// process at work, which holds its row like a lease; whoever lost it can write nothing more.
#ifndef IO_OUTBOX_BACKFILL_H
#define IO_OUTBOX_BACKFILL_H

#include "io/outbox.h"

// Which customers of the source.
struct outbox_scope {
    const char *updated_at; // with `since`: its column
    const char *since;      // a timestamptz; NULL: whenever
    const char *where;      // an SQL condition; NULL: none
};

// ---- the walk; the outbox's instance is the holder, and its hello found the source ready
// ---------

enum outbox_run_state {
    OUTBOX_RUN_RUNNING,
    OUTBOX_RUN_PAUSED,
    OUTBOX_RUN_DONE,
    OUTBOX_RUN_CANCELLED,
    OUTBOX_RUN_GONE, // there is none of this id
};

struct outbox_run {
    enum outbox_run_state state;
    bool held; // by this outbox's instance
    bool walked;
    const char *position; // NULL: at the beginning
    int64_t enqueued;
    int64_t done;
    int64_t unchanged;
    int64_t dead;
    int64_t retried;
};
typedef void (*outbox_run_fn)(void *ctx, const struct pgconn_failure *failure,
                              const struct outbox_run *run);
// With `renew` it also shows that the holder lives, and notes how fast it goes.
void outbox_run_look(struct outbox *outbox, int64_t run_id, bool renew, double per_s,
                     outbox_run_fn done, void *ctx);

struct outbox_run_page {
    const char *position; // where it ends; NULL: where it began
    const char *keys;     // an array
    int64_t count;
    bool walked; // to the end of the source
};
typedef void (*outbox_run_page_fn)(void *ctx, const struct pgconn_failure *failure,
                                   const struct outbox_run_page *page);
// Reads on behind `after`: over `window` keys at most, of which `most` at most are taken. The
// transaction is read only, whatever a condition tries.
void outbox_run_read(struct outbox *outbox, const struct outbox_scope *scope, const char *after,
                     int64_t window, int64_t most, outbox_run_page_fn done, void *ctx);
// Enqueues the page and moves the run from `from` to its end, in one transaction. Fails with 55006
// unless the run is held, running and at `from`.
void outbox_run_enqueue(struct outbox *outbox, int64_t run_id, const char *from,
                        const struct outbox_run_page *page, outbox_done_fn done, void *ctx);

// Gives the run back. With `finished` only once nothing of it waits any more: `*ended` of the call
// says so; otherwise it is paused unless somebody has already said what it is.
typedef void (*outbox_run_end_fn)(void *ctx, const struct pgconn_failure *failure, bool ended);
void outbox_run_end(struct outbox *outbox, int64_t run_id, bool finished, outbox_run_end_fn done,
                    void *ctx);

// ---- for commands, which do one thing after the other
// --------------------------------------------

// The caller frees them. $1: the scope's `since`, where it has one.
char *outbox_scope_sql_count(const struct outbox *outbox, const struct outbox_scope *scope,
                             int64_t most);
char *outbox_scope_sql_plan(const struct outbox *outbox, const struct outbox_scope *scope);
char *outbox_scope_sql_sample(const struct outbox *outbox, const struct outbox_scope *scope,
                              int64_t most);

// $1 a time or NULL, $2 or how many ms ago, $3 less so many ms.
extern const char outbox_run_since[];
// $1 name.
extern const char outbox_run_find[];
// Columns of outbox_run_find.
enum outbox_run_column {
    OUTBOX_RUN_ID,
    OUTBOX_RUN_STATE,
    OUTBOX_RUN_SCOPE,
    OUTBOX_RUN_ARGUMENT,
    OUTBOX_RUN_SINCE,
    OUTBOX_RUN_RELATION,
    OUTBOX_RUN_KEY,
    OUTBOX_RUN_FORCE,
    OUTBOX_RUN_RATE,
    OUTBOX_RUN_LIMIT,
    OUTBOX_RUN_AHEAD,
    OUTBOX_RUN_TOTAL,
    OUTBOX_RUN_TOTAL_EXACT,
    OUTBOX_RUN_HOLDER,
    OUTBOX_RUN_RENEWALS,
    OUTBOX_RUN_SETTLED,
    OUTBOX_RUN_DONE_COUNT,
    OUTBOX_RUN_UNCHANGED_COUNT,
    OUTBOX_RUN_WAITING,
    OUTBOX_RUN_COLUMNS,
};
// $1 name, $2 scope, $3 argument, $4 since, $5 relation, $6 key, $7 force, $8 rate, $9 limit,
// $10 ahead, $11 total, $12 exact, $13 holder. No row: the name is taken.
extern const char outbox_run_add[];
// $1 id, $2 holder, $3 holder before or NULL, $4 its renewals, $5 rate, $6 limit, $7 ahead.
extern const char outbox_run_take[];
// $1 id: what has ended, to begin it anew.
extern const char outbox_run_forget[];
// $1 id, $2 holder: as outbox_run_end without `finished`.
extern const char outbox_run_release[];
extern const char outbox_run_list[];        // one JSON array
extern const char outbox_run_pause[];       // $1 name; id and the state it was in
extern const char outbox_run_cancel[];      // the same
extern const char outbox_run_cancel_rows[]; // $1 id, $2 most
extern const char outbox_run_reasons[];     // $1 id: count, reason

#endif
