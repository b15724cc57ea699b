// How a daemon learns of changes, as `check` sees it: the watched tables, and NOTIFY.
#include "app/check.h"

#include "base/clock.h"

#include <stdio.h>

#define CHECK_NOTIFY_NS (5 * CLOCK_NS_PER_SEC)

// ---- watched tables ------------------------------------------------------------------------

static const char watched_sql[] =
    "SELECT count(*), string_agg(watched_name, ', ' ORDER BY watched_name)"
    " FROM imprint_sync.watched";

// The same call of watch() puts everything back that can be put back.
static const char watched_faults_sql[] =
    "SELECT f.watched, f.trigger_name, f.problem, (SELECT format("
    "  'SELECT imprint_sync.watch(%L, %L, %L, %L, %L)', w.source_name, w.source_key, w.customer_id,"
    "  w.watched_name, w.watched_key) FROM imprint_sync.watched AS w"
    "  WHERE w.watched_name = f.watched AND f.problem LIKE 'trigger %' ORDER BY w.id LIMIT 1)"
    " FROM imprint_sync.watch_check() AS f LIMIT 100";

static void watched_read(void *ctx, const struct pgrows *rows)
{
    struct check *check = ctx;
    const char *source = check->config->source.relation;
    if (pgrows_int64(rows, 0, 0) > 0) {
        report_ok(&check->report, "watched", "%s", pgrows_text(rows, 0, 1));
    } else if (source != NULL) {
        char todo[500];
        snprintf(todo, sizeof todo, "SELECT imprint_sync.watch('%.200s', ...)", source);
        report_warn(&check->report, "watched", todo,
                    "no table is watched: only what is written to the outbox is sent, no change of "
                    "%s",
                    source);
    } else {
        report_ok(&check->report, "watched", "nothing: applications write the outbox");
    }
}

static void watched_read_faults(void *ctx, const struct pgrows *rows)
{
    struct check *check = ctx;
    for (size_t i = 0; i < pgrows_count(rows); i++) {
        const char *trigger = pgrows_text(rows, i, 1);
        report_fail(&check->report, ERR_KIND_CONFIG, "watched",
                    pgrows_null(rows, i, 3) ? "call imprint_sync.watch() again"
                                            : pgrows_text(rows, i, 3),
                    "%s: %s%s%s%s; its changes are not sent", pgrows_text(rows, i, 0),
                    pgrows_text(rows, i, 2), trigger[0] == '\0' ? "" : " (", trigger,
                    trigger[0] == '\0' ? "" : ")");
    }
}

void check_watched(struct check *check)
{
    struct err err = {.kind = ERR_KIND_NONE};
    if (!session_query(check->session, watched_sql, NULL, 0, watched_read, check, &err) ||
        !session_query(check->session, watched_faults_sql, NULL, 0, watched_read_faults, check,
                       &err)) {
        report_fail(&check->report, err.kind, "watched", NULL, "%s", err.text);
    }
}

// ---- NOTIFY --------------------------------------------------------------------------------

struct check_notify {
    struct session *listener;
    const char *key; // of the DSN that it listens on
    bool pooled;
    int64_t prepared; // max_prepared_transactions
};

static void notify_read(void *ctx, const struct pgrows *rows)
{
    struct check_notify *notify = ctx;
    // A pooler made up the number that came when the connection was made.
    notify->pooled = pgrows_int64(rows, 0, 0) != pgconn_backend_pid(session_conn(notify->listener));
    notify->prepared = pgrows_int64(rows, 0, 1);
}

static bool notify_open(struct check_notify *notify, const struct check *check, struct err *err)
{
    notify->key =
        check->config->database.listen_dsn == NULL ? "database.dsn" : "database.listen_dsn";
    notify->listener = session_open_listener(check->config, err);
    return notify->listener != NULL &&
           session_query(notify->listener,
                         "SELECT pg_backend_pid(), current_setting('max_prepared_transactions')",
                         NULL, 0, notify_read, notify, err);
}

// Sends itself a notification, from the other connection, on a channel that nobody else knows.
static bool notify_try(struct check_notify *notify, const struct check *check, bool *arrived,
                       struct err *err)
{
    char channel[64];
    char listen[80];
    snprintf(channel, sizeof channel, "imprint_sync_check_%d",
             pgconn_backend_pid(session_conn(notify->listener)));
    snprintf(listen, sizeof listen, "LISTEN %s", channel);
    const char *const params[] = {channel};
    if (!session_query(notify->listener, listen, NULL, 0, NULL, NULL, err) ||
        !session_query(check->session, "SELECT pg_notify($1, '')", params, 1, NULL, NULL, err)) {
        return false;
    }
    *arrived = session_wait_notify(notify->listener, CHECK_NOTIFY_NS, err);
    return err->kind == ERR_KIND_NONE;
}

static bool notify_look(struct check_notify *notify, struct check *check, struct err *err)
{
    bool arrived = false;
    if (!notify_open(notify, check, err)) {
        return false;
    }
    if (notify->prepared > 0) {
        report_warn(&check->report, "notify",
                    "set outbox.notify: false, or the server's "
                    "max_prepared_transactions to 0",
                    "the server has max_prepared_transactions = %lld: triggers do not notify, as "
                    "PREPARE TRANSACTION would fail; changes are found by polling",
                    (long long)notify->prepared);
    } else if (notify->pooled) {
        // Through a pooler it may arrive by luck now, and not later: trying it proves nothing.
        report_warn(&check->report, "notify",
                    "set database.listen_dsn to a way around the pooler, or outbox.notify: false",
                    "%s goes through a pooler, where LISTEN is not reliable: changes are found by "
                    "polling",
                    notify->key);
    } else if (!notify_try(notify, check, &arrived, err)) {
        return false;
    } else if (arrived) {
        report_ok(&check->report, "notify", "a COMMIT wakes an idle daemon (over %s)", notify->key);
    } else {
        report_fail(&check->report, ERR_KIND_CONFIG, "notify", NULL,
                    "a NOTIFY over database.dsn does not arrive over %s: do both lead to the same "
                    "database?",
                    notify->key);
    }
    return true;
}

void check_notify(struct check *check)
{
    struct err err = {.kind = ERR_KIND_NONE};
    struct check_notify notify = {.listener = NULL};
    if (!check->config->outbox.notify) {
        report_ok(&check->report, "notify", "off: changes are found by polling");
    } else if (!notify_look(&notify, check, &err)) {
        report_fail(&check->report, err.kind, "notify", NULL, "%s", err.text);
    }
    session_close(notify.listener);
}
