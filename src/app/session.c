#include "app/session.h"

#include "app/settings.h"
#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

#define SESSION_STATEMENT_NS (30 * CLOCK_NS_PER_SEC)
#define SESSION_MIGRATION_NS (3600 * CLOCK_NS_PER_SEC)

struct session {
    struct loop *loop;
    struct pgconn *conn;
    struct outbox *outbox;
    struct loop_timer *timer; // of session_wait_notify
    bool awake;
    bool notified;
    bool failed;
    struct pgconn_failure failure;
    session_read_fn read;
    void *read_ctx;
    size_t read_from; // which statement's rows it gets
    struct outbox_hello hello;
};

static void session_on_ready(void *ctx)
{
    session_wake(ctx);
}

static void session_on_lost(void *ctx, const struct pgconn_failure *failure)
{
    struct session *session = ctx;
    session->failed = true;
    session->failure = *failure;
    session_wake(session);
}

static void session_on_notify(void *ctx, const char *payload)
{
    (void)payload;
    struct session *session = ctx;
    session->notified = true;
    session_wake(session);
}

static void session_on_timer(void *ctx)
{
    session_wake(ctx);
}

// `key` is where the DSN stands in the configuration.
static struct session *session_open_dsn(const struct config *config, const char *dsn,
                                        const char *key, struct err *err)
{
    struct session *session = mem_calloc(1, sizeof *session);
    session->loop = loop_create(err);
    struct pgconn_options options = settings_database(config);
    options.dsn = dsn;
    const struct pgconn_events events = {.ctx = session,
                                         .on_ready = session_on_ready,
                                         .on_lost = session_on_lost,
                                         .on_notify = session_on_notify};
    if (session->loop != NULL) {
        session->timer = loop_timer_open(session->loop, session_on_timer, session);
        session->conn = pgconn_create(session->loop, &options, &events, err);
        if (session->conn == NULL) {
            err_context(err, "database.dsn");
        }
    }
    if (session->conn == NULL || !session_wait(session, err)) {
        session_close(session);
        return NULL;
    }
    if (session->failed) {
        err_set(err, ERR_KIND_UNAVAILABLE,
                "the database cannot be reached: %s (see %s in the configuration)",
                session->failure.text, key);
        session_close(session);
        return NULL;
    }
    const struct outbox_options outbox = settings_outbox(config, "command");
    session->outbox = outbox_create(session->conn, &outbox);
    return session;
}

struct session *session_open(const struct config *config, struct err *err)
{
    return session_open_dsn(config, config->database.dsn, "database.dsn", err);
}

struct session *session_open_listener(const struct config *config, struct err *err)
{
    const char *around = config->database.listen_dsn;
    return around == NULL ? session_open(config, err)
                          : session_open_dsn(config, around, "database.listen_dsn", err);
}

bool session_wait_notify(struct session *session, int64_t timeout_ns, struct err *err)
{
    // The clock itself: the loop may not have turned for a while.
    loop_timer_set(session->timer, clock_now_ns() + timeout_ns);
    bool ok = session->notified || session_wait(session, err);
    loop_timer_unset(session->timer);
    return ok && session->notified;
}

void session_close(struct session *session)
{
    if (session != NULL) {
        pgconn_destroy(session->conn);
        outbox_destroy(session->outbox);
        loop_timer_close(session->timer);
        loop_destroy(session->loop);
        free(session);
    }
}

struct pgconn *session_conn(struct session *session)
{
    return session->conn;
}

struct outbox *session_outbox(struct session *session)
{
    return session->outbox;
}

struct loop *session_loop(struct session *session)
{
    return session->loop;
}

bool session_wait(struct session *session, struct err *err)
{
    session->awake = false;
    return loop_run_until(session->loop, &session->awake, err);
}

void session_wake(struct session *session)
{
    session->awake = true;
}

static void session_note(struct session *session, const struct pgconn_failure *failure)
{
    session->failed = failure != NULL;
    if (failure != NULL) {
        session->failure = *failure;
    }
    session_wake(session);
}

static void session_on_done(void *ctx, const struct pgconn_failure *failure,
                            const struct pgrows *const *rows)
{
    struct session *session = ctx;
    if (failure == NULL && session->read != NULL) {
        session->read(session->read_ctx, rows[session->read_from]);
    }
    session_note(session, failure);
}

static bool session_result(struct session *session, struct err *err)
{
    if (!session_wait(session, err)) {
        return false;
    }
    if (!session->failed) {
        return true;
    }
    if (pgconn_failed_with(&session->failure, "42501")) {
        return err_set(err, ERR_KIND_CONFIG, "the database role lacks a right (%s)",
                       session->failure.text);
    }
    return err_set(err, session->failure.lost ? ERR_KIND_UNAVAILABLE : ERR_KIND_INTERNAL,
                   "the database says: %s", session->failure.text);
}

// `first`: a statement before it; NULL: none.
static bool session_submit(struct session *session, const char *first, const char *sql,
                           const char *const *params, size_t param_count, struct err *err)
{
    struct pgjob *job = pgjob_create(SESSION_STATEMENT_NS, session_on_done, session);
    if (first != NULL) {
        pgjob_statement(job, first);
    }
    pgjob_statement(job, sql);
    for (size_t i = 0; i < param_count; i++) {
        pgjob_param_text(job, params[i]);
    }
    pgconn_submit(session->conn, job);
    return session_result(session, err);
}

bool session_query(struct session *session, const char *sql, const char *const *params,
                   size_t param_count, session_read_fn read, void *ctx, struct err *err)
{
    session->read = read;
    session->read_ctx = ctx;
    session->read_from = 0;
    return session_submit(session, NULL, sql, params, param_count, err);
}

bool session_query_read_only(struct session *session, const char *sql, const char *const *params,
                             size_t param_count, session_read_fn read, void *ctx, struct err *err)
{
    session->read = read;
    session->read_ctx = ctx;
    session->read_from = 1;
    return session_submit(session, "SET TRANSACTION READ ONLY", sql, params, param_count, err);
}

bool session_execute(struct session *session, const char *sql, struct err *err)
{
    session->read = NULL;
    pgconn_submit(session->conn,
                  pgjob_create_simple(sql, SESSION_MIGRATION_NS, session_on_done, session));
    return session_result(session, err);
}

static void session_on_hello(void *ctx, const struct pgconn_failure *failure,
                             const struct outbox_hello *hello)
{
    struct session *session = ctx;
    if (failure == NULL) {
        session->hello = *hello;
    }
    session_note(session, failure);
}

bool session_hello(struct session *session, struct outbox_hello *hello, struct err *err)
{
    outbox_hello(session->outbox, session_on_hello, session);
    if (!session_result(session, err)) {
        return false;
    }
    *hello = session->hello;
    return true;
}

bool session_failed_with(const struct session *session, const char *sqlstate)
{
    return session->failed && pgconn_failed_with(&session->failure, sqlstate);
}

bool session_need_schema(struct session *session, struct err *err)
{
    struct outbox_hello hello;
    return session_hello(session, &hello, err) && outbox_schema_is_right(&hello, err);
}
