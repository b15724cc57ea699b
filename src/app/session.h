// A database session for commands that do one thing after the other: the same connection as the
// daemon's, waited for.
#ifndef APP_SESSION_H
#define APP_SESSION_H

#include "base/err.h"
#include "config/config.h"
#include "io/loop.h"
#include "io/outbox.h"
#include "io/pgconn.h"

#include <stdbool.h>

struct session;

// NULL when the database cannot be reached (ERR_KIND_UNAVAILABLE) or the DSN is wrong.
struct session *session_open(const struct config *config, struct err *err);
// The same over database.listen_dsn, if there is one: on this one NOTIFY arrives.
struct session *session_open_listener(const struct config *config, struct err *err);
void session_close(struct session *session);

struct pgconn *session_conn(struct session *session);
struct outbox *session_outbox(struct session *session);
struct loop *session_loop(struct session *session);

// Runs the loop until session_wake is called, which the callback of a call does.
bool session_wait(struct session *session, struct err *err) MUST_CHECK;
void session_wake(struct session *session);

// One statement in a transaction of its own, with text parameters. `read` gets its rows while they
// are there; it may be NULL. False with the SQLSTATE in `err` when it failed.
typedef void (*session_read_fn)(void *ctx, const struct pgrows *rows);
bool session_query(struct session *session, const char *sql, const char *const *params,
                   size_t param_count, session_read_fn read, void *ctx, struct err *err) MUST_CHECK;
// The same in a transaction that can write nothing.
bool session_query_read_only(struct session *session, const char *sql, const char *const *params,
                             size_t param_count, session_read_fn read, void *ctx,
                             struct err *err) MUST_CHECK;
// Several statements as one simple query, for migrations.
bool session_execute(struct session *session, const char *sql, struct err *err) MUST_CHECK;

// Whether the last call failed with this SQLSTATE, or one that begins so.
bool session_failed_with(const struct session *session, const char *sqlstate);

// The schema must be the one this program knows (ERR_KIND_CONFIG).
bool session_need_schema(struct session *session, struct err *err) MUST_CHECK;

// Has a NOTIFY arrived, or does one within the time?
bool session_wait_notify(struct session *session, int64_t timeout_ns, struct err *err) MUST_CHECK;

// Waits for outbox_hello.
bool session_hello(struct session *session, struct outbox_hello *hello, struct err *err) MUST_CHECK;
// That, and the schema must be the one that this program knows (ERR_KIND_CONFIG).
bool session_need_schema(struct session *session, struct err *err) MUST_CHECK;

#endif
