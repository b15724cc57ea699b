// One connection to Postgres, driven by the event loop and never waited for. It connects by itself,
// again and again with backoff, over all hosts of the DSN; host names are resolved off the loop.
//
// Work goes in as jobs. A job is a few statements in one transaction, sent as one pipeline:
//     BEGIN READ COMMITTED; SET LOCAL statement_timeout, lock_timeout, jit; ...; COMMIT; Sync
// so it needs no session state and works through PgBouncer in transaction mode; only what is known
// to have a session of its own (pgconn_has_session) prepares statements. Jobs run in the
// order of submission, several of them under way at once. Each job ends with exactly one call of
// its done function: committed, failed with an SQLSTATE, or lost with the connection (then it may
// or may not have been committed).
//
// What Postgres says may quote a customer's values, so of its messages only SQLSTATE and the names
// of constraint and relation leave this file; messages about connecting hold no row's values and
// are kept.
#ifndef IO_PGCONN_H
#define IO_PGCONN_H

#include "base/err.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pgconn;
struct pgjob;

struct pgconn_failure {
    bool lost;        // the connection ended: the outcome is unknown
    char sqlstate[6]; // "" when Postgres gave none
    char text[256];   // for the log and for people
};

// SQLSTATE class, e.g. pgconn_failed_with(failure, "22").
bool pgconn_failed_with(const struct pgconn_failure *failure, const char *prefix);

// The rows of one statement. Borrowed; valid during the done call.
struct pgrows;
size_t pgrows_count(const struct pgrows *rows);
int pgrows_columns(const struct pgrows *rows);
bool pgrows_null(const struct pgrows *rows, size_t row, int column);
const char *pgrows_text(const struct pgrows *rows, size_t row, int column); // "" for NULL
size_t pgrows_length(const struct pgrows *rows, size_t row, int column);
int64_t pgrows_int64(const struct pgrows *rows, size_t row, int column); // 0 for NULL
bool pgrows_bool(const struct pgrows *rows, size_t row, int column);

// `failure` is NULL when the job was committed; `rows[i]` then belongs to the i-th statement.
typedef void (*pgjob_done_fn)(void *ctx, const struct pgconn_failure *failure,
                              const struct pgrows *const *rows);

// A transaction of statements; at most 12. Consumed by pgconn_submit.
struct pgjob *pgjob_create(int64_t timeout_ns, pgjob_done_fn done, void *ctx);
// Statements as a simple query, without a transaction of its own, several separated by semicolons:
// for migrations. Yields the rows of the last one. The timeout is each statement's.
struct pgjob *pgjob_create_simple(const char *sql, int64_t timeout_ns, pgjob_done_fn done,
                                  void *ctx);
void pgjob_destroy(struct pgjob *job); // only for a job that was not submitted
// `sql` is copied: a reload may replace the caller's while the job is under way. Parameters follow
// in order, as text; `value` is taken over (NULL: SQL null).
void pgjob_statement(struct pgjob *job, const char *sql);
// As pgjob_statement, for what comes again and again, with few rows each time: it is planned once a
// session, whatever the parameters, so its plan must suit many rows as well.
void pgjob_prepared(struct pgjob *job, const char *sql);
// Statement that makes settings for such plans, sent first where they are used; not copied.
void pgjob_plan_settings(struct pgjob *job, const char *sql);
void pgjob_param(struct pgjob *job, char *value);
void pgjob_param_int64(struct pgjob *job, int64_t value);
void pgjob_param_text(struct pgjob *job, const char *value); // copied

struct pgconn_options {
    const char *dsn;            // libpq conninfo or URI; copied
    const char *password_file;  // read at every attempt; NULL: none; copied
    int64_t connect_timeout_ns; // for each address, where the DSN gives none
};

struct pgconn_events {
    void *ctx;
    void (*on_ready)(void *ctx);
    // After a connection ended or all hosts were tried in vain. It goes on trying by itself.
    void (*on_lost)(void *ctx, const struct pgconn_failure *failure);
    void (*on_notify)(void *ctx, const char *payload); // may be NULL; submits and destroys nothing
};

// Starts connecting at once. NULL with a reason when the DSN cannot be read.
struct pgconn *pgconn_create(struct loop *loop, const struct pgconn_options *options,
                             const struct pgconn_events *events, struct err *err);
// Ends the connection; jobs that are not done are lost, so whoever waits for them must still be
// there. Not from a callback.
void pgconn_destroy(struct pgconn *conn);

bool pgconn_is_ready(const struct pgconn *conn);
size_t pgconn_jobs(const struct pgconn *conn);        // submitted and not done
int pgconn_server_version(const struct pgconn *conn); // 150007; 0 when not connected
// By when what it waits for is over at the latest: the next try, connecting, or the statement under
// way; INT64_MAX: it waits for nothing. In the past only if it has lost its way.
int64_t pgconn_due_ns(const struct pgconn *conn);
// The server's process, as the connection was told it: a pooler between tells its own number.
int pgconn_backend_pid(const struct pgconn *conn);

// No pooler stands in between, so statements may be prepared while this connection lasts.
void pgconn_has_session(struct pgconn *conn);

// Takes the job over. Without a connection it waits until there is one, or all hosts were tried in
// vain: then it is lost.
void pgconn_submit(struct pgconn *conn, struct pgjob *job);

#endif
